"""Cut trained kernels: the best pair of k x 1 and 1 x k convolutions for a k x k convolution that exists already.

`npcnn.models.cifar_separable` is *born* with cut kernels.  Here a network that was trained with whole kernels is cut
afterwards.  Read the weights (KH, KW, C_in, C_out) as a matrix with a row for each (kh, c_in) and a column for each
(kw, c_out).  If that matrix has rank r, it is a sum of r products ::

    w[kh, kw, c, o] = sum_m  vertical[kh, c, m] * horizontal[kw, m, o]

and the convolution by `w` is the one by `vertical`, down the height into r channels, followed by the one by
`horizontal`, along the width.  A trained kernel rarely has a small rank, but the singular value decomposition gives
the matrix of rank r that is closest to it (Eckart & Young), and says how far away it is.  For a pixel the pair costs
``r * (KH * C_in + KW * C_out)`` multiplications instead of ``KH * KW * C_in * C_out``.

References
----------
Jaderberg, Vedaldi & Zisserman, "Speeding up Convolutional Neural Networks with Low Rank Expansions", 2014, section 2
(their scheme 2).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import float_array, integer, pair, shown
from npcnn.layers import Concat, Conv1D, Conv2D, Layer, Sequential

Array = NDArray[Any]
# What `cut_network` takes apart, by kind.
CONTAINERS: dict[str, type[Sequential | Concat]] = {"sequential": Sequential, "concat": Concat}


class Cut(NamedTuple):
    """What was done to one convolution.

    Attributes
    ----------
    name : str
        Where it is in the network, as in the names of its parameters.
    rank : int
        Channels between the two halves.
    full_rank : int
        The rank that gives the kernel exactly.
    error : float
        Norm of what the kernel lost, as a share of its norm; from 0 to 1.
    """

    name: str
    rank: int
    full_rank: int
    error: float


def singular_values(w: Array) -> Array:
    """Return the singular values of a kernel read as a (KH C_in) x (KW C_out) matrix, largest first.

    Parameters
    ----------
    w : ndarray, shape (KH, KW, C_in, C_out), float32 or float64
        Weights of a convolution.

    Returns
    -------
    ndarray, shape (min(KH * C_in, KW * C_out),), float64

    Examples
    --------
    The blur of an image editor is an outer product, so one singular value is enough; a diagonal needs all three.

    >>> blur = np.outer([1.0, 2, 1], [1, 2, 1]).reshape(3, 3, 1, 1)
    >>> nn.factorize.singular_values(blur).round(6).tolist()
    [6.0, 0.0, 0.0]
    >>> nn.factorize.singular_values(np.eye(3).reshape(3, 3, 1, 1)).round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    return np.asarray(np.linalg.svd(_matrix(w), compute_uv=False))


def relative_error(w: Array, rank: int) -> float:
    """Return how far a kernel is from the closest one of a given rank: ||w - w_r|| / ||w||, from 0 to 1.

    For a kernel that is all zeros it is 0.

    Examples
    --------
    >>> round(nn.factorize.relative_error(np.eye(3).reshape(3, 3, 1, 1), 1), 6)   # (2 / 3) ** 0.5
    0.816497
    """
    squares = singular_values(w) ** 2
    rank = _checked_rank(rank, len(squares))
    total = squares.sum()
    return float(np.sqrt(squares[rank:].sum() / total)) if total else 0.0


