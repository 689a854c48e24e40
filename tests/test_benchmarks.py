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


@pytest.fixture
def step_time(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return __import__("step_time")


def test_what_does_not_train_has_no_figure_for_a_step(step_time):
    results = {
        "npcnn": {"versions": "npcnn 1", "step": [4.0, 5.0, 9.0], "forward": [2.0]},
        "onnxruntime": {"versions": "onnxruntime 1", "forward": [3.0, 1.0, 8.0]},
    }
    lines = [line.split() for line in step_time.table(results)]
    assert lines[0] == ["step", "ms", "x", "npcnn", "forward", "ms", "x", "npcnn", "versions"]
    assert lines[1] == ["npcnn", "5.00", "1.00", "2.00", "1.00", "npcnn", "1"]
    assert lines[2] == ["onnxruntime", "3.00", "1.50", "onnxruntime", "1"]
    alone = {
        peer: {name: value for name, value in result.items() if name != "step"} for peer, result in results.items()
    }
    assert step_time.table(alone)[0].split() == ["forward", "ms", "x", "npcnn", "versions"]


@pytest.mark.parametrize("network", ["separable", "plain", "multichannel"])
def test_the_onnx_model_is_the_network(monkeypatch, network):
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    monkeypatch.syspath_prepend(FOLDER)
    from peers import NETWORKS, onnx_model

    def load(model):
        evaluator = ReferenceEvaluator(model)
        return lambda x: evaluator.run(None, {"x": x})[0], "the reference of ONNX"

    # `build` compares the outputs, and refuses those that are a thousandth off.
    step, forward, _ = onnx_model.build(2, NETWORKS[network], load)
    assert step is None
    assert forward().shape == (2, 10)

    def spoilt(model):
        run, versions = load(model)
        return lambda x: run(x) * 1.001, versions

    with pytest.raises(SystemExit, match="its outputs are not npcnn's"):
        onnx_model.build(2, NETWORKS[network], spoilt)
