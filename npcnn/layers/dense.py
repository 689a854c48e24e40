"""Layers on vectors: fully connected, flatten, dropout.  NumPy's matrix product does the work."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from npcnn.errors import ShapeError
from npcnn.functional.checks import exact_shape, float_array, integer, number, same_dtype
from npcnn.initializers import Initializer, constant, glorot_uniform
from npcnn.layers.base import (
    Array,
    Layer,
    Shape,
    call,
    check_channels,
    float_dtype,
    generator,
)


class Dense(Layer):
    """Fully connected layer, y = x @ w + b.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the input and output vectors.
    bias : bool
        Whether to add one.
    rng, dtype
        As `Conv2D`.
    weight_init, bias_init : Initializer, optional
        By default Glorot's uniform, and 0.

    Examples
    --------
    >>> nn.Dense(2, 3).forward(np.zeros((5, 2), np.float32)).shape
    (5, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        super().__init__()
        self.in_features = integer(in_features, "in_features", minimum=1)
        self.out_features = integer(out_features, "out_features", minimum=1)
        self.dtype = float_dtype(dtype)
        rng = generator(rng)
        shape = (self.in_features, self.out_features)
        weight_init = glorot_uniform() if weight_init is None else weight_init
        bias_init = constant(0.0) if bias_init is None else bias_init
        self._add_parameter("w", shape, self.dtype, weight_init, rng)
        if bias:
            self._add_parameter("b", shape[-1:], self.dtype, bias_init, rng)

    def __repr__(self) -> str:
        return call(self, self.in_features, self.out_features, bias=("b" in self._params, True))

    @property
    def in_channels(self) -> int:
        """`in_features`."""
        return self.in_features

    def channels_after(self, channels: int | None) -> int | None:
        """Return `out_features`."""
        check_channels(self, self.in_features, channels, "features")
        return self.out_features

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return x @ w + b for `x` of shape (N, in_features)."""
        x = float_array(x, "x", "N, features")
        same_dtype(x, "x", self._params["w"], "w")
        self.output_shape(x.shape[1:])
        y: Array = x @ self._params["w"]
        if "b" in self._params:
            y += self._params["b"]
        if training:
            self._kept = x
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill dw = x^T @ dy and db = sum of dy; return dx = dy @ w^T."""
        dy = float_array(dy, "dy", "N, features")
        same_dtype(dy, "dy", self._params["w"], "w")
        x = self._take_kept()
        exact_shape(dy, "dy", (len(x), self.out_features), "the shape of the output")
        np.matmul(x.T, dy, out=self._grads["w"])
        if "b" in self._params:
            np.sum(dy, axis=0, out=self._grads["b"])
        return dy @ self._params["w"].T if need_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (out_features,)."""
        if tuple(input_shape) != (self.in_features,):
            raise ShapeError(
                f"{self!r} takes vectors of shape ({self.in_features},), got {tuple(input_shape)}; "
                "put a Flatten before it for pictures"
            )
        return (self.out_features,)

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return the number of weights."""
        self.output_shape(input_shape)
        return self.in_features * self.out_features


class Flatten(Layer):
    """Each picture as one vector, its numbers in (H, W, C) order.

    Examples
    --------
    >>> nn.Flatten().output_shape((6, 6, 10))
    (360,)
    """

    def __repr__(self) -> str:
        return "Flatten()"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return `x` as (N, H * W * C), without copying."""
        x = float_array(x, "x", None)
        if x.ndim < 2:
            raise ShapeError(f"x must have a batch axis and one more, got shape {x.shape}")
        if training:
            self._kept = x.shape
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return `dy` in the shape of the input."""
        dy = float_array(dy, "dy", "N, features")
        x_shape: Shape = self._take_kept()
        exact_shape(dy, "dy", (x_shape[0], math.prod(x_shape[1:])), "the shape of the output")
        return np.reshape(dy, x_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the product of the axes."""
        return (math.prod(input_shape),)


class Dropout(Layer):
    """In training, zero each number with probability `rate` and scale the others by 1 / (1 - rate).

    Outside training it does nothing.

    Parameters
    ----------
    rate : float
        At least 0, below 1.
    rng : numpy.random.Generator, optional
        Source of the masks; by default unpredictable.

    References
    ----------
    Srivastava et al., "Dropout", 2014, section 10 (the scaling in training, "inverted dropout").

    Examples
    --------
    >>> nn.Dropout(0.5).forward(np.ones((1, 3)))
    array([[1., 1., 1.]])
    """

    def __init__(self, rate: float, *, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.rate = number(rate, "rate", minimum=0, below=1)
        self.rng = generator(rng)

    def __repr__(self) -> str:
        return call(self, self.rate)

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return `x` with some numbers zeroed in training, `x` itself otherwise."""
        x = float_array(x, "x", None)
        if not training:
            return x
        keep = self.rng.random(x.shape, dtype=np.float32) >= self.rate
        self._kept = keep.astype(x.dtype) / x.dtype.type(1 - self.rate)
        y: Array = x * self._kept
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return `dy` where the forward pass kept the number, scaled likewise."""
        dy, scale = float_array(dy, "dy", None), self._take_kept()
        same_dtype(dy, "dy", scale, "x")
        exact_shape(dy, "dy", scale.shape, "the shape of the output")
        return np.asarray(dy * scale)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return tuple(input_shape)
