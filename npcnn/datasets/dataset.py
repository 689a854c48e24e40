"""A data set in memory: what every reader returns and every training starts from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)  # comparing arrays gives no single truth value; compare checksums
class Dataset:
    """Pictures and labels, and where they came from.

    Attributes
    ----------
    name : str
        What every result obtained with it should mention, such as "CIFAR-10" or "synthetic".
    folder : Path
        The folder its files are in.
    train_images, test_images : ndarray, shape (N, H, W, C), uint8
        The pictures.
    train_labels, test_labels : ndarray, shape (N,), int64
        Their classes, from 0.
    class_names : tuple of str
        A name for each class.

    Examples
    --------
    >>> images, labels = np.zeros((2, 28, 28, 1), np.uint8), np.arange(2)
    >>> nn.datasets.Dataset("black", Path("here"), images, labels, images, labels, ("a", "b")).picture_shape
    (28, 28, 1)
    """

    name: str
    folder: Path
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a picture."""
        H, W, C = self.train_images.shape[1:]
        return H, W, C

    def checksum(self) -> str:
        """Return the SHA-256 of pictures and labels, training then test, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
