r"""A batch cut into fixed parts, whose sums are added up in one fixed order, whoever computes them.

Floating-point addition is not associative: (a + b) + c and a + (b + c) differ in their last bits.  A training that is
to end with the same bits on one process and on eight has to add the same numbers in the same order.  So the batch of a
step is cut into P parts of consecutive pictures, P a power of two that belongs to the settings of the training.  What
is summed over the batch (the gradient of a weight, the mean of a batch normalisation, the loss) is summed within each
part, and the P sums are added up in a binary tree:

    part      0   1   2   3   4   5   6   7
               \ /     \ /     \ /     \ /
                +       +       +       +
                 \     /         \     /
                    +               +
                     \             /
                            +

A *rank* is one of the processes that train one network together.  R of them, where R divides P, own P / R parts each,
which are one after the other: what a rank adds up by itself is a branch of this tree.  The rest of the tree is climbed
with the others: with the rank whose number differs in the lowest bit, then in the next, and so on.  Either of the two
computes a + b, and IEEE addition gives both the same bits, whichever of them is a.

What a layer computes for each picture by itself needs no care: the bits do not depend on how many others come with it.

`Cut` says how a batch is cut and which parts are this process's own; layers ask `current` for it.  `npcnn.parallel`
makes ranks out of processes; without it, and for a network that is asked rather than trained, there is one: `Alone`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import integer

Array: TypeAlias = NDArray[Any]
Combine: TypeAlias = Callable[[Array, Array], Array]


class Ranks(Protocol):
    """The processes that train one network together, as one of them sees them.

    Attributes
    ----------
    number : int
        That of this process, from 0.
    count : int
        How many there are: a power of two.
    """

    number: int
    count: int

    def combined(self, array: Array, combine: Combine) -> Array:
        """Return the arrays of all ranks, combined two by two in the tree; it waits for the others."""

    def begin(self, arrays: tuple[Array, ...]) -> None:
        """Begin to replace each array by the sum of those of all ranks; it does not wait."""

    def complete(self) -> None:
        """Wait until everything that was begun is done."""

    def share(self, value: Any) -> Any:
        """Return rank 0's value."""

    def share_arrays(self, arrays: Iterable[Array]) -> None:
        """Write rank 0's numbers into these arrays."""

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""


class Alone:
    """The one rank of a training without others."""

    number = 0
    count = 1

    def combined(self, array: Array, combine: Combine) -> Array:
        """Return the array."""
        return array

    def begin(self, arrays: tuple[Array, ...]) -> None:
        """Leave the arrays as they are: they are the sums."""

    def complete(self) -> None:
        """Return: nothing is ever begun."""

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def share_arrays(self, arrays: Iterable[Array]) -> None:
        """Leave the arrays as they are."""

    def gather(self, value: Any) -> list[Any]:
        """Return a list of the value."""
        return [value]


ALONE = Alone()


