"""The explorer: what the page holds and computes, against npcnn.functional; and the page itself in Chromium.

The tests of the page are skipped where Playwright or Chromium is missing.
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
from explorer_page import chromium, open_page, page_data, quiet_page

import npcnn as nn
from npcnn.explain import Explanation, picture, trace

F = nn.functional


def separable():
    return nn.models.cifar_separable(rng=np.random.default_rng(0))


def odd_layers():
    """Every kind of layer, with windows that are not the usual ones."""
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2D(2, 4, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), dilation=(1, 2), activation="relu", rng=rng),
        nn.Concat(
            nn.Conv2D(4, 3, 1, bias=False, rng=rng),
            nn.Sequential(nn.Conv1D(4, 2, 3, axis="width", rng=rng), nn.ReLU()),
            nn.SpatiallySeparableConv2D(4, 2, 3, middle_activation=None, rng=rng),
        ),
        nn.MaxPool2D(3, stride=2, padding="same"),
        nn.AvgPool2D(2, stride=1, padding="same", count_include_pad=True),
        nn.AvgPool2D(2, stride=1, padding="same"),
        nn.Dropout(0.5, rng=rng),
        nn.Flatten(),
        nn.Dense(3 * 5 * 7, 6, rng=rng),
    )


def poolings():
    """Windows whose taps lie apart, and windows that reach beyond the padding."""
    return nn.Sequential(
        nn.MaxPool2D(2, stride=(2, 1), dilation=(3, 2), ceil_mode=True),
        nn.AvgPool2D(3, stride=2, padding=((1, 0), (0, 1)), count_include_pad=True, ceil_mode=True),
        nn.AvgPool2D(2, dilation=(1, 2), ceil_mode=True),
        nn.Flatten(),
        nn.Dense(3 * 2 * 2, 3, rng=np.random.default_rng(1)),
    )


def groups():
    """Blocks of channels, single channels, and the pair of a depthwise and a pointwise convolution."""
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2D(4, 6, (3, 2), stride=(2, 1), groups=2, activation="relu", rng=rng),
        nn.Conv1D(6, 6, 3, axis="width", groups=3, rng=rng),
        nn.DepthwiseConv2D(6, 3, 2, activation="relu", rng=rng),
        nn.DepthwiseSeparableConv2D(12, 5, 3, multiplier=2, activation="relu", rng=rng),
        nn.DepthwiseSeparableConv2D(5, 4, 3, rng=rng),
        nn.GlobalAvgPool2D(),
    )


NETS = {
    "separable": (separable, (24, 24, 3)),
    "odd layers": (odd_layers, (13, 9, 2)),
    "poolings": (poolings, (17, 14, 2)),
    "groups": (groups, (7, 6, 4)),
}


@pytest.fixture(scope="module", params=["separable", "odd layers"])
def explanation(request):
    make, shape = NETS[request.param]
    return picture(make(), np.random.default_rng(2).standard_normal(shape).astype(np.float32))


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


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser, explanation, tmp_path):
    size = {"width": 1280, "height": 900}
    with quiet_page(browser, explanation, tmp_path / "explorer.html", viewport=size) as opened:
        yield opened


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
        outputs = np.stack([rng.integers(0, n, pixels) for n in step["shape"]], axis=1)
        inputs = np.stack([rng.integers(0, n, pixels) for n in before["shape"]], axis=1)
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


def test_a_layer_opens_where_it_has_most_to_show(page, explanation):
    for k, step in enumerate(explanation.steps):
        behind_relu = np.where(step.y > 0, step.dy, 0) if step.relu else step.dy
        for view, shown in (("forward", step.y), ("backward", behind_relu)):
            page.evaluate(f"Explorer.open({k}, '{view}')")
            i, j, o = page.evaluate("[Explorer.state.i, Explorer.state.j, Explorer.state.o]")
            if step is explanation.steps[-1]:
                assert o == explanation.predicted
            else:
                assert abs(shown[i, j, o]) == abs(shown).max()


def test_a_place_that_was_chosen_is_kept_when_the_direction_changes(page):
    page.locator("[data-key=output]").click(position={"x": 5, "y": 5})
    page.click("[data-view=backward]")
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]


def test_play_walks_through_the_multiplications_and_the_patches(page):
    """The page is drawn anew between a press and its release; the button under it must stay the same."""
    for view, key in (("forward", "cursor"), ("backward", "patches")):
        page.evaluate(f"Explorer.open(1, '{view}')")
        page.evaluate("Explorer.set({ cursor: 0 })")
        page.click(f"[data-key='play {key}']")
        page.clock.run_for(700)
        page.hover(f"[data-key='play {key}']")
        page.mouse.down()
        page.clock.run_for(700)
        page.mouse.up()
        stopped = page.evaluate(f"Explorer.state.{key}")
        assert stopped > 0
        page.clock.run_for(700)
        assert page.evaluate(f"Explorer.state.{key}") == stopped
        assert page.inner_text(f"[data-key='play {key}']") == "Play"
        page.click(f"[data-key='next {key}']")
        assert page.evaluate(f"Explorer.state.{key}") == stopped + 1
        page.click(f"[data-key='play {key}']")
        page.clock.run_for(20_000)
        last = page.evaluate(f"document.querySelector('input[data-key={key}]').max")
        assert page.inner_text(f"[data-key='play {key}']") == "Play"  # it has come to its end
        if key == "patches":
            assert page.evaluate("Explorer.state.patches") == int(last)


def marked_numbers(page):
    """The x, w and x * w that are marked in the patch, and those of the running step."""
    return page.evaluate(
        """["#panel td.now", "#terms tr.now td"].map((cells) =>
            [...document.querySelectorAll(cells)].slice(-4).map((cell) => cell.textContent))"""
    )


def test_what_is_marked_in_the_patch_is_the_running_multiplication(page, explanation):
    """Whatever moved it: the buttons, Play, the slider, a click on a strip, a table or another channel."""
    step = explanation.steps[1]
    C, seen = step.w.shape[2], set()

    def same():
        marked, running = marked_numbers(page)
        assert len(marked) == 3
        assert marked == running[:3]
        cursor = page.evaluate("Explorer.state.cursor")
        first = page.evaluate("Arithmetic.seen(Explorer.steps[1], Explorer.steps[0], Explorer.state.o).first")
        assert f"channel {first + cursor % C}" in page.inner_text("h3 >> nth=0")
        assert f"multiplication {cursor + 1} of" in page.inner_text(".player")
        seen.add(cursor)

    page.evaluate("Explorer.open(1, 'forward')")
    same()
    for _ in range(3):
        page.click("[data-key='next cursor']")
        same()
    page.click("[data-key='play cursor']")
    for _ in range(30):
        page.clock.run_for(300)
        same()
    page.click("#panel table td >> nth=2")
    same()
    page.click(".strip >> nth=0", position={"x": 200, "y": 5})
    same()
    page.click("[data-key='play cursor']")
    page.clock.run_for(300)
    before = page.evaluate("Explorer.state.cursor")
    page.focus("[data-key=inputs]")
    page.keyboard.press("ArrowRight" if before % C < C - 1 else "ArrowLeft")
    same()
    assert page.evaluate("Explorer.state.cursor") - before == (1 if before % C < C - 1 else -1)
    assert page.inner_text("[data-key='play cursor']") == "Play"  # choosing a channel ended it
    assert len(seen) > 6


def test_the_input_is_not_called_an_output(page):
    page.evaluate("Explorer.open(0, 'forward')")
    captions = page.locator("#panel figcaption").all_inner_texts()
    assert len(captions) == 2
    assert all(caption.startswith("input, ") for caption in captions)
    page.evaluate("Explorer.open(1, 'forward')")
    assert any(caption.startswith("output, ") for caption in page.locator("#panel figcaption").all_inner_texts())


@pytest.mark.parametrize(
    "title", ["weights.safetensors, picture 3", "a_network_of_2026-11-25_with_a_long_name.safetensors"]
)
def test_no_word_of_a_heading_is_broken_on_a_phone(browser, tmp_path, title):
    x = np.zeros((24, 24, 3), np.float32)
    shown = picture(separable(), x, title=title)
    page = open_page(browser, shown, tmp_path / "explorer.html", viewport={"width": 390, "height": 844})
    for k, step in enumerate(shown.steps):
        page.evaluate(f"Explorer.open({k})")
        assert page.text_content("h1") == title
        assert page.text_content("h2").startswith(step.name)
        broken = page.evaluate(
            """() => {
                const broken = [];
                for (const heading of document.querySelectorAll("h1, h2")) {
                    const texts = document.createTreeWalker(heading, NodeFilter.SHOW_TEXT);
                    while (texts.nextNode())
                        for (const word of texts.currentNode.data.matchAll(/[^ -]+/g)) {
                            const range = document.createRange();
                            range.setStart(texts.currentNode, word.index);
                            range.setEnd(texts.currentNode, word.index + word[0].length);
                            if (range.getClientRects().length > 1) broken.push(word[0]);
                        }
                }
                return broken;
            }"""
        )
        assert broken == []
    page.close()


@pytest.mark.parametrize("key", ["output", "outputs", "inputs"])
def test_a_slow_click_on_a_map_counts_while_it_is_drawn_anew(page, key):
    chosen = "[Explorer.state.held, Explorer.state.o, Explorer.state.cursor % Explorer.steps[0].shape[2]]"
    page.evaluate("Explorer.set({ o: 0, cursor: 0 })")
    page.click("[data-key='play cursor']")
    page.locator(f"[data-key={key}]").scroll_into_view_if_needed()
    box = page.locator(f"[data-key={key}]").bounding_box()
    before = page.evaluate(chosen)
    page.mouse.move(box["x"] + box["width"] - 6, box["y"] + 6)
    page.mouse.down()
    page.clock.run_for(700)
    page.mouse.up()
    assert page.evaluate(chosen) != before


def test_the_slider_can_be_dragged(page):
    page.locator("input[data-key=cursor]").scroll_into_view_if_needed()
    slider = page.locator("input[data-key=cursor]").bounding_box()
    y, passed = slider["y"] + slider["height"] / 2, []
    page.mouse.move(slider["x"] + 5, y)
    page.mouse.down()
    for share in (0.3, 0.5, 0.8):
        page.mouse.move(slider["x"] + share * slider["width"], y, steps=3)
        passed.append(page.evaluate("Explorer.state.cursor"))
    page.mouse.up()
    assert 0 < passed[0] < passed[1] < passed[2]


def test_a_click_holds_a_pixel_and_escape_lets_go(page):
    output = page.locator("[data-key=output]")
    output.click(position={"x": 5, "y": 5})
    output.hover(position={"x": 120, "y": 120})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]
    page.keyboard.press("Escape")
    output.hover(position={"x": 100, "y": 100})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") != [0, 0]


def test_no_mark_lies_outside_its_map(browser, tmp_path):
    """A Concat marks a channel in one of its branches only."""
    net = nn.models.cifar_multichannel(rng=np.random.default_rng(0))
    x = np.random.default_rng(2).standard_normal((24, 24, 3)).astype(np.float32)
    named = {"title": "weights.safetensors, CIFAR-10 test picture 3", "class_names": [f"class {k}" for k in range(10)]}
    shown = picture(net, x, label=1, **named)
    page = open_page(browser, shown, tmp_path / "explorer.html", viewport={"width": 390, "height": 844})
    for view in ("forward", "backward"):
        for k in range(page.evaluate("Explorer.steps.length")):
            page.evaluate(f"Explorer.open({k}, '{view}')")
            outside = page.evaluate(
                """[...document.querySelectorAll("#panel b")].filter((mark) => {
                    const a = mark.getBoundingClientRect(), b = mark.parentElement.getBoundingClientRect();
                    return a.left < b.left - 3 || a.right > b.right + 3 || a.top < b.top - 3 || a.bottom > b.bottom + 3;
                }).length"""
            )
            assert outside == 0, (view, k)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, (view, k)
    page.close()


def test_groups_and_what_a_depthwise_separable_pair_stands_for(browser, tmp_path):
    x = np.random.default_rng(2).standard_normal((7, 6, 4)).astype(np.float32)
    shown = picture(groups(), x)
    labels = [step.label for step in shown.steps[1:]]
    assert labels[:5] == [
        "conv 3 x 2 in 2 groups + ReLU", "conv 1 x 3 in 3 groups", "depthwise 3 x 3 + ReLU",
        "depthwise 3 x 3", "conv 1 x 1 + ReLU",
    ]  # fmt: skip
    page = open_page(browser, shown, tmp_path / "explorer.html")
    page.evaluate("Explorer.open(1, 'forward'); Explorer.set({ o: 4 })")
    assert "output channel 4 sees the input channels 2 to 3" in page.inner_text("#group")
    page.evaluate("Explorer.open(3, 'forward'); Explorer.set({ o: 5 })")
    assert "output channel 5 sees input channel 2 and" in page.inner_text("#group")
    page.evaluate("Explorer.open(1, 'backward'); Explorer.set({ o: 4, c: 0 })")
    assert "no weight from channel 0 to 4" in page.inner_text("#panel")
    # Both halves of the first pair, at channel 7 between them: the second kernel of input channel 3.
    depthwise, pointwise = shown.steps[4].w[:, :, 0, 6:8], shown.steps[5].w[0, 0, 6:8]
    for k, o, to in ((4, 7, abs(pointwise[1]).argmax()), (5, 2, 2)):
        page.evaluate(f"Explorer.open({k}, 'forward'); Explorer.set({{ o: {o}, cursor: 7 }})")
        whole = depthwise @ pointwise[:, to]
        got = page.locator("#pair table").last.locator("td").evaluate_all("cells => cells.map((cell) => cell.title)")
        np.testing.assert_allclose(np.array(got, float), whole.ravel(), rtol=1e-5)
    assert sum(step.multiplications for step in shown.steps) == groups().multiplications((7, 6, 4))
    page.close()


def test_a_wide_dense_layer_opens(browser, tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Dense(200 * 200 * 4, 2, rng=np.random.default_rng(0)))
    x = np.random.default_rng(2).standard_normal((200, 200, 4)).astype(np.float32)
    page = open_page(browser, picture(net, x), tmp_path / "explorer.html")
    for view in ("forward", "backward"):
        page.evaluate(f"Explorer.open(2, '{view}')")
        assert page.inner_text("#panel h2").startswith("1_dense")
    page.close()


def test_the_true_class_is_told(browser, tmp_path):
    x, names = np.zeros((24, 24, 3), np.float32), [f"class {k}" for k in range(10)]
    predicted = picture(separable(), x).predicted
    for label, said in ((predicted, "rightly"), ((predicted + 1) % 10, f"it is labelled class {(predicted + 1) % 10}")):
        page = open_page(browser, picture(separable(), x, class_names=names, label=label), tmp_path / "explorer.html")
        assert said in page.inner_text("#taken")
        page.close()


def test_a_finger_moves_by_buttons(browser, explanation, tmp_path):
    size = {"width": 390, "height": 844}
    page = open_page(browser, explanation, tmp_path / "explorer.html", viewport=size, has_touch=True, is_mobile=True)
    page.locator("[data-key=output]").tap(position={"x": 3, "y": 3})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]
    page.locator("figure:has([data-key=output]) button[aria-label=down]").tap()
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [1, 0]
    page.close()


def test_mouse_keyboard_and_layers(page, explanation):
    assert "sum of" in page.inner_text("#formula")
    page.evaluate("Explorer.set({ o: 0 })")
    page.locator("[data-key=output]").hover(position={"x": 5, "y": 5})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]
    page.locator("[data-key=output]").click(position={"x": 5, "y": 5})
    page.locator("[data-key=output]").hover(position={"x": 120, "y": 120})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]  # held
    page.locator("[data-key=output]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [1, 1]
    page.clock.run_for(600)  # the page speaks when pointing has come to rest
    said = page.inner_text("#said")
    value = explanation.steps[1].y[1, 1, 0]
    assert said.startswith("pixel (1, 1), channel 0:")
    assert float(said.split()[-1].rstrip(")")) == pytest.approx(value, rel=1e-3, abs=1e-6)
    page.locator("[data-key=outputs]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Explorer.state.o") == 1
    before = page.evaluate("Explorer.state.cursor")
    page.locator("[data-key=cursor]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Explorer.state.cursor") == before + 1
    for view in ("forward", "backward"):
        page.click(f"[data-view={view}]")
        for k, step in enumerate(explanation.steps):
            page.click(f"[data-key=layer{k}]")
            assert page.inner_text("#panel h2").startswith(f"{step.name}: ")


def test_a_phone_shows_it_without_scrolling_sideways(page, explanation):
    page.set_viewport_size({"width": 390, "height": 800})
    for view in ("forward", "backward"):
        page.click(f"[data-view={view}]")
        for k, step in enumerate(explanation.steps):
            page.evaluate(f"Explorer.open({k})")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, step.name


def test_a_notebook_shows_the_page(explanation):
    assert isinstance(explanation, Explanation)
    assert explanation._repr_html_().startswith('<iframe sandbox="allow-scripts"')
