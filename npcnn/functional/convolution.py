"""Convolution in one and two dimensions, alone or followed by max pooling, and the gradients.

A KH x KW kernel slides over a picture.  As everywhere in deep learning, "convolution" does not flip the kernel: it
is what signal processing calls cross-correlation.  A K x 1 or a 1 x K kernel needs K multiplications where K x K needs
K * K; two of them, one along each axis, are what the field calls a *spatially separable* convolution.  Here a 1-D
convolution is a 2-D one with a kernel side of 1.

With `groups` the channels are cut into blocks, and a block of the output sees one block of the input: less work, and
blocks that know nothing of each other.  With as many groups as channels it is called *depthwise*.

Every call works out a plan once (convolution_plan.py): checked arrays, where the windows lie, which algorithm runs.
With Toom-Cook (toom_cook.py) a convolution and the max pooling after it run in one go, forward and
backward: a convolved picture is pooled while it lies in the cache, and never written to memory, which would take as
long as much of the multiplying.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

from npcnn.functional.activations import relu_backward
from npcnn.functional.algorithms import Algorithm
from npcnn.functional.checks import bias, boolean
from npcnn.functional.convolution_plan import backward, forward, like_result, planned, run
from npcnn.functional.outputs import pooled_outputs
from npcnn.functional.pooling import checked_argmax, max_pool2d, max_pool2d_backward
from npcnn.functional.windows import Axis, IntOrPair, Padding, Padding1D, checked_axis

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_max_pool2d",
    "conv2d_max_pool2d_backward",
]

Array: TypeAlias = NDArray[Any]


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    groups: int = 1,
    relu: bool = False,
    algorithm: Algorithm = "auto",
    out: Array | None = None,
) -> Array:
    """Two-dimensional convolution of a batch of pictures.

    y[n, i, j, o] = b[o] + sum_kh sum_kw sum_c
    x[n, i*sh + kh*dh - top, j*sw + kw*dw - left, c] * w[kh, kw, c, o],
    where x counts as 0 outside the picture.  With groups, c runs over the input channels of the group of o.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C_in), float32 or float64
        Pictures.  N may be 0.
    w : ndarray, shape (KH, KW, C_in / groups, C_out), the dtype of `x`
        Weights.
    b : ndarray, shape (C_out,), optional
        Bias.
    stride, dilation : int or pair of int
        Steps of the window, and distance between its taps, along (height, width).
    padding : "same", "valid", int or ((top, bottom), (left, right))
        "same" is TensorFlow's: the output has ceil(H / stride) rows, an odd pixel of padding
        goes to the bottom or the right.
    groups : int
        Equal blocks into which input and output channels are cut; the g-th block of the output sees the g-th of the
        input.  With C_in groups, a depthwise convolution.
    relu : bool
        Return max(y, 0) instead of y, at no extra cost.
    algorithm : "auto", "im2col", "toom_cook", "toom_cook_2d" or "depthwise"
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
        If stride, padding, dilation, groups or algorithm is not of the form above.

    References
    ----------
    Chellapilla, Puri & Simard, "High Performance Convolutional Neural Networks for Document
    Processing", 2006, section 3 (unfolding convolution into a matrix product, now called im2col).
    Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section
    3.2 (groups).

    Examples
    --------
    >>> x = np.arange(10.0).reshape(1, 5, 2, 1)          # a picture of 5 x 2 pixels
    >>> y = nn.functional.conv2d(x, np.ones((3, 3, 1, 1)))
    >>> y[0, :, :, 0]
    array([[ 6.,  6.],
           [15., 15.],
           [27., 27.],
           [39., 39.],
           [30., 30.]])
    """
    plan, x, w = planned(x, w, algorithm, groups=groups, stride=stride, padding=padding, dilation=dilation)
    return forward(plan, x, w, b, relu, out)


def conv2d_backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    groups: int = 1,
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
    x, w, stride, padding, dilation, groups
        What `conv2d` was called with.
    need_dx : bool
        False leaves dx out: the first layer of a network does not need it.
    relu_output : ndarray, shape (N, OH, OW, C_out), optional
        The result of ``conv2d(..., relu=True)``, if `dy` is the gradient with respect to that.
    algorithm : "auto", "im2col", "toom_cook", "toom_cook_2d" or "depthwise"
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
    plan, x, w = planned(x, w, algorithm, groups=groups, stride=stride, padding=padding, dilation=dilation)
    return backward(plan, dy, x, w, need_dx, relu_output, out, w.shape)


def conv1d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    axis: Axis,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
    groups: int = 1,
    relu: bool = False,
    algorithm: Algorithm = "auto",
    out: Array | None = None,
) -> Array:
    """One-dimensional convolution along the height or the width of a batch of pictures.

    y[n, i, j, o] = b[o] + sum_k sum_c x[n, i*s + k*d - p, j, c] * w[k, c, o]      (axis="height")
    y[n, i, j, o] = b[o] + sum_k sum_c x[n, i, j*s + k*d - p, c] * w[k, c, o]      (axis="width")

    Parameters
    ----------
    x, b, groups, relu, algorithm, out
        As `conv2d`.
    w : ndarray, shape (K, C_in / groups, C_out), the dtype of `x`
        Weights.
    axis : "height" or "width"
        A K x 1 or a 1 x K convolution.
    stride, dilation : int
        Steps of the window, and distance between its taps, along `axis`.
    padding : "same", "valid", int or (before, after)
        Padding along `axis`; see `conv2d`.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C_out), the dtype of `x`

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `conv2d`; also if `axis` is neither of the two.

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
    axis = checked_axis(axis)
    plan, x, w = planned(x, w, algorithm, axis, groups=groups, stride=stride, padding=padding, dilation=dilation)
    return forward(plan, x, w, b, relu, out)


