"""Where results are written: the arrays that a user hands in as `out`, checked, or new ones."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.checks import boolean, exact_shape, float_array, same_dtype, shown


def addressable(shape: tuple[int, ...], dtype: DTypeLike, name: str) -> None:
    """Raise `ShapeError` if an array has more bytes than a pointer can count, even with its empty axes left out.

    NumPy refuses those too, but cannot name the argument.

    Examples
    --------
    >>> addressable((2**40, 2**40), np.float32, "w")
    Traceback (most recent call last):
        ...
    npcnn.errors.ShapeError: w would have shape (1099511627776, 1099511627776) and more bytes than can be addressed; ...
    """
    if math.prod(length for length in shape if length) * np.dtype(dtype).itemsize > sys.maxsize:
        raise ShapeError(
            f"{name} would have shape {shape} and more bytes than can be addressed; use smaller sizes or less padding"
        )


def output_array(
    out: NDArray[Any] | None,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    inputs: tuple[NDArray[Any] | None, ...] = (),
    in_place: tuple[NDArray[Any], ...] = (),
) -> NDArray[Any]:
    """Return `out` if it can take a result of this shape and dtype; allocate an array if it is None.

    Parameters
    ----------
    out, name
        What the user passed, and the name of the argument.
    shape, dtype
        Of the result.
    inputs : tuple of ndarray or None
        Arrays that are still read while `out` is written: they must share no memory with it.
    in_place : tuple of ndarray
        Arrays of which a number is read just before the result replaces it: `out` may be one of them as a whole.

    Raises
    ------
    TypeError
        If `out` is not an array.
    DTypeError
        If its dtype is another.
    ShapeError
        If its shape is another, or what is to be allocated is more than can be addressed.
    MemoryError
        If there is no memory for it.
    ValueError
        If it is not C-contiguous, aligned and writeable, or shares memory that it must not share.
    """
    if out is None:
        addressable(shape, dtype, f"the result ({name})")
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray or None, got {type(out).__name__}")
    if out.dtype != dtype:
        raise DTypeError(f"{name} must have dtype {dtype}, got {out.dtype}")
    if out.shape != shape:
        raise ShapeError(f"{name} must have shape {shape}, got {out.shape}")
    if not out.flags.carray:  # C-contiguous, aligned and writeable
        raise ValueError(f"{name} must be C-contiguous, aligned and writeable; pass numpy.empty({shape})")
    for array in (*inputs, *in_place):
        if array is None or not np.may_share_memory(out, array):
            continue
        as_a_whole = any(array is one for one in in_place) and out.ctypes.data == array.ctypes.data
        if not as_a_whole:
            raise ValueError(f"{name} must not share memory with an input or another result; pass numpy.empty({shape})")
    return out


def pooled_outputs(
    out: tuple[NDArray[Any] | None, NDArray[Any] | None] | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: tuple[NDArray[Any] | None, ...],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (y, argmax) of a max pooling to write into: those of `out`, or new ones; each as `output_array`."""
    out = (None, None) if out is None else out
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(f"out must be a tuple of two arrays (y, argmax), got {shown(out)}")
    y = output_array(out[0], "out[0] (y)", shape, dtype, inputs=inputs)
    argmax = output_array(out[1], "out[1] (argmax)", shape, np.dtype(np.int32), inputs=(*inputs, y))
    return y, argmax


def gradient_outputs(
    out: Any,
    x: NDArray[Any],
    w_shape: tuple[int, ...],
    channels: int,
    *,
    need_dx: bool,
    inputs: tuple[NDArray[Any] | None, ...],
) -> tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any]]:
    """Return (dx, dw, db) to write gradients into, dx only if it is needed: those of `out`, or new ones.

    Each is checked as by `output_array`; db has one number for each of the output's `channels`.
    """
    given = (None, None, None) if out is None else out
    if not isinstance(given, tuple) or len(given) != 3:
        raise TypeError(f"out must be a tuple of three arrays (dx, dw, db), got {shown(out)}")
    needed = boolean(need_dx, "need_dx")
    dx = output_array(given[0], "out[0] (dx)", x.shape, x.dtype, inputs=inputs) if needed else None
    dw = output_array(given[1], "out[1] (dw)", w_shape, x.dtype, inputs=(*inputs, dx))
    db = output_array(given[2], "out[2] (db)", (channels,), x.dtype, inputs=(*inputs, dx, dw))
    return dx, dw, db


def input_and_output(x: Any, out: NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the input of a function of each number for itself, checked, and the array for its result.

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        As `float_array` and `output_array`; `out` may be `x`.
    """
    x = float_array(x, "x", None)
    return x, output_array(out, "out", x.shape, x.dtype, in_place=(x,))


def gradient_arrays(
    dy: Any, kept: Any, name: str, out: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return dy and what was kept of such a function's forward pass, checked, and the array for dx.

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        As `float_array` and `output_array`, or if the two are not alike; `out` may be one of them.
    """
    dy, kept = float_array(dy, "dy", None), float_array(kept, name, None)
    same_dtype(kept, name, dy, "dy")
    exact_shape(kept, name, dy.shape, "the shape of dy")
    return dy, kept, output_array(out, "out", dy.shape, dy.dtype, in_place=(dy, kept))
