"""The loss of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.activations import log_softmax

__all__ = ["softmax_cross_entropy"]


def softmax_cross_entropy(logits: NDArray[Any], labels: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Mean cross-entropy of softmax(logits) against labels, and its gradient.

    loss = mean over n of -log(softmax(logits[n])[labels[n]]),
    dlogits = (softmax(logits) - onehot(labels)) / N.

    The logarithm is taken of the sum of exponentials, never of a probability.  A plain
    ``log(softmax(logits))`` underflows where the network is sure: float32 softmax gives an exact 0 at a
    difference of about 104, its logarithm is -inf, and 0 * -inf in a sum over one-hot classes is NaN.

    Parameters
    ----------
    logits : ndarray, shape (N, classes), float32 or float64
        Scores before the softmax.
    labels : ndarray, shape (N,), integers
        The right class of each row, 0 to classes - 1.

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
        If logits are not float32 or float64, or labels not integers.
    ValueError
        If a label is out of range.

    Examples
    --------
    >>> loss, dlogits = nn.functional.softmax_cross_entropy(np.zeros((1, 2)), np.array([0]))
    >>> round(loss, 4)                                   # log 2
    0.6931
    >>> dlogits
    array([[-0.5,  0.5]])
    """
    log_probabilities = log_softmax(logits)
    N, classes = log_probabilities.shape
    labels = _checked_labels(labels, N, classes)
    if N == 0:
        return 0.0, np.zeros_like(log_probabilities)
    rows = np.arange(N)
    loss = -float(log_probabilities[rows, labels].mean(dtype=np.float64))
    dlogits = np.exp(log_probabilities)
    dlogits[rows, labels] -= 1
    dlogits /= N
    return loss, dlogits


def _checked_labels(labels: Any, count: int, classes: int) -> NDArray[np.integer[Any]]:
    if not isinstance(labels, np.ndarray):
        raise TypeError(
            f"labels must be a numpy.ndarray of {count} integers, got {type(labels).__name__}; "
            "convert it with numpy.asarray"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DTypeError(
            f"labels must be integers, the number of the class, got {labels.dtype}; "
            "convert one-hot rows with labels.argmax(axis=1)"
        )
    if labels.shape != (count,):
        hint = "; convert one-hot rows with labels.argmax(axis=1)" if labels.shape == (count, classes) else ""
        raise ShapeError(f"labels must have shape ({count},), one for each row of logits, got {labels.shape}{hint}")
    if count and not (labels.min() >= 0 and labels.max() < classes):
        wrong = int(np.flatnonzero((labels < 0) | (labels >= classes))[0])
        raise ValueError(
            f"labels must be 0 to {classes - 1}, the columns of logits, got labels[{wrong}] = {labels[wrong]}"
        )
    return labels
