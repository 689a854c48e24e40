"""Layers: shapes, gradients, what they keep, and what they refuse."""

import tracemalloc

import numpy as np
import pytest
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
    "spatially separable": (
        lambda: nn.SpatiallySeparableConv2D(2, 3, 3, rng=seeded(), dtype="f8"),
        PICTURE,
    ),
    "max pool": (lambda: nn.MaxPool2D(2), PICTURE),
    "avg pool": (lambda: nn.AvgPool2D(3, 2, padding="same"), PICTURE),
    "global avg pool": (nn.GlobalAvgPool2D, PICTURE),
    "relu": (nn.ReLU, PICTURE),
    "flatten": (nn.Flatten, PICTURE),
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
    for result, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(np.array(result), copy)


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


def test_multiplications_spent_follow_the_algorithm():
    shape = (24, 24, 3)
    auto, exact = nn.models.cifar_separable(), nn.models.cifar_separable(algorithm="im2col")
    assert exact.multiplications(shape, spent=True) == exact.multiplications(shape) == auto.multiplications(shape)
    assert auto.multiplications(shape, spent=True) == (
        24 * 24 * 2 * 15 * 64  # 5 x 5: F(4, 5) along the height, 5 taps x 3 channels across it
        + 2 * 144 * 2 * 64 * 64  # 5 x 1 and 1 x 5
        + 6 * 2 * 8 * 5 * 64 * 10  # 5 x 5 on 6 lines: two tiles of 4
    )
    float64 = nn.models.cifar_separable(dtype=np.float64)
    assert float64.multiplications(shape, spent=True) == float64.multiplications(shape)


def test_article_count_of_multiplications():
    assert nn.Conv2D(1, 1, 3).multiplications((5, 2, 1)) == 90
    assert nn.SpatiallySeparableConv2D(1, 1, 3).multiplications((5, 2, 1)) == 60


def test_models_by_hand():
    # conv1 24*24*75*64, then 5x5 at 12x12, then 5x5,10 at 6x6
    first, last = 24 * 24 * 75 * 64, 6 * 6 * 25 * 64 * 10
    assert nn.models.cifar_plain().multiplications((24, 24, 3)) == first + 144 * 1600 * 64 + last
    assert nn.models.cifar_separable().multiplications((24, 24, 3)) == first + 2 * 144 * 320 * 64 + last
    assert (
        nn.models.cifar_multichannel().multiplications((24, 24, 3))
        == first + 144 * (1 + 9 + 25 + 49) * 64 * 64 + 4 * last
    )
    parameters = sum(p.size for p in nn.models.cifar_separable().params.values())
    assert parameters == 75 * 64 + 64 + 2 * (320 * 64 + 64) + 1600 * 10 + 10


@pytest.mark.parametrize("model", nn.models.MODELS.values())
def test_models_start_as_the_article_says(model):
    for name, param in model(rng=np.random.default_rng(0)).params.items():
        if name.endswith(".b"):
            np.testing.assert_array_equal(param, np.float32(0.1))
        else:
            assert np.abs(param).max() <= np.float32(0.2)
            assert abs(param.std() - 0.088) < 0.004  # sd of a normal cut off at 2 sd: 0.8796


def test_float32_and_float64_nets_of_one_seed_start_alike():
    for one, other in zip(
        nn.models.cifar_plain(rng=np.random.default_rng(5)).params.values(),
        nn.models.cifar_plain(rng=np.random.default_rng(5), dtype="f8").params.values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other.astype(np.float32))


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


def test_wrong_dtype_is_refused(rng):
    net = nn.models.cifar_plain(rng=rng)
    with pytest.raises(nn.DTypeError, match="float32"):
        net.forward(np.zeros((1, 24, 24, 3)))
    with pytest.raises(nn.DTypeError, match="astype"):
        net.forward(np.zeros((1, 24, 24, 3), np.uint8))


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_gradients_under_gradcheck(make, shape, rng):
    report = nn.gradcheck(make(), rng.standard_normal((2, *shape)), tolerance=1e-7, max_elements=60)
    assert report.ok, report


@pytest.mark.parametrize("model", nn.models.MODELS)
def test_gradients_of_networks_under_gradcheck(model, rng):
    net = nn.models.MODELS[model](rng=rng, dtype=np.float64)
    x = rng.standard_normal((1, 24, 24, 3))
    report = nn.gradcheck(net, x, tolerance=1e-6, max_elements=12 if model == "separable" else 3)
    assert report.ok, report
