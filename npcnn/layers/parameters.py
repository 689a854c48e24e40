"""Parameters and gradients by name: what `Layer.params` and `Layer.grads` return."""

from __future__ import annotations

from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import WeightsError
from npcnn.functional.checks import exact_shape, same_dtype, shown
from npcnn.functional.exchange import as_array

Array: TypeAlias = NDArray[Any]


class NamedArrays(dict[str, Array]):
    """A layer's arrays by name.  Assigning to a name writes into the array that is there.

    So whoever holds that array, an optimizer for example, sees the new numbers, and the layer computes with them.

    Raises
    ------
    WeightsError
        On assigning to a name that the layer does not have, and on removing one.
    ShapeError, DTypeError, TypeError
        On assigning a value that does not fit the array of that name.

    Examples
    --------
    >>> layer = nn.Dense(1, 2, dtype=np.float64)
    >>> layer.params["b"] = np.array([1.0, 2.0])
    >>> layer.forward(np.zeros((1, 1)))
    array([[1., 2.]])
    >>> layer.params["b"] = np.zeros(3)
    Traceback (most recent call last):
        ...
    npcnn.errors.ShapeError: b must have shape (2,) (that of the layer's array), got (3,)
    """

    def __setitem__(self, name: str, value: Array) -> None:
        self.update({name: value})

    def update(self, *arrays: Any, **named: Array) -> None:
        """Write several arrays; unless all of them fit, none is written."""
        values: dict[str, Array] = dict(*arrays, **named)
        for name, value in values.items():
            values[name] = value = as_array(value, name)
            if name not in self:
                there = ", ".join(self) or "none"
                raise WeightsError(f"{shown(name)} is not one of the layer's arrays, which are {there}")
            if not isinstance(value, np.ndarray | np.generic):
                raise TypeError(
                    f"{name} must be a numpy.ndarray, got {type(value).__name__}; convert it with numpy.asarray"
                )
            same_dtype(value, name, self[name], "the layer's array")
            exact_shape(value, name, self[name].shape, "that of the layer's array")
        for name, value in values.items():
            self[name][...] = value

    def __ior__(self, arrays: Any) -> Self:  # type: ignore[override,misc]
        self.update(arrays)
        return self

    def _refuse(self, *_: Any) -> Any:
        raise WeightsError("a layer's arrays cannot be removed; copy them into a dictionary of your own: dict(params)")

    __delitem__ = pop = popitem = clear = setdefault = _refuse

    def __reduce__(self) -> Any:
        # A copy or a pickle is a plain dictionary of the arrays, no longer tied to the layer.
        return dict, (dict(self),)
