"""Toom-Cook: convolution with about half the multiplications, where it exists and where it pays.

"im2col" multiplies as often as the definition says, in matrix products that read the picture as im2col would lay it
out.  "toom_cook" multiplies about half as often (`npcnn.reference.toom_cook` explains how) at the price of some
rounding: its largest error stays under 1e-5 of the largest output, where im2col's is about 1e-6.  "auto" takes it where
it is faster, and never in float64, so that gradient checks see the exact algorithm.

With groups (`npcnn.functional.conv2d`) there is no Toom-Cook: "auto" is im2col group by group or, where a group is a
single input channel, "depthwise", which multiplies as the definition says, too, but without matrix products.

Toom-Cook works along one axis: along the height of a KH x KW kernel when KH is 3, 5 or 7, where it reads and
writes whole rows of the picture as they lie in memory, else along its width when KW is.  Over the taps across that
axis it sums as the definition does.  A 1-D convolution has KH or KW = 1.

What it cannot carry is a number so large that a transform, which multiplies and adds it before the sum is formed,
might overflow, and infinity and NaN, which it would spread over a whole tile.  The kernel skips pictures with such
numbers; they are computed here, tap by tap as the definition says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.checks import padded_to_vectors, shown
from npcnn.functional.pooling import max_pool2d, max_pool2d_backward, wrong_argmax
from npcnn.functional.windows import WindowGeometry
from npcnn.kernels import toom_cook as kernels
from npcnn.reference.toom_cook import OUTPUTS, POINTS, multiplications

Array: TypeAlias = NDArray[Any]
Algorithm: TypeAlias = Literal["auto", "im2col", "toom_cook", "depthwise"]
ALGORITHMS = ("auto", "im2col", "toom_cook", "depthwise")

# Taps across the axis times the smaller of C_in and C_out: how many products share the work of one transform.
# With fewer than this, forward and backward together were not faster than im2col when measured (AVX-512).
AUTO_LEAST_PRODUCTS = 12


def chosen_algorithm(
    algorithm: str,
    weights: tuple[int, ...],
    *,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int = 1,
    dtype: np.dtype[Any],
) -> Literal["im2col", "toom_cook", "depthwise"]:
    """Return the algorithm of a convolution, "im2col", "toom_cook" or "depthwise".

    Parameters
    ----------
    algorithm : "auto", "im2col", "toom_cook" or "depthwise"
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
        If `algorithm` is none of the four, or one that cannot be used here.

    Examples
    --------
    >>> from npcnn.functional.toom_cook import chosen_algorithm
    >>> chosen_algorithm("auto", (5, 5, 3, 64), stride=(1, 1), dilation=(1, 1), dtype=np.dtype("f4"))
    'toom_cook'
    >>> chosen_algorithm("auto", (5, 5, 3, 64), stride=(1, 1), dilation=(1, 1), dtype=np.dtype("f8"))
    'im2col'
    >>> chosen_algorithm("auto", (5, 5, 1, 64), stride=(1, 1), dilation=(1, 1), groups=64, dtype=np.dtype("f4"))
    'depthwise'
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm must be 'auto', 'im2col', 'toom_cook' or 'depthwise', got {shown(algorithm)}")
    if algorithm == "im2col":
        return "im2col"
    KH, KW, C_in, C_out = weights
    if algorithm == "depthwise" and C_in > 1:
        raise ValueError(
            f"algorithm 'depthwise' needs groups of one input channel, got {groups} groups of {C_in}; "
            "use 'auto' or 'im2col'"
        )
    if algorithm == "depthwise" or (algorithm == "auto" and C_in == 1 < groups):
        return "depthwise"
    along = _axis(KH, KW)
    exists = along is not None and stride == (1, 1) and dilation == (1, 1) and groups == 1 and dtype == np.float32
    if algorithm == "toom_cook":
        if not exists:
            raise ValueError(
                f"algorithm 'toom_cook' needs 3, 5 or 7 taps along one axis, stride 1, "
                f"dilation 1 and float32, without groups, got a {KH} x {KW} kernel, stride {stride}, "
                f"dilation {dilation}, groups {groups} and {dtype}; use 'auto' or 'im2col'"
            )
        return "toom_cook"
    cross_taps = KH if along == "width" else KW
    return "toom_cook" if exists and cross_taps * min(C_in, C_out) >= AUTO_LEAST_PRODUCTS else "im2col"


