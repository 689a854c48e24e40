"""Downloading a data set, an archive or some files: resumed when broken off, checked before it is unpacked.

What a user finds on disk is one of: nothing, ``.part`` files to resume from, or the complete data set.  What is
downloaded goes into a .part file; when its MD5 is right it is unpacked, or moved, into a hidden folder, which is
renamed into place.  A lock file, which is empty and stays, keeps two processes from doing this at once.

The network modules are imported where they are used: most programs find their data on disk.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from npcnn.datasets.cache import expanded, locked
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


@dataclass(frozen=True)
class File:
    """One of the files that a data set is downloaded as.

    Attributes
    ----------
    name : str
        Its name, here and there.
    url : str
        Its address.
    size : int
        Its length in bytes.
    md5 : str
        Its MD5, as 32 hexadecimal digits.
    """

    name: str
    url: str
    size: int
    md5: str


@dataclass(frozen=True)
class Files:
    """Where a data set can be downloaded file by file.

    Attributes
    ----------
    name : str
        Name of the data set.
    folder : str
        The folder that the files are put into.
    files : tuple of File
        All of them.
    """

    name: str
    folder: str
    files: tuple[File, ...]


class DownloadError(OSError):
    """The data could not be fetched; what came of it is kept to resume from."""


def download(source: Archive | Files, folder: str | Path, *, timeout: float = CONNECT_SECONDS) -> Path:
    """Download and unpack a data set into a folder, unless it is there already.

    Parameters
    ----------
    source : Archive or Files
        What to download.
    folder : str or Path
        Where the data set's folder is to be; made if it does not exist.
    timeout : float
        Seconds without a connection or without a byte after which to give up.

    Returns
    -------
    Path
        The data set's folder.

    Raises
    ------
    DownloadError
        If the server cannot be reached or breaks off; call again to resume.
    DataError
        If what came is of another size or MD5, or holds anything but the plain files of one folder; it is deleted.
    OSError
        If the files cannot be written.
    """
    folder = expanded(folder)
    target = folder / source.folder
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / (source.folder + ".lock"), f"downloading {source.name}"):
        if target.is_dir():  # another process was quicker
            return target
        try:
            if isinstance(source, Archive):
                part = folder / (source.folder + ".tar.gz.part")
                _fetch_whole(source, part, timeout)
                _unpack_and_delete(part, target)
            else:
                parts = {file.name: folder / f"{source.folder}-{file.name}.part" for file in source.files}
                for file in source.files:
                    _fetch_whole(file, parts[file.name], timeout)
                _move(parts, target)
        except OSError as error:
            if error.errno is not None and error.filename is None:  # a full disk: a write names no file
                error.filename = str(folder)
            raise
    return target


def _fetch_whole(source: Archive | File, part: Path, timeout: float) -> None:
    """Fetch and check; what is not the right file is deleted."""
    try:
        fetch(source, part, timeout=timeout)
        check_md5(part, source.md5)
    except DataError:
        part.unlink(missing_ok=True)
        raise


def _unpack_and_delete(part: Path, target: Path) -> None:
    try:
        unpack(part, target)
    except DataError:
        part.unlink()
        raise
    part.unlink()


def _move(parts: Mapping[str, Path], target: Path) -> None:
    """Give complete files their names in the folder `target`, which appears when all are in it."""
    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    for name, part in parts.items():
        part.rename(temporary / name)
    temporary.rename(target)


def fetch(source: Archive | File, part: Path, *, timeout: float = CONNECT_SECONDS) -> None:
    """Append what is missing of an archive or another file to the file `part`.

    Raises
    ------
    DownloadError
        As `download`.
    DataError
        If the server has a file of another size.
    """
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    if have >= source.size:
        return
    url, size = source.url, source.size
    with _open(url, have, timeout) as response:
        have = have if response.status == 206 else 0
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and length != str(size - have):
            raise DataError(f"{url} announces {length:.20} bytes, expected {size - have}; it is not the archive")
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(desc=source.name, total=size, initial=have, unit="B", unit_scale=True) as bar,
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
