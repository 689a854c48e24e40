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
from npcnn.functional.checks import FLOAT_DTYPES, addressable, integer
from npcnn.initializers import Initializer

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
    side_by_side : bool
        Whether every child gets the layer's own input, instead of the output of the one before.
    """

    side_by_side = False

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

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return how many multiplications the forward pass takes on one input.

        By the definition, products with pixels of the padding included: that is how a 3 x 3 SAME convolution
        of a 5 x 2 picture costs 90.  With ``spent=True`` those of the algorithm that the layer runs on.
        """
        self.output_shape(input_shape)
        return 0

    @property
    def in_channels(self) -> int | None:
        """Length of the last axis of the input it takes; None if any."""
        return None

    def channels_after(self, channels: int | None) -> int | None:
        """Return the length of the last axis after the layer, from that before it; None if unknown.

        It needs no picture size, so a network is checked by it while it is put together.  A layer
        that does not say is taken to give anything.

        Raises
        ------
        ShapeError
            If the layer cannot take that many.
        """
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

    def _add_parameter(
        self,
        name: str,
        shape: Shape,
        dtype: np.dtype[Any],
        init: Initializer,
        rng: np.random.Generator,
    ) -> None:
        if not callable(init):
            raise TypeError(f"the initializer of {name} must be a function (shape, rng, dtype), got {init!r}")
        addressable(shape, dtype, name)
        # A copy: an initializer may hand out one array twice, and optimizers write in place.
        value = np.array(init(shape, rng, dtype), order="C")
        if value.shape != shape:
            raise ShapeError(f"the initializer of {name} must return shape {shape}, got {value.shape}")
        if value.dtype != dtype:
            raise DTypeError(f"the initializer of {name} must return {dtype}, got {value.dtype}")
        self._params[name] = value
        self._grads[name] = np.zeros_like(value)

    def _buffer(self, name: str, shape: Shape, dtype: DTypeLike) -> Array:
        """Return an array to write a result into: the one used last time if nobody else holds it.

        The outputs of a training step are as large as the caches; asking the system for fresh pages every
        step costs more than some layers do.  Whoever still holds last step's result keeps it, because then
        the reference count says so and a new array is made.
        """
        kept = self._buffers.get(name)
        fits = kept is not None and kept.shape == shape and kept.dtype == dtype
        del kept  # it would count as somebody who holds the array
        if not fits or _references(self._buffers, name) > _ONLY_THE_DICTIONARY:
            addressable(shape, dtype, name)
            self._buffers[name] = np.empty(shape, dtype)
        return self._buffers[name]

    def _take_kept(self) -> Any:
        """Return what the forward pass kept, and forget it."""
        if self._kept is None:
            raise RuntimeError(
                f"backward of {self!r} needs a forward pass before it: call forward(x, training=True) once "
                "for each backward"
            )
        kept, self._kept = self._kept, None
        return kept


def _references(arrays: dict[str, Array], name: str) -> int:
    return sys.getrefcount(arrays[name])


# What getrefcount says of an array that only a dictionary holds.  It is measured, by the very function
# that is asked later, because it depends on the interpreter: from Python 3.14 on, some references of
# the running function go uncounted.
_ONLY_THE_DICTIONARY = _references({"probe": np.empty(1)}, "probe")


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
            f"{layer!r} takes pictures of shape (H, W, C), got {tuple(input_shape)} not counting the batch axis; "
            "forward needs (N, H, W, C), output_shape and summary (H, W, C)"
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


def check_channels(layer: Layer, wanted: int, channels: int | None, what: str = "channels") -> None:
    """Raise ShapeError unless `channels` is as many as the layer wants, or unknown."""
    if channels not in (None, wanted):
        raise ShapeError(f"{layer!r} takes {wanted} {what}, but {channels} come in")


def generator(rng: np.random.Generator | None) -> np.random.Generator:
    """Return `rng`, or an unpredictable one for None; else raise TypeError."""
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator or None, got {rng!r}; "
            "make one of a seed with numpy.random.default_rng(seed)"
        )
    return rng


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
