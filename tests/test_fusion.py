"""Two layers in one go, a convolution and its max pooling, batch norm and GELU: what the two do one after the other."""

import itertools

import numpy as np
import pytest
from cases import NOT_CARRIED, assert_equal_arrays, assert_refused
from drawn import conv2d_configuration

import npcnn as nn
from npcnn import functional, reference
from npcnn.layers.fusion import steps

POOLINGS = [
    {"size": 2},
    {"size": 2, "padding": "same"},
    {"size": 3, "stride": 2, "padding": "same"},  # windows overlap
    {"size": (2, 1), "stride": (3, 1)},  # pixels in no window
    {"size": 2, "stride": 1, "padding": 1},
    {"size": (2, 3), "stride": 2, "padding": 1, "dilation": (2, 1), "ceil_mode": True},
]


def one_after_the_other(x, w, b, dy_of, *, convolution, pooling, relu, algorithm):
    """Return y, argmax, dx, dw, db."""
    convolved = functional.conv2d(x, w, b, relu=relu, algorithm=algorithm, **convolution)
    y, argmax = functional.max_pool2d(convolved, **pooling)
    between = functional.max_pool2d_backward(dy_of(y), argmax, convolved.shape, **pooling)
    relu_output = convolved if relu else None
    gradients = functional.conv2d_backward(between, x, w, relu_output=relu_output, algorithm=algorithm, **convolution)
    return y, argmax, *gradients


def in_one_go(x, w, b, dy_of, *, relu, **options):
    """Return y, argmax, dx, dw, db."""
    y, argmax = functional.conv2d_max_pool2d(x, w, b, relu=relu, **options)
    relu_output = y if relu else None
    return y, argmax, *functional.conv2d_max_pool2d_backward(dy_of(y), argmax, x, w, relu_output=relu_output, **options)


