"""What a layer remembers of its last call is never used for arrays that are not like those of that call."""

import numpy as np
import pytest
from cases import assert_equal_arrays

import npcnn as nn
from npcnn import functional
from npcnn.layers.fusion import steps

LAYERS = {
    "conv2d": lambda rng: nn.Conv2D(2, 3, 3, activation="relu", rng=rng),
    "conv2d, toom-cook": lambda rng: nn.Conv2D(2, 3, 5, rng=rng),
    "conv2d, groups": lambda rng: nn.Conv2D(2, 4, 3, groups=2, stride=2, bias=False, rng=rng),
    "conv1d": lambda rng: nn.Conv1D(2, 3, 5, axis="width", rng=rng),
    "depthwise": lambda rng: nn.DepthwiseConv2D(2, 3, rng=rng),
    "convolution and max pooling": lambda rng: nn.Sequential(
        nn.Conv2D(2, 16, 5, activation="relu", rng=rng), nn.MaxPool2D(2, padding="same")
    ),
    "pair and max pooling": lambda rng: nn.Sequential(
        nn.SpatiallySeparableConv2D(2, 16, 5, activation="relu", rng=rng), nn.MaxPool2D(3, 2)
    ),
    "max_pool2d": lambda rng: nn.MaxPool2D(2),
    "avg_pool2d": lambda rng: nn.AvgPool2D(2, stride=1),
    "global_avg_pool2d": lambda rng: nn.GlobalAvgPool2D(),
}


@pytest.fixture(params=LAYERS)
def make(request):
    """Return a function that makes a layer, always with the same parameters."""
    return lambda: LAYERS[request.param](np.random.default_rng(0))


def pictures(*shape, dtype=np.float32):
    return np.random.default_rng(sum(shape)).standard_normal((*shape, 2)).astype(dtype)


def assert_as_a_new_layer(layer, make, x):
    """Forward, and the gradients: as of a layer that has not been called before, with the same parameters."""
    new = make().astype(x.dtype)
    for name, array in layer.params.items():
        new.params[name] = array
    expected = new.forward(x.copy(order="C"), training=True)
    np.testing.assert_array_equal(layer.forward(x), expected)
    np.testing.assert_array_equal(layer.forward(x, training=True), expected)
    dy = np.random.default_rng(0).standard_normal(expected.shape).astype(x.dtype)
    np.testing.assert_array_equal(layer.backward(dy), new.backward(dy))
    for name, gradient in layer.grads.items():
        np.testing.assert_array_equal(gradient, new.grads[name])


def test_every_shape_in_turn(make):
    layer = make()
    for shape in [(1, 6, 5), (1, 6, 5), (2, 6, 5), (1, 5, 6), (1, 30, 1), (0, 6, 5), (1, 6, 5), (3, 4, 4)]:
        if shape[2] == 1 and "pool" in repr(layer).lower():
            continue  # a window of the pooling does not fit
        assert_as_a_new_layer(layer, make, pictures(*shape))


def test_pictures_that_lie_otherwise_in_memory(make):
    layer = make()
    x = pictures(2, 6, 5)
    read_only = x.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    columns_first = np.asfortranarray(x)
    every_second = np.repeat(x, 2, axis=2)[:, :, ::2]
    for other in (read_only, unaligned, columns_first, every_second, x[::-1]):
        assert_as_a_new_layer(layer, make, x)
        assert_as_a_new_layer(layer, make, other)


def test_parameters_that_are_written_to(make):
    layer, x = make(), pictures(1, 6, 5)
    before = layer.forward(x).copy()
    for name in layer.params:
        layer.params[name] = layer.params[name] * 2 + 1
        layer.params[name][...] *= 3
    assert_as_a_new_layer(layer, make, x)
    if layer.params:
        assert np.abs(layer.forward(x) - before).max() > 0.1


