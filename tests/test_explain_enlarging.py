"""What the explorer shows of padding, upsampling and transposed convolution, against these layers in float64.

These tests are skipped where Playwright or Chromium is missing.
"""

import numpy as np
import pytest
from explorer_page import DESK, PHONE, assert_every_view_fits, drawn_places, page_data

import npcnn as nn
from npcnn.explain import picture

SHAPE = (5, 4, 3)


def network():
    """Padding and factors that differ by side and axis; windows that overlap, leave room, and are cut."""
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.ZeroPad2D(((1, 0), (0, 2))),
        nn.Conv2DTranspose(3, 4, (3, 2), stride=2, activation="relu", rng=rng),
        nn.UpSample2D((1, 2)),
        nn.MaxPool2D(3),
        nn.Conv2DTranspose(
            4, 3, (2, 3), stride=(3, 2), padding=((1, 0), (0, 1)), dilation=(1, 2), output_padding=(2, 1), rng=rng
        ),
        nn.MaxPool2D((2, 1)),
        nn.UpSample2D((3, 2), mode="bilinear"),
        nn.AvgPool2D(4),
        nn.Conv2DTranspose(3, 2, 3, padding="valid", bias=False, rng=rng),
        nn.Residual(nn.Sequential(nn.Conv2DTranspose(2, 2, 3, rng=rng), nn.ZeroPad2D(1), nn.MaxPool2D(3, 1))),
        nn.UpSample2D(1, mode="bilinear"),
        nn.GlobalAvgPool2D(),
    )


ENLARGING = {"zero_pad", "upsample", "conv_transpose"}


@pytest.fixture(scope="module")
def explanation():
    x = np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)
    return picture(network(), x)


def enlarging(data):
    """The steps of these kinds with their numbers, the steps before them, and their layers in float64."""
    layers = dict(network().astype(np.float64).walk())
    steps = [(k, step) for k, step in enumerate(data["steps"]) if step["kind"] in ENLARGING]
    assert {step["kind"] for _, step in steps} == ENLARGING
    return [(k, step, data["steps"][step["inputs"][0]], layers[step["name"]]) for k, step in steps]


def test_every_number_of_150_drawn_pixels_of_each(page, explanation):
    rng = np.random.default_rng(3)
    for k, step, before, layer in enlarging(page_data(explanation)):
        y = layer.forward(before["y"][None], training=True)[0]
        dx = layer.backward(step["dy"][None])[0]
        outputs, inputs = drawn_places(rng, y.shape, 150), drawn_places(rng, dx.shape, 150)
        got = page.evaluate(
            """([k, outputs, inputs]) => {
                const step = Explorer.steps[k], [input] = step.from;
                return [
                    outputs.map((place) => Enlarging.made(step, input, ...place).y),
                    inputs.map((place) => Backward.share(step, input, ...place)),
                ];
            }""",
            [k, outputs.tolist(), inputs.tolist()],
        )
        np.testing.assert_allclose(got[0], y[tuple(outputs.T)], rtol=1e-12, atol=1e-12, err_msg=step["name"])
        np.testing.assert_allclose(got[1], dx[tuple(inputs.T)], rtol=1e-12, atol=1e-12, err_msg=step["name"])
        np.testing.assert_allclose(step["y"], y, atol=2e-6 * abs(y).max(), err_msg=step["name"])
        if step["w"] is None:
            continue
        dw = layer.grads["w"]
        weights = drawn_places(rng, dw.shape, 20)
        got = page.evaluate(
            """([k, weights]) => {
                const { conv, picture } = Enlarging.turned(Explorer.steps[k], Explorer.steps[k].from[0]);
                return weights.map((place) => Arithmetic.weightGradient(conv, picture, ...place).sum);
            }""",
            [k, weights.tolist()],
        )
        np.testing.assert_allclose(got, dw[tuple(weights.T)], rtol=1e-12, atol=1e-12, err_msg=step["name"])


def test_the_products_of_a_transposed_convolution_are_those_of_its_definition(page, explanation):
    """Every pixel and tap that meet at an output pixel, and no others, each with its numbers."""
    rng = np.random.default_rng(4)
    empty = 0
    for k, step, before, layer in enlarging(page_data(explanation)):
        if step["kind"] != "conv_transpose":
            continue
        x, w, window = before["y"], layer.params["w"], step["window"]
        (KH, KW, _, C), (H, W, _) = w.shape, x.shape
        for i, j, o in drawn_places(rng, step["shape"], 40).tolist():
            expected = {}
            for row, kh, col, kw in np.ndindex(H, KH, W, KW):
                place = [
                    at * window["stride"][axis] + tap * window["dilation"][axis] - window["padding"][axis][0]
                    for axis, at, tap in ((0, row, kh), (1, col, kw))
                ]
                if place == [i, j]:
                    for c in range(C):
                        expected[row, col, kh, kw, c] = (x[row, col, c], w[kh, kw, o, c])
            terms = page.evaluate(
                """([k, ...place]) => Enlarging.made(Explorer.steps[k], Explorer.steps[k].from[0], ...place).terms""",
                [k, i, j, o],
            )
            got = {(term["row"], term["col"], *term["by"], term["c"]): (term["x"], term["w"]) for term in terms}
            assert got == expected
            assert len(terms) == len(expected)
            empty += not terms
    assert empty  # with a stride larger than the kernel there are such pixels


