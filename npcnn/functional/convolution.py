"""Convolution in two dimensions and in one, with their gradients.

`conv2d` slides a KH x KW kernel over a picture; `conv1d` is its special case
K x 1 or 1 x K, which needs fewer multiplications and no im2col matrix.  Two
1-D convolutions, one along each axis, are what the field calls a *spatially
separable* convolution.

As everywhere in deep learning, "convolution" does not flip the kernel: it is
what signal processing calls cross-correlation.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.checks import exact_shape, float_array, integer, output_array, positive_axes, same_dtype
from npcnn.functional.geometry import IntOrPair, Padding, WindowGeometry, window_geometry
from npcnn.kernels import conv1d as conv1d_kernels
from npcnn.kernels import conv2d as conv2d_kernels
from npcnn.kernels.core import vector_columns

Array: TypeAlias = NDArray[Any]
Axis: TypeAlias = Literal["height", "width"]
Padding1D: TypeAlias = Literal["same", "valid"] | int | tuple[int, int]


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    relu: bool = False,
    out: Array | None = None,
) -> Array:
    """Two-dimensional convolution of a batch of pictures.

    y[n, i, j, o] = b[o] + sum_kh sum_kw sum_c
    x[n, i*sh + kh*dh - top, j*sw + kw*dw - left, c] * w[kh, kw, c, o],
    where x counts as 0 outside the picture.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C_in), float32 or float64
        Pictures.  N may be 0.
    w : ndarray, shape (KH, KW, C_in, C_out), the dtype of `x`
        Weights.
    b : ndarray, shape (C_out,), optional
        Bias.
    stride, dilation : int or pair of int
        Steps of the window, and distance of its taps, along (height, width).
    padding : "same", "valid", int or ((top, bottom), (left, right))
        "same" is TensorFlow's: the output has ceil(H / stride) rows, an odd pixel of padding
        goes to the bottom or the right.
    relu : bool
        Return max(y, 0) instead of y, at no cost.
    out : ndarray, optional
        Array to write y into.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C_out), the dtype of `x`

    Raises
    ------
    ShapeError
        If a rank or a size does not fit, or the window is larger than the padded picture.
    DTypeError
        If `x` is neither float32 nor float64, or `w` or `b` has another dtype.
    TypeError, ValueError
        If stride, padding or dilation is not of the form above.

    References
    ----------
    Chellapilla, Puri & Simard, "High Performance Convolutional Neural Networks for Document
    Processing", 2006, section 3 (unfolding convolution into a matrix product, now called im2col).

    Examples
    --------
    >>> x = np.arange(10.0).reshape(1, 5, 2, 1)          # the article's 5 x 2 picture
    >>> y = nn.functional.conv2d(x, np.ones((3, 3, 1, 1)))
    >>> y[0, :, :, 0]
    array([[ 6.,  6.],
           [15., 15.],
           [27., 27.],
           [39., 39.],
           [30., 30.]])
    """
    x, w = _checked_pictures(x), _checked_weights(w, "KH, KW, C_in, C_out", x)
    b = _checked_bias(b, w)
    geometry = window_geometry(
        x.shape[1:3], w.shape[:2], stride=stride, padding=padding, dilation=dilation
    )
    KH, KW, C_in, C_out = w.shape
    y = output_array(out, "out", (x.shape[0], *geometry.output, C_out), x.dtype, inputs=(x, w))
    w_rows = _padded_to_vectors(w.reshape(KH * KW * C_in, C_out))
    conv2d_kernels.conv2d(x, w_rows, b, geometry.kernel_windows(x.shape), relu, y)
    return y


def conv2d_backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    need_dx: bool = True,
    relu_output: Array | None = None,
    out: tuple[Array | None, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a loss with respect to the input, weights and bias of `conv2d`.

    With L the loss and dy = dL/dy:
    dw[kh, kw, c, o] = sum_n sum_i sum_j x[n, i*sh + kh*dh - top, j*sw + kw*dw - left, c] * dy[n, i, j, o];
    db[o] = sum_n sum_i sum_j dy[n, i, j, o];
    dx[n, i*sh + kh*dh - top, j*sw + kw*dw - left, c] += dy[n, i, j, o] * w[kh, kw, c, o] for every term.

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C_out)
        Gradient of the loss with respect to the result of `conv2d`.
    x, w, stride, padding, dilation
        What `conv2d` was called with.
    need_dx : bool
        False leaves dx out, as the first layer of a network may.
    relu_output : ndarray, shape (N, OH, OW, C_out), optional
        The result of ``conv2d(..., relu=True)``, when `dy` is the gradient with respect to that.
    out : tuple of ndarray (dx, dw, db), optional
        Arrays to write the results into; dx may be None when it is not needed.

    Returns
    -------
    dx : ndarray, the shape of `x`, or None
    dw : ndarray, the shape of `w`
    db : ndarray, shape (C_out,)

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `conv2d`; also if `dy` does not have the shape of its result.

    Examples
    --------
    >>> x, w = np.ones((1, 3, 3, 1)), np.ones((3, 3, 1, 1))
    >>> dx, dw, db = nn.functional.conv2d_backward(np.ones((1, 3, 3, 1)), x, w)
    >>> dx[0, :, :, 0]                                   # how many windows each pixel is part of
    array([[4., 6., 4.],
           [6., 9., 6.],
           [4., 6., 4.]])
    >>> float(db[0])
    9.0
    """
    x, w = _checked_pictures(x), _checked_weights(w, "KH, KW, C_in, C_out", x)
    geometry = window_geometry(
        x.shape[1:3], w.shape[:2], stride=stride, padding=padding, dilation=dilation
    )
    KH, KW, C_in, C_out = w.shape
    dy = _checked_gradient(dy, "dy", x, geometry, C_out)
    if relu_output is not None:
        relu_output = _checked_gradient(relu_output, "relu_output", x, geometry, C_out)
    dx, dw, db = _gradient_arrays(out, x, w, need_dx, inputs=(dy, x, w))
    w_transposed = _padded_to_vectors(w.reshape(KH * KW * C_in, C_out).T)
    conv2d_kernels.conv2d_backward(
        dy, x, w_transposed, relu_output, geometry.kernel_windows(x.shape), dx, dw.reshape(-1, C_out), db
    )
    return dx, dw, db


