"""First values of weights and biases.

An initializer is a function ``(shape, rng, dtype) -> array``; the functions
here make one.  Weights are laid out (..., C_in, C_out), so `fan_in`, the numbers
that flow into one output, is the product of all axes but the last.  That holds
for convolutions with groups, too, whose C_in are the input channels of a group.

Values are drawn in float64 and rounded to the dtype asked for, so that a
float32 and a float64 network with the same seed start from the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import number

# In quotes, because looking at numpy.random imports it, a sixth of the time `import npcnn` takes.
Initializer: TypeAlias = "Callable[[tuple[int, ...], np.random.Generator, DTypeLike], NDArray[np.floating[Any]]]"


def truncated_normal(sd: float, mean: float = 0.0) -> Initializer:
    """Make a normal distribution, drawn again where a value falls outside mean +- 2 sd, as in TensorFlow.

    Parameters
    ----------
    sd : float
        Standard deviation before truncation; that of the result is 0.88 times as large.
    mean : float
        Mean.

    Returns
    -------
    Initializer

    Raises
    ------
    ValueError
        If `sd` is negative or a value is not finite.

    Examples
    --------
    >>> w = nn.initializers.truncated_normal(0.1)((3, 3, 1, 64), np.random.default_rng(0), np.float32)
    >>> w.shape, bool(abs(w).max() <= 0.2)
    ((3, 3, 1, 64), True)
    """
    sd, mean = number(sd, "sd", minimum=0), number(mean, "mean")

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        values = rng.standard_normal(shape)
        while (outside := np.abs(values) > 2).any():
            values[outside] = rng.standard_normal(int(outside.sum()))
        return (mean + sd * values).astype(dtype)

    return draw


def he_normal() -> Initializer:
    """Make a normal distribution of variance 2 / fan_in, which keeps the variance of a signal through ReLUs.

    References
    ----------
    He et al., "Delving Deep into Rectifiers", 2015, section 2.2.

    Examples
    --------
    >>> w = nn.initializers.he_normal()((3, 3, 8, 64), np.random.default_rng(0), np.float64)
    >>> round(float(w.var() * 3 * 3 * 8), 1)
    2.0
    """

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        _check_weights("he_normal", shape)
        fan_in = math.prod(shape[:-1])
        return (math.sqrt(2 / fan_in) * rng.standard_normal(shape)).astype(dtype)

    return draw


def glorot_uniform() -> Initializer:
    """Make a uniform distribution of variance 2 / (fan_in + fan_out).

    fan_out is the product of all axes but the last but one.  For a convolution with groups that is all its output
    channels, as in PyTorch, though an input flows only into those of its group.

    References
    ----------
    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    2010, equation 16.

    Examples
    --------
    >>> w = nn.initializers.glorot_uniform()((2, 4), np.random.default_rng(0), np.float64)
    >>> bool(abs(w).max() <= 1)                          # sqrt(6 / (2 + 4))
    True
    """

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        _check_weights("glorot_uniform", shape)
        taps = math.prod(shape[:-2])
        limit = math.sqrt(6 / (taps * (shape[-2] + shape[-1])))
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return draw


def constant(value: float) -> Initializer:
    """Put one value everywhere.

    Examples
    --------
    >>> nn.initializers.constant(0.1)((2,), np.random.default_rng(0), np.float64)
    array([0.1, 0.1])
    """
    value = number(value, "value")

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        return np.full(shape, value, dtype)

    return draw


def _check_weights(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or 0 in shape:
        raise ShapeError(
            f"{name} is for weights of shape (..., C_in, C_out) without empty axes, got {shape}; "
            "use constant for biases"
        )
