"""From pictures to vectors."""

from __future__ import annotations

import math

import numpy as np

from npcnn.errors import ShapeError
from npcnn.functional.checks import exact_shape, float_array
from npcnn.layers.base import Array, Layer, Shape


class Flatten(Layer):
    """Each picture as one vector, its numbers in (H, W, C) order.

    Examples
    --------
    >>> nn.Flatten().output_shape((6, 6, 10))
    (360,)
    """

    kind = "flatten"

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
