"""Upsampling: larger pictures, by repeating pixels or by a line drawn between their centres.

Height and width are stretched one after the other.  Along an axis, output pixels that are `factor` apart lie alike
between the pixels of the input (they have one *phase*), so one product for all of them does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import float_array, pair, pictures, positive_axes, shown
from npcnn.functional.outputs import output_array
from npcnn.functional.windows import MOST_PIXELS, IntOrPair

__all__ = ["upsample2d", "upsample2d_backward"]

Array: TypeAlias = NDArray[Any]
Mode: TypeAlias = Literal["nearest", "bilinear"]


def upsample2d(x: Array, factor: IntOrPair, *, mode: Mode = "nearest", out: Array | None = None) -> Array:
    """Pictures `factor` times as large.

    With "nearest", y[n, i, j, c] = x[n, i // fh, j // fw, c].  With "bilinear" it is on the line between the two
    pixels whose centres are next to its own, (i + 0.5) / fh - 0.5 from the centre of the first pixel, along the height
    and along the width; beyond the outermost centres it is the outermost pixel.  That is what TensorFlow 2 and PyTorch
    (``align_corners=False``) do.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C), float32 or float64
        Pictures.  N may be 0.
    factor : int or pair of int
        How many times as large, along (height, width).
    mode : "nearest" or "bilinear"
        How to fill in.
    out : ndarray, optional
        Array to write y into.

    Returns
    -------
    y : ndarray, shape (N, H * fh, W * fw, C), the dtype of `x`

    Raises
    ------
    ShapeError
        If `x` is not of rank 4, or has an empty axis.
    DTypeError
        If `x` is neither float32 nor float64.
    TypeError, ValueError
        If factor or mode is not of the form above.

    Examples
    --------
    >>> x = np.array([0.0, 8.0]).reshape(1, 1, 2, 1)
    >>> nn.functional.upsample2d(x, (1, 2)).ravel(), nn.functional.upsample2d(x, (1, 2), mode="bilinear").ravel()
    (array([0., 0., 8., 8.]), array([0., 2., 6., 8.]))
    """
    x = pictures(x)
    fh, fw = checked_factor(factor)
    mode = checked_mode(mode)
    N, H, W, C = x.shape
    y = output_array(out, "out", (N, H * fh, W * fw, C), x.dtype, inputs=(x,))
    taller = np.empty((N, H * fh, W, C), x.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        _stretch(x.swapaxes(0, 1), taller.swapaxes(0, 1), _shares(fh, mode))
        _stretch(taller.swapaxes(0, 2), y.swapaxes(0, 2), _shares(fw, mode))
    return y


def upsample2d_backward(dy: Array, *, factor: IntOrPair, mode: Mode = "nearest", out: Array | None = None) -> Array:
    """Gradient of `upsample2d` with respect to its input.

    Each output pixel hands its gradient to the pixels that it is made of, by their shares; a pixel's gradients add up.

    Parameters
    ----------
    dy : ndarray, shape (N, H * fh, W * fw, C), float32 or float64
        Gradient of the loss with respect to y.
    factor, mode
        What `upsample2d` was called with.
    out : ndarray, optional
        Array to write dx into.

    Returns
    -------
    dx : ndarray, shape (N, H, W, C), the dtype of `dy`

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `upsample2d`; also if `dy` cannot be its result, because a side is not a multiple of the factor.

    Examples
    --------
    >>> dy = np.array([4.0, 4.0, 8.0, 8.0]).reshape(1, 1, 4, 1)
    >>> nn.functional.upsample2d_backward(dy, factor=(1, 2), mode="bilinear").ravel()
    array([ 9., 15.])
    """
    dy = float_array(dy, "dy", "N, OH, OW, C")
    positive_axes(dy, "dy", "N, OH, OW, C")
    fh, fw = checked_factor(factor)
    mode = checked_mode(mode)
    N, OH, OW, C = dy.shape
    if OH % fh or OW % fw:
        raise ShapeError(f"dy must have a height and a width that are multiples of factor {(fh, fw)}, got {(OH, OW)}")
    dx = output_array(out, "out", (N, OH // fh, OW // fw, C), dy.dtype, inputs=(dy,))
    taller = np.empty((N, OH, OW // fw, C), dy.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        _stretch_backward(dy.swapaxes(0, 2), taller.swapaxes(0, 2), _shares(fw, mode))
        _stretch_backward(taller.swapaxes(0, 1), dx.swapaxes(0, 1), _shares(fh, mode))
    return dx


def checked_factor(factor: Any) -> tuple[int, int]:
    """Return `factor` as a pair (height, width); else raise TypeError or ValueError."""
    return pair(factor, "factor", minimum=1, maximum=MOST_PIXELS)


def checked_mode(mode: Any) -> Mode:
    """Return `mode` if it is "nearest" or "bilinear"; else raise ValueError."""
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"mode must be 'nearest' or 'bilinear', got {shown(mode)}")
    return mode  # type: ignore[no-any-return]


def spent_multiplications(picture: tuple[int, int, int], factor: tuple[int, int], mode: Mode) -> int:
    """Return the multiplications of `upsample2d` of one picture (H, W, C).

    Two for each number that lies between two pixels, first along the height, then along the width.

    Examples
    --------
    >>> from npcnn.functional.resampling import spent_multiplications
    >>> spent_multiplications((1, 2, 1), (1, 2), "bilinear"), spent_multiplications((1, 2, 1), (1, 2), "nearest")
    (8, 0)
    """
    H, W, C = picture
    between_rows, between_columns = (np.count_nonzero(_shares(times, mode)) for times in factor)
    return 2 * C * W * H * int(between_rows + factor[0] * between_columns)


def _shares(factor: int, mode: Mode) -> tuple[float, ...]:
    """Return for each phase how much of it is the neighbour: the one before where negative, else the one after."""
    if mode == "nearest":
        return (0.0,) * factor
    return tuple((phase + 0.5) / factor - 0.5 for phase in range(factor))


def _stretch(x: Array, y: Array, shares: tuple[float, ...]) -> None:
    """Write the pictures `x`, stretched along their first axis, into `y`."""
    for phase, share in enumerate(shares):
        part = y[phase :: len(shares)]
        if share == 0:  # not even 0 times the neighbour, which may be infinite
            part[...] = x
            continue
        np.multiply(x, 1 - abs(share), out=part)
        for here, neighbour in _neighbours(share):
            part[here] += abs(share) * x[neighbour]


def _stretch_backward(dy: Array, dx: Array, shares: tuple[float, ...]) -> None:
    """Write the gradient of `_stretch` with respect to its `x` into `dx`."""
    dx[...] = 0
    for phase, share in enumerate(shares):
        part = dy[phase :: len(shares)]
        if share == 0:
            dx += part
            continue
        dx += (1 - abs(share)) * part
        for here, neighbour in _neighbours(share):
            dx[neighbour] += abs(share) * part[here]


def _neighbours(share: float) -> Iterator[tuple[slice, slice]]:
    """Yield pixels and their neighbours; the outermost is its own."""
    first, last, but_first, but_last = slice(0, 1), slice(-1, None), slice(1, None), slice(None, -1)
    yield from ((but_first, but_last), (first, first)) if share < 0 else ((but_last, but_first), (last, last))
