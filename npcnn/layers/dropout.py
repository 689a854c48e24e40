"""Dropout: in training, numbers are left out at random, so that the network cannot rely on any single one."""

from __future__ import annotations

import numpy as np

from npcnn.functional import batch_parts
from npcnn.functional.checks import exact_shape, float_array, number, same_dtype
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import generator


class Dropout(Layer):
    """In training, zero each number with probability `rate` and scale the others by 1 / (1 - rate).

    Outside training it does nothing.  For a batch in parts, `npcnn.functional.batch_parts`, one number is drawn from
    `rng`, and the mask of each part from that number and the number of the part.

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

    kind = "dropout"
    sums_by_parts = True

    def __init__(self, rate: float, *, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.rate = number(rate, "rate", minimum=0, below=1)
        self.rng = generator(rng)

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return `x` with some numbers zeroed in training, `x` itself otherwise."""
        x = float_array(x, "x", None)
        if not training:
            return x
        keep = self._drawn(x.shape) >= self.rate
        self._kept = keep.astype(x.dtype) / x.dtype.type(1 - self.rate)
        y: Array = x * self._kept
        return y

    def _drawn(self, shape: Shape) -> Array:
        cut = batch_parts.current()
        if cut.is_whole:
            return self.rng.random(shape, dtype=np.float32)
        seed = int(self.rng.integers(2**63))
        drawn = np.empty(shape, np.float32)
        for part, pictures in zip(cut.own, cut.pictures(len(drawn)), strict=True):
            np.random.default_rng([seed, part]).random(dtype=np.float32, out=drawn[pictures])
        return drawn

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return `dy` where the forward pass kept the number, scaled as it was there, else 0."""
        dy, scale = float_array(dy, "dy", None), self._take_kept()
        same_dtype(dy, "dy", scale, "x")
        exact_shape(dy, "dy", scale.shape, "the shape of the output")
        return np.asarray(dy * scale)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return tuple(input_shape)
