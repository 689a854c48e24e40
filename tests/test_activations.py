"""ReLU and softmax: by hand, at their edges, their gradients, and what they refuse."""

import numpy as np
import pytest
from cases import assert_refused, either

import npcnn as nn
from npcnn import functional as F

REAL_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@either
@REAL_TYPES
def test_relu_and_its_gradient_worked_by_hand(dtype, ops):
    x = np.array([[-2.0, 0.0, 3.0], [np.nan, -np.inf, np.inf]], dtype)
    y = ops.relu(x)
    np.testing.assert_array_equal(y, [[0, 0, 3], [np.nan, 0, np.inf]])
    dy = np.array([[5.0, 6.0, 7.0], [8.0, 9.0, 10.0]], dtype)
    np.testing.assert_array_equal(ops.relu_backward(dy, y), [[0, 0, 7], [0, 0, 10]])


def test_relu_in_place_and_its_gradient():
    x = np.array([-2.0, -0.0, 0.0, 3.0])
    assert F.relu(x, out=x) is x
    np.testing.assert_array_equal(x, [0, 0, 0, 3])
    np.testing.assert_array_equal(F.relu_backward(np.full(4, 5.0), x), [0, 0, 0, 5])


def test_relu_gradient_passes_gradcheck(rng):
    x = rng.standard_normal((4, 5))
    report = nn.gradcheck(F.relu, x, backward=lambda dy, x: F.relu_backward(dy, F.relu(x)), tolerance=1e-7)
    assert report.ok, report


def test_results_may_not_overlap_what_is_still_read(rng):
    memory = rng.standard_normal(40)
    x, shifted = memory[:20], memory[1:21]
    for call in (lambda: F.relu(x, out=shifted), lambda: F.relu_backward(x, x, out=shifted)):
        before = memory.copy()
        with pytest.raises(ValueError, match="out must not share memory"):
            call()
        np.testing.assert_array_equal(memory, before)


@either
def test_softmax_worked_by_hand(ops):
    logits = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    expected = [[0.125, 0.25, 0.625], [0.25, 0.25, 0.5]]
    np.testing.assert_allclose(ops.softmax(logits), expected, rtol=1e-14)
    np.testing.assert_allclose(ops.log_softmax(logits), np.log(expected), rtol=1e-14)


@either
@REAL_TYPES
def test_softmax_of_huge_logits(dtype, ops):
    logits = np.array([[10000.0, 0.0], [-10000.0, -10000.0]], dtype)
    np.testing.assert_array_equal(ops.softmax(logits), [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(ops.log_softmax(logits), [[0, -10000], [-np.log(2), -np.log(2)]], rtol=1e-3)


@either
def test_softmax_is_stable_and_sums_to_one(ops):
    logits = np.array([[1e4, -1e4, 0.0], [1.0, 2.0, 3.0]])
    p = ops.softmax(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-15)
    np.testing.assert_array_equal(p[0], [1, 0, 0])
    np.testing.assert_allclose(ops.log_softmax(logits)[1], np.log(p[1]), atol=1e-15)


X = np.zeros((2, 6, 6, 3), np.float32)
Y = np.zeros((2, 6, 6, 4), np.float32)
LOGITS = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.relu(X.astype(int)), nn.DTypeError, "x must be float32"),
        (lambda: F.relu([1.0]), TypeError, "x must be a numpy.ndarray, got list"),
        (lambda: F.relu(X, out=X[:1]), nn.ShapeError, "out must have shape"),
        (lambda: F.relu_backward(Y, X), nn.ShapeError, "y must have shape"),
        (lambda: nn.ReLU().forward([1.0]), TypeError, "x must be a numpy.ndarray"),
        (lambda: F.softmax(LOGITS[0, 0, ...]), nn.ShapeError, r"logits must have shape \(\.\.\., classes\)"),
        (lambda: F.log_softmax(LOGITS[0, 0, ...]), nn.ShapeError, r"logits must have shape \(\.\.\., classes\)"),
        (lambda: F.softmax(LOGITS[:, :0]), nn.ShapeError, "at least one class"),
        (lambda: F.softmax(LOGITS.astype(int)), nn.DTypeError, "logits must be float32"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
