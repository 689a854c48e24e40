"""The losses: by hand, where the article's formula fails, their gradients, and what they refuse."""

import numpy as np
import pytest
from cases import assert_equal_arrays, assert_refused, either
from drawn import LAYOUTS, REAL_TYPES, laid_out
from second_opinions import central_difference

import npcnn as nn
from npcnn import functional as F
from npcnn import reference


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


@either
def test_label_smoothing_by_hand(ops):
    # Probabilities 1/8, 2/8, 5/8; the label (0, 1, 0) becomes (0.1, 0.8, 0.1).
    loss, dlogits = ops.softmax_cross_entropy(np.log([[1.0, 2.0, 5.0]]), np.array([1]), label_smoothing=0.3)
    assert loss == pytest.approx(0.1 * np.log(8) + 0.8 * np.log(4) + 0.1 * np.log(8 / 5), rel=1e-14)
    np.testing.assert_allclose(dlogits, [[0.125 - 0.1, 0.25 - 0.8, 0.625 - 0.1]], rtol=1e-13)


@either
def test_soft_labels_by_hand(ops):
    logits = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    loss, dlogits = ops.softmax_cross_entropy(logits, np.array([[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]))
    assert loss == pytest.approx((np.log(8) / 2 + np.log(8 / 5) / 2 + np.log(2)) / 2, rel=1e-14)
    np.testing.assert_allclose(dlogits, [[-0.1875, 0.125, 0.0625], [0.125, 0.125, -0.25]], rtol=1e-13)


@either
def test_class_weights_by_hand(ops):
    # Twice the first row's loss and half the second's, divided by the number of rows.
    logits, weights = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]]), np.array([9.0, 2.0, 0.5])
    loss, dlogits = ops.softmax_cross_entropy(logits, np.array([1, 2]), class_weights=weights)
    assert loss == pytest.approx((2 * np.log(4) + 0.5 * np.log(2)) / 2, rel=1e-14)
    np.testing.assert_allclose(dlogits, [[0.125, -0.75, 0.625], [0.0625, 0.0625, -0.125]], rtol=1e-13)


@either
def test_mean_squared_error_by_hand(ops):
    loss, doutputs = ops.mean_squared_error(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 4.0], [0.0, 4.0]]))
    assert isinstance(loss, float)
    assert loss == (4 + 9) / 4
    np.testing.assert_array_equal(doutputs, [[0, -1], [1.5, 0]])


@either
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (2, 3, 4, 1)])
@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_mean_squared_error_takes_any_shape(ops, shape, dtype, rng):
    outputs = np.asarray(rng.standard_normal(shape), dtype)
    loss, doutputs = ops.mean_squared_error(outputs, np.zeros_like(outputs))
    assert loss == pytest.approx((outputs**2).mean() if outputs.size else 0, rel=1e-6)
    assert (doutputs.shape, doutputs.dtype) == (shape, dtype)


def test_mean_squared_error_of_large_numbers_does_not_overflow():
    loss, doutputs = F.mean_squared_error(np.full(2, 1e25, np.float32), np.zeros(2, np.float32))
    assert loss == pytest.approx(1e50)
    np.testing.assert_allclose(doutputs, 1e25, rtol=1e-6)


@either
@pytest.mark.parametrize("options", [{}, {"class_weights": np.ones(3)}])
def test_a_class_that_is_ruled_out_costs_nothing_unless_it_is_asked_for(ops, options):
    logits, soft = np.array([[0.0, 0.0, -np.inf]]), np.array([[1.0, 0.0, 0.0]])
    for labels in (np.array([0]), soft):
        loss, dlogits = ops.softmax_cross_entropy(logits, labels, **options)
        assert loss == pytest.approx(np.log(2))
        np.testing.assert_allclose(dlogits, [[-0.5, 0.5, 0]])
    assert ops.softmax_cross_entropy(logits, soft, label_smoothing=0.1)[0] == np.inf


def drawn_labels(seed):
    """Return logits, labels and options of the cross-entropy, all float64."""
    rng = np.random.default_rng([5, seed])
    N, classes = rng.integers(1, 30), rng.integers(1, 20)
    labels = rng.integers(0, classes, N) if seed % 2 else rng.dirichlet(np.full(classes, 0.3), N)
    options = {}
    if seed % 3:
        options["label_smoothing"] = rng.uniform(0, 0.9)
    if seed % 5 > 1:
        options["class_weights"] = rng.uniform(0, 3, classes)
    return 5 * rng.standard_normal((N, classes)), labels, options


