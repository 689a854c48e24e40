"""Pictures of a training, drawn with matplotlib (``pip install npcnn[plot]``).

Each function draws into the Axes it is given, or a new one, and returns it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np


def training_curve(metrics: str | Path, *, ax: Any = None, smooth: int = 100) -> Any:
    """Draw training and test accuracy against the step.

    Parameters
    ----------
    metrics : str or Path
        File that `npcnn.train.MetricsCSV` wrote.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    smooth : int
        Steps over which the training accuracy is averaged, at most a fifth of all steps.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the file holds no step.
    """
    with Path(metrics).open(newline="") as file:
        rows = list(csv.DictReader(file))
    training = [(int(row["step"]), float(row["accuracy"])) for row in rows if row["accuracy"]]
    test = [(int(row["step"]), float(row["test_accuracy"])) for row in rows if row["test_accuracy"]]
    if not training:
        raise ValueError(f"metrics must hold at least one step, got none in {metrics}")
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(8, 4.5), layout="constrained").subplots()

    steps, accuracy = np.array(training).T
    window = max(1, min(smooth, len(steps) // 5))
    means = np.convolve(accuracy, np.full(window, 1 / window), mode="valid")
    ax.plot(steps[window - 1 :], means, label=f"training batch, mean of {window} steps")
    if test:
        ax.plot(*np.array(test).T, marker="o", markersize=3, label=f"test, last {test[-1][1]:.4f}")
    ax.set_xlabel("step")
    ax.set_ylabel("accuracy")
    ax.set_xlim(0, steps[-1] * 1.02)
    ax.set_ylim(0, 1)
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
    return ax
