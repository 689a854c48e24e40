"""The lock between processes: taken once, released by a dead process, and the same where Windows locks."""

import errno
import fcntl
import importlib
import signal
import subprocess
import sys
import threading
import types

import pytest

from npcnn import file_lock

HOLDER = """
import pathlib, sys, time
from npcnn.file_lock import FileLock
lock = FileLock(pathlib.Path(sys.argv[1]))
print(lock.try_to_take(), flush=True)
time.sleep(600)
"""


def windows_locking(handle, mode, count):
    """Do with flock what `msvcrt.locking` does: an error where another one has the byte."""
    assert (mode, count) == (2, 1)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PermissionError(errno.EACCES, "Permission denied") from error


@pytest.fixture(params=["here", "as on Windows"])
def locks(request, monkeypatch):
    """Return the module; the second time the branches of Windows run, on what flock answers."""
    if request.param == "here":
        yield file_lock
        return
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "msvcrt", types.SimpleNamespace(LK_NBLCK=2, locking=windows_locking))
        patched.setattr(sys, "platform", "win32")
        yield importlib.reload(file_lock)
    importlib.reload(file_lock)


def test_one_has_the_lock_until_it_is_closed(locks, tmp_path):
    with locks.FileLock(tmp_path / "lock") as ours, locks.FileLock(tmp_path / "lock") as theirs:
        assert ours.try_to_take()
        assert not theirs.try_to_take()
        ours.close()
        assert theirs.try_to_take()
    assert (tmp_path / "lock").read_bytes() == b""


def test_take_waits_for_the_other(locks, tmp_path):
    with locks.FileLock(tmp_path / "lock") as ours, locks.FileLock(tmp_path / "lock") as theirs:
        assert ours.try_to_take()
        waiting = threading.Thread(target=theirs.take)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        ours.close()
        waiting.join(60)
        assert not waiting.is_alive()


def test_what_stands_in_the_file_stays(locks, tmp_path):
    (tmp_path / "lock").write_text("kept")
    with locks.FileLock(tmp_path / "lock") as lock:
        assert lock.try_to_take()
    assert (tmp_path / "lock").read_text() == "kept"


def test_a_killed_process_lets_go(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        with file_lock.FileLock(tmp_path / "lock") as lock:
            assert not lock.try_to_take()
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            assert lock.try_to_take()


def test_an_error_that_says_nothing_of_another_process_is_not_hidden(monkeypatch, tmp_path):
    def no_locks(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with file_lock.FileLock(tmp_path / "lock") as lock, pytest.raises(OSError, match="No locks available"):
        lock.try_to_take()
