"""The loss of a classifier: by hand, where the article's formula fails, its gradient, and what it refuses."""

import numpy as np
import pytest
from cases import assert_refused, either
from second_opinions import central_difference

import npcnn as nn
from npcnn import functional as F


@either
def test_softmax_cross_entropy_worked_by_hand(ops):
    logits = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    loss, dlogits = ops.softmax_cross_entropy(logits, np.array([1, 2]))
    assert isinstance(loss, float)
    assert loss == pytest.approx((np.log(4) + np.log(2)) / 2, rel=1e-14)
    expected = [[0.0625, -0.375, 0.3125], [0.125, 0.125, -0.25]]
    np.testing.assert_allclose(dlogits, expected, rtol=1e-13)


@either
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_cross_entropy_of_huge_logits(dtype, ops):
    logits = np.array([[10000.0, 0.0], [-10000.0, -10000.0]], dtype)
    loss, dlogits = ops.softmax_cross_entropy(logits, np.array([1, 0]))
    assert loss == pytest.approx((10000 + np.log(2)) / 2, rel=1e-3)
    np.testing.assert_array_equal(dlogits, [[0.5, -0.5], [-0.25, 0.25]])


@either
def test_softmax_cross_entropy_where_the_logarithm_of_softmax_fails(ops):
    logits, labels = np.array([[200.0, 0.0]], np.float32), np.array([0])
    # The article's formula: -sum(onehot * log(softmax)).
    exponentials = np.exp(logits - 200)
    with np.errstate(divide="ignore", invalid="ignore"):
        article = -(np.array([[1.0, 0.0]]) * np.log(exponentials / exponentials.sum())).sum()
    assert np.isnan(article)
    loss, dlogits = ops.softmax_cross_entropy(logits, labels)
    assert loss == 0.0
    np.testing.assert_array_equal(dlogits, [[0, 0]])
    # And the other way round, where it is inf: 200 is right.
    assert ops.softmax_cross_entropy(logits, np.array([1]))[0] == pytest.approx(200)


@either
def test_softmax_cross_entropy_against_central_differences(ops):
    rng = np.random.default_rng(5)
    logits, labels = 3 * rng.standard_normal((4, 6)), rng.integers(0, 6, 4)
    _, dlogits = ops.softmax_cross_entropy(logits, labels)
    numeric = central_difference(lambda: ops.softmax_cross_entropy(logits, labels)[0], logits)
    np.testing.assert_allclose(dlogits, numeric, atol=1e-9)
    before = logits.copy()
    ops.softmax_cross_entropy(logits, labels)
    np.testing.assert_array_equal(logits, before)


def test_softmax_cross_entropy_gradient_passes_gradcheck(rng):
    labels = rng.integers(0, 5, 4)
    report = nn.gradcheck(
        lambda logits: np.array(F.softmax_cross_entropy(logits, labels)[0]),
        rng.standard_normal((4, 5)),
        backward=lambda dy, logits: dy * F.softmax_cross_entropy(logits, labels)[1],
        tolerance=1e-7,
    )
    assert report.ok, report


X = np.zeros((2, 6, 6, 3), np.float32)
LOGITS = np.zeros((2, 3), np.float32)
LABELS = np.array([0, 2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.softmax_cross_entropy(X, LABELS), nn.ShapeError, "logits must have 2 axes"),
        (lambda: F.softmax_cross_entropy(LOGITS, LABELS[:1]), nn.ShapeError, "labels must have shape"),
        (lambda: F.softmax_cross_entropy(LOGITS, LABELS + 1), ValueError, r"labels\[1\] = 3"),
        (lambda: F.softmax_cross_entropy(LOGITS, LABELS - 1), ValueError, r"labels\[0\] = -1"),
        (lambda: F.softmax_cross_entropy(LOGITS, LABELS * 1.0), nn.DTypeError, "labels must be integers"),
        (lambda: F.softmax_cross_entropy(LOGITS, [0, 2]), TypeError, "labels must be a numpy.ndarray"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
