"""What a layer is, as plain JSON: its class and the arguments that build it, with those of the layers inside.

`Layer.save` writes it beside the weights, and `npcnn.load` builds the network from it.  Nothing in it is run: a class
is looked up by name among those of npcnn and those that the caller hands in.

An argument is known if the layer keeps it under its own name, or else from the call that built the layer, which
every layer notes; so a layer of one's own need not do anything for it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from npcnn.errors import WeightsError
from npcnn.functional.checks import shown

if TYPE_CHECKING:
    from npcnn.layers.base import Layer

Call: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]

OURS = "npcnn."  # stands before the names of npcnn's own classes


class Unreadable:
    """Stands for an argument that JSON has no form for: a function, say, or an array."""

    def __init__(self, value: Any) -> None:
        self.type_name = type(value).__name__


def recorded(given: tuple[Any, ...], named: Mapping[str, Any]) -> Call:
    """Return the arguments of a constructor call as they are kept: what cannot be described, by its type only."""
    return tuple(map(_plain, given)), {name: _plain(value) for name, value in named.items()}


def _plain(value: Any) -> Any:
    """Return a value in the form it would come back in: tuples, Python's own numbers, or an `Unreadable`."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        inside = tuple(map(_plain, value))
        return next((one for one in inside if isinstance(one, Unreadable)), inside)
    if isinstance(value, float) and not math.isfinite(value):
        return Unreadable(value)
    if isinstance(value, bool | int | float | str | None | Unreadable) or _is_dtype(value) or is_layer(value):
        return value
    return Unreadable(value)


def _is_dtype(value: Any) -> bool:
    return isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic))


def is_layer(value: Any) -> bool:
    """Return whether a value is a layer, of which this room knows no more than that it can be walked through."""
    return hasattr(value, "walk") and hasattr(value, "arrays")


def arguments(layer: Layer) -> Iterator[tuple[inspect.Parameter, Any]]:
    """Yield the constructor's parameters and what builds such a layer, defaults left out.

    A value may be an `Unreadable`; that of ``*layers`` is a tuple, that of ``**options`` a dictionary.
    """
    signature = inspect.signature(type(layer))
    given, named = layer._built_by
    call = signature.bind_partial(*given, **named).arguments
    for name, parameter in signature.parameters.items():
        default: Any = parameter.default
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            default = () if parameter.kind is parameter.VAR_POSITIONAL else {}
        made = isinstance(getattr(type(layer), name, None), property)
        value = _plain(getattr(layer, name) if made else vars(layer).get(name, Unreadable(None)))
        if isinstance(value, Unreadable):
            value = call.get(name, default)
        if _is_dtype(value):
            value = next((array.dtype for array in layer.arrays.values()), np.dtype(value))
            default = np.dtype(default) if _is_dtype(default) else default
        if value is not default and (isinstance(value, Unreadable) or value != default):
            yield parameter, value


def describe(layer: Layer) -> dict[str, Any]:
    """Return what a layer is: {"layer": its class, "arguments": {name: value}}, ready for JSON.

    Random generators are left out, or new if a layer must have one, and in npcnn's own layers initializers: they only
    make the first weights.

    Examples
    --------
    >>> from npcnn.layers.description import describe
    >>> describe(nn.Sequential(nn.Conv2D(3, 8, (3, 1)), nn.ReLU()))["arguments"]["layers"]
    [{'layer': 'npcnn.Conv2D', 'arguments': {'in_channels': 3, 'out_channels': 8, 'kernel_size': [3, 1]}}, \
{'layer': 'npcnn.ReLU', 'arguments': {}}]
    """
    ours = type(layer).__module__.startswith(OURS)
    described = {}
    for parameter, value in arguments(layer):
        is_generator = isinstance(value, Unreadable) and value.type_name == "Generator"
        if is_generator and parameter.default is parameter.empty:
            described[parameter.name] = {"generator": "new"}
        elif not is_generator and not (ours and isinstance(value, Unreadable)):
            described[parameter.name] = _to_json(value)
    return {"layer": f"{OURS if ours else ''}{type(layer).__name__}", "arguments": described}


def _to_json(value: Any) -> Any:
    if isinstance(value, Unreadable):
        return {"unreadable": value.type_name}
    if is_layer(value):
        return describe(value)
    if _is_dtype(value):
        return {"dtype": np.dtype(value).name}
    if isinstance(value, dict):
        return {"named": {name: _to_json(one) for name, one in value.items()}}
    if isinstance(value, list | tuple):
        return [_to_json(one) for one in value]
    return value


def build(description: Any, classes: Mapping[str, type[Layer]]) -> Layer:
    """Return the layer that `describe` described, with new weights.

    Parameters
    ----------
    description : dict
        What `describe` returned.
    classes : dict
        The classes that may be built, by name; npcnn's own after "npcnn.".

    Raises
    ------
    WeightsError
        If it is no description, names a class that is not there, or its arguments do not build a layer.
    """
    if not isinstance(description, dict) or not isinstance(description.get("arguments"), dict):
        raise WeightsError(f"the description of a layer must be an object with its arguments, got {shown(description)}")
    name = description.get("layer")
    if not isinstance(name, str) or name not in classes:
        raise WeightsError(_unknown_class(name, classes))
    cls = classes[name]
    given: list[Any] = []
    named: dict[str, Any] = {}
    parameters = inspect.signature(cls).parameters
    for key, value in description["arguments"].items():
        value = _from_json(value, f"{key} of {name}", classes)
        kind = parameters[key].kind if key in parameters else None
        if kind is inspect.Parameter.VAR_POSITIONAL:
            given += value
        elif kind is inspect.Parameter.VAR_KEYWORD:
            named |= value
        else:
            named[key] = value
    try:
        # What stands before *layers must be given by its place.
        before = [named.pop(key) for key, p in parameters.items() if given and p.kind is p.POSITIONAL_OR_KEYWORD]
        return cls(*before, *given, **named)
    except (TypeError, ValueError, KeyError, MemoryError) as error:
        raise WeightsError(f"{name} cannot be built from the arguments in the file: {error}") from error


def _unknown_class(name: Any, classes: Mapping[str, type[Layer]]) -> str:
    if not isinstance(name, str) or name.startswith(OURS):
        return f"the network has a layer {shown(name)}, which this version of npcnn does not have"
    own = [one for one in classes if not one.startswith(OURS)]
    return (
        f"the network has a layer {name}, which is not one of npcnn's; hand its class in: "
        f"nn.load(path, layers=[{', '.join([*own, name])}])"
    )


def _from_json(value: Any, what: str, classes: Mapping[str, type[Layer]]) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(one, what, classes) for one in value)
    if not isinstance(value, dict):
        return value
    if "layer" in value:
        return build(value, classes)
    if "named" in value and isinstance(value["named"], dict):
        return {name: _from_json(one, what, classes) for name, one in value["named"].items()}
    if value == {"generator": "new"}:
        return np.random.default_rng()
    if value.get("dtype") in ("float32", "float64"):
        return np.dtype(value["dtype"])
    raise WeightsError(
        f"{what} cannot be had from the file ({shown(value.get('unreadable', value))}); build the network and call "
        "its load"
    )
