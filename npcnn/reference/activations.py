"""ReLU, softmax and the cross-entropy loss, with their gradients, as their definitions.

The only subtlety lies in the exponentials.  exp overflows beyond about 88 in
float32 and 709 in float64, so softmax first subtracts the largest logit, which
changes nothing: exp(z - m) / sum(exp(z - m)) = exp(z) / sum(exp(z)).  And the
loss never takes the log of a softmax, which may have rounded to zero; it uses
log-sum-exp, log(sum(exp(z))) = m + log(sum(exp(z - m))).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def relu(x: NDArray[Any]) -> NDArray[Any]:
    """Rectified linear unit, y = max(x, 0); NaN stays NaN.

    Parameters
    ----------
    x : ndarray
        Of any shape.

    Returns
    -------
    y : ndarray
        Shaped like `x`.

    References
    ----------
    Nair & Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", 2010.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return np.where(x < 0, x.dtype.type(0), x)


def relu_backward(dy: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Gradient of `relu`: dx = dy where y > 0, else 0.

    The output tells as much as the input, so the input need not be kept.  At 0, where ReLU has no
    derivative, the gradient is taken to be 0.

    Parameters
    ----------
    dy : ndarray
        The gradient of the loss with respect to `y`.
    y : ndarray, shape of `dy`
        What `relu` returned.

    Returns
    -------
    dx : ndarray, shape of `dy`
        The gradient with respect to the input.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.relu_backward(np.array([5.0, 6.0]), np.array([0.0, 2.0]))
    array([0., 6.])
    """
    return np.where(y > 0, dy, dy.dtype.type(0))


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Probabilities from logits, p[n, k] = exp(z[n, k]) / sum_l exp(z[n, l]).

    Parameters
    ----------
    logits : ndarray, shape (N, classes)
        The scores z.

    Returns
    -------
    p : ndarray, shape (N, classes)
        Each row sums to one.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.softmax(np.log([[1.0, 2.0, 5.0]])).round(3)
    array([[0.125, 0.25 , 0.625]])
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    p: NDArray[Any] = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)
    return p


def log_softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Logarithms of the softmax, log p[n, k] = z[n, k] - log sum_l exp(z[n, l]).

    Parameters
    ----------
    logits : ndarray, shape (N, classes)
        The scores z.

    Returns
    -------
    log_p : ndarray, shape (N, classes)
        Finite even where the softmax itself rounds to zero.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.log_softmax(np.array([[0.0, 2000.0]]))
    array([[-2000.,     0.]])
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p: NDArray[Any] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_p


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
