"""Infinity, NaN and very large numbers: they stand where the definition puts them, whatever algorithm runs."""

import numpy as np
import pytest

from npcnn import functional as F
from npcnn import reference

VALUES = [np.inf, -np.inf, np.nan, 1e37, 2.0**41]
KERNELS = [(3, 3), (5, 5), (5, 1), (1, 5), (7, 2)]


def pictures(value, place, shape=(3, 12, 13, 4)):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x[(1, *place, 2)] = value
    return x


def assert_same(got, expected):
    """NaN and infinity in the same places, the rest as close as float32 gets to its largest."""
    with np.errstate(over="ignore"):
        expected = expected.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    infinite = np.isinf(expected)
    np.testing.assert_array_equal(np.isinf(got), infinite)
    np.testing.assert_array_equal(got[infinite], expected[infinite])
    finite = np.isfinite(expected)
    largest = np.abs(expected[finite]).max(initial=1.0)
    np.testing.assert_allclose(got[finite] / largest, expected[finite] / largest, rtol=0, atol=1e-5)


def weights(kernel, C_in=4, C_out=5):
    return np.random.default_rng(1).standard_normal((*kernel, C_in, C_out)).astype(np.float32)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the definition in NumPy says that inf - inf is invalid
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("place", [(7, 8), (0, 0), (11, 12)])
def test_forward(place, value, kernel):
    x, w = pictures(value, place), weights(kernel)
    y = F.conv2d(x, w, algorithm="toom_cook")
    assert_same(y, reference.conv2d(*(array.astype(np.float64) for array in (x, w))))
    # The other pictures have the bits that they have without it.
    others = [0, 2]
    np.testing.assert_array_equal(y[others], F.conv2d(x[others], w, algorithm="toom_cook"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("where", ["x", "dy", "w"])
def test_backward(where, value, kernel):
    x, w, dy = pictures(0.5, (7, 8)), weights(kernel), pictures(0.5, (0, 0), (3, 12, 13, 5))
    {"x": x, "dy": dy, "w": w[np.newaxis]}[where][(0, 0, 0, 1)] = value
    expected = reference.conv2d_backward(*(array.astype(np.float64) for array in (dy, x, w)))
    for got, wanted in zip(F.conv2d_backward(dy, x, w, algorithm="toom_cook"), expected, strict=True):
        assert_same(got, wanted)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("relu", [False, True])
def test_pooled_in_one_go(relu, value):
    x, w = pictures(value, (7, 8)), weights((5, 5))
    y, argmax = F.conv2d_max_pool2d(x, w, pooling={"size": 2}, relu=relu)
    convolved = F.conv2d(x, w, relu=relu)
    expected_y, expected_argmax = F.max_pool2d(convolved, 2)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(argmax, expected_argmax)
    dy = np.random.default_rng(2).standard_normal(y.shape).astype(np.float32)
    between = F.max_pool2d_backward(dy, argmax, convolved.shape, size=2)
    expected = F.conv2d_backward(between, x, w, relu_output=convolved if relu else None)
    got = F.conv2d_max_pool2d_backward(dy, argmax, x, w, pooling={"size": 2}, relu_output=y if relu else None)
    for gradient, wanted in zip(got, expected, strict=True):
        np.testing.assert_array_equal(gradient, wanted)


def test_an_infinity_does_not_spread_over_a_tile():
    x, w = np.zeros((1, 12, 12, 4), np.float32), np.ones((5, 1, 4, 4), np.float32)
    x[0, 7, 8, 0] = np.inf
    y = F.conv2d(x, w, algorithm="toom_cook")
    np.testing.assert_array_equal(np.flatnonzero(np.isinf(y).any(axis=(0, 2, 3))), [5, 6, 7, 8, 9])
    assert not np.isnan(y).any()


def test_a_large_number_under_an_identity_kernel():
    x, w = np.zeros((1, 8, 8, 4), np.float32), np.zeros((5, 5, 4, 4), np.float32)
    x[0, 3, 3], w[2, 2] = 1e38, np.eye(4)
    np.testing.assert_array_equal(F.conv2d(x, w, algorithm="toom_cook"), x)


@pytest.mark.parametrize("shape", [(4096, 4096), (1, 100_000), (100_000, 1)])
def test_the_mean_of_a_constant_is_that_constant(shape):
    x = np.full((1, *shape, 1), 0.1, np.float32)
    assert F.avg_pool2d(x, shape).item() == pytest.approx(0.1, rel=1e-6)


def test_a_mean_over_a_large_window_keeps_infinity():
    x = np.ones((1, 20, 20, 1), np.float32)
    x[0, 3, 3] = np.inf
    assert F.avg_pool2d(x, 20).item() == np.inf


@pytest.mark.parametrize("algorithm", ["im2col", "toom_cook"])
@pytest.mark.parametrize("kernel", [(3, 3), (3, 1), (1, 3)])
def test_gradients_over_a_large_picture(kernel, algorithm):
    x, w = np.full((1, 1024, 1024, 1), 0.1, np.float32), np.ones((*kernel, 1, 1), np.float32)
    _, dw, db = F.conv2d_backward(x, x, w, need_dx=False, algorithm=algorithm)
    assert db.item() == pytest.approx(x.astype(np.float64).sum(), rel=1e-6)
    middle = dw[kernel[0] // 2, kernel[1] // 2].item()
    assert middle == pytest.approx(np.square(x, dtype=np.float64).sum(), rel=5e-5)
