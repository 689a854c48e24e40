"""Activations: functions of one number, applied to each.

Of what they compute, only products count as multiplications: comparisons, exponentials and divisions do not, so most
of these layers have none.
"""

from __future__ import annotations

import math

import numpy as np

from npcnn import functional
from npcnn.functional.checks import exact_shape, float_array, number, one_of, same_dtype
from npcnn.functional.exchange import as_array
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import batch_shape


class _Activation(Layer):
    """What they share: any shape with a batch axis goes in, and the same comes out.

    Each says which function it is, and its gradient, which gets the output if that tells the slope, else the input.
    """

    _needs_input = False

    def _function(self, x: Array, out: Array) -> Array:
        raise NotImplementedError

    def _gradient(self, dy: Array, kept: Array, out: Array) -> Array:
        raise NotImplementedError

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the function of each number of `x`."""
        x = as_array(x, "x")
        batch_shape(x)
        y = self._function(x, self._buffer("y", x.shape, x.dtype))
        if training:
            self._kept = x if self._needs_input else y
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return `dy` times the slope at each number of the input."""
        kept = self._take_kept()
        return self._gradient(dy, kept, self._dx_array(kept.shape, kept.dtype))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return `input_shape`."""
        return tuple(input_shape)


class ReLU(_Activation):
    """Rectified linear unit, max(x, 0).

    After a convolution, ``activation="relu"`` of that layer does the same for free.

    Examples
    --------
    >>> nn.ReLU().forward(np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    kind = "relu"

    def _function(self, x: Array, out: Array) -> Array:
        return functional.relu(x, out=out)

    def _gradient(self, dy: Array, kept: Array, out: Array) -> Array:
        return functional.relu_backward(dy, kept, out=out)


class LeakyReLU(_Activation):
    """ReLU that lets a little through below 0 as well: x where x > 0, else slope * x.

    A unit that gives less than 0 for every picture still gets a gradient, and may come back.

    Parameters
    ----------
    slope : float
        At least 0; with 0 it is a `ReLU`.  PyTorch's default is the same; Keras's (there called negative_slope) is 0.3.

    Raises
    ------
    TypeError, ValueError
        If `slope` is not a finite number of at least 0.

    References
    ----------
    Maas, Hannun & Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", 2013.

    Examples
    --------
    >>> nn.LeakyReLU(0.25).forward(np.array([[-1.0, 2.0]]))
    array([[-0.25,  2.  ]])
    """

    kind = "leaky_relu"

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = number(slope, "slope", minimum=0)

    def _function(self, x: Array, out: Array) -> Array:
        return functional.leaky_relu(x, slope=self.slope, out=out)

    def _gradient(self, dy: Array, kept: Array, out: Array) -> Array:
        return functional.leaky_relu_backward(dy, kept, slope=self.slope, out=out)

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return one for each number, that by the slope."""
        return math.prod(input_shape)


class Rescale(_Activation):
    """Every number times a fixed factor.

    Before a softmax, a factor below 1 keeps the probabilities of a new network near one another.

    Parameters
    ----------
    factor : float
        What to multiply by; it is not trained.

    Raises
    ------
    TypeError, ValueError
        If `factor` is not a finite number.

    Examples
    --------
    >>> nn.Rescale(0.25).forward(np.array([[-1.0, 2.0]]))
    array([[-0.25,  0.5 ]])
    """

    kind = "rescale"

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = number(factor, "factor")

    def _function(self, x: Array, out: Array) -> Array:
        y: Array = np.multiply(float_array(x, "x", None), self.factor, out=out)
        return y

    def _gradient(self, dy: Array, kept: Array, out: Array) -> Array:
        dy = float_array(dy, "dy", None)
        same_dtype(dy, "dy", kept, "the output")
        exact_shape(dy, "dy", kept.shape, "the shape of the output")
        dx: Array = np.multiply(dy, self.factor, out=out)
        return dx

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return one for each number."""
        return math.prod(input_shape)


class GELU(_Activation):
    """Gaussian error linear unit: x times the normal distribution function of x, a ReLU without a kink.

    Parameters
    ----------
    approximate : "none" or "tanh"
        "none" is the exact function, x / 2 * (1 + erf(x / sqrt(2))).  "tanh" takes tanh(u) in place of the erf, with
        u = sqrt(2 / pi) (x + 0.044715 x^3): it differs by less than 0.0005 and takes less time.  A network that was
        trained with one should be run with it.

    Raises
    ------
    ValueError
        If `approximate` is neither.

    References
    ----------
    Hendrycks & Gimpel, "Gaussian Error Linear Units (GELUs)", 2016.

    Examples
    --------
    >>> x = np.array([[-1.0, 0.0, 1.0]])
    >>> nn.GELU()(x).round(4), nn.GELU("tanh")(x).round(4)
    (array([[-0.1587,  0.    ,  0.8413]]), array([[-0.1588,  0.    ,  0.8412]]))
    """

    kind = "gelu"
    _needs_input = True

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = one_of(approximate, "approximate", ("none", "tanh"))

    def _function(self, x: Array, out: Array) -> Array:
        return functional.gelu(x, approximate=self.approximate, out=out)

    def _gradient(self, dy: Array, kept: Array, out: Array) -> Array:
        return functional.gelu_backward(dy, kept, approximate=self.approximate, out=out)

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return those of the formula for each number; erf, tanh and divisions are not counted.

        The exact form takes one, with the bracket; the algorithm spends another, for x / sqrt(2).  The tanh form takes
        five: two in x^3, those by 0.044715 and by sqrt(2 / pi), and that with the bracket.
        """
        if self.approximate == "tanh":
            return 5 * math.prod(input_shape)
        return (2 if spent else 1) * math.prod(input_shape)


class SiLU(_Activation):
    """Sigmoid linear unit, also called swish: x * sigmoid(x), a ReLU without a kink.

    References
    ----------
    Ramachandran, Zoph & Le, "Searching for Activation Functions", 2017.

    Examples
    --------
    >>> nn.SiLU()(np.array([[-1.0, 0.0, 1.0]])).round(3)
    array([[-0.269,  0.   ,  0.731]])
    """

    kind = "silu"
    _needs_input = True

    def _function(self, x: Array, out: Array) -> Array:
        return functional.silu(x, out=out)

    def _gradient(self, dy: Array, kept: Array, out: Array) -> Array:
        return functional.silu_backward(dy, kept, out=out)

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return one for each number, that by its sigmoid."""
        return math.prod(input_shape)


class Sigmoid(_Activation):
    """Logistic function, 1 / (1 + exp(-x)): from 0 to 1.

    Examples
    --------
    >>> nn.Sigmoid()(np.array([[-1000.0, 0.0, np.log(3.0)]]))
    array([[0.  , 0.5 , 0.75]])
    """

    kind = "sigmoid"

    def _function(self, x: Array, out: Array) -> Array:
        return functional.sigmoid(x, out=out)

    def _gradient(self, dy: Array, kept: Array, out: Array) -> Array:
        return functional.sigmoid_backward(dy, kept, out=out)


class Tanh(_Activation):
    """Hyperbolic tangent: from -1 to 1, odd, and of slope 1 at 0.

    Examples
    --------
    >>> nn.Tanh()(np.array([[-1000.0, 0.0, np.log(3.0)]])).round(12)
    array([[-1. ,  0. ,  0.8]])
    """

    kind = "tanh"

    def _function(self, x: Array, out: Array) -> Array:
        return functional.tanh(x, out=out)

    def _gradient(self, dy: Array, kept: Array, out: Array) -> Array:
        return functional.tanh_backward(dy, kept, out=out)
