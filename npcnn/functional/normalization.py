"""Batch and layer normalisation.

Batch normalisation takes each channel's mean and variance over all pixels of the batch.  They are summed around a point
near the mean, in pieces, and kept in float64: channels far from 0 lose no digits.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import exact_shape, float_array, number, one_of, same_dtype
from npcnn.functional.outputs import output_array
from npcnn.kernels import normalization as kernels

__all__ = ["batch_norm", "batch_norm_backward", "batch_statistics", "layer_norm", "layer_norm_backward"]

Array: TypeAlias = NDArray[Any]
Doubles: TypeAlias = NDArray[np.float64]
Activation: TypeAlias = Literal["relu", "gelu"]

SAMPLE = 64  # pixels whose mean the sums of `batch_statistics` are formed around
LARGEST_SHIFT = 16  # of the mean from that of the sample, squared, in variances


def batch_statistics(x: Array) -> tuple[Doubles, Doubles]:
    """Mean and variance of each channel, over all pixels of the batch.

    Parameters
    ----------
    x : ndarray, shape (..., C), float32 or float64

    Returns
    -------
    mean, variance : ndarray, shape (C,), float64
        The variance is the mean of (x - mean)^2, not the unbiased estimate.

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `x` is not a float array of rank 2 or more, or has no pixel or no channel.

    Examples
    --------
    >>> nn.functional.batch_statistics(np.array([[1.0, 5.0], [3.0, 5.0]]))
    (array([2., 5.]), array([1., 0.]))
    """
    x = _rows_of_channels(x, "x")
    rows = x.reshape(-1, x.shape[-1])
    if not len(rows):
        raise ShapeError(f"x must have at least one pixel, to take a mean of, got shape {x.shape}")
    # The mean of some pixels: what is summed is small then, wherever the channel lies.
    centre = rows[:: max(len(rows) // SAMPLE, 1)].mean(0, dtype=np.float64).astype(x.dtype)
    mean, variance = _moments_around(centre, rows)
    if ((mean - centre) ** 2 > LARGEST_SHIFT * variance).any():
        # The sample was not like the rest, and most of the digits of the variance were lost in the difference.
        mean, variance = _moments_around(mean.astype(x.dtype), rows)
    return mean, np.maximum(variance, 0)


def channel_sums(rows: Array) -> Doubles:
    """Return the sum over all rows, added up in pieces.

    Parameters
    ----------
    rows : ndarray, shape (rows, C), float32 or float64

    Examples
    --------
    >>> from npcnn.functional.normalization import channel_sums
    >>> channel_sums(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    """
    parts = np.empty((kernels.PARTS, 2, rows.shape[1]))
    kernels.batch_statistics(rows, np.zeros(rows.shape[1], rows.dtype), parts)
    sums: Doubles = parts[:, 0].sum(0)
    return sums


def _moments_around(centre: Array, rows: Array) -> tuple[Doubles, Doubles]:
    """Return mean and variance by way of the sums of d = rows - centre and of d^2: mean(d^2) - mean(d)^2."""
    parts = np.empty((kernels.PARTS, 2, rows.shape[1]))
    kernels.batch_statistics(rows, centre, parts)
    shift, squares = parts.sum(0) / len(rows)
    return centre + shift, squares - shift**2


def batch_norm(
    x: Array,
    scale: Array | None = None,
    shift: Array | None = None,
    *,
    mean: Any,
    variance: Any,
    eps: float = 1e-3,
    activation: Activation | None = None,
    out: Array | None = None,
) -> Array:
    """Batch normalisation by given statistics: (x - mean) / sqrt(variance + eps) * scale + shift.

    Parameters
    ----------
    x : ndarray, shape (..., C), float32 or float64
        The channels are the last axis.
    scale, shift : ndarray, shape (C,), the dtype of `x`, optional
        By default 1 and 0.
    mean, variance : ndarray, shape (C,), float32 or float64
        In training those of `x`, from `batch_statistics`; otherwise what was seen in training.
    eps : float
        Above 0; keeps a channel that never changes from being divided by 0.
    activation : "relu", "gelu" or None
        What to apply to the result in the same pass over memory; "gelu" is the exact one.
    out : ndarray, optional
        Array to write y into.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        If an argument is not of the form above.

    References
    ----------
    Ioffe & Szegedy, "Batch Normalization", 2015.

    Examples
    --------
    >>> x = np.array([[1.0], [3.0]])
    >>> mean, variance = nn.functional.batch_statistics(x)
    >>> nn.functional.batch_norm(x, mean=mean, variance=variance, eps=1e-12).round(6)
    array([[-1.],
           [ 1.]])
    """
    x = _rows_of_channels(x, "x")
    mean, deviation = _statistics(mean, variance, eps, x)
    scale, shift = _per_channel(scale, "scale", x), _per_channel(shift, "shift", x)
    applied = _applied(activation)
    y = output_array(out, "out", x.shape, x.dtype, inputs=(x, scale, shift))
    table = np.array(_table(x, mean, deviation, scale, shift), x.dtype)
    kernels.batch_norm(x.reshape(-1, x.shape[-1]), table, applied, y.reshape(-1, x.shape[-1]))
    return y


def _table(x: Array, mean: Doubles, deviation: Doubles, scale: Array | None, shift: Array | None) -> list[Any]:
    """Return centre, factor and shift, which give y = (x - centre) * factor + shift in the dtype of `x`."""
    centre = mean.astype(x.dtype)
    factor = (1.0 if scale is None else scale) / deviation
    return [centre, factor, (0.0 if shift is None else shift) - (mean - centre) * factor]


def batch_norm_backward(
    dy: Array,
    x: Array,
    scale: Array | None = None,
    shift: Array | None = None,
    *,
    mean: Any,
    variance: Any,
    eps: float = 1e-3,
    activation: Activation | None = None,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of batch normalisation by the statistics of the batch itself, which depend on x too.

    With z = (x - mean) / sqrt(variance + eps) over n pixels: dshift = sum dy, dscale = sum dy z, and
    dx = scale / sqrt(variance + eps) * (dy - dshift / n - z dscale / n).  With an activation, dy is first taken back
    through it.

    Parameters
    ----------
    dy : ndarray, shape (..., C)
        Gradient of the loss with respect to y.
    x, scale, shift, eps, activation
        What `batch_norm` was called with.
    mean, variance
        What `batch_statistics` returned for `x`.
    out : ndarray, optional
        Array to write dx into.

    Returns
    -------
    dx : ndarray, the shape and dtype of `x`
    dscale, dshift : ndarray, shape (C,), the dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        If an argument is not of the form above.

    Examples
    --------
    >>> x, dy = np.array([[1.0], [3.0]]), np.array([[0.0], [2.0]])
    >>> mean, variance = nn.functional.batch_statistics(x)
    >>> dx, dscale, dshift = nn.functional.batch_norm_backward(dy, x, mean=mean, variance=variance, eps=1e-12)
    >>> np.abs(dx).ravel().round(6), dscale.round(6), dshift
    (array([0., 0.]), array([2.]), array([2.]))
    """
    x, dy = _rows_of_channels(x, "x"), _rows_of_channels(dy, "dy")
    same_dtype(dy, "dy", x, "x")
    exact_shape(dy, "dy", x.shape, "the shape of x")
    mean, deviation = _statistics(mean, variance, eps, x)
    scale, shift = _per_channel(scale, "scale", x), _per_channel(shift, "shift", x)
    applied = _applied(activation)
    dx = output_array(out, "out", x.shape, x.dtype, inputs=(dy, x, scale, shift))
    rows, dy_rows, dx_rows = (array.reshape(-1, x.shape[-1]) for array in (x, dy, dx))
    centre, factor, offset = _table(x, mean, deviation, scale, shift)
    parts = np.empty((kernels.PARTS, 2, x.shape[-1]))
    kernels.batch_norm_sums(dy_rows, rows, np.array([centre, factor, offset], x.dtype), applied, parts, dx_rows)
    dshift, products = parts.sum(0)
    # The sums are around the mean as it was rounded to the dtype of x.
    n, lost = max(len(rows), 1), mean - centre
    dscale = (products - lost * dshift) / deviation
    slope = dscale / (n * deviation)
    table = np.array([centre, factor, offset, dshift / n - lost * slope, slope], x.dtype)
    # The sums have taken dy back through a GELU already, into dx.
    kernels.batch_norm_backward(
        dx_rows if activation == "gelu" else dy_rows, rows, table, activation == "relu", dx_rows
    )
    return dx, dscale.astype(x.dtype), dshift.astype(x.dtype)


def layer_norm(x: Array, scale: Array | None = None, shift: Array | None = None, *, eps: float = 1e-3) -> Array:
    """Layer normalisation: (x - mean) / sqrt(variance + eps) * scale + shift, over the channels of each pixel.

    Parameters
    ----------
    x : ndarray, shape (..., C), float32 or float64
    scale, shift : ndarray, shape (C,), the dtype of `x`, optional
        By default 1 and 0.
    eps : float
        Above 0.

    Returns
    -------
    y : ndarray, the shape and dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        If an argument is not of the form above.

    References
    ----------
    Ba, Kiros & Hinton, "Layer Normalization", 2016.

    Examples
    --------
    >>> nn.functional.layer_norm(np.array([[1.0, 3.0], [30.0, 10.0]]), eps=1e-12).round(6)
    array([[-1.,  1.],
           [ 1., -1.]])
    """
    x = _rows_of_channels(x, "x")
    scale, shift = _per_channel(scale, "scale", x), _per_channel(shift, "shift", x)
    y = _standardised(x, _epsilon(eps))[0]
    if scale is not None:
        y *= scale
    if shift is not None:
        y += shift
    return y


def layer_norm_backward(
    dy: Array, x: Array, scale: Array | None = None, *, eps: float = 1e-3
) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm`.

    With z = (x - mean) / sqrt(variance + eps) and dz = dy scale: dshift = sum dy and dscale = sum dy z over the pixels,
    dx = (dz - mean(dz) - z mean(dz z)) / sqrt(variance + eps) with means over the channels.

    Parameters
    ----------
    dy : ndarray, shape (..., C)
        Gradient of the loss with respect to y.
    x, scale, eps
        What `layer_norm` was called with.

    Returns
    -------
    dx : ndarray, the shape and dtype of `x`
    dscale, dshift : ndarray, shape (C,), the dtype of `x`

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        If an argument is not of the form above.

    Examples
    --------
    >>> dy, x = np.array([[0.0, 2.0]]), np.array([[1.0, 3.0]])
    >>> dx, dscale, dshift = nn.functional.layer_norm_backward(dy, x, eps=1e-12)
    >>> np.abs(dx).round(6), dscale.round(6), dshift
    (array([[0., 0.]]), array([0., 2.]), array([0., 2.]))
    """
    x, dy = _rows_of_channels(x, "x"), _rows_of_channels(dy, "dy")
    same_dtype(dy, "dy", x, "x")
    exact_shape(dy, "dy", x.shape, "the shape of x")
    scale = _per_channel(scale, "scale", x)
    z, deviation = _standardised(x, _epsilon(eps))
    pixels = tuple(range(x.ndim - 1))
    dscale, dshift = (dy * z).sum(pixels), dy.sum(pixels)
    dz = dy if scale is None else dy * scale
    dx: Array = dz - dz.mean(-1, keepdims=True)
    dx -= z * (dz * z).mean(-1, keepdims=True)
    dx /= deviation
    return dx, dscale, dshift


def _rows_of_channels(value: Any, name: str) -> Array:
    x = float_array(value, name, None)
    if x.ndim < 2 or x.shape[-1] == 0:
        raise ShapeError(f"{name} must have shape (..., channels), rank 2 or more and a channel, got {x.shape}")
    return x


def _per_channel(value: Any, name: str, x: Array) -> Array | None:
    if value is None:
        return None
    array = float_array(value, name, "C")
    same_dtype(array, name, x, "x")
    exact_shape(array, name, x.shape[-1:], "one number for each channel of x")
    return array


def _statistics(mean: Any, variance: Any, eps: float, x: Array) -> tuple[Doubles, Doubles]:
    """Return the mean, and the standard deviation to divide by."""
    mean, variance = (float_array(value, name, "C") for value, name in ((mean, "mean"), (variance, "variance")))
    for value, name in ((mean, "mean"), (variance, "variance")):
        exact_shape(value, name, x.shape[-1:], "one number for each channel of x")
    if (variance < 0).any():
        raise ValueError(f"variance must not be negative, got {variance.min():g}")
    return mean.astype(np.float64), np.sqrt(variance.astype(np.float64) + _epsilon(eps))


def _applied(activation: Any) -> int:
    """Return the kernels' number of an activation."""
    if activation is not None:
        one_of(activation, "activation", get_args(Activation))
    return kernels.ACTIVATIONS[activation]


def _epsilon(value: float) -> float:
    eps = number(value, "eps", minimum=0)
    if eps == 0:
        raise ValueError("eps must be above 0: a channel that never changes would be divided by 0")
    return eps


def _standardised(x: Array, eps: float) -> tuple[Array, Array]:
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(-1, keepdims=True) + x.dtype.type(eps))
    return centred / deviation, deviation
