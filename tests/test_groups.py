"""Convolution in groups, depthwise too: by hand, over drawn configurations, its layers, and what it refuses.

The truth that shares no code with any of it is one convolution without groups, by the kernel that has zeros between
channels of different groups.
"""

import numpy as np
import pytest
from cases import assert_equal_arrays, assert_refused, either
from drawn import LAYOUTS, REAL_TYPES, conv1d_configuration, conv2d_configuration, laid_out
from second_opinions import central_difference

import npcnn as nn
from npcnn import functional as F
from npcnn import reference

CONFIGURATIONS = {"conv2d": conv2d_configuration, "conv1d": conv1d_configuration}
each_convolution = pytest.mark.parametrize("name", CONFIGURATIONS)
each_type = pytest.mark.parametrize("dtype", REAL_TYPES)


def cast(dtype, *arrays):
    return [array.astype(dtype) for array in arrays]


def algorithms(w):
    """Those that exist besides "auto": im2col always, depthwise where a group is one channel."""
    return ["auto", "im2col", *(["depthwise"] if w.shape[-2] == 1 else [])]


def without_groups(w, groups):
    """Return the kernel over all channels that does the same: 0 from a channel to one of another group."""
    *size, C_in, C_out = w.shape
    whole = np.zeros((*size, groups * C_in, C_out))
    each = C_out // groups
    for g in range(groups):
        whole[..., g * C_in : (g + 1) * C_in, g * each : (g + 1) * each] = w[..., g * each : (g + 1) * each]
    return whole


def inside_groups(dw, groups):
    """Return those numbers of a gradient of `without_groups` that are weights in groups."""
    each = dw.shape[-1] // groups
    C_in = dw.shape[-2] // groups
    blocks = [dw[..., g * C_in : (g + 1) * C_in, g * each : (g + 1) * each] for g in range(groups)]
    return np.concatenate(blocks, axis=-1)


# ------------------------------------------------------------------------------------- by hand


@either
def test_two_groups_by_hand(ops):
    x = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4)
    # Outputs 0 and 1 see the inputs 1 and 2, outputs 2 and 3 the inputs 3 and 4.
    w = np.array([[1.0, 0.0, 10.0, 100.0], [1.0, 5.0, 1.0, 0.0]]).reshape(1, 1, 2, 4)
    b = np.array([0.5, 0.0, 0.0, 0.0])
    y = ops.conv2d(x, w, b, groups=2)
    np.testing.assert_array_equal(y.ravel(), [1 + 2 + 0.5, 5 * 2, 10 * 3 + 4, 100 * 3])
    dx, dw, db = ops.conv2d_backward(np.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, 1, 4), x, w, groups=2)
    np.testing.assert_array_equal(dx.ravel(), [1, 1 + 5 * 10, 10 * 100 + 100 * 1000, 100])
    np.testing.assert_array_equal(dw[0, 0], [[1, 10, 300, 3000], [2, 20, 400, 4000]])
    np.testing.assert_array_equal(db, [1, 10, 100, 1000])


@either
def test_depthwise_by_hand(ops):
    # Channel 0 is added up over three pixels, channel 1 is shifted.
    x = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]).reshape(1, 1, 3, 2)
    w = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]]).reshape(3, 1, 2)
    y = ops.conv1d(x, w, axis="width", groups=2)
    np.testing.assert_array_equal(y[0, 0], [[3, 20], [6, 30], [5, 0]])
    dx, dw, db = ops.conv1d_backward(np.ones_like(x), x, w, axis="width", groups=2)
    np.testing.assert_array_equal(dx[0, 0], [[2, 0], [3, 1], [2, 1]])
    np.testing.assert_array_equal(dw[:, 0], [[1 + 2, 10 + 20], [6, 60], [2 + 3, 20 + 30]])
    np.testing.assert_array_equal(db, [3, 3])


@either
def test_a_multiplier_by_hand(ops):
    # Outputs 0 and 1 see channel 0, outputs 2 and 3 see channel 1.
    x, w = np.array([2.0, 3.0]).reshape(1, 1, 1, 2), np.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, 1, 4)
    np.testing.assert_array_equal(ops.conv2d(x, w, groups=2).ravel(), [2, 20, 300, 3000])
    dx, dw, _ = ops.conv2d_backward(np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4), x, w, groups=2)
    np.testing.assert_array_equal(dx.ravel(), [1 + 20, 300 + 4000])
    np.testing.assert_array_equal(dw.ravel(), [2, 4, 9, 12])


