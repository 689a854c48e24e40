"""Activations, with their gradients.

The gradient functions take what they need least: the output y where it tells the slope, as for `relu`, `sigmoid` and
`tanh`, so that the input need not be kept; the input x for `gelu` and `silu`, which take most values twice.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

from npcnn.functional.checks import number, one_of
from npcnn.functional.outputs import gradient_arrays, input_and_output
from npcnn.kernels import activations as kernels

__all__ = [
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "tanh",
    "tanh_backward",
]

Array: TypeAlias = NDArray[Any]


def relu(x: Array, *, out: Array | None = None) -> Array:
    """Rectified linear unit, y = max(x, 0), of an array of any shape.

    Parameters
    ----------
    x : ndarray, float32 or float64
        Any shape.  NaN stays NaN.
    out : ndarray, optional
        Array to write y into; it may be `x` itself, but not overlap a part of it.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ValueError
        If `x` is not a float32 or float64 array, or `out` overlaps it without being it.

    Examples
    --------
    >>> nn.functional.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    x, y = input_and_output(x, out)
    kernels.relu(x.reshape(-1), y.reshape(-1))
    return y


def relu_backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `relu` with respect to its input: dy where y > 0, else 0.

    Parameters
    ----------
    dy : ndarray, float32 or float64
        Gradient of the loss with respect to y.
    y : ndarray, the shape and dtype of `dy`
        What `relu` returned.  (It tells as much as the input would: y > 0 exactly where x > 0.)
    out : ndarray, optional
        Array to write dx into; it may be `dy` or `y` itself, but not overlap a part of either.

    Returns
    -------
    dx : ndarray, the shape and dtype of `dy`
        At the kink x = 0, where a ReLU has no derivative, it is 0 by convention.

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        If `dy` is not a float32 or float64 array, `y` is not like it, or `out` overlaps one of them without being it.

    Examples
    --------
    >>> nn.functional.relu_backward(np.array([5.0, 5.0]), np.array([0.0, 2.0]))
    array([0., 5.])
    """
    dy, y, dx = gradient_arrays(dy, y, "y", out)
    kernels.relu_backward(dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx


def leaky_relu(x: Array, *, slope: float = 0.01, out: Array | None = None) -> Array:
    """ReLU that lets a little through below 0 as well: x where x > 0, else slope * x.

    Parameters
    ----------
    x, out
        As for `relu`.
    slope : float
        At least 0; with 0 it is `relu`.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ValueError
        As `relu`, or if `slope` is not a finite number of at least 0.

    Examples
    --------
    >>> nn.functional.leaky_relu(np.array([-1.0, 0.0, 2.0]), slope=0.25)
    array([-0.25,  0.  ,  2.  ])
    """
    x, y = input_and_output(x, out)
    kernels.leaky_relu(x.reshape(-1), number(slope, "slope", minimum=0), y.reshape(-1))
    return y


def leaky_relu_backward(dy: Array, y: Array, *, slope: float = 0.01, out: Array | None = None) -> Array:
    """Gradient of `leaky_relu` with respect to its input: dy where y > 0, else slope * dy.

    Parameters
    ----------
    dy, out
        As for `relu_backward`.
    y : ndarray, the shape and dtype of `dy`
        What `leaky_relu` returned; y > 0 exactly where x > 0.
    slope : float
        What `leaky_relu` was called with.

    Returns
    -------
    dx : ndarray, the shape and dtype of `dy`
        At the kink x = 0 it is slope * dy by convention.

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        As `relu_backward`, or if `slope` is not a finite number of at least 0.

    Examples
    --------
    >>> nn.functional.leaky_relu_backward(np.array([4.0, 6.0]), np.array([-0.25, 2.0]), slope=0.25)
    array([1., 6.])
    """
    dy, y, dx = gradient_arrays(dy, y, "y", out)
    kernels.leaky_relu_backward(dy.reshape(-1), y.reshape(-1), number(slope, "slope", minimum=0), dx.reshape(-1))
    return dx


def gelu(x: Array, *, approximate: str = "none", out: Array | None = None) -> Array:
    """Gaussian error linear unit: x P(x), P the normal distribution function, (1 + erf(x / sqrt(2))) / 2.

    With approximate="tanh", P(x) is (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2: y differs by less than 0.0005 and
    costs less.  Networks that were trained with one form should be run with it.

    Parameters
    ----------
    x, out
        As for `relu`.
    approximate : "none" or "tanh"
        Which of the two forms; the names are PyTorch's.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ValueError
        As `relu`, or if `approximate` is neither.

    Examples
    --------
    >>> x = np.array([-np.inf, -1.0, 0.0, 1.0])
    >>> nn.functional.gelu(x).round(4)
    array([ 0.    , -0.1587,  0.    ,  0.8413])
    >>> nn.functional.gelu(x, approximate="tanh").round(4)
    array([ 0.    , -0.1588,  0.    ,  0.8412])
    """
    x, y = input_and_output(x, out)
    kernels.gelu(x.reshape(-1), _is_tanh_form(approximate), y.reshape(-1))
    return y


def gelu_backward(dy: Array, x: Array, *, approximate: str = "none", out: Array | None = None) -> Array:
    """Gradient of `gelu` with respect to its input: dy (P(x) + x P'(x)).

    Parameters
    ----------
    dy, out
        As for `relu_backward`.
    x, approximate
        What `gelu` was called with.

    Returns
    -------
    dx : ndarray, the shape and dtype of `dy`

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        As `relu_backward`, or if `approximate` is neither.

    Examples
    --------
    >>> nn.functional.gelu_backward(np.array([2.0, 2.0]), np.array([0.0, np.inf]))
    array([1., 2.])
    """
    dy, x, dx = gradient_arrays(dy, x, "x", out)
    kernels.gelu_backward(dy.reshape(-1), x.reshape(-1), _is_tanh_form(approximate), dx.reshape(-1))
    return dx


def silu(x: Array, *, out: Array | None = None) -> Array:
    """Sigmoid linear unit, also called swish: x / (1 + exp(-x)).

    Parameters
    ----------
    x, out
        As for `relu`.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ValueError
        As `relu`.

    Examples
    --------
    >>> nn.functional.silu(np.array([-np.inf, -1.0, 0.0, 1.0])).round(3)
    array([ 0.   , -0.269,  0.   ,  0.731])
    """
    x, y = input_and_output(x, out)
    kernels.silu(x.reshape(-1), y.reshape(-1))
    return y


def silu_backward(dy: Array, x: Array, *, out: Array | None = None) -> Array:
    """Gradient of `silu` with respect to its input: dy (s + x s (1 - s)) with s = sigmoid(x).

    Parameters
    ----------
    dy, out
        As for `relu_backward`.
    x : ndarray, the shape and dtype of `dy`
        What `silu` was called with.

    Returns
    -------
    dx : ndarray, the shape and dtype of `dy`

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        As `relu_backward`.

    Examples
    --------
    >>> nn.functional.silu_backward(np.array([2.0, 2.0]), np.array([0.0, np.inf]))
    array([1., 2.])
    """
    dy, x, dx = gradient_arrays(dy, x, "x", out)
    kernels.silu_backward(dy.reshape(-1), x.reshape(-1), dx.reshape(-1))
    return dx


def sigmoid(x: Array, *, out: Array | None = None) -> Array:
    """Logistic function, 1 / (1 + exp(-x)): from 0 to 1, and never an overflow.

    Parameters
    ----------
    x, out
        As for `relu`.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ValueError
        As `relu`.

    Examples
    --------
    >>> nn.functional.sigmoid(np.array([-1000.0, 0.0, np.log(3.0)]))
    array([0.  , 0.5 , 0.75])
    """
    x, y = input_and_output(x, out)
    kernels.sigmoid(x.reshape(-1), y.reshape(-1))
    return y


def sigmoid_backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `sigmoid` with respect to its input: dy y (1 - y).

    Parameters
    ----------
    dy, out
        As for `relu_backward`.
    y : ndarray, the shape and dtype of `dy`
        What `sigmoid` returned.

    Returns
    -------
    dx : ndarray, the shape and dtype of `dy`

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        As `relu_backward`.

    Examples
    --------
    >>> nn.functional.sigmoid_backward(np.array([16.0, 16.0]), np.array([0.5, 0.75]))
    array([4., 3.])
    """
    dy, y, dx = gradient_arrays(dy, y, "y", out)
    kernels.sigmoid_backward(dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx


def tanh(x: Array, *, out: Array | None = None) -> Array:
    """Hyperbolic tangent: from -1 to 1.

    Parameters
    ----------
    x, out
        As for `relu`.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ValueError
        As `relu`.

    Examples
    --------
    >>> nn.functional.tanh(np.array([-1000.0, 0.0, np.log(3.0)])).round(12)
    array([-1. ,  0. ,  0.8])
    """
    x, y = input_and_output(x, out)
    kernels.tanh(x.reshape(-1), y.reshape(-1))
    return y


def tanh_backward(dy: Array, y: Array, *, out: Array | None = None) -> Array:
    """Gradient of `tanh` with respect to its input: dy (1 - y^2).

    Parameters
    ----------
    dy, out
        As for `relu_backward`.
    y : ndarray, the shape and dtype of `dy`
        What `tanh` returned.

    Returns
    -------
    dx : ndarray, the shape and dtype of `dy`

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        As `relu_backward`.

    Examples
    --------
    >>> nn.functional.tanh_backward(np.array([1.0, 1.0]), np.array([0.0, 0.5]))
    array([1.  , 0.75])
    """
    dy, y, dx = gradient_arrays(dy, y, "y", out)
    kernels.tanh_backward(dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx


def _is_tanh_form(approximate: Any) -> bool:
    return one_of(approximate, "approximate", ("none", "tanh")) == "tanh"
