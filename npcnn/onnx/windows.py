"""The windows of an ONNX convolution or pooling as npcnn says them: stride, padding, dilation."""

from __future__ import annotations

from typing import Any

from npcnn.onnx.place import Place, Refused


def pair_or_number(values: Any) -> Any:
    """Return a pair as (height, width), or one number if they are equal."""
    if len(values) != 2:
        raise Refused(f"it must have two numbers, for height and width, where it has {list(values)}")
    first, second = map(int, values)
    return first if first == second else (first, second)


def windows(place: Place, size: Any) -> dict[str, Any]:
    """Return stride, padding and dilation of a convolution or a pooling."""
    stride = tuple(map(int, place.setting("strides", (1, 1))))
    dilation = tuple(map(int, place.setting("dilations", (1, 1))))
    padding: Any = "same"
    how = place.setting("auto_pad", "NOTSET")
    if how in ("NOTSET", "VALID"):
        top, left, bottom, right = place.setting("pads", (0, 0, 0, 0)) if how == "NOTSET" else (0, 0, 0, 0)
        padding = _padding_in_words(((top, bottom), (left, right)), size, stride, dilation)
    elif how == "SAME_LOWER":
        padding = tuple(
            _same_lower(length, (taps - 1) * apart + 1, step)
            for length, taps, apart, step in zip(place.pictures().lengths[2:], size, dilation, stride, strict=True)
        )
    return {"stride": pair_or_number(stride), "padding": padding, "dilation": pair_or_number(dilation)}


def _padding_in_words(sides: Any, size: Any, stride: Any, dilation: Any) -> Any:
    """Return padding by name where it has one for pictures of any size, else by number."""
    if min(min(side) for side in sides) < 0:
        raise Refused(f"padding must not be negative, got {sides}")
    totals = [(taps - 1) * apart for taps, apart in zip(size, dilation, strict=True)]
    if stride == (1, 1) and sides == tuple((total // 2, total - total // 2) for total in totals):
        return "same"
    if sides == ((0, 0), (0, 0)):
        return "valid"
    return int(sides[0][0]) if len({*sides[0], *sides[1]}) == 1 else tuple(tuple(map(int, side)) for side in sides)


def _same_lower(length: int | None, span: int, stride: int) -> tuple[int, int]:
    if length is None:
        raise Refused(
            "padding of SAME_LOWER needs the size of the pictures, which the file leaves open; give input_shape"
        )
    total = max((-(-length // stride) - 1) * stride + span - length, 0)
    return total - total // 2, total // 2
