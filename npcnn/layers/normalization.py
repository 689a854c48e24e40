"""Batch and layer normalisation: layers that keep the numbers behind them near 0, with a spread of 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from npcnn import functional
from npcnn.functional import batch_parts
from npcnn.functional.checks import boolean, integer, number, same_dtype
from npcnn.functional.exchange import as_array
from npcnn.functional.normalization import Activation, merged_statistics
from npcnn.initializers import constant
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import activation_name, batch_shape, float_dtype


class _Normalization(Layer):
    """What both have: a scale and a shift for each channel, which can be switched off."""

    def __init__(self, channels: int, eps: float, scale: bool, shift: bool, dtype: DTypeLike) -> None:
        super().__init__()
        self.channels = self.in_channels = self.out_channels = integer(channels, "channels", minimum=1)
        self.eps = number(eps, "eps", minimum=np.finfo(np.float64).tiny)
        self.scale, self.shift = boolean(scale, "scale"), boolean(shift, "shift")
        self.dtype = float_dtype(dtype)
        for name, wanted, start in (("scale", self.scale, 1.0), ("shift", self.shift, 0.0)):
            if wanted:
                self.add_parameter(name, (self.channels,), constant(start), dtype=self.dtype)

    def _checked(self, x: Array) -> Array:
        x = as_array(x, "x")
        self.output_shape(batch_shape(x)[1])
        same_dtype(x, "x", np.empty(0, self.dtype), "the layer")
        return x

    def _set_gradients(self, dscale: Array, dshift: Array) -> None:
        for name, gradient in (("scale", dscale), ("shift", dshift)):
            if name in self._grads:
                self._grads[name][...] = gradient

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        self.channels_after(input_shape[-1] if input_shape else 0)
        return tuple(input_shape)

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return one for each number: the factor 1 / sqrt(variance + eps) * scale is formed once."""
        return int(np.prod(self.output_shape(input_shape)))


class BatchNorm(_Normalization):
    """Batch normalisation: each channel gets mean 0 and variance 1 over the batch, then a scale and a shift.

    In training, mean and variance are those of the batch, over all its pixels; running ones are learnt along the way,
    as `state`, and used otherwise: what the layer does to one picture then depends on that picture alone.

    Parameters
    ----------
    channels : int
        Length of the last axis.
    momentum : float
        Of the running statistics, from 0 to below 1: running = momentum * running + (1 - momentum) * batch.  That is
        TensorFlow's and Keras's convention, whose default is 0.99.  PyTorch's ``momentum=0.1`` is 0.9 here: there it
        is the share of the batch.  (PyTorch also learns the unbiased variance, n / (n - 1) times as large.)
    eps : float
        Added to the variance, above 0; 1e-3 in Keras, 1e-5 in PyTorch.
    scale, shift : bool
        Whether there are such parameters.  (Keras calls them gamma and beta.)  A convolution before the layer needs no
        bias: it would be taken off again.
    activation : "relu" or None
        "relu" applies it in the same pass over memory.
    dtype : float32 or float64

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        If an argument is not of the form above.

    References
    ----------
    Ioffe & Szegedy, "Batch Normalization", 2015.

    Examples
    --------
    >>> layer = nn.BatchNorm(2, dtype=np.float64)
    >>> layer(np.array([[1.0, 50.0], [3.0, 70.0]]), training=True).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.state["mean"]                              # on its way from 0 to 2 and 60
    array([0.02, 0.6 ])
    """

    kind = "batch_norm"
    sums_by_parts = True

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.99,
        eps: float = 1e-3,
        scale: bool = True,
        shift: bool = True,
        activation: str | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(channels, eps, scale, shift, dtype)
        self.activation: Activation | None = activation_name(activation)
        self.momentum = number(momentum, "momentum", minimum=0, below=1)
        self.add_state("mean", (self.channels,), constant(0.0), dtype=self.dtype)
        self.add_state("variance", (self.channels,), constant(1.0), dtype=self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return `x` normalised: by the statistics of the batch in training, else by the running ones."""
        return self._normalized(x, training, self.activation)

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients of scale and shift; return dx, which comes through the statistics of the batch too."""
        return self._taken_back(dy, self.activation)

    def _normalized(self, x: Array, training: bool, activation: Activation | None) -> Array:
        """Do what `forward` does, with another activation."""
        x = self._checked(x)
        if training:
            mean, variance = batch_parts.current().total(
                lambda pictures: np.stack(functional.batch_statistics(x[pictures])), len(x), merged_statistics
            )
            for name, batch in (("mean", mean), ("variance", variance)):
                running = self._state[name]
                running[...] = self.momentum * running + (1 - self.momentum) * batch
            self._kept = x, mean, variance
        else:
            mean, variance = self._state["mean"], self._state["variance"]
        return functional.batch_norm(
            x,
            self._params.get("scale"),
            self._params.get("shift"),
            mean=mean,
            variance=variance,
            eps=self.eps,
            activation=activation,
            out=self._buffer("y", x.shape, x.dtype),
        )

    def _taken_back(self, dy: Array, activation: Activation | None) -> Array:
        """Do what `backward` does, after `_normalized`."""
        x, mean, variance = self._take_kept()
        dx, dscale, dshift = functional.batch_norm_backward(
            dy,
            x,
            self._params.get("scale"),
            self._params.get("shift"),
            mean=mean,
            variance=variance,
            eps=self.eps,
            activation=activation,
            out=self._dx_array(x.shape, x.dtype),
            cut=batch_parts.current(),
        )
        self._set_gradients(dscale, dshift)
        return dx


class LayerNorm(_Normalization):
    """Layer normalisation: the channels of each pixel get mean 0 and variance 1, then a scale and a shift.

    It does the same in training and otherwise, and one picture does not depend on the others.

    Parameters
    ----------
    channels : int
        Length of the last axis.
    eps : float
        Added to the variance, above 0.
    scale, shift : bool
        Whether there are such parameters.
    dtype : float32 or float64

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        If an argument is not of the form above.

    References
    ----------
    Ba, Kiros & Hinton, "Layer Normalization", 2016.

    Examples
    --------
    >>> nn.LayerNorm(2, dtype=np.float64)(np.array([[1.0, 3.0], [70.0, 50.0]])).round(3)
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    kind = "layer_norm"
    sums_by_parts = True

    def __init__(
        self, channels: int, *, eps: float = 1e-3, scale: bool = True, shift: bool = True, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(channels, eps, scale, shift, dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return `x` normalised over its last axis."""
        x = self._checked(x)
        if training:
            self._kept = x
        return functional.layer_norm(x, self._params.get("scale"), self._params.get("shift"), eps=self.eps)

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients of scale and shift; return dx."""
        x, scale = self._take_kept(), self._params.get("scale")
        cut = batch_parts.current()
        if cut.is_whole or np.shape(dy) != x.shape:  # which is refused there
            dx, dscale, dshift = functional.layer_norm_backward(dy, x, scale, eps=self.eps)
            self._set_gradients(dscale, dshift)
            return dx
        dx = np.empty_like(x)

        def of_part(pictures: slice) -> tuple[Array, ...]:
            dx[pictures], dscale, dshift = functional.layer_norm_backward(
                dy[pictures], x[pictures], scale, eps=self.eps
            )
            gradients = {"scale": dscale, "shift": dshift}
            return tuple(gradients[name] for name in self._grads)

        cut.add_up(of_part, len(x), into=tuple(self._grads.values()))
        return dx
