"""Softmax and its logarithm as layers: functions of all numbers along the last axis.

They divide and take exponentials, which do not count as multiplications, so they have none.
"""

from __future__ import annotations

from npcnn import functional
from npcnn.errors import ShapeError
from npcnn.functional.exchange import as_array
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import batch_shape


class _AlongTheChannels(Layer):
    """What softmax and its logarithm share: each output depends on all numbers along the last axis."""

    def _function(self, x: Array) -> Array:
        raise NotImplementedError

    def _gradient(self, dy: Array, y: Array) -> Array:
        raise NotImplementedError

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the function of each row; ShapeError if the last axis is the batch."""
        x = as_array(x, "x")
        self.output_shape(batch_shape(x)[1])
        y = self._function(x)
        if training:
            self._kept = y
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return what each number of the input gets from all outputs of its row."""
        return self._gradient(dy, self._take_kept())

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`; ShapeError if it has no axis, since inputs of a batch must not mix."""
        if not input_shape:
            raise ShapeError(f"{self!r} needs an axis beside that of the batch, x of shape (N, ..., classes)")
        return tuple(input_shape)


class Softmax(_AlongTheChannels):
    """Probabilities exp(x) / sum(exp(x)) along the last axis.

    A classifier needs no such layer at its end: `npcnn.functional.softmax_cross_entropy`, `npcnn.train` and
    `npcnn.evaluation` take the scores before it, the logits, and would take the softmax of the softmax.  It is for
    weights inside a network that have to sum to 1, as in attention.

    Examples
    --------
    >>> nn.Softmax()(np.array([[0.0, np.log(3.0)]]))
    array([[0.25, 0.75]])
    """

    kind = "softmax"

    def _function(self, x: Array) -> Array:
        return functional.softmax(x)

    def _gradient(self, dy: Array, y: Array) -> Array:
        return functional.softmax_backward(dy, y)


class LogSoftmax(_AlongTheChannels):
    """Logarithms of the probabilities that `Softmax` gives: x - log(sum(exp(x))) along the last axis.

    Many networks from elsewhere end with it.  Here a classifier needs neither; see `Softmax`.  Since the softmax of
    these logarithms is that of the scores, `npcnn.functional.softmax_cross_entropy` takes them as well.

    Examples
    --------
    >>> nn.LogSoftmax()(np.array([[0.0, 1000.0]]))
    array([[-1000.,     0.]])
    """

    kind = "log_softmax"

    def _function(self, x: Array) -> Array:
        return functional.log_softmax(x)

    def _gradient(self, dy: Array, y: Array) -> Array:
        return functional.log_softmax_backward(dy, y)
