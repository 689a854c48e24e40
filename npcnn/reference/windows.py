"""Where windows lie along an axis of a picture; convolution and pooling both slide them.

Height and width never mix: a two-dimensional window is the product of two
one-dimensional ones, so everything here speaks of one axis.  Tap number `k`
of window number `i` lies on the pixel ::

    position = i * stride + k * dilation - before

where `before` is the number of pixels of padding before the picture.  A
position outside the picture is padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

IntOrPair: TypeAlias = int | tuple[int, int]
Padding1D: TypeAlias = str | int | tuple[int, int]
Padding2D: TypeAlias = str | int | tuple[tuple[int, int], tuple[int, int]]


class AxisWindows(NamedTuple):
    """The windows along one axis: pixels, taps, how they move, and the padding on either side.

    Examples
    --------
    >>> from npcnn.reference.windows import axis_windows
    >>> rows = axis_windows(4, 3, stride=2, padding="same")
    >>> rows.before, rows.after, rows.output_length
    (0, 1, 2)
    >>> list(rows.taps())
    [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 2), (1, 1, 3)]
    """

    length: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int
    ceil_mode: bool = False

    @property
    def output_length(self) -> int:
        """How many windows fit the padded axis; in `ceil_mode` one more may reach beyond it, if it holds a pixel."""
        span = (self.size - 1) * self.dilation + 1
        room = self.before + self.length + self.after - span
        if not self.ceil_mode:
            return room // self.stride + 1
        windows = math.ceil(room / self.stride) + 1
        last_start = (windows - 1) * self.stride - self.before
        return windows if last_start < self.length else windows - 1

    def taps(self) -> Iterator[tuple[int, int, int]]:
        """Yield (window i, tap k, position) for every tap that lies inside the picture."""
        for i in range(self.output_length):
            for k in range(self.size):
                position = i * self.stride + k * self.dilation - self.before
                if 0 <= position < self.length:
                    yield i, k, position


def axis_windows(
    length: int,
    size: int,
    *,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
    ceil_mode: bool = False,
) -> AxisWindows:
    """Return the windows along one axis of `length` pixels.

    Parameters
    ----------
    length, size : int
        Pixels of the axis, taps of the window.
    stride, dilation : int
        Pixels from one window to the next, and from one tap to the next.
    padding : "same", "valid", int or (before, after)
        "same" is TensorFlow's rule: ceil(length / stride) windows, and the padding they need in
        total, half of it before; an odd pixel goes after.  "valid" is none.
    ceil_mode : bool
        Round the number of windows up, not down; but no window starts behind the last pixel.

    Returns
    -------
    AxisWindows
        The windows, with their padding worked out.

    Raises
    ------
    ValueError
        If `padding` is another string.

    Examples
    --------
    >>> from npcnn.reference.windows import axis_windows
    >>> axis_windows(1, 5).before, axis_windows(1, 5).after
    (2, 2)
    """
    if padding == "same":
        span = (size - 1) * dilation + 1
        windows = -(-length // stride)
        total = max((windows - 1) * stride + span - length, 0)
        before, after = total // 2, total - total // 2
    elif padding == "valid":
        before, after = 0, 0
    elif isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid' or numbers of pixels, got {padding!r}")
    else:
        before, after = as_pair(padding)
    return AxisWindows(length, size, stride, dilation, before, after, ceil_mode)


def picture_windows(
    picture: tuple[int, int],
    size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: Padding2D = "same",
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> tuple[AxisWindows, AxisWindows]:
    """Return the windows along the height and along the width of a picture.

    Parameters
    ----------
    picture : tuple of int
        (H, W).
    size, stride, dilation : int or (height, width)
        As in `axis_windows`; one number serves both axes.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        As in `axis_windows`; an int is that many pixels on all four sides.
    ceil_mode : bool
        As in `axis_windows`.

    Returns
    -------
    rows, cols : AxisWindows
        The windows along the height and along the width.

    Raises
    ------
    ValueError
        If `padding` is an unknown string.

    Examples
    --------
    >>> from npcnn.reference.windows import picture_windows
    >>> rows, cols = picture_windows((5, 8), (3, 1), stride=(2, 1))
    >>> rows.output_length, cols.output_length
    (3, 8)
    """
    paddings = (padding, padding) if isinstance(padding, str | int) else padding
    sizes, strides, dilations = as_pair(size), as_pair(stride), as_pair(dilation)
    rows, cols = (
        axis_windows(
            picture[axis],
            sizes[axis],
            stride=strides[axis],
            padding=paddings[axis],
            dilation=dilations[axis],
            ceil_mode=ceil_mode,
        )
        for axis in (0, 1)
    )
    return rows, cols


def as_pair(value: Any) -> tuple[int, int]:
    """Return one number twice, or a pair as it is.

    Examples
    --------
    >>> from npcnn.reference.windows import as_pair
    >>> as_pair(3), as_pair((1, 2))
    ((3, 3), (1, 2))
    """
    if isinstance(value, tuple | list):
        first, second = value
        return first, second
    return value, value
