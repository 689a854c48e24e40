"""Checks on what the user hands in, and arrays laid out as the kernels need them.

Each check returns the checked value or raises an error that names the
argument, shows what came and what was expected, and says what to do.  The
functions of this package call them first, so that the kernels below may
trust every shape and pointer.
"""

from __future__ import annotations

import math
import numbers
import operator
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.exchange import as_array
from npcnn.kernels.core import vector_columns

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
# Bits of the largest integer that is taken: one of thousands of digits could not be printed in later messages.
MOST_BITS = 1000


def shown(value: Any) -> str:
    """Return a value as messages show it: its repr, cut to 80 characters.

    Examples
    --------
    >>> shown((3, "same")), shown("a" * 1000)[-8:], shown(10**5000)
    ("(3, 'same')", 'aaaaa...', 'int too long to print')
    """
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        return f"{type(value).__name__} too long to print"
    return text if len(text) <= 80 else f"{text[:77]}..."


def float_array(value: Any, name: str, axes: str | None) -> NDArray[Any]:
    """Return `value` as a C-contiguous, aligned float32 or float64 array with the named axes.

    Parameters
    ----------
    value : ndarray
        What the user passed; also an array of another library, see `npcnn.functional.exchange`.
    name : str
        The name of the argument, for the message.
    axes : str or None
        The axes expected, for example ``"N, H, W, C"``; their count is the rank.  None: any shape.

    Returns
    -------
    ndarray
        `value` itself when it is C-contiguous and aligned, else a copy that is.

    Raises
    ------
    TypeError
        If `value` is not an array.
    DTypeError
        If its dtype is neither float32 nor float64.
    ShapeError
        If its rank is not the number of axes.

    Examples
    --------
    >>> float_array(np.zeros((2, 3)), "x", "N, C").shape
    (2, 3)
    """
    value = as_array(value, name)
    if not isinstance(value, np.ndarray):
        wanted = f"numpy.ndarray with axes ({axes})" if axes else "numpy.ndarray"
        raise TypeError(f"{name} must be a {wanted}, got {type(value).__name__}; convert it with numpy.asarray")
    if value.dtype not in FLOAT_DTYPES:
        raise DTypeError(
            f"{name} must be float32 or float64, got {value.dtype}; convert it with {name}.astype(numpy.float32)"
        )
    rank = axes.count(",") + 1 if axes else value.ndim
    if value.ndim != rank:
        raise ShapeError(
            f"{name} must have {rank} axes ({axes}), got shape {value.shape}; reshape it or add the missing axis"
        )
    return contiguous(value)


def pictures(x: Any) -> NDArray[Any]:
    """Return `x` as contiguous pictures (N, H, W, C) of which only N may be 0; else raise as `float_array`."""
    checked = float_array(x, "x", "N, H, W, C")
    positive_axes(checked, "x", "N, H, W, C")
    return checked


def group_count(value: Any, channels: int) -> int:
    """Return the number of groups `value` if it divides the channels of x; else raise TypeError or ValueError."""
    groups = integer(value, "groups", minimum=1)
    if channels % groups:
        raise ShapeError(f"groups must divide the channels of x, {channels}, got {shown(groups)}")
    return groups


