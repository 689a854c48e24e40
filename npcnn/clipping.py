"""How long the gradients of a network are, and how to make them shorter.

One batch of unlucky pictures can have a gradient so long that a step along it undoes an hour of training.  Clipping
bounds the step: all gradients together by a common factor, which keeps their direction, or each number by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.schedules import positive


def gradient_length(grads: Mapping[str, NDArray[Any]]) -> float:
    """Return the Euclidean norm of all gradients together.

    Examples
    --------
    >>> nn.clipping.gradient_length({"w": np.array([3.0]), "b": np.array([4.0])})
    5.0
    """
    # In float64, where the square of no float32 overflows.
    return math.sqrt(sum(float(np.square(grad, dtype=np.float64).sum()) for grad in grads.values()))


def clip_norm(grads: Mapping[str, NDArray[Any]], limit: float) -> float:
    """Multiply all gradients, in place, by one factor that makes their norm together `limit`, if it is larger.

    Parameters
    ----------
    grads : dict of ndarray
        The gradients by name.
    limit : float
        Largest norm, above 0.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    TypeError, ValueError
        If `limit` is not a finite number above 0, or a gradient is NaN or infinite; nothing is changed then.

    References
    ----------
    Pascanu et al., "On the difficulty of training recurrent neural networks", 2013, algorithm 1.

    Examples
    --------
    >>> grads = {"w": np.array([3.0]), "b": np.array([4.0])}
    >>> nn.clipping.clip_norm(grads, 1.0)
    5.0
    >>> grads["w"].item(), grads["b"].item()
    (0.6000000000000001, 0.8)
    """
    limit = positive(limit, "limit")
    norm = gradient_length(grads)
    if not math.isfinite(norm):
        raise ValueError(
            f"grads must be finite to be clipped by their norm, which is {norm}; a smaller learning rate usually helps"
        )
    if norm > limit:
        for grad in grads.values():
            np.multiply(grad, limit / norm, out=grad)
    return norm


def clip_value(grads: Mapping[str, NDArray[Any]], limit: float) -> None:
    """Cut every number of the gradients off, in place, at -`limit` and `limit`.

    Parameters
    ----------
    grads : dict of ndarray
        The gradients by name.  Infinity becomes the limit, NaN stays NaN.
    limit : float
        Largest absolute value, above 0.

    Raises
    ------
    TypeError, ValueError
        If `limit` is not a finite number above 0.

    Examples
    --------
    >>> grads = {"w": np.array([-3.0, 0.5])}
    >>> nn.clipping.clip_value(grads, 1.0)
    >>> grads["w"]
    array([-1. ,  0.5])
    """
    limit = positive(limit, "limit")
    for grad in grads.values():
        np.clip(grad, -limit, limit, out=grad)
