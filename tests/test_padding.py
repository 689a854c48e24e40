"""Zero padding: by hand, over drawn shapes, beside the padding of a convolution, and what it refuses."""

import numpy as np
import pytest
from cases import assert_refused, either
from drawn import LAYOUTS, REAL_TYPES, laid_out, zero_pad_configuration
from second_opinions import central_difference

import npcnn as nn
from npcnn import functional as F
from npcnn import reference

SQUARE = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)


@either
@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (0, [[1, 2], [3, 4]]),
        (1, [[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]]),
        ((0, 1), [[0, 1, 2, 0], [0, 3, 4, 0]]),
        (((1, 0), (0, 2)), [[0, 0, 0, 0], [1, 2, 0, 0], [3, 4, 0, 0]]),
    ],
)
def test_by_hand(ops, padding, expected):
    y = ops.zero_pad2d(SQUARE, padding)
    np.testing.assert_array_equal(y[0, :, :, 0], expected)
    np.testing.assert_array_equal(ops.zero_pad2d_backward(y + 5, padding=padding), SQUARE + 5)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(60))
def test_equals_the_definition(seed, dtype):
    x, padding = zero_pad_configuration(seed)
    x = x.astype(dtype)
    y = F.zero_pad2d(x, padding)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, reference.zero_pad2d(x, padding))
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    dx = F.zero_pad2d_backward(dy, padding=padding)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, reference.zero_pad2d_backward(dy, padding=padding))


def test_definition_against_central_differences(rng):
    x, padding = rng.standard_normal((2, 3, 2, 2)), ((1, 0), (2, 1))
    dy = rng.standard_normal((2, 4, 5, 2))
    numeric = central_difference(lambda: np.vdot(reference.zero_pad2d(x, padding), dy), x, step=1e-2)
    np.testing.assert_allclose(reference.zero_pad2d_backward(dy, padding=padding), numeric, atol=1e-10)


def test_gradients(rng):
    report = nn.gradcheck(nn.ZeroPad2D(((1, 0), (2, 1))), rng.standard_normal((2, 3, 4, 2)), tolerance=1e-7)
    assert report.ok, report


def test_it_is_the_padding_of_a_convolution(rng):
    x, w = rng.standard_normal((2, 5, 6, 3)), rng.standard_normal((3, 3, 3, 4))
    padding = ((1, 2), (0, 1))
    np.testing.assert_allclose(
        F.conv2d(F.zero_pad2d(x, padding), w, padding="valid"), F.conv2d(x, w, padding=padding), atol=1e-13
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_does_not_matter(layout):
    x, padding = zero_pad_configuration(3)
    y = F.zero_pad2d(x, padding)
    given_x, given_y = laid_out(layout, x, y)
    np.testing.assert_array_equal(F.zero_pad2d(given_x, padding), y)
    np.testing.assert_array_equal(F.zero_pad2d_backward(given_y, padding=padding), x)


def test_results_go_where_out_says(rng):
    x = rng.standard_normal((2, 3, 4, 3))
    out, dx = np.full((2, 5, 6, 3), np.nan), np.full_like(x, np.nan)
    assert F.zero_pad2d(x, 1, out=out) is out
    np.testing.assert_array_equal(out, F.zero_pad2d(x, 1))
    assert F.zero_pad2d_backward(out, padding=1, out=dx) is dx
    np.testing.assert_array_equal(dx, x)


def test_what_a_layer_says_of_itself():
    layer = nn.ZeroPad2D((1, 2))
    assert repr(layer) == "ZeroPad2D((1, 2))"
    assert layer.kind == "zero_pad"
    assert layer.multiplications((4, 4, 5)) == 0
    assert nn.Sequential(nn.Conv2D(1, 5, 3), layer).output_shape((4, 4, 1)) == (6, 8, 5)


X = np.zeros((2, 3, 3, 4), np.float32)


def after_forward(layer, dy):
    layer.forward(X, training=True)
    return layer.backward(dy)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.zero_pad2d(X[0], 2), nn.ShapeError, "x must have 4 axes"),
        (lambda: F.zero_pad2d(X[:, :0], 2), nn.ShapeError, "x has an empty axis"),
        (lambda: F.zero_pad2d(X.astype(int), 2), nn.DTypeError, "x must be float32 or float64"),
        (lambda: F.zero_pad2d(X, -1), ValueError, "padding must be an integer of at least 0"),
        (lambda: F.zero_pad2d(X, (1, -1)), ValueError, r"padding\[1\] must be"),
        (lambda: F.zero_pad2d(X, ((1, 2), (0, -1))), ValueError, r"padding\[1\]\[1\] must be"),
        (lambda: F.zero_pad2d(X, ((1, 2), 0)), TypeError, r"padding\[0\] must be an integer"),
        (lambda: F.zero_pad2d(X, (1, 2, 3)), ValueError, "padding must be an integer or a pair"),
        (lambda: F.zero_pad2d(X, "same"), TypeError, "padding must be an integer"),
        (lambda: F.zero_pad2d(X, 2**31), ValueError, "padding must be .* at most 2147483647"),
        (lambda: F.zero_pad2d(X, 2**31 - 1), nn.ShapeError, "more bytes than can be addressed"),
        (lambda: F.zero_pad2d(X, 0, out=X), ValueError, "out must not share memory"),
        (lambda: F.zero_pad2d_backward(X, padding=2), nn.ShapeError, "dy must be larger than the padding"),
        (lambda: F.zero_pad2d_backward(X[0], padding=1), nn.ShapeError, "dy must have 4 axes"),
        (lambda: nn.ZeroPad2D(-1), ValueError, "padding must be"),
        (lambda: nn.ZeroPad2D(1)(X[0]), nn.ShapeError, "takes pictures of shape"),
        (lambda: nn.ZeroPad2D(1)("x"), TypeError, "x must be a numpy.ndarray"),
        (lambda: after_forward(nn.ZeroPad2D(1), X), nn.ShapeError, r"dy must have shape \(2, 5, 5, 4\)"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
