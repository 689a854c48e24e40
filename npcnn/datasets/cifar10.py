"""CIFAR-10 in its binary version: six files of fixed-size records.

A record is 3,073 bytes: the label, 0 to 9, then 32 x 32 pixels, first all the red, then all the green, then
all the blue, row by row.  ``data_batch_1.bin`` to ``data_batch_5.bin`` hold 10,000 training records each,
``test_batch.bin`` 10,000 to test on, ``batches.meta.txt`` the names of the classes.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets.dataset import Dataset
from npcnn.datasets.download import Archive
from npcnn.errors import DataError

ARCHIVE = Archive(
    name="CIFAR-10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    size=170_052_171,
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
)
TRAINING_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILE = "test_batch.bin"
CLASSES_FILE = "batches.meta.txt"
# What that file says; for weights that come without the data.
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS_PER_FILE = 10_000

SIZE, CHANNELS, CLASSES = 32, 3, 10
RECORD_BYTES = 1 + CHANNELS * SIZE * SIZE


def read_dataset(
    folder: str | Path, *, name: str = ARCHIVE.name, records_per_file: int | None = RECORDS_PER_FILE
) -> Dataset:
    """Read all files of the binary version.

    Parameters
    ----------
    folder : str or Path
        The folder ``cifar-10-batches-bin``, or the one it lies in.
    name : str
        Name of the data.
    records_per_file : int or None
        Records each file must have; None for any number.

    Returns
    -------
    Dataset

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files does not exist.
    DataError
        If a file is truncated, too long, or has a label above 9; the message names file, record and byte.

    Examples
    --------
    >>> nn.datasets.read_dataset("no/such/folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no data_batch_1.bin in no/such/folder or no/such/folder/cifar-10-batches-bin; ...
    """
    folder = find_folder(folder)
    for file in (*TRAINING_FILES, TEST_FILE, CLASSES_FILE):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"no {file} in {folder}; the data set is incomplete, get it again")
    training = [read_records(folder / file, records_per_file) for file in TRAINING_FILES]
    test_images, test_labels = read_records(folder / TEST_FILE, records_per_file)
    return Dataset(
        name=name,
        folder=folder,
        train_images=np.concatenate([images for images, _ in training]),
        train_labels=np.concatenate([labels for _, labels in training]),
        test_images=test_images,
        test_labels=test_labels,
        classes=read_class_names(folder / CLASSES_FILE),
    )


def find_folder(folder: str | Path) -> Path:
    """Return the folder with the files: the one given, or cifar-10-batches-bin in it."""
    folder = Path(folder)
    for candidate in (folder, folder / ARCHIVE.folder):
        if (candidate / TRAINING_FILES[0]).is_file():
            return candidate
    raise FileNotFoundError(
        f"no {TRAINING_FILES[0]} in {folder} or {folder / ARCHIVE.folder}; "
        "name the folder that the binary version of CIFAR-10 was unpacked to"
    )


def read_records(path: str | Path, records: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pictures (N, 32, 32, 3) and labels (N,) of one file.

    Parameters
    ----------
    path : str or Path
        File of records.
    records : int, optional
        How many it must have; by default any number above 0.

    Raises
    ------
    DataError
        If the length is not that of so many records, or a label is above 9.
    OSError
        If the file cannot be read.
    """
    _check_length(path, Path(path).stat().st_size, records)  # first, so that a huge file is never read
    rows = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    labels = rows[:, 0]
    wrong = np.flatnonzero(labels >= CLASSES)
    if wrong.size:
        record = int(wrong[0])
        raise DataError(
            f"{path}: record {record} (byte {record * RECORD_BYTES}) has label {labels[record]}, expected 0 to "
            f"{CLASSES - 1}; the file is damaged or not CIFAR-10, get it again"
        )
    planes = rows[:, 1:].reshape(-1, CHANNELS, SIZE, SIZE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int64)


def _check_length(path: str | Path, length: int, records: int | None) -> None:
    whole, rest = divmod(length, RECORD_BYTES)
    if records is not None and length != records * RECORD_BYTES:
        state = "truncated in" if length < records * RECORD_BYTES else "too long, it goes on with"
        raise DataError(
            f"{path}: {state} record {min(whole, records)} at byte {min(length, records * RECORD_BYTES)}; expected "
            f"{records} records, {records * RECORD_BYTES} bytes, got {length} bytes; get the file again"
        )
    if rest or whole == 0:
        raise DataError(
            f"{path}: truncated in record {whole} at byte {length}; expected a whole number of records of "
            f"{RECORD_BYTES} bytes, at least one; get the file again"
        )


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Return the names of the ten classes.

    Raises
    ------
    DataError
        If the file does not hold ten names.
    """
    try:
        names = tuple(line.strip() for line in Path(path).read_text("ascii").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not text; get the file again") from error
    if len(names) != CLASSES:
        raise DataError(f"{path}: expected {CLASSES} names, one a line, got {len(names)}; get it again")
    return names