def in_dtype(dtype, logits, labels, options):
    """Return the same with every array of floats in `dtype`."""
    given = {name: np.asarray(value, dtype) if np.ndim(value) else value for name, value in options.items()}
    return logits.astype(dtype), labels.astype(dtype) if labels.ndim == 2 else labels, given


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(60))
def test_the_losses_equal_their_definitions(seed, dtype):
    logits, labels, options = in_dtype(dtype, *drawn_labels(seed))
    exact = in_dtype(np.float64, logits, labels, options)
    expected, expected_dlogits = reference.softmax_cross_entropy(*exact[:2], **exact[2])
    given = laid_out(LAYOUTS[seed % len(LAYOUTS)], logits, labels)
    loss, dlogits = F.softmax_cross_entropy(*given, **options)
    assert loss == pytest.approx(expected, rel=1e-5 if dtype == np.float32 else 1e-12, abs=1e-6)
    assert dlogits.dtype == dtype
    np.testing.assert_allclose(dlogits, expected_dlogits, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-14)

    targets = np.roll(logits, 1)
    expected, expected_doutputs = reference.mean_squared_error(logits.astype(float), targets.astype(float))
    loss, doutputs = F.mean_squared_error(*laid_out(LAYOUTS[seed % len(LAYOUTS)], logits, targets))
    assert loss == pytest.approx(expected, rel=1e-5 if dtype == np.float32 else 1e-12)
    assert_equal_arrays(doutputs, expected_doutputs, dtype)


@pytest.mark.parametrize("seed", range(12))
def test_the_definitions_against_central_differences(seed):
    logits, labels, options = drawn_labels(seed)
    logits, labels = logits[:4], labels[:4]
    _, dlogits = reference.softmax_cross_entropy(logits, labels, **options)
    numeric = central_difference(lambda: reference.softmax_cross_entropy(logits, labels, **options)[0], logits)
    np.testing.assert_allclose(dlogits, numeric, atol=1e-9)
    targets = np.roll(logits, 1)
    numeric = central_difference(lambda: reference.mean_squared_error(logits, targets)[0], logits)
    np.testing.assert_allclose(reference.mean_squared_error(logits, targets)[1], numeric, atol=1e-8)


@pytest.mark.parametrize("seed", range(12))
def test_the_gradients_pass_gradcheck(seed):
    logits, labels, options = drawn_labels(seed)
    targets = np.roll(logits, 1)
    for loss in (
        lambda x: F.softmax_cross_entropy(x, labels, **options),
        lambda x: F.mean_squared_error(x, targets),
    ):
        report = nn.gradcheck(
            lambda x, loss=loss: np.array(loss(x)[0]),
            logits,
            backward=lambda dy, x, loss=loss: dy * loss(x)[1],
            tolerance=1e-7,
        )
        assert report.ok, report


def test_one_hot_rows_and_the_numbers_of_their_classes_are_the_same_labels(rng):
    logits, labels, weights = rng.standard_normal((9, 4)), rng.integers(0, 4, 9), rng.uniform(0, 2, 4)
    for options in ({}, {"label_smoothing": 0.2}, {"class_weights": weights}):
        loss, dlogits = F.softmax_cross_entropy(logits, labels, **options)
        other, dother = F.softmax_cross_entropy(logits, np.eye(4)[labels], **options)
        assert other == pytest.approx(loss, rel=1e-14)
        np.testing.assert_allclose(dother, dlogits, atol=1e-16)


def test_the_loss_does_not_depend_on_how_the_rows_are_cut_into_batches(rng):
    logits, labels, weights = rng.standard_normal((9, 4)), rng.integers(0, 4, 9), rng.uniform(0, 2, 4)
    whole, _ = F.softmax_cross_entropy(logits, labels, class_weights=weights)
    first, _ = F.softmax_cross_entropy(logits[:2], labels[:2], class_weights=weights)
    rest, _ = F.softmax_cross_entropy(logits[2:], labels[2:], class_weights=weights)
    assert (2 * first + 7 * rest) / 9 == pytest.approx(whole, rel=1e-14)


def test_an_empty_batch_has_no_loss():
    for labels in (np.zeros(0, int), np.zeros((0, 3))):
        loss, dlogits = F.softmax_cross_entropy(np.zeros((0, 3)), labels, label_smoothing=0.1, class_weights=np.ones(3))
        assert (loss, dlogits.shape) == (0.0, (0, 3))