def conv1d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    axis: Axis,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
    relu: bool = False,
    out: Array | None = None,
) -> Array:
    """One-dimensional convolution along the height or the width of a batch of pictures.

    y[n, i, j, o] = b[o] + sum_k sum_c x[n, i*s + k*d - p, j, c] * w[k, c, o]      (axis="height")
    y[n, i, j, o] = b[o] + sum_k sum_c x[n, i, j*s + k*d - p, c] * w[k, c, o]      (axis="width")

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C_in), float32 or float64
        Pictures.  N may be 0.
    w : ndarray, shape (K, C_in, C_out), the dtype of `x`
        Weights.
    b : ndarray, shape (C_out,), optional
        Bias.
    axis : "height" or "width"
        A K x 1 or a 1 x K convolution.
    stride, dilation : int
        Steps of the window, and distance of its taps, along `axis`.
    padding : "same", "valid", int or (before, after)
        Padding along `axis`; see `conv2d`.
    relu : bool
        Return max(y, 0) instead of y, at no cost.
    out : ndarray, optional
        Array to write y into.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C_out), the dtype of `x`

    Raises
    ------
    ShapeError
        If a rank or a size does not fit, or the window is larger than the padded picture.
    DTypeError
        If `x` is neither float32 nor float64, or `w` or `b` has another dtype.
    TypeError, ValueError
        If axis, stride, padding or dilation is not of the form above.

    References
    ----------
    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, section 3.2
    (spatial factorisation into asymmetric convolutions).

    Examples
    --------
    >>> x = np.arange(10.0).reshape(1, 5, 2, 1)
    >>> ones = np.ones((3, 1, 1))
    >>> vertical = nn.functional.conv1d(x, ones, axis="height")
    >>> nn.functional.conv1d(vertical, ones, axis="width")[0, :, :, 0]    # as conv2d with a 3 x 3 of ones
    array([[ 6.,  6.],
           [15., 15.],
           [27., 27.],
           [39., 39.],
           [30., 30.]])
    """
    x, w = _checked_pictures(x), _checked_weights(w, "K, C_in, C_out", x)
    b = _checked_bias(b, w)
    geometry = _line_geometry(x, w, axis, stride, padding, dilation)
    K, C_in, C_out = w.shape
    y = output_array(out, "out", (x.shape[0], *geometry.output, C_out), x.dtype, inputs=(x, w))
    w_rows = _padded_to_vectors(w.reshape(K * C_in, C_out)).reshape(K, C_in, -1)
    conv1d_kernels.conv1d(x, w_rows, b, *_along(geometry, axis), relu, y)
    return y


