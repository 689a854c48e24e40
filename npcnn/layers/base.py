"""What every layer is: parameters, gradients, the layers inside it, and arrays to write results into."""

from __future__ import annotations

import copy
import functools
import inspect
import json
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npcnn import weights
from npcnn.errors import DTypeError, ShapeError
from npcnn.functional import WindowGeometry
from npcnn.functional.checks import integer, shown
from npcnn.functional.exchange import as_array
from npcnn.functional.outputs import addressable
from npcnn.initializers import Initializer
from npcnn.layers.buffers import GradientMemory, kept_array, shared_gradient_memory
from npcnn.layers.checks import float_dtype, generator
from npcnn.layers.description import Call, Unreadable, arguments, describe, is_layer, recorded
from npcnn.layers.names import dotted
from npcnn.layers.parameters import NamedArrays
from npcnn.layers.remembered import Remembered

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


class Layer:
    """Base of all layers.

    A layer that computes defines `forward` and `backward`, and gets its parameters from `add_parameter`; what it
    learns without being trained, such as a running mean, is from `add_state`.  One that is made of other layers puts
    them into `children`; their arrays become its own, under the child's name and a dot.  ``layer(x)`` is
    ``layer.forward(x)``.

    One thread at a time may train a network.  Any number of threads may call `forward` without ``training=True`` on
    one network at once, as long as nobody changes its parameters meanwhile; each gets its own answer.  That holds for
    every layer of npcnn, and for your own if its `forward` keeps nothing of what it computes with outside training.

    Attributes
    ----------
    children : dict of Layer
        The layers it is made of, by name, in the order of the forward pass; another one put under a name takes part.
    children_share_input : bool
        Whether every child gets the layer's own input, instead of the output of the one before.
    kind : str
        What it computes, for code that looks inside a network, such as `npcnn.explain`: "convolution", "sequential",
        ...; "other" unless its class says something else.
    in_channels, out_channels : int or None
        Lengths of the last axis of input and output, where the layer fixes them.
    classes : tuple of str or None
        What the outputs of a network stand for, where that is known; its file holds it.
    sums_by_parts : bool
        Whether what it sums over the batch in training, and what it draws for it, is by parts, as
        `npcnn.functional.batch_parts` has it.  A layer that has arrays or an `rng` of its own says so in its class;
        those that do not cannot be trained on a batch in parts.
    picture_shape, input_steps : tuple of int, list of dict; or None
        Height, width and channels of the pictures it was trained on, and how they become its input, as
        `npcnn.datasets.steps.describe` says it; its file holds both.

    Examples
    --------
    A layer of your own, a factor for each channel:

    >>> class Scale(nn.Layer):
    ...     def __init__(self, channels, dtype=np.float32):
    ...         super().__init__()
    ...         self.add_parameter("s", (channels,), nn.initializers.constant(1.0), dtype=dtype)
    ...     def forward(self, x, training=False):
    ...         if training:
    ...             self.x = x
    ...         return x * self.params["s"]
    ...     def backward(self, dy):
    ...         self.grads["s"] = (dy * self.x).sum((0, 1, 2))
    ...         return dy * self.params["s"]
    >>> net = nn.Sequential(nn.Conv2D(3, 8, 3), Scale(8), nn.GlobalAvgPool2D())
    >>> net.output_shape((6, 6, 3)), net.params["1_scale.s"].shape
    ((8,), (8,))
    """

    children_share_input = False
    kind = "other"
    sums_by_parts = False
    in_channels: int | None = None
    out_channels: int | None = None
    dtype: np.dtype[Any]
    classes: tuple[str, ...] | None = None
    picture_shape: tuple[int, int, int] | None = None
    input_steps: list[dict[str, Any]] | None = None
    _built_by: Call = (), {}  # what the constructor was called with

    def __init__(self) -> None:
        self.children: dict[str, Layer] = {}
        self._params: dict[str, Array] = {}
        self._grads: dict[str, Array] = {}
        self._state: dict[str, Array] = {}
        self._buffers: dict[str, Array] = {}
        self._gradient_memory: GradientMemory | None = None
        self._kept: Any = None
        self._remembered = Remembered()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # need_dx is for layers that can save work by it; the others must still accept it.
        if "need_dx" not in inspect.signature(cls.backward, follow_wrapped=False).parameters:
            cls.backward = _taking_need_dx(cls.backward)  # type: ignore[method-assign]
        if "__init__" in vars(cls):
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]
        # A class with a forward of its own may compute something else, so it does not inherit the kind.
        if "forward" in vars(cls) and "kind" not in vars(cls):
            cls.kind = "other"
        # Nor that it sums by parts, if it may sum something else.
        if {"forward", "backward"} & vars(cls).keys() and "sums_by_parts" not in vars(cls):
            cls.sums_by_parts = False

    def __repr__(self) -> str:
        """Return the constructor call: its arguments as far as they are known, defaults and dtypes left out."""
        told: list[str] = []
        by_place = True
        inside = False
        for parameter, value in arguments(self):
            readable = not isinstance(value, Unreadable | np.dtype)
            by_place &= parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY
            if readable and parameter.kind is parameter.VAR_POSITIONAL:
                told += map(repr, value)
            elif readable:
                told.append(("" if by_place else f"{parameter.name}=") + repr(value))
            by_place &= readable
            inside |= any(map(is_layer, value if isinstance(value, tuple) else [value]))
        if not inside:
            return f"{type(self).__name__}({', '.join(told)})"
        lines = ",\n".join(told).replace("\n", "\n    ")
        return f"{type(self).__name__}(\n    {lines},\n)"

    def __call__(self, x: Array, training: bool = False) -> Array:
        """Return ``forward(x, training)``."""
        return self.forward(as_array(x, "x"), training=training)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_buffers": {}}  # a copy or a pickle makes its own room to work in

    def walk(self, into: Container[str] | None = None) -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) of the layer itself, whose name is "", and of all inside it.

        Parameters
        ----------
        into : collection of str, optional
            The kinds of layers to look inside; by default all.

        Examples
        --------
        >>> net = nn.Sequential(nn.ReLU(), nn.Concat(nn.ReLU(), nn.ReLU()))
        >>> [name for name, layer in net.walk()]
        ['', '0_relu', '1_concat', '1_concat.0_relu', '1_concat.1_relu']
        >>> [name for name, layer in net.walk(into={"sequential"})]
        ['', '0_relu', '1_concat']
        """
        yield "", self
        for key, child in self.children.items() if into is None or self.kind in into else ():
            for name, layer in child.walk(into):
                yield dotted(key, name), layer

    def input_shapes(self, input_shape: Shape) -> Iterator[tuple[str, Layer, Shape]]:
        """Yield (name, layer, shape of that layer's input) in the order of `walk`; shapes have no batch axis."""
        yield "", self, tuple(input_shape)
        for key, child, shape in self._children_and_input_shapes(input_shape):
            for name, layer, inside in child.input_shapes(shape):
                yield dotted(key, name), layer, inside

    def _children_and_input_shapes(self, input_shape: Shape) -> Iterator[tuple[str, Layer, Shape]]:
        shape = tuple(input_shape)
        for key, child in self.children.items():
            yield key, child, shape
            if not self.children_share_input:
                shape = child.output_shape(shape)

    @property
    def params(self) -> NamedArrays:
        """The parameters by name.

        The arrays are the layer's own: changing them, or assigning to a name, changes the layer.
        """
        return NamedArrays(self._named("_params"))

    @property
    def grads(self) -> NamedArrays:
        """The gradients of the last `backward`, under the names and with the shapes of `params`."""
        return NamedArrays(self._named("_grads"))

    @property
    def state(self) -> NamedArrays:
        """What is learnt without being trained, by name; see `add_state`.  Assigning writes, as for `params`."""
        return NamedArrays(self._named("_state"))

    @property
    def arrays(self) -> dict[str, Array]:
        """`params` and `state` together: what a file of weights and a checkpoint hold."""
        return self.params | self.state

    def _named(self, kind: str) -> dict[str, Array]:
        """Return the arrays of one kind by name, in the order of `walk`, which an optimizer would find slow."""
        arrays: dict[str, Array] = dict(getattr(self, kind))
        for name, child in self.children.items():
            before = f"{name}." if name else ""
            for key, array in child._named(kind).items():
                arrays[before + key] = array
        return arrays

    def add_parameter(
        self,
        name: str,
        shape: Shape,
        init: Initializer,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Give the layer an array to be trained, ``params[name]``, and one for its gradient, ``grads[name]``.

        Parameters
        ----------
        name : str
            Without a dot.
        shape : tuple of int
            Its shape.
        init : Initializer
            Makes its first value; see `npcnn.initializers`.
        dtype : float32 or float64
            Its dtype.
        rng : numpy.random.Generator, optional
            Source of random numbers for `init`; by default unpredictable.

        Raises
        ------
        ShapeError, DTypeError
            If `init` returns something else.
        TypeError, ValueError
            If an argument is not of the form above, or there is a parameter of this name.
        """
        self._params[name] = self._new_array(name, shape, init, dtype, rng)
        self._grads[name] = np.zeros_like(self._params[name])

    def add_state(self, name: str, shape: Shape, init: Initializer, *, dtype: DTypeLike = np.float32) -> None:
        """Give the layer an array that it learns without being trained, ``state[name]``: a running mean, say.

        ``forward(x, training=True)`` assigns to it.  Like a parameter it is saved, checkpointed, compared on loading,
        and restored to the bit when a run goes on; optimizers and `nn.gradcheck` leave it alone.

        Parameters
        ----------
        name, shape, init, dtype
            As for `add_parameter`.

        Raises
        ------
        ShapeError, DTypeError, TypeError, ValueError
            As `add_parameter`.

        Examples
        --------
        >>> class Counter(nn.Layer):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.add_state("steps", (), nn.initializers.constant(0.0))
        ...     def forward(self, x, training=False):
        ...         if training:
        ...             self.state["steps"] = self.state["steps"] + 1
        ...         return x
        >>> layer = Counter()
        >>> _ = layer(np.zeros((1, 2)), training=True)
        >>> layer.state["steps"].item(), dict(layer.params)
        (1.0, {})
        """
        self._state[name] = self._new_array(name, shape, init, dtype, None)

    def _new_array(
        self, name: str, shape: Shape, init: Initializer, dtype: DTypeLike, rng: np.random.Generator | None
    ) -> Array:
        taken = [*self._params, *self._state]
        if not isinstance(name, str) or not name or "." in name or name in taken:
            raise ValueError(
                f"name must be a string without a dot that no array has yet ({', '.join(taken) or 'none'}), "
                f"got {shown(name)}"
            )
        if not callable(init):
            raise TypeError(f"the initializer of {name} must be a function (shape, rng, dtype), got {shown(init)}")
        lengths = shape if isinstance(shape, tuple | list) else (shape,)
        shape = tuple(integer(length, f"shape[{i}]", minimum=0) for i, length in enumerate(lengths))
        dtype = float_dtype(dtype)
        addressable(shape, dtype, name)
        # A copy: an initializer may hand out one array twice, and optimizers write in place.
        value = np.array(init(shape, generator(rng), dtype), order="C")
        if value.shape != shape:
            raise ShapeError(f"the initializer of {name} must return shape {shape}, got {value.shape}")
        if value.dtype != dtype:
            raise DTypeError(f"the initializer of {name} must return {dtype}, got {value.dtype}")
        return value

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the layer's output for a batch.

        With ``training=True`` the layer also keeps what `backward` will need.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill `grads` and return the gradient with respect to the input of the last forward pass.

        It uses up what ``forward(x, training=True)`` kept: one backward for each forward.  With ``need_dx=False`` a
        layer may leave the input gradient out and return None; one that saves nothing by that need not take the
        argument.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output, without the batch axis, for an input shape without it.

        A layer that does not define it is tried on an input of zeros.

        Raises
        ------
        ShapeError
            If the layer cannot take such an input.
        """
        dtype = next((array.dtype for array in self.params.values()), np.float32)
        trial = copy.copy(self)  # so that what its forward pass keeps does not end up in the layer
        try:
            return trial.forward(np.zeros((1, *input_shape), dtype)).shape[1:]
        except ShapeError:
            raise
        except ValueError as error:
            raise ShapeError(f"{self!r} cannot take an input of shape {tuple(input_shape)}: {error}") from error

    def windows(self, input_shape: Shape) -> WindowGeometry | None:
        """Return where the layer's windows lie over an input; None for a layer without windows."""
        return None

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int | None:
        """Return how many multiplications the forward pass takes on one input; None if a layer does not say.

        They are counted by the definition, products with pixels of the padding included, so a 3 x 3 SAME convolution
        of a 5 x 2 picture costs 90; with ``spent=True``, by the algorithm that the layer runs on.  Without a
        definition of its own, a layer returns the sum over the layers inside it; one of your own without layers
        inside does not say.
        """
        self.output_shape(input_shape)
        if self.kind == "other" and not self.children:
            return None
        inside = self._children_and_input_shapes(input_shape)
        counts = [child.multiplications(shape, spent=spent) for _, child, shape in inside]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def channels_after(self, channels: int | None) -> int | None:
        """Return the length of the last axis of the output for that of the input; None if unknown.

        It needs no picture size, so it checks a network while it is being put together.  None fits any layer.

        Raises
        ------
        ShapeError
            If the layer cannot take that many.
        """
        if self.in_channels is not None and channels not in (None, self.in_channels):
            raise ShapeError(f"{self!r} takes {self.in_channels} channels, but {channels} come in")
        return self.out_channels

    def save(self, path: str | Path) -> None:
        """Write parameters and state to a safetensors file, with what the network is; see `npcnn.load`.

        Raises
        ------
        OSError
            As `npcnn.weights.save`.
        """
        about = {
            "format": 1,
            "network": describe(self),
            "layers": {name: repr(layer) for name, layer in self.walk()},
            "classes": self.classes,
            "picture_shape": self.picture_shape,
            "input_steps": self.input_steps,
        }
        weights.save(self.arrays, path, metadata={"npcnn": json.dumps(about)})

    def load(self, path: str | Path, *, widen: bool = False) -> None:
        """Read parameters and state from a safetensors file; see `npcnn.weights.load`."""
        weights.load(self.arrays, path, widen=widen)

    def astype(self, dtype: DTypeLike) -> Self:
        """Return a copy of the layer that computes in another dtype, float32 or float64.

        Its parameters and state are converted, its gradients are 0.  A trained network in float64 is what
        `nn.gradcheck` asks for.

        Raises
        ------
        DTypeError
            If `dtype` is neither.
        ValueError
            If a convolution runs on Toom-Cook because it was told to: in float64 there is none.

        Examples
        --------
        >>> layer = nn.Dense(2, 2).astype(np.float64)
        >>> layer.params["w"].dtype, layer(np.zeros((1, 2))).dtype
        (dtype('float64'), dtype('float64'))
        """
        dtype = float_dtype(dtype)
        converted = copy.deepcopy(self)
        for _, layer in converted.walk():
            layer._params = {name: array.astype(dtype) for name, array in layer._params.items()}
            layer._grads = {name: np.zeros_like(array) for name, array in layer._params.items()}
            layer._state = {name: array.astype(dtype) for name, array in layer._state.items()}
            layer._buffers, layer._kept = {}, None
            layer._set_dtype(dtype)
        return converted

    def _set_dtype(self, dtype: np.dtype[Any]) -> None:
        """Take over what else of a layer follows from the dtype of its arrays."""
        if "dtype" in vars(self):
            self.dtype = dtype

    def _buffer(self, name: str, shape: Shape, dtype: DTypeLike) -> Array:
        """Return an array to write a result into: the one used last time if nobody else holds it."""
        return kept_array(self._buffers, name, shape, dtype)

    def _dx_array(self, shape: Shape, dtype: DTypeLike) -> Array:
        """Return an array to write an input gradient into: all layers share a few."""
        if self._gradient_memory is None:
            self._gradient_memory = shared_gradient_memory()
        return self._gradient_memory.array(shape, dtype)

    def _gradient_arrays(self, x: Array, need_dx: bool) -> tuple[Array | None, Array, Array]:
        """Return where a layer with weights writes (dx, dw, db): the last two are those of `grads`.

        Without a bias there is an array for db all the same.
        """
        w = self._grads["w"]
        dx = self._dx_array(x.shape, x.dtype) if need_dx else None
        db = self._grads["b"] if "b" in self._grads else np.empty(self.out_channels or 0, w.dtype)
        return dx, w, db

    def _take_kept(self) -> Any:
        """Return what the forward pass kept, and forget it."""
        if self._kept is None:
            raise RuntimeError(
                f"backward of {self!r} needs a forward pass before it: call forward(x, training=True) once "
                "for each backward"
            )
        kept, self._kept = self._kept, None
        return kept


def _taking_need_dx(backward: Callable[[Any, Array], Array | None]) -> Callable[..., Array | None]:
    """Return `backward` as a method that accepts need_dx and ignores it."""

    @functools.wraps(backward)
    def method(self: Layer, dy: Array, *, need_dx: bool = True) -> Array | None:
        return backward(self, dy)

    return method


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    """Return `init` as a method that notes what it is called with, unless that of a subclass has done so."""

    @functools.wraps(init)
    def method(self: Layer, *given: Any, **named: Any) -> None:
        if "_built_by" not in vars(self):
            self._built_by = recorded(given, named)
        init(self, *given, **named)

    return method
