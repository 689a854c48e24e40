"""Networks by name: that of the article, the tutorial that README.md introduces, and two to compare it with.

All three classify 24 x 24 colour pictures into ten classes and differ in the second convolution:

=====================  ===================================================================
`cifar_plain`          5 x 5, 64 channels
`cifar_separable`      5 x 1 then 1 x 5, 64 channels each, a ReLU between; the article's
`cifar_multichannel`   1 x 1, 3 x 3, 5 x 5 and 7 x 7 side by side, 64 channels each
=====================  ===================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npcnn import weights
from npcnn.errors import WeightsError
from npcnn.functional.toom_cook import Algorithm
from npcnn.layers import (
    Concat,
    Conv2D,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    Sequential,
    SpatiallySeparableConv2D,
)


def cifar_plain(
    *, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32, algorithm: Algorithm = "auto"
) -> Sequential:
    """Return the network whose second convolution is 5 x 5.

    Parameters
    ----------
    rng : numpy.random.Generator, optional
        Source of the first weights.
    dtype : float32 or float64
        Of the parameters and pictures.
    algorithm : "auto", "im2col" or "toom_cook"
        Of all convolutions; see `npcnn.functional.toom_cook`.

    Examples
    --------
    >>> nn.models.cifar_plain().output_shape((24, 24, 3))
    (10,)
    """
    options = _options(rng, dtype, algorithm)
    second = Conv2D(64, 64, 5, activation="relu", **options)
    return _cifar(second, 64, options)


def cifar_separable(
    *, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32, algorithm: Algorithm = "auto"
) -> Sequential:
    """Return the article's network, whose second convolution is 5 x 1 then 1 x 5.

    Parameters
    ----------
    rng, dtype, algorithm
        As `cifar_plain`.

    Examples
    --------
    >>> nn.models.cifar_separable().multiplications((24, 24, 3))
    9239040
    """
    options = _options(rng, dtype, algorithm)
    second = SpatiallySeparableConv2D(64, 64, 5, activation="relu", **options)
    return _cifar(second, 64, options)


def cifar_multichannel(
    *, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32, algorithm: Algorithm = "auto"
) -> Sequential:
    """Return the network whose second convolution has kernels of four sizes side by side.

    Parameters
    ----------
    rng, dtype, algorithm
        As `cifar_plain`.

    Examples
    --------
    >>> nn.models.cifar_multichannel().output_shape((24, 24, 3))
    (10,)
    """
    options = _options(rng, dtype, algorithm)
    branches = (Conv2D(64, 64, size, activation="relu", **options) for size in (1, 3, 5, 7))
    return _cifar(Concat(*branches), 256, options)


MODELS = {
    "separable": cifar_separable,
    "plain": cifar_plain,
    "multichannel": cifar_multichannel,
}


def load(path: str | Path) -> Sequential:
    """Return the network of this module whose weights a file holds, with those weights.

    Parameters
    ----------
    path : str or Path
        A file that `save` of one of the networks wrote.

    Raises
    ------
    OSError
        If the file cannot be read.
    WeightsError
        If it is damaged, or fits none of the networks in `MODELS`.  Any other network is loaded by building it and
        calling its `load`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.safetensors")
    >>> nn.models.cifar_plain().save(path)
    >>> nn.models.load(path).children["2_conv2d"]
    Conv2D(64, 64, 5, activation='relu')
    """

    def shapes_and_dtypes(arrays: dict[str, Any]) -> dict[str, Any]:
        return {name: (array.shape, array.dtype) for name, array in arrays.items()}

    stored = weights.read(path)
    for model in MODELS.values():
        for dtype in (np.float32, np.float64):
            net = model(dtype=dtype)
            if shapes_and_dtypes(net.arrays) == shapes_and_dtypes(stored):
                weights.assign(net.arrays, stored, str(path))
                return net
    raise WeightsError(
        f"{path} holds none of the networks {', '.join(MODELS)}, but {', '.join(stored) or 'nothing'}; build the "
        "network it was saved from and call its load"
    )


def _options(rng: np.random.Generator | None, dtype: DTypeLike, algorithm: Algorithm) -> dict[str, Any]:
    return {"rng": np.random.default_rng() if rng is None else rng, "dtype": dtype, "algorithm": algorithm}


def _cifar(second: Layer, second_channels: int, options: dict[str, Any]) -> Sequential:
    return Sequential(
        Conv2D(3, 64, 5, activation="relu", **options),
        MaxPool2D(2, padding="same"),
        second,
        MaxPool2D(2, padding="same"),
        Conv2D(second_channels, 10, 5, activation="relu", **options),
        GlobalAvgPool2D(),
    )
