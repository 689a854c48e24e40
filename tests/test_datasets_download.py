"""The download: broken off and resumed, checked, unpacked, and what is on disk when it fails."""

import errno
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from archive_server import FOLDER, pack, serving
from cifar_files import contents

import npcnn as nn
from npcnn.datasets import Archive, DownloadError, cache, read_dataset
from npcnn.datasets import download as module
from npcnn.datasets.download import download

PART = f"{FOLDER}.tar.gz.part"
LOCK = f"{FOLDER}.lock"  # empty; may stay


@pytest.fixture(scope="module")
def files():
    """A small CIFAR-10, one record a file."""
    return contents(1)[0]


@pytest.fixture
def server(files, monkeypatch):
    """A good server with the data set."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(pack(files)) as server:
        yield server


def get(folder, server, *, timeout=600.0, **other):
    return download(server.archive(**other), folder, timeout=timeout)


def left_in(folder):
    """Names of all that is in the folder but the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK)


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_download_and_nothing_but_the_data_is_left(tmp_path, server, files):
    cache = tmp_path / "not" / "there"
    assert get(cache, server) == cache / FOLDER
    assert content_of(cache / FOLDER) == files
    assert left_in(cache) == [FOLDER]
    assert server.ranges == [None]
    assert len(read_dataset(cache, records_per_file=1).train_images) == 5


def test_what_is_there_is_not_asked_for_again(tmp_path, server):
    get(tmp_path, server)
    get(tmp_path, server)
    assert len(server.ranges) == 1


