"""MNIST, Fashion-MNIST, and whatever else comes as four IDX files.

An IDX file is an array: two zero bytes, a byte for the type of the values (8 for bytes), a byte for the number of
dimensions, each dimension as four bytes, most significant first, and then the values, the last dimension running
fastest.  It may be compressed with gzip; its name then ends with ``.gz``.

Sources: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", http://yann.lecun.com/exdb/mnist;
Xiao, Rasul and Vollgraf, "Fashion-MNIST", 2017, https://github.com/zalandoresearch/fashion-mnist.
"""

from __future__ import annotations

import dataclasses
import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets import checks
from npcnn.datasets.cache import expanded
from npcnn.datasets.dataset import Dataset, from_arrays
from npcnn.datasets.download import File, Files
from npcnn.datasets.steps import Function, checked
from npcnn.errors import DataError

NAMES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
BYTES = 8  # the type of the values
MOST_COMPRESSED = 1032  # gzip makes no file smaller than by this factor


def _files(address: str, sizes: Sequence[int], md5s: Sequence[str]) -> tuple[File, ...]:
    return tuple(
        File(f"{name}.gz", f"{address}{name}.gz", size, md5) for name, size, md5 in zip(NAMES, sizes, md5s, strict=True)
    )


MNIST = Files(
    name="MNIST",
    folder="mnist",
    files=_files(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (9_912_422, 28_881, 1_648_877, 4_542),
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
)  # fmt: skip
FASHION_MNIST = Files(
    name="Fashion-MNIST",
    folder="fashion-mnist",
    files=_files(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (26_421_880, 29_515, 4_422_102, 5_148),
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
)  # fmt: skip
DIGITS = tuple(map(str, range(10)))
GARMENTS = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
# The files of both are called the same: their first test labels tell them apart.
FIRST_LABELS = {"MNIST": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9], "Fashion-MNIST": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]}


def from_idx(
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    steps: Sequence[Function] = (),
) -> Dataset:
    """Read the four files of a data set in MNIST's format, compressed or not.

    Parameters
    ----------
    folder : str or Path
        Folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each also with ``.gz`` at the end; ``~`` is the home folder.
    classes : sequence of str, optional
        A name for each class; by default their numbers, up to the largest label.
    name : str, optional
        Name of the data; by default that of the folder.
    steps : list of functions
        The way of a picture into the network, see `npcnn.datasets.steps`; by default nothing is done.

    Returns
    -------
    Dataset
        Its pictures have one channel: (N, 28, 28, 1) for MNIST.

    Raises
    ------
    FileNotFoundError
        If the folder or a file does not exist.
    DataError
        If a file is damaged or of another kind; it is named.
    TypeError, ValueError
        As `npcnn.datasets.from_arrays`.

    Examples
    --------
    >>> nn.datasets.from_idx("no/such/folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no train-images-idx3-ubyte or train-images-idx3-ubyte.gz in no/such/folder; ...
    """
    folder, steps = expanded(folder), checked(steps, "steps", random=False)
    classes = None if classes is None else checks.class_names(classes)
    paths = [_find(folder, file) for file in NAMES]  # all of them, before the first is read
    arrays = []
    for images_path, labels_path in (paths[:2], paths[2:]):
        images, labels = read_idx(images_path, dimensions=3), read_idx(labels_path, dimensions=1)
        if len(images) != len(labels):
            raise DataError(f"{images_path} has {len(images)} pictures, but {labels_path} {len(labels)} labels")
        arrays += [images[..., np.newaxis], labels]
    try:
        data = from_arrays(*arrays, classes=classes, name=name or folder.resolve().name, steps=steps)
    except ValueError as error:
        raise DataError(f"the files in {folder} are no data set: {error}") from error
    return dataclasses.replace(data, folder=folder)


def read_idx(path: str | Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of bytes in an IDX file.

    Parameters
    ----------
    path : str or Path
        The file; compressed if its name ends with ``.gz``.
    dimensions : int
        How many the array must have.

    Raises
    ------
    DataError
        If the file is not an IDX file of bytes with so many dimensions, is truncated, or goes on after its end.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _array(file, path, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} cannot be uncompressed ({error}); get the file again") from error


def _array(file: gzip.GzipFile | BufferedReader, path: Path, dimensions: int) -> NDArray[np.uint8]:
    magic = file.read(4)
    if magic != bytes([0, 0, BYTES, dimensions]):
        raise DataError(
            f"{path} begins with {magic.hex(' ') or 'nothing'}, expected 00 00 {BYTES:02x} {dimensions:02x}: an IDX "
            f"file of bytes in {dimensions} dimension{'s' * (dimensions > 1)}; get the file again"
        )
    header = file.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise DataError(f"{path} is truncated in its dimensions; get the file again")
    shape = struct.unpack(f">{dimensions}I", header)
    count = math.prod(shape)
    # Before reading, so that no memory is asked for that the file cannot fill.
    possible = path.stat().st_size * (MOST_COMPRESSED if path.suffix == ".gz" else 1)
    values = file.read(count + 1) if count <= possible else b""
    if len(values) != count:
        came = f"more than {count}" if len(values) > count else f"{len(values)}" if values else "fewer"
        raise DataError(f"{path} must hold {count} values, {shape}, got {came}; get the file again")
    return np.frombuffer(values, np.uint8).reshape(shape).copy()  # what frombuffer gives cannot be written to


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"no {name} or {name}.gz in {folder}; name the folder with the four IDX files")


def read_mnist(folder: str | Path) -> Dataset:
    """Read MNIST from its folder, or the one that its folder ``mnist`` lies in; errors as `from_idx`."""
    return _read_known(folder, MNIST, DIGITS)


def read_fashion_mnist(folder: str | Path) -> Dataset:
    """Read Fashion-MNIST from its folder, or the one that ``fashion-mnist`` lies in; errors as `from_idx`."""
    return _read_known(folder, FASHION_MNIST, GARMENTS)


def _read_known(folder: str | Path, source: Files, classes: tuple[str, ...]) -> Dataset:
    folder = expanded(folder)
    inner = folder / source.folder
    data = from_idx(inner if inner.is_dir() else folder, classes=classes, name=source.name)
    first = data.test_labels[:10].tolist()
    if first != FIRST_LABELS[source.name]:
        raise DataError(
            f"the files in {data.folder} are not {source.name}: the first test labels are {first}, expected "
            f"{FIRST_LABELS[source.name]}; read other data with npcnn.datasets.from_idx"
        )
    return data
