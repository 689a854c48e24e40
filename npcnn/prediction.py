"""What a trained network makes of pictures: it remembers how those it learnt from became its input, and does the same.

`npcnn.train.Run` and `npcnn.train.fit` by epochs let it remember; its file holds that, and `npcnn.load` brings it back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets import Dataset, steps
from npcnn.datasets.cifar import CLASS_NAMES, SIZE
from npcnn.datasets.pictures import read_picture, read_whole_picture
from npcnn.functional import softmax
from npcnn.functional.checks import integer
from npcnn.functional.exchange import as_array
from npcnn.layers import Layer

Array = NDArray[Any]


def remember(net: Layer, data: Dataset) -> None:
    """Note in a network what it is trained on: the classes, and how a picture becomes its input.

    A step that is a function of your own cannot be noted; `classify` then asks for inputs.

    Examples
    --------
    >>> x, y = np.zeros((2, 32, 32, 3), np.uint8), [0, 1]
    >>> data = nn.datasets.from_arrays(x, y, x, y, classes=("no", "yes"), steps=[nn.datasets.steps.crop(24)])
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(24 * 24 * 3, 2))
    >>> nn.prediction.remember(net, data)
    >>> net.classes, net.picture_shape, net.input_steps
    (('no', 'yes'), (32, 32, 3), [{'step': 'crop', 'size': 24}])
    """
    net.classes, net.picture_shape = data.classes, data.picture_shape
    try:
        net.input_steps = steps.describe(data.steps)
    except TypeError:
        net.input_steps = None


def inputs(net: Layer, images: Array) -> NDArray[np.float32]:
    """Return pictures as the network takes them, after the steps that it remembers.

    Parameters
    ----------
    net : Layer
        A trained network.
    images : ndarray, shape (N, H, W, C), uint8 or float32
        Pictures like those of its training.

    Returns
    -------
    ndarray, shape (N, H', W', C'), float32

    Raises
    ------
    ValueError
        If the network remembers no steps.
    DataError
        If it remembers steps that do not exist.
    TypeError, DTypeError, ShapeError
        If a step cannot take the pictures.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2))
    >>> net.input_steps = [{"step": "standardise", "mean": 0, "deviation": 255}]
    >>> nn.prediction.inputs(net, np.full((1, 2, 2, 1), 51, np.uint8)).ravel()
    array([0.2, 0.2, 0.2, 0.2], dtype=float32)
    """
    if net.input_steps is None:
        raise ValueError(
            "net does not remember how a picture becomes its input; prepare the pictures as for its training and call "
            "net(x), or let it remember: nn.prediction.remember(net, data)"
        )
    return steps.apply(steps.from_description(net.input_steps), images)


def read(net: Layer, path: str | Path) -> NDArray[np.uint8]:
    """Return a picture file in the size of the pictures that a network was trained on.

    It is scaled as a whole, as `npcnn.datasets.from_folder` does.  For a network trained on CIFAR-10, whose pictures
    are square cuttings, it is the middle square.

    Parameters
    ----------
    net : Layer
        A trained network that remembers its pictures.
    path : str or Path
        A file in one of the formats of `npcnn.datasets.pictures`.

    Returns
    -------
    ndarray, shape (H, W, C), uint8

    Raises
    ------
    ValueError
        If the network remembers no pictures, or such as are neither grey nor coloured.
    ImportError, OSError, DataError
        As `npcnn.datasets.pictures.read_picture`.
    """
    if net.picture_shape is None:
        raise ValueError(
            "net does not remember the size of its pictures; read the file with npcnn.datasets.pictures, or let it "
            "remember: nn.prediction.remember(net, data)"
        )
    if net.picture_shape == (SIZE, SIZE, 3) and net.classes in (None, CLASS_NAMES):
        return read_picture(path)
    H, W, C = net.picture_shape
    return read_whole_picture(path, (H, W), channels=C)


def classify(net: Layer, images: Array, *, batch_size: int = 256) -> Array:
    """Return the probabilities of the classes for pictures as they are, uncropped and unscaled.

    Parameters
    ----------
    net : Layer
        A trained network, which gives logits.
    images : ndarray, shape (N, H, W, C), uint8 or float32
        Pictures like those of its training.
    batch_size : int
        Pictures at a time.

    Returns
    -------
    ndarray, shape (N, classes)
        ``net.classes`` are their names.

    Raises
    ------
    ValueError, DataError, TypeError, DTypeError, ShapeError
        As `inputs`, or if `images` holds none.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, weight_init=nn.initializers.constant(0.0)))
    >>> net.input_steps = [{"step": "standardise", "mean": 0, "deviation": 255}]
    >>> nn.prediction.classify(net, np.zeros((1, 2, 2, 1), np.uint8))
    array([[0.5, 0.5]], dtype=float32)
    """
    images, batch_size = as_array(images, "images"), integer(batch_size, "batch_size", minimum=1)
    if len(images) == 0:
        raise ValueError("images must hold at least one picture, got none")
    parts = [images[first : first + batch_size] for first in range(0, len(images), batch_size)]
    return np.concatenate([softmax(net.forward(inputs(net, part))) for part in parts])
