"""The losses and their gradients, written as definitions.

The cross-entropy never takes the log of a softmax, which may have rounded to zero; it uses
log-sum-exp, log(sum(exp(z))) = m + log(sum(exp(z - m))), with m the largest logit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.reference.probabilities import log_softmax, softmax

__all__ = ["mean_squared_error", "softmax_cross_entropy"]


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[Any],
    *,
    label_smoothing: float = 0.0,
    class_weights: NDArray[Any] | None = None,
) -> tuple[float, NDArray[Any]]:
    """Mean cross-entropy of the softmax of `logits`, and its gradient.

    q[n, k]       = w[k] ((1 - s) label[n, k] + s / classes)
    loss          = mean over n of -sum over k of q[n, k] log p[n, k]
    dlogits[n, k] = (p[n, k] sum over j of q[n, j] - q[n, k]) / N

    with p = softmax(logits), s = `label_smoothing`, w = `class_weights` and label[n, k] = [k == labels[n]] where the
    labels are numbers of classes.  Without smoothing and weights, loss = mean over n of -log p[n, labels[n]].

    Parameters
    ----------
    logits : ndarray, shape (N, classes)
        The scores.
    labels : ndarray, shape (N,) of int, or (N, classes) of float
        The true classes, or a probability for each.
    label_smoothing : float
        Share of the label that is spread over all classes.
    class_weights : ndarray, shape (classes,), optional
        By default 1.

    Returns
    -------
    loss : float
        Mean over the batch; 0.0 for an empty one.
    dlogits : ndarray, shape (N, classes)
        The gradient of the loss with respect to the logits.

    Examples
    --------
    >>> from npcnn import reference
    >>> loss, dlogits = reference.softmax_cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 6)   # log 4
    1.386294
    >>> dlogits
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
    N, classes = max(len(logits), 1), logits.shape[1]
    q = np.eye(classes)[labels] if labels.ndim == 1 else labels
    q = (1 - label_smoothing) * q + label_smoothing / classes
    q = (q if class_weights is None else class_weights * q).astype(logits.dtype)
    counted = q > 0  # 0 log p is 0, even where p is 0
    loss = -(q[counted] * log_softmax(logits)[counted]).sum() / N
    dlogits = (softmax(logits) * q.sum(axis=1, keepdims=True) - q) / N
    return float(loss), dlogits


def mean_squared_error(outputs: NDArray[Any], targets: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Mean over all numbers of the squared difference, and its gradient.

    loss     = mean of (outputs - targets)^2
    doutputs = 2 (outputs - targets) / size

    Parameters
    ----------
    outputs, targets : ndarray
        Of one shape.

    Returns
    -------
    loss : float
        0.0 for an empty batch.
    doutputs : ndarray, the shape of `outputs`
        The gradient of the loss with respect to the outputs.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.mean_squared_error(np.array([1.0, 5.0]), np.array([0.0, 2.0]))
    (5.0, array([1., 3.]))
    """
    size = max(outputs.size, 1)
    difference = outputs - targets
    return float((difference**2).sum() / size), 2 * difference / size
