"""Which learning rate to train with: a short training in which it grows from step to step, and the loss at each."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn import plot
from npcnn.functional import softmax_cross_entropy
from npcnn.functional.checks import integer
from npcnn.layers import Layer
from npcnn.optimizers import Optimizer
from npcnn.schedules import positive
from npcnn.train.loop import Batch, Loss, NonFiniteError, StepResult, StopTraining, fit

SMOOTHING = 0.9  # of the running mean of the loss
DIVERGED = 4.0  # times the smallest running mean: the training is lost


@dataclass(frozen=True, eq=False)
class LearningRates:
    """What `find_lr` tried.

    Attributes
    ----------
    lrs, losses : ndarray, shape (steps,)
        The learning rate of each step, and the running mean of the loss before it.
    """

    lrs: NDArray[np.float64]
    losses: NDArray[np.float64]

    @property
    def suggestion(self) -> float:
        """A tenth of the learning rate at which the loss was smallest: there it still falls, and safely."""
        return float(self.lrs[np.argmin(self.losses)]) / 10

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the loss against the learning rate, with the suggestion; see `npcnn.plot.learning_rates`.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return plot.learning_rates(self.lrs, self.losses, self.suggestion, ax=ax)


def find_lr(
    net: Layer,
    batches: Iterator[Batch],
    optimizer: Optimizer,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    loss: Loss = softmax_cross_entropy,
) -> LearningRates:
    """Train a copy of a network with a learning rate that grows, until the loss does, and return the losses.

    The network and its optimizer are left as they are.

    Parameters
    ----------
    net : Layer
        The network.
    batches : iterator of (x, labels)
        As for `fit`; those it takes are used up.
    optimizer : Optimizer
        Made for `net`; its learning rate is not used.
    lowest, highest : float
        Learning rates of the first and of the last step; each step's is a constant factor above the one before.
    steps : int
        How many steps to do, at least 2; fewer are done when the loss has become four times its smallest.
    loss : callable
        As for `fit`.

    Returns
    -------
    LearningRates

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above, or no step could be done.

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, rng=rng))
    >>> x = rng.standard_normal((8, 2, 2, 1)).astype(np.float32)
    >>> labels = (x[:, 0, 0, 0] > 0).astype(np.int64)
    >>> found = nn.train.find_lr(net, iter([(x, labels)] * 100), nn.SGD(net, lr=1.0), lowest=1e-3, highest=1e3)
    >>> bool(1e-3 <= found.suggestion <= 1e3)
    True
    """
    lowest, highest = positive(lowest, "lowest"), positive(highest, "highest")
    if lowest >= highest:
        raise ValueError(f"highest must be above lowest, {lowest}, got {highest}")
    steps = integer(steps, "steps", minimum=2)
    net, optimizer = copy.deepcopy((net, optimizer))  # together, so that the one still changes the other
    begin = optimizer.steps
    optimizer.schedule = lambda step: lowest * (highest / lowest) ** ((step - begin) / (steps - 1))
    lrs: list[float] = []
    means: list[float] = []
    mean = 0.0

    def watch(result: StepResult) -> None:
        nonlocal mean
        mean = SMOOTHING * mean + (1 - SMOOTHING) * result.loss
        lrs.append(optimizer.schedule(begin + result.step - 1))
        means.append(mean / (1 - SMOOTHING**result.step))  # as in Adam: the mean began at 0
        if means[-1] > DIVERGED * min(means):
            raise StopTraining

    with contextlib.suppress(NonFiniteError):  # of a learning rate so large that nothing is learnt beyond it
        fit(net, batches, optimizer, steps=steps, loss=loss, callbacks=[watch])
    if not lrs or not math.isfinite(means[0]):
        raise ValueError("no step could be done: batches gave none, or the loss was not finite at the lowest rate")
    return LearningRates(np.array(lrs), np.array(means))
