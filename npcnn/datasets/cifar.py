"""CIFAR-10 and CIFAR-100 in their binary versions: files of fixed-size records.

A record of CIFAR-10 is 3,073 bytes: the label, 0 to 9, then 32 x 32 pixels, first all the red, then all the green, then
all the blue, row by row.  ``data_batch_1.bin`` to ``data_batch_5.bin`` hold 10,000 training records each,
``test_batch.bin`` 10,000 to test on, ``batches.meta.txt`` the names of the classes.

A record of CIFAR-100 is one byte longer: it begins with two labels, the coarse one, 0 to 19, and the fine one, 0 to 99.
``train.bin`` holds 50,000 records, ``test.bin`` 10,000.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets.cache import expanded
from npcnn.datasets.dataset import Dataset
from npcnn.datasets.download import Archive
from npcnn.errors import DataError
from npcnn.functional.checks import shown

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

ARCHIVE_100 = Archive(
    name="CIFAR-100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    size=168_513_733,
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
)
TRAINING_FILE_100, TEST_FILE_100 = "train.bin", "test.bin"
# The labels of a record in their order: how many classes there are of each, and the file with their names.
LABELS_100 = {"coarse": (20, "coarse_label_names.txt"), "fine": (100, "fine_label_names.txt")}
RECORDS_100 = (50_000, 10_000)

SIZE, CHANNELS, CLASSES = 32, 3, 10
PICTURE_BYTES = CHANNELS * SIZE * SIZE


def read_dataset(
    folder: str | Path, *, name: str = ARCHIVE.name, records_per_file: int | None = RECORDS_PER_FILE
) -> Dataset:
    """Read all files of the binary version of CIFAR-10.

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
    folder = _find(folder, ARCHIVE, (*TRAINING_FILES, TEST_FILE, CLASSES_FILE))
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


def read_cifar100(
    folder: str | Path, *, labels: str = "fine", records: tuple[int, int] | tuple[None, None] = RECORDS_100
) -> Dataset:
    """Read all files of the binary version of CIFAR-100.

    Parameters
    ----------
    folder : str or Path
        The folder ``cifar-100-binary``, or the one it lies in.
    labels : "fine" or "coarse"
        Which labels to take: 100 classes, or the 20 that these are grouped into.
    records : (int, int) or (None, None)
        Records the training and the test file must have; None for any number.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If `labels` is another word.
    FileNotFoundError, DataError
        As `read_dataset`.

    Examples
    --------
    >>> from npcnn.datasets.cifar import read_cifar100
    >>> read_cifar100("no/such/folder", labels="coarse")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no train.bin in no/such/folder or no/such/folder/cifar-100-binary; ...
    """
    if labels not in tuple(LABELS_100):
        raise ValueError(f"labels must be one of {', '.join(LABELS_100)}, got {shown(labels)}")
    classes, names_file = LABELS_100[labels]
    folder = _find(folder, ARCHIVE_100, (TRAINING_FILE_100, TEST_FILE_100, names_file))
    kinds, column = {kind: count for kind, (count, _) in LABELS_100.items()}, list(LABELS_100).index(labels)
    (train_images, train_labels), (test_images, test_labels) = (
        _read_labelled(folder / file, count, kinds)
        for file, count in zip((TRAINING_FILE_100, TEST_FILE_100), records, strict=True)
    )
    return Dataset(
        name=ARCHIVE_100.name if labels == "fine" else f"{ARCHIVE_100.name} {labels}",
        folder=folder,
        train_images=train_images,
        train_labels=train_labels[:, column],
        test_images=test_images,
        test_labels=test_labels[:, column],
        classes=read_class_names(folder / names_file, classes),
    )


def _find(folder: str | Path, archive: Archive, files: tuple[str, ...]) -> Path:
    """Return the folder with the files: the one given, or the archive's in it."""
    folder = expanded(folder)
    for candidate in (folder, folder / archive.folder):
        if not (candidate / files[0]).is_file():
            continue
        for file in files:
            if not (candidate / file).is_file():
                raise FileNotFoundError(f"no {file} in {candidate}; the data set is incomplete, get it again")
        return candidate
    raise FileNotFoundError(
        f"no {files[0]} in {folder} or {folder / archive.folder}; "
        f"name the folder that the binary version of {archive.name} was unpacked to"
    )


def read_records(path: str | Path, records: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pictures (N, 32, 32, 3) and labels (N,) of one file of CIFAR-10.

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
    images, labels = _read_labelled(Path(path), records, {"": CLASSES})
    return images, labels[:, 0]


def _read_labelled(
    path: Path, records: int | None, kinds: dict[str, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pictures of one file, and the labels (N, L), of which there are so many classes of each kind."""
    record_bytes = len(kinds) + PICTURE_BYTES
    _check_length(path, path.stat().st_size, record_bytes, records)  # first, so that a huge file is never read
    rows = np.fromfile(path, dtype=np.uint8).reshape(-1, record_bytes)
    for column, (kind, classes) in enumerate(kinds.items()):
        wrong = np.flatnonzero(rows[:, column] >= classes)
        if wrong.size:
            record = int(wrong[0])
            raise DataError(
                f"{path}: record {record} (byte {record * record_bytes}) has {kind}{' ' * bool(kind)}label "
                f"{rows[record, column]}, expected 0 to {classes - 1}; the file is damaged or of another data set, get "
                "it again"
            )
    planes = rows[:, len(kinds) :].reshape(-1, CHANNELS, SIZE, SIZE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), rows[:, : len(kinds)].astype(np.int64)


def _check_length(path: Path, length: int, record_bytes: int, records: int | None) -> None:
    whole, rest = divmod(length, record_bytes)
    if records is not None and length != records * record_bytes:
        state = "truncated in" if length < records * record_bytes else "too long, it goes on with"
        raise DataError(
            f"{path}: {state} record {min(whole, records)} at byte {min(length, records * record_bytes)}; expected "
            f"{records} records, {records * record_bytes} bytes, got {length} bytes; get the file again"
        )
    if rest or whole == 0:
        raise DataError(
            f"{path}: truncated in record {whole} at byte {length}; expected a whole number of records of "
            f"{record_bytes} bytes, at least one; get the file again"
        )


def read_class_names(path: str | Path, count: int = CLASSES) -> tuple[str, ...]:
    """Return the names of the classes.

    Raises
    ------
    DataError
        If the file does not hold `count` names.
    """
    try:
        names = tuple(line.strip() for line in Path(path).read_text("ascii").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not text; get the file again") from error
    if len(names) != count:
        raise DataError(f"{path}: expected {count} names, one a line, got {len(names)}; get it again")
    return names
