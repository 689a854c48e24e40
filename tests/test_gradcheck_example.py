"""examples/gradient_check.py: a table in which every row can be told from every other, and the exit status."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from fake_layers import Dense, ReusesItsBuffer

EXAMPLE = Path(__file__).parent.parent / "examples" / "gradient_check.py"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    spec = importlib.util.spec_from_file_location("gradient_check", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_names_are_whole_and_lines_fit(example, capsys):
    assert example.main(["--elements", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "every gradient agrees"
    assert max(map(len, lines)) <= 100
    assert "Conv2D(3, 4, (3, 2), stride=2, dilation=(1, 2))" in lines
    assert "Sequential(Conv2D(3, 4, 3), Flatten(), Dense(120, 2))" in lines
    assert sum(line.startswith("  2_spatially_separable_conv2d.horizontal.w ") for line in lines) == 1

    layer, rows = None, []
    for line in lines[1:-1]:
        if line.startswith("  "):
            rows.append((layer, line.split()[0]))
        else:
            layer = line
    assert len(rows) == len(set(rows)) > 40


class Adds(Dense):
    """A name as long as that of a layer with all its options: it is broken between words, not cut."""

    def __repr__(self):
        return f"Adds({', '.join(['to_what_was_there=True'] * 5)})"

    def backward(self, dy):
        before = self.grads["w"].copy()
        dx = super().backward(dy)
        self.grads["w"] += before
        return dx


def test_what_is_wrong_is_said(example, capsys, monkeypatch):
    monkeypatch.setattr(example, "layers", lambda rng: [(Adds(rng), (2, 4))])
    monkeypatch.setattr(example.nn.models, "cifar_separable", lambda rng, dtype: ReusesItsBuffer((1, 24, 24, 3)))
    assert example.main([]) == 1
    output = capsys.readouterr().out
    assert output.endswith("a gradient is WRONG: see the lines that say FAILED\n")
    assert max(map(len, output.splitlines())) <= 100
    assert repr(Adds(np.random.default_rng(0))) in " ".join(output.split())
    assert "backward adds to grads['w']" in " ".join(output.split())
