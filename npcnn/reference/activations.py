"""ReLU, its gradient, and softmax, written as definitions.

The only subtlety lies in the exponentials.  exp overflows beyond about 88 in
float32 and 709 in float64, so softmax first subtracts the largest logit, which
changes nothing: exp(z - m) / sum(exp(z - m)) = exp(z) / sum(exp(z)).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["log_softmax", "relu", "relu_backward", "softmax"]


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