def spent_multiplications(algorithm: str, output: tuple[int, int], weights: tuple[int, ...]) -> int:
    """Return the multiplications of the products of one forward pass over one picture.

    For "im2col" and "depthwise" that is output pixels times weights, also with groups, whose `weights` are
    (KH, KW, C_in / groups, C_out).  Toom-Cook works in whole tiles of T = 4 output lines (2 for
    7 taps), each of which costs K + T - 1 products where the definition needs T * K.  Multiplications inside the
    transforms, by the small constants of their tables, are not counted.

    Examples
    --------
    A 5 x 1 kernel with 64 channels over 12 x 12 pixels, 8 products instead of 20:

    >>> from npcnn.functional.toom_cook import spent_multiplications
    >>> spent_multiplications("im2col", (12, 12), (5, 1, 64, 64))
    2949120
    >>> spent_multiplications("toom_cook", (12, 12), (5, 1, 64, 64))
    1179648
    """
    OH, OW = output
    KH, KW, C_in, C_out = weights
    if algorithm != "toom_cook":
        return OH * OW * KH * KW * C_in * C_out
    taps, lines, cross_taps, pixels = (KW, OW, KH, OH) if _axis(KH, KW) == "width" else (KH, OH, KW, OW)
    lines_of_tiles = -(-lines // OUTPUTS[taps]) * OUTPUTS[taps]
    return int(lines_of_tiles * multiplications(OUTPUTS[taps], taps)) * pixels * cross_taps * C_in * C_out


def conv2d(
    x: Array,
    w: Array,
    b: Array | None,
    geometry: WindowGeometry,
    relu: bool,
    y: Array,
    pooling: WindowGeometry | None = None,
    argmax: Array | None = None,
) -> None:
    """Write the convolution, after ReLU if asked for, into `y`, or its max pooling into `y` and `argmax`.

    The arrays have been checked; `w` is (KH, KW, C_in, C_out).
    """
    along = _axis(*w.shape[:2])
    u = _at_points(_taps_first(w, along))
    skipped = np.ones(len(x), np.uint8)
    if u is not None:
        windows = _pooling_windows(pooling, x, w, geometry)
        kernels.conv2d(x, u, b, _kernel_taps(w, geometry, along), relu, windows, y, argmax, skipped)
    left = np.flatnonzero(skipped)
    if len(left):
        part = _tap_by_tap(x[left], w, b, geometry)
        part = np.where(part < 0, part.dtype.type(0), part) if relu else part
        if pooling is not None and argmax is not None:
            part, argmax[left] = max_pool2d(part, **pooling.as_options())
        y[left] = part


def conv2d_backward(
    dy: Array,
    x: Array,
    w: Array,
    geometry: WindowGeometry,
    relu_output: Array | None,
    dx: Array | None,
    dw: Array,
    db: Array,
    pooling: WindowGeometry | None,
    argmax: Array | None,
) -> None:
    """Write the gradients of `conv2d` into dw, db and, unless it is None, dx; ValueError for a wrong `argmax`."""
    along = _axis(*w.shape[:2])
    u_flipped = None if dx is None else _at_points(_taps_first(w[::-1, ::-1].swapaxes(2, 3), along))
    skipped = np.zeros(len(x), np.uint8)
    # dw and db do not depend on the weights: where those are too large, only dx is computed tap by tap.
    at_points = dx if u_flipped is not None else None
    wrong = kernels.conv2d_backward(
        dy, x, u_flipped, relu_output, _kernel_taps(w, geometry, along), _pooling_windows(pooling, x, w, geometry),
        argmax, at_points, _taps_first(dw, along), db, skipped,
    )  # fmt: skip
    if wrong and pooling is not None and argmax is not None:
        raise wrong_argmax(argmax, pooling)
    left = np.flatnonzero(skipped) if at_points is dx else np.arange(len(x))
    if len(left):
        before = dy[left] if relu_output is None else np.where(relu_output[left] > 0, dy[left], dy.dtype.type(0))
        if pooling is not None and argmax is not None:
            shape = (len(left), *geometry.output, w.shape[3])
            before = max_pool2d_backward(before, argmax[left], shape, **pooling.as_options())
        dx_left, dw_left, db_left = _tap_by_tap_backward(before, x[left], w, geometry, skipped[left] != 0)
        if dx is not None:
            dx[left] = dx_left
        dw += dw_left
        db += db_left


def _taps(geometry: WindowGeometry, picture: tuple[int, ...]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield for each tap its index, the pixels of the picture that it meets, and the outputs they go into."""
    for tap in np.ndindex(*geometry.size):
        pixels, outputs = [], []
        for axis in (0, 1):
            start = tap[axis] - geometry.padding[axis][0]
            first, last = max(-start, 0), min(picture[axis] - start, geometry.output[axis])
            outputs.append(slice(first, max(last, first)))
            pixels.append(slice(first + start, max(last, first) + start))
        yield tap, (slice(None), *pixels), (slice(None), *outputs)


def _tap_by_tap(x: Array, w: Array, b: Array | None, geometry: WindowGeometry) -> Array:
    """Return the convolution as it is defined: a tap outside the picture adds nothing, not even 0 * inf."""
    y = np.zeros((len(x), *geometry.output, w.shape[3]), x.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for tap, pixels, outputs in _taps(geometry, x.shape[1:3]):
            y[outputs] += x[pixels] @ w[tap]
        return y if b is None else y + b


def _tap_by_tap_backward(
    dy: Array, x: Array, w: Array, geometry: WindowGeometry, summed: Array
) -> tuple[Array, Array, Array]:
    """Return dx, and what the pictures selected by `summed` add to dw and db."""
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    with np.errstate(invalid="ignore", over="ignore"):
        for tap, pixels, outputs in _taps(geometry, x.shape[1:3]):
            dx[pixels] += dy[outputs] @ w[tap].T
            dw[tap] += np.tensordot(x[pixels][summed], dy[outputs][summed], ((0, 1, 2), (0, 1, 2)))
        return dx, dw, dy[summed].sum(axis=(0, 1, 2))


def _pooling_windows(pooling: WindowGeometry | None, x: Array, w: Array, geometry: WindowGeometry) -> dict[str, int]:
    """Return the windows of the pooling over the convolution's result; without pooling, each window is one pixel."""
    shape = (len(x), *geometry.output, w.shape[3])
    each_pixel = WindowGeometry((1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)), geometry.output)
    return (pooling or each_pixel).kernel_windows(shape)


def _axis(KH: int, KW: int) -> Literal["height", "width"] | None:
    """Return the axis that Toom-Cook works along, or None if neither has a number of taps that it takes."""
    return "height" if KH in POINTS else "width" if KW in POINTS else None


def _taps_first(w: Array, along: str | None) -> Array:
    """Return a view of (KH, KW, rows, columns) with the axis that Toom-Cook works along first."""
    return w.swapaxes(0, 1) if along == "width" else w


def _kernel_taps(w: Array, geometry: WindowGeometry, along: str | None) -> dict[str, int]:
    """Return the kernels' struct Taps: the taps along the axis, those across it, and the padding before each."""
    KH, KW = w.shape[:2]
    (top, _), (left, _) = geometry.padding
    taps, pad, across, cross_pad = (KW, left, KH, top) if along == "width" else (KH, top, KW, left)
    return {
        "along_height": along == "height", "along": taps, "pad": pad, "across": across, "cross_pad": cross_pad,
        "outputs": OUTPUTS[taps],
    }  # fmt: skip


def _at_points(w: Array) -> Array | None:
    """Return the weights at the points, (points, cross taps * rows, columns), or None if they are too large.

    The columns are padded to whole vectors.
    """
    taps, _, _, columns = w.shape
    padded = padded_to_vectors(w.reshape(taps, -1, columns))
    u = np.empty((taps + OUTPUTS[taps] - 1, *padded.shape[1:]), w.dtype)
    return u if kernels.weights_at_points(padded, u) else None
