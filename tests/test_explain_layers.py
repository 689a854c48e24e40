"""What the explorer shows of normalisations, activations, sums of branches, layers of one's own, and long networks.

The numbers that the page computes are held to definitions in float64, and what the layers hand back to one another to
the gradients that the network gave.  These tests are skipped where Playwright or Chromium is missing.
"""

import math

import numpy as np
import pytest
from explorer_page import DESK, PHONE, assert_every_view_fits, open_page, page_data, quiet_page
from second_opinions import central_difference

import npcnn as nn
from npcnn.explain import picture

erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.125 * x),
    "gelu none": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "gelu tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    "silu": lambda x: x * sigmoid(x),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "softmax": softmax,
}


def function_layer(name):
    """A layer that the page takes for one of npcnn, in plain NumPy."""

    class Function(nn.Layer):
        kind, _, approximate = name.partition(" ")
        slope = 0.125

        def forward(self, x, training=False):
            self.x = x.astype(np.float64)
            return FUNCTIONS[name](self.x).astype(x.dtype)

        def backward(self, dy):
            def objective():
                return (dy * FUNCTIONS[name](self.x)).sum()

            return central_difference(objective, self.x, step=1e-5).astype(dy.dtype)

    Function.__name__ = name.title().replace("_", "").replace(" ", "")
    return Function()


class Halves(nn.Layer):
    """A layer of one's own that changes the shape: every second row and column, twice as many channels."""

    def forward(self, x, training=False):
        self.shape = x.shape
        return np.concatenate([x[:, ::2, ::2], -x[:, ::2, ::2]], axis=-1)

    def backward(self, dy):
        dx = np.zeros(self.shape, dy.dtype)
        C = self.shape[-1]
        dx[:, ::2, ::2] = dy[..., :C] - dy[..., C:]
        return dx


class Scale(nn.Layer):
    """One factor a channel, and a ``scale`` that is no normalisation's."""

    def __init__(self, channels):
        super().__init__()
        self.add_parameter("scale", (channels,), nn.initializers.constant(1.5))

    def forward(self, x, training=False):
        self.x = x
        return x * self.params["scale"]

    def backward(self, dy):
        self.grads["scale"] = (dy * self.x).sum((0, 1, 2))
        return dy * self.params["scale"]


def trained(net, shape):
    """Give a network running statistics, scales and shifts that are not those it began with."""
    rng = np.random.default_rng(5)
    for _ in range(3):
        net.forward(rng.standard_normal((4, *shape)).astype(np.float32), training=True)
    for name, array in net.params.items():
        if name.endswith(("scale", "shift")):
            array += 0.5 * rng.standard_normal(array.shape)
    return net


def residual():
    rng = np.random.default_rng(0)

    def conv(*arguments, **options):
        return nn.Conv2D(*arguments, bias=False, rng=rng, **options)

    return nn.Sequential(
        conv(3, 4, 3), nn.BatchNorm(4, momentum=0.5), nn.ReLU(),
        nn.Residual(nn.Sequential(conv(4, 4, 3), nn.BatchNorm(4, scale=False), nn.ReLU(), conv(4, 4, 3))),
        nn.ReLU(),
        nn.Residual(
            nn.Sequential(conv(4, 6, 3, stride=2), nn.BatchNorm(6, shift=False, momentum=0.5)),
            nn.Sequential(conv(4, 6, 1, stride=2), nn.BatchNorm(6, scale=False, shift=False)),
        ),
        nn.GlobalAvgPool2D(), nn.Dense(6, 3, rng=rng),
    )  # fmt: skip


def branches_in_branches():
    rng = np.random.default_rng(0)
    inner = nn.Concat(nn.Conv2D(4, 1, 1, rng=rng), nn.Residual(nn.Conv2D(4, 4, 3, activation="relu", rng=rng)))
    return nn.Sequential(
        nn.Conv2D(3, 4, 3, rng=rng),
        nn.LayerNorm(4),
        nn.Add(
            nn.Sequential(nn.Conv2D(4, 4, 3, rng=rng), inner, nn.Conv2D(5, 4, 1, rng=rng)),
            nn.Dropout(0.5),
            Scale(4),
            nn.SpatiallySeparableConv2D(4, 4, 3, rng=rng),
        ),
        nn.MaxPool2D(2),
        Halves(),
        nn.Flatten(),
        nn.LayerNorm(2 * 1 * 8),
        nn.Dense(2 * 1 * 8, 3, rng=rng),
    )


