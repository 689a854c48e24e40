"""A layer of one's own, which states nothing but its computation, in every place of a network and under every tool."""

import numpy as np
import pytest

import npcnn as nn
from npcnn.train.diagnosis import first_not_finite


class Scale(nn.Layer):
    """One factor a channel."""

    def __init__(self, channels, dtype=np.float32):
        super().__init__()
        self.add_parameter("s", (channels,), nn.initializers.constant(1.0), dtype=dtype)

    def forward(self, x, training=False):
        self.x = x
        return x * self.params["s"]

    def backward(self, dy):
        self.grads["s"] = (dy * self.x).sum((0, 1, 2))
        return dy * self.params["s"]


def networks(dtype):
    rng = np.random.default_rng(0)
    options = {"rng": rng, "dtype": dtype}
    return {
        "first": nn.Sequential(Scale(2, dtype), nn.Conv2D(2, 3, 3, **options), nn.GlobalAvgPool2D()),
        "middle": nn.Sequential(nn.Conv2D(2, 3, 3, **options), Scale(3, dtype), nn.GlobalAvgPool2D()),
        "last": nn.Sequential(nn.Conv2D(2, 3, 3, **options), nn.MaxPool2D(2), Scale(3, dtype)),
        "alone": Scale(2, dtype),
        "branch": nn.Concat(nn.Conv2D(2, 3, 3, **options), Scale(2, dtype)),
    }


each_place = pytest.mark.parametrize("place", networks(np.float32))
classifier = pytest.mark.parametrize("place", ["first", "middle"])


def batches(steps):
    for step in range(steps):
        rng = np.random.default_rng(step)
        yield rng.standard_normal((6, 4, 5, 2)).astype(np.float32), rng.integers(0, 3, 6)


@each_place
def test_gradients(place, rng):
    assert nn.gradcheck(networks(np.float64)[place], rng.standard_normal((2, 4, 5, 2))).ok


@each_place
def test_need_dx_may_be_asked_of_it(place, rng):
    net = networks(np.float32)[place]
    y = net.forward(rng.standard_normal((2, 4, 5, 2)).astype(np.float32), training=True)
    net.backward(np.ones_like(y), need_dx=False)
    assert all(grad.any() for grad in net.grads.values())


@classifier
def test_it_trains(place):
    net = networks(np.float32)[place]
    assert nn.train.fit(net, batches(5), nn.Adam(net), steps=5) == 5
    assert (net.params["0_scale.s" if place == "first" else "1_scale.s"] != 1).all()


@classifier
def test_it_is_saved_loaded_and_resumed_to_the_bit(place, tmp_path):
    whole = networks(np.float32)[place]
    nn.train.fit(whole, batches(6), nn.Adam(whole), steps=6)

    first = networks(np.float32)[place]
    optimizer = nn.Adam(first)
    with nn.train.Checkpoints(tmp_path / "c", first, optimizer, every=3) as checkpoints:
        nn.train.fit(first, batches(3), optimizer, steps=3, callbacks=[checkpoints])
    second = networks(np.float32)[place]
    optimizer = nn.Adam(second)
    with nn.train.Checkpoints(tmp_path / "c", second, optimizer) as checkpoints:
        start = checkpoints.resume().step
    rest = list(batches(6))[start:]
    nn.train.fit(second, iter(rest), optimizer, steps=6, start=start)

    second.save(tmp_path / "w.safetensors")
    third = networks(np.float32)[place]
    third.load(tmp_path / "w.safetensors")
    for name, array in whole.params.items():
        np.testing.assert_array_equal(third.params[name], array)


@each_place
def test_its_output_shape_is_found_by_trying(place):
    net = networks(np.float32)[place]
    y = net.forward(np.ones((3, 4, 5, 2), np.float32))
    assert net.output_shape((4, 5, 2)) == y.shape[1:]
    assert "scale" in nn.summary.table(net, (4, 5, 2)).lower()


