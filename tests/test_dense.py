"""The product of dense layers: by hand, over drawn shapes, its bits on any number of threads, and what it refuses."""

import numpy as np
import pytest
from cases import assert_equal_arrays, assert_refused, either
from second_opinions import central_difference

import npcnn as nn
from npcnn import functional as F
from npcnn import reference

X = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]])
W = np.array([[1.0, 0.0, 2.0, -1.0], [10.0, 1.0, 0.0, 4.0]])


@either
def test_by_hand(ops):
    y = ops.linear(X, W, np.array([0.5, 0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(y, [[21.5, 2, 2, 8], [-9.5, -1, 0, -3], [8.5, 0.5, 6, 0]])
    dx, dw, db = ops.linear_backward(np.array([[1.0, 0, 0, 1], [0, 2, 0, 0], [0, 0, 1, 0]]), X, W)
    np.testing.assert_array_equal(dx, [[0, 14], [0, 2], [2, 0]])
    np.testing.assert_array_equal(dw, [[1, 0, 3, 1], [2, -2, 0.5, 2]])
    np.testing.assert_array_equal(db, [1, 2, 1, 1])


def drawn(seed, dtype):
    """Return x, w, b and dy: often few, sometimes more than a block of rows, of columns, of depth."""
    rng = np.random.default_rng(seed)
    N, C_in, C_out = (int(rng.choice([*range(1, 20), 31, 48, 49, 64, 65, 130, 300])) for _ in range(3))
    shapes = (N, C_in), (C_in, C_out), (C_out,), (N, C_out)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(100))
def test_equals_the_definition(seed, dtype):
    arrays = drawn(seed, dtype)
    x, w, b, dy = (array.astype(np.float64) for array in arrays)
    assert_equal_arrays(F.linear(*arrays[:3]), np.einsum("nc,ck->nk", x, w) + b, dtype)
    gradients = F.linear_backward(arrays[3], *arrays[:2])
    expected = np.einsum("nk,ck->nc", dy, w), np.einsum("nc,nk->ck", x, dy), dy.sum(0)
    for got, wanted, summed in zip(gradients, expected, (1e-30, 1e-30, len(x)), strict=True):
        assert_equal_arrays(got, wanted, dtype, summed=summed)


def test_definition_against_einsum_and_central_differences(rng):
    x, w, dy = rng.standard_normal((4, 3)), rng.standard_normal((3, 5)), rng.standard_normal((4, 5))
    np.testing.assert_allclose(reference.linear(x, w), np.einsum("nc,ck->nk", x, w))
    dx, dw, db = reference.linear_backward(dy, x, w)
    b = np.zeros(5)
    for array, gradient in ((x, dx), (w, dw), (b, db)):
        numeric = central_difference(lambda: np.vdot(reference.linear(x, w, b), dy), array, step=1e-2)
        np.testing.assert_allclose(gradient, numeric, atol=1e-9)


@pytest.mark.parametrize("N", [1, 7, 1000])
def test_the_same_bits_on_any_number_of_threads(N, rng):
    x, w, dy = (rng.standard_normal(shape).astype(np.float32) for shape in ((N, 70), (70, 130), (N, 130)))
    bits = set()
    threads = nn.get_num_threads()
    try:
        for count in (1, 2, 3, 8):
            nn.set_num_threads(count)
            bits.add(b"".join(array.tobytes() for array in (F.linear(x, w), *F.linear_backward(dy, x, w))))
    finally:
        nn.set_num_threads(threads)
    assert len(bits) == 1


def test_a_row_is_what_it_is_in_any_batch(rng):
    x, w = rng.standard_normal((100, 30)).astype(np.float32), rng.standard_normal((30, 20)).astype(np.float32)
    np.testing.assert_array_equal(F.linear(x, w)[60:61], F.linear(x[60:61], w))


def test_infinities_and_nan_stand_where_the_definition_puts_them(rng):
    x, w = rng.standard_normal((60, 5)), rng.standard_normal((5, 3))
    x[50, 2], x[7, 0] = np.inf, np.nan
    y = F.linear(x, w)
    assert np.isinf(y[50]).all()
    assert np.isnan(y[7]).all()
    assert np.isfinite(np.delete(y, [50, 7], axis=0)).all()


def test_gradients(rng):
    report = nn.gradcheck(nn.Dense(3, 4, rng=rng, dtype=np.float64), rng.standard_normal((5, 3)), tolerance=1e-7)
    assert report.ok, report


def test_what_dx_is_not_asked_for(rng):
    dx, dw, _ = F.linear_backward(np.ones((3, 4)), X, W, need_dx=False)
    assert dx is None
    np.testing.assert_array_equal(dw, F.linear_backward(np.ones((3, 4)), X, W)[1])


def test_results_are_written_where_they_are_wanted():
    out = np.empty((3, 4))
    assert F.linear(X, W, out=out) is out
    np.testing.assert_array_equal(out, F.linear(X, W))
    dx, dw, db = np.empty((3, 2)), np.empty((2, 4)), np.empty(4)
    for got, given in zip(F.linear_backward(out, X, W, out=(dx, dw, db)), (dx, dw, db), strict=True):
        assert got is given
    np.testing.assert_allclose(dx, reference.linear_backward(out, X, W)[0])


def test_any_layout(rng):
    x, w = rng.standard_normal((2, 3)).T, rng.standard_normal((4, 2)).T
    np.testing.assert_array_equal(F.linear(x, w), F.linear(x.copy(), w.copy()))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.linear(X.tolist(), W), TypeError, "x must be a numpy.ndarray"),
        (lambda: F.linear(X[0], W), nn.ShapeError, r"x must have 2 axes \(N, C_in\), got shape \(2,\)"),
        (lambda: F.linear(X, W.T), nn.ShapeError, r"w must have shape \(2, 2\).*x has 2 numbers in a vector"),
        (lambda: F.linear(X, W.astype(np.float32)), nn.DTypeError, "w must have the dtype of x, float64, got float32"),
        (lambda: F.linear(X, W, np.zeros(3)), nn.ShapeError, r"b must have shape \(4,\)"),
        (lambda: F.linear(np.zeros((3, 0)), np.zeros((0, 4))), nn.ShapeError, "x has an empty axis"),
        (lambda: F.linear(X, W, out=np.zeros((4, 3))), nn.ShapeError, r"out must have shape \(3, 4\)"),
        (lambda: F.linear(X, np.eye(2), out=X), ValueError, "out must not share memory"),
        (lambda: F.linear_backward(X, X, W), nn.ShapeError, r"dy must have shape \(3, 4\).*the shape of y"),
        (lambda: F.linear_backward(np.zeros((3, 4)), X, W, out=np.zeros(3)), TypeError, "out must be a tuple of three"),
    ],
)
def test_it_refuses(call, error, message):
    assert_refused(call, error, message)
