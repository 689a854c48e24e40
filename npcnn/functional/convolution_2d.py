"""Convolution in two dimensions, with its gradient.

A KH x KW kernel slides over a picture.  As everywhere in deep learning, "convolution" does not flip the
kernel: it is what signal processing calls cross-correlation.
"""

from __future__ import annotations

from npcnn.functional.algorithms import (
    Algorithm,
    chosen_algorithm,
    toom_cook_conv2d,
    toom_cook_conv2d_backward,
)
from npcnn.functional.checks import output_array
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
from npcnn.functional.geometry import IntOrPair, Padding, WindowGeometry, window_geometry
from npcnn.kernels import conv2d as conv2d_kernels


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    relu: bool = False,
    algorithm: Algorithm = "auto",
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
        If stride, padding, dilation or algorithm is not of the form above.

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
    x, w = checked_pictures(x), checked_weights(w, "KH, KW, C_in, C_out", x)
    b = checked_bias(b, w)
    geometry = window_geometry(x.shape[1:3], w.shape[:2], stride=stride, padding=padding, dilation=dilation)
    geometry = checked_geometry(geometry, x, w)
    KH, KW, C_in, C_out = w.shape
    y = output_array(out, "out", (x.shape[0], *geometry.output, C_out), x.dtype, inputs=(x, w))
    if _algorithm(algorithm, w, geometry) == "toom_cook":
        toom_cook_conv2d(x, w, b, geometry, relu, y)
    else:
        w_rows = padded_to_vectors(w.reshape(KH * KW * C_in, C_out))
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
    algorithm: Algorithm = "auto",
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
    x, w = checked_pictures(x), checked_weights(w, "KH, KW, C_in, C_out", x)
    geometry = window_geometry(x.shape[1:3], w.shape[:2], stride=stride, padding=padding, dilation=dilation)
    geometry = checked_geometry(geometry, x, w)
    KH, KW, C_in, C_out = w.shape
    dy = checked_gradient(dy, "dy", x, geometry, C_out)
    if relu_output is not None:
        relu_output = checked_gradient(relu_output, "relu_output", x, geometry, C_out)
    dx, dw, db = gradient_arrays(out, x, w, need_dx, inputs=(dy, x, w))
    if _algorithm(algorithm, w, geometry) == "toom_cook":
        toom_cook_conv2d_backward(dy, x, w, geometry, relu_output, dx, dw, db)
    else:
        w_transposed = padded_to_vectors(w.swapaxes(2, 3).reshape(-1, C_in)).reshape(KH * KW, C_out, -1)
        conv2d_kernels.conv2d_backward(
            dy, x, w_transposed, relu_output, geometry.kernel_windows(x.shape), dx, dw.reshape(-1, C_out), db
        )
    return dx, dw, db


def _algorithm(algorithm: str, w: Array, geometry: WindowGeometry) -> str:
    return chosen_algorithm(algorithm, w.shape, stride=geometry.stride, dilation=geometry.dilation, dtype=w.dtype)
