"""Zero padding as a step of its own.

Convolution and pooling have padding built in, which costs neither memory nor time; this is for what comes between, such
as a padding that a pooling shall count as pixels.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import float_array, pair, pictures, positive_axes
from npcnn.functional.outputs import output_array
from npcnn.functional.windows import MOST_PIXELS

__all__ = ["zero_pad2d", "zero_pad2d_backward"]

Array: TypeAlias = NDArray[Any]
Sides: TypeAlias = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


def zero_pad2d(x: Array, padding: Sides, *, out: Array | None = None) -> Array:
    """Pictures with a border of zeros.

    y[n, top + i, left + j, c] = x[n, i, j, c], and 0 elsewhere

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C), float32 or float64
        Pictures.  N may be 0.
    padding : int, (height, width) or ((top, bottom), (left, right))
        Pixels of the border.
    out : ndarray, optional
        Array to write y into.

    Returns
    -------
    y : ndarray, shape (N, top + H + bottom, left + W + right, C), the dtype of `x`

    Raises
    ------
    ShapeError
        If `x` is not of rank 4, or has an empty axis.
    DTypeError
        If `x` is neither float32 nor float64.
    TypeError, ValueError
        If padding is not of the form above.

    Examples
    --------
    >>> nn.functional.zero_pad2d(np.array([[7.0]]).reshape(1, 1, 1, 1), ((1, 0), (1, 2)))[0, :, :, 0]
    array([[0., 0., 0., 0.],
           [0., 7., 0., 0.]])
    """
    x = pictures(x)
    (top, bottom), (left, right) = checked_sides(padding)
    N, H, W, C = x.shape
    y = output_array(out, "out", (N, top + H + bottom, left + W + right, C), x.dtype, inputs=(x,))
    y[...] = 0
    y[:, top : top + H, left : left + W] = x
    return y


def zero_pad2d_backward(dy: Array, *, padding: Sides, out: Array | None = None) -> Array:
    """Gradient of `zero_pad2d` with respect to its input: `dy` without the border.

    Parameters
    ----------
    dy : ndarray, shape (N, top + H + bottom, left + W + right, C), float32 or float64
        Gradient of the loss with respect to y.
    padding
        What `zero_pad2d` was called with.
    out : ndarray, optional
        Array to write dx into.

    Returns
    -------
    dx : ndarray, shape (N, H, W, C), the dtype of `dy`

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `zero_pad2d`; also if `dy` is all border.

    Examples
    --------
    >>> dy = np.arange(1.0, 9.0).reshape(1, 2, 4, 1)
    >>> nn.functional.zero_pad2d_backward(dy, padding=((1, 0), (1, 2))).ravel()
    array([6.])
    """
    dy = float_array(dy, "dy", "N, OH, OW, C")
    positive_axes(dy, "dy", "N, OH, OW, C")
    (top, bottom), (left, right) = checked_sides(padding)
    N, OH, OW, C = dy.shape
    H, W = OH - top - bottom, OW - left - right
    if H < 1 or W < 1:
        raise ShapeError(
            f"dy must be larger than the padding {((top, bottom), (left, right))}, got {OH} x {OW} pixels; pass the "
            "gradient of what zero_pad2d returned"
        )
    dx = output_array(out, "out", (N, H, W, C), dy.dtype, inputs=(dy,))
    np.copyto(dx, dy[:, top : top + H, left : left + W])
    return dx


def checked_sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return any accepted form of `padding` as ((top, bottom), (left, right)); else raise TypeError or ValueError.

    Examples
    --------
    >>> from npcnn.functional.padding import checked_sides
    >>> checked_sides(1), checked_sides((1, 2)), checked_sides(((1, 2), (3, 4)))
    (((1, 1), (1, 1)), ((1, 1), (2, 2)), ((1, 2), (3, 4)))
    """
    if isinstance(padding, tuple | list) and len(padding) == 2 and all(isinstance(x, tuple | list) for x in padding):
        return (
            pair(padding[0], "padding[0]", minimum=0, maximum=MOST_PIXELS),
            pair(padding[1], "padding[1]", minimum=0, maximum=MOST_PIXELS),
        )
    height, width = pair(padding, "padding", minimum=0, maximum=MOST_PIXELS)
    return (height, height), (width, width)