def activations():
    rng = np.random.default_rng(0)
    layers = [nn.Conv2D(3, 4, 3, rng=rng)]
    for name in FUNCTIONS:
        layers += [function_layer(name), nn.Conv2D(4, 4, 1, rng=rng)]
    return nn.Sequential(*layers, nn.GlobalAvgPool2D(), function_layer("softmax"))


NETS = {"residual": residual, "branches in branches": branches_in_branches, "activations": activations}
SHAPE = (7, 5, 3)


def explained(name):
    return picture(trained(NETS[name](), SHAPE), np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32))


@pytest.fixture(scope="module", params=NETS)
def explanation(request):
    return explained(request.param)


def definition(step):
    """The function that a step computes of its inputs, in float64; None for convolutions, poolings and one's own."""
    constants = {name: np.array(value) for name, value in step["constants"].items()}
    C = step["shape"][-1]
    parameters = (constants.get("scale", np.ones(C)), constants.get("shift", np.zeros(C)))
    if step["kind"] == "batch_norm":
        given = {name: constants[name] for name in ("mean", "variance", "eps")}
        return lambda x: nn.reference.batch_norm(x, *parameters, **given)
    if step["kind"] == "layer_norm":
        return lambda x: nn.reference.layer_norm(x, *parameters, eps=constants["eps"])
    if step["kind"] == "gelu":
        return FUNCTIONS[f"gelu {step['constants']['approximate']}"]
    return FUNCTIONS.get(step["kind"])


def test_every_number_of_normalisations_and_activations(page, explanation):
    """As the page computes it, against the definition, and its gradient against central differences of that."""
    data = page_data(explanation)
    kinds = set()
    for k, step in enumerate(data["steps"]):
        function = definition(step)
        if function is None:
            continue
        kinds.add(step["kind"])
        x = data["steps"][step["inputs"][0]]["y"].copy()
        got = page.evaluate(
            """(k) => {
                const step = Explorer.steps[k], [input] = step.from, [H, W, C] = step.shape, y = [], dx = [];
                for (let i = 0; i < H; i++) for (let j = 0; j < W; j++) for (let c = 0; c < C; c++) {
                    y.push(Normalization.draws(step.kind)
                        ? Normalization.normalized(step, input, i, j, c).y : Activations.y(step, input, i, j, c));
                    dx.push(Backward.share(step, input, i, j, c));
                }
                return [y, dx];
            }""",
            k,
        )
        y, dx = (np.reshape(values, step["shape"]) for values in got)
        np.testing.assert_allclose(y, function(x), rtol=1e-12, atol=1e-12, err_msg=step["name"])
        np.testing.assert_allclose(step["y"], y, atol=1e-5 * abs(y).max(), err_msg=step["name"])
        slopes = central_difference(lambda x=x, step=step, f=function: (step["dy"] * f(x)).sum(), x, step=1e-5)
        np.testing.assert_allclose(dx, slopes, atol=1e-8 * max(1, abs(slopes).max()), err_msg=step["name"])
    assert kinds


def test_the_gradients_of_scale_and_shift(page, explanation):
    data = page_data(explanation)
    for k, step in enumerate(data["steps"]):
        for name, got in (("scale", "dscale"), ("shift", "dshift")):
            if name not in step["constants"]:
                continue
            x, constants = data["steps"][step["inputs"][0]]["y"], step["constants"]
            constants[name] = np.array(constants[name])
            slopes = central_difference(
                lambda x=x, step=step: (step["dy"] * definition(step)(x)).sum(), constants[name], step=1e-6
            )
            computed = page.evaluate(
                f"""(k) => Array.from({{ length: Explorer.steps[k].shape[2] }}, (_, c) =>
                    Normalization.ofParameters(Explorer.steps[k], Explorer.steps[k].from[0], c).{got})""",
                k,
            )
            np.testing.assert_allclose(computed, slopes, atol=1e-7, err_msg=f"{step['name']}.{name}")


