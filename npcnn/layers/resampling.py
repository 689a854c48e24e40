"""Upsampling as a layer."""

from __future__ import annotations

from npcnn import functional
from npcnn.functional.checks import exact_shape, float_array
from npcnn.functional.exchange import as_array
from npcnn.functional.resampling import Mode, checked_factor, checked_mode, spent_multiplications
from npcnn.functional.windows import IntOrPair
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import batch_shape, picture_shape


class UpSample2D(Layer):
    """Pictures `factor` times as large, by repeating pixels or by lines between them; nothing is learnt.

    Parameters
    ----------
    factor : int or pair of int
        How many times as large, along (height, width).
    mode : "nearest" or "bilinear"
        See `npcnn.functional.upsample2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above.

    Examples
    --------
    >>> nn.UpSample2D(2).output_shape((6, 6, 10))
    (12, 12, 10)
    >>> nn.UpSample2D((1, 3), mode="bilinear")(np.array([0.0, 3.0]).reshape(1, 1, 2, 1)).ravel()
    array([0., 0., 1., 2., 3., 3.])
    """

    kind = "upsample"

    def __init__(self, factor: IntOrPair, mode: Mode = "nearest") -> None:
        super().__init__()
        self.factor, self.mode = factor, checked_mode(mode)
        self._factor = checked_factor(factor)

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`: upsampling keeps them."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the larger pictures."""
        x = as_array(x, "x")
        N, shape = batch_shape(x)
        out = self._buffer("y", (N, *self.output_shape(shape)), x.dtype)
        y = functional.upsample2d(x, self.factor, mode=self.mode, out=out)
        if training:
            self._kept = x.shape
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return what each pixel gets from those that it is part of."""
        dy = float_array(dy, "dy", "N, OH, OW, C")
        x_shape = self._take_kept()
        exact_shape(dy, "dy", (x_shape[0], *self.output_shape(x_shape[1:])), "the shape of the output")
        out = self._dx_array(x_shape, dy.dtype)
        return functional.upsample2d_backward(dy, factor=self.factor, mode=self.mode, out=out)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (H, W, C), H and W times the factor."""
        H, W, C = picture_shape(input_shape, self)
        return H * self._factor[0], W * self._factor[1], C

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return four for each number that is bilinear, by the definition; spent are two along either axis."""
        H, W, C = picture_shape(input_shape, self)
        if spent:
            return spent_multiplications((H, W, C), self._factor, self.mode)
        return 4 * H * self._factor[0] * W * self._factor[1] * C if self.mode == "bilinear" else 0
