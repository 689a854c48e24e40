"""The explorer: what the page holds and computes, against npcnn.functional.

The tests that let the page compute are skipped where Playwright or Chromium is missing.
"""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from explained_networks import NETS, explained, odd_layers, separable
from explorer_page import drawn_places, page_data

import npcnn as nn
from npcnn.explain import Explanation, picture, trace

F = nn.functional


@pytest.fixture(scope="module", params=["separable", "odd layers"])
def explanation(request):
    return explained(request.param)


def truth(step, x):
    """What npcnn.functional makes of a step's input in float64: y, and dy -> (dx, dw)."""
    window = step["window"]
    where = {name: tuple(window[name]) for name in ("stride", "dilation")}
    where["padding"] = tuple(map(tuple, window["padding"]))
    size = tuple(window["size"])
    if step["kind"] in ("convolution", "dense"):
        w = step["w"].reshape(*size, x.shape[3] // step["groups"], step["shape"][2])
        where["groups"] = step["groups"]
        y = F.conv2d(x, w, step["b"], relu=step["relu"], **where)
        relu_output = y if step["relu"] else None
        return y, lambda dy: F.conv2d_backward(dy, x, w, relu_output=relu_output, **where)[:2]
    where["ceil_mode"] = window["ceil_mode"]
    if step["kind"] == "max_pool":
        y, argmax = F.max_pool2d(x, size, **where)
        return y, lambda dy: (F.max_pool2d_backward(dy, argmax, x.shape, size=size, **where), None)
    where["count_include_pad"] = step["count_include_pad"]
    return F.avg_pool2d(x, size, **where), lambda dy: (F.avg_pool2d_backward(dy, x.shape, size=size, **where), None)


def windowed(data):
    return [(k, step) for k, step in enumerate(data["steps"]) if step["window"]]


def test_what_the_page_holds_is_what_the_functions_give(explanation):
    data = page_data(explanation)
    for _, step in windowed(data):
        x = data["steps"][step["inputs"][0]]["y"][None]
        y, _ = truth(step, x)
        np.testing.assert_allclose(step["y"], y[0], atol=2e-5 * abs(y).max(), err_msg=step["name"])


def test_the_gradients_are_those_of_the_largest_logit(explanation):
    data = page_data(explanation)
    feeds = [0] * len(data["steps"])
    for step in data["steps"]:
        for k in step["inputs"]:
            feeds[k] += 1
    last = data["steps"][-1]["dy"]
    assert last.sum() == 1
    assert last.argmax() == data["predicted"] == data["steps"][-1]["y"].argmax()
    for _, step in windowed(data):
        before = data["steps"][step["inputs"][0]]
        if feeds[step["inputs"][0]] == 1:
            dx, _ = truth(step, before["y"][None])[1](step["dy"][None])
            np.testing.assert_allclose(before["dy"], dx[0], atol=2e-5 * abs(dx).max(), err_msg=step["name"])


def test_the_network_is_left_alone():
    net = odd_layers()
    state = net.layers[5].rng.bit_generator.state
    trace(net, np.ones((13, 9, 2), np.float32))
    assert not any(gradient.any() for gradient in net.grads.values())
    assert net.layers[5].rng.bit_generator.state == state
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        net.layers[0].backward(np.ones((1, 7, 9, 4), np.float32))


def test_the_multiplications_are_those_of_the_network():
    steps = picture(separable(), np.zeros((24, 24, 3), np.float32)).steps
    assert sum(step.multiplications for step in steps) == separable().multiplications((24, 24, 3))
    assert [step.pair != "" for step in steps] == [False] * 3 + [True] * 2 + [False] * 3


def test_the_page_is_small_and_asks_for_nothing(explanation):
    page = explanation.html()
    assert len(page) < 3_000_000
    assert "http:" not in page
    assert "https:" not in page
    assert "default-src 'none'" in page


def test_titles_and_names_cannot_break_out():
    bad = "</script><script>alert(1)</script>"
    page = picture(
        nn.Sequential(nn.GlobalAvgPool2D()), np.ones((2, 2, 2), np.float32), class_names=(bad, "b"), title=bad
    ).html()
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: picture(separable(), np.zeros((2, 24, 24, 3), np.float32)), nn.ShapeError, "H, W, C"),
        (lambda: picture(separable(), np.zeros((24, 24, 1), np.float32)), nn.ShapeError, "3 channels"),
        (lambda: picture("net", np.zeros((24, 24, 3), np.float32)), TypeError, "net must be a Layer"),
        (lambda: picture(nn.ReLU(), np.zeros((4, 4, 3), np.float32)), nn.ShapeError, "logits"),
        (
            lambda: picture(separable(), np.zeros((24, 24, 3), np.float32), class_names=("a",)),
            nn.ShapeError,
            "class_names must be 10",
        ),
        (lambda: picture(separable(), np.full((24, 24, 3), np.nan, np.float32)), ValueError, "logits must be finite"),
        (lambda: picture(separable(), np.zeros((24, 24, 3), np.float32), label=10), ValueError, "a class below 10"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_old_name_works_for_one_version_and_says_what_the_new_one_is():
    with pytest.warns(DeprecationWarning, match=r"now called nn\.explain\.picture"):
        old = nn.explain.explain(separable(), np.zeros((24, 24, 3), np.float32), title="old")
    assert isinstance(old, Explanation)
    assert old.title == "old"


def test_no_module_of_the_package_is_hidden_by_a_function_of_its_name():
    for file in Path(nn.explain.__file__).parent.glob("[a-z]*.py"):
        assert importlib.import_module(f"npcnn.explain.{file.stem}") is getattr(nn.explain, file.stem)


def command(*arguments, cwd, cache=None):
    return subprocess.run(
        [sys.executable, "-m", "npcnn.explain", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"XDG_CACHE_HOME": str(cache or cwd)},
        capture_output=True,
        text=True,
    )


def test_the_command(tmp_path):
    image = pytest.importorskip("PIL.Image")
    separable().save(tmp_path / "weights.safetensors")
    image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)).save(tmp_path / "cat.png")
    done = command("weights.safetensors", "cat.png", "-o", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "open page.html in a browser" in done.stdout
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    for arguments, message in (
        (("none.safetensors", "cat.png"), "none.safetensors"),
        (("weights.safetensors", "dog.png"), "dog.png"),
        (("weights.safetensors", "weights.safetensors"), "not a picture"),
        (("weights.safetensors", "cat.png", "-o", "no/page.html"), "no"),
    ):
        failed = command(*arguments, cwd=tmp_path)
        assert failed.returncode == 2
        assert message in failed.stderr
        assert failed.stderr.count("\n") == 1


def test_the_command_knows_the_class_of_a_test_picture(tmp_path, cache):
    """Where its classes are those that the network was trained on; else the label would name another class."""
    separable().save(tmp_path / "weights.safetensors")
    for names, knows in ((nn.datasets.synthetic.FIGURES, True), ([f"class {k}" for k in range(10)], False)):
        (tmp_path / "settings.json").write_text(json.dumps({"class_names": list(names)}))
        done = command("weights.safetensors", 3, "--data", "synthetic", "-o", "page.html", cwd=tmp_path, cache=cache)
        assert done.returncode == 0, done.stderr
        label = re.search(r'"label": (null|\d+), "steps"', (tmp_path / "page.html").read_text())[1]
        truth = nn.datasets.synthetic.load(cache / "npcnn").test_labels[3]
        assert label == (str(truth) if knows else "null")


@pytest.mark.parametrize("explanation", NETS, indirect=True)
def test_every_number_of_500_drawn_pixels(page, explanation):
    data = page_data(explanation)
    layers = windowed(data)
    rng = np.random.default_rng(3)
    pixels = -(-500 // len(layers))
    for k, step in layers:
        before = data["steps"][step["inputs"][0]]
        x = before["y"][None]
        y, backward = truth(step, x)
        dx, dw = backward(np.ascontiguousarray(step["dy"][None]))
        outputs = drawn_places(rng, step["shape"], pixels)
        inputs = drawn_places(rng, before["shape"], pixels)
        call = "convolution" if step["w"] is not None else "pooling"
        got = page.evaluate(
            """([k, call, outputs, inputs]) => {
                const step = Explorer.steps[k], before = Explorer.steps[step.inputs[0]];
                const dx = ([row, col, c]) =>
                    Arithmetic.inputGradient(step, before, Arithmetic.patches(step, before, c), row, col).sum;
                return [outputs.map((p) => Arithmetic[call](step, before, ...p).y), inputs.map(dx)];
            }""",
            [k, call, outputs.tolist(), inputs.tolist()],
        )
        # float64 from the same float32 numbers on both sides; a ReLU may stand on the other side of 0 in float32.
        np.testing.assert_allclose(got[0], y[0][tuple(outputs.T)], rtol=1e-9, atol=1e-9, err_msg=step["name"])
        np.testing.assert_allclose(got[1], dx[0][tuple(inputs.T)], rtol=1e-6, atol=1e-9, err_msg=step["name"])
        if dw is not None:
            weights = np.stack([rng.integers(0, n, 10) for n in dw.shape], axis=1)
            expected = dw[tuple(weights.T)]
            # The page counts input channels from the first of all, not from the first of the group.
            weights[:, 2] += weights[:, 3] * step["groups"] // dw.shape[3] * dw.shape[2]
            got = page.evaluate(
                """([k, weights]) => weights.map((p) => Arithmetic.weightGradient(
                    Explorer.steps[k], Explorer.steps[Explorer.steps[k].inputs[0]], ...p).sum)""",
                [k, weights.tolist()],
            )
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9, err_msg=step["name"])


def test_im2col_is_the_matrix_of_the_reference(page, explanation):
    data = page_data(explanation)
    for k, step in windowed(data):
        if step["w"] is None:
            continue
        x, window = data["steps"][step["inputs"][0]]["y"][None], step["window"]
        x = x[..., : x.shape[3] // step["groups"]]  # the first group has a matrix of its own
        where = {name: tuple(window[name]) for name in ("size", "stride", "dilation")}
        where["padding"] = tuple(map(tuple, window["padding"]))
        truth = nn.reference.im2col(x, **where)
        drawn = np.random.default_rng(4).integers(0, truth.shape, (200, 2))
        got = page.evaluate(
            """([k, drawn]) => drawn.map((at) => Arithmetic.im2col(
                Explorer.steps[k], Explorer.steps[Explorer.steps[k].inputs[0]], ...at))""",
            [k, drawn.tolist()],
        )
        inside = nn.reference.im2col(np.ones_like(x), **where) == 1
        expected = [truth[at] if inside[at] else None for at in map(tuple, drawn)]
        assert got == expected, step["name"]


def test_patches_added_so_far_are_the_gradient_of_so_many_pixels(page, explanation):
    """col2im half done is the backward pass of a dy whose other half is 0."""
    data = page_data(explanation)
    for k, step in windowed(data):
        x, (OH, OW, _) = data["steps"][step["inputs"][0]]["y"][None], step["shape"]
        count, c = OH * OW // 2, x.shape[3] - 1
        dy = step["dy"].reshape(OH * OW, -1).copy()
        dy[count:] = 0
        _, backward = truth(step, x)
        expected = backward(dy.reshape(1, *step["shape"]))[0][0, :, :, c]
        got = page.evaluate(
            """([k, c, count]) => {
                const step = Explorer.steps[k], before = Explorer.steps[step.inputs[0]];
                return [...Arithmetic.col2im(step, before, Arithmetic.patches(step, before, c), count)];
            }""",
            [k, c, count],
        )
        np.testing.assert_allclose(
            np.reshape(got, expected.shape), expected, rtol=1e-6, atol=1e-9, err_msg=step["name"]
        )


def test_a_notebook_shows_the_page(explanation):
    assert isinstance(explanation, Explanation)
    assert explanation._repr_html_().startswith('<iframe sandbox="allow-scripts"')
