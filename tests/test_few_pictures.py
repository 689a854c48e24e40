"""Fewer pictures than threads: these share out parts of a picture, and the bits stay those of one thread."""

import tracemalloc

import numpy as np
import pytest
from cases import NOT_CARRIED
from drawn import conv1d_configuration, conv2d_configuration

import npcnn as nn
from npcnn import functional
from npcnn.kernels import core

THREADS = [2, 3, 8]
POOLINGS = [
    {"size": 2, "padding": "same"},
    {"size": 3, "stride": 2, "padding": "same"},  # windows overlap
    {"size": (2, 1), "stride": (3, 4)},  # pixels in no window
    {"size": (2, 3), "stride": 1, "padding": 1},
    {"size": (3, 2), "stride": 2, "padding": 1, "dilation": (1, 2), "ceil_mode": True},
]


@pytest.fixture(autouse=True)
def threads():
    before = nn.get_num_threads()
    yield
    nn.set_num_threads(before)


def assert_the_same_on_more_threads(call):
    nn.set_num_threads(1)
    expected = call()
    for threads in THREADS:
        nn.set_num_threads(threads)
        for got, wanted in zip(call(), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("kernel", [(5, 5), (5, 1), (1, 5), (2, 3), (7, 3)])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_convolution_and_pooling(kernel, pooling, count, rng):
    x = rng.standard_normal((count, 29, 26, 5)).astype(np.float32)
    w = rng.standard_normal((*kernel, 5, 19)).astype(np.float32)
    b = rng.standard_normal(19).astype(np.float32)
    options = {"pooling": pooling, "algorithm": "toom_cook", "relu": True}
    assert_the_same_on_more_threads(lambda: functional.conv2d_max_pool2d(x, w, b, **options))
    in_turn = functional.max_pool2d(functional.conv2d(x, w, b, algorithm="toom_cook", relu=True), **pooling)
    for got, wanted in zip(functional.conv2d_max_pool2d(x, w, b, **options), in_turn, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("algorithm", ["toom_cook", "im2col"])
@pytest.mark.parametrize("seed", range(60))
def test_drawn_convolutions(algorithm, seed):
    if seed % 3:
        x, w, b, options = conv2d_configuration(seed, kernel=(5, 3) if algorithm == "toom_cook" else None)
        function = functional.conv2d
    else:
        x, w, b, options = conv1d_configuration(seed, taps=5 if algorithm == "toom_cook" else None)
        function = functional.conv1d
    x, w, b = (array.astype(np.float32) for array in (x[:2], w, b))
    assert_the_same_on_more_threads(lambda: [function(x, w, b, algorithm=algorithm, **options)])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy says that inf - inf is invalid
@pytest.mark.parametrize("value", NOT_CARRIED)
@pytest.mark.parametrize("place", [(0, 3, 2, 1), (0, 12, 23, 0), (1, 20, 11, 2)])
def test_a_number_that_toom_cook_cannot_carry_in_one_part(place, value, rng):
    x = rng.standard_normal((2, 24, 24, 3)).astype(np.float32)
    x[place] = value
    w = rng.standard_normal((5, 5, 3, 17)).astype(np.float32)
    assert_the_same_on_more_threads(lambda: functional.conv2d_max_pool2d(x, w, pooling={"size": 2}))
    assert_the_same_on_more_threads(lambda: [functional.conv2d(x, w, relu=True)])


def test_a_second_picture_of_the_same_size_needs_no_new_array(rng):
    net, x = nn.models.cifar_separable(rng=rng), rng.standard_normal((1, 24, 24, 3)).astype(np.float32)
    for _ in range(2):
        net.forward(x)
    tracemalloc.start()
    try:
        net.forward(x)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5000  # the smallest array between two layers has 6 x 6 x 64 numbers


@pytest.mark.parametrize("make", [lambda: nn.Conv2D(3, 10, 5), lambda: nn.Conv2D(3, 10, 3, algorithm="toom_cook_2d")])
def test_weights_that_are_kept_at_the_points_are_those_that_the_layer_has(make, rng):
    layer, x = make(), rng.standard_normal((1, 9, 11, 3)).astype(np.float32)
    w, b = layer.params["w"], layer.params["b"]

    def assert_right():
        for _ in range(2):
            np.testing.assert_array_equal(layer.forward(x), functional.conv2d(x, w, b, algorithm=layer.runs_on))

    assert_right()
    w[-1, -1, -1, -1] = np.nextafter(w[-1, -1, -1, -1], np.float32(1))
    assert_right()
    for value in (0.0, -0.0, 1.0, np.inf, np.nan, 1e30, 2.0):
        w[0, 1, 2, 3] = value
        assert_right()
    dy = np.ones_like(layer.forward(x, training=True))
    layer.backward(dy)
    nn.SGD(layer, lr=0.1).step()
    assert_right()
    isa = core.isa()
    try:
        for other in (*core.supported_isas(), *reversed(core.supported_isas())):
            core.use_isa(other)
            assert_right()
    finally:
        core.use_isa(isa)
