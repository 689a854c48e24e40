"""Activations and their gradients, written as definitions.

Most subtleties lie in the exponentials.  exp overflows beyond about 88 in
float32 and 709 in float64, so sigmoid takes exp of -|x|.  The others lie far
from 0, where infinity times 0 would be NaN and the function has a limit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def relu(x: NDArray[Any]) -> NDArray[Any]:
    """Rectified linear unit, y = max(x, 0); NaN stays NaN.

    Parameters
    ----------
    x : ndarray
        Of any shape.

    Returns
    -------
    y : ndarray
        Shaped like `x`.

    References
    ----------
    Nair & Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", 2010.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return np.where(x < 0, x.dtype.type(0), x)


def relu_backward(dy: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Gradient of `relu`: dx = dy where y > 0, else 0.

    The output tells as much as the input, so the input need not be kept.  At 0, where ReLU has no
    derivative, the gradient is taken to be 0.

    Parameters
    ----------
    dy : ndarray
        The gradient of the loss with respect to `y`.
    y : ndarray, shape of `dy`
        What `relu` returned.

    Returns
    -------
    dx : ndarray, shape of `dy`
        The gradient with respect to the input.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.relu_backward(np.array([5.0, 6.0]), np.array([0.0, 2.0]))
    array([0., 6.])
    """
    return np.where(y > 0, dy, dy.dtype.type(0))


def leaky_relu(x: NDArray[Any], *, slope: float = 0.01) -> NDArray[Any]:
    """ReLU that lets a little through below 0 as well: y = x where x > 0, else slope * x.

    Parameters
    ----------
    x : ndarray
        Of any shape.
    slope : float
        At least 0, where it is `relu`.

    Returns
    -------
    y : ndarray
        Shaped like `x`.

    References
    ----------
    Maas, Hannun & Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", 2013.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.leaky_relu(np.array([-1.0, 0.0, 2.0]), slope=0.25)
    array([-0.25,  0.  ,  2.  ])
    """
    return relu(x) if slope == 0 else np.where(x < 0, slope * x, x)


def leaky_relu_backward(dy: NDArray[Any], y: NDArray[Any], *, slope: float = 0.01) -> NDArray[Any]:
    """Gradient of `leaky_relu`: dx = dy where y > 0, else slope * dy.

    Parameters
    ----------
    dy : ndarray
        The gradient of the loss with respect to `y`.
    y : ndarray, shape of `dy`
        What `leaky_relu` returned: y > 0 exactly where x > 0.
    slope : float
        What `leaky_relu` was called with.

    Returns
    -------
    dx : ndarray, shape of `dy`
        At 0, where there is no derivative, that of the left side.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.leaky_relu_backward(np.array([4.0, 6.0]), np.array([-0.25, 2.0]), slope=0.25)
    array([1., 6.])
    """
    return relu_backward(dy, y) if slope == 0 else np.where(y > 0, dy, slope * dy)


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """Logistic function, y = 1 / (1 + exp(-x)).

    For x < 0 it is written exp(x) / (1 + exp(x)), which is the same and cannot overflow.

    Parameters
    ----------
    x : ndarray
        Of any shape.

    Returns
    -------
    y : ndarray
        Shaped like `x`, from 0 to 1.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.sigmoid(np.array([-1000.0, 0.0, np.log(3.0)]))
    array([0.  , 0.5 , 0.75])
    """
    e = np.exp(-np.abs(x))
    y: NDArray[Any] = np.where(x < 0, e, x.dtype.type(1)) / (1 + e)
    return y


def sigmoid_backward(dy: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Gradient of `sigmoid`: dx = dy y (1 - y).

    Parameters
    ----------
    dy : ndarray
        The gradient of the loss with respect to `y`.
    y : ndarray, shape of `dy`
        What `sigmoid` returned.

    Returns
    -------
    dx : ndarray, shape of `dy`

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.sigmoid_backward(np.array([16.0, 16.0]), np.array([0.5, 0.75]))
    array([4., 3.])
    """
    dx: NDArray[Any] = dy * y * (1 - y)
    return dx


def tanh(x: NDArray[Any]) -> NDArray[Any]:
    """Hyperbolic tangent, y = (exp(x) - exp(-x)) / (exp(x) + exp(-x)).

    Parameters
    ----------
    x : ndarray
        Of any shape.

    Returns
    -------
    y : ndarray
        Shaped like `x`, from -1 to 1.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.tanh(np.array([-1000.0, 0.0, np.log(3.0)]))
    array([-1. ,  0. ,  0.8])
    """
    y: NDArray[Any] = np.tanh(x)
    return y


def tanh_backward(dy: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Gradient of `tanh`: dx = dy (1 - y^2).

    Parameters
    ----------
    dy : ndarray
        The gradient of the loss with respect to `y`.
    y : ndarray, shape of `dy`
        What `tanh` returned.

    Returns
    -------
    dx : ndarray, shape of `dy`

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.tanh_backward(np.array([1.0, 1.0]), np.array([0.0, 0.5]))
    array([1.  , 0.75])
    """
    dx: NDArray[Any] = dy * (1 - y * y)
    return dx


def silu(x: NDArray[Any]) -> NDArray[Any]:
    """Sigmoid linear unit, y = x sigmoid(x); also called swish.

    Parameters
    ----------
    x : ndarray
        Of any shape.

    Returns
    -------
    y : ndarray
        Shaped like `x`.

    References
    ----------
    Ramachandran, Zoph & Le, "Searching for Activation Functions", 2017.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.silu(np.array([-np.inf, -1.0, 0.0, 1.0])).round(3)
    array([ 0.   , -0.269,  0.   ,  0.731])
    """
    return _vanishing(x, sigmoid(x))


def silu_backward(dy: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """Gradient of `silu`: dx = dy (s + x s (1 - s)) with s = sigmoid(x).

    Parameters
    ----------
    dy : ndarray
        The gradient of the loss with respect to `y`.
    x : ndarray, shape of `dy`
        What `silu` was called with; the output would not do, since `silu` takes most values below 0 twice.

    Returns
    -------
    dx : ndarray, shape of `dy`

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.silu_backward(np.array([2.0, 2.0]), np.array([0.0, np.inf]))
    array([1., 2.])
    """
    s = sigmoid(x)
    dx: NDArray[Any] = dy * (s + _vanishing(x, s * (1 - s)))
    return dx


def gelu(x: NDArray[Any], *, approximate: str = "none") -> NDArray[Any]:
    """Gaussian error linear unit, y = x P(x).

    P is the normal distribution function, P(x) = (1 + erf(x / sqrt(2))) / 2: the share of a normal distribution that
    lies below x.  With approximate="tanh", P(x) = (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3), which differs
    by less than 0.0005.

    Parameters
    ----------
    x : ndarray
        Of any shape.
    approximate : "none" or "tanh"
        Which of the two forms.

    Returns
    -------
    y : ndarray
        Shaped like `x`.

    References
    ----------
    Hendrycks & Gimpel, "Gaussian Error Linear Units (GELUs)", 2016.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.array([-np.inf, -1.0, 0.0, 1.0])
    >>> reference.gelu(x).round(4)
    array([ 0.    , -0.1587,  0.    ,  0.8413])
    >>> reference.gelu(x, approximate="tanh").round(4)
    array([ 0.    , -0.1588,  0.    ,  0.8412])
    """
    share, _ = _gelu_share(x, approximate)
    return _vanishing(x, share)


def gelu_backward(dy: NDArray[Any], x: NDArray[Any], *, approximate: str = "none") -> NDArray[Any]:
    """Gradient of `gelu`: dx = dy (P(x) + x P'(x)).

    Exactly, P'(x) = exp(-x^2 / 2) / sqrt(2 pi), the density of the normal distribution; of the tanh form,
    P'(x) = (1 - tanh(u)^2) / 2 * sqrt(2 / pi) (1 + 3 * 0.044715 x^2).

    Parameters
    ----------
    dy : ndarray
        The gradient of the loss with respect to `y`.
    x : ndarray, shape of `dy`
        What `gelu` was called with.
    approximate : "none" or "tanh"
        What `gelu` was called with.

    Returns
    -------
    dx : ndarray, shape of `dy`

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.gelu_backward(np.array([2.0, 2.0]), np.array([0.0, np.inf]))
    array([1., 2.])
    """
    share, slope_times_x = _gelu_share(x, approximate)
    dx: NDArray[Any] = dy * (share + slope_times_x)
    return dx


def _gelu_share(x: NDArray[Any], approximate: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return P(x) and x P'(x)."""
    with np.errstate(over="ignore"):  # x^2 and x^3 may be infinite
        if approximate == "none":
            erf = np.vectorize(math.erf, otypes=[x.dtype])
            density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
            return (1 + erf(x / math.sqrt(2))) / 2, _vanishing(x, density)
        c = math.sqrt(2 / math.pi)
        t = np.tanh(c * (x + 0.044715 * x**3))
        return (1 + t) / 2, _vanishing(c * x * (1 + 3 * 0.044715 * x**2), (1 - t * t) / 2)


def _vanishing(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Return a * b, but 0 where b has vanished, however large a is."""
    product: NDArray[Any] = np.multiply(a, b, out=np.zeros_like(b), where=b != 0)
    return product
