"""What a gradient check looks at: a layer with its parameters, or a function with its gradient.

Both are reduced to the same four things: the arrays that may be moved and their names, the output
at the present values, the gradients, and putting everything back.  Whatever cannot be checked is
refused here, with advice.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from npcnn.errors import DTypeError, ShapeError
from npcnn.gradient_check.differences import Array


class FunctionSubject:
    """A function of arrays with its gradient."""

    def __init__(self, function: Callable[..., Any], inputs: tuple[Any, ...], backward: Callable[..., Any]) -> None:
        self.function, self.backward = function, backward
        self.names = _argument_names(function, len(inputs))
        self.arrays = [_checked(value, name).copy() for value, name in zip(inputs, self.names, strict=True)]

    def output(self) -> Array:
        """Return the output at the present values, as a new array."""
        return _checked_output(self.function(*self.arrays))

    def gradients(self, dy: Array) -> list[Array | None]:
        """Return the gradient of each array, right after `output`."""
        result = self.backward(dy, *self.arrays)
        if not isinstance(result, tuple | list):
            result = (result,)
        if len(result) != len(self.arrays):
            raise TypeError(
                f"backward must return one gradient for each of the {len(self.arrays)} inputs "
                f"({', '.join(self.names)}), got {len(result)}; return None for an input that is "
                "not to be checked"
            )
        if all(gradient is None for gradient in result):
            raise TypeError("backward returned None for every input: there is nothing to check")
        triples = zip(result, self.arrays, self.names, strict=True)
        return [
            None if gradient is None else _checked_gradient(gradient, array, name) for gradient, array, name in triples
        ]

    def restore(self) -> None:
        """Nothing to do: only copies were touched."""


class LayerSubject:
    """A layer or network, its input and its parameters."""

    def __init__(self, layer: Any, x: Any) -> None:
        self.layer = layer
        self.names = ["x", *layer.params]
        self.arrays = [_checked(x, "x").copy()]
        self.arrays += [_checked(array, name) for name, array in layer.params.items()]
        self.generators = list(_generators(layer, set()))
        self.states = [copy.deepcopy(g.bit_generator.state) for g in self.generators]
        self.kept_grads = {name: array.copy() for name, array in layer.grads.items() if isinstance(array, np.ndarray)}

    def output(self) -> Array:
        """Return the output at the present values, as a new array."""
        self._rewind()
        return _checked_output(self.layer.forward(self.arrays[0], training=True))

    def gradients(self, dy: Array) -> list[Array | None]:
        """Return the gradient of each array, right after `output`."""
        found = [self.layer.backward(dy)]
        if found[0] is None:
            raise TypeError("backward(dy) returned None; it must return the gradient of x")
        grads = self.layer.grads
        for name in self.names[1:]:
            if name not in grads:
                raise TypeError(
                    f"grads has no {name!r} but params has; backward must write a gradient for every parameter"
                )
            found.append(grads[name])
        triples = zip(found, self.arrays, self.names, strict=True)
        return [_checked_gradient(gradient, array, name) for gradient, array, name in triples]

    def restore(self) -> None:
        """Put back the gradients and the random generators; elements are put back one by one."""
        self._rewind()
        grads = self.layer.grads
        for name, kept in self.kept_grads.items():
            grads[name][...] = kept

    def _rewind(self) -> None:
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.bit_generator.state = copy.deepcopy(state)


def subject_of(
    target: Any, inputs: tuple[Any, ...], backward: Callable[..., Any] | None
) -> FunctionSubject | LayerSubject:
    """Sort out which of the two was meant, or say what is missing."""
    if isinstance(target, type):
        raise TypeError(f"target is the class {target.__name__}; pass an instance of it")
    if hasattr(target, "forward"):
        missing = [name for name in ("backward", "params", "grads") if not hasattr(target, name)]
        if missing:
            raise TypeError(f"{type(target).__name__} has forward but no {', '.join(missing)}")
        if backward is not None:
            raise TypeError("backward= is for functions; a layer brings its own")
        if len(inputs) != 1:
            raise TypeError(f"a layer is checked at one input, got {len(inputs)}")
        return LayerSubject(target, inputs[0])
    if not callable(target):
        raise TypeError(
            f"target must be a layer (forward, backward, params, grads) or a function, got {type(target).__name__}"
        )
    if backward is None:
        raise TypeError("a function needs backward=g with g(dy, *inputs) returning its gradients")
    if not inputs:
        raise TypeError("pass at least one input array after the function")
    return FunctionSubject(target, inputs, backward)


def _generators(value: Any, seen: set[int]) -> Iterator[np.random.Generator]:
    """Yield every random generator in a layer and the layers it holds."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.random.Generator):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _generators(item, seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _generators(item, seen)
    elif hasattr(value, "forward"):
        yield from _generators(getattr(value, "__dict__", {}), seen)


def _checked(value: Any, name: str) -> Array:
    """Return a float64 array as it is, or say why it will not do."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray, got {type(value).__name__}; convert it with numpy.asarray")
    if value.dtype != np.float64:
        raise DTypeError(
            f"{name} must be float64, got {value.dtype}: float32 rounds to one part in 1e7, which "
            "drowns the small differences of a gradient check; build the layer with "
            f"dtype=numpy.float64, or convert with {name}.astype(numpy.float64)"
        )
    if not np.isfinite(value).all():
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
    return value


def _checked_output(value: Any) -> Array:
    """Return a copy of the output, for layers reuse their buffers."""
    if isinstance(value, tuple):
        value = value[0]
    output = np.array(value)
    if output.dtype != np.float64:
        raise DTypeError(
            f"the target must compute in float64, but its output is {output.dtype}; build the "
            "layer with dtype=numpy.float64, or keep the function from converting"
        )
    return output


def _checked_gradient(gradient: Any, array: Array, name: str) -> Array:
    """Return a copy of a gradient that fits its array."""
    result = np.array(gradient, dtype=np.float64)
    if result.shape != array.shape:
        raise ShapeError(f"the gradient of {name} must have the shape of {name}, {array.shape}, got {result.shape}")
    return result


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the first `count` arguments, for the table."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a built-in or ufunc without a signature
        parameters = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in positional]
    return names[:count] if len(names) >= count else [f"input {k}" for k in range(count)]
