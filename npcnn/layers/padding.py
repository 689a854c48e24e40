"""Zero padding as a layer."""

from __future__ import annotations

from npcnn import functional
from npcnn.functional.checks import exact_shape, float_array
from npcnn.functional.exchange import as_array
from npcnn.functional.padding import Sides, checked_sides
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import batch_shape, picture_shape


class ZeroPad2D(Layer):
    """Pictures with a border of zeros.

    A convolution has padding built in, which is faster; see `npcnn.functional.conv2d`.

    Parameters
    ----------
    padding : int, (height, width) or ((top, bottom), (left, right))
        Pixels of the border.

    Raises
    ------
    TypeError, ValueError
        If it is not of the form above.

    Examples
    --------
    >>> nn.ZeroPad2D(((0, 1), (2, 2))).output_shape((6, 6, 10))
    (7, 10, 10)
    """

    kind = "zero_pad"

    def __init__(self, padding: Sides) -> None:
        super().__init__()
        self.padding = padding
        self._sides = checked_sides(padding)

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`: padding keeps them."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return `x` in its border."""
        x = as_array(x, "x")
        N, shape = batch_shape(x)
        y = functional.zero_pad2d(x, self.padding, out=self._buffer("y", (N, *self.output_shape(shape)), x.dtype))
        if training:
            self._kept = x.shape
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return `dy` without the border."""
        dy = float_array(dy, "dy", "N, OH, OW, C")
        x_shape = self._take_kept()
        exact_shape(dy, "dy", (x_shape[0], *self.output_shape(x_shape[1:])), "the shape of the output")
        return functional.zero_pad2d_backward(dy, padding=self.padding, out=self._dx_array(x_shape, dy.dtype))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (top + H + bottom, left + W + right, C)."""
        H, W, C = picture_shape(input_shape, self)
        return H + sum(self._sides[0]), W + sum(self._sides[1]), C
