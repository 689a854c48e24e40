"""Max and average pooling and their gradients, written as definitions.

Pooling reduces every window of a picture to one pixel, channel by channel.
Pixels of the padding take no part: they are never the largest, and they are
not added (`count_include_pad` says whether they count in the mean).  In
`ceil_mode` the last window may reach beyond the padding; what lies there never
counts.

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
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Largest value of every window, channel by channel, and where it was.

    y[n, i, j, c] = max over kh, kw of x[n, row, col, c]

    with row = i * stride_h + kh * dilation_h - top and col = j * stride_w + kw * dilation_w - left,
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
    dilation : int or (height, width)
        Pixels from one tap of the window to the next.
    ceil_mode : bool
        Round the number of windows up, not down; see `npcnn.reference.windows.axis_windows`.

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
    rows, cols = picture_windows(
        (H, W), size, stride=stride or size, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )
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
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
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
    size, stride, padding, dilation, ceil_mode
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
    rows, cols = picture_windows(
        (H, W), size, stride=stride or size, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )
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
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> NDArray[Any]:
    """Mean of every window, channel by channel.

    y[n, i, j, c] = sum_kh sum_kw x[n, row, col, c] / count

    over the pixels inside the picture, with row and col as for `max_pool2d`; `count` is their number
    in window (i, j), or that of the taps inside the padded picture when `count_include_pad` is true.

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
    dilation : int or (height, width)
        Pixels from one tap of the window to the next.
    ceil_mode : bool
        Round the number of windows up, not down; see `npcnn.reference.windows.axis_windows`.
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
    rows, cols = picture_windows(
        (H, W), size, stride=stride or size, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )
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
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
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
    size, stride, padding, dilation, ceil_mode, count_include_pad
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
    rows, cols = picture_windows(
        (H, W), size, stride=stride or size, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )
    count = _pixels_per_window(rows, cols, count_include_pad)
    dx = np.zeros(x_shape, dy.dtype)
    for i, _, row in rows.taps():
        for j, _, col in cols.taps():
            dx[:, row, col] += dy[:, i, j] / count[i, j]
    return dx


def _pixels_per_window(rows: AxisWindows, cols: AxisWindows, count_include_pad: bool) -> NDArray[np.int64]:
    """Return what the sum of each window (i, j) is divided by, shape (OH, OW)."""
    counts = []
    for axis in (rows, cols):
        first, end = (-axis.before, axis.length + axis.after) if count_include_pad else (0, axis.length)
        i, k = np.ogrid[: axis.output_length, : axis.size]
        positions = i * axis.stride + k * axis.dilation - axis.before
        counts.append(((first <= positions) & (positions < end)).sum(axis=1))
    return np.outer(*counts)
