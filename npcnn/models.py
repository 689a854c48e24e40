"""Networks by name: that of the article, the tutorial that README.md introduces, two to compare it with, three more.

Those of the article are for 24 x 24 pictures, but take others too, and differ in the second convolution:

=====================  ===================================================================
`cifar_plain`          5 x 5, 64 channels
`cifar_separable`      5 x 1 then 1 x 5, 64 channels each, a ReLU between; the article's
`cifar_multichannel`   1 x 1, 3 x 3, 5 x 5 and 7 x 7 side by side, 64 channels each
=====================  ===================================================================

`simple_cnn` is a small one to start from with pictures of your own, `resnet` the residual network for CIFAR-10, and
`airbench` one that learns it in few epochs.
`load` gives back any network from its file.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npcnn import layers as npcnn_layers
from npcnn import weights
from npcnn.errors import WeightsError
from npcnn.functional.algorithms import Algorithm
from npcnn.functional.checks import integer, shown
from npcnn.initializers import Initializer, constant, fan_in_uniform, he_normal, identity
from npcnn.layers import (
    GELU,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    Rescale,
    Residual,
    Sequential,
    SpatiallySeparableConv2D,
)
from npcnn.layers.description import OURS, build


def cifar_plain(
    *,
    classes: int = 10,
    input_channels: int = 3,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
    algorithm: Algorithm = "auto",
) -> Sequential:
    """Return the network whose second convolution is 5 x 5.

    Parameters
    ----------
    classes : int
        Number of its outputs.
    input_channels : int
        Channels of the pictures: 3 for colour, 1 for grey.
    rng : numpy.random.Generator, optional
        Source of the first weights.
    dtype : float32 or float64
        Of the parameters and pictures.
    algorithm : "auto", "im2col" or "toom_cook"
        Of all convolutions; see `npcnn.functional.algorithms`.

    Examples
    --------
    >>> nn.models.cifar_plain().output_shape((24, 24, 3))
    (10,)
    """
    options = _options(rng, dtype, algorithm)
    second = Conv2D(64, 64, 5, activation="relu", **options)
    return _cifar(input_channels, second, 64, classes, options)


def cifar_separable(
    *,
    classes: int = 10,
    input_channels: int = 3,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
    algorithm: Algorithm = "auto",
) -> Sequential:
    """Return the article's network, whose second convolution is 5 x 1 then 1 x 5.

    Parameters
    ----------
    classes, input_channels, rng, dtype, algorithm
        As `cifar_plain`.

    Examples
    --------
    >>> nn.models.cifar_separable().multiplications((24, 24, 3))
    9239040
    """
    options = _options(rng, dtype, algorithm)
    second = SpatiallySeparableConv2D(64, 64, 5, activation="relu", **options)
    return _cifar(input_channels, second, 64, classes, options)


def cifar_multichannel(
    *,
    classes: int = 10,
    input_channels: int = 3,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
    algorithm: Algorithm = "auto",
) -> Sequential:
    """Return the network whose second convolution has kernels of four sizes side by side.

    Parameters
    ----------
    classes, input_channels, rng, dtype, algorithm
        As `cifar_plain`.

    Examples
    --------
    >>> nn.models.cifar_multichannel().output_shape((24, 24, 3))
    (10,)
    """
    options = _options(rng, dtype, algorithm)
    branches = (Conv2D(64, 64, size, activation="relu", **options) for size in (1, 3, 5, 7))
    return _cifar(input_channels, Concat(*branches), 256, classes, options)


def simple_cnn(
    *,
    classes: int = 10,
    input_channels: int = 3,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
    algorithm: Algorithm = "auto",
) -> Sequential:
    """Return a small network to start from: three 3 x 3 convolutions, each normalised, with pooling between.

    Parameters
    ----------
    classes, input_channels, rng, dtype, algorithm
        As `cifar_plain`.

    Examples
    --------
    >>> nn.models.simple_cnn(classes=4, input_channels=1).output_shape((28, 28, 1))
    (4,)
    """
    options = _options(rng, dtype, algorithm)
    blocks: list[Layer] = []
    for channels, before in ((32, input_channels), (64, 32), (128, 64)):
        blocks += [*_normalised(before, channels, options, activation="relu"), MaxPool2D(2, padding="same")]
    return Sequential(*blocks[:-1], GlobalAvgPool2D(), _classifier(128, classes, options))


def resnet(
    depth: int = 20,
    *,
    classes: int = 10,
    input_channels: int = 3,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
    algorithm: Algorithm = "auto",
) -> Sequential:
    """Return a residual network for small pictures.

    Three stages of (depth - 2) / 6 blocks, with 16, 32 and 64 channels; each block is two 3 x 3 convolutions, both
    normalised, added to its input.  The first block of the second and third stage halves height and width; there the
    input goes through a 1 x 1 convolution.

    Parameters
    ----------
    depth : int
        Number of layers with weights, shortcuts not counted: 8, 14, 20, 26, ...
    classes, input_channels, rng, dtype, algorithm
        As `cifar_plain`.

    Raises
    ------
    ValueError
        If `depth` is not 6 n + 2.

    References
    ----------
    He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2; with the projection of section 3.3.

    Examples
    --------
    >>> net = nn.models.resnet(20)
    >>> net.output_shape((32, 32, 3)), sum(array.size for array in net.params.values())
    ((10,), 272474)
    """
    blocks = (integer(depth, "depth", minimum=8) - 2) // 6
    if depth != 6 * blocks + 2:
        raise ValueError(f"depth must be 6 n + 2, such as 20, 32, 44 or 56, got {depth}")
    options = _options(rng, dtype, algorithm)
    layers: list[Layer] = _normalised(input_channels, 16, options, activation="relu")
    before = 16
    for channels in (16, 32, 64):
        for _ in range(blocks):
            layers.append(_residual_block(before, channels, options))
            before = channels
    return Sequential(*layers, GlobalAvgPool2D(), _classifier(64, classes, options))


def airbench(
    *,
    classes: int = 10,
    input_channels: int = 3,
    first_init: Initializer | None = None,
    rng: np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
    algorithm: Algorithm = "auto",
) -> Sequential:
    """Return the network that learns CIFAR-10 to 94 % in ten epochs, by the recipe of ``examples/train_cifar94.py``.

    A 2 x 2 convolution that is meant to whiten its patches; three groups of two 3 x 3 convolutions with 64, 256 and 256
    channels, each normalised, max pooling after the first; then the largest of what is left.  The pictures must be
    large enough for three poolings, 24 x 24 to 35 x 35.

    Parameters
    ----------
    classes, input_channels, rng, dtype, algorithm
        As `cifar_plain`.
    first_init : Initializer, optional
        Of the first convolution, such as `npcnn.initializers.whitening` makes it from training pictures; by default
        `npcnn.initializers.fan_in_uniform`.

    References
    ----------
    Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3 (airbench94).

    Examples
    --------
    >>> net = nn.models.airbench()
    >>> net.output_shape((32, 32, 3)), sum(array.size for name, array in net.params.items() if name.endswith(".w"))
    ((10,), 1970464)
    """
    options = _options(rng, dtype, algorithm)
    drawn = fan_in_uniform()
    before = 2 * 2 * 2 * input_channels  # both signs of what a patch of 2 x 2 pixels holds
    layers: list[Layer] = [
        Conv2D(input_channels, before, 2, padding="valid", weight_init=first_init or drawn, bias_init=constant(0.0),
               **options),
        GELU(),
    ]  # fmt: skip
    for channels in (64, 256, 256):
        for source, pooling in ((before, [MaxPool2D(2)]), (channels, [])):
            convolution = Conv2D(source, channels, 3, bias=False, weight_init=identity(drawn), **options)
            normalisation = BatchNorm(channels, momentum=0.6, eps=1e-12, scale=False, dtype=options["dtype"])
            layers += [convolution, *pooling, normalisation, GELU()]
        before = channels
    classifier = Dense(before, classes, bias=False, weight_init=drawn, rng=options["rng"], dtype=options["dtype"])
    # In ceil mode the 2 x 2 pixels that a picture of 24 x 24 has left are a window, too.
    return Sequential(*layers, MaxPool2D(3, ceil_mode=True), Flatten(), classifier, Rescale(1 / 9))


ARTICLE: dict[str, Callable[..., Sequential]] = {
    "separable": cifar_separable,
    "plain": cifar_plain,
    "multichannel": cifar_multichannel,
}
MODELS: dict[str, Callable[..., Sequential]] = {
    **ARTICLE,
    "simple_cnn": simple_cnn,
    "airbench": airbench,
    **{f"resnet{depth}": functools.partial(resnet, depth) for depth in (20, 32, 44, 56)},
}


def load(path: str | Path, layers: Iterable[type[Layer]] = ()) -> Layer:
    """Return the network in a file, with its weights.

    Parameters
    ----------
    path : str or Path
        What `Layer.save` of any network wrote, or an older version of it for one of the networks in `MODELS`.
    layers : iterable of class
        Your own layers in it.  No code is run from the file: classes are found by name, here and in npcnn.

    Returns
    -------
    Layer
        The network, with `classes`, `picture_shape` and `input_steps` if the file has them.

    Raises
    ------
    OSError
        If the file cannot be read.
    WeightsError
        If it is damaged, or what is built from it is not the network that was saved.
    TypeError, ValueError
        If `layers` are not subclasses of Layer, each with a name of its own.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.safetensors")
    >>> nn.Sequential(nn.Conv2D(3, 8, 3), nn.ReLU(), nn.GlobalAvgPool2D()).save(path)
    >>> nn.load(path)
    Sequential(
        Conv2D(3, 8, 3),
        ReLU(),
        GlobalAvgPool2D(),
    )
    """
    classes = _classes(layers)
    about = weights.read_metadata(path).get("npcnn")
    stored = weights.read(path)
    if about is None:
        return _known_by_its_shapes(stored, path)
    try:
        said = json.loads(about)
        if said["format"] != 1:
            raise WeightsError(f"it is of a later version of npcnn (format {shown(said['format'])})")
        net = build(said["network"], classes)
        _compare({name: repr(layer) for name, layer in net.walk()}, said["layers"])
        net.classes = None if said["classes"] is None else tuple(map(str, said["classes"]))
        net.picture_shape = None if said["picture_shape"] is None else _picture_shape(said["picture_shape"])
        net.input_steps = None if said["input_steps"] is None else [dict(step) for step in said["input_steps"]]
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: the description of the network is damaged ({error})") from error
    weights.assign(net.arrays, stored, f"{path} does not hold the network that it describes")
    return net


def _classes(layers: Iterable[type[Layer]]) -> dict[str, type[Layer]]:
    """Return all classes of layers by the names they have in a file."""
    found = {f"{OURS}{name}": getattr(npcnn_layers, name) for name in npcnn_layers.__all__ if name != "Layer"}
    for i, layer in enumerate(layers):
        if not isinstance(layer, type) or not issubclass(layer, Layer):
            raise TypeError(f"layers[{i}] must be a subclass of Layer, the class itself, got {shown(layer)}")
        if layer.__name__ in found:
            raise ValueError(f"layers must have a name each, got two of the name {layer.__name__}")
        found[layer.__name__] = layer
    return found


def _compare(built: dict[str, str], saved: dict[str, str]) -> None:
    """Raise WeightsError unless the layers that were built are those that were saved."""
    for name in [*saved, *built]:
        if built.get(name) != saved.get(name):
            raise WeightsError(
                f"layer {name or 'net'} was saved as {saved.get(name, 'nothing')}, but what its description builds "
                f"is {built.get(name, 'nothing')}; build the network and call its load"
            )


def _picture_shape(lengths: list[int]) -> tuple[int, int, int]:
    H, W, C = (integer(length, "picture_shape", minimum=1) for length in lengths)
    return H, W, C


def _known_by_its_shapes(stored: dict[str, Any], path: str | Path) -> Sequential:
    """Return the network of this module that has these arrays: a file of before networks were described in it."""

    def shapes_and_dtypes(arrays: dict[str, Any]) -> dict[str, Any]:
        return {name: (array.shape, array.dtype) for name, array in arrays.items()}

    for model in ARTICLE.values():
        for dtype in (np.float32, np.float64):
            net = model(dtype=dtype)
            if shapes_and_dtypes(net.arrays) == shapes_and_dtypes(stored):
                weights.assign(net.arrays, stored, str(path))
                return net
    raise WeightsError(
        f"{path} does not say what network it holds, and it is none of {', '.join(MODELS)}, but "
        f"{', '.join(stored) or 'nothing'}; build the network it was saved from and call its load"
    )


def _options(rng: np.random.Generator | None, dtype: DTypeLike, algorithm: Algorithm) -> dict[str, Any]:
    return {"rng": np.random.default_rng() if rng is None else rng, "dtype": dtype, "algorithm": algorithm}


def _cifar(
    input_channels: int, second: Layer, second_channels: int, classes: int, options: dict[str, Any]
) -> Sequential:
    net = Sequential(
        Conv2D(input_channels, 64, 5, activation="relu", **options),
        MaxPool2D(2, padding="same"),
        second,
        MaxPool2D(2, padding="same"),
        Conv2D(second_channels, classes, 5, activation="relu", **options),
        GlobalAvgPool2D(),
    )
    if (input_channels, classes) == (3, 10):
        # The article's inputs, `npcnn.datasets.inputs`, unless a training lets it remember others.
        net.picture_shape = (32, 32, 3)
        net.input_steps = [{"step": "crop", "size": 24}, {"step": "standardise"}]
    return net


def _normalised(
    before: int, channels: int, options: dict[str, Any], size: int = 3, stride: int = 1, activation: str | None = None
) -> list[Layer]:
    """Return a convolution and a batch normalisation, which makes up for the missing bias."""
    convolution = Conv2D(before, channels, size, stride, bias=False, weight_init=he_normal(), **options)
    return [convolution, BatchNorm(channels, momentum=0.9, eps=1e-5, activation=activation, dtype=options["dtype"])]


def _residual_block(before: int, channels: int, options: dict[str, Any]) -> Residual:
    stride = 1 if before == channels else 2
    branch = Sequential(
        *_normalised(before, channels, options, stride=stride, activation="relu"),
        *_normalised(channels, channels, options),
    )
    shortcut = None if stride == 1 else Sequential(*_normalised(before, channels, options, size=1, stride=stride))
    return Residual(branch, shortcut, activation="relu")


def _classifier(features: int, classes: int, options: dict[str, Any]) -> Dense:
    return Dense(
        features, classes, rng=options["rng"], dtype=options["dtype"], weight_init=he_normal(), bias_init=constant(0.0)
    )
