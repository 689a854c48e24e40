"""Softmax, its logarithm, and their gradients, written as definitions.

exp overflows beyond about 88 in float32 and 709 in float64, so the largest
logit is subtracted first, which changes nothing:
exp(z - m) / sum(exp(z - m)) = exp(z) / sum(exp(z)).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "softmax",
    "softmax_backward",
]


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Probabilities from logits, p[..., k] = exp(z[..., k]) / sum_l exp(z[..., l]).

    Parameters
    ----------
    logits : ndarray, shape (..., classes)
        The scores z.

    Returns
    -------
    p : ndarray, shape (..., classes)
        Along the last axis it sums to one.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.softmax(np.log([[1.0, 2.0, 5.0]])).round(3)
    array([[0.125, 0.25 , 0.625]])
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    p: NDArray[Any] = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)
    return p


def softmax_backward(dy: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Gradient of `softmax`: dz[..., k] = y[..., k] (dy[..., k] - sum_l dy[..., l] y[..., l]).

    It is the product of dy with the matrix of derivatives dy_l / dz_k = y_l ((l == k) - y_k).

    Parameters
    ----------
    dy : ndarray, shape (..., classes)
        The gradient of the loss with respect to `y`.
    y : ndarray, shape of `dy`
        What `softmax` returned.

    Returns
    -------
    dlogits : ndarray, shape of `dy`

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.softmax_backward(np.array([[1.0, 0.0]]), np.array([[0.25, 0.75]]))
    array([[ 0.1875, -0.1875]])
    """
    dlogits: NDArray[Any] = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    return dlogits


def log_softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Logarithms of the softmax, log p[..., k] = z[..., k] - log sum_l exp(z[..., l]).

    Parameters
    ----------
    logits : ndarray, shape (..., classes)
        The scores z.

    Returns
    -------
    log_p : ndarray, shape (..., classes)
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


def log_softmax_backward(dy: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Gradient of `log_softmax`: dz[..., k] = dy[..., k] - exp(y[..., k]) sum_l dy[..., l].

    It is the product of dy with the matrix of derivatives dy_l / dz_k = (l == k) - exp(y_k).

    Parameters
    ----------
    dy : ndarray, shape (..., classes)
        The gradient of the loss with respect to `y`.
    y : ndarray, shape of `dy`
        What `log_softmax` returned.

    Returns
    -------
    dlogits : ndarray, shape of `dy`

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.log_softmax_backward(np.array([[1.0, 0.0]]), np.log([[0.25, 0.75]]))
    array([[ 0.75, -0.75]])
    """
    dlogits: NDArray[Any] = dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)
    return dlogits
