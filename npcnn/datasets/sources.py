"""Which data set to use, and where it is: what ``--data`` and ``--data-dir`` mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from npcnn.datasets import cifar10, download, synthetic
from npcnn.datasets.dataset import Dataset
from npcnn.errors import DataError

# The archive to download, and what reads the folder in it, or the one that this lies in.
SOURCES = {"cifar10": (cifar10.ARCHIVE, cifar10.read_dataset)}
NAMES = ("auto", *SOURCES, "synthetic")


def load(name: str = "auto", data_dir: str | Path | None = None) -> Dataset:
    """Find, download or draw a data set, and read it.

    It is looked for in `data_dir`, else in ``$NPCNN_DATA``, else in the user's cache, and downloaded into the cache
    when it is not there.

    Parameters
    ----------
    name : "auto", "cifar10" or "synthetic"
        "auto" is CIFAR-10, or the synthetic pictures when it is neither found nor can be downloaded; a notice on
        stderr says so.
    data_dir : str or Path, optional
        Folder of the files, or the one it lies in.  When it is given it must hold them.

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
            raise ValueError(f"data_dir is for CIFAR-10; the synthetic data takes none, got {str(data_dir)!r}")
        return _from_cache(synthetic.load, cache_folder())
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    archive, read = SOURCES["cifar10" if name == "auto" else name]
    given = data_dir if data_dir is not None else os.environ.get("NPCNN_DATA") or None
    if given is not None:
        return read(given)
    cache = cache_folder()
    try:
        folder = download.download(archive, cache)
    except download.DownloadError as error:
        if name != "auto":
            raise
        _announce_synthetic(str(error))
        return _from_cache(synthetic.load, cache)
    return _from_cache(read, folder)


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


def _from_cache(read: Callable[[str | Path], Dataset], folder: Path) -> Dataset:
    """Return the data set; if its cached files are damaged, say that deleting them brings new ones."""
    try:
        return read(folder)
    except (DataError, FileNotFoundError) as error:
        raise DataError(f"{error}. This is the copy npcnn keeps: delete its folder and run again") from error


def cache_folder() -> Path:
    """Return the user's cache folder for npcnn: ``$XDG_CACHE_HOME/npcnn`` or ``~/.cache/npcnn``.

    Raises
    ------
    FileNotFoundError
        If there is neither that variable nor a home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "npcnn"
    except RuntimeError as error:
        raise FileNotFoundError(
            "there is no home folder to keep data sets in: set NPCNN_DATA to the folder they are in, or XDG_CACHE_HOME "
            "or HOME to one where npcnn may keep them"
        ) from error


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