def cut_kernel(w: Array, rank: int) -> tuple[Array, Array]:
    """Return the pair of 1-D kernels whose product is closest to `w`.

    Parameters
    ----------
    w : ndarray, shape (KH, KW, C_in, C_out), float32 or float64
        Weights of a convolution.
    rank : int
        Channels between the two, from 1 to min(KH * C_in, KW * C_out).

    Returns
    -------
    vertical : ndarray, shape (KH, C_in, rank), the dtype of `w`
        Of the convolution along the height.
    horizontal : ndarray, shape (KW, rank, C_out), the dtype of `w`
        Of the convolution along the width.  The two share each singular value in equal parts.

    Raises
    ------
    ShapeError, DTypeError, ValueError
        If `w` is not of that form, or `rank` is out of range.

    Examples
    --------
    >>> vertical, horizontal = nn.factorize.cut_kernel(np.outer([1.0, 2, 1], [1, 2, 1]).reshape(3, 3, 1, 1), 1)
    >>> np.outer(vertical, horizontal).round(6)
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    KH, KW, C_in, C_out = np.shape(float_array(w, "w", "KH, KW, C_in, C_out"))
    left, values, right = np.linalg.svd(_matrix(w), full_matrices=False)
    rank = _checked_rank(rank, len(values))
    roots = np.sqrt(values[:rank])
    vertical = (left[:, :rank] * roots).reshape(KH, C_in, rank)
    horizontal = np.moveaxis((roots[:, np.newaxis] * right[:rank]).reshape(rank, KW, C_out), 0, 1)
    return np.ascontiguousarray(vertical, dtype=w.dtype), np.ascontiguousarray(horizontal, dtype=w.dtype)


def cut_convolution(layer: Conv2D, rank: int) -> Sequential:
    """Return the pair of `Conv1D` that comes closest to a `Conv2D`.

    Stride, padding, dilation, bias and activation are the layer's; nothing is between the two.  Its weights are
    copied, so the layer stays as it is.

    Parameters
    ----------
    layer : Conv2D
        The trained convolution.
    rank : int
        Channels between the two.

    Returns
    -------
    Sequential
        Of two `Conv1D`, along the height, then the width.

    Raises
    ------
    TypeError, ValueError
        If `layer` is not a Conv2D or has groups, or `rank` is out of range.

    Examples
    --------
    >>> nn.factorize.cut_convolution(nn.Conv2D(64, 64, 5, activation="relu"), 32)
    Sequential(
        Conv1D(64, 32, 5, axis='height', bias=False),
        Conv1D(32, 64, 5, axis='width', activation='relu'),
    )
    """
    if not isinstance(layer, Conv2D):
        raise TypeError(f"layer must be a Conv2D, got {shown(layer)}")
    _refuse_groups(layer)
    w = layer.params["w"]
    vertical, horizontal = cut_kernel(w, rank)
    KH, KW, C_in, C_out = w.shape
    b = layer.params.get("b")
    along_height, along_width = _options_by_axis(layer)
    return Sequential(
        Conv1D(C_in, rank, KH, axis="height", bias=False, weight_init=_given(vertical), **along_height),
        Conv1D(
            rank,
            C_out,
            KW,
            axis="width",
            bias=b is not None,
            activation=layer.activation,
            weight_init=_given(horizontal),
            bias_init=None if b is None else _given(b),
            **along_width,
        ),
    )


def cut_network(net: Layer, rank: int | Mapping[str, int]) -> tuple[Layer, list[Cut]]:
    """Return a copy of a network with its k x k convolutions cut, and the error of each.

    Parameters
    ----------
    net : Layer
        The trained network; it stays as it is.  Its `Conv2D` layers without groups are looked for in each
        `Sequential` and `Concat` inside it.
    rank : int or mapping of str to int
        One rank for every convolution whose pair costs fewer multiplications than its kernel, or a rank for each one
        that is to be cut, by name: ``{"2_conv2d": 32}``.

    Returns
    -------
    net : Layer
        The copy; what was not cut is copied as it was.
    cuts : list of Cut
        What was cut, in the order of the forward pass.

    Raises
    ------
    TypeError, ValueError
        If a rank is out of range, or a name is not that of a `Conv2D` without groups in the network.

    Examples
    --------
    >>> net = nn.models.cifar_plain(rng=np.random.default_rng(0))
    >>> cut, cuts = nn.factorize.cut_network(net, {"2_conv2d": 64})
    >>> net.multiplications((24, 24, 3)), cut.multiplications((24, 24, 3))
    (18086400, 9239040)
    >>> [(kernel.name, kernel.rank, kernel.full_rank) for kernel in cuts]
    [('2_conv2d', 64, 320)]
    """
    if not isinstance(net, Layer):
        raise TypeError(f"net must be a Layer, got {shown(net)}")
    names = {layer: name for name, layer in net.walk(into=CONTAINERS)}
    found = {name: layer for layer, name in names.items() if type(layer) is Conv2D and layer.groups == 1}
    if isinstance(rank, Mapping):
        unknown = [name for name in rank if name not in found]
        if unknown:
            raise ValueError(
                f"rank names {unknown[0]!r}, which is no Conv2D of the network without groups; it has {list(found)}"
            )
        ranks = dict(rank)
    else:
        one = integer(rank, "rank", minimum=1)
        ranks = {name: one for name, layer in found.items() if is_cheaper(layer, one)}
    cuts: list[Cut] = []

    def replaced(layer: Layer) -> Layer:
        name = names[layer]
        if name in ranks:
            w = layer.params["w"]
            cuts.append(Cut(name, ranks[name], len(singular_values(w)), relative_error(w, ranks[name])))
            return cut_convolution(found[name], ranks[name])
        if layer.kind in CONTAINERS:
            return CONTAINERS[layer.kind](*map(replaced, layer.children.values()))
        return copy.deepcopy(layer)

    return replaced(net), cuts


def is_cheaper(layer: Conv2D, rank: int) -> bool:
    """Return whether a pair of this rank costs fewer multiplications for a pixel than the convolution.

    Raises
    ------
    ValueError
        If the layer has groups.

    Examples
    --------
    >>> nn.factorize.is_cheaper(nn.Conv2D(3, 64, 5), 14), nn.factorize.is_cheaper(nn.Conv2D(3, 64, 5), 15)
    (True, False)
    """
    _refuse_groups(layer)
    KH, KW, C_in, C_out = layer.params["w"].shape
    fits = rank <= min(KH * C_in, KW * C_out)
    return bool(fits and rank * (KH * C_in + KW * C_out) < KH * KW * C_in * C_out)


def _refuse_groups(layer: Conv2D) -> None:
    if layer.groups > 1:
        raise ValueError(f"layer must have one group, got {shown(layer)}; cut a convolution of each of its groups")


def _matrix(w: Array) -> Array:
    """Return a kernel as a matrix of rows (kh, c_in) and columns (kw, c_out), in float64."""
    w = float_array(w, "w", "KH, KW, C_in, C_out")
    KH, KW, C_in, C_out = w.shape
    if 0 in w.shape:
        raise ShapeError(f"w must have no axis of length 0, got shape {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError("w must be finite, got NaN or infinity in it; a network with such weights cannot be cut")
    return w.astype(np.float64).transpose(0, 2, 1, 3).reshape(KH * C_in, KW * C_out)


def _checked_rank(rank: int, full_rank: int) -> int:
    rank = integer(rank, "rank", minimum=1)
    if rank > full_rank:
        raise ValueError(f"rank must be at most {full_rank}, which gives this kernel exactly; got {rank}")
    return rank


def _options_by_axis(layer: Conv2D) -> list[dict[str, Any]]:
    """Return how the layer's kernel moves along the height, and along the width."""
    strides = pair(layer.stride, "stride", minimum=1)
    dilations = pair(layer.dilation, "dilation", minimum=1)
    paddings = layer.padding if isinstance(layer.padding, tuple | list) else (layer.padding, layer.padding)
    # Toom-Cook may be possible for a kernel, but not for one of its halves.
    algorithm = "im2col" if layer.algorithm == "im2col" else "auto"
    return [
        {
            "stride": strides[i],
            "dilation": dilations[i],
            "padding": paddings[i],
            "dtype": layer.dtype,
            "algorithm": algorithm,
        }
        for i in (0, 1)
    ]


def _given(value: Array) -> Callable[..., Array]:
    """Return an initializer that gives `value`."""
    return lambda shape, rng, dtype: value
