"""Convolution tap by tap, as the definition says: for the pictures that a fast algorithm must not be given.

Toom-Cook multiplies and adds what it is given before the sum of the convolution is formed.  A number so large that this
might overflow, and infinity and NaN, which it would spread over a whole tile, are more than its transforms can carry.
The kernels skip pictures with such numbers; here they are computed in NumPy, slowly, with every infinity in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.pooling import max_pool2d, max_pool2d_backward
from npcnn.functional.windows import WindowGeometry

Array: TypeAlias = NDArray[Any]


def fill_in(
    skipped: Array,
    x: Array,
    w: Array,
    b: Array | None,
    geometry: WindowGeometry,
    relu: bool,
    y: Array,
    pooling: WindowGeometry | None,
    argmax: Array | None,
) -> None:
    """Write the results of the pictures marked in `skipped` into y and, with pooling and if given, `argmax`."""
    if not np.count_nonzero(skipped):
        return
    left = np.flatnonzero(skipped)
    part = _convolved(x[left], w, b, geometry)
    part = np.where(part < 0, part.dtype.type(0), part) if relu else part
    if pooling is not None:
        part, taps = max_pool2d(part, **pooling.as_options())
        if argmax is not None:
            argmax[left] = taps
    y[left] = part


def fill_in_gradients(
    left: Array,
    summed: Array,
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
    """Write dx of the pictures numbered in `left`, and add what those of them marked in `summed` give to dw and db."""
    if not len(left):
        return
    before = dy[left] if relu_output is None else np.where(relu_output[left] > 0, dy[left], dy.dtype.type(0))
    if pooling is not None and argmax is not None:
        shape = (len(left), *geometry.output, w.shape[3])
        before = max_pool2d_backward(before, argmax[left], shape, **pooling.as_options())
    dx_left, dw_left, db_left = _gradients(before, x[left], w, geometry, summed)
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


def _convolved(x: Array, w: Array, b: Array | None, geometry: WindowGeometry) -> Array:
    """Return the convolution as it is defined: a tap outside the picture adds nothing, not even 0 * inf."""
    y = np.zeros((len(x), *geometry.output, w.shape[3]), x.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for tap, pixels, outputs in _taps(geometry, x.shape[1:3]):
            y[outputs] += x[pixels] @ w[tap]
        return y if b is None else y + b


def _gradients(dy: Array, x: Array, w: Array, geometry: WindowGeometry, summed: Array) -> tuple[Array, Array, Array]:
    """Return dx, and what the pictures selected by `summed` add to dw and db."""
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    with np.errstate(invalid="ignore", over="ignore"):
        for tap, pixels, outputs in _taps(geometry, x.shape[1:3]):
            dx[pixels] += dy[outputs] @ w[tap].T
            dw[tap] += np.tensordot(x[pixels][summed], dy[outputs][summed], ((0, 1, 2), (0, 1, 2)))
        return dx, dw, dy[summed].sum(axis=(0, 1, 2))
