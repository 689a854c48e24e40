"""Max and average pooling, with their gradients.

A window slides over each channel by itself and leaves one number, the largest
or the mean.  Pixels of the padding take no part in either, unless
`count_include_pad` asks for them to count as zeros in the mean.  Where
`ceil_mode` lets the last window reach beyond the padding, what lies there
never counts, as in PyTorch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.checks import boolean, contiguous, exact_shape, float_array, integer, pictures, shown
from npcnn.functional.exchange import as_array
from npcnn.functional.outputs import output_array, pooled_outputs
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
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Largest value of each window, and where in the window it was.

    y[n, i, j, c] = max over kh, kw of x[n, i*sh + kh*dh - top, j*sw + kw*dw - left, c]

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
    dilation : int or pair of int
        Distance between the taps of the window, along (height, width).
    ceil_mode : bool
        Whether pixels at the bottom or the right that do not fill a window get one all the same, if it starts on a
        pixel or the padding before it: PyTorch's rule.
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
        If `x` is not of rank 4, has an empty axis, or is smaller than the window, or if a window would lie in the
        padding alone.
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
    plan = planned(x, pool_options(size, stride, padding, dilation, ceil_mode))
    y, argmax = pooled_outputs(out, (len(x), *plan.y_shape), x.dtype, inputs=(x,))
    run_max(plan, x, y, argmax)
    return y, argmax


def max_pool2d_backward(
    dy: Array,
    argmax: Array,
    x_shape: tuple[int, int, int, int],
    *,
    size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
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
    size, stride, padding, dilation, ceil_mode
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
    geometry = pool_geometry(x_shape[1:3], size, stride, padding, dilation, ceil_mode)
    dy = _checked_gradient(dy, x_shape, geometry)
    argmax = checked_argmax(argmax, dy)
    dx = output_array(out, "out", x_shape, dy.dtype, inputs=(dy, argmax))
    if kernels.max_pool2d_backward(dy, argmax, geometry.kernel_windows(x_shape[1:]), dx):
        raise wrong_argmax(argmax, geometry)
    return dx


def avg_pool2d(
    x: Array,
    size: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    out: Array | None = None,
) -> Array:
    """Mean of each window.

    y[n, i, j, c] = 1/count * sum over kh, kw of x[n, i*sh + kh*dh - top, j*sw + kw*dw - left, c]

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
    dilation : int or pair of int
        Distance between the taps of the window, along (height, width).
    ceil_mode : bool
        Whether pixels at the bottom or the right that do not fill a window get one all the same, if it starts on a
        pixel or the padding before it: PyTorch's rule.
    count_include_pad : bool
        False: count is the number of pixels of the window inside the picture, as in TensorFlow.
        True: it is KH * KW, pixels of the padding counting as zeros; but what `ceil_mode` lets a window reach
        beyond the padding is not counted.
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
    plan = planned(x, pool_options(size, stride, padding, dilation, ceil_mode))
    y = output_array(out, "out", (len(x), *plan.y_shape), x.dtype, inputs=(x,))
    run_avg(plan, x, boolean(count_include_pad, "count_include_pad"), y)
    return y


def avg_pool2d_backward(
    dy: Array,
    x_shape: tuple[int, int, int, int],
    *,
    size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
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
    size, stride, padding, dilation, ceil_mode, count_include_pad
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
    geometry = pool_geometry(x_shape[1:3], size, stride, padding, dilation, ceil_mode)
    dy = _checked_gradient(dy, x_shape, geometry)
    dx = output_array(out, "out", x_shape, dy.dtype, inputs=(dy,))
    count_include_pad = boolean(count_include_pad, "count_include_pad")
    kernels.avg_pool2d_backward(dy, geometry.kernel_windows(x_shape[1:]), count_include_pad, dx)
    return dx


class PoolPlan(NamedTuple):
    """How pictures of one shape are pooled: where the windows lie, as the kernels take it, and the shape of y."""

    windows: dict[str, int]
    y_shape: tuple[int, int, int]


def planned(x: Array, options: PoolOptions) -> PoolPlan:
    """Return how checked pictures (N, H, W, C) are pooled; ShapeError if the window does not fit."""
    geometry = options.over(x.shape[1:3])
    return PoolPlan(geometry.kernel_windows(x.shape[1:]), (*geometry.output, x.shape[3]))


def run_max(plan: PoolPlan, x: Array, y: Array, argmax: Array | None) -> None:
    """Write the maxima into y and, if given, where they were into argmax: arrays that fit the plan, as was checked."""
    kernels.max_pool2d(x, plan.windows, y, argmax)


def run_avg(plan: PoolPlan, x: Array, count_include_pad: bool, y: Array) -> None:
    """Write the means into y: arrays that fit the plan, as was checked."""
    kernels.avg_pool2d(x, plan.windows, count_include_pad, y)


def pool_geometry(
    picture: tuple[int, int],
    size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
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
    return pool_options(size, stride, padding, dilation, ceil_mode).over(picture)


class PoolOptions(WindowOptions):
    """The windows of a pooling, none of which may lie in the padding alone."""

    __slots__ = ()

    def over(self, picture: tuple[int, int]) -> WindowGeometry:
        """Return where the windows lie over a picture; ShapeError also if one of them would hold none of its pixels."""
        geometry = super().over(picture)
        for axis, name in enumerate(("height", "width")):
            # Only then can all taps of a window, not larger than the padding, step over the picture.
            if picture[axis] < self.dilation[axis] and not _all_hold_a_pixel(geometry, picture, axis):
                raise ShapeError(
                    f"a window may not lie in the padding alone, but along the {name} the taps of one, "
                    f"{self.dilation[axis]} apart, step over all {picture[axis]} pixels of the picture; use a smaller "
                    "dilation or less padding"
                )
        return geometry


def pool_options(
    size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = "valid",
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> PoolOptions:
    """Return the arguments of `pool_geometry` that do not depend on the picture, checked.

    Raises
    ------
    TypeError, ValueError
        As `npcnn.functional.window_geometry`; also if a window could lie in the padding alone.
    """
    stride = size if stride is None else stride
    windows = window_options(size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    if windows.size[0] * windows.size[1] > MOST_PIXELS:
        raise ValueError(f"size must be a window of at most {MOST_PIXELS} taps, which argmax counts, got {size}")
    for axis, name in enumerate(("height", "width")):
        span = (windows.size[axis] - 1) * windows.dilation[axis] + 1
        if windows.padding != "same" and max(windows.padding[axis]) >= span:
            raise ValueError(
                f"padding must be smaller than the pooling window along the {name}, "
                f"{span}, got {windows.padding[axis]}; a window may not lie "
                "in the padding alone"
            )
    return PoolOptions(*windows)


def _all_hold_a_pixel(geometry: WindowGeometry, picture: tuple[int, int], axis: int) -> bool:
    """Return whether every window that starts before the picture has a tap on one of its pixels, along an axis."""
    length, before = picture[axis], geometry.padding[axis][0]
    stride, dilation = geometry.stride[axis], geometry.dilation[axis]
    last = (geometry.output[axis] - 1) * stride - before
    # Of length + 1 different remainders, one is too large; if fewer are different, they repeat from there on.
    starts = range(-before, min(last + 1, 0), stride)[: length + 1]
    return all(start % dilation < length for start in starts)


def checked_argmax(argmax: Any, dy: Array) -> Array:
    """Return `argmax`, contiguous, if it is an int32 array of the shape of `dy`; else raise."""
    argmax = as_array(argmax, "argmax")
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
