"""A lock that one process has at a time: a file that the system holds locked for it, and lets go when it ends or dies.

POSIX has it in `fcntl`, Windows in `msvcrt`.  Nothing is written to the file, and it stays where it is: whoever deleted
it would let two processes each lock a file of that name.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    import errno
    import msvcrt
else:
    import fcntl

SECONDS_BETWEEN_TRIES = 0.1  # where the system does not wait for a lock by itself


class FileLock:
    """The lock of one file, not yet taken; as a context it is released at the end.

    Parameters
    ----------
    path : Path
        The file, which is made if it does not exist.

    Raises
    ------
    OSError
        If it cannot be opened to write.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from npcnn.file_lock import FileLock
    >>> path = pathlib.Path(tempfile.mkdtemp(), "lock")
    >>> with FileLock(path) as ours, FileLock(path) as theirs:
    ...     ours.try_to_take(), theirs.try_to_take()
    (True, False)
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)  # "w" would cut the file, which Windows refuses while it is locked

    def try_to_take(self) -> bool:
        """Take the lock, or return False at once if it is taken.

        Raises
        ------
        OSError
            If the file system has no locks.
        """
        if sys.platform == "win32":
            self._file.seek(0)
            try:
                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)  # of a byte that need not be there
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EDEADLK):
                    raise
                return False
        else:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def take(self) -> None:
        """Take the lock, after waiting until it is free.

        Raises
        ------
        OSError
            If the file system has no locks.
        """
        if sys.platform == "win32":
            while not self.try_to_take():
                time.sleep(SECONDS_BETWEEN_TRIES)
        else:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """Release the lock, if it was taken, and close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
