"""Max and average pooling, with their gradients.

A window slides over each channel by itself and leaves one number, the largest
or the mean.  Pixels of the padding take no part in either, unless
`count_include_pad` asks for them to count as zeros in the mean.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.checks import (
    boolean,
    contiguous,
    exact_shape,
    float_array,
    integer,
    output_array,
    pictures,
    shown,
)
from npcnn.functional.windows import MOST_PIXELS, IntOrPair, Padding, WindowGeometry, WindowOptions, window_options
from npcnn.kernels import pooling as kernels

__all__ = ["avg_pool2d", "avg_pool2d_backward", "max_pool2d", "max_pool2d_backward"]

Array: TypeAlias = NDArray[Any]


def max_pool2d(
    x: Array,
    size: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Largest value of each window, and where in the window it was.

    y[n, i, j, c] = max over kh, kw of x[n, i*sh + kh - top, j*sw + kw - left, c]

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C), float32 or float64
        Pictures.  N may be 0.
    size : int or pair of int
        Height and width of the window.
    stride : int or pair of int, optional
        Steps of the window; by default its size.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        See `conv2d`; smaller than the window on every side.
    out : tuple of ndarray (y, argmax), optional
        Arrays to write the results into.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C), the dtype of `x`
    argmax : ndarray, shape (N, OH, OW, C), int32
        Position inside the window, kh * KW + kw.  Of equal values the first in row-major order
        counts, as in TensorFlow and PyTorch; NaN counts as larger than any number.

    Raises
    ------
    ShapeError
        If `x` is not of rank 4, has an empty axis, or is smaller than the window.
    DTypeError
        If `x` is neither float32 nor float64.
    TypeError, ValueError
        If size, stride or padding is not of the form above.

    Examples
    --------
    >>> x = np.array([[1.0, 5.0], [5.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> y, argmax = nn.functional.max_pool2d(x, 2)
    >>> y.item(), argmax.item()                          # the first of the two fives
    (5.0, 1)
    """
    x = pictures(x)
    geometry = pool_geometry(x.shape[1:3], size, stride, padding)
    shape = (x.shape[0], *geometry.output, x.shape[3])
    y, argmax = pooled_outputs(out, shape, x.dtype, inputs=(x,))
    kernels.max_pool2d(x, geometry.kernel_windows(x.shape), y, argmax)
    return y, argmax