def in_tree(values: Iterable[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """Return values combined two by two, the results again two by two, and so on; their number is a power of two.

    At no time more values are held than the tree has levels.

    Examples
    --------
    >>> from npcnn.functional.batch_parts import in_tree
    >>> in_tree("abcd", lambda left, right: f"({left} + {right})")
    '((a + b) + (c + d))'
    """
    waiting: list[tuple[int, Any]] = []
    for value in values:
        size = 1
        while waiting and waiting[-1][0] == size:
            value = combine(waiting.pop()[1], value)
            size *= 2
        waiting.append((size, value))
    ((_, whole),) = waiting
    return whole


@dataclass(frozen=True)
class Cut:
    """How the batch of a training step is cut into parts, and which of them are this process's own.

    Parameters
    ----------
    parts : int
        Parts of the whole batch: a power of two.  The bits of a training depend on it, like on the batch size.
    ranks : Ranks
        The processes that share the parts; their number must divide `parts`.

    Raises
    ------
    TypeError, ValueError
        If `parts` is no such number.

    Examples
    --------
    >>> from npcnn.functional.batch_parts import Cut
    >>> cut = Cut(4)
    >>> cut.pictures(8)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None), slice(6, 8, None)]
    >>> x = np.arange(8.0)
    >>> cut.total(lambda pictures: x[pictures].sum(keepdims=True), 8)
    array([28.])
    """

    parts: int = 1
    ranks: Ranks = ALONE

    def __post_init__(self) -> None:
        parts = integer(self.parts, "parts", minimum=1)
        if parts & (parts - 1):
            raise ValueError(f"parts must be a power of two, got {parts}; use {1 << parts.bit_length() - 1}")
        count = self.ranks.count
        if count & (count - 1):
            raise ValueError(
                f"the number of ranks must be a power of two, got {count}; start {1 << count.bit_length() - 1} of them"
            )
        if parts % count:
            raise ValueError(
                f"the {count} ranks must divide the parts of a batch, got parts={parts}; start at most {parts} ranks, "
                f"or begin a training with parts={count}"
            )

    @property
    def is_whole(self) -> bool:
        """Whether the batch is in one piece, so that there is nothing to add up."""
        return self.parts == 1

    @property
    def own(self) -> range:
        """The numbers of the parts that are this process's own."""
        count = self.parts // self.ranks.count
        return range(self.ranks.number * count, (self.ranks.number + 1) * count)

    def places(self, batch_size: int) -> list[range]:
        """Return for each own part the places of its pictures in the whole batch.

        Raises
        ------
        ValueError
            If a batch of this size cannot be cut into equal parts.

        Examples
        --------
        >>> from npcnn.functional.batch_parts import Cut
        >>> Cut(2).places(6)
        [range(0, 3), range(3, 6)]
        """
        if batch_size % self.parts:
            raise ValueError(
                f"batch_size must be a multiple of the {self.parts} parts that a batch is cut into, got {batch_size}; "
                f"use {batch_size // self.parts * self.parts or self.parts}, or other parts"
            )
        size = batch_size // self.parts
        return [range(part * size, (part + 1) * size) for part in self.own]

    def pictures(self, count: int) -> list[slice]:
        """Return where the own parts lie in arrays of the `count` pictures that this process has.

        Raises
        ------
        ShapeError
            If so many cannot be cut into equal parts.
        """
        size, left = divmod(count, len(self.own))
        if left:
            raise ShapeError(
                f"x must hold a multiple of {len(self.own)} pictures, the parts that it is cut into, got {count}; "
                "use a batch size that is a multiple of parts"
            )
        return [slice(part * size, (part + 1) * size) for part in range(len(self.own))]

    def total(self, of_part: Callable[[slice], Array], count: int, combine: Combine = np.add) -> Array:
        """Return ``of_part(pictures)`` of all parts of the batch, those of other ranks included, combined in the tree.

        Parameters
        ----------
        of_part : callable
            Takes the slice of the pictures of one part, and returns an array of float32 or float64.
        count : int
            Pictures that this process has.
        combine : callable
            Takes two such arrays and returns one like them; whichever of them comes first, its bits must be the same.
        """
        return self.ranks.combined(in_tree(map(of_part, self.pictures(count)), combine), combine)

    def add_up(self, of_part: Callable[[slice], tuple[Array, ...]], count: int, into: tuple[Array, ...]) -> None:
        """Begin to add up ``of_part(pictures)`` of all parts into arrays, which hold the sums after `complete`.

        Parameters
        ----------
        of_part : callable
            Takes the slice of the pictures of one part, and returns new arrays, one for each of `into`.
        count : int
            Pictures that this process has.
        into : tuple of ndarray
            Where the sums go.
        """
        for array, own in zip(into, in_tree(map(of_part, self.pictures(count)), _added), strict=True):
            array[...] = own
        self.ranks.begin(into)

    def complete(self) -> None:
        """Wait until all that `add_up` began is done."""
        self.ranks.complete()


def _added(left: tuple[Array, ...], right: tuple[Array, ...]) -> tuple[Array, ...]:
    """Add up in the memory of `left`."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is infinite or NaN is found at the end of the step
        return tuple(np.add(one, other, out=one) for one, other in zip(left, right, strict=True))


WHOLE = Cut()
_current: ContextVar[Cut] = ContextVar("how a batch is cut", default=WHOLE)


def current() -> Cut:
    """Return how the batch that is being trained on is cut; `WHOLE` outside a training."""
    return _current.get()


@contextmanager
def used(cut: Cut) -> Iterator[None]:
    """Let the layers cut their batches like this, in this thread, within a ``with`` block.

    Examples
    --------
    >>> from npcnn.functional.batch_parts import Cut, current, used
    >>> with used(Cut(8)):
    ...     current().parts
    8
    >>> current().parts
    1
    """
    before = _current.set(cut)
    try:
        yield
    finally:
        _current.reset(before)
