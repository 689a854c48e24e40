"""Toom-Cook along both axes: the fast algorithm for 3 x 3 kernels, with about a quarter of the multiplications.

The arrays that come here have been checked.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.checks import padded_to_vectors
from npcnn.functional.pooling import wrong_argmax
from npcnn.functional.tap_by_tap import fill_in, fill_in_gradients
from npcnn.functional.windows import WindowGeometry, each_pixel
from npcnn.kernels import toom_cook_2d as kernels
from npcnn.reference.toom_cook import POINTS_2D

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

    `w` is (3, 3, C_in, C_out).
    """
    u = _at_points(w)
    skipped = np.ones(len(x), np.uint8)
    if u is not None:
        pooled = (pooling or each_pixel(geometry.output)).kernel_windows((len(x), *geometry.output, w.shape[3]))
        kernels.conv2d(x, u, b, geometry.kernel_windows(x.shape), relu, pooled, y, argmax, skipped)
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
    u_flipped = None if dx is None else _at_points(w[::-1, ::-1].swapaxes(2, 3))
    skipped = np.zeros(len(x), np.uint8)
    # dw and db do not depend on the weights: where those are too large, only dx is computed tap by tap.
    at_points = dx if u_flipped is not None else None
    pooled = (pooling or each_pixel(geometry.output)).kernel_windows((len(x), *geometry.output, w.shape[3]))
    wrong = kernels.conv2d_backward(
        dy, x, u_flipped, relu_output, geometry.kernel_windows(x.shape), pooled, argmax, at_points, dw, db, skipped
    )
    if wrong and pooling is not None and argmax is not None:
        raise wrong_argmax(argmax, pooling)
    left = np.flatnonzero(skipped) if at_points is dx else np.arange(len(x))
    fill_in_gradients(left, skipped[left] != 0, dy, x, w, geometry, relu_output, dx, dw, db, pooling, argmax)


def products_of(output: tuple[int, int]) -> int:
    """Return how many products at points give so many lines and columns of outputs.

    Examples
    --------
    A tile of 4 x 4 takes 6 x 6 products.  7 is 4 + 3, and a tile of three lines takes 5 points:

    >>> from npcnn.functional.toom_cook_2d import products_of
    >>> products_of((4, 4)), products_of((7, 7)), 11 * 11
    (36, 121, 121)
    """
    down, across = map(_points, output)
    return down * across


def _points(outputs: int) -> int:
    """Return the points of one axis, cut into tiles of four outputs and then of three, as the kernel cuts it."""
    threes = -outputs % 4
    fours = (outputs - 3 * threes) // 4
    if fours < 0:
        fours, threes = 0, -(-outputs // 3)
    return (len(POINTS_2D) + 1) * fours + len(POINTS_2D) * threes


def _at_points(w: Array) -> Array | None:
    """Return the weights at the points, as the kernels lay them out, or None if they are too large."""
    padded = padded_to_vectors(w.reshape(9, *w.shape[2:]))
    u = np.empty(((len(POINTS_2D) + 1) ** 2, padded[0].size), w.dtype)
    return u if kernels.weights_at_points(padded, u) else None
