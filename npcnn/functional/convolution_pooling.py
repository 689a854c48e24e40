"""A convolution and the max pooling behind it in one go, with the gradient of both.

The result is that of `conv2d` and `max_pool2d` called one after the other, to the bit.  What differs is the way
through memory: a convolved picture is pooled while it lies in the cache and never written to memory, which for a
batch is larger than the caches and takes as long as much of the multiplying.  Backward likewise.  `Sequential` does
this for every `Conv2D` with a `MaxPool2D` behind it that runs on Toom-Cook; the kernel is in kernels/toom_cook.pyx.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npcnn.functional.activations import relu_backward
from npcnn.functional.algorithms import Algorithm, chosen_algorithm, toom_cook_conv2d, toom_cook_conv2d_backward
from npcnn.functional.checks import exact_shape, float_array, same_dtype
from npcnn.functional.convolution_2d import conv2d, conv2d_backward
from npcnn.functional.convolution_arguments import (
    Array,
    checked_bias,
    checked_geometry,
    checked_pictures,
    checked_weights,
    gradient_arrays,
)
from npcnn.functional.geometry import WindowGeometry, window_geometry
from npcnn.functional.pooling import (
    checked_argmax,
    max_pool2d,
    max_pool2d_backward,
    pool_geometry,
    pooled_outputs,
    wrong_argmax,
)


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
    x : ndarray, shape (N, H, W, C_in), float32 or float64
        Pictures.  N may be 0.
    w : ndarray, shape (KH, KW, C_in, C_out), the dtype of `x`
        Weights.
    b : ndarray, shape (C_out,), optional
        Bias.
    pooling : dict
        `size`, and optionally `stride` and `padding`, of `max_pool2d`.
    convolution : dict, optional
        `stride`, `padding` and `dilation` of `conv2d`.
    relu : bool
        Whether a ReLU stands between the two.
    algorithm : "auto", "im2col" or "toom_cook"
        See `npcnn.functional.algorithms`.  With im2col the two are simply called in turn.
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
    x, w = checked_pictures(x), checked_weights(w, "KH, KW, C_in, C_out", x)
    b = checked_bias(b, w)
    geometry, pool, on = _plan(x, w, convolution, pooling, algorithm)
    if on == "im2col":
        y = conv2d(x, w, b, relu=relu, algorithm="im2col", **(convolution or {}))
        return max_pool2d(y, **pooling, out=out)
    y, argmax = pooled_outputs(out, (len(x), *pool.output, w.shape[3]), x.dtype, inputs=(x, w))
    toom_cook_conv2d(x, w, b, geometry, relu, y, pool, argmax)
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

    The ReLU needs no output of the convolution: of a window only the largest pixel gets a gradient, and whether the
    ReLU let that one through shows behind the pooling.

    Parameters
    ----------
    dy : ndarray, shape (N, PH, PW, C_out)
        Gradient of the loss with respect to y.
    argmax : ndarray, shape (N, PH, PW, C_out), int32
        What `conv2d_max_pool2d` returned.
    x, w, pooling, convolution, algorithm
        What `conv2d_max_pool2d` was called with.
    need_dx : bool
        False leaves dx out, as the first layer of a network may.
    relu_output : ndarray, shape (N, PH, PW, C_out), optional
        The y that ``conv2d_max_pool2d(..., relu=True)`` returned.
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
        As `conv2d_backward` and `max_pool2d_backward`.

    Examples
    --------
    The largest of the four is that on the right below, which saw all of x:

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
    x, w = checked_pictures(x), checked_weights(w, "KH, KW, C_in, C_out", x)
    geometry, pool, on = _plan(x, w, convolution, pooling, algorithm)
    shape = (len(x), *pool.output, w.shape[3])
    dy = _checked_pooled(dy, "dy", x, shape)
    if relu_output is not None:
        relu_output = _checked_pooled(relu_output, "relu_output", x, shape)
    argmax = checked_argmax(argmax, dy)
    if on == "im2col":
        before_relu = dy if relu_output is None else relu_backward(dy, relu_output)
        convolved = (len(x), *geometry.output, w.shape[3])
        before_pooling = max_pool2d_backward(before_relu, argmax, convolved, **pooling)
        return conv2d_backward(
            before_pooling, x, w, need_dx=need_dx, algorithm="im2col", out=out, **(convolution or {})
        )
    dx, dw, db = gradient_arrays(out, x, w, need_dx, inputs=(dy, x, w))
    if toom_cook_conv2d_backward(dy, x, w, geometry, relu_output, dx, dw, db, pool, argmax):
        raise wrong_argmax(argmax, pool)
    return dx, dw, db


def _plan(
    x: Array, w: Array, convolution: Mapping[str, Any] | None, pooling: Mapping[str, Any], algorithm: Algorithm
) -> tuple[WindowGeometry, WindowGeometry, str]:
    """Return where the windows of the convolution and of the pooling lie, and the algorithm to run on."""
    geometry = checked_geometry(window_geometry(x.shape[1:3], w.shape[:2], **(convolution or {})), x, w)
    pool = pool_geometry(geometry.output, **pooling)
    on = chosen_algorithm(algorithm, w.shape, stride=geometry.stride, dilation=geometry.dilation, dtype=w.dtype)
    return geometry, pool, on


def _checked_pooled(value: Array, name: str, x: Array, shape: tuple[int, ...]) -> Array:
    """Return `value` contiguous, in the shape of the pooled result and the dtype of `x`."""
    value = float_array(value, name, "N, PH, PW, C_out")
    same_dtype(value, name, x, "x")
    exact_shape(value, name, shape, "the shape of the forward result y")
    return value