def max_pool2d_backward(
    dy: Array,
    argmax: Array,
    x_shape: tuple[int, int, int, int],
    *,
    size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool2d` with respect to its input.

    The gradient of each window goes to the one pixel that was its largest; where windows overlap,
    gradients add up.

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C), float32 or float64
        Gradient of the loss with respect to y.
    argmax : ndarray, shape (N, OH, OW, C), int32
        What `max_pool2d` returned.
    x_shape : tuple of int (N, H, W, C)
        Shape of the input.
    size, stride, padding
        What `max_pool2d` was called with.
    out : ndarray, optional
        Array to write dx into.

    Returns
    -------
    dx : ndarray, shape `x_shape`, the dtype of `dy`

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `max_pool2d`; also if `dy` or `argmax` does not have the shape of its result, or if `argmax` holds
        a number that is not a tap of the window, in which case `out` has been written to.

    Examples
    --------
    >>> argmax = np.array([[[[1]]]], dtype=np.int32)
    >>> dy = np.array([[[[7.0]]]])
    >>> nn.functional.max_pool2d_backward(dy, argmax, (1, 2, 2, 1), size=2)[0, :, :, 0]
    array([[0., 7.],
           [0., 0.]])
    """
    x_shape = _checked_shape(x_shape)
    geometry = pool_geometry(x_shape[1:3], size, stride, padding)
    dy = _checked_gradient(dy, x_shape, geometry)
    argmax = checked_argmax(argmax, dy)
    dx = output_array(out, "out", x_shape, dy.dtype, inputs=(dy, argmax))
    if kernels.max_pool2d_backward(dy, argmax, geometry.kernel_windows(x_shape), dx):
        raise wrong_argmax(argmax, geometry)
    return dx


def avg_pool2d(
    x: Array,
    size: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    count_include_pad: bool = False,
    out: Array | None = None,
) -> Array:
    """Mean of each window.

    y[n, i, j, c] = 1/count * sum over kh, kw of x[n, i*sh + kh - top, j*sw + kw - left, c]

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C), float32 or float64
        Pictures.  N may be 0.
    size : int or pair of int
        Height and width of the window.
    stride : int or pair of int, optional
        Steps of the window; by default its size.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        See `conv2d`; smaller than the window on every side.
    count_include_pad : bool
        False: count is the number of pixels of the window inside the picture, as in TensorFlow.
        True: it is KH * KW, pixels of the padding counting as zeros.
    out : ndarray, optional
        Array to write y into.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C), the dtype of `x`

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0], [3.0, 6.0]]).reshape(1, 2, 2, 1)
    >>> nn.functional.avg_pool2d(x, 2).item()
    3.0
    """
    x = pictures(x)
    geometry = pool_geometry(x.shape[1:3], size, stride, padding)
    shape = (x.shape[0], *geometry.output, x.shape[3])
    y = output_array(out, "out", shape, x.dtype, inputs=(x,))
    count_include_pad = boolean(count_include_pad, "count_include_pad")
    kernels.avg_pool2d(x, geometry.kernel_windows(x.shape), count_include_pad, y)
    return y


def avg_pool2d_backward(
    dy: Array,
    x_shape: tuple[int, int, int, int],
    *,
    size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    count_include_pad: bool = False,
    out: Array | None = None,
) -> Array:
    """Gradient of `avg_pool2d` with respect to its input.

    The gradient of each window is shared out equally among its pixels.

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C), float32 or float64
        Gradient of the loss with respect to y.
    x_shape : tuple of int (N, H, W, C)
        Shape of the input.
    size, stride, padding, count_include_pad
        What `avg_pool2d` was called with.
    out : ndarray, optional
        Array to write dx into.

    Returns
    -------
    dx : ndarray, shape `x_shape`, the dtype of `dy`

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `avg_pool2d`; also if `dy` does not have the shape of its result.

    Examples
    --------
    >>> dy = np.array([[[[8.0]]]])
    >>> nn.functional.avg_pool2d_backward(dy, (1, 2, 2, 1), size=2)[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]])
    """
    x_shape = _checked_shape(x_shape)
    geometry = pool_geometry(x_shape[1:3], size, stride, padding)
    dy = _checked_gradient(dy, x_shape, geometry)
    dx = output_array(out, "out", x_shape, dy.dtype, inputs=(dy,))
    count_include_pad = boolean(count_include_pad, "count_include_pad")
    kernels.avg_pool2d_backward(dy, geometry.kernel_windows(x_shape), count_include_pad, dx)
    return dx


def pool_geometry(
    picture: tuple[int, int], size: IntOrPair, stride: IntOrPair | None = None, padding: Padding = "valid"
) -> WindowGeometry:
    """Return the geometry of a pooling window over a picture (height, width).

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `npcnn.functional.window_geometry`; also if a window could lie in the padding alone.

    Examples
    --------
    >>> from npcnn.functional.pooling import pool_geometry
    >>> pool_geometry((24, 24), 2, None, "valid").stride
    (2, 2)
    """
    return pool_options(size, stride, padding).over(picture)


def pool_options(size: IntOrPair, stride: IntOrPair | None = None, padding: Padding = "valid") -> WindowOptions:
    """Return the arguments of `pool_geometry` that do not depend on the picture, checked.

    Raises
    ------
    TypeError, ValueError
        As `npcnn.functional.window_geometry`; also if a window could lie in the padding alone.
    """
    windows = window_options(size, stride=size if stride is None else stride, padding=padding)
    if windows.size[0] * windows.size[1] > MOST_PIXELS:
        raise ValueError(f"size must be a window of at most {MOST_PIXELS} taps, which argmax counts, got {size}")
    for axis, name in enumerate(("height", "width")):
        if windows.padding != "same" and max(windows.padding[axis]) >= windows.size[axis]:
            raise ValueError(
                f"padding must be smaller than the pooling window along the {name}, "
                f"{windows.size[axis]}, got {windows.padding[axis]}; a window may not lie "
                "in the padding alone"
            )
    return windows


def checked_argmax(argmax: Any, dy: Array) -> Array:
    """Return `argmax`, contiguous, if it is an int32 array of the shape of `dy`; else raise."""
    if not isinstance(argmax, np.ndarray) or argmax.dtype != np.int32:
        came = argmax.dtype if isinstance(argmax, np.ndarray) else type(argmax).__name__
        raise DTypeError(f"argmax must be the int32 array that max_pool2d returned, got {came}")
    exact_shape(argmax, "argmax", dy.shape, "the shape of dy")
    return contiguous(argmax)


def wrong_argmax(argmax: Array, geometry: WindowGeometry) -> ValueError:
    """Return the error to raise when a kernel found an argmax that is not a tap of the window."""
    last_tap = geometry.size[0] * geometry.size[1] - 1
    return ValueError(
        f"argmax must lie between 0 and {last_tap}, the taps of a window of {geometry.size}, got "
        f"{argmax.min()} to {argmax.max()}; pass what max_pool2d returned for the same size"
    )


def pooled_outputs(
    out: tuple[Array | None, Array | None] | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: tuple[Array | None, ...],
) -> tuple[Array, Array]:
    """Return (y, argmax) to write into: those of `out`, or new ones."""
    out = (None, None) if out is None else out
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(f"out must be a tuple of two arrays (y, argmax), got {shown(out)}")
    y = output_array(out[0], "out[0] (y)", shape, dtype, inputs=inputs)
    argmax = output_array(out[1], "out[1] (argmax)", shape, np.dtype(np.int32), inputs=(*inputs, y))
    return y, argmax


def _checked_shape(x_shape: Any) -> tuple[int, int, int, int]:
    if not isinstance(x_shape, tuple | list) or len(x_shape) != 4:
        raise ShapeError(f"x_shape must be (N, H, W, C), got {shown(x_shape)}")
    N = integer(x_shape[0], "x_shape[0]", minimum=0)
    H, W, C = (integer(length, f"x_shape[{i}]", minimum=1) for i, length in enumerate(x_shape[1:], 1))
    return N, H, W, C


def _checked_gradient(dy: Array, x_shape: tuple[int, int, int, int], geometry: WindowGeometry) -> Array:
    dy = float_array(dy, "dy", "N, OH, OW, C")
    expected = (x_shape[0], *geometry.output, x_shape[3])
    exact_shape(dy, "dy", expected, f"the shape of the result for x_shape {x_shape}")
    return dy