# ------------------------------------------------------------------------------------- by other means


@either
@each_convolution
@pytest.mark.parametrize("seed", range(60))
def test_the_same_as_one_group_with_zeros_between_groups(seed, name, ops):
    x, w, b, options = CONFIGURATIONS[name](seed, limit=3000, grouped=True)
    groups = options.pop("groups")
    conv, backward = getattr(ops, name), getattr(ops, f"{name}_backward")
    y = conv(x, w, b, groups=groups, **options)
    whole = without_groups(w, groups)
    assert_equal_arrays(y, conv(x, whole, b, **options), np.float64)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx, dw, db = backward(dy, x, w, groups=groups, **options)
    dx_whole, dw_whole, db_whole = backward(dy, x, whole, **options)
    assert_equal_arrays(dx, dx_whole, np.float64)
    assert_equal_arrays(dw, inside_groups(dw_whole, groups), np.float64)
    assert_equal_arrays(db, db_whole, np.float64)


@pytest.mark.parametrize("groups", [2, 4])
def test_the_definition_against_central_differences(groups):
    rng = np.random.default_rng(groups)
    x, w, b = rng.standard_normal((2, 4, 5, 4)), rng.standard_normal((3, 2, 4 // groups, 8)), rng.standard_normal(8)
    options = {"stride": (1, 2), "dilation": (2, 1), "groups": groups}
    dy = rng.standard_normal(reference.conv2d(x, w, b, **options).shape)

    def loss():
        return np.vdot(reference.conv2d(x, w, b, **options), dy)

    for gradient, array in zip(reference.conv2d_backward(dy, x, w, **options), (x, w, b), strict=True):
        np.testing.assert_allclose(gradient, central_difference(loss, array), atol=1e-8)


# ------------------------------------------------------------------------------------- over drawn configurations


@each_convolution
@each_type
@pytest.mark.parametrize("seed", range(100, 140))
def test_every_algorithm_equals_the_definition(seed, dtype, name):
    conv, backward, define = getattr(F, name), getattr(F, f"{name}_backward"), getattr(reference, name)
    *arrays, options = CONFIGURATIONS[name](seed, grouped=True)
    x, w, b = cast(dtype, *arrays)
    exact = cast(np.float64, x, w, b)
    expected = define(*exact, **options)
    dy = np.random.default_rng(seed).standard_normal(expected.shape).astype(dtype)
    gradients = getattr(reference, f"{name}_backward")(dy.astype(np.float64), *exact[:2], **options)
    for algorithm in algorithms(w):
        chosen = options | {"algorithm": algorithm}
        assert_equal_arrays(conv(x, w, b, **chosen), expected, dtype)
        assert_equal_arrays(conv(x, w, **chosen), define(*exact[:2], **options), dtype)
        for got, wanted in zip(backward(dy, x, w, **chosen), gradients, strict=True):
            assert_equal_arrays(got, wanted, dtype)
        no_dx, dw, _ = backward(dy, x, w, need_dx=False, **chosen)
        assert no_dx is None
        assert_equal_arrays(dw, gradients[1], dtype)
        y = conv(x, w, b, relu=True, **chosen)
        assert_equal_arrays(y, np.maximum(expected, 0), dtype)
        passed = (dy * (y > 0)).astype(np.float64)
        masked = getattr(reference, f"{name}_backward")(passed, *exact[:2], **options)
        for got, wanted in zip(backward(dy, x, w, relu_output=y, **chosen), masked, strict=True):
            assert_equal_arrays(got, wanted, dtype)


@each_convolution
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(6))
def test_memory_layout_does_not_matter(seed, layout, name):
    conv, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x, w, b, options = CONFIGURATIONS[name](seed, grouped=True)
    expected = conv(x, w, b, **options)
    np.testing.assert_array_equal(conv(*laid_out(layout, x, w, b), **options), expected)
    dy = np.random.default_rng(seed).standard_normal(expected.shape)
    for got, plain in zip(backward(*laid_out(layout, dy, x, w), **options), backward(dy, x, w, **options), strict=True):
        np.testing.assert_array_equal(got, plain)


@pytest.mark.parametrize("pooling", [{"size": 2}, {"size": 3, "stride": 2, "padding": "same"}])
@pytest.mark.parametrize("groups", [2, 4])
def test_with_pooling_in_one_call(groups, pooling, rng):
    x, w = rng.standard_normal((2, 9, 8, 4)), rng.standard_normal((3, 3, 4 // groups, 8))
    convolution = {"groups": groups}
    y, argmax = F.conv2d_max_pool2d(x, w, pooling=pooling, convolution=convolution, relu=True)
    between = F.conv2d(x, w, groups=groups, relu=True)
    np.testing.assert_array_equal(y, F.max_pool2d(between, **pooling)[0])
    dy = rng.standard_normal(y.shape)
    got = F.conv2d_max_pool2d_backward(
        dy, argmax, x, w, pooling=pooling, convolution=convolution, relu_output=y, out=None
    )
    d_between = F.max_pool2d_backward(dy, argmax, between.shape, **pooling)
    expected = F.conv2d_backward(d_between, x, w, groups=groups, relu_output=between)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@each_type
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("C_in", "multiplier"), [(1, 1), (3, 1), (1, 2)])
def test_the_same_bits_in_any_number_of_threads(C_in, multiplier, stride, dtype, rng):
    x = rng.standard_normal((5, 9, 11, 17 * C_in)).astype(dtype)
    w = rng.standard_normal((3, 3, C_in, 17 * multiplier)).astype(dtype)
    options = {"groups": 17, "stride": stride}
    results = []
    for threads in (1, 2, 3):
        nn.set_num_threads(threads)
        y = F.conv2d(x, w, relu=True, **options)
        results.append((y, *F.conv2d_backward(y, x, w, relu_output=y, **options)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------------------------- at the edges


@pytest.mark.parametrize("algorithm", ["im2col", "depthwise"])
@pytest.mark.parametrize("shape", [(1, 1024, 1024, 2), (1, 1, 2**20, 2)])
def test_gradients_over_a_large_picture(shape, algorithm):
    x, w = np.full(shape, 0.1, np.float32), np.ones((1, 3, 1, 2), np.float32)
    _, dw, db = F.conv2d_backward(x, x, w, groups=2, need_dx=False, algorithm=algorithm)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(db, exact.sum((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(dw[0, 1, 0], np.square(exact).sum((0, 1, 2)), rtol=5e-5)


@each_type
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_depthwise_keeps_infinity_and_nan_where_the_definition_puts_them(value, stride, dtype, rng):
    x = rng.standard_normal((1, 6, 7, 3)).astype(dtype)
    w = rng.standard_normal((3, 3, 1, 3)).astype(dtype)
    dy = np.ones_like(F.conv2d(x, w, groups=3, stride=stride))
    for array, place in ((x, (0, 2, 4, 1)), (w, (0, 2, 0, 1)), (dy, (0, 1, 1, 2))):
        kept, array[place] = array[place], value
        expected = reference.conv2d_backward(dy, x, w, groups=3, stride=stride)
        for got, wanted in zip(F.conv2d_backward(dy, x, w, groups=3, stride=stride), expected, strict=True):
            np.testing.assert_array_equal(np.isfinite(got), np.isfinite(wanted))
        y = F.conv2d(x, w, groups=3, stride=stride)
        np.testing.assert_array_equal(np.isfinite(y), np.isfinite(reference.conv2d(x, w, groups=3, stride=stride)))
        array[place] = kept


def test_nan_is_not_lost_in_the_relu():
    x = np.ones((1, 4, 4, 3))
    x[0, 1, 1, 0] = np.nan
    y = F.conv2d(x, np.ones((1, 1, 1, 3)), groups=3, relu=True)
    assert np.isnan(y[0, 1, 1, 0])
    assert np.isnan(y).sum() == 1


@pytest.mark.parametrize("C_in", [1, 2])
def test_out_is_used_and_inputs_are_not_changed(C_in, rng):
    x, w = rng.standard_normal((2, 5, 4, 4)), rng.standard_normal((3, 3, C_in, 8))
    groups, copies = 4 // C_in, (x.copy(), w.copy())
    y = F.conv2d(x, w, groups=groups)
    out = np.empty_like(y)
    assert F.conv2d(x, w, groups=groups, out=out) is out
    np.testing.assert_array_equal(out, y)
    gradients = tuple(np.full_like(array, np.nan) for array in (x, w, w[0, 0, 0]))
    got = F.conv2d_backward(y, x, w, groups=groups, out=gradients)
    for one, given, fresh in zip(got, gradients, F.conv2d_backward(y, x, w, groups=groups), strict=True):
        assert one is given
        np.testing.assert_array_equal(one, fresh)
    for array, copy in zip((x, w), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# ------------------------------------------------------------------------------------- layers


def seeded():
    return np.random.default_rng(3)


LAYERS = {
    "two groups": lambda **new: nn.Conv2D(4, 6, 3, groups=2, **new),
    "two groups, ReLU": lambda **new: nn.Conv2D(4, 6, (3, 2), stride=(2, 1), groups=2, activation="relu", **new),
    "along the height": lambda **new: nn.Conv1D(4, 8, 3, axis="height", groups=4, **new),
    "depthwise": lambda **new: nn.DepthwiseConv2D(4, 3, **new),
    "depthwise, stride 2": lambda **new: nn.DepthwiseConv2D(4, 3, stride=2, activation="relu", **new),
    "depthwise, multiplier 2": lambda **new: nn.DepthwiseConv2D(4, 3, 2, padding="valid", dilation=2, **new),
    "separable": lambda **new: nn.DepthwiseSeparableConv2D(4, 3, 3, **new),
    "separable, multiplier 2": lambda **new: nn.DepthwiseSeparableConv2D(
        4, 3, 3, 2, multiplier=2, bias=False, activation="relu", **new
    ),
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@each_layer
def test_gradients(make, rng):
    report = nn.gradcheck(make(rng=seeded(), dtype=np.float64), rng.standard_normal((2, 7, 6, 4)), tolerance=1e-7)
    assert report.ok, report


@each_layer
def test_arguments_are_attributes_and_repr_is_the_call(make):
    layer = make(rng=seeded())
    again = eval(repr(layer), vars(nn))
    assert repr(again) == repr(layer)
    assert {name: array.shape for name, array in again.params.items()} == {
        name: array.shape for name, array in layer.params.items()
    }


@each_layer
def test_a_float64_copy_computes_the_same(make, rng):
    layer, x = make(rng=seeded()), rng.standard_normal((2, 7, 6, 4)).astype(np.float32)
    assert_equal_arrays(layer(x), layer.astype(np.float64)(x.astype(np.float64)), np.float32)


def test_what_the_layers_run_on():
    assert nn.Conv2D(64, 64, 3, groups=64).runs_on == nn.DepthwiseConv2D(64, 3).runs_on == "depthwise"
    assert nn.Conv2D(64, 64, 3, groups=8).runs_on == "im2col"
    assert nn.Conv2D(64, 64, 3).runs_on == "toom_cook_2d"
    assert nn.Conv2D(64, 64, 5).runs_on == "toom_cook"
    assert nn.DepthwiseConv2D(1, 3).runs_on == "im2col"  # one channel is one group


def test_the_separable_pair_is_the_convolution_by_the_product_of_its_kernels(rng):
    pair = nn.DepthwiseSeparableConv2D(3, 4, 3, rng=rng, dtype=np.float64)
    whole = nn.Conv2D(3, 4, 3, dtype=np.float64)
    # From c to o the kernel is that of channel c, times one number.
    whole.params["w"] = np.einsum("hwc,co->hwco", pair.params["depthwise.w"][:, :, 0], pair.params["pointwise.w"][0, 0])
    whole.params["b"] = pair.params["pointwise.b"]
    x = rng.standard_normal((2, 5, 6, 3))
    np.testing.assert_allclose(pair(x), whole(x), atol=1e-13)


def test_multiplications_counted_by_hand():
    pixels = 12 * 12
    for layer, expected in (
        (nn.Conv2D(64, 32, 5, groups=4), pixels * 25 * 16 * 32),
        (nn.Conv1D(64, 32, 5, axis="width", groups=32), pixels * 5 * 2 * 32),
        (nn.DepthwiseConv2D(64, 5), pixels * 25 * 64),
        (nn.DepthwiseConv2D(64, 5, 3), pixels * 25 * 192),
        (nn.DepthwiseSeparableConv2D(64, 10, 5), pixels * (25 * 64 + 64 * 10)),
        (nn.DepthwiseConv2D(64, 5, stride=2), 36 * 25 * 64),
    ):
        assert layer.multiplications((12, 12, 64)) == expected
        assert layer.multiplications((12, 12, 64), spent=True) == expected


def test_fan_in_is_that_of_a_group():
    layer = nn.Conv2D(64, 512, 3, groups=8, weight_init=nn.initializers.he_normal(), rng=seeded())
    assert layer.params["w"].var() * 3 * 3 * 8 == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("groups", [2, 16])
def test_a_pooling_behind_it_is_not_lost(groups, rng):
    convolution = nn.Conv2D(16, 16, 3, groups=groups, activation="relu", rng=seeded())
    x = rng.standard_normal((2, 8, 8, 16)).astype(np.float32)
    net = nn.Sequential(convolution, nn.MaxPool2D(2))
    np.testing.assert_array_equal(net(x), nn.MaxPool2D(2)(convolution(x)))


def test_a_network_learns_and_is_saved(tmp_path, rng):
    def network():
        return nn.Sequential(
            nn.DepthwiseSeparableConv2D(2, 8, 3, activation="relu", rng=seeded()),
            nn.Conv2D(8, 8, 3, groups=4, activation="relu", rng=seeded()),
            nn.GlobalAvgPool2D(),
            nn.Dense(8, 2, rng=seeded()),
        )

    labels = rng.integers(0, 2, 64)
    x = rng.standard_normal((64, 6, 6, 2)).astype(np.float32)
    x[..., 0] += labels[:, None, None]  # one channel is brighter in one class
    net = network()
    nn.train.fit(net, iter([(x, labels)] * 150), nn.Adam(net, 0.02), steps=150)
    _, accuracy = nn.train.evaluate(net, [(x, labels)])
    assert accuracy > 0.9
    net.save(tmp_path / "w.safetensors")
    again = network()
    again.load(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(again(x), net(x))


def test_cutting_leaves_groups_whole(rng):
    grouped = nn.Conv2D(8, 8, 5, groups=2, rng=rng)
    net = nn.Sequential(nn.Conv2D(3, 8, 5, rng=rng), grouped, nn.DepthwiseConv2D(8, 5, rng=rng))
    cut, cuts = nn.factorize.cut_network(net, 2)
    assert [one.name for one in cuts] == ["0_conv2d"]
    np.testing.assert_array_equal(cut.params["1_conv2d.w"], grouped.params["w"])
    for call in (lambda: nn.factorize.cut_convolution(grouped, 2), lambda: nn.factorize.is_cheaper(grouped, 2)):
        assert_refused(call, ValueError, r"layer must have one group, got Conv2D\(8, 8, 5, groups=2\)")
    assert_refused(lambda: nn.factorize.cut_network(net, {"1_conv2d": 2}), ValueError, "no Conv2D .* without groups")


# ------------------------------------------------------------------------------------- what is refused

X = np.zeros((2, 6, 6, 6), np.float32)
W = np.zeros((3, 3, 3, 4), np.float32)
W1 = np.zeros((3, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.conv2d(X, W, groups=0), ValueError, "groups must be an integer of at least 1, got 0"),
        (lambda: F.conv2d(X, W, groups=-2), ValueError, "groups must be"),
        (lambda: F.conv2d(X, W, groups=2.0), TypeError, "groups must be"),
        (lambda: F.conv2d(X, W, groups=True), TypeError, "groups must be"),
        (lambda: F.conv2d(X, W, groups=4), nn.ShapeError, "groups must divide the channels of x, 6, got 4"),
        (lambda: F.conv2d(X, W, groups=3), nn.ShapeError, r"w must have shape \(3, 3, 2, 4\).*6 channels in 3 groups"),
        (lambda: F.conv2d(X, W[:, :, :2], groups=3), nn.ShapeError, "groups must divide the output channels of w, 4"),
        (lambda: F.conv2d(X, W[:, :, :1], groups=6), nn.ShapeError, "the output channels of w, 4, got 6"),
        (lambda: F.conv2d_backward(X, X, W, groups=4), nn.ShapeError, "groups must divide"),
        (lambda: F.conv1d(X, W1, axis="width", groups=4), nn.ShapeError, "groups must divide"),
        (lambda: F.conv1d(X, W1, axis="width"), nn.ShapeError, r"w must have shape \(3, 6, 4\)"),
        (lambda: F.conv1d_backward(X, X, W1, axis="width", groups=5), nn.ShapeError, "groups must divide"),
        (
            lambda: F.conv2d(X, W, groups=2, algorithm="toom_cook"),
            ValueError,
            "without groups, got a 3 x 3 kernel.*groups 2",
        ),
        (
            lambda: F.conv2d(X, W, groups=2, algorithm="depthwise"),
            ValueError,
            "'depthwise' needs groups of one input channel, got 2 groups of 3",
        ),
        (
            lambda: F.conv2d_max_pool2d(X, W, pooling={"size": 2}, convolution={"groups": 4}),
            nn.ShapeError,
            "groups must divide",
        ),
        (lambda: nn.Conv2D(6, 4, 3, groups=3), ValueError, "groups must divide in_channels, 6, and out_channels, 4"),
        (lambda: nn.Conv2D(6, 8, 3, groups=4), ValueError, "groups must divide in_channels, 6, .* got 4"),
        (lambda: nn.Conv2D(6, 6, 3, groups=0), ValueError, "groups must be an integer of at least 1"),
        (lambda: nn.Conv2D(6, 6, 3, groups="2"), TypeError, "groups must be"),
        (lambda: nn.Conv2D(6, 6, 3, groups=2, algorithm="toom_cook"), ValueError, "without groups"),
        (lambda: nn.Conv1D(6, 6, 3, axis="width", groups=4), ValueError, "groups must divide"),
        (lambda: nn.DepthwiseConv2D(0, 3), ValueError, "channels must be"),
        (lambda: nn.DepthwiseConv2D(4, 3, 0), ValueError, "multiplier must be"),
        (lambda: nn.DepthwiseConv2D(4, 0), ValueError, "kernel_size must be"),
        (lambda: nn.DepthwiseConv2D(4, 3)(X), nn.ShapeError, "takes 4 channels, got 6"),
        (lambda: nn.DepthwiseSeparableConv2D(0, 4, 3), ValueError, "in_channels must be"),
        (lambda: nn.DepthwiseSeparableConv2D(4, 0, 3), ValueError, "out_channels must be"),
        (lambda: nn.DepthwiseSeparableConv2D(4, 4, 3, activation="tanh"), ValueError, "activation must be"),
        (lambda: nn.DepthwiseSeparableConv2D(4, 4, 3, rng=0), TypeError, "rng must be"),
        (
            lambda: nn.Sequential(nn.DepthwiseConv2D(4, 3, 2), nn.Conv2D(4, 4, 1)),
            nn.ShapeError,
            "takes 4 channels, but 8",
        ),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_larger_than_the_caches_are_those_of_single_pictures(dtype, rng):
    # They are written past the caches, at addresses that are no multiple of a cache line, too.
    C = 48
    picture = 9 * 17 * C * np.dtype(dtype).itemsize
    N = nn.config.current()["cache_bytes"] // 2 // picture + 2
    if N * picture > 200e6:
        pytest.skip("the cache of this machine is very large")
    w = rng.standard_normal((3, 3, 1, C)).astype(dtype)
    x, dy = (np.broadcast_to(rng.standard_normal((1, 9, 17, C)).astype(dtype), (N, 9, 17, C)).copy() for _ in range(2))
    y = F.conv2d(x, w, groups=C)
    dx = F.conv2d_backward(dy, x, w, groups=C)[0]
    np.testing.assert_array_equal(y, np.broadcast_to(F.conv2d(x[:1], w, groups=C), y.shape))
    np.testing.assert_array_equal(dx, np.broadcast_to(F.conv2d_backward(dy[:1], x[:1], w, groups=C)[0], dx.shape))
