"""The arithmetic of windows sliding over a picture: padding and output size.

Convolution and pooling share it.  A window of `size` taps, `dilation` apart,
spans ``(size - 1) * dilation + 1`` pixels; it moves by `stride`.

===========  =======================================================
padding      output size along one axis
===========  =======================================================
"same"       ceil(input / stride), TensorFlow's rule; the padding is
             what that needs, the odd pixel at the bottom / right
"valid"      ceil((input - span + 1) / stride), no padding
p            as "valid", with p pixels added on every side
((t, b),     as "valid", with t pixels added at the top, b at the
 (l, r))     bottom, l at the left and r at the right
===========  =======================================================

These sizes are rounded down: pixels at the bottom or the right that do not fill
a window are left out.  With `ceil_mode`, which poolings have, they get one: the
size is rounded up, but no window starts behind the last pixel.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple, TypeAlias

from npcnn.errors import ShapeError
from npcnn.functional.checks import boolean, integer, pair, shown

__all__ = ["WindowGeometry", "window_geometry"]

IntOrPair: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = Literal["same", "valid"] | int | tuple[tuple[int, int], tuple[int, int]]
Padding1D: TypeAlias = Literal["same", "valid"] | int | tuple[int, int]
Axis: TypeAlias = Literal["height", "width"]

# The largest size, stride, dilation and padding: sums and products of two of them stay far from overflowing.
MOST_PIXELS = 2**31 - 1
# What follows from checked options and a size of the pictures is worked out once and then looked up, for so many of
# them.  The options themselves are checked at every call: 1, 1.0 and True are equal, so a dictionary would take a wrong
# one for a right one that it knows, and telling them apart takes as long as the check.
MOST_REMEMBERED = 1024
# The largest padded picture.  A thread's workspace is a small multiple of it, and the sum over 1,024 threads is then
# still far from overflowing.
MOST_PADDED_NUMBERS = 2**40


class WindowGeometry(NamedTuple):
    """Where the windows of one convolution or pooling lie, in pixels.

    Each field is a pair (height, width); `padding` is a pair of pairs
    ((top, bottom), (left, right)).  In `ceil_mode` the last window may reach beyond
    the padding.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    output: tuple[int, int]
    ceil_mode: bool = False

    def kernel_windows(self, picture: tuple[int, ...]) -> dict[str, int]:
        """Return the fields of the C struct npcnn_windows, for pictures (H, W, C)."""
        return {
            "height": picture[0],
            "width": picture[1],
            "channels": picture[2],
            "size_h": self.size[0],
            "size_w": self.size[1],
            "stride_h": self.stride[0],
            "stride_w": self.stride[1],
            "dilation_h": self.dilation[0],
            "dilation_w": self.dilation[1],
            "pad_top": self.padding[0][0],
            "pad_bottom": self.padding[0][1],
            "pad_left": self.padding[1][0],
            "pad_right": self.padding[1][1],
            "out_height": self.output[0],
            "out_width": self.output[1],
        }

    def as_options(self) -> dict[str, Any]:
        """Return these windows as arguments of a pooling."""
        return {name: getattr(self, name) for name in ("size", "stride", "padding", "dilation", "ceil_mode")}

    def refuse_too_large(self, picture: tuple[int, int], channels: int) -> None:
        """Raise ShapeError if the padded picture is too large for the kernels to count its numbers."""
        H, W = (length + sum(pads) for length, pads in zip(picture, self.padding, strict=True))
        if H * W * channels > MOST_PADDED_NUMBERS:
            raise ShapeError(
                f"padding must leave a padded picture of at most {MOST_PADDED_NUMBERS:,} numbers, got {self.padding}, "
                f"which makes {H} x {W} pixels of {channels} channels; use less of it, a smaller kernel or a smaller "
                "dilation"
            )


def each_pixel(picture: tuple[int, int]) -> WindowGeometry:
    """Return windows of one pixel, one for each pixel of a picture of (height, width)."""
    return WindowGeometry((1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)), picture)


