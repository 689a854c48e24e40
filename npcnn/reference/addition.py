"""Sums of arrays, written as their definition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.reference import activations

__all__ = ["add"]


def add(*terms: NDArray[Any], relu: bool = False) -> NDArray[Any]:
    """Sum of arrays, number by number in their order, and then the ReLU if asked for.

    Parameters
    ----------
    *terms : ndarray
        At least one; all of one shape.
    relu : bool
        Whether the result is max(sum, 0).

    Returns
    -------
    y : ndarray
        Shaped like the terms.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.add(np.array([1.0, -5.0]), np.array([2.0, 3.0]), relu=True)
    array([3., 0.])
    """
    y = np.array(terms[0])
    for term in terms[1:]:
        y = y + term
    return activations.relu(y) if relu else y