SHARES = """(k) => {
    const step = Explorer.steps[k], [H, W, C] = step.shape, sums = [];
    for (let i = 0; i < H; i++) for (let j = 0; j < W; j++) for (let c = 0; c < C; c++) {
        const shares = step.takers.map((taker) => Backward.share(taker, step, i, j, c));
        sums.push(shares.includes(null) ? null : shares.reduce((sum, share) => sum + share, 0));
    }
    return sums;
}"""


def test_what_is_handed_back_adds_up_to_every_gradient(page, explanation):
    data = page_data(explanation)
    shared = 0
    for k, step in enumerate(data["steps"][:-1]):
        takers = [other for other in data["steps"] if k in other["inputs"]]
        sums = page.evaluate(SHARES, k)
        if len(takers) > 1 and any(taker["kind"] == "other" for taker in takers):
            assert set(sums) == {None}  # what a layer of one's own hands back is not known where others do so too
            continue
        shared += len(takers) > 1
        got = np.reshape(sums, step["shape"])
        np.testing.assert_allclose(got, step["dy"], atol=2e-5 * abs(step["dy"]).max(), err_msg=step["name"])
    assert shared or all(len(step["inputs"]) < 2 for step in data["steps"])


def test_erf_to_the_last_digits(browser, tmp_path):
    page = open_page(browser, explained("activations"), tmp_path / "explorer.html")
    xs = np.concatenate([np.linspace(-7, 7, 1401), [0.0, 1e-300, -1e-20, 1e-8, 30.0, -1e300]])
    got = page.evaluate("(xs) => xs.map(Activations.erf)", xs.tolist())
    page.close()
    np.testing.assert_allclose(got, erf(xs), rtol=2e-15, atol=0)


@pytest.mark.parametrize("x", [-1000.0, -40.0, 0.0, 40.0, 1000.0])
def test_activations_far_from_zero(browser, tmp_path, x):
    """Neither NaN nor infinity, and a curve can be drawn."""
    net = nn.Sequential(nn.Concat(*map(function_layer, FUNCTIONS)), nn.GlobalAvgPool2D())
    with np.errstate(over="ignore"):
        shown = picture(net, np.full((1, 2, 2), x, np.float32))
    with quiet_page(browser, shown, tmp_path / "explorer.html") as page:
        for k in range(page.evaluate("Explorer.steps.length")):
            for view in ("forward", "backward"):
                page.evaluate(f"Explorer.open({k}, '{view}')")
                assert "NaN" not in page.inner_html("#panel")
                assert "Infinity" not in page.inner_html("#panel")


def test_formulas_have_the_numbers_of_the_place_looked_at(browser, tmp_path):
    shown = explained("residual")
    names = [step.name for step in shown.steps]
    with quiet_page(browser, shown, tmp_path / "explorer.html", viewport=DESK) as page:
        k = names.index("1_batch_norm")
        page.evaluate(f"Explorer.open({k}, 'forward')")
        page.evaluate("Explorer.set({ i: 2, j: 3, o: 1 })")
        told = page.inner_text("#formula")
        step = shown.steps[k]
        numbers = [
            shown.steps[k - 1].y[2, 3, 1],
            *(step.constants[n][1] for n in ("mean", "variance", "scale", "shift")),
        ]
        for value in [*numbers, step.y[2, 3, 1]]:
            assert f"{float(f'{value:.4g}'):g}".lstrip("-") in told
        assert told.startswith("y = (x - mean) / sqrt(variance + eps) * scale + shift = (")
        assert "0.001" in told  # eps
        page.click("[data-view=backward]")
        page.evaluate("Explorer.set({ i: 2, j: 3, o: 1 })")
        dx = shown.steps[k - 1].dy[2, 3, 1]
        assert float(page.inner_text("#dx").split(" = ")[-1].split(";")[0]) == pytest.approx(dx, rel=1e-3, abs=1e-9)

        k = names.index("5_residual")
        page.evaluate(f"Explorer.open({k}, 'forward')")
        page.evaluate("Explorer.set({ i: 1, j: 2, o: 5 })")
        told, step = page.inner_text("#formula"), shown.steps[k]
        a, b = (shown.steps[end].y[1, 2, 5] for end in step.inputs)
        addends = told.removeprefix("y = ").split(" = ")[0].replace("(branch)", "").replace("(shortcut)", "").split("+")
        got = [float(text.strip(" ()")) for text in addends]
        assert got == pytest.approx([a, b], rel=1e-3)
        assert float(told.split(" = ")[-1]) == pytest.approx(step.y[1, 2, 5], rel=1e-3)

        page.click("[data-view=backward]")
        page.evaluate("Explorer.set({ row: 3, col: 1, c: 2 })")
        total = shown.steps[step.source].dy[3, 1, 2]
        assert float(page.inner_text("#dx").split(" = ")[-1]) == pytest.approx(total, rel=1e-3, abs=1e-9)
        page.locator("[data-key=input]").click(position={"x": 3, "y": 3})
        assert page.evaluate("[Explorer.state.row, Explorer.state.col]") == [0, 0]


