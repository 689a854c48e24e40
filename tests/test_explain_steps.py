"""The explorer's numbers of layers that compute something else in training than outside it, and of branches."""

import numpy as np
import pytest
from second_opinions import central_difference

import npcnn as nn
from npcnn.explain import trace


class BatchNorm(nn.Layer):
    """As simple as it gets: without scale and shift, and running averages that are not saved."""

    def __init__(self, channels):
        super().__init__()
        self.mean, self.variance = np.full(channels, 0.5), np.full(channels, 4.0)

    def forward(self, x, training=False):
        if not training:
            return (x - self.mean) / np.sqrt(self.variance + 1e-5)
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        self.mean += 0.1 * (mean - self.mean)
        self.variance += 0.1 * (variance - self.variance)
        self.sd = np.sqrt(variance + 1e-5)
        self.y = (x - mean) / self.sd
        return self.y

    def backward(self, dy):
        return (dy - dy.mean((0, 1, 2)) - self.y * (dy * self.y).mean((0, 1, 2))) / self.sd


class HalfInTraining(nn.Layer):
    """Stands for all that is spoilt by training before it is looked at."""

    def __init__(self):
        super().__init__()
        self.factor = np.ones(1)

    def forward(self, x, training=False):
        if training:
            self.factor *= 0.5
        return x * self.factor

    def backward(self, dy):
        return dy * self.factor


def network(own):
    rng = np.random.default_rng(0)
    options = {"rng": rng, "dtype": np.float64}
    branches = nn.Concat(nn.Conv2D(3, 2, 3, **options), nn.MaxPool2D(3, 1, padding="same"))
    return nn.Sequential(
        nn.Conv2D(2, 3, 3, **options), own, nn.ReLU(), branches, nn.Dropout(0.5, rng=rng), nn.Flatten(),
        nn.Dense(4 * 5 * 5, 3, **options),
    )  # fmt: skip


X = np.random.default_rng(1).standard_normal((4, 5, 2))


@pytest.mark.parametrize("own", [lambda: BatchNorm(3), HalfInTraining], ids=["batch norm", "half in training"])
def test_what_is_shown_is_what_forward_computes(own):
    net = network(own())
    x = X[None]
    outputs = {}
    for name, layer in net.children.items():
        x = outputs[name] = layer.forward(x).copy()
    steps = trace(net, X)
    for step in steps[1:]:
        if "." not in step.name:
            np.testing.assert_array_equal(step.y.ravel(), outputs[step.name].ravel(), err_msg=step.name)
    assert [step.name for step in steps if step.differs_in_training] == [list(net.children)[1]]
    (own_step,) = (step for step in steps if step.differs_in_training)
    assert "in training it computes something else" in own_step.title


def test_the_network_stays_as_it_is():
    net = network(BatchNorm(3))
    before = net.forward(X[None]).copy()
    trace(net, X)
    np.testing.assert_array_equal(net.forward(X[None]), before)
    assert (net.layers[1].mean == 0.5).all()


def test_the_gradients_behind_it_are_those_of_the_logit_that_forward_gives():
    net = network(BatchNorm(3))
    steps = trace(net, X)
    own = next(step for step in steps if step.differs_in_training)
    label = net.forward(X[None]).argmax()
    y = own.y[None].copy()

    def logit():
        out = y
        for layer in net.layers[2:]:
            out = layer.forward(out)
        return out[0, label]

    np.testing.assert_allclose(own.dy, central_difference(logit, y, step=1e-6)[0], atol=1e-7)


def test_the_gradient_before_it_is_that_of_its_training():
    steps = trace(network(BatchNorm(3)), X)
    k = next(k for k, step in enumerate(steps) if step.differs_in_training)
    layer, before = BatchNorm(3), steps[k - 1]
    layer.forward(before.y[None], training=True)
    np.testing.assert_array_equal(before.dy, layer.backward(steps[k].dy[None])[0])


def test_dropout_hands_everything_through():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Dense(40, 2, dtype=np.float64))
    steps = trace(net, X)
    np.testing.assert_array_equal(steps[1].y, steps[2].y)
    np.testing.assert_array_equal(steps[1].dy, steps[2].dy)
    assert steps[2].dy.all()


def residual():
    rng = np.random.default_rng(0)
    options = {"rng": rng, "dtype": np.float64}
    block = nn.Residual(
        nn.Sequential(nn.Conv2D(3, 3, 3, **options), nn.BatchNorm(3, dtype=np.float64), nn.ReLU()),
        nn.BatchNorm(3, scale=False, dtype=np.float64),
    )
    sums = nn.Add(
        nn.Conv2D(3, 3, 3, **options), nn.Residual(nn.Conv2D(3, 3, 1, **options)), nn.LayerNorm(3, dtype=float)
    )
    net = nn.Sequential(
        nn.Conv2D(2, 3, 3, **options), nn.BatchNorm(3, dtype=np.float64), block, sums, nn.GlobalAvgPool2D(),
        nn.Dense(3, 3, **options),
    )  # fmt: skip
    for _ in range(3):
        net.forward(rng.standard_normal((4, 4, 5, 2)), training=True)
    for name, array in net.params.items():
        if name.endswith(("scale", "shift")):
            array += rng.standard_normal(array.shape)
    return net


