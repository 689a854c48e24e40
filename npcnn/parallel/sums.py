"""Sums over all ranks in a fixed order, begun while backward goes on and completed before the optimizer's step.

MPI has a function for sums over all processes, Allreduce, but promises no order of the additions.  Here the tree of
`npcnn.functional.batch_parts` is climbed bit by bit: in round k a rank exchanges with the one whose number differs in
bit k.  Both then have the same a + b.  There are two ways, for the same sums and so the same bits:

*Doubling* sends all numbers in each of the log2(R) rounds: few messages, for few numbers.

*Halving* (Rabenseifner) sends half of what is left and adds up the other half, so that after the last round each rank
has the whole sum of 1/R of the numbers; then the rounds are gone through backwards, and the finished parts sent.  A
rank sends 2 (R - 1) / R of the numbers, and never more than twice all of them.

An exchange is a generator that yields the messages it waits for.  `Sums` moves all that are on their way forward
whenever it is called: MPI itself does so only inside its own functions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.batch_parts import Combine

Array: TypeAlias = NDArray[Any]
Messages: TypeAlias = Generator[list[Any], None, None]

DOUBLED_BYTES = 32 * 1024  # up to so many, what counts is the number of messages, not their length
MOST_TAGS = 32768  # that every MPI has
LOOKS = 2000  # at messages that have not come, before a rank begins to sleep in between
LONGEST_SLEEP = 1e-3


class Sums:
    """The sums of one rank with the others.

    All ranks must ask for the same sums in the same order.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        Whose size is a power of two.

    Attributes
    ----------
    bytes_sent : int
        How many this rank has sent so far.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self._number, self._count = int(comm.Get_rank()), int(comm.Get_size())
        self._tag = 0
        self._on_their_way: list[_OnItsWay] = []
        self.bytes_sent = 0

    def combined(self, array: Array, combine: Combine) -> Array:
        """Return the arrays of all ranks, combined two by two in the tree.

        Parameters
        ----------
        array : ndarray
            Of one shape and dtype in all ranks.
        combine : callable
            Takes two such arrays, and returns one; whichever comes first, its bits must be the same.
        """
        numbers = np.array(array, order="C")
        one = _OnItsWay(self._doubled(numbers, combine))
        self.wait_until(lambda: self._advance() and one.advance())
        return numbers

    def begin(self, arrays: tuple[Array, ...]) -> None:
        """Begin to replace each array by the sum of those of all ranks: after `complete` that is what it holds.

        Parameters
        ----------
        arrays : tuple of ndarray
            Of the same shapes and dtypes in all ranks; those of one dtype travel together.
        """
        for dtype in dict.fromkeys(array.dtype for array in arrays):
            alike = [array for array in arrays if array.dtype == dtype]
            self._on_their_way.append(_OnItsWay(self._summed(alike)))
        self._advance()

    def complete(self) -> None:
        """Wait until all sums that were begun are there."""
        self.wait_until(lambda: self._advance() and not self._on_their_way)

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Ask until something is done: at first without a pause, then with sleeps, so that others have the core."""
        looks, pause = 0, LONGEST_SLEEP / 64
        while not done():
            looks += 1
            if looks > LOOKS:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_SLEEP)
            elif hasattr(os, "sched_yield"):
                os.sched_yield()

    def _advance(self) -> bool:
        """Move everything that was begun as far as it goes; return True."""
        self._on_their_way = [one for one in self._on_their_way if not one.advance()]
        return True

    def _partners(self) -> list[int]:
        return [self._number ^ 1 << k for k in range(self._count.bit_length() - 1)]

    def _next_tag(self) -> int:
        self._tag = (self._tag + 1) % MOST_TAGS
        return self._tag

    def _messages(self, partner: int, tag: int, there: Array, back: Array) -> list[Any]:
        self.bytes_sent += there.nbytes
        return [self._comm.Irecv(back, partner, tag), self._comm.Isend(there, partner, tag)]

    def _summed(self, arrays: list[Array]) -> Messages:
        numbers = np.concatenate([array.reshape(-1) for array in arrays])
        way = self._doubled(numbers, np.add) if numbers.nbytes <= DOUBLED_BYTES else self._halved(numbers)
        yield from way
        first = 0
        for array in arrays:
            array[...] = numbers[first : first + array.size].reshape(array.shape)
            first += array.size

    def _doubled(self, numbers: Array, combine: Combine) -> Messages:
        tag, theirs = self._next_tag(), np.empty_like(numbers)
        for partner in self._partners():
            yield self._messages(partner, tag, numbers, theirs)
            with np.errstate(over="ignore", invalid="ignore"):
                numbers[...] = combine(numbers, theirs)

    def _halved(self, numbers: Array) -> Messages:
        tag, theirs = self._next_tag(), np.empty_like(numbers)
        first, last = 0, len(numbers)
        given: list[tuple[int, slice, slice]] = []
        for partner in self._partners():
            middle = (first + last) // 2
            lower, upper = slice(first, middle), slice(middle, last)
            kept, sent = (lower, upper) if self._number < partner else (upper, lower)
            yield self._messages(partner, tag, numbers[sent], theirs[kept])
            with np.errstate(over="ignore", invalid="ignore"):
                numbers[kept] += theirs[kept]
            given.append((partner, kept, sent))
            first, last = kept.start, kept.stop
        for partner, kept, sent in reversed(given):
            yield self._messages(partner, tag, numbers[kept], numbers[sent])


class _OnItsWay:
    """One exchange, and the messages that it waits for."""

    def __init__(self, messages: Messages) -> None:
        self._exchange = messages
        self._requests = next(messages, None)

    def advance(self) -> bool:
        """Go as far as is possible without waiting; return whether that is the end."""
        while self._requests is not None and all(request.Test() for request in self._requests):
            self._requests = next(self._exchange, None)
        return self._requests is None
