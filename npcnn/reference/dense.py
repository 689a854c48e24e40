"""The fully connected layer's product and its gradients, written as definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["linear", "linear_backward"]


def linear(x: NDArray[Any], w: NDArray[Any], b: NDArray[Any] | None = None) -> NDArray[Any]:
    """Vectors times a matrix of weights, plus a bias.

    y[n, k] = b[k] + sum_c x[n, c] w[c, k]

    Parameters
    ----------
    x : ndarray, shape (N, C_in)
        The vectors.
    w : ndarray, shape (C_in, C_out)
        The weights.
    b : ndarray, shape (C_out,), optional
        The bias.

    Returns
    -------
    y : ndarray, shape (N, C_out)
        The result, in the dtype of `x`.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.linear(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0], [10.0, 0.0]]), np.array([0.5, 0.0]))
    array([[21.5,  3. ]])
    """
    y = np.zeros((len(x), w.shape[1]), x.dtype)
    for n, k in np.ndindex(*y.shape):
        y[n, k] = (x[n] * w[:, k]).sum() + (0 if b is None else b[k])
    return y


def linear_backward(
    dy: NDArray[Any], x: NDArray[Any], w: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradients of `linear`: each weight has a part in every vector, each number of a vector in every output.

    dx[n, c] = sum_k dy[n, k] w[c, k],  dw[c, k] = sum_n x[n, c] dy[n, k],  db[k] = sum_n dy[n, k]

    Parameters
    ----------
    dy : ndarray, shape (N, C_out)
        The gradient of the loss with respect to `y`.
    x, w
        What `linear` was given.

    Returns
    -------
    dx, dw, db : ndarray, the shapes of x, w and b
        The gradients.

    Examples
    --------
    >>> from npcnn import reference
    >>> dy, x, w = np.array([[1.0, -1.0]]), np.array([[1.0, 2.0]]), np.array([[1.0, 3.0], [10.0, 0.0]])
    >>> [gradient.ravel() for gradient in reference.linear_backward(dy, x, w)]
    [array([-2., 10.]), array([ 1., -1.,  2., -2.]), array([ 1., -1.])]
    """
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for n, c in np.ndindex(*x.shape):
        dx[n, c] = (dy[n] * w[c]).sum()
        dw[c] += x[n, c] * dy[n]
    return dx, dw, dy.sum(0)
