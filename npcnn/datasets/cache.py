"""Where npcnn keeps files on the user's machine, and how two processes keep out of each other's way there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from npcnn.file_lock import FileLock


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


def expanded(folder: str | Path) -> Path:
    """Return a path in which ``~`` is the home folder, as a shell has it.

    Raises
    ------
    FileNotFoundError
        If there is no such home folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from npcnn.datasets.cache import expanded
    >>> expanded("~/pictures") == Path.home() / "pictures"
    True
    """
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"there is no home folder for {str(folder)!r}; write the folder out") from error


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock file `path`; wait for another process that does.  The system releases the lock of a dead one.

    Parameters
    ----------
    path : Path
        The lock file, which is empty and stays.
    doing : str
        What the process that holds it is doing, for the notice on stderr.
    """
    with FileLock(path) as lock:
        if not lock.try_to_take():
            print(f"waiting for another process that is {doing}", file=sys.stderr, flush=True)
            lock.take()
        yield
