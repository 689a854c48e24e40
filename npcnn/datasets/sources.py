"""Which data set to use, and where it is: what ``--data`` and ``--data-dir`` mean."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from npcnn.datasets import cifar, download, idx, synthetic
from npcnn.datasets.cache import cache_folder
from npcnn.datasets.dataset import Dataset
from npcnn.errors import DataError
from npcnn.functional.checks import shown

Read = Callable[[str | Path], Dataset]
# What to download, and what reads the folder of it, or the one that this lies in.
SOURCES: dict[str, tuple[download.Archive | download.Files, Read]] = {
    "cifar10": (cifar.ARCHIVE, cifar.read_dataset),
    "cifar100": (cifar.ARCHIVE_100, cifar.read_cifar100),
    "cifar100-coarse": (
        dataclasses.replace(cifar.ARCHIVE_100, name="CIFAR-100 coarse"),
        functools.partial(cifar.read_cifar100, labels="coarse"),
    ),
    "mnist": (idx.MNIST, idx.read_mnist),
    "fashion-mnist": (idx.FASHION_MNIST, idx.read_fashion_mnist),
}
NAMES = ("auto", *SOURCES, "synthetic")


def load(name: str = "auto", data_dir: str | Path | None = None) -> Dataset:
    """Find, download or draw a data set, and read it.

    It is looked for in `data_dir`, else in ``$NPCNN_DATA``, else in the user's cache, and downloaded into the cache
    when it is not there.

    Parameters
    ----------
    name : "auto", "cifar10", "cifar100", "cifar100-coarse", "mnist", "fashion-mnist" or "synthetic"
        "auto" is CIFAR-10, or the synthetic pictures when it is neither found nor can be downloaded; a notice on
        stderr says so.
    data_dir : str or Path, optional
        Folder of the files, or the one it lies in; ``~`` is the home folder.  When it is given it must hold them.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If there is no data set of this name, or a folder is given for the synthetic data.
    FileNotFoundError, DataError
        If the files are missing or damaged, or there is no folder to keep them in; damaged data is never replaced by
        other data.
    npcnn.datasets.DownloadError
        If the data set can be neither found nor downloaded.
    OSError
        If the files cannot be read, or the cache cannot be written.
    """
    if name == "synthetic":
        if data_dir is not None:
            raise ValueError(f"data_dir is for data in files; the synthetic data takes none, got {str(data_dir)!r}")
        return _from_cache(synthetic.load, cache_folder())
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {shown(name)}")
    source, read = SOURCES["cifar10" if name == "auto" else name]
    given = data_dir if data_dir is not None else os.environ.get("NPCNN_DATA") or None
    if given is not None:
        return read(given)
    cache = cache_folder()
    try:
        folder = download.download(source, cache)
    except download.DownloadError as error:
        if name != "auto":
            raise
        _announce_synthetic(str(error))
        return _from_cache(synthetic.load, cache)
    return _from_cache(read, folder)


def cifar10(data_dir: str | Path | None = None) -> Dataset:
    """Return CIFAR-10, downloaded the first time: 50,000 and 10,000 pictures of 32 x 32 in 10 classes.

    Parameters
    ----------
    data_dir : str or Path, optional
        Where its files are, if you have them; see `load`, also for what is raised.
    """
    return load("cifar10", data_dir)


def cifar100(data_dir: str | Path | None = None, *, labels: str = "fine") -> Dataset:
    """Return CIFAR-100, downloaded the first time: 50,000 and 10,000 pictures of 32 x 32.

    Parameters
    ----------
    data_dir : str or Path, optional
        Where its files are, if you have them; see `load`, also for what is raised.
    labels : "fine" or "coarse"
        100 classes, or the 20 that these are grouped into.
    """
    if labels not in tuple(cifar.LABELS_100):
        raise ValueError(f"labels must be one of {', '.join(cifar.LABELS_100)}, got {shown(labels)}")
    return load("cifar100" if labels == "fine" else "cifar100-coarse", data_dir)


def mnist(data_dir: str | Path | None = None) -> Dataset:
    """Return MNIST, downloaded the first time: 60,000 and 10,000 grey pictures of 28 x 28, the ten digits.

    Parameters
    ----------
    data_dir : str or Path, optional
        Where its files are, if you have them; see `load`, also for what is raised.
    """
    return load("mnist", data_dir)


def fashion_mnist(data_dir: str | Path | None = None) -> Dataset:
    """Return Fashion-MNIST, downloaded the first time: 60,000 and 10,000 grey pictures of 28 x 28, ten garments.

    Parameters
    ----------
    data_dir : str or Path, optional
        Where its files are, if you have them; see `load`, also for what is raised.
    """
    return load("fashion-mnist", data_dir)


def arguments(data: Dataset) -> dict[str, Any]:
    """Return the arguments by which `load` finds a data set again, whatever it was found by.

    Returns
    -------
    dict
        "data", the name, which `load` does not know if the data set is not one of its own, and "data_dir", the folder
        as an absolute path, or None for data in no folder and for the synthetic data, which is kept in the cache.

    Examples
    --------
    >>> import pathlib
    >>> x, y = np.zeros((2, 32, 32, 3), np.uint8), np.arange(2)
    >>> nn.datasets.sources.arguments(nn.datasets.Dataset("CIFAR-10", pathlib.Path("/data"), x, y, x, y, ("a", "b")))
    {'data': 'cifar10', 'data_dir': '/data'}
    """
    name = next((name for name, (archive, _) in SOURCES.items() if archive.name == data.name), data.name)
    folder = None if name == "synthetic" or data.folder is None else str(data.folder.resolve())
    return {"data": name, "data_dir": folder}


def _from_cache(read: Read, folder: Path) -> Dataset:
    """Return the data set; if its cached files are damaged, say that deleting them brings new ones."""
    try:
        return read(folder)
    except (DataError, FileNotFoundError) as error:
        raise DataError(f"{error}. This is the copy npcnn keeps: delete its folder and run again") from error


def _announce_synthetic(reason: str) -> None:
    line = "*" * 78
    print(
        f"{line}\n*** CIFAR-10 was not found and could not be downloaded:\n*** {reason}\n"
        "*** Using SYNTHETIC pictures instead. The results say nothing about CIFAR-10.\n"
        "*** To use the real data: --data-dir FOLDER, the cifar-10-batches-bin of its binary version.\n"
        f"{line}",
        file=sys.stderr,
        flush=True,
    )