def conv1d_backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    axis: Axis,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
    groups: int = 1,
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
    dy, need_dx, relu_output, algorithm, out
        As `conv2d_backward`.
    x, w, axis, stride, padding, dilation, groups
        What `conv1d` was called with.

    Returns
    -------
    dx, dw, db : ndarray
        As `conv2d_backward`.

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
    axis = checked_axis(axis)
    plan, x, w_2d = planned(x, w, algorithm, axis, groups=groups, stride=stride, padding=padding, dilation=dilation)
    KH, KW, C_in, C_out = plan.w_shape  # one of the first two is 1
    return backward(plan, dy, x, w_2d, need_dx, relu_output, out, (KH * KW, C_in, C_out))


def conv2d_max_pool2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    pooling: Mapping[str, Any],
    convolution: Mapping[str, Any] | None = None,
    relu: bool = False,
    algorithm: Algorithm = "auto",
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Max pooling of a convolution: ``max_pool2d(conv2d(x, w, b, relu=relu, **convolution), **pooling)``.

    Parameters
    ----------
    x, w, b, algorithm
        As `conv2d`.  Unless it is Toom-Cook that runs, convolution and pooling are simply called in turn.
    pooling : dict
        `size`, and optionally the other options, of `max_pool2d`.
    convolution : dict, optional
        `stride`, `padding`, `dilation` and `groups` of `conv2d`.
    relu : bool
        Whether there is a ReLU between the two.
    out : tuple of ndarray (y, argmax), optional
        Arrays to write the results into.

    Returns
    -------
    y : ndarray, shape (N, PH, PW, C_out), the dtype of `x`
    argmax : ndarray, shape (N, PH, PW, C_out), int32
        As of `max_pool2d`.

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `conv2d` and `max_pool2d`.

    Examples
    --------
    >>> x = np.arange(8.0, dtype=np.float32).reshape(1, 2, 4, 1)
    >>> y, argmax = nn.functional.conv2d_max_pool2d(x, np.ones((3, 3, 1, 1), np.float32), pooling={"size": 2})
    >>> y[0, :, :, 0], argmax[0, :, :, 0]
    (array([[18., 24.]], dtype=float32), array([[1, 0]], dtype=int32))
    """
    plan, x, w = planned(x, w, algorithm, pooling=pooling, **(convolution or {}))
    if plan.places is None:
        return max_pool2d(conv2d(x, w, b, relu=relu, algorithm=algorithm, **(convolution or {})), **pooling, out=out)
    b, relu = bias(b, w), boolean(relu, "relu")
    y, argmax = pooled_outputs(out, (len(x), *plan.y_shape), x.dtype, inputs=(x, w, b))
    run(plan, x, w, b, relu, y, argmax)
    return y, argmax


def conv2d_max_pool2d_backward(
    dy: Array,
    argmax: Array,
    x: Array,
    w: Array,
    *,
    pooling: Mapping[str, Any],
    convolution: Mapping[str, Any] | None = None,
    need_dx: bool = True,
    relu_output: Array | None = None,
    algorithm: Algorithm = "auto",
    out: tuple[Array | None, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a loss with respect to the input, weights and bias of `conv2d_max_pool2d`.

    The output of the convolution is not needed for the ReLU: only the largest pixel of a window gets a gradient, and y
    shows whether the ReLU let that one through.

    Parameters
    ----------
    dy : ndarray, shape (N, PH, PW, C_out)
        Gradient of the loss with respect to y.
    argmax : ndarray, shape (N, PH, PW, C_out), int32
        What `conv2d_max_pool2d` returned.
    x, w, pooling, convolution, algorithm
        What `conv2d_max_pool2d` was called with.
    relu_output : ndarray, shape (N, PH, PW, C_out), optional
        The y that ``conv2d_max_pool2d(..., relu=True)`` returned.
    need_dx, out
        As `conv2d_backward`.

    Returns
    -------
    dx, dw, db : ndarray
        As `conv2d_backward`.

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `conv2d_backward` and `max_pool2d_backward`.

    Examples
    --------
    The largest of the four outputs is the one at the bottom right, which saw all of x:

    >>> x, w = np.ones((1, 2, 2, 1)), np.ones((2, 2, 1, 1))
    >>> convolution, pooling = {"padding": ((1, 0), (1, 0))}, {"size": 2}
    >>> y, argmax = nn.functional.conv2d_max_pool2d(x, w, convolution=convolution, pooling=pooling)
    >>> dx, dw, db = nn.functional.conv2d_max_pool2d_backward(
    ...     np.full_like(y, 5.0), argmax, x, w, convolution=convolution, pooling=pooling
    ... )
    >>> dx[0, :, :, 0]
    array([[5., 5.],
           [5., 5.]])
    """
    plan, x, w = planned(x, w, algorithm, pooling=pooling, **(convolution or {}))
    dy, relu_output = like_result(dy, "dy", plan, x), like_result(relu_output, "relu_output", plan, x)
    argmax = checked_argmax(argmax, dy)
    if plan.places is None:
        before_relu = dy if relu_output is None else relu_backward(dy, relu_output)
        convolved = (len(x), *plan.geometry.output, w.shape[3])
        dy = max_pool2d_backward(before_relu, argmax, convolved, **pooling)
        return conv2d_backward(dy, x, w, need_dx=need_dx, algorithm=algorithm, out=out, **(convolution or {}))
    return backward(plan, dy, x, w, need_dx, relu_output, out, w.shape, argmax)