def test_every_layer_opens_on_a_phone_without_scrolling_sideways(page, explanation):
    assert_every_view_fits(page, explanation, PHONE)


def test_a_layer_of_ones_own_shows_its_input_and_output(browser, tmp_path):
    shown = explained("branches in branches")
    with quiet_page(browser, shown, tmp_path / "explorer.html", viewport=DESK) as page:
        for name, wanted in (("2_add.2_scale", "input, channel"), ("4_halves", "input, all 4 channels")):
            k = next(k for k, step in enumerate(shown.steps) if step.name == name)
            page.evaluate(f"Explorer.open({k}, 'forward')")
            captions = page.locator("#panel figcaption").all_inner_texts()
            assert captions[0].startswith(wanted)
            assert captions[1].startswith("output, channel")
            assert "this page does not know" in page.inner_text("#formula")
            page.evaluate(f"Explorer.open({k}, 'backward')")
            captions = page.locator("#panel figcaption").all_inner_texts()
            assert captions[0].startswith("dy, channel")
            assert captions[-1].startswith("dx")


def test_probabilities_of_a_network_that_ends_with_softmax_are_its_own(browser, tmp_path):
    shown = explained("activations")
    np.testing.assert_array_equal(shown.probabilities, shown.steps[-1].y[0, 0])
    page = open_page(browser, shown, tmp_path / "explorer.html")
    page.evaluate("Explorer.open(Explorer.steps.length - 1, 'forward')")
    assert page.inner_text("#logits caption") == "probability"
    assert f"{100 * shown.probabilities.max():.1f}%" in page.inner_text("#logits tr.now")
    page.click("[data-view=backward]")
    assert f"the probability of {shown.predicted} would grow" in page.inner_text("#dy")
    page.close()


def groups(page):
    """The frames around branches: for each, the labels of its rows."""
    return page.evaluate(
        """[...document.querySelectorAll("#layers .branches")].map((group) => [...group.children].map((row) =>
            [...row.querySelectorAll("button > span > span")].map((label) => label.textContent)))"""
    )


def test_branches_are_drawn_one_below_the_other(browser, tmp_path):
    page = open_page(browser, explained("residual"), tmp_path / "explorer.html", viewport=DESK)
    block = ["conv 3 x 3", "BatchNorm", "ReLU", "conv 3 x 3"]
    assert groups(page) == [[block, ["as it is"]], [["conv 3 x 3", "BatchNorm"], ["conv 1 x 1", "BatchNorm"]]]
    page.close()


def test_branches_of_branches_are_frames_within_frames(browser, tmp_path):
    page = open_page(browser, explained("branches in branches"), tmp_path / "explorer.html", viewport=DESK)
    outer, concat, residual = groups(page)
    inner_residual = ["conv 3 x 3 + ReLU", "as it is"]
    assert outer[0] == ["conv 3 x 3", "conv 1 x 1", *inner_residual, "+", "concat", "conv 1 x 1"]
    assert [len(row) for row in outer] == [7, 1, 1, 2]
    assert concat == [["conv 1 x 1"], [*inner_residual, "+"]]
    assert residual == [[label] for label in inner_residual]
    assert page.locator("#layers .branches .pair button").count() == 2
    page.close()


