"""The im2col matrix, written out: what the kernel sees at each output pixel, as one row.

With it a convolution is a matrix product, and so are its gradients.  The kernels of npcnn compute that product
without ever writing this matrix (``docs/how-the-core-works.md``); here it is, to be looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.reference.windows import IntOrPair, Padding2D, picture_windows


def im2col(
    x: NDArray[Any],
    size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: Padding2D = "same",
    dilation: IntOrPair = 1,
) -> NDArray[Any]:
    """Return the patches of a batch of pictures as rows of a matrix.

    columns[(n, i, j), (kh, kw, c)] = x[n, row, col, c], and 0 outside the picture

    with row = i * stride_h + kh * dilation_h - top and col = j * stride_w + kw * dilation_w - left.  Then
    ``columns @ w.reshape(-1, C_out)`` is the convolution by `w`.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        The pictures.
    size, stride, padding, dilation
        As in `npcnn.reference.conv2d`, whose weights have the shape (*size, C, C_out).

    Returns
    -------
    ndarray, shape (N * OH * OW, KH * KW * C)
        In the dtype of `x`.

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.im2col(np.array([[[[1], [2], [3]]]]), (1, 3))
    array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 0]])
    """
    N, H, W, C = x.shape
    rows, cols = picture_windows((H, W), size, stride=stride, padding=padding, dilation=dilation)
    columns = np.zeros((N, rows.output_length, cols.output_length, rows.size, cols.size, C), x.dtype)
    for i, kh, row in rows.taps():
        for j, kw, col in cols.taps():
            columns[:, i, j, kh, kw] = x[:, row, col]
    return columns.reshape(N * rows.output_length * cols.output_length, rows.size * cols.size * C)


def col2im(
    columns: NDArray[Any],
    x_shape: tuple[int, ...],
    size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: Padding2D = "same",
    dilation: IntOrPair = 1,
) -> NDArray[Any]:
    """Put the rows of such a matrix back where `im2col` took them from, adding where patches overlap.

    dx[n, row, col, c] = sum of columns[(n, i, j), (kh, kw, c)] over all (i, kh) that look at row and (j, kw) at col

    It is the transpose of `im2col`, not its inverse: the gradient with respect to `x` of a sum over `columns`.

    Parameters
    ----------
    columns : ndarray, shape (N * OH * OW, KH * KW * C)
        The rows.
    x_shape : tuple of int
        (N, H, W, C) of the pictures.
    size, stride, padding, dilation
        What `im2col` was given.

    Returns
    -------
    ndarray, shape `x_shape`
        In the dtype of `columns`.

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    Examples
    --------
    Each pixel of a line is seen as often as there are patches over it:

    >>> from npcnn import reference
    >>> reference.col2im(np.ones((4, 3), int), (1, 1, 4, 1), (1, 3))[0, 0, :, 0]
    array([2, 3, 3, 2])
    """
    N, H, W, C = x_shape
    rows, cols = picture_windows((H, W), size, stride=stride, padding=padding, dilation=dilation)
    patches = columns.reshape(N, rows.output_length, cols.output_length, rows.size, cols.size, C)
    dx = np.zeros(x_shape, columns.dtype)
    for i, kh, row in rows.taps():
        for j, kw, col in cols.taps():
            dx[:, row, col] += patches[:, i, j, kh, kw]
    return dx