class WindowOptions(NamedTuple):
    """The arguments that describe windows, checked and as pairs (height, width); they hold for pictures of any size.

    `padding` is "same" or ((top, bottom), (left, right)).  `window_options` makes one.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Literal["same"] | tuple[tuple[int, int], tuple[int, int]]
    ceil_mode: bool = False

    def over(self, picture: tuple[int, int]) -> WindowGeometry:
        """Return where the windows lie over a picture of (height, width) pixels.

        Raises
        ------
        ShapeError
            If the window does not fit the padded picture.
        """
        return _windows_over(self, picture[0], picture[1])


def window_options(
    size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> WindowOptions:
    """Return the arguments of `window_geometry` that do not depend on the picture, checked.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form that `window_geometry` takes.

    Examples
    --------
    >>> window_options(3, stride=(2, 1), padding=1)
    WindowOptions(size=(3, 3), stride=(2, 1), dilation=(1, 1), padding=((1, 1), (1, 1)), ceil_mode=False)
    """
    return WindowOptions(
        pair(size, "size", minimum=1, maximum=MOST_PIXELS),
        pair(stride, "stride", minimum=1, maximum=MOST_PIXELS),
        pair(dilation, "dilation", minimum=1, maximum=MOST_PIXELS),
        _checked_padding(padding),
        boolean(ceil_mode, "ceil_mode"),
    )


def window_geometry(
    picture: tuple[int, int],
    size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> WindowGeometry:
    """Work out the padding and the output size of windows over a picture.

    Parameters
    ----------
    picture : tuple of int
        Height and width of the input in pixels.
    size : int or pair of int
        Taps of the window.
    stride, dilation : int or pair of int
        Steps of the window, and the distance between its taps.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        See the table at the top of this module.  None of these numbers may be more than `MOST_PIXELS`.
    ceil_mode : bool
        Whether pixels that do not fill a window get one all the same.

    Returns
    -------
    WindowGeometry
        All of it as pairs (height, width).

    Raises
    ------
    ShapeError
        If the window does not fit the padded picture.
    TypeError, ValueError
        If an argument is not of the form above.

    Examples
    --------
    >>> window_geometry((5, 2), 3).padding
    ((1, 1), (1, 1))
    >>> window_geometry((6, 6), 3, stride=2).padding   # the odd pixel goes to the bottom / right
    ((0, 1), (0, 1))
    >>> window_geometry((24, 24), 2, stride=2, padding="valid").output
    (12, 12)
    >>> window_geometry((5, 5), 2, stride=2, padding="valid", ceil_mode=True).output
    (3, 3)
    """
    options = window_options(size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    return options.over(picture)


def _checked_padding(padding: Any) -> Literal["same"] | tuple[tuple[int, int], tuple[int, int]]:
    """Return any accepted form of `padding` as "same" or ((top, bottom), (left, right))."""
    if isinstance(padding, str):
        if padding == "same":
            return "same"
        if padding == "valid":
            return (0, 0), (0, 0)
    elif isinstance(padding, tuple | list):
        if len(padding) == 2 and all(isinstance(side, tuple | list) and len(side) == 2 for side in padding):
            return (
                pair(padding[0], "padding[0]", minimum=0, maximum=MOST_PIXELS),
                pair(padding[1], "padding[1]", minimum=0, maximum=MOST_PIXELS),
            )
    else:
        both = integer(padding, "padding", minimum=0, maximum=MOST_PIXELS)
        return (both, both), (both, both)
    wanted = "'same', 'valid', an integer or ((top, bottom), (left, right))"
    raise ValueError(f"padding must be {wanted}, got {shown(padding)}")


@functools.lru_cache(maxsize=MOST_REMEMBERED, typed=True)
def _windows_over(options: WindowOptions, H: int, W: int) -> WindowGeometry:
    """Return where windows lie over a picture, as `WindowOptions.over` does."""
    pads, outputs = [], []
    for axis, (name, length) in enumerate((("height", H), ("width", W))):
        size, stride, dilation = options.size[axis], options.stride[axis], options.dilation[axis]
        span = (size - 1) * dilation + 1
        pad = _same_padding(length, span, stride) if options.padding == "same" else options.padding[axis]
        padded = length + sum(pad)
        count = (padded - span) // stride + 1
        if options.ceil_mode:
            last_inside = (length + pad[0] - 1) // stride + 1
            count = min(-((span - padded) // stride) + 1, last_inside)
        if count < 1:
            raise ShapeError(
                f"the window spans {span} pixels along the {name} (size {size}, dilation {dilation}) but the "
                f"padded picture has only {padded} ({length} + padding {pad}); use padding='same', more padding "
                "or a smaller window"
            )
        pads.append(pad)
        outputs.append(count)
    return WindowGeometry(
        options.size, options.stride, options.dilation, (pads[0], pads[1]), (outputs[0], outputs[1]), options.ceil_mode
    )


def _same_padding(length: int, span: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: total = max((ceil(length / stride) - 1) * stride + span - length, 0)."""
    total = max((-(-length // stride) - 1) * stride + span - length, 0)
    return total // 2, total - total // 2


def line_geometry(
    picture: tuple[int, int],
    taps: int,
    *,
    axis: str,
    stride: int = 1,
    padding: Padding1D = "same",
    dilation: int = 1,
) -> WindowGeometry:
    """Work out the padding and output size of K x 1 (axis="height") or 1 x K (axis="width") windows.

    Raises
    ------
    ShapeError, TypeError, ValueError
        As `window_geometry`; also if `axis` is neither.

    Examples
    --------
    >>> from npcnn.functional.windows import line_geometry
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
        As `window_geometry`; also if `axis` is neither.
    """
    stride = integer(stride, "stride", minimum=1, maximum=MOST_PIXELS)
    dilation = integer(dilation, "dilation", minimum=1, maximum=MOST_PIXELS)
    if checked_axis(axis) == "height":
        sides = padding if isinstance(padding, str) else (_before_and_after(padding), (0, 0))
        return window_options((taps, 1), stride=(stride, 1), padding=sides, dilation=(dilation, 1))
    sides = padding if isinstance(padding, str) else ((0, 0), _before_and_after(padding))
    return window_options((1, taps), stride=(1, stride), padding=sides, dilation=(1, dilation))


def checked_axis(axis: Any) -> Axis:
    """Return `axis` if it is "height" or "width"; else raise ValueError."""
    if axis not in ("height", "width"):
        raise ValueError(f"axis must be 'height' or 'width', got {shown(axis)}")
    return axis  # type: ignore[no-any-return]


def _before_and_after(padding: Any) -> tuple[int, int]:
    """Return the padding of a 1-D convolution as (before, after)."""
    sides = padding if isinstance(padding, tuple | list) else (padding, padding)
    if len(sides) != 2 or any(isinstance(side, tuple | list) for side in sides):
        raise ValueError(f"padding must be 'same', 'valid', an integer or (before, after), got {shown(padding)}")
    before, after = (integer(side, "padding", minimum=0, maximum=MOST_PIXELS) for side in sides)
    return before, after
