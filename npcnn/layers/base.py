"""What every layer is: parameters, gradients, children, and buffers that are used again."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npcnn import weights
from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.checks import FLOAT_DTYPES, integer

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


class Layer:
    """Base of all layers.

    A layer that computes defines `forward`, `backward` and `output_shape`.  One that is made of other
    layers puts them into `children`; their parameters and gradients become its own, under the child's
    name and a dot.

    Attributes
    ----------
    children : dict of Layer
        The layers it is made of, by name, in the order of the forward pass.
    """

    def __init__(self) -> None:
        self.children: dict[str, Layer] = {}
        self._params: dict[str, Array] = {}
        self._grads: dict[str, Array] = {}
        self._buffers: dict[str, Array] = {}
        self._kept: Any = None

    @property
    def params(self) -> dict[str, Array]:
        """The parameters by name; the arrays are the layer's own, so changing them changes the layer."""
        return self._collect(lambda layer: layer._params)

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients of the last `backward`, under the names and with the shapes of `params`."""
        return self._collect(lambda layer: layer._grads)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the layer's output for a batch.

        With ``training=True`` the layer also keeps what `backward` will need.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill `grads` and return the gradient with respect to the input of the last forward pass.

        It uses up what ``forward(x, training=True)`` kept: one backward for each forward.  With
        ``need_dx=False`` a layer may leave the input gradient out and return None.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output, without the batch axis, for an input shape without it.

        Raises
        ------
        ShapeError
            If the layer cannot take such an input.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define output_shape")

    def multiplications(self, input_shape: Shape) -> int:
        """Return how many multiplications the forward pass spends on one input, by the definition.

        Products with pixels of the padding count too: that is how a 3 x 3 SAME convolution of a 5 x 2
        picture costs 90.
        """
        self.output_shape(input_shape)
        return 0

    @property
    def in_channels(self) -> int | None:
        """Channels of input it takes; None if any."""
        return None

    @property
    def out_channels(self) -> int | None:
        """Channels of its output, None if as many as came in."""
        return None

    def save(self, path: str | Path) -> None:
        """Write the parameters to a safetensors file; see `npcnn.weights.save`."""
        weights.save(self.params, path)

    def load(self, path: str | Path) -> None:
        """Read the parameters from a safetensors file; see `npcnn.weights.load`."""
        weights.load(self.params, path)

    def _collect(self, own: Callable[[Layer], dict[str, Array]]) -> dict[str, Array]:
        arrays = dict(own(self))
        for child_name, child in self.children.items():
            for name, array in child._collect(own).items():
                arrays[f"{child_name}.{name}"] = array
        return arrays

    def _add_parameter(self, name: str, value: Array) -> None:
        self._params[name] = value
        self._grads[name] = np.zeros_like(value)

    def _buffer(self, name: str, shape: Shape, dtype: DTypeLike) -> Array:
        """Return an array to write a result into: the one used last time if nobody else holds it.

        The outputs of a training step are as large as the caches; asking the system for fresh pages every
        step costs more than some layers do.  Whoever still holds last step's result keeps it, because then
        the reference count says so and a new array is made.
        """
        kept = self._buffers.pop(name, None)
        # Two references: `kept` and the argument of getrefcount.  A view of the array would be a third.
        if kept is None or kept.shape != shape or kept.dtype != dtype or sys.getrefcount(kept) > 2:
            kept = np.empty(shape, dtype)
        self._buffers[name] = kept
        return kept

    def _take_kept(self) -> Any:
        """Return what the forward pass kept, and forget it."""
        if self._kept is None:
            raise RuntimeError(
                f"backward of {self!r} needs a forward pass before it: call forward(x, training=True) once "
                "for each backward"
            )
        kept, self._kept = self._kept, None
        return kept


def snake_case(name: str) -> str:
    """Return a class name as part of a parameter's name.

    Examples
    --------
    >>> from npcnn.layers.base import snake_case
    >>> snake_case("SpatiallySeparableConv2D"), snake_case("MaxPool2D"), snake_case("ReLU")
    ('spatially_separable_conv2d', 'max_pool2d', 'relu')
    """
    if name.isupper() or name == "ReLU":
        return name.lower()
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("2D", "2d").replace("1D", "1d").lower()


def picture_shape(input_shape: Shape, layer: Layer, channels: int | None = None) -> tuple[int, int, int]:
    """Return `input_shape` if it is (H, W, C), with the given number of channels; else raise ShapeError."""
    if len(input_shape) != 3:
        raise ShapeError(
            f"{layer!r} takes pictures of shape (H, W, C), got {tuple(input_shape)}; leave out the batch axis"
        )
    H, W, C = (integer(length, f"input_shape[{i}]", minimum=1) for i, length in enumerate(input_shape))
    if channels is not None and channels != C:
        raise ShapeError(f"{layer!r} takes {channels} channels, got {C} (shape {tuple(input_shape)})")
    return H, W, C


def batch_shape(x: Array) -> tuple[int, Shape]:
    """Return the length of the batch and the shape of one input; TypeError or ShapeError if `x` has none."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x must be a numpy.ndarray, got {type(x).__name__}; convert it with numpy.asarray")
    if x.ndim == 0:
        raise ShapeError("x must have a batch axis, got an array of no axes")
    return len(x), x.shape[1:]


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return `dtype` as a NumPy dtype if npcnn computes with it; else raise DTypeError."""
    try:
        given = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"dtype must be float32 or float64, got {dtype!r}") from None
    if given not in FLOAT_DTYPES:
        raise DTypeError(f"dtype must be float32 or float64, got {given}")
    return given


def activation_name(value: str | None, name: str = "activation") -> str | None:
    """Return `value` if it is "relu" or None; else raise ValueError."""
    if value not in (None, "relu"):
        raise ValueError(f"{name} must be 'relu' or None, got {value!r}")
    return value


def call(layer: Layer, *required: object, **optional: tuple[object, object]) -> str:
    """Return the constructor call for a repr: required arguments, then those that differ from the default."""
    arguments = [repr(value) for value in required]
    arguments += [f"{name}={value!r}" for name, (value, default) in optional.items() if value != default]
    return f"{type(layer).__name__}({', '.join(arguments)})"
