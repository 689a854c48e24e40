"""Upsampling, nearest and bilinear: by hand, over drawn shapes, its gradients, and what it refuses."""

import numpy as np
import pytest
from cases import assert_equal_arrays, assert_refused, either
from drawn import LAYOUTS, REAL_TYPES, laid_out, upsampling_configuration
from second_opinions import central_difference

import npcnn as nn
from npcnn import functional as F
from npcnn import reference

LINE = np.array([0.0, 12.0, 24.0]).reshape(1, 1, 3, 1)


@either
@pytest.mark.parametrize(
    ("factor", "mode", "expected"),
    [
        (1, "nearest", [0, 12, 24]),
        (1, "bilinear", [0, 12, 24]),
        ((1, 2), "nearest", [0, 0, 12, 12, 24, 24]),
        # Centres a quarter of a pixel beside those of the input; the outermost pixel goes on to the edge.
        ((1, 2), "bilinear", [0, 3, 9, 15, 21, 24]),
        ((1, 3), "bilinear", [0, 0, 4, 8, 12, 16, 20, 24, 24]),
        ((1, 4), "bilinear", [0, 0, 1.5, 4.5, 7.5, 10.5, 13.5, 16.5, 19.5, 22.5, 24, 24]),
    ],
)
def test_by_hand(ops, factor, mode, expected):
    np.testing.assert_allclose(ops.upsample2d(LINE, factor, mode=mode).ravel(), expected, atol=1e-13)
    upright = ops.upsample2d(LINE.swapaxes(1, 2), factor if factor == 1 else factor[::-1], mode=mode)
    np.testing.assert_allclose(upright.ravel(), expected, atol=1e-13)


@either
def test_both_axes_by_hand(ops):
    x = np.array([[0.0, 16.0], [32.0, 48.0]]).reshape(1, 2, 2, 1)
    y = ops.upsample2d(x, 2)
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 0, 16, 16], [0, 0, 16, 16], [32, 32, 48, 48], [32, 32, 48, 48]])
    y = ops.upsample2d(x, 2, mode="bilinear")
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 4, 12, 16], [8, 12, 20, 24], [24, 28, 36, 40], [32, 36, 44, 48]])


@either
def test_backward_by_hand(ops):
    dy = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]).reshape(1, 1, 6, 1)
    np.testing.assert_array_equal(ops.upsample2d_backward(dy, factor=(1, 2)).ravel(), [3, 12, 48])
    dx = ops.upsample2d_backward(dy, factor=(1, 2), mode="bilinear")
    np.testing.assert_array_equal(
        dx.ravel(), [1 + 2 * 0.75 + 4 * 0.25, 2 * 0.25 + 4 * 0.75 + 8 * 0.75 + 16 * 0.25, 8 * 0.25 + 16 * 0.75 + 32]
    )


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("seed", range(100))
def test_equals_the_definition(seed, mode, dtype):
    x, factor = upsampling_configuration(seed)
    x = x.astype(dtype)
    y = F.upsample2d(x, factor, mode=mode)
    assert_equal_arrays(y, reference.upsample2d(x.astype(np.float64), factor, mode=mode), dtype)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    expected = reference.upsample2d_backward(dy.astype(np.float64), factor=factor, mode=mode)
    assert_equal_arrays(F.upsample2d_backward(dy, factor=factor, mode=mode), expected, dtype)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("factor", [1, 2, (3, 2), (1, 4)])
def test_definition_against_central_differences(factor, mode, rng):
    x = rng.standard_normal((2, 3, 2, 2))
    dy = rng.standard_normal(reference.upsample2d(x, factor, mode=mode).shape)
    dx = reference.upsample2d_backward(dy, factor=factor, mode=mode)
    numeric = central_difference(lambda: np.vdot(reference.upsample2d(x, factor, mode=mode), dy), x, step=1e-2)
    np.testing.assert_allclose(dx, numeric, atol=1e-10)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("factor", [2, (3, 1)])
