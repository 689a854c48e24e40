"""A data set: what every reader returns and every training starts from; also made from arrays of your own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npcnn.datasets import checks
from npcnn.datasets.steps import Function, apply, checked
from npcnn.errors import DTypeError, ShapeError

MOST_CLASSES = 100_000  # that are named by their numbers: labels beyond are rather something else


@dataclass(frozen=True, eq=False)  # comparing arrays gives no single truth value; compare checksums
class Dataset:
    """Pictures and labels, where they came from, and how a network is shown them.

    Attributes
    ----------
    name : str
        What every result obtained with it should mention, such as "CIFAR-10" or "synthetic".
    folder : Path or None
        The folder its files are in, if there is one.
    train_images, test_images : ndarray, shape (N, H, W, C), uint8 or float32
        The pictures, all of one size and dtype; also a `numpy.memmap` of more than fits in memory.
    train_labels, test_labels : ndarray, shape (N,), int64
        Their classes, from 0.
    classes : tuple of str
        A name for each class.
    steps : tuple of functions
        The way of a picture into the network, the same in training and evaluation: see `npcnn.datasets.steps`.  By
        default there are none: nothing is cropped or scaled.

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        If the arrays are not of this form, or their lengths differ; if there is no training picture, a label is not
        the number of a class, a pixel is not finite; or if a step draws at random.

    Examples
    --------
    >>> images, labels = np.zeros((2, 28, 28, 1), np.uint8), np.arange(2)
    >>> nn.datasets.Dataset("black", None, images, labels, images, labels, ("a", "b")).picture_shape
    (28, 28, 1)
    """

    name: str
    folder: Path | None
    train_images: NDArray[Any]
    train_labels: NDArray[np.int64]
    test_images: NDArray[Any]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    steps: tuple[Function, ...] = ()

    def __post_init__(self) -> None:
        classes = checks.class_names(self.classes)
        train, test = (checks.pictures(getattr(self, name), name) for name in ("train_images", "test_images"))
        if len(train) == 0:
            raise ShapeError(f"train_images must hold at least one picture, got shape {train.shape}")
        if test.dtype != train.dtype:
            raise DTypeError(f"test_images must have the dtype of train_images, {train.dtype}, got {test.dtype}")
        if test.shape[1:] != train.shape[1:]:
            raise ShapeError(f"test_images must be pictures of {train.shape[1:]}, as train_images, got {test.shape}")
        checks.finite(train, "train_images")
        checks.finite(test, "test_images")
        normal = {
            "train_images": train,
            "test_images": test,
            "train_labels": checks.labels(self.train_labels, "train_labels", len(train), len(classes)),
            "test_labels": checks.labels(self.test_labels, "test_labels", len(test), len(classes)),
            "classes": classes,
            "steps": checked(self.steps, "steps", random=False),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)  # frozen for everybody else

    @property
    def class_names(self) -> tuple[str, ...]:
        """`classes`, under its earlier name."""
        return self.classes

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a picture, as it is stored."""
        H, W, C = self.train_images.shape[1:]
        return H, W, C

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what a network is given: those of a picture after the steps."""
        H, W, C = self.inputs(self.train_images[:1]).shape[1:]
        return H, W, C

    def inputs(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return pictures as the network takes them: after the steps.

        Parameters
        ----------
        images : ndarray, shape (N, H, W, C), uint8 or float32
            Pictures such as those of the data set.

        Returns
        -------
        ndarray, shape (N, H', W', C'), float32

        Examples
        --------
        >>> x, y = np.full((2, 8, 8, 1), 51, np.uint8), np.arange(2)
        >>> steps = [nn.datasets.steps.crop(2), nn.datasets.steps.standardise(mean=0, deviation=255)]
        >>> data = nn.datasets.from_arrays(x, y, x, y, steps=steps)
        >>> data.inputs(data.test_images[:1]).ravel()
        array([0.2, 0.2, 0.2, 0.2], dtype=float32)
        """
        return apply(self.steps, images)

    def with_steps(self, steps: Sequence[Function]) -> Self:
        """Return the same data with another way into the network.

        Parameters
        ----------
        steps : list of functions
            See `npcnn.datasets.steps`.

        Examples
        --------
        >>> x, y = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1), [0, 1]
        >>> data = nn.datasets.from_arrays(x, y, x, y)
        >>> data.with_steps([nn.datasets.steps.standardise(*data.statistics())]).steps
        (standardise(mean=3.5, deviation=2.291287899017334),)
        """
        return dataclasses.replace(self, steps=checked(steps, "steps", random=False))

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel of the training pictures, for `steps.standardise`."""
        images = self.train_images
        count = len(images) * images.shape[1] * images.shape[2]
        mean = sum(part.sum(axis=(0, 1, 2), dtype=np.float64) for part in checks.parts(images)) / count
        square = sum(((part - mean) ** 2).sum(axis=(0, 1, 2)) for part in checks.parts(images)) / count
        return tuple(mean.tolist()), tuple(np.sqrt(square).tolist())

    def checksum(self) -> str:
        """Return the SHA-256 of pictures and labels, training then test, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def from_arrays(
    train_images: NDArray[Any],
    train_labels: ArrayLike,
    test_images: NDArray[Any],
    test_labels: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
    steps: Sequence[Function] = (),
) -> Dataset:
    """Make a data set of arrays; they are not copied.

    Parameters
    ----------
    train_images, test_images : ndarray, shape (N, H, W, C), uint8 or float32
        The pictures, of any size and any number of channels, all of one size and dtype.
    train_labels, test_labels : array_like, shape (N,), integers
        Their classes, from 0.
    classes : sequence of str, optional
        A name for each class; by default their numbers, up to the largest label.
    name : str
        Name of the data.
    steps : list of functions
        The way of a picture into the network, see `npcnn.datasets.steps`; by default nothing is done.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        As `Dataset`.

    Examples
    --------
    >>> x, y = np.zeros((4, 28, 28, 1), np.uint8), [0, 1, 1, 0]
    >>> data = nn.datasets.from_arrays(x, y, x, y, classes=("no", "yes"))
    >>> data.picture_shape, data.train_labels, data.classes
    ((28, 28, 1), array([0, 1, 1, 0]), ('no', 'yes'))
    """
    if classes is None:
        largest = [
            int(checks.labels(labels, argument, len(checks.pictures(images, images_argument))).max(initial=0))
            for labels, argument, images, images_argument in (
                (train_labels, "train_labels", train_images, "train_images"),
                (test_labels, "test_labels", test_images, "test_images"),
            )
        ]
        if max(largest) >= MOST_CLASSES:
            raise ValueError(f"labels must be 0 to {MOST_CLASSES - 1} unless classes are given, got {max(largest)}")
        classes = tuple(map(str, range(max(largest) + 1)))
    return Dataset(
        name=name,
        folder=None,
        train_images=train_images,
        train_labels=train_labels,  # type: ignore[arg-type]  # made int64 there
        test_images=test_images,
        test_labels=test_labels,  # type: ignore[arg-type]
        classes=classes,  # type: ignore[arg-type]  # made tuples there
        steps=steps,  # type: ignore[arg-type]
    )
