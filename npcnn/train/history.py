"""What a training showed, kept in memory, and when it no longer becomes better."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from npcnn import plot
from npcnn.functional.checks import integer, number
from npcnn.layers import Layer
from npcnn.train.logs import Log
from npcnn.train.loop import StepResult, StopTraining


class History(Log):
    """Callback that keeps every step and every evaluation; `fit` by epochs returns one.

    Attributes
    ----------
    steps : list of dict
        "step", "loss", "accuracy", "seconds", "gradient_norm", ... of each training step.
    evaluations : list of dict
        "step", "seconds", "test_loss" and "test_accuracy" of each evaluation.

    Examples
    --------
    >>> history = nn.train.History()
    >>> history(nn.train.StepResult(1, loss=2.5, accuracy=0.25, images=8, seconds=0.5, gradient_norm=2.0,
    ...                             images_per_second=16.0))
    >>> history.evaluation(step=1, seconds=0.75, loss=2.0, accuracy=0.5)
    >>> history.steps[0]["loss"], history.evaluations[0]["test_accuracy"]
    (2.5, 0.5)
    """

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.evaluations: list[dict[str, float]] = []

    def __call__(self, result: StepResult) -> None:
        """Keep one step."""
        self.steps.append(asdict(result))

    def evaluation(self, *, step: int, seconds: float, loss: float, accuracy: float) -> None:
        """Keep one evaluation."""
        self.evaluations.append({"step": step, "seconds": seconds, "test_loss": loss, "test_accuracy": accuracy})

    def plot(self, *, ax: Any = None, smooth: int = 100) -> Any:
        """Draw the accuracies against the step; see `npcnn.plot.training_curve`.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return plot.training_curve(self, ax=ax, smooth=smooth)


class EarlyStopping(Log):
    """Callback that ends the training when evaluations have not become better for a while.

    Parameters
    ----------
    patience : int
        After so many evaluations in a row that are no better than the best before them the training ends.
    least : float
        By how much the loss has to become smaller to count as better.
    net : Layer, optional
        The network in training, which is to be given its best parameters and state back at the end; by default it
        keeps the last ones.

    Attributes
    ----------
    best_loss, best_step : float, int
        The smallest loss so far, and the step it came at.

    Examples
    --------
    >>> stopping = nn.train.EarlyStopping(patience=2)
    >>> for step, loss in enumerate([1.0, 0.5, 0.75, 0.625], 1):
    ...     stopping.evaluation(step=step, seconds=1.0, loss=loss, accuracy=0.5)
    >>> stopping.best_step, stopping.is_over
    (2, True)
    """

    def __init__(self, *, patience: int = 5, least: float = 0.0, net: Layer | None = None) -> None:
        self.patience = integer(patience, "patience", minimum=1)
        self.least = number(least, "least", minimum=0)
        self.net = net
        self.best_loss, self.best_step = float("inf"), 0
        self.is_over = False
        self._worse = 0
        self._best: dict[str, Any] = {}

    def evaluation(self, *, step: int, seconds: float, loss: float, accuracy: float) -> None:
        """Compare with the best loss so far."""
        if loss < self.best_loss - self.least:
            self.best_loss, self.best_step, self._worse = loss, step, 0
            if self.net is not None:
                self._best = {name: np.copy(array) for name, array in self.net.arrays.items()}
        else:
            self._worse += 1
            self.is_over = self._worse >= self.patience

    def __call__(self, result: StepResult) -> None:
        """End the training if it is over."""
        if self.is_over:
            raise StopTraining

    def close(self) -> None:
        """Give the network its best parameters and state back."""
        if self.net is not None:
            arrays = self.net.arrays
            for name, array in self._best.items():
                arrays[name][...] = array