@pytest.mark.parametrize(
    ("kernel", "algorithm"),
    [*itertools.product([(3, 3), (5, 1), (1, 5), (7, 7)], ["im2col", "toom_cook"]), ((3, 3), "toom_cook_2d")],
)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("seed", range(8))
def test_equal_to_the_bit_to_one_after_the_other(seed, pooling, kernel, algorithm):
    x, w, b, convolution = conv2d_configuration(seed, kernel=kernel, pooled=pooling)
    x, w, b = (array.astype(np.float32) for array in (x, w, b))
    options = {"convolution": convolution, "pooling": pooling, "relu": seed % 3 > 0, "algorithm": algorithm}

    def dy_of(y):
        return np.random.default_rng(seed).standard_normal(y.shape).astype(np.float32)

    expected = one_after_the_other(x, w, b, dy_of, **options)
    for got, wanted in zip(in_one_go(x, w, b, dy_of, **options), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("seed", range(10))
def test_against_the_reference_in_float64(seed, pooling):
    x, w, b, convolution = conv2d_configuration(seed, kernel=(3, 2), pooled=pooling)

    def dy_of(y):
        return np.random.default_rng(seed).standard_normal(y.shape)

    y, argmax, dx, dw, db = in_one_go(
        x, w, b, dy_of, convolution=convolution, pooling=pooling, relu=True, algorithm="auto"
    )
    convolved = np.maximum(reference.conv2d(x, w, b, **convolution), 0)
    expected_y, expected_argmax = reference.max_pool2d(convolved, **pooling)
    assert_equal_arrays(y, expected_y, np.float64)
    # Where a whole window is zero, rounding has no say in which pixel is the first of equals either.
    np.testing.assert_array_equal(argmax, expected_argmax)
    between = reference.max_pool2d_backward(dy_of(y), expected_argmax, convolved.shape, **pooling)
    expected = reference.conv2d_backward(between * (convolved > 0), x, w, **convolution)
    for got, wanted in zip((dx, dw, db), expected, strict=True):
        assert_equal_arrays(got, wanted, np.float64)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy says that inf - inf is invalid
@pytest.mark.parametrize("value", NOT_CARRIED)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("pooling", [POOLINGS[0], POOLINGS[-1]])
def test_numbers_that_toom_cook_cannot_carry(pooling, relu, value, rng):
    x, w = rng.standard_normal((3, 12, 13, 4)).astype(np.float32), rng.standard_normal((5, 5, 4, 5)).astype(np.float32)
    x[1, 7, 8, 2] = value
    options = {"convolution": {}, "pooling": pooling, "relu": relu, "algorithm": "auto"}

    def dy_of(y):
        return np.random.default_rng(2).standard_normal(y.shape).astype(np.float32)

    expected = one_after_the_other(x, w, None, dy_of, **options)
    for got, wanted in zip(in_one_go(x, w, None, dy_of, **options), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def assert_the_bits_of_its_layers(net, alone, x):
    """Hold a network to layers like its own, called in turn; return a gradient that both were given."""
    y = x
    for layer in alone:
        y = layer.forward(y, training=True)
    dx = dy = np.random.default_rng(7).standard_normal(y.shape).astype(np.float32)
    for layer in reversed(alone):
        dx = layer.backward(dx)
    np.testing.assert_array_equal(net.forward(x), y)
    np.testing.assert_array_equal(net.forward(x, training=True), y)
    np.testing.assert_array_equal(net.backward(dy), dx)
    for got, wanted in zip(net.grads.values(), nn.Sequential(*alone).grads.values(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    return dy


@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("bias", [True, False])
def test_sequential_gives_the_bits_of_its_layers(activation, bias, rng):
    def layers():
        one = np.random.default_rng(0)
        return (
            nn.Conv2D(3, 16, 5, activation=activation, bias=bias, rng=one),
            nn.MaxPool2D(2, padding="same"),
            nn.Conv2D(16, 8, 3, activation=activation, bias=bias, rng=one),
            nn.MaxPool2D(3, 2, dilation=(1, 2), ceil_mode=True),
        )

    x = rng.standard_normal((20, 13, 11, 3)).astype(np.float32)
    net, alone = nn.Sequential(*layers()), layers()
    assert len(steps(net.layers)) == 2
    dy = assert_the_bits_of_its_layers(net, alone, x)
    net.forward(x, training=True)
    assert net.backward(dy, need_dx=False) is None


def test_only_plain_layers_on_toom_cook_are_paired():
    class Shifted(nn.Conv2D):
        def forward(self, x, training=False):
            return super().forward(x, training) + 1

    for first in (nn.Conv2D(3, 8, 5, algorithm="im2col"), nn.Conv2D(3, 8, 5, dtype=np.float64), Shifted(3, 8, 5)):
        assert len(steps([first, nn.MaxPool2D(2)])) == 2
    assert len(steps([nn.Conv2D(3, 8, 5), nn.MaxPool2D(2), nn.MaxPool2D(2), nn.Conv2D(8, 8, 5)])) == 3


def test_what_does_not_fit_is_said_by_the_layer_it_does_not_fit():
    net = nn.Sequential(nn.Conv2D(3, 8, 5), nn.MaxPool2D(9))
    with pytest.raises(nn.ShapeError, match=r"layer 1, max_pool2d: .*window"):
        net.forward(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(nn.ShapeError, match=r"layer 0, conv2d: .*3 channels, got 4"):
        net.forward(np.zeros((1, 8, 8, 4), np.float32))
    with pytest.raises(nn.DTypeError, match="layer 0, conv2d"):
        net.forward(np.zeros((1, 9, 9, 3)))


def test_backward_without_forward_is_refused():
    net = nn.Sequential(nn.Conv2D(3, 8, 5), nn.MaxPool2D(2))
    x = np.zeros((1, 8, 8, 3), np.float32)
    dy = np.ones_like(net.forward(x, training=True))
    net.backward(dy)
    with pytest.raises(RuntimeError, match=r"MaxPool2D\(2\) needs a forward pass"):
        net.backward(dy)


def test_layers_that_ran_one_by_one_go_back_one_by_one(rng):
    net = nn.Sequential(nn.Conv2D(3, 8, 5, rng=rng), nn.MaxPool2D(2))
    x = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)
    dy = np.ones_like(net.forward(x, training=True))
    dx = net.backward(dy).copy()
    for layer in net.layers:
        x = layer.forward(x, training=True)
    np.testing.assert_array_equal(net.backward(dy), dx)


X, W = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 2, 2), np.float32)
POOLED = np.ones((1, 2, 2, 2), np.float32)
ARGMAX = np.zeros(POOLED.shape, np.int32)


def forward(**options):
    return functional.conv2d_max_pool2d(X, W, pooling={"size": 2}, **options)


def back(dy=POOLED, argmax=ARGMAX, **options):
    return functional.conv2d_max_pool2d_backward(dy, argmax, X, W, **{"pooling": {"size": 2}} | options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: back(dy=POOLED[:, :1]), nn.ShapeError, r"dy must have shape \(1, 2, 2, 2\)"),
        (lambda: back(dy=POOLED.astype(np.float64)), nn.DTypeError, "dy"),
        (lambda: back(relu_output=POOLED[:, :1]), nn.ShapeError, "relu_output must have shape"),
        (lambda: back(argmax=ARGMAX.astype(np.int64)), nn.DTypeError, "argmax must be the int32"),
        (lambda: back(argmax=ARGMAX + 4, algorithm="toom_cook"), ValueError, "argmax must lie between 0 and 3"),
        (lambda: back(argmax=ARGMAX - 1, algorithm="im2col"), ValueError, "argmax must lie between 0 and 3"),
        (lambda: back(pooling={"size": 5}), nn.ShapeError, "window"),
        (lambda: back(pooling={}), TypeError, "size"),
        (lambda: back(convolution={"steps": 2}), TypeError, "steps"),
        (lambda: back(convolution={"padding": 2**30}), nn.ShapeError, "padding"),
        (lambda: forward(convolution={"padding": 2**30}), nn.ShapeError, "padding must leave"),
        (lambda: forward(out=POOLED), TypeError, "out must be a tuple"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)


@pytest.mark.parametrize("axis", ["height", "width"])
@pytest.mark.parametrize("activation", ["relu", None])
def test_a_separable_pair_is_its_two_halves_the_second_with_its_pooling(axis, activation, rng):
    def layers():
        one = np.random.default_rng(0)
        return (
            nn.SpatiallySeparableConv2D(4, 8, 5, activation=activation, algorithm="toom_cook", rng=one),
            nn.MaxPool2D(2, padding="same"),
            nn.Conv1D(8, 6, 3, axis=axis, padding="valid", activation=activation, algorithm="toom_cook", rng=one),
            nn.MaxPool2D((1, 2)),
        )

    x = rng.standard_normal((5, 13, 11, 4)).astype(np.float32)
    net, alone = nn.Sequential(*layers()), layers()
    assert len(steps(net.layers)) == 3
    assert_the_bits_of_its_layers(net, alone, x)


def test_another_half_of_a_separable_pair_takes_part(rng):
    net = nn.Sequential(nn.SpatiallySeparableConv2D(2, 3, 3, activation="relu", rng=rng), nn.MaxPool2D(2))
    x = rng.standard_normal((2, 6, 6, 2)).astype(np.float32)
    net(x)
    pair = net.layers[0]
    pair.children["horizontal"] = nn.Conv1D(3, 5, 3, axis="width", rng=rng)
    np.testing.assert_array_equal(net(x), nn.MaxPool2D(2)(pair(x)))


def test_a_separable_pair_says_which_layer_refuses():
    net = nn.Sequential(nn.ReLU(), nn.SpatiallySeparableConv2D(2, 3, 3), nn.MaxPool2D(2))
    with pytest.raises(nn.ShapeError, match=r"layer 1, spatially_separable_conv2d: .*takes 2 channels, got 4"):
        net(np.zeros((2, 6, 6, 4), np.float32))
    with pytest.raises(nn.ShapeError, match="layer 2, max_pool2d: "):
        net(np.zeros((2, 1, 6, 2), np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batch_norm_and_gelu_are_one_step(dtype, rng):
    def layers():
        return nn.BatchNorm(5, dtype=dtype), nn.GELU()

    x, dy = (rng.standard_normal((4, 3, 6, 5)).astype(dtype) for _ in range(2))
    (normalisation, gelu), net = layers(), nn.Sequential(*layers())
    for array in (normalisation.params, net.children["0_batch_norm"].params):
        array["scale"][...] = [0.5, 2, 1, -1, 3]
    assert len(steps(net.layers)) == 1
    for training in (False, True):
        np.testing.assert_array_equal(net(x, training), gelu(normalisation(x, training), training))
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(net.backward(dy), normalisation.backward(gelu.backward(dy)), atol=tolerance)
    for name, gradient in normalisation.grads.items():
        np.testing.assert_allclose(net.grads[f"0_batch_norm.{name}"], gradient, atol=10 * tolerance)
    for name, array in normalisation.state.items():
        np.testing.assert_array_equal(net.state[f"0_batch_norm.{name}"], array)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.BatchNorm(5), nn.GELU("tanh")),
        (nn.BatchNorm(5, activation="relu"), nn.GELU()),
        (nn.LayerNorm(5), nn.GELU()),
        (nn.BatchNorm(5), nn.SiLU()),
        (type("Mine", (nn.BatchNorm,), {})(5), nn.GELU()),
        (nn.BatchNorm(5), type("Mine", (nn.GELU,), {})()),
    ],
    ids=repr,
)
def test_others_stay_two(layers):
    assert len(steps(layers)) == 2


def test_a_fused_batch_norm_says_which_layer_refuses():
    net = nn.Sequential(nn.ReLU(), nn.BatchNorm(5), nn.GELU())
    with pytest.raises(nn.ShapeError, match=r"layer 1, batch_norm: .*takes 5 channels, but 4 come in"):
        net(np.zeros((2, 4), np.float32))
    with pytest.raises(nn.ShapeError, match=r"layer 1, batch_norm: .*takes 5 channels"):
        net.output_shape((4,))


def test_gradients_of_a_fused_batch_norm(rng):
    net = nn.Sequential(nn.Dense(4, 3, rng=rng, dtype=np.float64), nn.BatchNorm(3, dtype=np.float64), nn.GELU())
    report = nn.gradcheck(net, rng.standard_normal((6, 4)), tolerance=1e-7)
    assert report.ok, report
