"""First values of weights and biases.

An initializer is a function ``(shape, rng, dtype) -> array``; the functions
here make one.  Weights are laid out (..., C_in, C_out), so `fan_in`, the numbers
that flow into one output, is the product of all axes but the last.  That holds
for convolutions with groups, too, whose C_in are the input channels of a group.

Values are drawn in float64 and rounded to the dtype asked for, so that a
float32 and a float64 network with the same seed start from the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import float_array, number, shown

# In quotes, because looking at numpy.random imports it, a sixth of the time `import npcnn` takes.
Initializer: TypeAlias = "Callable[[tuple[int, ...], np.random.Generator, DTypeLike], NDArray[np.floating[Any]]]"


def truncated_normal(sd: float, mean: float = 0.0) -> Initializer:
    """Make a normal distribution, drawn again where a value falls outside mean +- 2 sd, as in TensorFlow.

    Parameters
    ----------
    sd : float
        Standard deviation before truncation; that of the result is 0.88 times as large.
    mean : float
        Mean.

    Returns
    -------
    Initializer

    Raises
    ------
    ValueError
        If `sd` is negative or a value is not finite.

    Examples
    --------
    >>> w = nn.initializers.truncated_normal(0.1)((3, 3, 1, 64), np.random.default_rng(0), np.float32)
    >>> w.shape, bool(abs(w).max() <= 0.2)
    ((3, 3, 1, 64), True)
    """
    sd, mean = number(sd, "sd", minimum=0), number(mean, "mean")

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        values = rng.standard_normal(shape)
        while (outside := np.abs(values) > 2).any():
            values[outside] = rng.standard_normal(int(outside.sum()))
        return (mean + sd * values).astype(dtype)

    return draw


def he_normal() -> Initializer:
    """Make a normal distribution of variance 2 / fan_in, which keeps the variance of a signal through ReLUs.

    References
    ----------
    He et al., "Delving Deep into Rectifiers", 2015, section 2.2.

    Examples
    --------
    >>> w = nn.initializers.he_normal()((3, 3, 8, 64), np.random.default_rng(0), np.float64)
    >>> round(float(w.var() * 3 * 3 * 8), 1)
    2.0
    """

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        _check_weights("he_normal", shape)
        fan_in = math.prod(shape[:-1])
        return (math.sqrt(2 / fan_in) * rng.standard_normal(shape)).astype(dtype)

    return draw


def glorot_uniform() -> Initializer:
    """Make a uniform distribution of variance 2 / (fan_in + fan_out).

    fan_out is the product of all axes but the last but one.  For a convolution with groups that is all its output
    channels, as in PyTorch, though an input flows only into those of its group.

    References
    ----------
    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    2010, equation 16.

    Examples
    --------
    >>> w = nn.initializers.glorot_uniform()((2, 4), np.random.default_rng(0), np.float64)
    >>> bool(abs(w).max() <= 1)                          # sqrt(6 / (2 + 4))
    True
    """

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        _check_weights("glorot_uniform", shape)
        taps = math.prod(shape[:-2])
        limit = math.sqrt(6 / (taps * (shape[-2] + shape[-1])))
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return draw


def fan_in_uniform() -> Initializer:
    """Make a uniform distribution from -1 / sqrt(fan_in) to 1 / sqrt(fan_in), PyTorch's default.

    ``torch.nn.Conv2d`` and ``torch.nn.Linear`` start so, weights and biases: there it is written
    ``kaiming_uniform_(a=sqrt(5))``.  Its variance, 1 / (3 fan_in), is a sixth of what `he_normal` has.  A bias has no
    fan_in of its own here; start it at 0 with `constant`.

    References
    ----------
    LeCun, Bottou, Orr & Mueller, "Efficient BackProp", 1998, section 4.6, whose distribution is sqrt(3) times as wide.

    Examples
    --------
    >>> w = nn.initializers.fan_in_uniform()((2, 2, 4, 8), np.random.default_rng(0), np.float64)
    >>> bool(abs(w).max() <= 0.25)                       # 1 / sqrt(2 * 2 * 4)
    True
    """

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        _check_weights("fan_in_uniform", shape)
        limit = 1 / math.sqrt(math.prod(shape[:-1]))
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return draw


def identity(others: Initializer) -> Initializer:
    """Let the first outputs of a convolution be its inputs, and draw the other filters from `others`.

    Output i is input i as long as there is one, so what a layer knows reaches the next from the first step on.  In
    every filter so made a 1 stands in the middle; where the middle is between two taps, as in a kernel of 2 x 2, at the
    one before it, which is where SAME padding puts the pixel itself.

    Parameters
    ----------
    others : Initializer
        Of the filters beyond the inputs; called for all, so that they are the ones it would have made alone.

    Raises
    ------
    TypeError
        If `others` is not a function.

    References
    ----------
    Zagoruyko & Komodakis, "DiracNets: Training Very Deep Neural Networks Without Skip-Connections", 2017.

    Examples
    --------
    >>> start = nn.initializers.identity(nn.initializers.he_normal())
    >>> convolution = nn.Conv2D(2, 3, 3, weight_init=start, bias=False)
    >>> x = np.arange(32, dtype=np.float32).reshape(1, 4, 4, 2)
    >>> bool((convolution(x)[..., :2] == x).all())
    True
    """
    if not callable(others):
        raise TypeError(f"others must be an initializer, such as he_normal(), got {shown(others)}")

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        _check_weights("identity", shape)
        w = np.array(others(shape, rng, dtype))
        *taps, C_in, C_out = shape
        same = np.arange(min(C_in, C_out))
        w[..., same] = 0
        w[tuple((length - 1) // 2 for length in taps)][same, same] = 1
        return w

    return draw


def whitening(x: NDArray[np.floating[Any]], *, eps: float = 5e-4) -> Initializer:
    """Make the filters that whiten patches of pictures: their outputs are uncorrelated, with variance 1.

    Neighbouring pixels are nearly alike, which slows learning down.  The filters are the eigenvectors of the covariance
    of all patches, each divided by sqrt(eigenvalue + eps), the largest eigenvalue first; then the same with the other
    sign, for a ReLU or GELU lets only one side through.  The layer must have as many filters: twice the numbers of a
    patch, 24 for 2 x 2 pixels of 3 channels.  Its weights can stay as they are (``lr_factor`` 0).

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C), float32 or float64
        Pictures as the network takes them, standardised: the covariance is taken about 0.  Some thousands are enough.
    eps : float
        Added to the eigenvalues, so that directions in which patches hardly differ are not blown up.

    Returns
    -------
    Initializer
        For a convolution of any size with bias or without; it draws nothing.

    Raises
    ------
    DTypeError, ShapeError, TypeError, ValueError
        If `x` is not such an array or holds no picture, or `eps` is not above 0; by the initializer, if the weights
        have another number of channels or filters, or are larger than the pictures.

    References
    ----------
    Page, "How to Train Your ResNet 8: Bag of Tricks", 2019 (patch whitening).

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((8, 6, 6, 1))
    >>> x[:, 1:] += x[:, :-1]                            # now a pixel has to do with the one above it
    >>> layer = nn.Conv2D(1, 4, (2, 1), padding="valid", bias=False, dtype=np.float64,
    ...                   weight_init=nn.initializers.whitening(x))
    >>> y = layer(x).reshape(-1, 4)[:, :2]
    >>> (y.T @ y / len(y)).round(2) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """
    x = float_array(x, "x", "N, H, W, C")
    if x.size == 0:
        raise ShapeError(f"x must hold at least one picture of at least one pixel, got shape {x.shape}")
    eps = number(eps, "eps", minimum=np.finfo(np.float64).tiny)

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        _check_weights("whitening", shape)
        fan_in = math.prod(shape[:-1])
        if len(shape) != 4 or shape[2] != x.shape[3] or shape[0] > x.shape[1] or shape[1] > x.shape[2]:
            raise ShapeError(f"whitening of pictures {x.shape} makes weights (KH, KW, {x.shape[3]}, n), got {shape}")
        if shape[3] != 2 * fan_in:
            raise ShapeError(
                f"whitening makes twice as many filters as there are numbers in a patch, 2 * {fan_in}; got {shape[3]}"
            )
        eigenvalues, eigenvectors = np.linalg.eigh(_patch_covariance(x, shape[:2]))
        # An eigenvector may come with either sign: its largest number is made positive.
        largest = np.abs(eigenvectors).argmax(axis=0)
        eigenvectors *= np.sign(eigenvectors[largest, np.arange(fan_in)])
        filters = (eigenvectors / np.sqrt(np.maximum(eigenvalues, 0) + eps))[:, ::-1]
        return np.concatenate([filters, -filters], axis=1).reshape(shape).astype(dtype)

    return draw


def constant(value: float) -> Initializer:
    """Put one value everywhere.

    Examples
    --------
    >>> nn.initializers.constant(0.1)((2,), np.random.default_rng(0), np.float64)
    array([0.1, 0.1])
    """
    value = number(value, "value")

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> NDArray[Any]:
        return np.full(shape, value, dtype)

    return draw


def _patch_covariance(x: NDArray[Any], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the mean over all patches of the product of each two of their numbers, in the order (KH, KW, C)."""
    patches = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    count, fan_in = math.prod(patches.shape[:3]), math.prod(patches.shape[3:])
    covariance = np.zeros((fan_in, fan_in))
    for of_one_picture in patches:  # all patches of some thousand pictures would take hundreds of megabytes
        rows = of_one_picture.reshape(-1, fan_in).astype(np.float64)
        covariance += rows.T @ rows
    return covariance / count


def _check_weights(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or 0 in shape:
        raise ShapeError(
            f"{name} is for weights of shape (..., C_in, C_out) without empty axes, got {shape}; "
            "use constant for biases"
        )
