"""Downloading the archive of a data set: resumed when broken off, checked before it is unpacked.

What a user finds on disk is one of: nothing, a ``.part`` file to resume from, or the complete data set.  The
archive goes into the .part file; when its MD5 is right it is unpacked into a hidden folder, which is renamed
into place.  A lock file, which is empty and stays, keeps two processes from doing this at once.

The network modules are imported where they are used: most programs find their data on disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from npcnn.errors import DataError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from http.client import HTTPResponse

CONNECT_SECONDS = 8.0
CHUNK = 1 << 16
# Names that every file system takes, and that lead nowhere but into the folder they are put in.
PLAIN_NAME = re.compile(r"\w[\w.-]{0,254}", re.ASCII)


@dataclass(frozen=True)
class Archive:
    """Where a data set can be downloaded, and how to tell that it is the right one.

    Attributes
    ----------
    name : str
        Name of the data set.
    url : str
        Address of the archive, a tar file, which may be compressed.
    size : int
        Its length in bytes.
    md5 : str
        Its MD5, as 32 hexadecimal digits.
    folder : str
        The one folder in it, which holds nothing but plain files.
    """

    name: str
    url: str
    size: int
    md5: str
    folder: str


class DownloadError(OSError):
    """The archive could not be fetched; what came of it is kept to resume from."""


def download(archive: Archive, folder: str | Path, *, timeout: float = CONNECT_SECONDS) -> Path:
    """Download and unpack an archive into a folder, unless it is there already.

    Parameters
    ----------
    archive : Archive
        What to download.
    folder : str or Path
        Where the archive's folder is to be; made if it does not exist.
    timeout : float
        Seconds without a connection or without a byte after which to give up.

    Returns
    -------
    Path
        The archive's folder.

    Raises
    ------
    DownloadError
        If the server cannot be reached or breaks off; call again to resume.
    DataError
        If what came is of another size or MD5, or holds anything but the plain files of one folder; it is deleted.
    OSError
        If the files cannot be written.
    """
    folder = Path(folder)
    target = folder / archive.folder
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / (archive.folder + ".tar.gz.part")
    with _locked(folder / (archive.folder + ".lock"), archive.name):
        if target.is_dir():  # another process was quicker
            return target
        try:
            fetch(archive, part, timeout=timeout)
            check_md5(part, archive.md5)
            unpack(part, target)
        except DataError:
            part.unlink(missing_ok=True)
            raise
        except OSError as error:
            if error.errno is not None and error.filename is None:  # a full disk: a write names no file
                error.filename = str(folder)
            raise
        part.unlink()
    return target


def fetch(archive: Archive, part: Path, *, timeout: float = CONNECT_SECONDS) -> None:
    """Append what is missing of an archive to the file `part`.

    Raises
    ------
    DownloadError
        As `download`.
    DataError
        If the server has a file of another size.
    """
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    if have >= archive.size:
        return
    url, size = archive.url, archive.size
    with _open(url, have, timeout) as response:
        have = have if response.status == 206 else 0
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and length != str(size - have):
            raise DataError(f"{url} announces {length:.20} bytes, expected {size - have}; it is not the archive")
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(desc=archive.name, total=size, initial=have, unit="B", unit_scale=True) as bar,
        ):
            for chunk in _chunks(response, url):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > size:
                    raise DataError(f"{url} sent more than {size} bytes; it is not the archive")
            if file.tell() < size:
                raise DownloadError(f"{url} broke off after {file.tell()} of {size} bytes; run again to resume")


def _chunks(response: HTTPResponse, url: str) -> Iterator[bytes]:
    """Yield what the server sends, as it comes; only its failures become DownloadError, not a full disk's."""
    from http.client import HTTPException

    try:
        while chunk := response.read1(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise DownloadError(f"{url} broke off ({error!r}); run again to resume") from error


def _open(url: str, have: int, timeout: float) -> HTTPResponse:
    """Ask for the file from byte `have` on; the server may send all of it."""
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})

    def connect() -> HTTPResponse:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
        return response

    try:
        response = _within(timeout, connect)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:  # its file ends before that: is it another one?
                return _open(url, 0, timeout)
            raise DownloadError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(f"{url} cannot be reached ({reason})") from error
    came_from = response.headers.get("Content-Range", "")
    if have and response.status == 206 and not came_from.startswith(f"bytes {have}-"):
        response.close()  # not the part that was asked for: take all of it
        return _open(url, 0, timeout)
    return response


def _within(seconds: float, call: Callable[[], HTTPResponse]) -> HTTPResponse:
    """Return what `call` returns, or raise TimeoutError: a hanging name server obeys no socket timeout."""
    from concurrent.futures import Future

    outcome: Future[HTTPResponse] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    # Not an executor: at exit Python would wait for its thread, and so for the name server.
    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        outcome.add_done_callback(_close)
        raise TimeoutError(f"no answer within {seconds} s") from None


def _close(outcome: Future[HTTPResponse]) -> None:
    """Close an answer that came too late."""
    if outcome.exception() is None:
        outcome.result().close()


def check_md5(part: Path, md5: str) -> None:
    """Raise DataError unless the file has the given MD5."""
    with part.open("rb") as file:
        got = hashlib.file_digest(file, "md5").hexdigest()
    if got != md5:
        raise DataError(
            f"the downloaded archive has MD5 {got} ({part.stat().st_size} bytes), expected {md5}; it was deleted, "
            "run again"
        )


def unpack(archive: Path, target: Path) -> None:
    """Unpack the plain files of one folder, then rename that folder into place.  The caller holds the lock.

    Raises
    ------
    DataError
        If a member is not a plain file directly in the folder named as `target`; nothing is left.
    """
    import tarfile
    import zlib
    from gzip import BadGzipFile

    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isdir() and member.name.rstrip("/") == target.name:
                    continue
                parts = Path(member.name).parts
                source = tar.extractfile(member) if member.isfile() else None
                if source is None or parts[:-1] != (target.name,) or not PLAIN_NAME.fullmatch(parts[-1]):
                    raise DataError(
                        f"the archive holds {member.name!r:.100}, expected plain files in {target.name}/ only; "
                        "nothing was unpacked"
                    )
                with source, (temporary / parts[1]).open("wb") as file:
                    shutil.copyfileobj(source, file)
        temporary.rename(target)
    except (tarfile.TarError, BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"the archive cannot be unpacked ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Hold the lock file `path`; wait for another process that does.  The system releases the lock of a dead one."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that is downloading {name}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
