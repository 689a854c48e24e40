"""Zero padding and its gradient, written as definitions."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["zero_pad2d", "zero_pad2d_backward"]

Sides: TypeAlias = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


def zero_pad2d(x: NDArray[Any], padding: Sides) -> NDArray[Any]:
    """Pictures with a border of zeros.

    y[n, top + i, left + j, c] = x[n, i, j, c], and 0 elsewhere

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        The pictures.
    padding : int, (height, width) or ((top, bottom), (left, right))
        Pixels of the border.

    Returns
    -------
    y : ndarray, shape (N, top + H + bottom, left + W + right, C)
        The result, in the dtype of `x`.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.zero_pad2d(np.array([[7.0]]).reshape(1, 1, 1, 1), ((1, 0), (1, 2)))[0, :, :, 0]
    array([[0., 0., 0., 0.],
           [0., 7., 0., 0.]])
    """
    (top, bottom), (left, right) = _sides(padding)
    N, H, W, C = x.shape
    y = np.zeros((N, top + H + bottom, left + W + right, C), x.dtype)
    for i, j in np.ndindex(H, W):
        y[:, top + i, left + j] = x[:, i, j]
    return y


def zero_pad2d_backward(dy: NDArray[Any], *, padding: Sides) -> NDArray[Any]:
    """Gradient of `zero_pad2d`: that of the picture; what the border gets, nobody asks for.

    dx[n, i, j, c] = dy[n, top + i, left + j, c]

    Parameters
    ----------
    dy : ndarray, shape (N, top + H + bottom, left + W + right, C)
        The gradient of the loss with respect to `y`.
    padding
        What `zero_pad2d` was given.

    Returns
    -------
    dx : ndarray, shape (N, H, W, C)
        The gradient with respect to the input.

    Examples
    --------
    >>> from npcnn import reference
    >>> dy = np.arange(1.0, 9.0).reshape(1, 2, 4, 1)
    >>> reference.zero_pad2d_backward(dy, padding=((1, 0), (1, 2))).ravel()
    array([6.])
    """
    (top, bottom), (left, right) = _sides(padding)
    N, OH, OW, C = dy.shape
    dx = np.zeros((N, OH - top - bottom, OW - left - right, C), dy.dtype)
    for i, j in np.ndindex(*dx.shape[1:3]):
        dx[:, i, j] = dy[:, top + i, left + j]
    return dx


def _sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the padding as ((top, bottom), (left, right))."""
    height, width = padding if isinstance(padding, tuple | list) else (padding, padding)
    return (
        tuple(height) if isinstance(height, tuple | list) else (height, height),
        tuple(width) if isinstance(width, tuple | list) else (width, width),
    )
