"""Toom-Cook, the fast algorithm: along one axis of a kernel, or along both.

`OneAxis` is for kernels with 3, 5 or 7 taps along their height or their width.  It works along the height of a KH x KW
kernel when KH is 3, 5 or 7, where it reads and writes whole rows of the picture as they lie in memory, else along its
width when KW is.  Over the taps across that axis it sums as the definition does.  A 1-D convolution has KH or KW = 1.

`BothAxes` is for 3 x 3 kernels, with about a quarter of the multiplications.

What the two have in common, `ToomCook` does.  The arrays that come here have been checked.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.pooling import wrong_argmax
from npcnn.functional.tap_by_tap import fill_in, fill_in_gradients
from npcnn.functional.windows import WindowGeometry, each_pixel
from npcnn.kernels import core, toom_cook, toom_cook_2d, toom_cook_2d_gradients, toom_cook_gradients
from npcnn.reference.toom_cook import OUTPUTS, POINTS, POINTS_2D

Array: TypeAlias = NDArray[Any]


class Places(NamedTuple):
    """Where the windows of a convolution lie, and of the max pooling after it if there is one.

    `taps` and `pooling_windows` say it as the kernels are told.
    """

    geometry: WindowGeometry
    pooling: WindowGeometry | None
    taps: dict[str, int]
    pooling_windows: dict[str, int]


class ToomCook:
    """A convolution and, if there is one, the max pooling after it in one go, forward and backward."""

    kernels: ClassVar[ModuleType]
    gradient_kernels: ClassVar[ModuleType]

    def places(
        self,
        picture: tuple[int, int, int],
        w_shape: tuple[int, int, int, int],
        geometry: WindowGeometry,
        pooling: WindowGeometry | None,
    ) -> Places:
        """Return where the windows lie over pictures (H, W, C_in); without pooling, a window of it is one pixel."""
        pooled = pooling or each_pixel(geometry.output)
        convolved = (*geometry.output, w_shape[3])
        return Places(geometry, pooling, self.taps(picture, w_shape, geometry), pooled.kernel_windows(convolved))

    def at_points(self, w: Array) -> Array | None:
        """Return the weights at the points, as the kernels lay them out, or None if they are too large."""
        raise NotImplementedError(f"{type(self).__name__} does not define at_points")

    def as_the_kernels_take_it(self, w: Array) -> Array:
        """Return a view of weights, or of their gradient, with the axes in the kernels' order."""
        return w

    def taps(
        self, picture: tuple[int, int, int], w_shape: tuple[int, int, int, int], geometry: WindowGeometry
    ) -> dict[str, int]:
        """Return what the kernels are told of the taps."""
        raise NotImplementedError(f"{type(self).__name__} does not define taps")

    def conv2d(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        places: Places,
        relu: bool,
        y: Array,
        argmax: Array | None = None,
        kept: KeptWeights | None = None,
    ) -> None:
        """Write the convolution, after ReLU if asked for, into `y`; or its max pooling, and where from into `argmax`.

        `w` is (KH, KW, C_in, C_out); `kept` may know it at the points.
        """
        u = self.at_points(w) if kept is None else kept.at_points(w, self)
        skipped = np.zeros(len(x), np.uint8)
        if u is None:
            skipped[:] = True
        else:
            pooled = places.pooling is not None
            self.kernels.conv2d(x, u, b, places.taps, relu, places.pooling_windows, pooled, y, argmax, skipped)
        fill_in(skipped, x, w, b, places.geometry, relu, y, places.pooling, argmax)

    def conv2d_backward(
        self,
        dy: Array,
        x: Array,
        w: Array,
        places: Places,
        relu_output: Array | None,
        dx: Array | None,
        dw: Array,
        db: Array,
        argmax: Array | None,
    ) -> None:
        """Write the gradients of `conv2d` into dw, db and, unless it is None, dx; ValueError for a wrong `argmax`."""
        u_flipped = None if dx is None else self.at_points(w[::-1, ::-1].swapaxes(2, 3))
        skipped = np.zeros(len(x), np.uint8)
        # dw and db do not depend on the weights: where those are too large, only dx is computed tap by tap.
        at_points = dx if u_flipped is not None else None
        wrong = self.gradient_kernels.conv2d_backward(
            dy, x, u_flipped, relu_output, places.taps, places.pooling_windows, argmax, at_points,
            self.as_the_kernels_take_it(dw), db, skipped,
        )  # fmt: skip
        if wrong and places.pooling is not None and argmax is not None:
            raise wrong_argmax(argmax, places.pooling)
        left = np.flatnonzero(skipped) if at_points is dx else np.arange(len(x))
        fill_in_gradients(
            left, skipped[left] != 0, dy, x, w, places.geometry, relu_output, dx, dw, db, places.pooling, argmax
        )