def resnet20():
    rng = np.random.default_rng(0)

    def conv(inputs, outputs, size, stride=1):
        return nn.Conv2D(inputs, outputs, size, stride=stride, bias=False, rng=rng), nn.BatchNorm(outputs)

    layers, channels = [*conv(3, 16, 3), nn.ReLU()], 16
    for width in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and width > 16 else 1
            branch = nn.Sequential(*conv(channels, width, 3, stride), nn.ReLU(), *conv(width, width, 3))
            shortcut = nn.Sequential(*conv(channels, width, 1, stride)) if stride == 2 else None
            layers += [nn.Residual(branch, shortcut), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.GlobalAvgPool2D(), nn.Dense(64, 10, rng=rng))


@pytest.fixture(scope="module")
def resnet():
    net = trained(resnet20(), (32, 32, 3))
    x = np.random.default_rng(2).standard_normal((32, 32, 3)).astype(np.float32)
    names = nn.datasets.cifar.CLASS_NAMES
    return picture(net, x, class_names=names, title="resnet20.safetensors, picture 3")


def test_the_page_of_a_resnet_is_small_and_its_numbers_are_the_networks(browser, resnet, tmp_path):
    assert len(resnet.html()) < 9_000_000
    data = page_data(resnet)
    rng = np.random.default_rng(3)
    with quiet_page(browser, resnet, tmp_path / "explorer.html", viewport=DESK) as page:
        for k, step in enumerate(data["steps"][:-1]):
            i, j, c = (int(rng.integers(0, n)) for n in step["shape"])
            got = page.evaluate(
                """([k, ...place]) => {
                    const step = Explorer.steps[k];
                    return step.takers.map((taker) => Backward.share(taker, step, ...place)).reduce((a, b) => a + b);
                }""",
                [k, i, j, c],
            )
            assert got == pytest.approx(step["dy"][i, j, c], abs=2e-5 * abs(step["dy"]).max()), step["name"]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_resnet_opens_with_its_blocks_folded(browser, resnet, tmp_path, size):
    with quiet_page(browser, resnet, tmp_path / "explorer.html", viewport=size) as page:
        buttons = page.locator("#layers button")
        assert buttons.count() == 3 + 1 + 2 * 9 + 2
        labels = page.locator("#layers .folded > span > span").all_inner_texts()
        assert labels == ["Residual: 6 layers"] * 3 + (["Residual: 7 layers"] + ["Residual: 6 layers"] * 2) * 2
        for block in ("3_residual", "9_residual", "19_residual"):
            join = next(step for step in resnet.steps if step.name == block)
            inside = [k for k, step in enumerate(resnet.steps) if step.name.startswith(f"{block}.")]
            page.click(f"[data-key=layer{inside[-1] + 1}]")
            assert page.inner_text("#panel h2").startswith(f"{block}: Residual")
            assert join.source == inside[0] - 1
            assert page.locator("#layers .branches").count() == 1
            for view in ("forward", "backward"):
                for k in [*inside, inside[-1] + 1]:
                    page.evaluate(f"Explorer.open({k}, '{view}')")
                    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
                    row = page.locator("#layers").bounding_box()
                    current = page.locator("#layers [aria-current=true]").bounding_box()
                    assert row["x"] <= current["x"] + 1
                    assert current["x"] + current["width"] <= row["x"] + row["width"] + 1
        if size is DESK:  # all of it at a glance
            assert page.evaluate("(nav => nav.scrollWidth <= nav.clientWidth)(document.getElementById('layers'))")


def test_the_header_fits_the_narrowest_phone(browser, tmp_path):
    names = nn.datasets.cifar.CLASS_NAMES
    net = nn.Sequential(nn.GlobalAvgPool2D(), nn.Dense(3, 10, rng=np.random.default_rng(0)))
    shown = picture(net, np.ones(SHAPE, np.float32), class_names=names, title="weights.safetensors, picture 3")
    page = open_page(browser, shown, tmp_path / "explorer.html", viewport={"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    right = "(id) => document.getElementById(id).getBoundingClientRect().right"
    assert page.evaluate(right, "classes") <= 320
    heights = page.evaluate(
        "[...document.querySelectorAll('#classes td:first-child')].map((cell) => cell.clientHeight)"
    )
    assert max(heights) < 30  # no name is broken
    page.close()