def conv1d_backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    axis: Axis,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
    need_dx: bool = True,
    relu_output: Array | None = None,
    out: tuple[Array | None, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a loss with respect to the input, weights and bias of `conv1d`.

    For axis="height", with dy = dL/dy:
    dw[k, c, o] = sum_n sum_i sum_j x[n, i*s + k*d - p, j, c] * dy[n, i, j, o];
    db[o] = sum_n sum_i sum_j dy[n, i, j, o];
    dx[n, i*s + k*d - p, j, c] += dy[n, i, j, o] * w[k, c, o] for every term.

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C_out)
        Gradient of the loss with respect to the result of `conv1d`.
    x, w, axis, stride, padding, dilation
        What `conv1d` was called with.
    need_dx : bool
        False leaves dx out, as the first layer of a network may.
    relu_output : ndarray, shape (N, OH, OW, C_out), optional
        The result of ``conv1d(..., relu=True)``, when `dy` is the gradient with respect to that.
    out : tuple of ndarray (dx, dw, db), optional
        Arrays to write the results into; dx may be None when it is not needed.

    Returns
    -------
    dx : ndarray, the shape of `x`, or None
    dw : ndarray, the shape of `w`
    db : ndarray, shape (C_out,)

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `conv1d`; also if `dy` does not have the shape of its result.

    Examples
    --------
    >>> x, w = np.ones((1, 4, 1, 1)), np.ones((3, 1, 1))
    >>> dx, dw, db = nn.functional.conv1d_backward(np.ones((1, 4, 1, 1)), x, w, axis="height")
    >>> dx.ravel()                                       # how many windows each pixel is part of
    array([2., 3., 3., 2.])
    """
    x, w = _checked_pictures(x), _checked_weights(w, "K, C_in, C_out", x)
    geometry = _line_geometry(x, w, axis, stride, padding, dilation)
    K, C_in, C_out = w.shape
    dy = _checked_gradient(dy, "dy", x, geometry, C_out)
    if relu_output is not None:
        relu_output = _checked_gradient(relu_output, "relu_output", x, geometry, C_out)
    dx, dw, db = _gradient_arrays(out, x, w, need_dx, inputs=(dy, x, w))
    w_transposed = _padded_to_vectors(w.transpose(0, 2, 1).reshape(K * C_out, C_in))
    conv1d_kernels.conv1d_backward(
        dy, x, w_transposed.reshape(K, C_out, -1), relu_output, *_along(geometry, axis), dx, dw, db
    )
    return dx, dw, db


def _checked_pictures(x: Array) -> Array:
    x = float_array(x, "x", "N, H, W, C")
    positive_axes(x, "x", "N, H, W, C")
    return x


def _checked_weights(w: Array, axes: str, x: Array) -> Array:
    w = float_array(w, "w", axes)
    same_dtype(w, "w", x, "x")
    positive_axes(w, "w", axes, first=0)
    expected = (*w.shape[:-2], x.shape[3], w.shape[-1])
    exact_shape(w, "w", expected, f"axes ({axes}), and x has {x.shape[3]} channels")
    return w


def _checked_bias(b: Array | None, w: Array) -> Array | None:
    if b is None:
        return None
    b = float_array(b, "b", "C_out")
    same_dtype(b, "b", w, "w")
    exact_shape(b, "b", w.shape[-1:], f"one bias for each of the {w.shape[-1]} output channels of w")
    return b


def _checked_gradient(value: Array, name: str, x: Array, geometry: WindowGeometry, C_out: int) -> Array:
    value = float_array(value, name, "N, OH, OW, C_out")
    same_dtype(value, name, x, "x")
    exact_shape(value, name, (x.shape[0], *geometry.output, C_out), "the shape of the forward result y")
    return value


def _gradient_arrays(
    out: tuple[Array | None, Array, Array] | None,
    x: Array,
    w: Array,
    need_dx: bool,
    inputs: tuple[Array, ...],
) -> tuple[Array | None, Array, Array]:
    """Return (dx, dw, db) to write into: those of `out` where given, dx None when not needed."""
    if out is None:
        out = (None, None, None)  # type: ignore[assignment]
    elif not isinstance(out, tuple) or len(out) != 3:
        raise TypeError(f"out must be a tuple of three arrays (dx, dw, db), got {out!r:.80}")
    dx = output_array(out[0], "out[0] (dx)", x.shape, x.dtype, inputs=inputs) if need_dx else None
    dw = output_array(out[1], "out[1] (dw)", w.shape, w.dtype, inputs=inputs)
    db = output_array(out[2], "out[2] (db)", w.shape[-1:], w.dtype, inputs=inputs)
    return dx, dw, db


def _padded_to_vectors(matrix: Array) -> Array:
    """Return `matrix` contiguous, with columns of zeros up to a whole number of vectors.

    The micro-kernel reads its right-hand matrix in whole vectors, past the last column.
    """
    rows, columns = matrix.shape
    padded_columns = vector_columns(columns, matrix.itemsize)
    if padded_columns == columns:
        return np.ascontiguousarray(matrix)
    padded = np.zeros((rows, padded_columns), matrix.dtype)
    padded[:, :columns] = matrix
    return padded


def _line_geometry(
    x: Array, w: Array, axis: str, stride: int, padding: Padding1D, dilation: int
) -> WindowGeometry:
    """Return the geometry of a K x 1 (axis="height") or 1 x K (axis="width") window."""
    if axis not in ("height", "width"):
        raise ValueError(f"axis must be 'height' or 'width', got {axis!r}")
    stride = integer(stride, "stride", minimum=1)
    dilation = integer(dilation, "dilation", minimum=1)
    sides: Padding
    if isinstance(padding, str):
        sides = padding
    else:
        before, after = _padding_pair(padding)
        sides = ((before, after), (0, 0)) if axis == "height" else ((0, 0), (before, after))
    if axis == "height":
        return window_geometry(
            x.shape[1:3], (w.shape[0], 1), stride=(stride, 1), padding=sides, dilation=(dilation, 1)
        )
    return window_geometry(
        x.shape[1:3], (1, w.shape[0]), stride=(1, stride), padding=sides, dilation=(1, dilation)
    )


def _padding_pair(padding: Any) -> tuple[int, int]:
    """Return the padding of a 1-D convolution as (before, after)."""
    if isinstance(padding, tuple | list):
        if len(padding) != 2:
            raise ValueError(
                f"padding must be 'same', 'valid', an integer or (before, after), got {padding!r}"
            )
        before, after = padding
    else:
        before = after = padding
    return integer(before, "padding", minimum=0), integer(after, "padding", minimum=0)


def _along(geometry: WindowGeometry, axis: str) -> tuple[bool, int, int, int]:
    """Return what the kernels take: (along_height, stride, dilation, padding before)."""
    i = 0 if axis == "height" else 1
    return axis == "height", geometry.stride[i], geometry.dilation[i], geometry.padding[i][0]