def test_gradients(factor, mode, rng):
    report = nn.gradcheck(nn.UpSample2D(factor, mode), rng.standard_normal((2, 3, 4, 2)), tolerance=1e-7)
    assert report.ok, report


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_a_constant_stays_one_and_so_does_infinity(mode):
    x = np.full((1, 3, 2, 1), 0.1, np.float32)
    np.testing.assert_allclose(F.upsample2d(x, (3, 4), mode=mode), 0.1, rtol=1e-6)
    x[...] = np.inf
    np.testing.assert_array_equal(F.upsample2d(x, (3, 4), mode=mode), np.inf)
    # A pixel that an infinite one is no part of stays as it is.
    x[:, 0] = 1
    np.testing.assert_array_equal(F.upsample2d(x, 3, mode=mode)[:, :2], 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_memory_layout_does_not_matter(mode, layout):
    x, factor = upsampling_configuration(3)
    y = F.upsample2d(x, factor, mode=mode)
    given_x, given_y = laid_out(layout, x, y)
    np.testing.assert_array_equal(F.upsample2d(given_x, factor, mode=mode), y)
    np.testing.assert_array_equal(
        F.upsample2d_backward(given_y, factor=factor, mode=mode), F.upsample2d_backward(y, factor=factor, mode=mode)
    )


def test_results_go_where_out_says(rng):
    x = rng.standard_normal((2, 3, 4, 3))
    y = F.upsample2d(x, 2, mode="bilinear")
    out, dx = np.full_like(y, np.nan), np.full_like(x, np.nan)
    assert F.upsample2d(x, 2, mode="bilinear", out=out) is out
    np.testing.assert_array_equal(out, y)
    assert F.upsample2d_backward(y, factor=2, mode="bilinear", out=dx) is dx
    np.testing.assert_array_equal(dx, F.upsample2d_backward(y, factor=2, mode="bilinear"))


def test_what_a_layer_says_of_itself():
    layer = nn.UpSample2D((2, 3), mode="bilinear")
    assert repr(layer) == "UpSample2D((2, 3), mode='bilinear')"
    assert repr(nn.UpSample2D(2)) == "UpSample2D(2)"
    assert layer.kind == "upsample"
    assert nn.Sequential(nn.Conv2D(1, 5, 3), layer).output_shape((4, 4, 1)) == (8, 12, 5)
    assert layer.multiplications((4, 4, 5)) == 4 * 8 * 12 * 5
    # Along the height all 8 rows lie between two, along the width two of three columns do.
    assert layer.multiplications((4, 4, 5), spent=True) == 2 * 8 * 4 * 5 + 2 * 8 * 8 * 5
    assert nn.UpSample2D(2).multiplications((4, 4, 5)) == nn.UpSample2D(2).multiplications((4, 4, 5), spent=True) == 0


X = np.zeros((2, 3, 3, 4), np.float32)
Y = np.zeros((2, 6, 6, 4), np.float32)


def after_forward(layer, dy):
    layer.forward(X, training=True)
    return layer.backward(dy)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.upsample2d(X[0], 2), nn.ShapeError, "x must have 4 axes"),
        (lambda: F.upsample2d(X[:, :0], 2), nn.ShapeError, "x has an empty axis"),
        (lambda: F.upsample2d(X.astype(int), 2), nn.DTypeError, "x must be float32 or float64"),
        (lambda: F.upsample2d(X, 0), ValueError, "factor must be"),
        (lambda: F.upsample2d(X, 1.5), TypeError, "factor must be an integer"),
        (lambda: F.upsample2d(X, (2, 2, 2)), ValueError, "factor must be an integer or a pair"),
        (lambda: F.upsample2d(X, 2, mode="cubic"), ValueError, "mode must be 'nearest' or 'bilinear', got 'cubic'"),
        (lambda: F.upsample2d(X, 2**31), ValueError, "factor must be .* at most 2147483647"),
        (lambda: F.upsample2d(X, 2**31 - 1), nn.ShapeError, "more bytes than can be addressed"),
        (lambda: F.upsample2d(X, 2, out=X), nn.ShapeError, "out must have shape"),
        (lambda: F.upsample2d(X, 1, out=X), ValueError, "out must not share memory"),
        (
            lambda: F.upsample2d_backward(Y, factor=4),
            nn.ShapeError,
            r"dy must .* multiples of factor \(4, 4\), got \(6",
        ),
        (lambda: F.upsample2d_backward(Y[:, :0], factor=2), nn.ShapeError, "dy has an empty axis"),
        (lambda: F.upsample2d_backward(Y, factor=2, mode=1), ValueError, "mode must be"),
        (lambda: nn.UpSample2D(0), ValueError, "factor must be"),
        (lambda: nn.UpSample2D(2, "linear"), ValueError, "mode must be"),
        (lambda: nn.UpSample2D(2)(X[0]), nn.ShapeError, "takes pictures of shape"),
        (lambda: nn.UpSample2D(2)("x"), TypeError, "x must be a numpy.ndarray"),
        (lambda: after_forward(nn.UpSample2D(2), X), nn.ShapeError, r"dy must have shape \(2, 6, 6, 4\)"),
        (lambda: nn.UpSample2D(2).backward(Y), RuntimeError, "needs a forward pass before it"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
