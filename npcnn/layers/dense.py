"""The fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npcnn import functional
from npcnn.errors import ShapeError
from npcnn.functional.checks import boolean, float_array, integer, same_dtype
from npcnn.functional.windows import WindowGeometry, window_geometry
from npcnn.initializers import Initializer, constant, glorot_uniform
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import float_dtype, generator
from npcnn.layers.gradients import gradients_by_parts, part_of


class Dense(Layer):
    """Fully connected layer, y = x @ w + b.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the input and output vectors.
    bias : bool
        Whether to add a bias.
    rng, dtype
        As `Conv2D`.
    weight_init, bias_init : Initializer, optional
        By default Glorot's uniform, and 0.

    Examples
    --------
    >>> nn.Dense(2, 3).forward(np.zeros((5, 2), np.float32)).shape
    (5, 3)
    """

    kind = "dense"
    sums_by_parts = True

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
        self.bias = boolean(bias, "bias")
        rng = generator(rng)
        shape = (self.in_features, self.out_features)
        weight_init = glorot_uniform() if weight_init is None else weight_init
        bias_init = constant(0.0) if bias_init is None else bias_init
        self.add_parameter("w", shape, weight_init, dtype=self.dtype, rng=rng)
        if self.bias:
            self.add_parameter("b", shape[-1:], bias_init, dtype=self.dtype, rng=rng)
        self.in_channels, self.out_channels = shape

    def channels_after(self, channels: int | None) -> int | None:
        """Return `out_features`."""
        if channels not in (None, self.in_features):
            raise ShapeError(f"{self!r} takes {self.in_features} features, but {channels} come in")
        return self.out_features

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return x @ w + b for `x` of shape (N, in_features)."""
        x = float_array(x, "x", "N, features")
        same_dtype(x, "x", self._params["w"], "w")
        self.output_shape(x.shape[1:])
        out = self._buffer("y", (len(x), self.out_features), self.dtype)
        y = functional.linear(x, self._params["w"], self._params.get("b"), out=out)
        if training:
            self._kept = x
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill dw = x^T @ dy and db = sum of dy; return dx = dy @ w^T."""
        x = self._take_kept()
        w = self._params["w"]

        def of(pictures: slice | None, out: Any) -> None:
            of_dy, of_x = part_of(dy, pictures), part_of(x, pictures)
            functional.linear_backward(of_dy, of_x, w, need_dx=need_dx, out=out)

        return gradients_by_parts(self, dy, x, need_dx, of)

    def windows(self, input_shape: Shape) -> WindowGeometry:
        """Return the window of a 1 x 1 convolution of a one-pixel picture, which is what the layer computes."""
        return window_geometry((1, 1), 1)

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
