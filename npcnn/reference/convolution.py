"""Convolution and its gradients, written as definitions.

The forward pass is a sum over taps: every output pixel looks at a few input
pixels, and each look is one product of a row of channels with a matrix of
weights.  Every backward pass below is the same loop read the other way: where
forward did ``y += x * w``, the chain rule asks for ``dx += dy * w`` and
``dw += x * dy``.  Pixels of the padding are zero: they add nothing to `y`,
and nobody asks for their gradient, so the loops skip them.

What the field calls convolution is a cross-correlation: the kernel is not
flipped.

A convolution with `groups` is that many convolutions side by side: the input
channels are cut into equal blocks, the output channels too, and each block of
outputs sees one block of inputs.

The same sums can be written as one product of matrices, and so can their
gradients.  For that, `im2col` lays out what the kernel sees at each output
pixel as a row of a matrix, and `col2im` adds such rows up again.  The kernels
of npcnn compute that product without ever writing the matrix
(``docs/how-the-core-works.md``); here it is, to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.reference.windows import (
    IntOrPair,
    Padding1D,
    Padding2D,
    axis_windows,
    picture_windows,
)

__all__ = ["col2im", "conv1d", "conv1d_backward", "conv2d", "conv2d_backward", "im2col"]


def conv2d(
    x: NDArray[Any],
    w: NDArray[Any],
    b: NDArray[Any] | None = None,
    *,
    stride: IntOrPair = 1,
    padding: Padding2D = "same",
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """Two-dimensional convolution of a batch of pictures.

    y[n, i, j, o] = b[o] + sum_kh sum_kw sum_c x[n, row, col, c] * w[kh, kw, c, o]

    with row = i * stride_h + kh * dilation_h - top and col = j * stride_w + kw * dilation_w - left;
    x is zero outside the picture.  With groups, c runs over the input channels of the group of o.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C_in)
        The pictures.
    w : ndarray, shape (KH, KW, C_in / groups, C_out)
        The weights.
    b : ndarray, shape (C_out,), optional
        The biases.
    stride, dilation : int or (height, width)
        Pixels from one window to the next, and from one tap to the next.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        See `npcnn.reference.windows`.
    groups : int
        Blocks into which the channels are cut.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C_out)
        The result, in the dtype of `x`.

    Raises
    ------
    ValueError
        If `padding` is an unknown string, or `groups` does not divide C_in and C_out.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.ones((1, 3, 3, 1))
    >>> w = np.ones((3, 3, 1, 1))
    >>> reference.conv2d(x, w)[0, :, :, 0]
    array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]])

    In two groups, each of the two output channels sees one of the two input channels:

    >>> x = np.array([2.0, 3.0]).reshape(1, 1, 1, 2)
    >>> w = np.array([10.0, 100.0]).reshape(1, 1, 1, 2)
    >>> reference.conv2d(x, w, groups=2).ravel()
    array([ 20., 300.])
    """
    if groups > 1:
        y = _side_by_side(conv2d, groups, x, w, stride=stride, padding=padding, dilation=dilation)
        return y if b is None else y + b
    N, H, W, _ = x.shape
    KH, KW, _, C_out = w.shape
    rows, cols = picture_windows((H, W), (KH, KW), stride=stride, padding=padding, dilation=dilation)
    y = np.zeros((N, rows.output_length, cols.output_length, C_out), x.dtype)
    for i, kh, row in rows.taps():
        for j, kw, col in cols.taps():
            y[:, i, j] += x[:, row, col] @ w[kh, kw]
    return y if b is None else y + b


def conv2d_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    w: NDArray[Any],
    *,
    stride: IntOrPair = 1,
    padding: Padding2D = "same",
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradients of `conv2d` with respect to its input, weights and biases.

    dx[n, row, col, c] = sum_o dy[n, i, j, o] * w[kh, kw, c, o], over all taps looking at (row, col)
    dw[kh, kw, c, o]   = sum_n sum_i sum_j x[n, row, col, c] * dy[n, i, j, o]
    db[o]              = sum_n sum_i sum_j dy[n, i, j, o]

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C_out)
        The gradient of the loss with respect to `y`.
    x, w, stride, padding, dilation, groups
        What `conv2d` was given.

    Returns
    -------
    dx, dw, db : ndarray
        Shaped like `x`, `w` and the bias.

    Raises
    ------
    ValueError
        As `conv2d`.

    References
    ----------
    LeCun et al., "Backpropagation Applied to Handwritten Zip Code Recognition", 1989.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.ones((1, 3, 3, 1))
    >>> w = np.ones((3, 3, 1, 1))
    >>> dx, dw, db = reference.conv2d_backward(np.ones((1, 3, 3, 1)), x, w)
    >>> dx[0, :, :, 0]
    array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]])
    >>> db
    array([9.])
    """
    if groups > 1:
        return _gradients_side_by_side(
            conv2d_backward, groups, dy, x, w, stride=stride, padding=padding, dilation=dilation
        )
    _, H, W, _ = x.shape
    KH, KW, _, _ = w.shape
    rows, cols = picture_windows((H, W), (KH, KW), stride=stride, padding=padding, dilation=dilation)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i, kh, row in rows.taps():
        for j, kw, col in cols.taps():
            dx[:, row, col] += dy[:, i, j] @ w[kh, kw].T
            dw[kh, kw] += x[:, row, col].T @ dy[:, i, j]
    return dx, dw, dy.sum(axis=(0, 1, 2))


