"""Two layers of a `Sequential` computed in one go: a convolution and the max pooling behind it.

Nothing of this shows from outside: the layers, their parameters and the numbers that come out are the same.  Only
the output between the two is never written to memory; `npcnn.functional.convolution` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from npcnn import functional
from npcnn.errors import ShapeError
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.convolution import Conv2D
from npcnn.layers.pooling import MaxPool2D


class ConvolutionMaxPooling(Layer):
    """A `Conv2D` and the `MaxPool2D` behind it, whose parameters and gradients stay theirs.

    Parameters
    ----------
    convolution : Conv2D
        One that runs on Toom-Cook.
    pooling : MaxPool2D
        The layer behind it.
    """

    def __init__(self, convolution: Conv2D, pooling: MaxPool2D) -> None:
        super().__init__()
        self.convolution, self.pooling = convolution, pooling
        self._options: dict[str, Any] = {
            "convolution": convolution.window,
            "pooling": {"size": pooling.size, **pooling.window},
            "algorithm": convolution.algorithm,
        }

    def __repr__(self) -> str:
        return f"{self.convolution!r} and {self.pooling!r}"

    def takes(self, x: Any) -> bool:
        """Return whether `x` is fit for both layers.  If not, they say themselves what is wrong, each for itself."""
        if not isinstance(x, np.ndarray) or x.ndim != 4 or x.dtype != self.convolution.dtype:
            return False
        try:
            self.output_shape(x.shape[1:])
        except ShapeError:
            return False
        return True

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (PH, PW, out_channels)."""
        return self.pooling.output_shape(self.convolution.output_shape(input_shape))

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the pooled convolution, and remember where the maxima were."""
        shape = (len(x), *self.output_shape(x.shape[1:]))
        out = (self._buffer("y", shape, x.dtype), self._buffer("argmax", shape, np.int32))
        params, relu = self.convolution.params, self.convolution.activation == "relu"
        y, argmax = functional.conv2d_max_pool2d(x, params["w"], params.get("b"), relu=relu, out=out, **self._options)
        if training:
            self._kept = x, argmax, y if relu else None
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients of the convolution; return dx, or None where it is not needed."""
        x, argmax, relu_output = self._take_kept()
        out = self.convolution.gradient_buffers(x.shape, need_dx)
        dx, _, _ = functional.conv2d_max_pool2d_backward(
            dy,
            argmax,
            x,
            self.convolution.params["w"],
            relu_output=relu_output,
            need_dx=need_dx,
            out=out,
            **self._options,
        )
        return dx


def pairs_in_one_go(layers: Sequence[Layer]) -> dict[int, ConvolutionMaxPooling]:
    """Return the pairs among `layers` that can be computed in one go, by the number of their first layer.

    Only plain `Conv2D` and `MaxPool2D`: a subclass may do something else.

    Examples
    --------
    >>> from npcnn.layers.fusion import pairs_in_one_go
    >>> pairs_in_one_go([nn.Conv2D(3, 64, 5), nn.MaxPool2D(2), nn.Conv2D(64, 10, 5)])
    {0: Conv2D(3, 64, 5) and MaxPool2D(2)}
    """
    return {
        i: ConvolutionMaxPooling(first, second)
        for i, (first, second) in enumerate(pairwise(layers))
        if type(first) is Conv2D and type(second) is MaxPool2D and first.runs_on == "toom_cook"
    }
