"""Losses: of a classifier, and of a network whose outputs are quantities.

A loss takes the outputs of a network and what they should have been, and returns its value and the gradient with
respect to the outputs.  `npcnn.train.fit` takes any such function; `functools.partial` sets its options.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import class_labels, exact_shape, float_array, number, same_dtype
from npcnn.functional.exchange import as_array
from npcnn.functional.probabilities import log_softmax

__all__ = ["mean_squared_error", "softmax_cross_entropy"]

Array: TypeAlias = NDArray[Any]

# How far the probabilities of a row may be from 1 together: float32 rounds a sum of thousands by less.
SUM_TOLERANCE = 1e-4


def softmax_cross_entropy(
    logits: Array, labels: Array, *, label_smoothing: float = 0.0, class_weights: Array | None = None
) -> tuple[float, Array]:
    """Mean cross-entropy of softmax(logits) against labels, and its gradient.

    loss = mean over n of -log(softmax(logits[n])[labels[n]]),
    dlogits = (softmax(logits) - onehot(labels)) / N.

    In general, with q[n, k] = class_weights[k] * ((1 - label_smoothing) * label[n, k] + label_smoothing / classes),
    where label is onehot(labels) or `labels` itself,

    loss = mean over n of -sum over k of q[n, k] * log(softmax(logits[n])[k]),
    dlogits = (softmax(logits) * sum over k of q - q) / N.

    The logarithm is taken of the sum of exponentials, never of a probability.  A plain
    ``log(softmax(logits))`` underflows where the network is sure: float32 softmax gives an exact 0 at a
    difference of about 104, its logarithm is -inf, and 0 * -inf in a sum over one-hot classes is NaN.

    Parameters
    ----------
    logits : ndarray, shape (N, classes), float32 or float64
        Scores before the softmax.
    labels : ndarray, shape (N,), integers, or shape (N, classes), float32 or float64
        The right class of each row, 0 to classes - 1; or soft labels, a probability for each class, which add up to 1
        in every row, as mixing two pictures gives them.
    label_smoothing : float
        From 0 to below 1: the share of each label that is spread evenly over all classes.
    class_weights : ndarray, shape (classes,), float32 or float64, optional
        How much each class counts, at least 0.  The loss is the plain mean over the rows, divided by N as in Keras, so
        the loss of a data set does not depend on how it is cut into batches.  PyTorch divides by the sum of the
        weights of the labels, unless the labels are soft: multiply by ``N / class_weights[labels].sum()`` to get its
        result.  Weights that are 1 on average over the labels make the two alike.

    Returns
    -------
    loss : float
        0.0 for an empty batch.
    dlogits : ndarray, the shape and dtype of `logits`

    Raises
    ------
    ShapeError
        If the ranks or lengths do not match.
    DTypeError
        If logits are not float32 or float64, or labels neither integers nor soft labels.
    TypeError
        If an argument is not an array, or not a number.
    ValueError
        If a label is out of range, soft labels are negative or do not add up to 1, `label_smoothing` is not from 0 to
        below 1, or a class weight is negative or not finite.

    References
    ----------
    Szegedy et al., "Rethinking the Inception Architecture", 2015, section 7 (label smoothing).

    Examples
    --------
    >>> loss, dlogits = nn.functional.softmax_cross_entropy(np.zeros((1, 2)), np.array([0]))
    >>> round(loss, 4)                                   # log 2
    0.6931
    >>> dlogits
    array([[-0.5,  0.5]])

    Half a cat and half a dog; then a cat, of which a tenth is spread over both classes:

    >>> nn.functional.softmax_cross_entropy(np.zeros((1, 2)), np.array([[0.5, 0.5]]))[1]
    array([[0., 0.]])
    >>> nn.functional.softmax_cross_entropy(np.zeros((1, 2)), np.array([0]), label_smoothing=0.1)[1]
    array([[-0.45,  0.45]])
    """
    log_probabilities = log_softmax(logits)
    N = len(log_probabilities)
    labels = as_array(labels, "labels")
    soft = isinstance(labels, np.ndarray) and labels.ndim == 2 and labels.dtype.kind == "f"
    labels = (_soft_labels if soft else class_labels)(labels, log_probabilities, "logits")
    smoothing = number(label_smoothing, "label_smoothing", minimum=0, below=1)
    weights = None if class_weights is None else _class_weights(class_weights, log_probabilities)
    if N == 0:
        return 0.0, np.zeros_like(log_probabilities)
    dlogits = np.exp(log_probabilities)
    if soft or smoothing or weights is not None:
        q = _weighted_labels(labels, smoothing, weights, log_probabilities)
        counted = q > 0  # 0 * log(p) is 0, even where p is 0
        loss = -float((q[counted] * log_probabilities[counted]).sum(dtype=np.float64) / N)
        dlogits *= q.sum(axis=1, keepdims=True)
        dlogits -= q
    else:
        rows = np.arange(N)
        loss = -float(log_probabilities[rows, labels].mean(dtype=np.float64))
        dlogits[rows, labels] -= 1
    dlogits /= N
    return loss, dlogits


def mean_squared_error(outputs: Array, targets: Array) -> tuple[float, Array]:
    """Mean over all numbers of the squared difference of outputs and targets, and its gradient.

    loss = mean of (outputs - targets)^2,  doutputs = 2 * (outputs - targets) / size.

    Parameters
    ----------
    outputs : ndarray, float32 or float64
        Of any shape: predicted quantities, or whole pictures.
    targets : ndarray, the shape and dtype of `outputs`
        What they should have been.  A shape that would only broadcast is refused: (N,) against (N, 1) would compare
        every output with every target.

    Returns
    -------
    loss : float
        0.0 for an empty batch.
    doutputs : ndarray, the shape and dtype of `outputs`

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `outputs` is not a float32 or float64 array, or `targets` is not like it.

    Examples
    --------
    >>> nn.functional.mean_squared_error(np.array([1.0, 5.0]), np.array([0.0, 2.0]))
    (5.0, array([1., 3.]))
    """
    outputs, targets = float_array(outputs, "outputs", None), float_array(targets, "targets", None)
    same_dtype(targets, "targets", outputs, "outputs")
    exact_shape(targets, "targets", outputs.shape, "the shape of outputs")
    difference = np.asarray(outputs - targets)
    size = max(difference.size, 1)
    # In float64, where the square of no float32 overflows.
    loss = float(np.square(difference, dtype=np.float64).sum() / size)
    return loss, np.asarray(difference * (2 / size), outputs.dtype)


def _soft_labels(labels: Array, scores: Array, scores_name: str) -> Array:
    """Return `labels` in the dtype of `scores` if each row of them is probabilities of the columns of `scores`."""
    labels = float_array(labels, "labels", "N, classes")
    exact_shape(labels, "labels", scores.shape, f"a probability for each of the {scores_name}")
    if not (labels >= 0).all():
        row, column = np.argwhere(~(labels >= 0))[0]
        raise ValueError(
            f"labels must be probabilities, at least 0, got labels[{row}, {column}] = {labels[row, column]}"
        )
    sums = labels.sum(axis=1, dtype=np.float64)
    if not (np.abs(sums - 1) <= SUM_TOLERANCE).all():
        row = int(np.flatnonzero(~(np.abs(sums - 1) <= SUM_TOLERANCE))[0])
        raise ValueError(
            f"labels must be probabilities, which add up to 1 in every row, got a sum of {sums[row]:g} in row {row}; "
            "divide each row by its sum"
        )
    return labels.astype(scores.dtype, copy=False)


def _class_weights(class_weights: Array, scores: Array) -> Array:
    """Return `class_weights` in the dtype of `scores` if they are one number of at least 0 for each column."""
    weights = float_array(class_weights, "class_weights", "classes")
    if weights.shape != scores.shape[1:]:
        raise ShapeError(
            f"class_weights must have shape {scores.shape[1:]}, one for each column of logits, got {weights.shape}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        wrong = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
        raise ValueError(f"class_weights must be finite and at least 0, got class_weights[{wrong}] = {weights[wrong]}")
    return weights.astype(scores.dtype, copy=False)


def _weighted_labels(labels: Array, smoothing: float, weights: Array | None, scores: Array) -> Array:
    """Return q, by which the logarithms of the probabilities are multiplied; see `softmax_cross_entropy`."""
    N, classes = scores.shape
    q = np.full_like(scores, smoothing / classes)
    if labels.ndim == 2:
        q += (1 - smoothing) * labels
    else:
        q[np.arange(N), labels] += 1 - smoothing
    if weights is not None:
        q *= weights
    return q
