"""From pictures to vectors."""

from __future__ import annotations

import math

import numpy as np

from npcnn.errors import ShapeError
from npcnn.functional.checks import boolean, exact_shape, float_array
from npcnn.layers.base import Array, Layer, Shape


class Flatten(Layer):
    """Each picture as one vector, its numbers in (H, W, C) order.

    Parameters
    ----------
    channels_first : bool
        Whether they stand in (C, H, W) order instead, as in networks that were made for pictures (N, C, H, W).

    Examples
    --------
    >>> nn.Flatten().output_shape((6, 6, 10))
    (360,)
    >>> x = np.array([[1.0, 10.0], [2.0, 20.0]]).reshape(1, 1, 2, 2)          # two pixels of two channels
    >>> nn.Flatten()(x), nn.Flatten(channels_first=True)(x)
    (array([[ 1., 10.,  2., 20.]]), array([[ 1.,  2., 10., 20.]]))
    """

    kind = "flatten"

    def __init__(self, channels_first: bool = False) -> None:
        super().__init__()
        self.channels_first = boolean(channels_first, "channels_first")
        if self.channels_first:
            self.kind = "other"  # code that looks inside a network takes a Flatten to keep the order

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return `x` as (N, H * W * C), without copying if the order stays."""
        x = float_array(x, "x", None)
        if x.ndim < 2:
            raise ShapeError(f"x must have a batch axis and one more, got shape {x.shape}")
        if training:
            self._kept = x.shape
        if self.channels_first:
            x = np.moveaxis(x, -1, 1)
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return `dy` in the shape of the input."""
        dy = float_array(dy, "dy", "N, features")
        x_shape: Shape = self._take_kept()
        exact_shape(dy, "dy", (x_shape[0], math.prod(x_shape[1:])), "the shape of the output")
        if self.channels_first:
            dx = dy.reshape(x_shape[0], x_shape[-1], *x_shape[1:-1])
            return np.ascontiguousarray(np.moveaxis(dx, 1, -1))
        return np.reshape(dy, x_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the product of the axes."""
        return (math.prod(input_shape),)
