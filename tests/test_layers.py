"""Layers: shapes, gradients, what they keep, and what they refuse."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from cases import assert_refused
from second_opinions import central_difference

import npcnn as nn

PICTURE = (5, 6, 2)


def seeded():
    return np.random.default_rng(3)


LAYERS = {
    "conv2d": (lambda: nn.Conv2D(2, 3, 3, rng=seeded(), dtype=np.float64), PICTURE),
    "conv2d relu": (
        lambda: nn.Conv2D(2, 3, (3, 2), stride=2, activation="relu", rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "conv2d without bias": (
        lambda: nn.Conv2D(2, 3, 2, padding="valid", bias=False, rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "conv1d height": (
        lambda: nn.Conv1D(2, 3, 3, axis="height", rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "conv1d width": (
        lambda: nn.Conv1D(2, 3, 5, axis="width", activation="relu", rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "conv2d in groups": (
        lambda: nn.Conv2D(4, 6, (3, 2), stride=2, groups=2, activation="relu", rng=seeded(), dtype="f8"),
        (5, 6, 4),
    ),
    "conv1d in groups": (
        lambda: nn.Conv1D(4, 6, 3, axis="width", groups=2, rng=seeded(), dtype="f8"),
        (5, 6, 4),
    ),
    "depthwise": (lambda: nn.DepthwiseConv2D(2, 3, activation="relu", rng=seeded(), dtype="f8"), PICTURE),
    "depthwise with a multiplier": (
        lambda: nn.DepthwiseConv2D(2, 3, 3, stride=2, dilation=(1, 2), bias=False, rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "depthwise separable": (
        lambda: nn.DepthwiseSeparableConv2D(2, 3, 3, stride=2, activation="relu", rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "spatially separable": (
        lambda: nn.SpatiallySeparableConv2D(2, 3, 3, rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "conv2d transpose": (
        lambda: nn.Conv2DTranspose(2, 3, (3, 2), stride=2, activation="relu", rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "conv2d transpose without bias": (
        lambda: nn.Conv2DTranspose(
            2, 3, 3, stride=(1, 2), padding=1, output_padding=(0, 1), bias=False, rng=seeded(), dtype="f8"
        ),
        PICTURE,
    ),
    "upsample": (lambda: nn.UpSample2D((2, 1)), PICTURE),
    "upsample bilinear": (lambda: nn.UpSample2D((2, 3), mode="bilinear"), PICTURE),
    "zero pad": (lambda: nn.ZeroPad2D(((0, 1), (2, 1))), PICTURE),
    "max pool": (lambda: nn.MaxPool2D(2), PICTURE),
    "avg pool": (lambda: nn.AvgPool2D(3, 2, padding="same"), PICTURE),
    "max pool with dilation": (lambda: nn.MaxPool2D(2, 2, dilation=(1, 2), ceil_mode=True), PICTURE),
    "avg pool in ceil mode": (lambda: nn.AvgPool2D(3, 2, padding=1, count_include_pad=True, ceil_mode=True), PICTURE),
    "global avg pool": (nn.GlobalAvgPool2D, PICTURE),
    "relu": (nn.ReLU, PICTURE),
    "leaky relu": (nn.LeakyReLU, PICTURE),
    "rescale": (lambda: nn.Rescale(0.25), PICTURE),
    "gelu": (nn.GELU, PICTURE),
    "silu": (nn.SiLU, PICTURE),
    "sigmoid": (nn.Sigmoid, PICTURE),
    "tanh": (nn.Tanh, PICTURE),
    "softmax": (nn.Softmax, PICTURE),
    "log softmax": (nn.LogSoftmax, PICTURE),
    "flatten": (nn.Flatten, PICTURE),
    "flatten, channels first": (lambda: nn.Flatten(channels_first=True), PICTURE),
    "dropout": (lambda: nn.Dropout(0.4, rng=seeded()), PICTURE),
    "dense": (lambda: nn.Dense(7, 3, rng=seeded(), dtype="f8"), (7,)),
    "concat": (
        lambda: nn.Concat(
            nn.Conv2D(2, 3, 1, rng=seeded(), dtype="f8"),
            nn.Conv2D(2, 2, 3, activation="relu", rng=seeded(), dtype="f8"),
        ),
        PICTURE,
    ),
    "sequential": (
        lambda: nn.Sequential(
            nn.Conv2D(2, 4, 3, activation="relu", rng=seeded(), dtype="f8"),
            nn.MaxPool2D(2),
            nn.Flatten(),
            nn.Dense(2 * 3 * 4, 3, rng=seeded(), dtype="f8"),
        ),
        PICTURE,
    ),
}

each_layer = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)


@each_layer
def test_gradients_equal_central_differences(make, shape, rng):
    layer = make()
    x = rng.standard_normal((3, *shape))
    state = layer.rng.bit_generator.state if isinstance(layer, nn.Dropout) else None

    def forward(training=True):
        if state:
            layer.rng.bit_generator.state = state
        return layer.forward(x, training=training)

    dy = rng.standard_normal(forward().shape)
    dx = layer.backward(dy).copy()
    np.testing.assert_allclose(
        dx, central_difference(lambda: (forward() * dy).sum(), x, step=1e-6), rtol=1e-6, atol=1e-8
    )
    assert layer.grads.keys() == layer.params.keys()
    for name, param in layer.params.items():
        expected = central_difference(lambda: (forward() * dy).sum(), param, step=1e-6)
        np.testing.assert_allclose(layer.grads[name], expected, rtol=1e-6, atol=1e-7, err_msg=name)


@each_layer
def test_gradients_pass_gradcheck(make, shape, rng):
    report = nn.gradcheck(make(), rng.standard_normal((2, *shape)), tolerance=1e-7, max_elements=60)
    assert report.ok, report


@each_layer
def test_output_shape_is_that_of_forward(make, shape, rng):
    layer = make()
    for N in (0, 2):
        y = layer.forward(rng.standard_normal((N, *shape)))
        assert y.shape == (N, *layer.output_shape(shape))


@each_layer
def test_backward_needs_a_forward_pass_in_training(make, shape, rng):
    layer = make()
    y = layer.forward(rng.standard_normal((2, *shape)))
    with pytest.raises(RuntimeError, match="training=True"):
        layer.backward(np.ones_like(y))
    layer.forward(rng.standard_normal((2, *shape)), training=True)
    layer.backward(np.ones_like(y))
    with pytest.raises(RuntimeError, match="once for each backward"):
        layer.backward(np.ones_like(y))


@each_layer
def test_a_result_somebody_holds_is_never_overwritten(make, shape, rng):
    layer = make()
    # As it is, in a list, as a view, and as memory.
    held = [
        hold(layer.forward(rng.standard_normal((2, *shape)), training=training))
        for hold in (lambda y: y, lambda y: [y], lambda y: y[1:], memoryview)
        for training in (True, False)
    ]
    copies = [np.array(result) for result in held]
    layer.forward(rng.standard_normal((2, *shape)), training=True)
    for result, copied in zip(held, copies, strict=True):
        np.testing.assert_array_equal(np.array(result), copied)


def test_a_result_nobody_holds_is_used_again(rng):
    layer = nn.Conv2D(2, 3, 3, rng=rng)
    x = np.zeros((2, 5, 5, 2), np.float32)
    first = layer.forward(x).ctypes.data
    assert layer.forward(x).ctypes.data == first


def test_training_step_uses_its_buffers_again(rng):
    net = nn.models.cifar_separable(rng=rng)
    x = rng.standard_normal((16, 24, 24, 3)).astype(np.float32)

    def peak_of_a_step():
        """Bytes that NumPy has more in the middle of a step than before it."""
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        net.backward(np.ones_like(net.forward(x, training=True)))
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        first, second, third = (peak_of_a_step() for _ in range(3))
    finally:
        tracemalloc.stop()
    assert first > 16 * 4 * (12 * 12 * 64 * 3 + 24 * 24 * 3)  # outputs and gradients of pictures, at the least
    assert max(second, third) < first / 5


def test_input_gradients_of_all_layers_share_memory(rng):
    net = nn.Sequential(*(nn.Conv2D(8, 8, 3, rng=rng) for _ in range(6)))
    x = rng.standard_normal((16, 32, 32, 8)).astype(np.float32)
    dy = np.ones_like(net.forward(x, training=True))
    tracemalloc.start()
    try:
        net.backward(dy)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 2.5 * x.nbytes  # two in turn, not six


def test_an_input_gradient_that_is_held_stays_as_it_is(rng):
    first, second = (nn.Sequential(nn.Dense(5, 4, rng=rng), nn.ReLU(), nn.Dense(4, 3, rng=rng)) for _ in range(2))
    x, dy = rng.standard_normal((6, 5)).astype(np.float32), rng.standard_normal((6, 3)).astype(np.float32)
    first.forward(x, training=True)
    dx = first.backward(dy)
    row, copy = dx[2:3], dx.copy()
    del dx
    for net in (first, second, second):
        net.forward(x, training=True)
        net.backward(-dy)
    np.testing.assert_array_equal(row, copy[2:3])


def test_layers_whose_memory_is_shared_can_be_copied(rng):
    net = nn.Sequential(nn.Dense(5, 4, rng=rng), nn.ReLU())
    x, dy = rng.standard_normal((6, 5)).astype(np.float32), rng.standard_normal((6, 4)).astype(np.float32)
    net.forward(x, training=True)
    dx = net.backward(dy).copy()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        other.forward(x, training=True)
        np.testing.assert_array_equal(other.backward(dy), dx)


def test_need_dx_false_leaves_only_dx_out(rng):
    net = nn.models.cifar_multichannel(rng=rng, dtype=np.float64)
    x = rng.standard_normal((1, 24, 24, 3))
    dy = np.ones_like(net.forward(x, training=True))
    assert net.backward(dy) is not None
    grads = {name: grad.copy() for name, grad in net.grads.items()}
    net.forward(x, training=True)
    assert net.backward(dy, need_dx=False) is None
    for name, grad in net.grads.items():
        np.testing.assert_array_equal(grad, grads[name])


def test_separable_pair_is_the_convolution_by_the_outer_product(rng):
    pair = nn.SpatiallySeparableConv2D(1, 1, 3, middle_activation=None, bias=False, rng=rng, dtype="f8")
    whole = nn.Conv2D(1, 1, 3, bias=False, dtype="f8")
    column, row = pair.vertical.params["w"][:, 0, 0], pair.horizontal.params["w"][:, 0, 0]
    whole.params["w"][:, :, 0, 0] = np.outer(column, row)
    x = rng.standard_normal((2, 5, 2, 1))
    np.testing.assert_allclose(pair.forward(x), whole.forward(x), rtol=0, atol=1e-14)


def test_concat_is_numpys_concatenation(rng):
    branches = [nn.Conv2D(2, c, k, rng=rng, dtype="f8") for c, k in ((1, 1), (3, 3), (2, 5))]
    x = rng.standard_normal((2, 6, 5, 2))
    expected = np.concatenate([branch.forward(x) for branch in branches], axis=-1)
    np.testing.assert_array_equal(nn.Concat(*branches).forward(x), expected)


def test_dropout_keeps_the_expected_share_and_scales(rng):
    x = np.ones((100, 1000))
    y = nn.Dropout(0.3, rng=rng).forward(x, training=True)
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    assert abs((y == 0).mean() - 0.3) < 0.01
    np.testing.assert_array_equal(nn.Dropout(0.3, rng=rng).forward(x), x)


def test_repr_is_the_constructor_call():
    for make, _ in LAYERS.values():
        layer = make()
        again = eval(repr(layer), vars(nn))
        assert repr(again) == repr(layer)
    assert repr(nn.Conv2D(3, 8, (5, 1), stride=2)) == "Conv2D(3, 8, (5, 1), stride=2)"


def test_article_count_of_multiplications():
    assert nn.Conv2D(1, 1, 3).multiplications((5, 2, 1)) == 90
    assert nn.SpatiallySeparableConv2D(1, 1, 3).multiplications((5, 2, 1)) == 60
    assert nn.DepthwiseSeparableConv2D(1, 1, 3).multiplications((5, 2, 1)) == 100


def test_wrong_channels_are_found_when_the_net_is_put_together():
    with pytest.raises(nn.ShapeError, match=r"layer 2, Conv2D\(32.*takes 32 channels, but 64"):
        nn.Sequential(nn.Conv2D(3, 64, 5), nn.MaxPool2D(2), nn.Conv2D(32, 8, 3))
    with pytest.raises(nn.ShapeError, match="layer 1"):
        nn.Sequential(nn.Concat(nn.Conv2D(3, 4, 1), nn.Conv2D(3, 5, 3)), nn.Conv2D(8, 8, 3))
    with pytest.raises(nn.ShapeError, match="branches"):
        nn.Concat(nn.Conv2D(3, 4, 1), nn.Conv2D(2, 5, 3))


def test_wrong_picture_names_the_layer():
    net = nn.Sequential(nn.Conv2D(3, 4, 3), nn.MaxPool2D(4), nn.MaxPool2D(4))
    with pytest.raises(nn.ShapeError, match="layer 2"):
        net.summary((8, 8, 3))
    with pytest.raises(nn.ShapeError, match="layer 2"):
        net.forward(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(nn.ShapeError, match=r"layer 0.*takes 3 channels, got 4"):
        net.forward(np.zeros((1, 8, 8, 4), np.float32))
    with pytest.raises(nn.ShapeError, match="batch axis"):
        net.output_shape((1, 8, 8, 3))


def test_channels_in_front_of_the_pixels_get_advice():
    net = nn.Sequential(nn.Conv2D(3, 4, 3), nn.GlobalAvgPool2D())
    with pytest.raises(nn.ShapeError, match=r"takes 3 channels, got 8 .*pass x\.transpose\(0, 2, 3, 1\)"):
        net.forward(np.zeros((2, 3, 8, 8), np.float32))
    with pytest.raises(nn.ShapeError, match=r"takes 3 channels, got 4 \(shape \(8, 8, 4\)\)$"):
        net.forward(np.zeros((2, 8, 8, 4), np.float32))
    assert net.forward(np.zeros((2, 3, 3, 3), np.float32)).shape == (2, 4)


def test_branches_of_different_size_are_refused():
    concat = nn.Concat(nn.Conv2D(1, 1, 3), nn.Conv2D(1, 1, 3, padding="valid"))
    with pytest.raises(nn.ShapeError, match="one height and width"):
        concat.output_shape((5, 5, 1))


def returns(array):
    return lambda shape, rng, dtype: array


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2D(3, 4, 3), nn.MaxPool2D(2), nn.AvgPool2D(2), nn.GlobalAvgPool2D()],
    ids=repr,
)
def test_wrong_input_says_what_x_must_be(layer):
    with pytest.raises(nn.ShapeError, match=r"got \(8, 3\) not counting the batch axis; forward needs"):
        layer.forward(np.zeros((8, 8, 3), np.float32))
    y = layer.forward(np.zeros((1, 8, 8, 3), np.float32), training=True)
    with pytest.raises(TypeError, match=r"dy must be a numpy\.ndarray.*got list"):
        layer.backward(y.tolist())


@pytest.mark.parametrize("layer", [nn.Dense(3, 3), nn.Dropout(0.5)], ids=repr)
def test_gradient_of_another_dtype_is_refused(layer):
    y = layer.forward(np.ones((1, 3), np.float32), training=True)
    with pytest.raises(nn.DTypeError, match="dy must have the dtype"):
        layer.backward(y.astype(np.float64))


def test_an_initializers_array_is_copied():
    values = np.ones((2, 3), np.float32)
    layer = nn.Dense(2, 3, weight_init=returns(values))
    layer.params["w"][...] = 5
    assert (values == 1).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Dense(0, 4), ValueError, "in_features must be"),
        (lambda: nn.Dense(3, 4, rng=0), TypeError, "rng must be"),
        (lambda: nn.Dense(2**62, 2**62), nn.ShapeError, "w would have shape"),
        (lambda: nn.Dense(4, 4).forward(np.zeros((1, 5), np.float32)), nn.ShapeError, r"\(4,\)"),
        (lambda: nn.Dense(4, 4).forward(np.zeros((1, 4))), nn.DTypeError, "x must have the dtype"),
        (lambda: nn.Dropout(1.0), ValueError, "rate must be"),
        (lambda: nn.Dropout(float("nan")), ValueError, "rate must be"),
        (lambda: nn.Dropout("0.5"), TypeError, "rate must be"),
        (lambda: nn.Dropout(0.5, rng=0), TypeError, "rng must be"),
        (lambda: nn.Dense(2, 3, weight_init=5), TypeError, "initializer of w must be"),
        (
            lambda: nn.Dense(2, 3, bias_init=returns(np.zeros(2, "f4"))),
            nn.ShapeError,
            r"initializer of b must return shape \(3,\), got \(2,\)",
        ),
        (
            lambda: nn.Dense(2, 3, weight_init=returns(np.zeros((2, 3)))),
            nn.DTypeError,
            "initializer of w must return float32, got float64",
        ),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