class KeptWeights:
    """The weights of one convolution at the points, kept for the next call, which mostly has the same.

    To see whether it has takes a fraction of the time: the weights are compared bit by bit with those of the last call.
    An instruction set has its own layout of them.
    """

    def __init__(self) -> None:
        self._last: tuple[str, Array, Array | None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy or a pickle of a layer begin with none."""
        return KeptWeights, ()

    def at_points(self, w: Array, algorithm: ToomCook) -> Array | None:
        """Return ``algorithm.at_points(w)``."""
        isa, last = core.isa(), self._last  # all of `last` at once: another thread may put others there
        if last is None or last[0] != isa or not core.same_bits(last[1], w):
            last = self._last = isa, w.copy(), algorithm.at_points(w)
        return last[2]


class OneAxis(ToomCook):
    """Along the height of a kernel or along its width."""

    kernels: ClassVar[ModuleType] = toom_cook
    gradient_kernels: ClassVar[ModuleType] = toom_cook_gradients

    def at_points(self, w: Array) -> Array | None:
        """Return (points, cross taps * rows, columns), the columns padded to whole vectors."""
        taps_first = self.as_the_kernels_take_it(w)
        taps, _, _, columns = taps_first.shape
        rows = np.ascontiguousarray(taps_first).reshape(taps, -1, columns)
        u = np.empty((taps + OUTPUTS[taps] - 1, rows.shape[1], core.vector_columns(columns, w.itemsize)), w.dtype)
        return u if toom_cook.weights_at_points(rows, u) else None

    def as_the_kernels_take_it(self, w: Array) -> Array:
        """Return a view with the axis that Toom-Cook works along first."""
        return w.swapaxes(0, 1) if axis(*w.shape[:2]) == "width" else w

    def taps(
        self, picture: tuple[int, int, int], w_shape: tuple[int, int, int, int], geometry: WindowGeometry
    ) -> dict[str, int]:
        """Return the kernels' struct Taps: the taps along the axis, those across it, and the padding before each."""
        KH, KW = w_shape[:2]
        along = axis(KH, KW)
        (top, _), (left, _) = geometry.padding
        taps, pad, across, cross_pad = (KW, left, KH, top) if along == "width" else (KH, top, KW, left)
        return {
            "along_height": along == "height", "along": taps, "pad": pad, "across": across, "cross_pad": cross_pad,
            "outputs": OUTPUTS[taps],
        }  # fmt: skip


class BothAxes(ToomCook):
    """Along both axes of a 3 x 3 kernel."""

    kernels: ClassVar[ModuleType] = toom_cook_2d
    gradient_kernels: ClassVar[ModuleType] = toom_cook_2d_gradients

    def at_points(self, w: Array) -> Array | None:
        """Return (points, C_in * columns), the columns in panels, and between the points a gap."""
        u = np.empty(((len(POINTS_2D) + 1) ** 2, toom_cook_2d.point_size(*w.shape[2:])), w.dtype)
        return u if toom_cook_2d.weights_at_points(w, u) else None

    def taps(
        self, picture: tuple[int, int, int], w_shape: tuple[int, int, int, int], geometry: WindowGeometry
    ) -> dict[str, int]:
        """Return where the windows lie."""
        return geometry.kernel_windows(picture)


def axis(KH: int, KW: int) -> Literal["height", "width"] | None:
    """Return the axis that Toom-Cook works along, or None if neither has a number of taps that it takes."""
    return "height" if KH in POINTS else "width" if KW in POINTS else None


def products_of(output: tuple[int, int]) -> int:
    """Return how many products at points, along both axes, give so many lines and columns of outputs.

    Examples
    --------
    A tile of 4 x 4 takes 6 x 6 products.  7 is 4 + 3, and a tile of three lines takes 5 points:

    >>> from npcnn.functional.toom_cook import products_of
    >>> products_of((4, 4)), products_of((7, 7)), 11 * 11
    (36, 121, 121)
    """
    down, across = map(_points_of, output)
    return down * across


def _points_of(outputs: int) -> int:
    """Return the points of one axis, cut into tiles of four outputs and then of three, as the kernel cuts it."""
    threes = -outputs % 4
    fours = (outputs - 3 * threes) // 4
    if fours < 0:
        fours, threes = 0, -(-outputs // 3)
    return (len(POINTS_2D) + 1) * fours + len(POINTS_2D) * threes