def test_asking_for_the_output_shape_does_not_disturb_a_step(rng):
    layer = Scale(2)
    x = rng.standard_normal((2, 4, 5, 2)).astype(np.float32)
    y = layer.forward(x, training=True)
    layer.output_shape((7, 7, 2))
    layer.backward(np.ones_like(y))
    np.testing.assert_array_equal(layer.grads["s"], (np.ones_like(x) * x).sum((0, 1, 2)))


def test_what_it_cannot_take_is_said_with_its_place():
    net = nn.Sequential(nn.Conv2D(2, 3, 3), Scale(4))
    with pytest.raises(nn.ShapeError, match=r"layer 1, scale: Scale\(4\) cannot take an input of shape \(4, 5, 3\)"):
        net.output_shape((4, 5, 2))


@classifier
def test_the_explorer_shows_it(place):
    net = networks(np.float32)[place]
    x = np.random.default_rng(1).standard_normal((4, 5, 2)).astype(np.float32)
    steps = nn.explain.picture(net, x).steps
    (own,) = (step for step in steps if step.name.endswith("scale"))
    assert (own.kind, own.window, own.differs_in_training) == ("other", None, False)
    np.testing.assert_array_equal(steps[-1].y.ravel(), net.forward(x[None])[0])


def test_where_a_nan_began_is_found_behind_a_sequential_that_adds_its_input():
    class Residual(nn.Sequential):
        def forward(self, x, training=False):
            return x + super().forward(x, training)

    class NotAboveOne(nn.ReLU):
        def forward(self, x, training=False):
            return np.where(x > 1, np.float32(np.nan), super().forward(x, training))

    net = nn.Sequential(Residual(nn.AvgPool2D(1)), NotAboveOne(), nn.GlobalAvgPool2D())
    x = np.full((1, 4, 4, 2), 0.7, np.float32)
    assert first_not_finite(net, x, np.array([1])) == "the output of 1_not_above_one, NotAboveOne()"


def test_where_a_nan_began_is_found_in_a_network_without_parameters():
    class Log:
        def forward(self, x, training=False):
            return np.log(x)

    with np.errstate(all="ignore"):
        where = first_not_finite(Log(), np.zeros((1, 3), np.float32), np.array([1]))
    assert where.startswith("the output of Log, <")


def test_repr_is_the_constructor_call_as_far_as_it_is_known():
    class Block(nn.Layer):
        def __init__(self, inner, rate=0.5, *, name, dtype=np.float32, table=None, rng=None):
            super().__init__()
            self.inner, self.rate, self.name, self.dtype, self.table, self.rng = inner, rate, name, dtype, table, rng

    assert repr(Scale(3)) == "Scale(3)"
    block = Block(nn.ReLU(), name="b", dtype=np.float64, table=np.zeros(3), rng=np.random.default_rng(0))
    assert repr(block) == "Block(\n    ReLU(),\n    name='b',\n)"
    assert repr(Block(3, 0.25, name=None)) == "Block(3, rate=0.25, name=None)"
    assert repr(nn.Sequential(nn.Sequential(nn.Flatten()))) == (
        "Sequential(\n    Sequential(\n        Flatten(),\n    ),\n)"
    )


def test_a_layer_that_computes_something_else_is_not_taken_for_what_it_inherits_from(rng):
    class Shifted(nn.Conv2D):
        def forward(self, x, training=False):
            return super().forward(x, training) + 1

    class Named(nn.Conv2D):
        pass

    net = nn.Sequential(Shifted(1, 2, 3), Named(2, 2, 3), nn.GlobalAvgPool2D())
    steps = nn.explain.picture(net, rng.standard_normal((4, 4, 1)).astype(np.float32)).steps
    assert [step.kind for step in steps] == ["input", "other", "convolution", "avg_pool"]
    assert [step.w is None for step in steps] == [True, True, False, True]


