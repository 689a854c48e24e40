"""The loss of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.activations import log_softmax
from npcnn.functional.checks import class_labels

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
    N = len(log_probabilities)
    labels = class_labels(labels, log_probabilities, "logits")
    if N == 0:
        return 0.0, np.zeros_like(log_probabilities)
    rows = np.arange(N)
    loss = -float(log_probabilities[rows, labels].mean(dtype=np.float64))
    dlogits = np.exp(log_probabilities)
    dlogits[rows, labels] -= 1
    dlogits /= N
    return loss, dlogits