def test_what_is_handed_back_adds_up_to_every_gradient(page, explanation):
    for k, step in enumerate(page_data(explanation)["steps"][:-1]):
        sums = page.evaluate(
            """(k) => {
                const step = Explorer.steps[k], [H, W, C] = step.shape, sums = [];
                for (let i = 0; i < H; i++) for (let j = 0; j < W; j++) for (let c = 0; c < C; c++)
                    sums.push(step.takers.reduce((sum, taker) => sum + Backward.share(taker, step, i, j, c), 0));
                return sums;
            }""",
            k,
        )
        got = np.reshape(sums, step["shape"])
        np.testing.assert_allclose(got, step["dy"], atol=2e-6 * abs(step["dy"]).max(), err_msg=step["name"])


def written(page, name):
    """The number at the end of a formula."""
    return float(page.inner_text(name).split("; ")[0].split()[-1].rstrip(")"))


def test_formulas_have_the_numbers_of_the_place_looked_at(page, explanation):
    rng = np.random.default_rng(5)
    for k, step, before, layer in enlarging(page_data(explanation)):
        layer.forward(before["y"][None], training=True)
        dx = layer.backward(step["dy"][None])[0]
        page.evaluate(f"Explorer.open({k}, 'forward')")
        for i, j, o in drawn_places(rng, step["shape"], 5).tolist():
            page.evaluate("([i, j, o]) => Explorer.set({ i, j, o })", [i, j, o])
            if page.inner_text("#formula").startswith("y = 0: padding"):
                assert step["kind"] == "zero_pad"
                assert step["y"][i, j, o] == 0
            else:
                assert written(page, "#formula") == pytest.approx(step["y"][i, j, o], rel=1e-3, abs=1e-6)
        page.evaluate(f"Explorer.open({k}, 'backward')")
        for row, col, c in drawn_places(rng, before["shape"], 5).tolist():
            page.evaluate("([row, col, c]) => Explorer.set({ row, col, c, o: c })", [row, col, c])
            assert written(page, "#dx") == pytest.approx(dx[row, col, c], rel=1e-3, abs=1e-9)
        page.locator("[data-key=input]").click(position={"x": 3, "y": 3})
        assert page.evaluate("[Explorer.state.row, Explorer.state.col]") == [0, 0]


def test_a_border_and_a_pixel_that_no_kernel_reaches_say_so(page, explanation):
    names = [step.name for step in explanation.steps]
    page.evaluate(f"Explorer.open({names.index('0_zero_pad2d')}, 'forward')")
    page.evaluate("Explorer.set({ i: 0, j: 1 })")
    assert page.inner_text("#formula") == "y = 0: padding, no pixel of the input"
    page.evaluate("Explorer.set({ i: 3, j: 1 })")
    assert page.inner_text("#formula").startswith("y = x[2, 1] = ")
    page.evaluate(f"Explorer.open({names.index('4_conv2d_transpose')}, 'forward')")
    page.evaluate("Explorer.set({ i: 1, j: 4 })")  # the kernel covers two rows of three, of which the first is cut off
    assert page.inner_text("#formula") == "no kernel reaches this pixel: sum of 0 products 0 + bias 0.1 = 0.1"
    page.locator("[data-key=inputs]").focus()
    page.keyboard.press("ArrowRight")
    page.evaluate("Explorer.set({ i: 2, j: 4 })")
    assert page.locator("#terms tr.now").count() == 1


def test_play_walks_through_the_products_of_a_transposed_convolution(page, explanation):
    k = next(k for k, step in enumerate(explanation.steps) if step.kind == "conv_transpose")
    for view in ("forward", "backward"):
        page.evaluate(f"Explorer.open({k}, '{view}')")
        page.evaluate("Explorer.set({ i: 4, j: 4, cursor: 0 })")
        page.click("[data-key='play cursor']")
        page.clock.run_for(20_000)
        running = page.locator("#terms tr.now td").all_inner_texts()
        marked = page.locator("#panel td.now").all_inner_texts()
        assert marked == running[-4:-1]
        channels = explanation.steps[k if view == "backward" else k - 1].y.shape[2]
        length = int(page.locator("input[data-key=cursor]").get_attribute("max")) + 1
        assert page.evaluate("Explorer.state.cursor") == length - channels  # the first channel of the last place


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_view_opens_without_scrolling_sideways(page, explanation, size):
    assert_every_view_fits(page, explanation, size)
