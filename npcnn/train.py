"""The training loop: where data meets a network.

`fit` takes batches from an iterator and walks one step after the other:
forward, loss, backward, optimizer.  Everything that only watches - progress
bars, logs, evaluation - is a callback that is handed each `StepResult`.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional import softmax_cross_entropy
from npcnn.functional.checks import integer

Array: TypeAlias = NDArray[Any]
Batch: TypeAlias = tuple[Array, Array]


class Network(Protocol):
    """What `fit` and `evaluate` need of a network."""

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the logits."""

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients."""


class Optimizer(Protocol):
    """What `fit` needs of an optimizer."""

    def step(self) -> None:
        """Change the parameters by their gradients."""


@dataclass(frozen=True)
class StepResult:
    """What one training step showed.

    Attributes
    ----------
    step : int
        Number of the step, from 1.
    loss : float
        Mean cross-entropy of the batch, before the step changed the weights.
    accuracy : float
        Share of the batch classified correctly, likewise.
    images : int
        Pictures in the batch.
    seconds : float
        Time since `fit` began.
    """

    step: int
    loss: float
    accuracy: float
    images: int
    seconds: float


Callback: TypeAlias = Callable[[StepResult], None]


class StopTraining(Exception):
    """Raised by a callback to end `fit` after this step, with everything learnt kept."""


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the weights are those from before the step."""


def fit(
    net: Network,
    batches: Iterator[Batch],
    optimizer: Optimizer,
    *,
    steps: int,
    callbacks: Iterable[Callback] = (),
) -> int:
    """Train a classifier with softmax cross-entropy.

    Parameters
    ----------
    net : Network
        Gives logits, shape (N, classes).
    batches : iterator of (x, labels)
        As `npcnn.datasets.TrainingBatches` gives them.
    optimizer : Optimizer
        Made for `net`.
    steps : int
        Number of batches to train on.
    callbacks : iterable of callable
        Each is called with the `StepResult` of every step, in order; one that raises
        `StopTraining` ends the training.

    Returns
    -------
    int
        Steps done; fewer than `steps` when a callback stopped the training or the batches ran out.

    Raises
    ------
    NonFiniteLossError
        If the loss is NaN or infinite.
    TypeError, ValueError
        If `steps` is not an integer of at least 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, rng=rng))
    >>> x = rng.standard_normal((8, 2, 2, 1)).astype(np.float32)
    >>> labels = (x[:, 0, 0, 0] > 0).astype(np.int64)
    >>> losses = []
    >>> nn.train.fit(net, iter([(x, labels)] * 50), nn.SGD(net, lr=1.0), steps=50,
    ...              callbacks=[lambda result: losses.append(result.loss)])
    50
    >>> losses[-1] < losses[0]
    True
    """
    steps = integer(steps, "steps", minimum=0)
    callbacks = tuple(callbacks)
    start = time.perf_counter()
    for step in range(1, steps + 1):
        batch = next(batches, None)
        if batch is None:
            return step - 1
        x, labels = batch
        logits = net.forward(x, training=True)
        loss, dlogits = softmax_cross_entropy(logits, labels)
        if not np.isfinite(loss):
            raise NonFiniteLossError(
                f"the loss is {loss} at step {step}; a smaller learning rate usually helps. "
                "The weights are those from before this step"
            )
        accuracy = _accuracy(logits, labels)
        net.backward(dlogits, need_dx=False)
        optimizer.step()
        result = StepResult(step, loss, accuracy, len(labels), time.perf_counter() - start)
        try:
            for callback in callbacks:
                callback(result)
        except StopTraining:
            return step
    return steps


def evaluate(net: Network, batches: Iterable[Batch]) -> tuple[float, float]:
    """Return mean loss and accuracy of a classifier over all batches.

    Parameters
    ----------
    net : Network
        Gives logits, shape (N, classes).
    batches : iterable of (x, labels)
        As `npcnn.datasets.evaluation_batches` gives them; together at least one picture.

    Returns
    -------
    loss, accuracy : float
        Means over the pictures, not over the batches.

    Raises
    ------
    ValueError
        If there is no picture.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, weight_init=nn.initializers.constant(0.0)))
    >>> x = np.zeros((3, 2, 2, 1), np.float32)
    >>> loss, accuracy = nn.train.evaluate(net, [(x, np.array([0, 0, 1]))])
    >>> round(loss, 4), round(accuracy, 4)               # log 2; the first class is right twice
    (0.6931, 0.6667)
    """
    images, loss_sum, right = 0, 0.0, 0.0
    for x, labels in batches:
        logits = net.forward(x)
        loss, _ = softmax_cross_entropy(logits, labels)
        images += len(labels)
        loss_sum += loss * len(labels)
        right += _accuracy(logits, labels) * len(labels)
    if images == 0:
        raise ValueError("batches must hold at least one picture, got none")
    return loss_sum / images, right / images


def _accuracy(logits: Array, labels: Array) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


class MetricsCSV:
    """Callback that writes one line per step to a CSV file, and one per evaluation.

    Columns: step, seconds, loss, accuracy (of the training batch), test_loss, test_accuracy (empty but
    on the lines of `evaluation`).  The file is complete up to the last step at any time.

    Parameters
    ----------
    path : str or Path
        File to write; it must not exist yet.

    Raises
    ------
    FileExistsError, OSError
        If the file exists or cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "metrics.csv")
    >>> with nn.train.MetricsCSV(path) as metrics:
    ...     metrics(nn.train.StepResult(step=1, loss=2.5, accuracy=0.25, images=8, seconds=0.5))
    ...     metrics.evaluation(step=1, seconds=0.75, loss=2.0, accuracy=0.5)
    >>> print(path.read_text(), end="")
    step,seconds,loss,accuracy,test_loss,test_accuracy
    1,0.500,2.500000,0.250000,,
    1,0.750,,,2.000000,0.500000
    """

    def __init__(self, path: str | Path) -> None:
        self._file = Path(path).open("x", newline="", buffering=1)  # noqa: SIM115 (closed by close)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(["step", "seconds", "loss", "accuracy", "test_loss", "test_accuracy"])

    def __call__(self, result: StepResult) -> None:
        """Write the line of one step."""
        self._writer.writerow(
            [result.step, f"{result.seconds:.3f}", f"{result.loss:.6f}", f"{result.accuracy:.6f}", "", ""]
        )

    def evaluation(self, *, step: int, seconds: float, loss: float, accuracy: float) -> None:
        """Write the line of one evaluation."""
        self._writer.writerow([step, f"{seconds:.3f}", "", "", f"{loss:.6f}", f"{accuracy:.6f}"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
