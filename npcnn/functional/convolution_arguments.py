"""What the 1-D and the 2-D convolution check and prepare alike, before a kernel is called."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import exact_shape, float_array, output_array, positive_axes, same_dtype
from npcnn.functional.geometry import WindowGeometry
from npcnn.kernels.core import vector_columns

Array: TypeAlias = NDArray[Any]


def checked_pictures(x: Array) -> Array:
    """Return `x` as contiguous pictures (N, H, W, C), no axis but N empty."""
    x = float_array(x, "x", "N, H, W, C")
    positive_axes(x, "x", "N, H, W, C")
    return x


def checked_weights(w: Array, axes: str, x: Array) -> Array:
    """Return `w` contiguous, with the named axes, for the channels and the dtype of `x`."""
    w = float_array(w, "w", axes)
    same_dtype(w, "w", x, "x")
    positive_axes(w, "w", axes, first=0)
    expected = (*w.shape[:-2], x.shape[3], w.shape[-1])
    exact_shape(w, "w", expected, f"axes ({axes}), and x has {x.shape[3]} channels")
    return w


def checked_bias(b: Array | None, w: Array) -> Array | None:
    """Return `b`, one number for each output channel of `w`, or None."""
    if b is None:
        return None
    b = float_array(b, "b", "C_out")
    same_dtype(b, "b", w, "w")
    exact_shape(b, "b", w.shape[-1:], f"one bias for each of the {w.shape[-1]} output channels of w")
    return b


# One thread's room for a picture is a small multiple of the padded picture: with this many numbers in that, the
# sum over 1,024 threads is still far from overflowing.  It is also more than any picture has.
MOST_NUMBERS = 2**40


def checked_geometry(geometry: WindowGeometry, x: Array, w: Array) -> WindowGeometry:
    """Return `geometry` unless the padded picture would be too large for the kernels to count its numbers."""
    H, W = (length + sum(pads) for length, pads in zip(x.shape[1:3], geometry.padding, strict=True))
    channels = max(w.shape[-2:])
    if H * W * channels > MOST_NUMBERS:
        raise ShapeError(
            f"padding must leave a padded picture of at most {MOST_NUMBERS:,} numbers, got {geometry.padding}, which "
            f"makes {H} x {W} pixels of {channels} channels; use less of it, a smaller kernel or a smaller dilation"
        )
    return geometry


def checked_gradient(value: Array, name: str, x: Array, geometry: WindowGeometry, C_out: int) -> Array:
    """Return `value` contiguous, in the shape and dtype of the convolution's result."""
    value = float_array(value, name, "N, OH, OW, C_out")
    same_dtype(value, name, x, "x")
    exact_shape(value, name, (x.shape[0], *geometry.output, C_out), "the shape of the forward result y")
    return value


def gradient_arrays(
    out: tuple[Array | None, Array, Array] | None,
    x: Array,
    w: Array,
    need_dx: bool,
    inputs: tuple[Array, ...],
) -> tuple[Array | None, Array, Array]:
    """Return (dx, dw, db) to write into: those of `out` where given, dx None when not needed."""
    given: tuple[Array | None, Array | None, Array | None] = (None, None, None) if out is None else out
    if not isinstance(given, tuple) or len(given) != 3:
        raise TypeError(f"out must be a tuple of three arrays (dx, dw, db), got {out!r:.80}")
    dx = output_array(given[0], "out[0] (dx)", x.shape, x.dtype, inputs=inputs) if need_dx else None
    dw = output_array(given[1], "out[1] (dw)", w.shape, w.dtype, inputs=inputs)
    db = output_array(given[2], "out[2] (db)", w.shape[-1:], w.dtype, inputs=inputs)
    return dx, dw, db


def padded_to_vectors(matrix: Array) -> Array:
    """Return `matrix` contiguous, with columns of zeros up to a whole number of vectors.

    The micro-kernel reads its right-hand matrix in whole vectors, past the last column.
    """
    rows, columns = matrix.shape
    padded_columns = vector_columns(columns, matrix.itemsize)
    if padded_columns == columns:
        return np.ascontiguousarray(matrix)
    padded = np.zeros((rows, padded_columns), matrix.dtype)
    padded[:, :columns] = matrix
    return padded
