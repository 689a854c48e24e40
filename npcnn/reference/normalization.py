"""Batch and layer normalisation, with their gradients, as their definitions.

Both take off a mean and divide by a standard deviation; they differ in what these are taken over.  Batch
normalisation has one pair for each channel, over all pixels of the batch; layer normalisation one for each pixel,
over its channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["batch_norm", "batch_norm_backward", "batch_statistics", "layer_norm", "layer_norm_backward"]


def batch_statistics(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and variance of each channel over all other axes.

    mean[c]     = 1/n sum_i x[i, c]
    variance[c] = 1/n sum_i (x[i, c] - mean[c])^2           n pixels i in all

    Parameters
    ----------
    x : ndarray, shape (..., C)

    Returns
    -------
    mean, variance : ndarray, shape (C,)

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.batch_statistics(np.array([[1.0, 5.0], [3.0, 5.0]]))
    (array([2., 5.]), array([1., 0.]))
    """
    axes = tuple(range(x.ndim - 1))
    return x.mean(axes), x.var(axes)


def batch_norm(
    x: NDArray[Any],
    scale: NDArray[Any],
    shift: NDArray[Any],
    *,
    mean: NDArray[Any],
    variance: NDArray[Any],
    eps: float,
) -> NDArray[Any]:
    """Y = (x - mean) / sqrt(variance + eps) * scale + shift, channel by channel.

    Parameters
    ----------
    x : ndarray, shape (..., C)
    scale, shift, mean, variance : ndarray, shape (C,)
    eps : float

    Returns
    -------
    y : ndarray
        Shaped like `x`.

    References
    ----------
    Ioffe & Szegedy, "Batch Normalization", 2015, algorithm 1.

    Examples
    --------
    >>> from npcnn import reference
    >>> x = np.array([[1.0], [3.0]])
    >>> mean, variance = reference.batch_statistics(x)
    >>> reference.batch_norm(x, np.ones(1), np.zeros(1), mean=mean, variance=variance, eps=0.0)
    array([[-1.],
           [ 1.]])
    """
    y: NDArray[Any] = (x - mean) / np.sqrt(variance + eps) * scale + shift
    return y


def batch_norm_backward(
    dy: NDArray[Any], x: NDArray[Any], scale: NDArray[Any], *, eps: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradient of `batch_norm` of a batch by its own statistics, which depend on x too.

    With z = (x - mean) / sqrt(variance + eps) and n pixels,

    dshift = sum dy,   dscale = sum dy z
    dx = scale / sqrt(variance + eps) * (dy - dshift / n - z * dscale / n)

    The second term comes through the mean, the third through the variance.

    Parameters
    ----------
    dy, x : ndarray, shape (..., C)
    scale : ndarray, shape (C,)
    eps : float

    Returns
    -------
    dx, dscale, dshift : ndarray
        Shaped like `x`, `scale` and `scale`.

    Examples
    --------
    With two pixels there is nothing left to change: y is -1 and 1 whatever x is.

    >>> from npcnn import reference
    >>> dx, dscale, dshift = reference.batch_norm_backward(
    ...     np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]), np.ones(1), eps=0.0
    ... )
    >>> dx.ravel(), dscale, dshift
    (array([0., 0.]), array([2.]), array([2.]))
    """
    axes = tuple(range(x.ndim - 1))
    n = np.prod(x.shape[:-1])
    mean, variance = batch_statistics(x)
    deviation = np.sqrt(variance + eps)
    z = (x - mean) / deviation
    dshift, dscale = dy.sum(axes), (dy * z).sum(axes)
    return scale / deviation * (dy - dshift / n - z * dscale / n), dscale, dshift


def layer_norm(x: NDArray[Any], scale: NDArray[Any], shift: NDArray[Any], *, eps: float) -> NDArray[Any]:
    """Y = (x - mean) / sqrt(variance + eps) * scale + shift, mean and variance those of each pixel's channels.

    Parameters
    ----------
    x : ndarray, shape (..., C)
    scale, shift : ndarray, shape (C,)
    eps : float

    Returns
    -------
    y : ndarray
        Shaped like `x`.

    References
    ----------
    Ba, Kiros & Hinton, "Layer Normalization", 2016.

    Examples
    --------
    >>> from npcnn import reference
    >>> reference.layer_norm(np.array([[1.0, 3.0], [30.0, 10.0]]), np.ones(2), np.zeros(2), eps=0.0)
    array([[-1.,  1.],
           [ 1., -1.]])
    """
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    y: NDArray[Any] = (x - mean) / np.sqrt(variance + eps) * scale + shift
    return y


def layer_norm_backward(
    dy: NDArray[Any], x: NDArray[Any], scale: NDArray[Any], *, eps: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradient of `layer_norm`.

    With z = (x - mean) / sqrt(variance + eps) and dz = dy scale,

    dshift = sum dy,   dscale = sum dy z                    over the pixels
    dx = (dz - mean(dz) - z mean(dz z)) / sqrt(variance + eps)    means over the channels

    Parameters
    ----------
    dy, x : ndarray, shape (..., C)
    scale : ndarray, shape (C,)
    eps : float

    Returns
    -------
    dx, dscale, dshift : ndarray
        Shaped like `x`, `scale` and `scale`.

    Examples
    --------
    >>> from npcnn import reference
    >>> dx, dscale, dshift = reference.layer_norm_backward(
    ...     np.array([[0.0, 2.0]]), np.array([[1.0, 3.0]]), np.ones(2), eps=0.0
    ... )
    >>> dx, dscale, dshift
    (array([[0., 0.]]), array([0., 2.]), array([0., 2.]))
    """
    axes = tuple(range(x.ndim - 1))
    deviation = np.sqrt(x.var(-1, keepdims=True) + eps)
    z = (x - x.mean(-1, keepdims=True)) / deviation
    dz = dy * scale
    dx = (dz - dz.mean(-1, keepdims=True) - z * (dz * z).mean(-1, keepdims=True)) / deviation
    return dx, (dy * z).sum(axes), dy.sum(axes)
