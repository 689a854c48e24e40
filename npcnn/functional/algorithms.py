"""The algorithms of a convolution: which exist where, what each costs, and which of them "auto" takes.

"im2col" multiplies as often as the definition says, in matrix products that read the picture as im2col would lay it
out.  "toom_cook" multiplies about half as often, along one axis of the kernel, and "toom_cook_2d" about a quarter as
often, along both axes of a 3 x 3 kernel (`npcnn.reference.toom_cook` explains how).  Their price is some rounding: the
largest error stays under 1e-5 of the largest output, where im2col's is about 1e-6.  "auto" takes the one that costs
least, and never Toom-Cook in float64, so that gradient checks see the exact algorithm.

With groups (`npcnn.functional.conv2d`) there is no Toom-Cook: "auto" is im2col group by group or, where a group is a
single input channel, "depthwise", which multiplies as the definition says, too, but without matrix products.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from npcnn.functional.checks import shown
from npcnn.functional.toom_cook import axis, products_of
from npcnn.reference.toom_cook import OUTPUTS, multiplications

Algorithm: TypeAlias = Literal["auto", "im2col", "toom_cook", "toom_cook_2d", "depthwise"]
Chosen: TypeAlias = Literal["im2col", "toom_cook", "toom_cook_2d", "depthwise"]
ALGORITHMS = ("auto", "im2col", "toom_cook", "toom_cook_2d", "depthwise")

# What the transforms cost for each number that they write to or read from the points, in the multiplications that a
# matrix product does in the same time: chosen so that `cost` tells which algorithm is the faster for a forward and a
# backward pass together, as measured (AVX2, two threads).
TRANSFORM = {"toom_cook": 6, "toom_cook_2d": 20}


def chosen_algorithm(
    algorithm: str,
    weights: tuple[int, ...],
    *,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int = 1,
    dtype: np.dtype[Any],
) -> Chosen:
    """Return the algorithm of a convolution: what was asked for, or the cheapest if that is "auto".

    Parameters
    ----------
    algorithm : "auto", "im2col", "toom_cook", "toom_cook_2d" or "depthwise"
        What the user asked for.
    weights : tuple of int
        KH, KW, C_in / groups, C_out; KH or KW is 1 in one dimension.
    stride, dilation : pair of int
        Of the convolution.
    groups : int
        Of the convolution.
    dtype : numpy.dtype
        Of its arrays.

    Raises
    ------
    ValueError
        If `algorithm` is none of the five, or one that cannot be used here.

    Examples
    --------
    >>> from npcnn.functional.algorithms import chosen_algorithm
    >>> chosen_algorithm("auto", (5, 5, 3, 64), stride=(1, 1), dilation=(1, 1), dtype=np.dtype("f4"))
    'toom_cook'
    >>> chosen_algorithm("auto", (3, 3, 64, 64), stride=(1, 1), dilation=(1, 1), dtype=np.dtype("f4"))
    'toom_cook_2d'
    >>> chosen_algorithm("auto", (5, 5, 3, 64), stride=(1, 1), dilation=(1, 1), dtype=np.dtype("f8"))
    'im2col'
    >>> chosen_algorithm("auto", (5, 5, 1, 64), stride=(1, 1), dilation=(1, 1), groups=64, dtype=np.dtype("f4"))
    'depthwise'
    """
    if algorithm not in ALGORITHMS:
        names = ", ".join(map(repr, ALGORITHMS[:-1]))
        raise ValueError(f"algorithm must be {names} or {ALGORITHMS[-1]!r}, got {shown(algorithm)}")
    if algorithm == "im2col":
        return "im2col"
    KH, KW, C_in, _ = weights
    if algorithm == "depthwise" and C_in > 1:
        raise ValueError(
            f"algorithm 'depthwise' needs groups of one input channel, got {groups} groups of {C_in}; "
            "use 'auto' or 'im2col'"
        )
    if algorithm == "depthwise" or (algorithm == "auto" and C_in == 1 < groups):
        return "depthwise"
    possible: list[Chosen] = []
    if stride == (1, 1) and dilation == (1, 1) and groups == 1 and dtype == np.float32:
        possible += ["toom_cook"] if axis(KH, KW) else []
        possible += ["toom_cook_2d"] if (KH, KW) == (3, 3) else []
    if algorithm == "auto":
        return min([*possible, "im2col"], key=lambda name: cost(name, weights))
    for name in possible:
        if name == algorithm:
            return name
    needed = "3 x 3 taps" if algorithm == "toom_cook_2d" else "3, 5 or 7 taps along one axis"
    raise ValueError(
        f"algorithm {algorithm!r} needs {needed}, stride 1, dilation 1 and float32, without groups, got a "
        f"{KH} x {KW} kernel, stride {stride}, dilation {dilation}, groups {groups} and {dtype}; "
        "use 'auto' or 'im2col'"
    )


def cost(algorithm: str, weights: tuple[int, ...]) -> float:
    """Return what an algorithm costs for each output pixel of a large picture, in multiplications of a matrix product.

    Examples
    --------
    3 x 3 kernels: with many channels the products decide, with few the transforms.

    >>> from npcnn.functional.algorithms import cost
    >>> names = "im2col", "toom_cook", "toom_cook_2d"
    >>> for channels in (4, 16, 64):
    ...     print(channels, [cost(name, (3, 3, channels, channels)) for name in names])
    4 [144, 144.0, 396.0]
    16 [2304, 1440.0, 2016.0]
    64 [36864, 19584.0, 14976.0]
    """
    KH, KW, C_in, C_out = weights
    if algorithm == "im2col":
        return KH * KW * C_in * C_out
    if algorithm == "toom_cook_2d":
        values = products = float(multiplications(4, 3) ** 2)
    else:
        taps, cross_taps = (KW, KH) if axis(KH, KW) == "width" else (KH, KW)
        values = float(multiplications(OUTPUTS[taps], taps))
        products = values * cross_taps
    return products * C_in * C_out + TRANSFORM[algorithm] * values * (C_in + C_out)


def spent_multiplications(algorithm: str, output: tuple[int, int], weights: tuple[int, ...]) -> int:
    """Return the multiplications of the products of one forward pass over one picture.

    For "im2col" and "depthwise" that is output pixels times weights, also with groups, whose `weights` are
    (KH, KW, C_in / groups, C_out).  Toom-Cook works in whole tiles.  Along one axis they have T = 4 output lines (2
    for 7 taps), each of which costs K + T - 1 products where the definition needs T * K; along both, tiles of 4 x 4
    cost 36, and where that leaves a rest there are tiles of three lines, which cost 5 instead of 6.  Multiplications
    inside the transforms, by the small constants of their tables, are not counted.

    Examples
    --------
    A 5 x 1 kernel with 64 channels over 12 x 12 pixels, 8 products instead of 20:

    >>> from npcnn.functional.algorithms import spent_multiplications
    >>> spent_multiplications("im2col", (12, 12), (5, 1, 64, 64))
    2949120
    >>> spent_multiplications("toom_cook", (12, 12), (5, 1, 64, 64))
    1179648

    A 3 x 3 kernel, 36 products instead of 144, or instead of 72 along one axis:

    >>> [spent_multiplications(name, (4, 4), (3, 3, 1, 1)) for name in ("im2col", "toom_cook", "toom_cook_2d")]
    [144, 72, 36]
    """
    OH, OW = output
    KH, KW, C_in, C_out = weights
    if algorithm == "toom_cook_2d":
        return products_of(output) * C_in * C_out
    if algorithm != "toom_cook":
        return OH * OW * KH * KW * C_in * C_out
    taps, lines, cross_taps, pixels = (KW, OW, KH, OH) if axis(KH, KW) == "width" else (KH, OH, KW, OW)
    lines_of_tiles = -(-lines // OUTPUTS[taps]) * OUTPUTS[taps]
    return int(lines_of_tiles * multiplications(OUTPUTS[taps], taps)) * pixels * cross_taps * C_in * C_out
