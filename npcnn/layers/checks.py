"""What layers check of their arguments and inputs, in the words of the error that is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.checks import FLOAT_DTYPES, integer, shown

if TYPE_CHECKING:
    from npcnn.layers.base import Layer

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


def picture_shape(input_shape: Shape, layer: Layer) -> tuple[int, int, int]:
    """Return `input_shape` if it is (H, W, C) with the layer's channels; else raise ShapeError."""
    if len(input_shape) != 3:
        raise ShapeError(
            f"{layer!r} takes pictures of shape (H, W, C), got {tuple(input_shape)} not counting the batch axis; "
            "forward needs (N, H, W, C), output_shape and summary (H, W, C)"
        )
    H = integer(input_shape[0], "input_shape[0]", minimum=1)
    W = integer(input_shape[1], "input_shape[1]", minimum=1)
    C = integer(input_shape[2], "input_shape[2]", minimum=1)
    channels = layer.in_channels
    if channels is not None and channels != C:
        hint = "; for pictures (N, C, H, W) pass x.transpose(0, 2, 3, 1)" if channels == H else ""
        raise ShapeError(f"{layer!r} takes {channels} channels, got {C} (shape {tuple(input_shape)}){hint}")
    return H, W, C


def batch_shape(x: Array) -> tuple[int, Shape]:
    """Return the length of the batch and the shape of one input; TypeError or ShapeError if `x` has none."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x must be a numpy.ndarray, got {type(x).__name__}; convert it with numpy.asarray")
    if x.ndim == 0:
        raise ShapeError("x must have a batch axis, got an array of no axes")
    return len(x), x.shape[1:]


def generator(rng: np.random.Generator | None) -> np.random.Generator:
    """Return `rng`, or an unpredictable one for None; else raise TypeError."""
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator or None, got {shown(rng)}; "
            "make one of a seed with numpy.random.default_rng(seed)"
        )
    return rng


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return `dtype` as a NumPy dtype if npcnn computes with it; else raise DTypeError."""
    try:
        given = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # all of which NumPy raises
        raise DTypeError(f"dtype must be float32 or float64, got {shown(dtype)}") from None
    if given not in FLOAT_DTYPES:
        raise DTypeError(f"dtype must be float32 or float64, got {given}")
    return given


def activation_name(value: str | None, name: str = "activation") -> Literal["relu"] | None:
    """Return `value` if it is "relu" or None; else raise ValueError."""
    if value is None:
        return None
    if value != "relu":
        raise ValueError(f"{name} must be 'relu' or None, got {shown(value)}")
    return "relu"
