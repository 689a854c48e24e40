"""What the benchmarks say about their figures."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def ladder(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return __import__("ladder")


def test_the_ladder_says_where_the_measured_order_contradicts_it(ladder):
    rows = [("loops", 90.0, 1.0), ("im2col", 20.0, 4.5), ("tiles", 30.0, 3.0), ("vectors", 10.0, 9.0)]
    assert ladder.contradictions(rows) == ["not faster here: 'tiles' takes 1.50 times as long as 'im2col'"]
    assert ladder.contradictions(rows[:2]) == []
