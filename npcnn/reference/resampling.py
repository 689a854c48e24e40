"""Upsampling of pictures and its gradient, written as definitions.

A picture of larger size is computed from pixels as squares: pixel i of an axis reaches from i to i + 1, and its centre
is at i + 0.5.  Where the centre of an output pixel lies on the input decides which input pixels it is made of.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.reference.windows import IntOrPair, as_pair

__all__ = ["upsample2d", "upsample2d_backward"]


def upsample2d(x: NDArray[Any], factor: IntOrPair, *, mode: str = "nearest") -> NDArray[Any]:
    """Pictures `factor` times as large.

    y[n, i, j, c] = sum of weight * x[n, row, col, c] over one pixel ("nearest") or four ("bilinear")

    The centre of output pixel i lies (i + 0.5) / factor - 0.5 pixels from the centre of input pixel 0.  "nearest" takes
    the input pixel that it lies in, "bilinear" the two whose centres it lies between, each the more the nearer it is;
    beyond the outermost centres there is only the outermost pixel.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        The pictures.
    factor : int or (height, width)
        How many times as large.
    mode : "nearest" or "bilinear"

    Returns
    -------
    y : ndarray, shape (N, H * factor, W * factor, C)
        The result, in the dtype of `x`.

    Raises
    ------
    ValueError
        If `mode` is neither.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.array([0.0, 8.0]).reshape(1, 1, 2, 1)
    >>> reference.upsample2d(x, (1, 2)).ravel(), reference.upsample2d(x, (1, 2), mode="bilinear").ravel()
    (array([0., 0., 8., 8.]), array([0., 2., 6., 8.]))
    """
    N, H, W, C = x.shape
    rows, cols = (_sources(length, times, mode) for length, times in zip((H, W), as_pair(factor), strict=True))
    y = np.zeros((N, len(rows), len(cols), C), x.dtype)
    for i, j in np.ndindex(len(rows), len(cols)):
        for row, row_weight in rows[i]:
            for col, col_weight in cols[j]:
                y[:, i, j] += row_weight * col_weight * x[:, row, col]
    return y


def upsample2d_backward(dy: NDArray[Any], *, factor: IntOrPair, mode: str = "nearest") -> NDArray[Any]:
    """Gradient of `upsample2d`: every output pixel hands its gradient to those it is made of, by their weights.

    dx[n, row, col, c] = sum of weight * dy[n, i, j, c] over the output pixels (i, j) that (row, col) is part of

    Parameters
    ----------
    dy : ndarray, shape (N, H * factor, W * factor, C)
        The gradient of the loss with respect to `y`.
    factor, mode
        What `upsample2d` was given.

    Returns
    -------
    dx : ndarray, shape (N, H, W, C)
        The gradient with respect to the input.

    Raises
    ------
    ValueError
        If `mode` is neither.

    Examples
    --------
    >>> from npcnn import reference
    >>> dy = np.array([4.0, 4.0, 8.0, 8.0]).reshape(1, 1, 4, 1)
    >>> reference.upsample2d_backward(dy, factor=(1, 2), mode="bilinear").ravel()
    array([ 9., 15.])
    """
    N, OH, OW, C = dy.shape
    fh, fw = as_pair(factor)
    rows, cols = _sources(OH // fh, fh, mode), _sources(OW // fw, fw, mode)
    dx = np.zeros((N, OH // fh, OW // fw, C), dy.dtype)
    for i, j in np.ndindex(len(rows), len(cols)):
        for row, row_weight in rows[i]:
            for col, col_weight in cols[j]:
                dx[:, row, col] += row_weight * col_weight * dy[:, i, j]
    return dx


def _sources(length: int, factor: int, mode: str) -> list[list[tuple[int, float]]]:
    """Return for each output pixel of an axis the input pixels that it is made of, with their weights."""
    if mode == "nearest":
        return [[(i // factor, 1.0)] for i in range(length * factor)]
    if mode != "bilinear":
        raise ValueError(f"mode must be 'nearest' or 'bilinear', got {mode!r}")
    sources = []
    for i in range(length * factor):
        position = (i + 0.5) / factor - 0.5
        before = math.floor(position)
        share = position - before
        pair = [(before, 1 - share), (before + 1, share)]
        sources.append([(min(max(pixel, 0), length - 1), weight) for pixel, weight in pair if weight])
    return sources