def test_walk_names_every_layer_once_in_the_order_of_the_forward_pass():
    net = nn.models.cifar_multichannel()
    names = [name for name, _ in net.walk()]
    assert names[:5] == ["", "0_conv2d", "1_max_pool2d", "2_concat", "2_concat.0_conv2d"]
    assert len(names) == len(set(names)) == 1 + 6 + 4
    assert [name for name, _ in net.walk(into={"sequential"})] == ["", *net.children]
    owners = dict(net.walk())
    for name, array in net.params.items():
        layer, key = name.rsplit(".", 1)
        assert owners[layer].params[key] is array


def test_input_shapes_are_those_of_the_forward_pass():
    net = nn.models.cifar_multichannel()
    shapes = {name: shape for name, _, shape in net.input_shapes((24, 24, 3))}
    assert shapes["2_concat.0_conv2d"] == shapes["2_concat.3_conv2d"] == (12, 12, 64)
    assert shapes["3_max_pool2d"] == (12, 12, 256)
    assert shapes["5_global_avg_pool2d"] == (6, 6, 10)


class RunningMean(nn.Layer):
    """Takes off the mean of each channel: of the batch in training, else the one it has learnt."""

    def __init__(self, channels, dtype=np.float32):
        super().__init__()
        self.add_state("mean", (channels,), nn.initializers.constant(0.0), dtype=dtype)

    def forward(self, x, training=False):
        if not training:
            return x - self.state["mean"]
        mean = x.mean((0, 1, 2))
        self.state["mean"] = (self.state["mean"] + mean) / 2
        return x - mean

    def backward(self, dy):
        return dy - dy.mean((0, 1, 2))


def with_state(seed=0, dtype=np.float32):
    options = {"rng": np.random.default_rng(seed), "dtype": dtype}
    return nn.Sequential(nn.Conv2D(2, 3, 3, **options), RunningMean(3, dtype), nn.GlobalAvgPool2D())


def trained(net, start, steps, **options):
    nn.train.fit(net, iter(list(batches(steps))[start:]), nn.Adam(net), steps=steps, start=start, **options)
    return net


def test_state_is_learnt_but_not_trained(rng):
    net = trained(with_state(), 0, 3)
    assert list(net.state) == ["1_running_mean.mean"]
    assert list(net.params) == ["0_conv2d.w", "0_conv2d.b"]
    assert net.state["1_running_mean.mean"].all()
    x = rng.standard_normal((1, 4, 5, 2)).astype(np.float32)
    before = net.state["1_running_mean.mean"].copy()
    net(x)
    np.testing.assert_array_equal(net.state["1_running_mean.mean"], before)


def test_gradcheck_leaves_state_as_it_was(rng):
    layer = RunningMean(2, np.float64)
    layer.state["mean"] = np.array([1.0, 2.0])
    assert nn.gradcheck(layer, rng.standard_normal((2, 4, 5, 2))).ok
    np.testing.assert_array_equal(layer.state["mean"], [1, 2])


