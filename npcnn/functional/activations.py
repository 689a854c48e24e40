"""ReLU and softmax."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import exact_shape, float_array, output_array, same_dtype
from npcnn.kernels import activations as kernels

__all__ = ["log_softmax", "relu", "relu_backward", "softmax"]

Array: TypeAlias = NDArray[Any]


def relu(x: Array, *, out: Array | None = None) -> Array:
    """Rectified linear unit, y = max(x, 0), of an array of any shape.

    Parameters
    ----------
    x : ndarray, float32 or float64
        Any shape.  NaN stays NaN.
    out : ndarray, optional
        Array to write y into; it may be `x` itself, but not overlap a part of it.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError
        If `x` is not a float32 or float64 array.
    ValueError
        If `out` overlaps `x` without being it.

    Examples
    --------
    >>> nn.functional.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    x = float_array(x, "x", None)
    y = output_array(out, "out", x.shape, x.dtype, in_place=(x,))
    kernels.relu(x.reshape(-1), y.reshape(-1))
    return y


def relu_backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `relu` with respect to its input: dy where y > 0, else 0.

    Parameters
    ----------
    dy : ndarray, float32 or float64
        Gradient of the loss with respect to y.
    y : ndarray, the shape and dtype of `dy`
        What `relu` returned.  (It tells as much as the input would: y > 0 exactly where x > 0.)
    out : ndarray, optional
        Array to write dx into; it may be `dy` or `y` itself, but not overlap a part of either.

    Returns
    -------
    dx : ndarray, the shape and dtype of `dy`
        At the kink x = 0, where a ReLU has no derivative, it is 0 by convention.

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `dy` is not a float32 or float64 array, or `y` is not like it.
    ValueError
        If `out` overlaps one of them without being it.

    Examples
    --------
    >>> nn.functional.relu_backward(np.array([5.0, 5.0]), np.array([0.0, 2.0]))
    array([0., 5.])
    """
    dy, y = float_array(dy, "dy", None), float_array(y, "y", None)
    same_dtype(y, "y", dy, "dy")
    exact_shape(y, "y", dy.shape, "the shape of dy")
    dx = output_array(out, "out", dy.shape, dy.dtype, in_place=(dy, y))
    kernels.relu_backward(dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx


def softmax(logits: Array) -> Array:
    """Probabilities exp(logits) / sum(exp(logits)) of each row.

    The largest logit of the row is subtracted first, which changes nothing and keeps exp finite.

    Parameters
    ----------
    logits : ndarray, shape (N, classes), float32 or float64

    Returns
    -------
    ndarray, shape (N, classes)

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `logits` is not a float array of rank 2 with at least one class.

    Examples
    --------
    >>> nn.functional.softmax(np.array([[0.0, np.log(3.0)]]))
    array([[0.25, 0.75]])
    """
    exponentials = np.exp(_shifted(logits))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def log_softmax(logits: Array) -> Array:
    """Logarithm of `softmax`, by log-sum-exp: finite where log(softmax(x)) would be -inf.

    Parameters
    ----------
    logits : ndarray, shape (N, classes), float32 or float64

    Returns
    -------
    ndarray, shape (N, classes)

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
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _shifted(logits: Array) -> Array:
    logits = float_array(logits, "logits", "N, classes")
    if logits.shape[1] == 0:
        raise ShapeError(f"logits must have at least one class, got shape {logits.shape}")
    return np.asarray(logits - logits.max(axis=1, keepdims=True))
