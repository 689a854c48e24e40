"""Learning rates that change with the step: functions of the step's number, which counts from 0.

An optimizer takes a schedule wherever it takes a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from npcnn.functional.checks import integer, number, shown

Schedule: TypeAlias = Callable[[int], float]


def positive(value: float, name: str) -> float:
    """Return `value` if it is a finite number above 0; else raise ValueError or TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
        raise TypeError(f"{name} must be a number above 0, got {shown(value)}")
    try:
        checked = float(value)
    except OverflowError:
        checked = math.inf
    if not 0 < checked < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {shown(value)}")
    return checked


@dataclass(frozen=True)
class Constant:
    """The same rate at every step.

    Examples
    --------
    >>> nn.schedules.Constant(0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        positive(self.lr, "lr")

    def __call__(self, step: int) -> float:
        """Return the rate at `step`."""
        return float(self.lr)


@dataclass(frozen=True)
class Step:
    """`lr`, multiplied by `factor` at each of `milestones`; with a factor of 0, nothing is learnt from there on.

    Examples
    --------
    >>> schedule = nn.schedules.Step(1.0, milestones=(10, 20), factor=0.5)
    >>> schedule(9), schedule(10), schedule(20)
    (1.0, 0.5, 0.25)
    """

    lr: float
    milestones: Sequence[int]
    factor: float = 0.1

    def __post_init__(self) -> None:
        positive(self.lr, "lr")
        number(self.factor, "factor", minimum=0)
        for i, milestone in enumerate(self.milestones):
            integer(milestone, f"milestones[{i}]", minimum=0)

    def __call__(self, step: int) -> float:
        """Return the rate at `step`."""
        passed = sum(step >= milestone for milestone in self.milestones)
        return float(self.lr * self.factor**passed)


@dataclass(frozen=True)
class Cosine:
    """From `lr` down to `final_lr` along half a cosine over `steps` steps, then constant.

    References
    ----------
    Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, equation 5.

    Examples
    --------
    >>> schedule = nn.schedules.Cosine(1.0, steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100)
    (1.0, 0.5, 0.0)
    """

    lr: float
    steps: int
    final_lr: float = 0.0

    def __post_init__(self) -> None:
        positive(self.lr, "lr")
        integer(self.steps, "steps", minimum=1)
        if not 0 <= self.final_lr <= self.lr:
            raise ValueError(f"final_lr must be between 0 and lr, {self.lr}, got {self.final_lr}")

    def __call__(self, step: int) -> float:
        """Return the rate at `step`."""
        return cosine_between(self.lr, self.final_lr, min(step / self.steps, 1.0))


@dataclass(frozen=True)
class OneCycle:
    """Up from ``max_lr / start_factor`` to `max_lr`, then down to ``max_lr / final_factor``, along cosines.

    References
    ----------
    Smith & Topin, "Super-Convergence", 2018, section 3.

    Examples
    --------
    >>> schedule = nn.schedules.OneCycle(1.0, steps=100, warmup=0.25, start_factor=10)
    >>> round(schedule(0), 6), schedule(25), round(schedule(100), 6)
    (0.1, 1.0, 0.0001)
    """

    max_lr: float
    steps: int
    warmup: float = 0.3
    start_factor: float = 25.0
    final_factor: float = 1e4

    def __post_init__(self) -> None:
        positive(self.max_lr, "max_lr")
        positive(self.start_factor, "start_factor")
        positive(self.final_factor, "final_factor")
        integer(self.steps, "steps", minimum=1)
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup must be a share of the steps between 0 and 1, got {self.warmup}")

    def __call__(self, step: int) -> float:
        """Return the rate at `step`."""
        top = self.warmup * self.steps
        if step < top:
            return cosine_between(self.max_lr / self.start_factor, self.max_lr, step / top)
        share = min((step - top) / (self.steps - top), 1.0)
        return cosine_between(self.max_lr, self.max_lr / self.final_factor, share)


@dataclass(frozen=True)
class PiecewiseLinear:
    """Straight lines between `points`, pairs (step, lr) in the order of the steps; constant before and after them.

    Examples
    --------
    >>> schedule = nn.schedules.PiecewiseLinear([(0, 0.0), (10, 1.0), (30, 0.5)])
    >>> schedule(5), schedule(20), schedule(1000)
    (0.5, 0.75, 0.5)
    """

    points: Sequence[tuple[int, float]]

    def __post_init__(self) -> None:
        if not (isinstance(self.points, Sequence) and self.points and all(map(_is_pair, self.points))):
            raise TypeError(f"points must be one or more pairs (step, lr), got {shown(self.points)}")
        for i, (step, lr) in enumerate(self.points):
            integer(step, f"the step of points[{i}]", minimum=0)
            number(lr, f"the lr of points[{i}]", minimum=0)
            if i and step <= self.points[i - 1][0]:
                raise ValueError(f"points must be in the order of their steps, got {shown(self.points)}")

    def __call__(self, step: int) -> float:
        """Return the rate at `step`."""
        steps, rates = zip(*self.points, strict=True)
        return float(np.interp(step, steps, rates))


@dataclass(frozen=True)
class Warmup:
    """Along a straight line from `start_lr` to where `schedule` begins, over `steps` steps; then `schedule`.

    What follows begins when the warm-up is over: ``Warmup(Cosine(0.1, steps=900), steps=100)`` ends at step 1,000.

    Parameters
    ----------
    schedule : float or schedule
        What to warm up to: a rate, or any function of the step, which is asked for step 0 first.
    steps : int
        Steps until then.
    start_lr : float
        Rate of the very first step.

    References
    ----------
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.2.

    Examples
    --------
    >>> schedule = nn.schedules.Warmup(nn.schedules.Cosine(1.0, steps=100), steps=10)
    >>> schedule(0), schedule(5), schedule(10), round(schedule(60), 6), schedule(110)
    (0.0, 0.5, 1.0, 0.5, 0.0)
    """

    schedule: float | Schedule
    steps: int
    start_lr: float = 0.0

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            positive(self.schedule, "schedule")
        integer(self.steps, "steps", minimum=1)
        number(self.start_lr, "start_lr", minimum=0)

    def __call__(self, step: int) -> float:
        """Return the rate at `step`."""
        after = self.schedule if callable(self.schedule) else Constant(self.schedule)
        if step >= self.steps:
            return after(step - self.steps)
        return self.start_lr + (after(0) - self.start_lr) * step / self.steps


def _is_pair(point: object) -> bool:
    return isinstance(point, tuple | list) and len(point) == 2


def cosine_between(start: float, end: float, share: float) -> float:
    """Return the value `share` of the way from `start` to `end` along half a cosine.

    Examples
    --------
    >>> from npcnn.schedules import cosine_between
    >>> cosine_between(3.0, 1.0, 0.0), cosine_between(3.0, 1.0, 1.0)
    (3.0, 1.0)
    """
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
