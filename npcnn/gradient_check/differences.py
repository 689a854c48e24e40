"""The slope of a function at one element, by differences; and whether it has a slope there.

This is the numerical heart of the gradient check; the first paragraphs of `npcnn.gradient_check` tell
what is done and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Index: TypeAlias = tuple[int, ...]

_STEPS = 5  # eps, eps / 10, ..., eps / 10**4


class Slope(NamedTuple):
    """What the differences say about one element: its slope, and the slopes on either side."""

    numeric: float
    left: float
    right: float
    on_kink: bool


class _Attempt(NamedTuple):
    """The differences at the steps h and h/2, and how far they are to be doubted.

    Where the function is smooth the central difference settles as the step shrinks, and the bend
    (right slope minus left slope) shrinks with it.  The doubt is by how much they do not.
    """

    numeric: float
    doubt: float
    left: float
    right: float
    bend: float
    bend_half: float


class Differences:
    """Differences of L = sum(output() * dy) with respect to one element at a time.

    Parameters
    ----------
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
    >>> differences = Differences(lambda: x * abs(x), x * abs(x), np.ones(2), 1e-4, 1e-7)
    >>> round(differences.slope(x, (0,)).numeric, 9)
    6.0
    >>> differences = Differences(lambda: abs(x), abs(x), np.ones(2), 1e-4, 1e-7)
    >>> differences.slope(x, (1,)).on_kink
    True
    """

    def __init__(
        self,
        output: Callable[[], Array],
        y: Array,
        dy: Array,
        eps: float,
        tolerance: float,
    ) -> None:
        self.output, self.y, self.dy = output, y, dy
        self.eps, self.tolerance = eps, tolerance
        self.scale = float(np.abs(y * dy).max(initial=0.0))

    def slope(self, array: Array, index: Index, floor: float = 0.0) -> Slope:
        """Measure one element, with steps that shrink until the differences settle.

        Parameters
        ----------
        array : ndarray
            One of the arrays that `output` depends on; the element is put back to the last bit.
        index : tuple of int
            The element.
        floor : float
            Slopes smaller than this need no more precision than it.

        Returns
        -------
        Slope
            The most settled of the measurements, or the two slopes of a kink.
        """
        unit = max(1.0, abs(float(array[index])))
        attempts: list[_Attempt] = []
        for cut in range(_STEPS):
            h = self.eps * unit / 10**cut
            attempt = self._attempt(array, index, h)
            attempts.append(attempt)
            rounding = 10 * np.finfo(np.float64).eps * self.scale / h
            wanted = self.tolerance / 100 * max(2 * abs(attempt.numeric), floor)
            if attempt.doubt <= max(wanted, rounding):
                break
        best = min(attempts, key=lambda attempt: attempt.doubt)
        if best.doubt > self.tolerance * max(2 * abs(best.numeric), floor):
            across = _across_kink(attempts, best)
            if across is not None:
                return Slope(best.numeric, across.left, across.right, on_kink=True)
        return Slope(best.numeric, best.left, best.right, on_kink=False)

    def _attempt(self, array: Array, index: Index, h: float) -> _Attempt:
        """Measure with the steps h and h/2."""
        left, right, central = self._differences(array, index, h)
        left_half, right_half, central_half = self._differences(array, index, h / 2)
        bend, bend_half = right - left, right_half - left_half
        doubt = abs(central_half - central) + abs(2 * bend_half - bend)
        numeric = (4 * central_half - central) / 3
        # A step may have left the domain of the function (the log of a negative number).
        doubt = math.inf if math.isnan(doubt) else doubt
        return _Attempt(numeric, doubt, left_half, right_half, bend, bend_half)

    def _differences(self, array: Array, index: Index, h: float) -> tuple[float, float, float]:
        """Return the slope on the left, on the right, and the central one, with step h."""
        kept = array[index]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            try:
                array[index] = kept + h
                up = array[index] - kept
                above = self.output()
                array[index] = kept - h
                down = kept - array[index]
                below = self.output()
            finally:
                array[index] = kept
            right = ((above - self.y) * self.dy).sum() / up
            left = ((self.y - below) * self.dy).sum() / down
            central = ((above - below) * self.dy).sum() / (up + down)
        return float(left), float(right), float(central)


def _across_kink(attempts: list[_Attempt], best: _Attempt) -> _Attempt | None:
    """Return the attempt that shows the two slopes of a kink best, or None if there is no kink.

    A jump of the slope at the point itself is the same at every step, while the bend due to
    curvature shrinks tenfold from one step to the next and the bend due to rounding grows tenfold.
    A jump at a small distance shows at the steps that reach across it and is gone at those that do
    not; if rounding was too large for those, there is nothing to judge by either.
    """
    last = attempts[-1]
    stays = all(_similar(attempt.bend_half, last.bend_half, 2.0) for attempt in attempts[-2:])
    if len(attempts) > 1 and stays and best.doubt > 0.1 * abs(last.bend_half):
        return last
    for attempt in reversed(attempts[: attempts.index(best)]):
        if _similar(attempt.bend, attempt.bend_half, 1.25):
            return attempt
    return None


def _similar(first: float, second: float, factor: float) -> bool:
    """Tell whether two numbers have one sign and about one size."""
    return first * second > 0 and 1 / factor < first / second < factor