def test_another_dtype(make):
    layer, x = make(), pictures(1, 6, 5)
    y = layer.forward(x).copy()
    converted = layer.astype(np.float64)
    for _ in range(2):
        assert_as_a_new_layer(converted, make, x.astype(np.float64))
        assert_equal_arrays(y, converted.forward(x.astype(np.float64)), np.float32)
        assert_as_a_new_layer(layer, make, x)
        assert_as_a_new_layer(converted.astype(np.float32), make, x)


def test_what_is_refused_is_refused_after_a_right_call(make):
    layer, x = make(), pictures(1, 6, 5)
    channels = [x[..., :1], np.repeat(x, 2, axis=3)] if layer.params else []
    other_dtype = [x.astype(np.float64)] if layer.params else []
    for wrong in [*channels, *other_dtype, x[0], x[np.newaxis], x.astype(np.float16), x.astype(">f4"), x[:, :0]]:
        expected = layer.forward(x).copy()
        with pytest.raises((nn.DTypeError, ValueError)):
            layer.forward(wrong)
        np.testing.assert_array_equal(layer.forward(x), expected)
    for wrong in (None, x.tolist(), 1.0):
        with pytest.raises((TypeError, AttributeError)):
            layer.forward(wrong)


def test_an_answer_that_is_kept_is_not_written_over(make):
    layer, x = make(), pictures(1, 6, 5)
    kept = layer.forward(x)
    copied = kept.copy()
    view = layer.forward(x + 1)[..., :1]
    copied_view = view.copy()
    layer.forward(x + 2)
    np.testing.assert_array_equal(kept, copied)
    np.testing.assert_array_equal(view, copied_view)


def test_a_half_of_a_pair_that_is_replaced_takes_part(rng):
    pair, pooling = nn.SpatiallySeparableConv2D(2, 16, 5, rng=rng), nn.MaxPool2D(2)
    net, x = nn.Sequential(pair, pooling), pictures(2, 8, 8)
    assert len(steps(net.layers)) == 2
    net.forward(x)
    for half, axis in (("horizontal", "width"), ("vertical", "height")):
        channels = pair.children[half].in_channels
        pair.children[half] = nn.Conv1D(channels, 16, 3, axis=axis, activation="relu", rng=rng)
        y = net.forward(x, training=True)
        middle = functional.conv1d(
            x, *pair.vertical.params.values(), axis="height", relu=pair.vertical.activation == "relu"
        )
        convolved = functional.conv1d(middle, *pair.horizontal.params.values(), axis="width", relu=True)
        np.testing.assert_array_equal(y, functional.max_pool2d(convolved, 2)[0])
        assert net.backward(np.ones_like(y)).shape == x.shape

    class Doubled(nn.Conv1D):
        def forward(self, x, training=False):
            return 2 * super().forward(x, training)

    pair.children["horizontal"] = Doubled(16, 16, 3, axis="width", rng=rng)
    np.testing.assert_array_equal(net.forward(x), pooling.forward(pair.forward(x)))


def test_a_pair_and_its_pooling_give_the_bits_of_the_layers_in_turn(rng):
    pair, pooling = nn.SpatiallySeparableConv2D(2, 16, 5, activation="relu", rng=rng), nn.MaxPool2D(3, 2)
    net, x = nn.Sequential(pair, pooling), pictures(3, 9, 7)
    y = pooling.forward(pair.forward(x, training=True), training=True).copy()
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = pair.backward(pooling.backward(dy)).copy()
    gradients = {name: gradient.copy() for name, gradient in pair.grads.items()}
    np.testing.assert_array_equal(net.forward(x, training=True), y)
    np.testing.assert_array_equal(net.backward(dy), dx)
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(pair.grads[name], gradient)
    with pytest.raises(nn.ShapeError, match=r"layer 0, spatially_separable_conv2d: .*2 channels, got 3"):
        net.forward(np.zeros((1, 9, 7, 3), np.float32))
    with pytest.raises(nn.ShapeError, match=r"layer 1, max_pool2d: .*window"):
        net.forward(pictures(1, 2, 2))