def test_state_is_saved_and_compared_on_loading(tmp_path, rng):
    net = trained(with_state(), 0, 3)
    net.save(tmp_path / "w.safetensors")
    other = with_state(seed=1)
    other.load(tmp_path / "w.safetensors")
    x = rng.standard_normal((2, 4, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(other(x), net(x))
    without = nn.Sequential(nn.Conv2D(2, 3, 3), nn.ReLU(), nn.GlobalAvgPool2D())
    with pytest.raises(nn.WeightsError, match=r"1_running_mean\.mean is not"):
        without.load(tmp_path / "w.safetensors")
    without.save(tmp_path / "without.safetensors")
    with pytest.raises(nn.WeightsError, match=r"1_running_mean\.mean is missing"):
        net.load(tmp_path / "without.safetensors")


def test_a_resumed_run_has_the_state_to_the_bit(tmp_path):
    whole = with_state()
    nn.train.fit(whole, batches(6), nn.Adam(whole), steps=6)
    first = with_state()
    optimizer = nn.Adam(first)
    with nn.train.Checkpoints(tmp_path, first, optimizer, every=3) as checkpoints:
        nn.train.fit(first, batches(3), optimizer, steps=3, callbacks=[checkpoints])
    second = with_state(seed=1)
    optimizer = nn.Adam(second)
    with nn.train.Checkpoints(tmp_path, second, optimizer) as checkpoints:
        start = checkpoints.resume().step
    nn.train.fit(second, iter(list(batches(6))[start:]), optimizer, steps=6, start=start)
    assert start == 3
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(second.arrays[name], array)


def test_names_of_state_and_parameters_are_different():
    layer = Scale(2)
    with pytest.raises(ValueError, match=r"name must be .* \(s\), got 's'"):
        layer.add_state("s", (2,), nn.initializers.constant(0.0))


@each_place
def test_calling_it_is_its_forward_pass(place, rng):
    net = networks(np.float32)[place]
    x = rng.standard_normal((2, 4, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(net(x), net.forward(x))
    y = net(x, training=True)
    assert net.backward(np.ones_like(y)).shape == x.shape


@classifier
def test_a_trained_net_in_float64(place, rng):
    net = trained(networks(np.float32)[place], 0, 3)
    double = net.astype(np.float64)
    assert {array.dtype for array in double.arrays.values()} == {np.dtype(np.float64)}
    x = rng.standard_normal((2, 4, 5, 2))
    np.testing.assert_allclose(double(x), net(x.astype(np.float32)), rtol=1e-4, atol=1e-5)
    assert nn.gradcheck(double, x).ok
    for name, array in net.arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(double.arrays[name], array)
        assert not np.may_share_memory(double.arrays[name], array)
    back = double.astype(np.float32)
    np.testing.assert_array_equal(back(x.astype(np.float32)), net(x.astype(np.float32)))


@pytest.mark.parametrize("model", nn.models.MODELS)
def test_every_model_in_float64_and_back(model, rng):
    net = nn.models.MODELS[model](rng=rng)
    x = rng.standard_normal((2, 24, 24, 3)).astype(np.float32)
    y = net(x)
    double = net.astype(np.float64)
    np.testing.assert_allclose(double(x.astype(np.float64)), y, rtol=1e-4, atol=1e-6 * np.abs(y).max())
    np.testing.assert_array_equal(double.astype(np.float32)(x), y)


def test_a_convolution_told_to_run_on_toom_cook_has_no_float64():
    with pytest.raises(ValueError, match=r"toom_cook' needs .* float32"):
        nn.Conv2D(3, 4, 5, algorithm="toom_cook").astype(np.float64)


def test_multiplications_it_does_not_state_are_unknown():
    net = nn.Sequential(nn.Conv2D(2, 3, 3), Scale(3), nn.GlobalAvgPool2D())
    assert net.multiplications((4, 5, 2)) is None
    table = net.summary((4, 5, 2))
    (line,) = [line for line in table.splitlines() if "scale" in line]
    assert line.split()[-2:] == ["?", "?"]
    assert table.splitlines()[-1].split() == ["total", "60", "?", "?"]


def test_tables_in_a_notebook(rng):
    net = nn.Sequential(nn.Conv2D(2, 3, 3, dtype=np.float64), Scale(3, np.float64), nn.GlobalAvgPool2D())
    page = net.summary((4, 5, 2))._repr_html_()
    assert page.count("<tr>") == 5
    assert "<td>4 x 5 x 3</td><td>57</td><td>1,080</td>" in page
    page = nn.gradcheck(net, rng.standard_normal((2, 4, 5, 2)))._repr_html_()
    assert page.count("<tr>") == 5
    assert "<td>0_conv2d.w</td><td>54</td>" in page