def conv1d(
    x: NDArray[Any],
    w: NDArray[Any],
    b: NDArray[Any] | None = None,
    *,
    axis: str,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """One-dimensional convolution along the height or the width of a batch of pictures.

    y[n, i, j, o] = b[o] + sum_k sum_c x[n, row, j, c] * w[k, c, o]      (axis="height")

    with row = i * stride + k * dilation - before; x is zero outside the picture.  Along the width it is
    the same with rows and columns exchanged.  With groups, c runs over the input channels of the group of o.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C_in)
        The pictures.
    w : ndarray, shape (K, C_in / groups, C_out)
        The weights.
    b : ndarray, shape (C_out,), optional
        The biases.
    axis : "height" or "width"
        The axis along which the window moves.
    stride, dilation : int
        Along that axis; the other axis keeps every pixel.
    padding : "same", "valid", int or (before, after)
        Along that axis; see `npcnn.reference.windows`.
    groups : int
        Blocks into which the channels are cut.

    Returns
    -------
    y : ndarray, shape (N, OH, W, C_out) or (N, H, OW, C_out)
        The result, in the dtype of `x`.

    Raises
    ------
    ValueError
        If `axis` or `padding` is an unknown string, or `groups` does not divide C_in and C_out.

    References
    ----------
    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, section 3.2.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> w = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> reference.conv1d(x, w, axis="height")[0, :, :, 0]
    array([[200., 310.],
           [ 20.,  31.]])
    >>> reference.conv1d(x, w, axis="width")[0, :, :, 0]
    array([[100.,  10.],
           [320.,  32.]])
    """
    if groups > 1:
        y = _side_by_side(conv1d, groups, x, w, axis=axis, stride=stride, padding=padding, dilation=dilation)
        return y if b is None else y + b
    x = _moving_axis_first(x, axis)
    N, H, W, _ = x.shape
    K, _, C_out = w.shape
    rows = axis_windows(H, K, stride=stride, padding=padding, dilation=dilation)
    y = np.zeros((N, rows.output_length, W, C_out), x.dtype)
    for i, k, row in rows.taps():
        y[:, i] += x[:, row] @ w[k]
    y = _moving_axis_first(y, axis)
    return y if b is None else y + b


def conv1d_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    w: NDArray[Any],
    *,
    axis: str,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
    groups: int = 1,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradients of `conv1d` with respect to its input, weights and biases.

    dx[n, row, j, c] = sum_o dy[n, i, j, o] * w[k, c, o], over all taps looking at row
    dw[k, c, o]      = sum_n sum_i sum_j x[n, row, j, c] * dy[n, i, j, o]
    db[o]            = sum_n sum_i sum_j dy[n, i, j, o]

    Parameters
    ----------
    dy : ndarray, shape of `y`
        The gradient of the loss with respect to `y`.
    x, w, axis, stride, padding, dilation, groups
        What `conv1d` was given.

    Returns
    -------
    dx, dw, db : ndarray
        Shaped like `x`, `w` and the bias.

    Raises
    ------
    ValueError
        As `conv1d`.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> w = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> dx, dw, db = reference.conv1d_backward(np.ones((1, 2, 2, 1)), x, w, axis="height")
    >>> dx[0, :, :, 0]
    array([[ 11.,  11.],
           [110., 110.]])
    >>> dw[:, 0, 0], db
    (array([1., 6., 5.]), array([4.]))
    """
    if groups > 1:
        return _gradients_side_by_side(
            conv1d_backward, groups, dy, x, w, axis=axis, stride=stride, padding=padding, dilation=dilation
        )
    x, dy = _moving_axis_first(x, axis), _moving_axis_first(dy, axis)
    rows = axis_windows(x.shape[1], len(w), stride=stride, padding=padding, dilation=dilation)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i, k, row in rows.taps():
        dx[:, row] += dy[:, i] @ w[k].T
        dw[k] += np.einsum("njc,njo->co", x[:, row], dy[:, i])
    return _moving_axis_first(dx, axis), dw, dy.sum(axis=(0, 1, 2))


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
        As in `npcnn.reference.conv2d`, whose weights have the shape ``(*size, C, C_out)``.

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
    """Put the rows of an im2col matrix back where `im2col` took them from, adding where patches overlap.

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


def _side_by_side(
    convolve: Callable[..., NDArray[Any]], groups: int, x: NDArray[Any], w: NDArray[Any], **windows: Any
) -> NDArray[Any]:
    """Convolve each block of the channels of `x` with its block of `w`, and put the results side by side."""
    blocks = zip(np.split(x, groups, axis=-1), np.split(w, groups, axis=-1), strict=True)
    return np.concatenate([convolve(*block, **windows) for block in blocks], axis=-1)


def _gradients_side_by_side(
    gradients: Callable[..., Any],
    groups: int,
    dy: NDArray[Any],
    x: NDArray[Any],
    w: NDArray[Any],
    **windows: Any,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Put dx, dw and db of each block of the channels side by side."""
    blocks = zip(*(np.split(array, groups, axis=-1) for array in (dy, x, w)), strict=True)
    of_each = [gradients(*block, **windows) for block in blocks]
    dx, dw, db = (np.concatenate(parts, axis=-1) for parts in zip(*of_each, strict=True))
    return dx, dw, db


def _moving_axis_first(pictures: NDArray[Any], axis: str) -> NDArray[Any]:
    """Exchange height and width if the window moves along the width; doing it twice undoes it."""
    if axis == "height":
        return pictures
    if axis == "width":
        return pictures.swapaxes(1, 2)
    raise ValueError(f"axis must be 'height' or 'width', got {axis!r}")
