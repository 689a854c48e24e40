"""The slope of a function at one element, by differences; and whether it has a slope there.

This is the numerical heart of the gradient check; the first paragraphs of `npcnn.gradcheck` tell
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
    precision : float
        The relative precision at which smaller steps are no longer tried.

    Examples
    --------
    >>> from npcnn.gradcheck.differences import Differences
    >>> x = np.array([3.0, 0.0])
    >>> differences = Differences(lambda: x * abs(x), x * abs(x), np.ones(2), 1e-4, 1e-9)
    >>> round(differences.slope(x, (0,)).numeric, 9)
    6.0
    >>> differences = Differences(lambda: abs(x), abs(x), np.ones(2), 1e-4, 1e-9)
    >>> differences.slope(x, (1,)).on_kink
    True
    """

    def __init__(
        self,
        output: Callable[[], Array],
        y: Array,
        dy: Array,
        eps: float,
        precision: float,
    ) -> None:
        self.output, self.y, self.dy = output, y, dy
        self.eps, self.precision = eps, precision
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
        size = max(1.0, abs(float(array[index])))
        best, least_doubt = math.nan, math.inf
        bends = []
        for cut in range(_STEPS):
            h = self.eps * size / 10**cut
            left, right, central = self._differences(array, index, h)
            left_half, right_half, central_half = self._differences(array, index, h / 2)
            # Where the function is smooth the central difference settles, and the bend (right
            # slope minus left slope) halves with the step.  NaN is never the least doubt.
            bend, bend_half = right - left, right_half - left_half
            doubt = abs(central_half - central) + abs(2 * bend_half - bend)
            if doubt < least_doubt:
                best, least_doubt = (4 * central_half - central) / 3, doubt
            rounding = 10 * np.finfo(np.float64).eps * self.scale / h
            if doubt <= max(self.precision * max(2 * abs(best), floor), rounding):
                return Slope(best, left_half, right_half, on_kink=False)
            bends.append(bend_half)
        return Slope(best, left_half, right_half, _is_jump(bends, least_doubt))

    def _differences(self, array: Array, index: Index, h: float) -> tuple[float, float, float]:
        """Return the slope on the left, on the right, and the central one, with step h."""
        kept = array[index]
        # A step may leave the domain of the function (the log of a negative number); the NaN
        # it brings back is dealt with above.
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


def _is_jump(bends: list[float], least_doubt: float) -> bool:
    """Tell whether the slope jumps at the point itself, from the bends at shrinking steps.

    A jump is the same at every step, while the bend due to curvature shrinks tenfold from one
    step to the next and the bend due to rounding grows tenfold.
    """
    previous, last = bends[-2:]
    stays = last * previous > 0 and 0.5 < last / previous < 2
    return stays and least_doubt > 0.1 * abs(last)