def test_a_broken_download_is_resumed_from_where_it_was(tmp_path, server, files):
    server.behaviour = "breaks off"
    size = len(server.content)
    with pytest.raises(DownloadError, match=f"broke off after {size // 2} of {size} bytes; run again to resume"):
        get(tmp_path, server)
    assert left_in(tmp_path) == [PART]
    assert (tmp_path / PART).read_bytes() == server.content[: size // 2]
    with pytest.raises(DownloadError):
        get(tmp_path, server)
    assert left_in(tmp_path) == [PART]
    have = (tmp_path / PART).stat().st_size
    assert size // 2 < have < size
    server.behaviour = "good"
    assert content_of(get(tmp_path, server)) == files
    assert server.ranges == [None, f"bytes={size // 2}-", f"bytes={have}-"]
    assert left_in(tmp_path) == [FOLDER]


@pytest.mark.parametrize(("behaviour", "requests"), [("no range", 1), ("wrong range", 2)])
def test_a_server_that_does_not_resume_gives_all_of_it(tmp_path, server, files, behaviour, requests):
    (tmp_path / PART).write_bytes(server.content[:1000])
    server.behaviour = behaviour
    assert content_of(get(tmp_path, server)) == files
    assert server.ranges == ["bytes=1000-", None][:requests]


def test_a_complete_part_file_needs_only_unpacking(tmp_path, server, files):
    (tmp_path / PART).write_bytes(server.content)
    assert content_of(get(tmp_path, server)) == files
    assert server.ranges == []
    assert left_in(tmp_path) == [FOLDER]


def test_without_a_length(tmp_path, server, files):
    server.behaviour = "chunked"
    assert content_of(get(tmp_path, server)) == files


def test_a_wrong_md5_is_refused_before_anything_is_unpacked(tmp_path, server, monkeypatch):
    monkeypatch.setattr(module, "unpack", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(nn.DataError) as error:
        get(tmp_path, server, md5="0" * 32)
    for part in (server.archive().md5, "0" * 32, f"{len(server.content)} bytes"):
        assert part in str(error.value)
    assert left_in(tmp_path) == []


def test_a_part_file_of_something_else_is_found_out_and_the_next_run_is_clean(tmp_path, server, files):
    (tmp_path / PART).write_bytes(b"x" * 1000)
    with pytest.raises(nn.DataError, match="MD5"):
        get(tmp_path, server)
    assert left_in(tmp_path) == []
    assert content_of(get(tmp_path, server)) == files


def member(name, type=tarfile.REGTYPE, linkname=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type, linkname
    return info


@pytest.mark.parametrize(
    "info",
    [
        member("evil"),
        member("../evil"),
        member("/tmp/evil"),
        member(f"{FOLDER}/../evil"),
        member(f"{FOLDER}/.."),
        member(f"{FOLDER}/deeper/evil"),
        member(f"{FOLDER}/deeper", tarfile.DIRTYPE),
        member("other", tarfile.DIRTYPE),
        member(f"{FOLDER}/evil", tarfile.SYMTYPE, "/etc/passwd"),
        member(f"{FOLDER}/evil", tarfile.LNKTYPE, f"{FOLDER}/test_batch.bin"),
        member(f"{FOLDER}/evil", tarfile.FIFOTYPE),
        member(f"{FOLDER}/evil", tarfile.CHRTYPE),
        member(f"{FOLDER}/{'long' * 64}"),  # 256 bytes, more than a file system takes
        member(f"{FOLDER}/a\nb"),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_an_archive_with_anything_but_plain_files_is_refused(tmp_path, server, files, info):
    server.content = pack(files, [(info, b"")])
    cache = tmp_path / "cache"
    with pytest.raises(nn.DataError, match="nothing was unpacked"):
        get(cache, server)
    assert left_in(cache) == []
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("damage", ["cut", "changed", "no archive"])
def test_a_damaged_archive_with_the_right_md5(tmp_path, server, damage):
    content = bytearray(pack({"numbers": b" ".join(b"%d" % i for i in range(20_000))}))
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "changed":
        middle = len(content) // 2
        content[middle : middle + 100] = b"\xff" * 100
    else:
        content = bytearray(b"<html>log in first</html>")
    server.content = bytes(content)
    with pytest.raises(nn.DataError, match="cannot be unpacked"):
        get(tmp_path, server)
    assert left_in(tmp_path) == []


def test_a_full_disk_is_neither_the_network_nor_the_data(tmp_path, server, files, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(OSError, match="No space left") as error:
            get(tmp_path, server)
    assert not isinstance(error.value, DownloadError)
    assert error.value.filename == str(tmp_path)
    assert left_in(tmp_path) == [PART]
    assert content_of(get(tmp_path, server)) == files


def test_a_folder_half_unpacked_by_a_killed_process_is_swept(tmp_path, server, files):
    half = tmp_path / f".{FOLDER}.unpacking"
    half.mkdir()
    (half / "junk").write_bytes(b"junk")
    assert content_of(get(tmp_path, server)) == files
    assert left_in(tmp_path) == [FOLDER]


@pytest.mark.parametrize(("behaviour", "told"), [("good", "announces"), ("chunked", "sent more than")])
def test_a_file_that_is_too_large_is_not_fetched(tmp_path, server, behaviour, told):
    (tmp_path / PART).write_bytes(server.content[:10])
    server.behaviour = behaviour
    with pytest.raises(nn.DataError, match=rf"{told} .*(1000|990).*not the archive"):
        get(tmp_path, server, size=1000)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("have", [0, 10, 100_000])
def test_a_file_that_is_too_small_is_told_by_its_length(tmp_path, server, have):
    """Also where the part file goes on beyond its end."""
    (tmp_path / PART).write_bytes((100 * server.content)[:have])
    with pytest.raises(nn.DataError, match=r"announces .* expected .*not the archive"):
        get(tmp_path, server, size=200_000)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_of_the_server_is_told(tmp_path, server, status):
    server.behaviour = status
    with pytest.raises(DownloadError, match=f"answered {status}"):
        get(tmp_path, server)
    assert left_in(tmp_path) == []


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/archive.tar.gz"
        with pytest.raises(DownloadError, match="cannot be reached"):
            download(Archive("CIFAR-10", url, 1, "0" * 32, FOLDER), tmp_path)
    assert left_in(tmp_path) == []


def test_a_silent_server(tmp_path, server):
    server.behaviour = "silent"
    with pytest.raises(DownloadError, match="cannot be reached"):
        get(tmp_path, server, timeout=0.3)


def test_a_hanging_name_server(tmp_path, server, monkeypatch):
    answer = threading.Event()

    def getaddrinfo(*_, **__):
        answer.wait(600)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(DownloadError, match=r"no answer within 0.3 s"):
        get(tmp_path, server, timeout=0.3)
    answer.set()


def test_a_machine_without_a_network_finds_out_in_time():
    assert module.CONNECT_SECONDS < 10


def test_a_server_that_stalls_midway_leaves_what_came(tmp_path, server, files):
    server.behaviour = "stalls"
    half, timeout = server.content[: len(server.content) // 2], 0.3
    while not (tmp_path / PART).exists() or (tmp_path / PART).read_bytes() != half:  # a busy machine takes its time
        (tmp_path / PART).unlink(missing_ok=True)
        timeout *= 2
        with pytest.raises(DownloadError) as error:
            get(tmp_path, server, timeout=timeout)
    assert "run again to resume" in str(error.value)
    server.behaviour = "good"
    assert content_of(get(tmp_path, server)) == files


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionResetError(),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        http.client.IncompleteRead(b""),
    ],
    ids=repr,
)
@pytest.mark.parametrize("method", ["begin", "read1"])  # reads the answer's head; its body
def test_every_failure_of_the_network_is_a_download_error(tmp_path, server, monkeypatch, failure, method):
    def fail(*_):
        raise failure

    monkeypatch.setattr(http.client.HTTPResponse, method, fail)
    with pytest.raises(DownloadError) as error:
        get(tmp_path, server)
    assert error.value.__cause__ is not None


def test_two_processes_at_once(tmp_path, server, files):
    program = (
        f"import sys; from npcnn.datasets.download import Archive, download; download({server.archive()}, sys.argv[1])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(nn.__file__).parent.parent)}
    arguments = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate(timeout=1800)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    assert content_of(tmp_path / FOLDER) == files
    assert left_in(tmp_path) == [FOLDER]
    assert server.ranges == [None]


def test_while_another_downloads_this_one_waits_and_says_so(tmp_path, server, files):
    server.behaviour = "stalls"
    outcome = []

    def first():
        try:
            get(tmp_path, server)
        except DownloadError as error:
            outcome.append(error)

    def let_the_first_fail(notice, **_):
        assert "another process" in notice
        server.behaviour = "good"
        server.released.set()

    thread = threading.Thread(target=first)
    thread.start()
    while not server.ranges:  # until the first one holds the lock
        thread.join(0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "print", let_the_first_fail, raising=False)
        assert content_of(get(tmp_path, server)) == files
    thread.join()
    assert len(outcome) == 1
    assert server.ranges[1] == f"bytes={len(server.content) // 2}-"  # it took over what the first had


def test_the_progress_bar_counts_what_was_there_before(tmp_path, server, capsys):
    server.content = pack({"data_batch_1.bin": np.random.default_rng(0).bytes(2_000_000)})
    (tmp_path / PART).write_bytes(server.content[:500_000])
    get(tmp_path, server)
    shown = capsys.readouterr().err
    assert "CIFAR-10" in shown
    assert "100%" in shown
    assert "2.00M/2.00M" in shown


MNIST = {f"{name}-ubyte.gz": np.random.default_rng(1).bytes(5_000 + len(name)) for name in ("images", "labels", "more")}


@pytest.fixture
def files_server(monkeypatch):
    """A good server with three files."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(b"") as server:
        server.files = dict(MNIST)
        yield server


def get_files(folder, server):
    return download(server.described_files("MNIST", "mnist"), folder, timeout=600.0)


def test_files_are_put_into_one_folder_and_nothing_else_is_left(tmp_path, files_server):
    assert get_files(tmp_path, files_server) == tmp_path / "mnist"
    assert content_of(tmp_path / "mnist") == MNIST
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mnist", "mnist.lock"]
    files_server.paths.clear()
    assert get_files(tmp_path, files_server) == tmp_path / "mnist"
    assert files_server.paths == []  # it is there


def test_files_broken_off_are_resumed_where_they_were(tmp_path, files_server):
    for server_side in ("breaks off", "breaks off", "breaks off"):
        files_server.behaviour = server_side
        with pytest.raises(DownloadError, match="run again to resume"):
            get_files(tmp_path, files_server)
        assert not (tmp_path / "mnist").exists()
    files_server.behaviour = "good"
    get_files(tmp_path, files_server)
    assert content_of(tmp_path / "mnist") == MNIST
    assert [path for path in files_server.paths if path == "images-ubyte.gz"] == ["images-ubyte.gz"] * 4
    assert None not in files_server.ranges[1:4]


def test_a_wrong_file_is_deleted_and_the_right_ones_are_kept(tmp_path, files_server):
    source = files_server.described_files("MNIST", "mnist")
    files_server.files["labels-ubyte.gz"] = bytes(len(MNIST["labels-ubyte.gz"]))
    with pytest.raises(nn.DataError, match="MD5"):
        download(source, tmp_path, timeout=600.0)
    parts = {"mnist-images-ubyte.gz.part"}
    assert {path.name for path in tmp_path.iterdir()} == parts | {"mnist.lock"}
    files_server.files, files_server.paths = dict(MNIST), []
    download(source, tmp_path, timeout=600.0)
    assert files_server.paths == ["labels-ubyte.gz", "more-ubyte.gz"]
    assert content_of(tmp_path / "mnist") == MNIST


def test_what_a_killed_process_left_of_the_files_does_no_harm(tmp_path, files_server):
    hidden = tmp_path / ".mnist.unpacking"
    hidden.mkdir()
    (hidden / "images-ubyte.gz").write_bytes(b"old")
    get_files(tmp_path, files_server)
    assert content_of(tmp_path / "mnist") == MNIST
    assert not hidden.exists()


def test_a_tilde_is_the_home_folder(tmp_path, files_server, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert get_files("~/cache", files_server) == tmp_path / "cache/mnist"
