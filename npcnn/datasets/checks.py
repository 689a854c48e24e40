"""Checks on pictures and labels that a user hands in: each returns the checked value, or names what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.checks import shown
from npcnn.functional.exchange import as_array

AT_A_TIME = 1 << 22  # values looked at together: the pictures may be more than fit in memory


def pictures(images: Any, name: str) -> NDArray[Any]:
    """Return `images` if they are an array (N, H, W, C), uint8 or float32, of which only N may be 0.

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If they are not.

    Examples
    --------
    >>> from npcnn.datasets.checks import pictures
    >>> pictures(np.zeros((60, 28, 28), np.uint8), "train_images")
    Traceback (most recent call last):
        ...
    npcnn.errors.ShapeError: train_images must be (N, H, W, C), got shape (60, 28, 28); ... add it with x[..., None]
    """
    images = as_array(images, name)
    if not isinstance(images, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray (N, H, W, C), got {type(images).__name__}")
    if images.dtype not in (np.uint8, np.float32):
        raise DTypeError(f"{name} must be uint8 or float32, got {images.dtype}; convert with .astype(numpy.float32)")
    if images.ndim != 4:
        hint = "; grey pictures have one channel: add it with x[..., None]" if images.ndim == 3 else ""
        raise ShapeError(f"{name} must be (N, H, W, C), got shape {images.shape}{hint}")
    if 0 in images.shape[1:]:
        raise ShapeError(f"{name} must be (N, H, W, C) with at least one row, column and channel, got {images.shape}")
    return images


def parts(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the pictures some at a time, as views."""
    count = max(AT_A_TIME // math.prod(images.shape[1:]), 1)
    for first in range(0, len(images), count):
        yield images[first : first + count]


def finite(images: NDArray[Any], name: str) -> None:
    """Raise `ValueError` if a pixel is NaN or infinite; the picture is named."""
    if images.dtype == np.uint8:
        return
    seen = 0
    for part in parts(images):
        good = np.isfinite(part).all(axis=(1, 2, 3))
        if not good.all():
            raise ValueError(
                f"{name} must be finite, but {name}[{seen + int(good.argmin())}] has NaN or infinite pixels; "
                "leave it out or mend it"
            )
        seen += len(part)


def labels(value: Any, name: str, count: int, classes: int | None = None) -> NDArray[np.int64]:
    """Return the labels of `count` pictures as int64, each from 0 to below `classes` if that is given.

    Raises
    ------
    DTypeError, ShapeError, ValueError
        If they are not integers, not as many, or not the number of a class.
    """
    array: NDArray[Any] = np.asarray(as_array(value, name))
    if array.shape != (count,):
        hint = "; convert one-hot rows with .argmax(axis=1)" if array.ndim == 2 and array.shape[:1] == (count,) else ""
        raise ShapeError(f"{name} must have shape ({count},), one for each picture, got {array.shape}{hint}")
    if not np.issubdtype(array.dtype, np.integer):
        if count:
            raise DTypeError(f"{name} must be integers, the numbers of the classes, got {array.dtype}")
        array = array.astype(np.int64)  # an empty list
    if classes is not None and count and not (array.min() >= 0 and array.max() < classes):
        wrong = int(np.flatnonzero((array < 0) | (array >= classes))[0])
        raise ValueError(
            f"{name} must be 0 to {classes - 1}, the numbers of the classes, got {name}[{wrong}] = {array[wrong]}"
        )
    return array.astype(np.int64)


def class_names(value: Any) -> tuple[str, ...]:
    """Return the names of the classes, at least one, as a tuple.

    Raises
    ------
    TypeError, ValueError
        If they are not strings in a sequence, there are none, or two are the same.
    """
    if isinstance(value, str) or not isinstance(value, list | tuple | np.ndarray):
        raise TypeError(f"classes must be a list of names, got {shown(value)}")
    for place, name in enumerate(value):
        if not isinstance(name, str):
            raise TypeError(f"classes[{place}] must be a name, a str, got {shown(name)}")
    names = tuple(map(str, value))
    if not names:
        raise ValueError("classes must be at least one name, got none")
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"classes must be different names, got {shown(double)} twice")
    return names
