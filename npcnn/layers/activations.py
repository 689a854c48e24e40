"""Activations: functions of one number, applied to each."""

from __future__ import annotations

from npcnn import functional
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import batch_shape


class ReLU(Layer):
    """Rectified linear unit, max(x, 0).

    After a convolution, ``activation="relu"`` of that layer does the same for free.

    Examples
    --------
    >>> nn.ReLU().forward(np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    kind = "relu"

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return max(x, 0)."""
        batch_shape(x)
        y = functional.relu(x, out=self._buffer("y", x.shape, x.dtype))
        if training:
            self._kept = y
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dy where the output was positive, else 0."""
        y = self._take_kept()
        return functional.relu_backward(dy, y, out=self._buffer("dx", y.shape, y.dtype))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return tuple(input_shape)
