"""Downloading the CIFAR-10 archive: resumed when broken off, checked before it is unpacked.

What a user finds on disk is one of: nothing, a ``.part`` file to resume, or the complete data set.  The
archive goes into the .part file; when its MD5 is right it is unpacked into a hidden folder, which is renamed
into place.  An empty lock file, which stays, keeps two processes from doing this at once.

The network modules are imported where they are used: most programs find their data on disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from npcnn.datasets.cifar10 import FOLDER
from npcnn.errors import DataError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from http.client import HTTPResponse

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # as published on the page of the data set

CONNECT_SECONDS = 8.0
CHUNK = 1 << 16
# The archive is 170 MB; one that claims to be much larger is not it.
MOST_BYTES = 1 << 30


class DownloadError(OSError):
    """The archive could not be fetched; what came is kept to resume from."""


def download(folder: str | Path, *, url: str = URL, md5: str = MD5, timeout: float = CONNECT_SECONDS) -> Path:
    """Download and unpack the archive into a folder, unless it is there already.

    Parameters
    ----------
    folder : str or Path
        Where ``cifar-10-batches-bin`` is to be; made if it does not exist.
    url, md5 : str
        Address of the archive, and the MD5 it must have.
    timeout : float
        Seconds without a connection or without a byte after which to give up.

    Returns
    -------
    Path
        The folder ``cifar-10-batches-bin``.

    Raises
    ------
    DownloadError
        If the server cannot be reached or breaks off; call again to resume.
    DataError
        If the archive's MD5 is wrong or it holds anything but the plain files of the data set; it is deleted.
    OSError
        If the files cannot be written.
    """
    folder = Path(folder)
    target = folder / FOLDER
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / (FOLDER + ".tar.gz.part")
    with _locked(folder / (FOLDER + ".lock")):
        if target.is_dir():  # another process was quicker
            return target
        fetch(url, part, timeout=timeout)
        check_md5(part, md5)
        try:
            unpack(part, target)
        except DataError:
            part.unlink()
            raise
        part.unlink()
    return target


def fetch(url: str, part: Path, *, timeout: float = CONNECT_SECONDS) -> None:
    """Append what is missing of `url` to the file `part`.

    Raises
    ------
    DownloadError
        As `download`.
    DataError
        If the file is far too large to be the archive; what came of it is deleted.
    """
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    response = _open(url, have, timeout)
    if response is None:  # the server has nothing beyond what is here
        return
    with response:
        resumed = have > 0 and response.status == 206
        length = response.headers.get("Content-Length")
        total = (have if resumed else 0) + int(length) if length and length.isdecimal() else None
        if total is not None and total > MOST_BYTES:
            part.unlink(missing_ok=True)
            raise DataError(f"{url} announces {total} bytes, more than {MOST_BYTES}; it is not the archive")
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(desc="CIFAR-10", total=total, initial=have if resumed else 0, unit="B", unit_scale=True) as bar,
        ):
            for chunk in _chunks(response, url):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > MOST_BYTES:
                    part.unlink()
                    raise DataError(f"{url} sent more than {MOST_BYTES} bytes; it is not the archive")
            if total is not None and file.tell() != total:
                raise DownloadError(f"{url} broke off after {file.tell()} of {total} bytes; run again to resume")


def _chunks(response: HTTPResponse, url: str) -> Iterator[bytes]:
    """Yield what the server sends, as it comes; only its failures become DownloadError, not a full disk's."""
    from http.client import HTTPException

    try:
        while chunk := response.read1(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise DownloadError(f"{url} broke off ({error!r}); run again to resume") from error


def _open(url: str, have: int, timeout: float) -> HTTPResponse | None:
    """Ask for the file from byte `have` on; None if there is nothing more.  The server may send all of it."""
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
            if error.code == 416 and have:
                return None
            raise DownloadError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(f"{url} cannot be reached ({reason})") from error
    came_from = response.headers.get("Content-Range", "")
    if have and response.status == 206 and not came_from.startswith(f"bytes {have}-"):
        response.close()  # another part than the one asked for: better all of it
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
    """Delete `part` and raise DataError unless it has the given MD5."""
    with part.open("rb") as file:
        got = hashlib.file_digest(file, "md5").hexdigest()
    if got != md5:
        size = part.stat().st_size
        part.unlink()
        raise DataError(
            f"the downloaded archive has MD5 {got} ({size} bytes), expected {md5}; it was deleted, run again"
        )


def unpack(archive: Path, target: Path) -> None:
    """Unpack the plain files of one folder, then rename that folder into place.  The caller holds the lock.

    Raises
    ------
    DataError
        If a member is not a plain file directly in the folder ``cifar-10-batches-bin``; nothing is left.
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
                if not member.isfile() or len(parts) != 2 or parts[0] != target.name or parts[1] == "..":
                    raise DataError(
                        f"the archive holds {member.name!r}, expected plain files in {target.name}/ only; "
                        "nothing was unpacked"
                    )
                source = tar.extractfile(member)
                if source is None:
                    raise DataError(f"the archive's {member.name!r} cannot be read")
                with source, (temporary / parts[1]).open("wb") as file:
                    shutil.copyfileobj(source, file)
        temporary.rename(target)
    except (tarfile.TarError, BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"the archive cannot be unpacked ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; wait for another process that does.  The system frees a dead one's lock."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another process that is downloading CIFAR-10", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