def weights(value: Any, axes: str, x_shape: tuple[int, ...], dtype: np.dtype[Any], groups: int = 1) -> NDArray[Any]:
    """Return the weights `value`, contiguous, if they have the named axes and fit pictures of that shape and dtype."""
    w = float_array(value, "w", axes)
    if w.dtype != dtype:
        raise DTypeError(f"w must have the dtype of x, {dtype}, got {w.dtype}; convert it with w.astype(numpy.{dtype})")
    positive_axes(w, "w", axes, first=0)
    if w.shape[-2] != x_shape[3] // groups:
        why = f"axes ({axes}), and x has {x_shape[3]} channels" + (f" in {groups} groups" if groups > 1 else "")
        if w.shape[-2] == x_shape[1] != x_shape[3]:
            why += "; if x is (N, C, H, W), pass x.transpose(0, 2, 3, 1)"
        exact_shape(w, "w", (*w.shape[:-2], x_shape[3] // groups, w.shape[-1]), why)
    if w.shape[-1] % groups:
        raise ShapeError(f"groups must divide the output channels of w, {w.shape[-1]}, got {groups}")
    return w


def bias(value: Any, w: NDArray[Any]) -> NDArray[Any] | None:
    """Return the bias `value`, contiguous, if it has one number for each output channel of `w`, or is None."""
    if value is None:
        return None
    b = float_array(value, "b", "C_out")
    same_dtype(b, "b", w, "w")
    exact_shape(b, "b", w.shape[-1:], "one bias for each output channel of w")
    return b


def class_labels(labels: Any, scores: NDArray[Any], scores_name: str) -> NDArray[np.integer[Any]]:
    """Return `labels` if they are the number of a class, a column of `scores`, for each row of them.

    Raises
    ------
    TypeError, DTypeError
        If they are not an array, or not of integers: as indices, floats would be cut without a word.
    ShapeError
        If their number is another, or `scores` are not of shape (N, classes).
    ValueError
        If one is no column of `scores`.
    """
    if scores.ndim != 2:
        raise ShapeError(f"{scores_name} must have 2 axes (N, classes), got shape {scores.shape}")
    count, classes = scores.shape
    labels = as_array(labels, "labels")
    if not isinstance(labels, np.ndarray):
        raise TypeError(
            f"labels must be a numpy.ndarray of {count} integers, got {type(labels).__name__}; "
            "convert it with numpy.asarray"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DTypeError(
            f"labels must be integers, the number of the class, got {labels.dtype}; "
            "convert one-hot rows with labels.argmax(axis=1)"
        )
    if labels.shape != (count,):
        hint = "; convert one-hot rows with labels.argmax(axis=1)" if labels.shape == (count, classes) else ""
        raise ShapeError(
            f"labels must have shape ({count},), one for each row of {scores_name}, got {labels.shape}{hint}"
        )
    if count and not (labels.min() >= 0 and labels.max() < classes):
        wrong = int(np.flatnonzero((labels < 0) | (labels >= classes))[0])
        raise ValueError(
            f"labels must be 0 to {classes - 1}, the columns of {scores_name}, got labels[{wrong}] = {labels[wrong]}"
        )
    return labels


def padded_to_vectors(w: NDArray[Any]) -> NDArray[Any]:
    """Return weights (..., columns) contiguous, and padded with columns of zeros to a whole number of vectors.

    The kernels read their right-hand matrix in whole vectors, past the last column.
    """
    columns = vector_columns(w.shape[-1], w.itemsize)
    if columns == w.shape[-1]:
        return np.ascontiguousarray(w)
    padded = np.zeros((*w.shape[:-1], columns), w.dtype)
    padded[..., : w.shape[-1]] = w
    return padded


def contiguous(value: NDArray[Any]) -> NDArray[Any]:
    """Return `value`, or a copy of it, as the kernels need it: C-contiguous, every number at a multiple of its size."""
    flags = value.flags
    if flags.c_contiguous and flags.aligned:  # nearly always, and np.require is slow to find out
        return value
    return np.require(value, requirements=("C_CONTIGUOUS", "ALIGNED"))


def same_dtype(value: NDArray[Any], name: str, other: NDArray[Any], other_name: str) -> None:
    """Raise `DTypeError` unless both arrays have one dtype."""
    if value.dtype != other.dtype:
        raise DTypeError(
            f"{name} must have the dtype of {other_name}, {other.dtype}, got {value.dtype}; "
            f"convert it with {name}.astype(numpy.{other.dtype})"
        )


def exact_shape(value: NDArray[Any], name: str, expected: tuple[int, ...], why: str) -> None:
    """Raise `ShapeError` unless `value` has the expected shape; `why` says where it comes from."""
    if value.shape != expected:
        raise ShapeError(f"{name} must have shape {expected} ({why}), got {value.shape}")


def positive_axes(value: NDArray[Any], name: str, axes: str, *, first: int = 1) -> None:
    """Raise `ShapeError` if an axis from number `first` on is empty; an empty batch is fine."""
    if 0 in value.shape[first:]:
        raise ShapeError(
            f"{name} has an empty axis: shape {value.shape} for axes ({axes}); only the batch axis N may be 0"
        )


def integer(value: Any, name: str, *, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an int of at least `minimum` and, if that is given, at most `maximum`.

    Raises
    ------
    TypeError
        If `value` is not an integer (a bool is not one here).
    ValueError
        If it is out of range, or has hundreds of digits.

    Examples
    --------
    >>> integer(np.int64(3), "stride", minimum=1)
    3
    """
    if type(value) is int and minimum <= value <= (sys.maxsize if maximum is None else maximum):
        return value  # nearly always; a step of a small network makes a hundred of these checks
    wanted = f"an integer of at least {minimum}" + (f" and at most {maximum}" if maximum is not None else "")
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}")
    try:
        converted = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}") from None
    if converted < minimum or (maximum is not None and converted > maximum):
        raise ValueError(f"{name} must be {wanted}, got {shown(converted)}")
    if converted.bit_length() > MOST_BITS:
        raise ValueError(f"{name} must be below 2**{MOST_BITS}, got an integer of {converted.bit_length()} bits")
    return converted


def number(value: Any, name: str, *, minimum: float = -math.inf, below: float = math.inf) -> float:
    """Return `value` as a finite float from `minimum` to less than `below`.

    Raises
    ------
    TypeError
        If `value` is not a real number (a bool is not one here).
    ValueError
        If it is not finite or out of range.

    Examples
    --------
    >>> number(np.float32(0.5), "rate", minimum=0, below=1)
    0.5
    """
    limits = "a finite number"
    if minimum > -math.inf:
        limits += f" of at least {minimum:g}"
    if below < math.inf:
        limits += f" and below {below:g}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {limits}, got {shown(value)}")
    try:
        converted = float(value)
    except OverflowError:  # an int or a fraction may be more than floats reach
        converted = math.inf
    if not (math.isfinite(converted) and minimum <= converted < below):
        raise ValueError(f"{name} must be {limits}, got {shown(value)}")
    return converted


def one_of(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of the strings; else raise `ValueError`.

    Examples
    --------
    >>> one_of("tanh", "approximate", ("none", "tanh"))
    'tanh'
    """
    if not (isinstance(value, str) and value in choices):
        others = ", ".join(map(repr, choices[:-1]))
        raise ValueError(f"{name} must be {others} or {choices[-1]!r}, got {shown(value)}")
    return value


def boolean(value: Any, name: str) -> bool:
    """Return `value` if it is True or False; else raise `TypeError`."""
    if value is not True and value is not False and not isinstance(value, np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def pair(value: Any, name: str, *, minimum: int, maximum: int | None = None) -> tuple[int, int]:
    """Return an int or a pair of ints as a pair (height, width), each in the range of `integer`.

    Examples
    --------
    >>> pair(3, "stride", minimum=1)
    (3, 3)
    >>> pair((1, 2), "stride", minimum=1)
    (1, 2)
    """
    if type(value) is int or not isinstance(value, tuple | list):
        both = integer(value, name, minimum=minimum, maximum=maximum)
        return both, both
    if len(value) != 2:
        raise ValueError(f"{name} must be an integer or a pair (height, width), got {shown(value)}")
    return (
        integer(value[0], f"{name}[0]", minimum=minimum, maximum=maximum),
        integer(value[1], f"{name}[1]", minimum=minimum, maximum=maximum),
    )
