"""Convolution in one dimension, along the height or the width of a picture, with its gradient.

A K x 1 or a 1 x K kernel needs K multiplications where K x K needs K * K, and no im2col matrix.  Two of them,
one along each axis, are what the field calls a *spatially separable* convolution.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from npcnn.functional.algorithms import (
    Algorithm,
    chosen_algorithm,
    toom_cook_conv2d,
    toom_cook_conv2d_backward,
)
from npcnn.functional.checks import integer, output_array
from npcnn.functional.convolution_arguments import (
    Array,
    checked_bias,
    checked_geometry,
    checked_gradient,
    checked_pictures,
    checked_weights,
    gradient_arrays,
    padded_to_vectors,
)
from npcnn.functional.geometry import MOST_PIXELS, Padding, WindowGeometry, WindowOptions, window_options
from npcnn.kernels import conv1d as conv1d_kernels

Axis: TypeAlias = Literal["height", "width"]
Padding1D: TypeAlias = Literal["same", "valid"] | int | tuple[int, int]


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
    algorithm: Algorithm = "auto",
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
    algorithm : "auto", "im2col" or "toom_cook"
        See `npcnn.functional.algorithms`.
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
        If axis, stride, padding, dilation or algorithm is not of the form above.

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
    x, w = checked_pictures(x), checked_weights(w, "K, C_in, C_out", x)
    b = checked_bias(b, w)
    geometry = line_geometry(x.shape[1:3], len(w), axis=axis, stride=stride, padding=padding, dilation=dilation)
    geometry = checked_geometry(geometry, x, w)
    y = output_array(out, "out", (x.shape[0], *geometry.output, w.shape[2]), x.dtype, inputs=(x, w))
    if _algorithm(algorithm, w, axis, geometry) == "toom_cook":
        toom_cook_conv2d(x, _as_2d(w, axis), b, geometry, relu, y)
    else:
        conv1d_kernels.conv1d(
            x, _rows_of_vectors(w), b, axis == "height", stride, dilation, _pad_before(geometry, axis), relu, y
        )
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
    algorithm: Algorithm = "auto",
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
    algorithm : "auto", "im2col" or "toom_cook"
        See `npcnn.functional.algorithms`.
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
    x, w = checked_pictures(x), checked_weights(w, "K, C_in, C_out", x)
    geometry = line_geometry(x.shape[1:3], len(w), axis=axis, stride=stride, padding=padding, dilation=dilation)
    geometry = checked_geometry(geometry, x, w)
    C_out = w.shape[2]
    dy = checked_gradient(dy, "dy", x, geometry, C_out)
    if relu_output is not None:
        relu_output = checked_gradient(relu_output, "relu_output", x, geometry, C_out)
    dx, dw, db = gradient_arrays(out, x, w, need_dx, inputs=(dy, x, w))
    if _algorithm(algorithm, w, axis, geometry) == "toom_cook":
        toom_cook_conv2d_backward(dy, x, _as_2d(w, axis), geometry, relu_output, dx, _as_2d(dw, axis), db)
    else:
        w_transposed = _rows_of_vectors(w.transpose(0, 2, 1))
        conv1d_kernels.conv1d_backward(
            dy, x, w_transposed, relu_output, axis == "height", stride, dilation, _pad_before(geometry, axis),
            dx, dw, db,
        )  # fmt: skip
    return dx, dw, db


def _algorithm(algorithm: str, w: Array, axis: str, geometry: WindowGeometry) -> str:
    return chosen_algorithm(
        algorithm, _as_2d(w, axis).shape, stride=geometry.stride, dilation=geometry.dilation, dtype=w.dtype
    )


def _as_2d(w: Array, axis: str) -> Array:
    """Return a view of (K, C_in, C_out) as the K x 1 or 1 x K kernel (KH, KW, C_in, C_out)."""
    return w[:, np.newaxis] if axis == "height" else w[np.newaxis]


def _rows_of_vectors(w: Array) -> Array:
    """Return (K, rows, columns) with its columns padded as the micro-kernel reads them."""
    return padded_to_vectors(w.reshape(-1, w.shape[2])).reshape(*w.shape[:2], -1)


def line_geometry(
    picture: tuple[int, int],
    taps: int,
    *,
    axis: str,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
) -> WindowGeometry:
    """Return the geometry of a K x 1 (axis="height") or 1 x K (axis="width") window over a picture.

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `npcnn.functional.window_geometry`; also if `axis` is neither.

    Examples
    --------
    >>> from npcnn.functional.convolution_1d import line_geometry
    >>> line_geometry((5, 2), 3, axis="height").padding
    ((1, 1), (0, 0))
    """
    return line_options(taps, axis=axis, stride=stride, padding=padding, dilation=dilation).over(picture)


def line_options(
    taps: int, *, axis: str, stride: int = 1, padding: Padding1D = "same", dilation: int = 1
) -> WindowOptions:
    """Return the arguments of `line_geometry` that do not depend on the picture, checked.

    Raises
    ------
    TypeError, ValueError
        As `npcnn.functional.window_geometry`; also if `axis` is neither.
    """
    if axis not in ("height", "width"):
        raise ValueError(f"axis must be 'height' or 'width', got {axis!r}")
    sides: Padding
    if isinstance(padding, str):
        sides = padding
    else:
        before, after = _padding_pair(padding)
        sides = ((before, after), (0, 0)) if axis == "height" else ((0, 0), (before, after))
    stride = integer(stride, "stride", minimum=1, maximum=MOST_PIXELS)
    dilation = integer(dilation, "dilation", minimum=1, maximum=MOST_PIXELS)
    if axis == "height":
        return window_options((taps, 1), stride=(stride, 1), padding=sides, dilation=(dilation, 1))
    return window_options((1, taps), stride=(1, stride), padding=sides, dilation=(1, dilation))


def _padding_pair(padding: Any) -> tuple[int, int]:
    """Return the padding of a 1-D convolution as (before, after)."""
    if isinstance(padding, tuple | list):
        if len(padding) != 2 or any(isinstance(side, tuple | list) for side in padding):
            raise ValueError(f"padding must be 'same', 'valid', an integer or (before, after), got {padding!r}")
        before, after = padding
    else:
        before = after = padding
    return (
        integer(before, "padding", minimum=0, maximum=MOST_PIXELS),
        integer(after, "padding", minimum=0, maximum=MOST_PIXELS),
    )


def _pad_before(geometry: WindowGeometry, axis: str) -> int:
    """Return the padding at the top (axis="height") or the left (axis="width")."""
    return geometry.padding[0 if axis == "height" else 1][0]
