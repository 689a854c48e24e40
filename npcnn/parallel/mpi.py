"""The ranks that mpiexec started: who they are, what they tell one another, and how they end together."""

from __future__ import annotations

import os
import pickle
import platform
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import to_install
from npcnn.functional.batch_parts import ALONE, Combine, Ranks
from npcnn.functional.checks import shown
from npcnn.parallel.sums import Sums

Array: TypeAlias = NDArray[Any]

PARTS = 8  # of a batch, unless a training says otherwise: for any number of ranks up to that, the same bits
# What the launchers tell a process: its number, and how many there are (Open MPI; MPICH, Intel MPI and others).
NUMBERS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK")
COUNTS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
GIVE_WAY = 1.0  # seconds that rank 0 has for an error that all of them may have
CHOICES = ("auto", "mpi", "one")


def started_by_mpi() -> bool:
    """Return whether mpiexec started this process, by the environment variables that it sets.

    Examples
    --------
    >>> nn.parallel.started_by_mpi()
    False
    """
    return any(name in os.environ for name in COUNTS)


def is_first() -> bool:
    """Return whether this is rank 0, or no rank at all, by the same variables: also before MPI is there."""
    return all(os.environ.get(name, "0") == "0" for name in NUMBERS)


class MPIRanks:
    """The ranks of MPI's world; see `npcnn.functional.batch_parts.Ranks`.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        All of them.

    Attributes
    ----------
    number, count : int
        Of this process, and of all.
    threads : int
        How many threads each rank of this machine has, if they share its cores.
    sums : Sums
        What they add up.
    folder : Path or None
        That of their run, for messages.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm.Dup()
        self.number, self.count = int(comm.Get_rank()), int(comm.Get_size())
        self.sums = Sums(self._comm)
        self.folder: Path | None = None
        cores, host = _cores(), platform.node()
        here = [theirs for where, theirs in self.gather((host, cores)) if where == host]
        self.threads = max(len(cores) // sum(bool(cores & theirs) for theirs in here), 1)

    def combined(self, array: Array, combine: Combine) -> Array:
        """Return the arrays of all ranks, combined in the tree; see `Sums.combined`."""
        return self.sums.combined(array, combine)

    def begin(self, arrays: tuple[Array, ...]) -> None:
        """Begin to replace arrays by their sums; see `Sums.begin`."""
        self.sums.begin(arrays)

    def complete(self) -> None:
        """Wait for all that was begun; see `Sums.complete`."""
        self.sums.complete()

    def share(self, value: Any) -> Any:
        """Return rank 0's value, which must be one that pickle takes."""
        data = np.frombuffer(pickle.dumps(value), np.uint8).copy()
        length = np.array([len(data)])
        self.share_arrays([length])
        if self.number:
            data = np.empty(length[0], np.uint8)
        self.share_arrays([data])
        return pickle.loads(data.tobytes())

    def share_arrays(self, arrays: Iterable[Array]) -> None:
        """Write rank 0's numbers into these arrays, contiguous ones of the same shapes in all ranks."""
        for array in arrays:
            self.sums.wait_until(self._comm.Ibcast(array, 0).Test)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""
        data = np.frombuffer(pickle.dumps(value), np.uint8).copy()
        lengths = np.empty(self.count, np.int64)
        self.sums.wait_until(self._comm.Iallgather(np.array([len(data)]), lengths).Test)
        whole = np.empty(lengths.sum(), np.uint8)
        self.sums.wait_until(self._comm.Iallgatherv(data, [whole, lengths.tolist()]).Test)
        ends = np.cumsum(lengths)
        return [pickle.loads(whole[end - length : end].tobytes()) for end, length in zip(ends, lengths, strict=True)]

    def fail(self, message: str, status: int) -> None:
        """Print why this rank fails, and end all of them."""
        if self.number:
            time.sleep(GIVE_WAY)  # an error that all have is printed once
        # On a line of its own, below a progress bar.
        print(f"\nrank {self.number} of {self.count}: {message}", file=sys.stderr)
        go_on = f"; to go on from the last checkpoint: --resume {self.folder}" if self.folder is not None else ""
        print(f"so all ranks end{go_on}", file=sys.stderr, flush=True)
        self._comm.Abort(status)


_joined: MPIRanks | None = None


def join(choice: str = "auto") -> Ranks:
    """Return the ranks that this process belongs to.

    From then on an exception that nobody catches ends all of them, and what ranks other than 0 print to stdout goes
    nowhere.

    Parameters
    ----------
    choice : "auto", "mpi" or "one"
        Of how many this is one: as many as mpiexec started, if it did; as MPI says; none but this.

    Raises
    ------
    ModuleNotFoundError
        If mpi4py is needed and not installed.
    RuntimeError
        If there is no MPI that mpi4py could use.
    ValueError
        If `choice` is none of the three, or the number of ranks is no power of two.

    Examples
    --------
    >>> nn.parallel.join().count
    1
    """
    global _joined
    if choice not in CHOICES:
        raise ValueError(f"choice must be one of {', '.join(CHOICES)}, got {shown(choice)}")
    if choice == "one" or (choice == "auto" and not started_by_mpi()):
        return ALONE
    if _joined is None:
        _joined = MPIRanks(_world())
        sys.excepthook = _end_all
        if _joined.number:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # as long as the process
    if _joined.count & (_joined.count - 1):
        raise ValueError(
            f"the number of ranks must be a power of two, got {_joined.count}; "
            f"use mpiexec -n {1 << _joined.count.bit_length() - 1}"
        )
    return _joined


def failed(message: str, status: int) -> None:
    """Print a message and end all ranks, if this process is one of several; else do nothing."""
    if _joined is not None:
        _joined.fail(message, status)


def refuse_differences(ranks: Ranks, about: Mapping[str, Any]) -> None:
    """Raise `ValueError` if the ranks do not have the same of something, such as the data; it is named.

    Parameters
    ----------
    ranks : Ranks
        Who is compared.
    about : dict
        What must be the same in all of them, by name.

    Examples
    --------
    >>> nn.parallel.refuse_differences(nn.parallel.Alone(), {"version": "0.1"})
    """
    first, *others = ranks.gather(dict(about))
    for number, theirs in enumerate(others, 1):
        for name in dict.fromkeys([*first, *theirs]):
            if first.get(name) != theirs.get(name):
                raise ValueError(
                    f"all ranks must have the same {name}, got {shown(first.get(name))} in rank 0 and "
                    f"{shown(theirs.get(name))} in rank {number}"
                )


def _world() -> Any:
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"  # it is always the main thread that calls it
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"ranks need mpi4py: {to_install('mpi')}; or train in one process, with --ranks one", name="mpi4py"
        ) from error
    return MPI.COMM_WORLD


def _cores() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _end_all(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Print what `sys.excepthook` prints, and end all ranks."""
    failed("".join(traceback.format_exception(kind, error, where)), 1)
