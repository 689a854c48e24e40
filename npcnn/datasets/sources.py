"""Which data set to use, and where it is: what ``--data`` and ``--data-dir`` mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from npcnn.datasets import cifar10, download, synthetic
from npcnn.datasets.cifar10 import Dataset
from npcnn.errors import DataError

NAMES = ("auto", "cifar10", "synthetic")


def load(name: str = "auto", data_dir: str | Path | None = None) -> Dataset:
    """Find, download or draw a data set, and read it.

    CIFAR-10 is looked for in `data_dir`, else in ``$NPCNN_DATA``, else in the user's cache, and downloaded
    into the cache when it is not there.

    Parameters
    ----------
    name : "auto", "cifar10" or "synthetic"
        "auto" is CIFAR-10, and the synthetic pictures only when it is neither found nor can be downloaded;
        a notice on stderr says so.
    data_dir : str or Path, optional
        Folder of the CIFAR-10 files, or the one it lies in.  When it is given it must hold them.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If `name` is none of the three, or a folder is given for the synthetic data.
    FileNotFoundError, DataError
        If the files are missing or damaged; damaged data is never replaced by other data.
    npcnn.datasets.download.DownloadError
        If "cifar10" can be neither found nor downloaded.
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    if name == "synthetic":
        if data_dir is not None:
            raise ValueError(f"data_dir is for CIFAR-10; the synthetic data takes none, got {str(data_dir)!r}")
        return _from_cache(lambda: synthetic.load(cache_folder()))
    given = data_dir if data_dir is not None else os.environ.get("NPCNN_DATA") or None
    if given is not None:
        return cifar10.read_dataset(given)
    try:
        folder = download.download(cache_folder())
    except download.DownloadError as error:
        if name == "cifar10":
            raise
        _announce_synthetic(str(error))
        return _from_cache(lambda: synthetic.load(cache_folder()))
    return _from_cache(lambda: cifar10.read_dataset(folder))


def _from_cache(read: Callable[[], Dataset]) -> Dataset:
    """Return the data set; if its cached files are damaged, say that deleting them brings new ones."""
    try:
        return read()
    except (DataError, FileNotFoundError) as error:
        raise DataError(f"{error}. This is the copy npcnn keeps: delete its folder and run again") from error


def cache_folder() -> Path:
    """Return the user's cache folder for npcnn: ``$XDG_CACHE_HOME/npcnn`` or ``~/.cache/npcnn``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "npcnn"


def _announce_synthetic(reason: str) -> None:
    line = "*" * 78
    print(
        f"{line}\n*** CIFAR-10 was not found and could not be downloaded:\n*** {reason}\n"
        "*** Training on SYNTHETIC pictures instead. The results say nothing about CIFAR-10.\n"
        "*** To use the real data: --data-dir FOLDER, the cifar-10-batches-bin of its binary version.\n"
        f"{line}",
        file=sys.stderr,
        flush=True,
    )
