"""Softmax and its logarithm, with their gradients: functions of all numbers along the last axis.

The largest number of each row is subtracted before anything else.  That changes nothing, and keeps exp finite.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import float_array
from npcnn.functional.outputs import gradient_arrays

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "softmax",
    "softmax_backward",
]

Array: TypeAlias = NDArray[Any]


def softmax(logits: Array) -> Array:
    """Probabilities exp(logits) / sum(exp(logits)) along the last axis.

    The largest logit of each row is subtracted first, which changes nothing and keeps exp finite.

    Parameters
    ----------
    logits : ndarray, shape (..., classes), float32 or float64

    Returns
    -------
    y : ndarray, the shape and dtype of `logits`

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `logits` is not a float array with at least one axis, or has no classes.

    Examples
    --------
    >>> nn.functional.softmax(np.array([[0.0, np.log(3.0)]]))
    array([[0.25, 0.75]])
    """
    exponentials = np.exp(_shifted(logits))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def softmax_backward(dy: Array, y: Array) -> Array:
    """Gradient of `softmax` with respect to the logits: y (dy - sum(dy y)), summed over the classes.

    Parameters
    ----------
    dy : ndarray, shape (..., classes), float32 or float64
        Gradient of the loss with respect to y.
    y : ndarray, the shape and dtype of `dy`
        What `softmax` returned.

    Returns
    -------
    dlogits : ndarray, the shape and dtype of `dy`

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `dy` is not as the logits of `softmax`, or `y` is not like it.

    Examples
    --------
    >>> nn.functional.softmax_backward(np.array([[1.0, 0.0]]), np.array([[0.25, 0.75]]))
    array([[ 0.1875, -0.1875]])
    """
    dy, y, dlogits = gradient_arrays(_rows_of_classes(dy, "dy"), y, "y", None)
    np.subtract(dy, (dy * y).sum(axis=-1, keepdims=True), out=dlogits)
    dlogits *= y
    return dlogits


def log_softmax(logits: Array) -> Array:
    """Logarithm of `softmax`, by log-sum-exp: finite where log(softmax(x)) would be -inf.

    Parameters
    ----------
    logits : ndarray, shape (..., classes), float32 or float64

    Returns
    -------
    ndarray, the shape and dtype of `logits`

    Raises
    ------
    TypeError, DTypeError, ShapeError
        As `softmax`.

    Examples
    --------
    >>> nn.functional.log_softmax(np.array([[0.0, 1000.0]]))
    array([[-1000.,     0.]])
    """
    shifted = _shifted(logits)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def log_softmax_backward(dy: Array, y: Array) -> Array:
    """Gradient of `log_softmax` with respect to the logits: dy - exp(y) sum(dy), summed over the classes.

    Parameters
    ----------
    dy : ndarray, shape (..., classes), float32 or float64
        Gradient of the loss with respect to y.
    y : ndarray, the shape and dtype of `dy`
        What `log_softmax` returned.

    Returns
    -------
    dlogits : ndarray, the shape and dtype of `dy`

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `dy` is not as the logits of `log_softmax`, or `y` is not like it.

    Examples
    --------
    >>> nn.functional.log_softmax_backward(np.array([[1.0, 0.0]]), np.log([[0.25, 0.75]]))
    array([[ 0.75, -0.75]])
    """
    dy, y, dlogits = gradient_arrays(_rows_of_classes(dy, "dy"), y, "y", None)
    np.multiply(np.exp(y), dy.sum(axis=-1, keepdims=True), out=dlogits)
    np.subtract(dy, dlogits, out=dlogits)
    return dlogits


def _rows_of_classes(value: Any, name: str) -> Array:
    rows = float_array(value, name, None)
    if rows.ndim == 0 or rows.shape[-1] == 0:
        raise ShapeError(f"{name} must have shape (..., classes) with at least one class, got shape {rows.shape}")
    return rows


def _shifted(logits: Array) -> Array:
    logits = _rows_of_classes(logits, "logits")
    return np.asarray(logits - logits.max(axis=-1, keepdims=True))
