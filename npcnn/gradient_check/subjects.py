"""What a gradient check looks at: a layer with its parameters, or a function with its gradient.

Both are reduced to the same few things: the arrays that may be moved and their names, the output
at the present values, the gradients, and putting everything back.  Whatever cannot be checked is
refused here, with advice.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, TypeGuard

import numpy as np

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.exchange import as_array
from npcnn.gradient_check.differences import Array


class Subject:
    """Arrays that may be moved, what comes out of them, and its gradients.

    Attributes
    ----------
    names, arrays : list
        The arrays whose elements are moved.
    forward_name : str
        What the messages call the function that computes the output.
    writes_grads : bool
        Whether backward writes the gradients of all arrays but the first, instead of returning them.
    """

    forward_name = "the function"
    writes_grads = False

    def __init__(self, names: list[str], arrays: list[Array]) -> None:
        self.names, self.arrays = names, arrays
        self._found = [array.copy() for array in arrays]

    def output(self) -> Array:
        """Return the output at the present values, as a new array."""
        raise NotImplementedError

    def gradients(self, dy: Array, stale: float = 0.0) -> list[Array | None]:
        """Return a copy of the gradient of each array, right after `output` at the values found.

        Parameters
        ----------
        dy : ndarray
            The gradient of the output.
        stale : float
            What the gradients that backward writes are filled with before it.

        Raises
        ------
        ValueError
            If `output` or backward changed an array that it was given.
        """
        _refuse_changes(self.forward_name, self.names, self.arrays, self._present(), self._found)
        given = dy.copy()
        gradients = self._backward(given, stale)
        _refuse_changes("backward", self.names, self.arrays, self._present(), self._found)
        _refuse_changes("backward", ["dy"], [given], [given], [dy])
        return [
            None if gradient is None else _checked_gradient(gradient, array, name)
            for gradient, array, name in zip(gradients, self.arrays, self.names, strict=True)
        ]

    def restore(self) -> None:
        """Put everything back; elements that were moved are back already."""

    def _backward(self, dy: Array, stale: float) -> list[Any]:
        """Return the gradients as the target gives them."""
        raise NotImplementedError

    def _present(self) -> list[Any]:
        """Return the arrays with which the target computes now."""
        return self.arrays


class FunctionSubject(Subject):
    """A function of arrays with its gradient."""

    def __init__(self, function: Callable[..., Any], inputs: tuple[Any, ...], backward: Callable[..., Any]) -> None:
        self.function, self.backward = function, backward
        names = _argument_names(function, len(inputs))
        super().__init__(names, [_checked(value, name).copy() for value, name in zip(inputs, names, strict=True)])

    def output(self) -> Array:
        """Return the output at the present values, as a new array."""
        return _checked_output(self.function(*self.arrays))

    def _backward(self, dy: Array, stale: float) -> list[Any]:
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
        return list(result)


class LayerSubject(Subject):
    """A layer or network, its input and its parameters."""

    forward_name = "forward"
    writes_grads = True

    def __init__(self, layer: Any, x: Any) -> None:
        self.layer = layer
        params = layer.params
        arrays = [_checked(x, "x").copy(), *(_checked(array, name) for name, array in params.items())]
        super().__init__(["x", *params], arrays)
        self.generators = list(_generators(layer, set()))
        self.states = [copy.deepcopy(g.bit_generator.state) for g in self.generators]
        self.kept_params, self.kept_grads = _kept(params), _kept(layer.grads)
        self.kept_state = _kept(getattr(layer, "state", {}))

    def output(self) -> Array:
        """Return the output at the present values, as a new array."""
        self._rewind()
        return _checked_output(self.layer.forward(self.arrays[0], training=True))

    def restore(self) -> None:
        """Put back the gradients, the parameters, the state and the random generators."""
        self._rewind()
        _put_back(self.layer.grads, self.kept_grads)
        _put_back(self.layer.params, self.kept_params)
        _put_back(getattr(self.layer, "state", {}), self.kept_state)

    def _backward(self, dy: Array, stale: float) -> list[Any]:
        grads = self.layer.grads
        for array in (grads[name] for name in self.names[1:] if name in grads):
            if _is_writable(array) and not any(np.may_share_memory(array, own) for own in self.arrays):
                array.fill(stale)
        dx = self.layer.backward(dy)
        if dx is None:
            raise TypeError("backward(dy) returned None; it must return the gradient of x")
        grads = self.layer.grads  # asked for again, for backward may have put new arrays there
        for name in self.names[1:]:
            if name not in grads:
                raise TypeError(
                    f"grads has no {name!r} but params has; backward must write a gradient for every parameter"
                )
        return [dx, *(grads[name] for name in self.names[1:])]

    def _present(self) -> list[Any]:
        params = self.layer.params
        if list(params) != self.names[1:]:
            raise ValueError(
                f"params held {self.names[1:]} before forward and holds {list(params)} after it; make the parameters "
                "in __init__, or call forward once before the check"
            )
        return [self.arrays[0], *params.values()]

    def _rewind(self) -> None:
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.bit_generator.state = copy.deepcopy(state)


def subject_of(target: Any, inputs: tuple[Any, ...], backward: Callable[..., Any] | None) -> Subject:
    """Return the layer or function that the arguments describe as a subject, or say what is missing."""
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


def _refuse_changes(by: str, names: list[str], arrays: list[Array], present: list[Any], found: list[Array]) -> None:
    """Raise if the content of an array has changed, or another array has taken its place."""
    for name, array, now, before in zip(names, arrays, present, found, strict=True):
        replaced = array.size > 0 and not np.may_share_memory(now, array)
        if replaced or not np.array_equal(now, before):
            raise ValueError(
                f"{by} changed or replaced {name}; it must leave x, dy and the parameters as they are, for others "
                "still read them: write the result into a new array"
            )


def _kept(arrays: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return each value with a copy of what it holds."""
    return {name: (value, copy.deepcopy(value)) for name, value in arrays.items()}


def _put_back(arrays: Any, kept: dict[str, tuple[Any, Any]]) -> None:
    """Undo what was written into the arrays, and what was put in their place or beside them."""
    for name, (value, content) in kept.items():
        present = dict(arrays).get(name)
        for array in (value, present):
            if _is_writable(array) and array.shape == np.shape(content):
                array[...] = content
        if present is not value and isinstance(arrays, MutableMapping):
            arrays[name] = value
    if isinstance(arrays, MutableMapping):
        for name in set(arrays) - set(kept):
            del arrays[name]


def _is_writable(value: Any) -> TypeGuard[Array]:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.flags.writeable


def _checked(value: Any, name: str) -> Array:
    """Return a float64 array as it is, or say why it will not do."""
    value = as_array(value, name)
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
    """Return a copy of the output, because layers reuse their buffers."""
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
    if isinstance(function, np.ufunc) and count <= function.nin:  # NumPy names them so, but only newer ones tell it
        return ["x"] if function.nin == 1 else [f"x{k + 1}" for k in range(count)]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a built-in without a signature
        parameters = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in positional]
    return names[:count] if len(names) >= count else [f"input {k}" for k in range(count)]
