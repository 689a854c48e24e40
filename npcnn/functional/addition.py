"""Sums of arrays, as they stand behind branches that are added up."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.checks import boolean, exact_shape, float_array, same_dtype
from npcnn.functional.outputs import output_array
from npcnn.kernels import activations
from npcnn.kernels import addition as kernels

__all__ = ["add"]

Array: TypeAlias = NDArray[Any]


def add(*terms: Array, relu: bool = False, out: Array | None = None) -> Array:
    """Sum of arrays, y = terms[0] + terms[1] + ..., number by number in this order, and then the ReLU if asked for.

    Its gradient with respect to each of them is dy itself.

    Parameters
    ----------
    *terms : ndarray, float32 or float64
        At least one; all of one shape and dtype.  Nothing is broadcast.
    relu : bool
        Whether y is max(sum, 0).
    out : ndarray, optional
        Array to write y into; it may be the first term itself.

    Returns
    -------
    y : ndarray, the shape and dtype of the terms

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        If there is no term, one is not a float32 or float64 array or not like the first, `relu` is not True or False,
        or `out` overlaps a term without being the first.

    Examples
    --------
    >>> nn.functional.add(np.array([1.0, -5.0]), np.array([2.0, 3.0]), relu=True)
    array([3., 0.])
    """
    if not terms:
        raise TypeError("add must be given at least one array, got none")
    first, *others = (float_array(term, f"terms[{i}]", None) for i, term in enumerate(terms))
    for i, other in enumerate(others, 1):
        same_dtype(other, f"terms[{i}]", first, "terms[0]")
        exact_shape(other, f"terms[{i}]", first.shape, "the shape of terms[0]")
    relu = boolean(relu, "relu")
    y = output_array(out, "out", first.shape, first.dtype, inputs=tuple(others), in_place=(first,))
    total, flat = first.reshape(-1), y.reshape(-1)
    if not others:
        activations.relu(total, flat) if relu else np.copyto(flat, total)
    for i, other in enumerate(others, 1):
        kernels.add(total, other.reshape(-1), relu and i == len(others), flat)
        total = flat
    return y
