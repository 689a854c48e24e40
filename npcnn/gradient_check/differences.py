"""The slope of a function at one element, by differences; and whether it has a slope there.

This is the numerical heart of the gradient check; the first paragraphs of `npcnn.gradient_check`
explain what is done and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Index: TypeAlias = tuple[int, ...]

_STEPS = 5  # eps, eps / 10, ..., eps / 10**4
_FLOOR_OF_OUTPUT = 1e-4
_FLOOR_OF_ARRAY = 1e-3
_FAR = 1e6  # a step far outside the bend of any saturating function, times max(1, abs(element))
_EPSILON = float(np.finfo(np.float64).eps)


class Slope(NamedTuple):
    """What the differences say about one element: its slope, the slopes on either side, the outputs it moves."""

    numeric: float
    left: float
    right: float
    on_kink: bool
    moved: NDArray[np.bool_]


class _Attempt(NamedTuple):
    """The differences at the steps h and h/2, and how much they are to be doubted.

    Where the function is smooth the central difference settles as the step shrinks, and the bend
    (right slope minus left slope) shrinks with it.  The doubt measures how far they do not, and is
    infinite if the output is not finite there.
    """

    numeric: float
    doubt: float
    left: float
    right: float
    bend: float
    bend_half: float
    moved: NDArray[np.bool_]

    @property
    def steeper(self) -> float:
        """The size of the larger of the two one-sided slopes."""
        return max(abs(self.left), abs(self.right))


class Differences:
    """Differences of L = sum(output() * dy) with respect to one element of an array at a time.

    Parameters
    ----------
    array : ndarray
        One of the arrays that `output` depends on; elements are put back to the last bit.
    output : callable
        Returns the output at the present values of the arrays, as a new array.
    y : ndarray
        The output before anything is moved.
    dy : ndarray, shape of `y`
        The fixed factors.
    eps : float
        The largest step, times max(1, abs(element)).
    tolerance : float
        The relative error that will be allowed.  Differences that settle to a hundredth of it need
        no smaller step; those that do not settle to it at all may show a kink.

    Examples
    --------
    >>> from npcnn.gradient_check.differences import Differences
    >>> x = np.array([3.0, 0.0])
    >>> differences = Differences(x, lambda: x * abs(x), x * abs(x), np.ones(2), 1e-4, 1e-7)
    >>> round(differences.slope((0,)).numeric, 9)
    6.0
    >>> differences = Differences(x, lambda: abs(x), abs(x), np.ones(2), 1e-4, 1e-7)
    >>> differences.slope((1,)).on_kink
    True
    """

    def __init__(
        self, array: Array, output: Callable[[], Array], y: Array, dy: Array, eps: float, tolerance: float
    ) -> None:
        self.array, self.output, self.y, self.dy = array, output, y, dy
        self.eps, self.tolerance = eps, tolerance
        with np.errstate(over="ignore"):
            self._sizes = np.abs(y * dy)
        self._steepest = np.zeros_like(y)  # for each output, the largest slope so far of an element that moves it

    def floor(self, moved: NDArray[np.bool_]) -> float:
        """Return the size below which rounding hides the slope of an element that moves these outputs."""
        return max(_FLOOR_OF_OUTPUT * _largest(self._sizes, moved), _FLOOR_OF_ARRAY * _largest(self._steepest, moved))

    def slope(self, index: Index) -> Slope:
        """Measure one element, with steps that shrink until the differences settle.

        Returns
        -------
        Slope
            The most settled of the measurements, or the two slopes of a kink.
        """
        unit = max(1.0, abs(float(self.array[index])))
        attempts: list[_Attempt] = []
        for cut in range(_STEPS):
            h = self.eps * unit / 10**cut
            attempt = self._attempt(index, h)
            attempts.append(attempt)
            rounding = _EPSILON * _largest(self._sizes, attempt.moved) / h
            if attempt.doubt <= max(self._allowed(attempt) / 100, 10 * rounding):
                break
        at = min(range(len(attempts)), key=lambda at: attempts[at].doubt)
        best, numeric, size = attempts[at], attempts[at].numeric, abs(attempts[at].numeric)
        if best.doubt > self._allowed(best):
            if _vanishes(attempts[: at + 1]):
                numeric, size = 0.0, attempts[0].steeper
            elif across := _across_kink(attempts, at):
                return Slope(numeric, across.left, across.right, True, across.moved)
        moved = best.moved
        # Outputs that do not move may have a slope that rounding hides.  If it would matter, a long step tells.
        hidden = _EPSILON * _largest(self._sizes, ~moved) / (self.eps * unit / 10**at)
        if hidden > self._allowed(best):
            moved = moved | self._moved_by(index, _FAR * unit)
        if math.isfinite(size):
            np.maximum(self._steepest, size, out=self._steepest, where=moved)
        return Slope(numeric, best.left, best.right, False, moved)

    def _allowed(self, attempt: _Attempt) -> float:
        """Return the error that a slope of this size is allowed."""
        if not math.isfinite(attempt.doubt):
            return 0.0
        return self.tolerance * max(2 * abs(attempt.numeric), self.floor(attempt.moved))

    def _moved_by(self, index: Index, step: float) -> NDArray[np.bool_]:
        """Return which outputs a long step moves: those that depend on the element, saturated or not.

        The short steps of a difference change ``1 / (1 + exp(-30))`` by less than its rounding, and
        yet its slope is not 0.
        """
        try:
            return self._differences(index, step)[-1]
        except Exception:  # the function refuses so distant a value, in whatever way: assume that all outputs move
            return np.ones_like(self.y, dtype=bool)

    def _attempt(self, index: Index, h: float) -> _Attempt:
        """Measure with the steps h and h/2."""
        left, right, central, moved = self._differences(index, h)
        left_half, right_half, central_half, moved_half = self._differences(index, h / 2)
        bend, bend_half = right - left, right_half - left_half
        doubt = abs(central_half - central) + abs(2 * bend_half - bend)
        return _Attempt(
            (4 * central_half - central) / 3,
            # A step may have reached a pole, or left the domain of the function (the log of a negative number).
            doubt if math.isfinite(doubt) else math.inf,
            left_half,
            right_half,
            bend,
            bend_half,
            moved | moved_half,
        )

    def _differences(self, index: Index, h: float) -> tuple[float, float, float, NDArray[np.bool_]]:
        """Return the slope on the left, on the right, and the central one, with step h; and which outputs moved."""
        kept = self.array[index]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            try:
                self.array[index] = kept + h
                up = self.array[index] - kept
                above = self.output()
                self.array[index] = kept - h
                down = kept - self.array[index]
                below = self.output()
            finally:
                self.array[index] = kept
            right = ((above - self.y) * self.dy).sum() / up
            left = ((self.y - below) * self.dy).sum() / down
            central = ((above - below) * self.dy).sum() / (up + down)
        return float(left), float(right), float(central), (above != self.y) | (below != self.y)


def _vanishes(attempts: list[_Attempt]) -> bool:
    """Return whether the slopes on both sides tend to 0 with the step, so that what remains is due to the step.

    A tenth of the step leaves a tenth of the slope of ``max(x, 0)**2`` at 0, and a third of that of
    ``max(x, 0)**1.5``: no difference settles to 0 there.
    """
    return len(attempts) > 2 and all(3 * after.steeper < before.steeper for before, after in pairwise(attempts))


def _across_kink(attempts: list[_Attempt], best: int) -> _Attempt | None:
    """Return the attempt that shows the two slopes of a kink best, or None if there is no kink.

    A jump of the slope at the point itself is the same at every step, while the bend due to
    curvature shrinks tenfold from one step to the next and the bend due to rounding grows tenfold.
    A jump at a small distance shows at the steps that reach across it and is gone at those that do
    not; if rounding was too large for those, there is nothing to judge by either.
    """
    last = attempts[-1]
    stays = all(_similar(attempt.bend_half, last.bend_half, 2.0) for attempt in attempts[-2:])
    if len(attempts) > 1 and stays and attempts[best].doubt > 0.1 * abs(last.bend_half):
        return last
    for attempt in reversed(attempts[:best]):
        if _similar(attempt.bend, attempt.bend_half, 1.25):
            return attempt
    return None


def _largest(values: Array, where: NDArray[np.bool_]) -> float:
    """Return the largest of some values that are not negative; 0 if there is none."""
    return float(values.max(where=where, initial=0.0))


def _similar(first: float, second: float, factor: float) -> bool:
    """Return whether two numbers have the same sign and about the same size."""
    return first * second > 0 and 1 / factor < first / second < factor
