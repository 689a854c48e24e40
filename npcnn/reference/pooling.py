"""Max and average pooling and their gradients, written as definitions.

Pooling reduces every window of a picture to one pixel, channel by channel.
Pixels of the padding take no part: they are never the largest, and they are
not added (`count_include_pad` says whether they count in the mean).

In the backward pass, the maximum hands its gradient to the one pixel that won,
the mean hands an equal share to every pixel of the window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.reference.windows import AxisWindows, IntOrPair, Padding2D, as_pair, picture_windows

__all__ = ["avg_pool2d", "avg_pool2d_backward", "max_pool2d", "max_pool2d_backward"]


def max_pool2d(
    x: NDArray[Any],
    size: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: Padding2D = "valid",
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Largest value of every window, channel by channel, and where it was.

    y[n, i, j, c] = max over kh, kw of x[n, i * stride_h + kh - top, j * stride_w + kw - left, c]

    over the pixels inside the picture.  Of equal values the first in row-major order wins; a NaN
    wins over every number, the first NaN over later ones.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        The pictures.
    size : int or (height, width)
        The window (KH, KW).
    stride : int or (height, width), optional
        Pixels from one window to the next; by default `size`.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        Smaller than the window on every side, so that each window holds a pixel.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C)
        The largest values.
    argmax : ndarray of int32, shape (N, OH, OW, C)
        Their positions inside the window, kh * KW + kw (the padding counts as positions).

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.array([[1.0, 7.0, 3.0, 3.0], [5.0, 2.0, 3.0, 0.0]]).reshape(1, 2, 4, 1)
    >>> y, argmax = reference.max_pool2d(x, 2)
    >>> y.ravel(), argmax.ravel()
    (array([7., 3.]), array([1, 0], dtype=int32))
    """
    N, H, W, C = x.shape
    _, KW = as_pair(size)
    rows, cols = picture_windows((H, W), size, stride=stride or size, padding=padding)
    shape = (N, rows.output_length, cols.output_length, C)
    y = np.zeros(shape, x.dtype)
    argmax = np.full(shape, -1, np.int32)  # -1: this window has seen no pixel yet
    for i, kh, row in rows.taps():
        for j, kw, col in cols.taps():
            value, best = x[:, row, col], y[:, i, j]
            is_first = argmax[:, i, j] == -1
            is_first_nan = np.isnan(value) & ~np.isnan(best)
            wins = is_first | (value > best) | is_first_nan
            y[:, i, j] = np.where(wins, value, best)
            argmax[:, i, j] = np.where(wins, kh * KW + kw, argmax[:, i, j])
    return y, argmax


def max_pool2d_backward(
    dy: NDArray[Any],
    argmax: NDArray[np.integer],
    x_shape: tuple[int, ...],
    *,
    size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding2D = "valid",
) -> NDArray[Any]:
    """Gradient of `max_pool2d`: every window hands its gradient to the pixel that won.

    dx[n, row, col, c] = sum of dy[n, i, j, c] over the windows with argmax[n, i, j, c] there

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C)
        The gradient of the loss with respect to `y`.
    argmax : ndarray of int, shape (N, OH, OW, C)
        What `max_pool2d` returned.
    x_shape : tuple of int
        (N, H, W, C), the shape of the input of `max_pool2d`.
    size, stride, padding
        What `max_pool2d` was given.

    Returns
    -------
    dx : ndarray, shape (N, H, W, C)
        The gradient with respect to the input.

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.array([[1.0, 7.0], [5.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> y, argmax = reference.max_pool2d(x, 2)
    >>> dy = np.full((1, 1, 1, 1), 10.0)
    >>> reference.max_pool2d_backward(dy, argmax, x.shape, size=2)[0, :, :, 0]
    array([[ 0., 10.],
           [ 0.,  0.]])
    """
    _, H, W, _ = x_shape
    _, KW = as_pair(size)
    rows, cols = picture_windows((H, W), size, stride=stride or size, padding=padding)
    dx = np.zeros(x_shape, dy.dtype)
    for i, kh, row in rows.taps():
        for j, kw, col in cols.taps():
            dx[:, row, col] += np.where(argmax[:, i, j] == kh * KW + kw, dy[:, i, j], 0)
    return dx


def avg_pool2d(
    x: NDArray[Any],
    size: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: Padding2D = "valid",
    count_include_pad: bool = False,
) -> NDArray[Any]:
    """Mean of every window, channel by channel.

    y[n, i, j, c] = sum_kh sum_kw x[n, i * stride_h + kh - top, j * stride_w + kw - left, c] / count

    over the pixels inside the picture; `count` is their number in window (i, j), or KH * KW when
    `count_include_pad` is true.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        The pictures.
    size : int or (height, width)
        The window (KH, KW).
    stride : int or (height, width), optional
        Pixels from one window to the next; by default `size`.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        Smaller than the window on every side, so that each window holds a pixel.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C)
        The means.

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.array([[1.0, 7.0, 3.0], [5.0, 3.0, 1.0]]).reshape(1, 2, 3, 1)
    >>> reference.avg_pool2d(x, 2, padding="same").ravel()
    array([4., 2.])
    >>> reference.avg_pool2d(x, 2, padding="same", count_include_pad=True).ravel()
    array([4., 1.])
    """
    N, H, W, C = x.shape
    rows, cols = picture_windows((H, W), size, stride=stride or size, padding=padding)
    count = _pixels_per_window(rows, cols, count_include_pad)
    y = np.zeros((N, rows.output_length, cols.output_length, C), x.dtype)
    for i, _, row in rows.taps():
        for j, _, col in cols.taps():
            y[:, i, j] += x[:, row, col] / count[i, j]
    return y


def avg_pool2d_backward(
    dy: NDArray[Any],
    x_shape: tuple[int, ...],
    *,
    size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding2D = "valid",
    count_include_pad: bool = False,
) -> NDArray[Any]:
    """Gradient of `avg_pool2d`: every window hands each of its pixels an equal share.

    dx[n, row, col, c] = sum of dy[n, i, j, c] / count over the windows (i, j) that hold (row, col)

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C)
        The gradient of the loss with respect to `y`.
    x_shape : tuple of int
        (N, H, W, C), the shape of the input of `avg_pool2d`.
    size, stride, padding, count_include_pad
        What `avg_pool2d` was given.

    Returns
    -------
    dx : ndarray, shape (N, H, W, C)
        The gradient with respect to the input.

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    Examples
    --------
    >>> from npcnn import reference
    >>> dy = np.full((1, 1, 1, 1), 8.0)
    >>> reference.avg_pool2d_backward(dy, (1, 2, 2, 1), size=2)[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]])
    """
    _, H, W, _ = x_shape
    rows, cols = picture_windows((H, W), size, stride=stride or size, padding=padding)
    count = _pixels_per_window(rows, cols, count_include_pad)
    dx = np.zeros(x_shape, dy.dtype)
    for i, _, row in rows.taps():
        for j, _, col in cols.taps():
            dx[:, row, col] += dy[:, i, j] / count[i, j]
    return dx


def _pixels_per_window(rows: AxisWindows, cols: AxisWindows, count_include_pad: bool) -> NDArray[np.int64]:
    """Return what the sum of each window (i, j) is divided by, shape (OH, OW)."""
    count = np.zeros((rows.output_length, cols.output_length), np.int64)
    if count_include_pad:
        return count + rows.size * cols.size
    for i, _, _ in rows.taps():
        for j, _, _ in cols.taps():
            count[i, j] += 1
    return count
