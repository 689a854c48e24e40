"""Transposed convolution and its gradients, written as definitions.

In a convolution every output pixel *gathers* the pixels under its window.  Here every input pixel *scatters*: it adds
its channels, times the weights, to the output pixels under its window.  Read forward or backward, it is the same table
of who meets whom, so transposed convolution computes what the backward pass of a convolution hands to its input; and
its own backward pass gathers, as a convolution does.  (It does not undo a convolution, though it used to be called
"deconvolution".)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.reference.windows import AxisWindows, IntOrPair, Padding2D, as_pair, axis_windows

__all__ = ["conv2d_transpose", "conv2d_transpose_backward"]


def conv2d_transpose(
    x: NDArray[Any],
    w: NDArray[Any],
    b: NDArray[Any] | None = None,
    *,
    stride: IntOrPair = 1,
    padding: Padding2D = "same",
    dilation: IntOrPair = 1,
    output_padding: IntOrPair = 0,
) -> NDArray[Any]:
    """Two-dimensional transposed convolution of a batch of pictures.

    y[n, row, col, o] = b[o] + sum of x[n, i, j, c] * w[kh, kw, o, c]

    over all i, j, kh, kw, c with row = i * stride_h + kh * dilation_h - top and
    col = j * stride_w + kw * dilation_w - left.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C_in)
        The pictures.
    w : ndarray, shape (KH, KW, C_out, C_in)
        The weights: those of the `conv2d` that takes pictures like `y` to pictures like `x`.
    b : ndarray, shape (C_out,), optional
        The biases.
    stride, dilation : int or (height, width)
        Pixels of `y` from one window to the next, and from one tap to the next.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        "same" makes `y` exactly `stride` times as large as `x`.  Otherwise y has
        (H - 1) * stride + (KH - 1) * dilation + 1 rows, less the padding.
    output_padding : int or (height, width)
        Rows and columns more, at the bottom and the right; less than the stride, and 0 with "same".

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C_out)
        The result, in the dtype of `x`.

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    References
    ----------
    Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    Each pixel puts down the kernel, times its own number; where two overlap, they add up:

    >>> from npcnn import reference
    >>> x = np.array([1.0, 10.0]).reshape(1, 1, 2, 1)
    >>> w = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    >>> reference.conv2d_transpose(x, w, stride=(1, 2), padding="valid").ravel()
    array([ 1.,  2., 13., 20., 30.])
    """
    rows, cols = _scattered(x.shape, w.shape, stride, padding, dilation, output_padding)
    y = np.zeros((len(x), rows.length, cols.length, w.shape[2]), x.dtype)
    for i, kh, row in rows.taps():
        for j, kw, col in cols.taps():
            y[:, row, col] += x[:, i, j] @ w[kh, kw].T
    return y if b is None else y + b


def conv2d_transpose_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    w: NDArray[Any],
    *,
    stride: IntOrPair = 1,
    padding: Padding2D = "same",
    dilation: IntOrPair = 1,
    output_padding: IntOrPair = 0,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradients of `conv2d_transpose` with respect to its input, weights and biases.

    dx[n, i, j, c]    = sum_kh sum_kw sum_o dy[n, row, col, o] * w[kh, kw, o, c]
    dw[kh, kw, o, c]  = sum_n sum_i sum_j dy[n, row, col, o] * x[n, i, j, c]
    db[o]             = sum over all pixels of dy[n, row, col, o]

    with row and col as in `conv2d_transpose`.

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C_out)
        The gradient of the loss with respect to `y`.
    x, w, stride, padding, dilation, output_padding
        What `conv2d_transpose` was given.

    Returns
    -------
    dx, dw, db : ndarray
        Shaped like `x`, `w` and the bias.

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    Examples
    --------
    >>> from npcnn import reference
    >>> x, w = np.array([1.0, 10.0]).reshape(1, 1, 2, 1), np.ones((1, 3, 1, 1))
    >>> dy = np.array([1.0, 2.0, 3.0, 4.0, 5.0]).reshape(1, 1, 5, 1)
    >>> dx, dw, db = reference.conv2d_transpose_backward(dy, x, w, stride=(1, 2), padding="valid")
    >>> dx.ravel(), dw.ravel(), db
    (array([ 6., 12.]), array([31., 42., 53.]), array([15.]))
    """
    rows, cols = _scattered(x.shape, w.shape, stride, padding, dilation, output_padding)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i, kh, row in rows.taps():
        for j, kw, col in cols.taps():
            dx[:, i, j] += dy[:, row, col] @ w[kh, kw]
            dw[kh, kw] += dy[:, row, col].T @ x[:, i, j]
    return dx, dw, dy.sum(axis=(0, 1, 2))


def _scattered(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: IntOrPair,
    padding: Padding2D,
    dilation: IntOrPair,
    output_padding: IntOrPair,
) -> tuple[AxisWindows, AxisWindows]:
    """Return the windows along the height and the width of `y`; window i is that of pixel i of `x`."""
    paddings = (padding, padding) if isinstance(padding, str | int) else padding
    strides, dilations, more = as_pair(stride), as_pair(dilation), as_pair(output_padding)
    axes = []
    for axis in (0, 1):
        windows, size, step, apart = x_shape[1 + axis], w_shape[axis], strides[axis], dilations[axis]
        if padding == "same":
            length = windows * step
        else:
            none = axis_windows(0, size, padding=paddings[axis])
            length = (windows - 1) * step + (size - 1) * apart + 1 - none.before - none.after + more[axis]
        axes.append(axis_windows(length, size, stride=step, padding=paddings[axis], dilation=apart))
    return axes[0], axes[1]
