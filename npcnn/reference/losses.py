"""The cross-entropy loss and its gradient, written as a definition.

It never takes the log of a softmax, which may have rounded to zero; it uses
log-sum-exp, log(sum(exp(z))) = m + log(sum(exp(z - m))), with m the largest logit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.reference.activations import log_softmax, softmax

__all__ = ["softmax_cross_entropy"]


def softmax_cross_entropy(logits: NDArray[Any], labels: NDArray[np.integer]) -> tuple[float, NDArray[Any]]:
    """Mean cross-entropy of the softmax of `logits`, and its gradient.

    loss          = mean over n of -log p[n, labels[n]]
    dlogits[n, k] = (p[n, k] - [k == labels[n]]) / N

    Parameters
    ----------
    logits : ndarray, shape (N, classes)
        The scores.
    labels : ndarray of int, shape (N,)
        The true classes.

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
    N = max(len(logits), 1)
    samples = np.arange(len(logits))
    loss = -log_softmax(logits)[samples, labels].sum() / N
    dlogits = softmax(logits)
    dlogits[samples, labels] -= 1
    dlogits /= N
    return float(loss), dlogits