X = np.zeros((2, 6, 6, 3), np.float32)
LOGITS = np.zeros((2, 3), np.float32)
LABELS = np.array([0, 2])
SOFT = np.array([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]], np.float32)


def smoothed(label_smoothing):
    return lambda: F.softmax_cross_entropy(LOGITS, LABELS, label_smoothing=label_smoothing)


def weighted(*class_weights, dtype=np.float32):
    return lambda: F.softmax_cross_entropy(LOGITS, LABELS, class_weights=np.array(class_weights, dtype))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.softmax_cross_entropy(X, LABELS), nn.ShapeError, "logits must have 2 axes"),
        (lambda: F.softmax_cross_entropy(LOGITS, LABELS[:1]), nn.ShapeError, "labels must have shape"),
        (lambda: F.softmax_cross_entropy(LOGITS, LABELS + 1), ValueError, r"labels\[1\] = 3"),
        (lambda: F.softmax_cross_entropy(LOGITS, LABELS - 1), ValueError, r"labels\[0\] = -1"),
        (lambda: F.softmax_cross_entropy(LOGITS, LABELS * 1.0), nn.DTypeError, "labels must be integers"),
        (lambda: F.softmax_cross_entropy(LOGITS, [0, 2]), TypeError, "labels must be a numpy.ndarray"),
        (lambda: F.softmax_cross_entropy(LOGITS, SOFT[:1]), nn.ShapeError, r"labels must have shape \(2, 3\)"),
        (lambda: F.softmax_cross_entropy(LOGITS, SOFT[:, :2]), nn.ShapeError, r"labels must have shape \(2, 3\)"),
        (lambda: F.softmax_cross_entropy(LOGITS, SOFT.astype("f2")), nn.DTypeError, "labels must be float32 or"),
        (lambda: F.softmax_cross_entropy(LOGITS, 1.5 * SOFT - 1 / 6), ValueError, r"labels\[0, 2\] = -0.1666"),
        (lambda: F.softmax_cross_entropy(LOGITS, SOFT * np.nan), ValueError, r"labels\[0, 0\] = nan"),
        (lambda: F.softmax_cross_entropy(LOGITS, SOFT * [[1], [2]]), ValueError, "got a sum of 2 in row 1; divide"),
        (lambda: F.softmax_cross_entropy(LOGITS, SOFT * 0), ValueError, "got a sum of 0 in row 0"),
        (lambda: F.softmax_cross_entropy(LOGITS, SOFT + np.float32(np.inf)), ValueError, "got a sum of inf"),
        (smoothed(1.0), ValueError, "label_smoothing must be .* at least 0 and below 1, got 1.0"),
        (smoothed(-0.1), ValueError, "label_smoothing must be"),
        (smoothed(np.nan), ValueError, "label_smoothing must be"),
        (smoothed("0.1"), TypeError, "label_smoothing must be"),
        (weighted(1, -1, 1), ValueError, r"class_weights\[1\] = -1.0"),
        (weighted(1, 1, np.nan), ValueError, r"class_weights\[2\] = nan"),
        (weighted(np.inf, 1, 1), ValueError, r"class_weights\[0\] = inf"),
        (weighted(1, 1), nn.ShapeError, r"class_weights must have shape \(3,\), one for each column"),
        (weighted([1, 1, 1]), nn.ShapeError, r"class_weights must have 1 axes"),
        (weighted(1, 1, 1, dtype=int), nn.DTypeError, "class_weights must be float32 or float64"),
        (
            lambda: F.softmax_cross_entropy(LOGITS, LABELS, class_weights=[1, 1, 1]),
            TypeError,
            "class_weights must be a numpy.ndarray",
        ),
        (lambda: F.mean_squared_error(LOGITS, LABELS), nn.DTypeError, "targets must be float32 or float64"),
        (lambda: F.mean_squared_error([1.0], LOGITS), TypeError, "outputs must be a numpy.ndarray"),
        (
            lambda: F.mean_squared_error(LOGITS, LOGITS * 1.0 + np.zeros(3)),
            nn.DTypeError,
            "targets must have the dtype",
        ),
        (lambda: F.mean_squared_error(LOGITS, LOGITS[:1]), nn.ShapeError, r"targets must have shape \(2, 3\)"),
        (lambda: F.mean_squared_error(LOGITS[:, :1], LOGITS[:, 0]), nn.ShapeError, r"shape \(2, 1\).*got \(2,\)"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