def test_opening_a_network_changes_nothing_of_it():
    """Neither running statistics nor parameters or gradients, and `backward` has nothing kept to go on."""
    net = residual()
    before = {name: array.copy() for name, array in (net.arrays | net.grads).items()}
    nn.explain.picture(net, X)
    after = net.arrays | net.grads
    assert after.keys() == before.keys()
    assert {"1_batch_norm.mean", "2_residual.shortcut.variance"} < after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_batch_norm_and_sums_show_what_forward_computes():
    net = residual()
    x, steps = X[None], {step.name: step for step in trace(net, X)}
    for name, layer in net.children.items():
        x = layer.forward(x)
        np.testing.assert_array_equal(steps[name].y.ravel(), x.ravel(), err_msg=name)


def test_the_gradient_goes_back_through_the_running_statistics():
    """That of the logit as `forward` gives it, to the picture; no step differs in training."""
    net, x = residual(), X.copy()
    label = net.forward(x[None]).argmax()
    steps = trace(net, x)
    assert not any(step.differs_in_training for step in steps)
    slopes = central_difference(lambda: net.forward(x[None])[0, label], x, step=1e-6)
    np.testing.assert_allclose(steps[0].dy, slopes, atol=1e-8)


def test_steps_know_the_branches_around_them():
    steps = trace(residual(), X)
    names = [step.name for step in steps]
    by_name = dict(zip(names, steps, strict=True))
    assert by_name["2_residual.branch.0_conv2d"].branches == (("2_residual", "branch"),)
    inner = "3_add.1_residual"
    assert by_name[f"{inner}.shortcut"].branches == (("3_add", "1_residual"), (inner, "shortcut"))
    assert (by_name[f"{inner}.shortcut"].kind, by_name[f"{inner}.shortcut"].label) == ("identity", "as it is")
    assert by_name[inner].branches == (("3_add", "1_residual"),)
    for name, kind in (("2_residual", "residual"), ("3_add", "add"), (inner, "residual")):
        join = by_name[name]
        assert (join.kind, join.label, join.branches) == (kind, "+", join.branches)
        firsts = [step for step in steps if step.inputs == [join.source]]
        assert {step.name.removeprefix(name)[0] for step in firsts if step.name.startswith(name)} == {"."}
    assert by_name["2_residual"].source == names.index("1_batch_norm")
    assert by_name["3_add"].source == by_name[inner].source == names.index("2_residual")
    constants = {name: sorted(step.constants) for name, step in by_name.items() if step.constants}
    assert constants == {
        "1_batch_norm": ["eps", "mean", "scale", "shift", "variance"],
        "2_residual.branch.1_batch_norm": ["eps", "mean", "scale", "shift", "variance"],
        "2_residual.shortcut": ["eps", "mean", "shift", "variance"],
        "3_add.2_layer_norm": ["eps", "scale", "shift"],
    }


def test_branches_that_do_not_fit_are_refused():
    net = nn.Residual(nn.AvgPool2D(2))
    with pytest.raises(nn.ShapeError, match="one shape"):
        trace(net, X)


def test_vectors_side_by_side_are_a_row_of_pixels():
    """So that what is normalised are the channels of each, not all numbers together."""

    class Rows(nn.Layer):
        def forward(self, x, training=False):
            return x.reshape(len(x), -1, 4)

        def backward(self, dy):
            return dy.reshape(len(dy), *X.shape)

    steps = trace(nn.Sequential(Rows(), nn.LayerNorm(4, dtype=np.float64), nn.Flatten()), X)
    assert [step.y.shape for step in steps] == [X.shape, (1, 10, 4), (1, 10, 4), (1, 1, 40)]
    np.testing.assert_allclose(steps[2].y.mean(-1), 0, atol=1e-12)


class OneFactorAChannel(nn.Layer):
    """A convolution, but not of every channel with every other: its weights are (1, 1, 1, C)."""

    kind = "convolution"

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.add_parameter("w", (1, 1, 1, 2), nn.initializers.constant(3.0), dtype=np.float64)

    def forward(self, x, training=False):
        return x * self.params["w"][0, 0, 0]

    def backward(self, dy):
        return dy * self.params["w"][0, 0, 0]

    def windows(self, input_shape):
        return nn.Conv2D(2, 2, 1).windows(input_shape)


@pytest.mark.parametrize("kind", ["convolution", "of a later version"])
def test_what_the_page_has_no_formula_for_is_no_convolution_of_it(kind):
    step = trace(nn.Sequential(OneFactorAChannel(kind), nn.GlobalAvgPool2D()), X)[1]
    assert (step.window, step.w) == (None, None)
    assert step.kind == ("other" if kind == "convolution" else kind)
    np.testing.assert_array_equal(step.y, 3 * X)
