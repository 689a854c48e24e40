"""Toom-Cook along one axis: the fast algorithm for kernels with 3, 5 or 7 taps along their height or their width.

Toom-Cook works along the height of a KH x KW kernel when KH is 3, 5 or 7, where it reads and writes whole rows of the
picture as they lie in memory, else along its width when KW is.  Over the taps across that axis it sums as the
definition does.  A 1-D convolution has KH or KW = 1.  (`toom_cook_2d` works along both axes of a 3 x 3 kernel.)

The arrays that come here have been checked.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.checks import padded_to_vectors
from npcnn.functional.pooling import wrong_argmax
from npcnn.functional.tap_by_tap import fill_in, fill_in_gradients
from npcnn.functional.windows import WindowGeometry, each_pixel
from npcnn.kernels import toom_cook as kernels
from npcnn.reference.toom_cook import OUTPUTS, POINTS

Array: TypeAlias = NDArray[Any]


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

    `w` is (KH, KW, C_in, C_out).
    """
    along = axis(*w.shape[:2])
    u = _at_points(_taps_first(w, along))
    skipped = np.ones(len(x), np.uint8)
    if u is not None:
        windows = (pooling or each_pixel(geometry.output)).kernel_windows((len(x), *geometry.output, w.shape[3]))
        kernels.conv2d(x, u, b, _kernel_taps(w, geometry, along), relu, windows, y, argmax, skipped)
    fill_in(skipped, x, w, b, geometry, relu, y, pooling, argmax)


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
    along = axis(*w.shape[:2])
    u_flipped = None if dx is None else _at_points(_taps_first(w[::-1, ::-1].swapaxes(2, 3), along))
    skipped = np.zeros(len(x), np.uint8)
    # dw and db do not depend on the weights: where those are too large, only dx is computed tap by tap.
    at_points = dx if u_flipped is not None else None
    windows = (pooling or each_pixel(geometry.output)).kernel_windows((len(x), *geometry.output, w.shape[3]))
    wrong = kernels.conv2d_backward(
        dy, x, u_flipped, relu_output, _kernel_taps(w, geometry, along), windows, argmax, at_points,
        _taps_first(dw, along), db, skipped,
    )  # fmt: skip
    if wrong and pooling is not None and argmax is not None:
        raise wrong_argmax(argmax, pooling)
    left = np.flatnonzero(skipped) if at_points is dx else np.arange(len(x))
    fill_in_gradients(left, skipped[left] != 0, dy, x, w, geometry, relu_output, dx, dw, db, pooling, argmax)


def axis(KH: int, KW: int) -> Literal["height", "width"] | None:
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
