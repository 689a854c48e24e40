"""Callbacks that accompany a training: the progress bar, the evaluation, and the signals that end it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from tqdm import tqdm

from npcnn.functional import softmax_cross_entropy
from npcnn.functional.checks import integer
from npcnn.train.averages import Average
from npcnn.train.logs import Log
from npcnn.train.loop import Array, Batch, Loss, Network, StepResult, StopTraining, evaluate

TestBatches: TypeAlias = Callable[[], Iterable[Batch]]


class Progress(Log):
    """Callback that shows a progress bar, and prints a line at regular intervals and at every evaluation.

    The bar goes to stderr, the lines to stdout.

    Parameters
    ----------
    steps : int, optional
        Number of the last step; without it the bar has no end.
    every : int
        Steps between lines.

    Examples
    --------
    >>> with nn.train.Progress(steps=2, every=2) as progress:
    ...     for step in (1, 2):
    ...         progress(nn.train.StepResult(step, loss=2.5, accuracy=0.25, images=8, seconds=0.5 * step,
    ...                                      gradient_norm=2.0, images_per_second=16.0))
    ...     progress.evaluation(step=2, seconds=1.5, loss=2.0, accuracy=0.5)
    step      2  training accuracy 0.2500  loss 2.5000
    step      2  test accuracy 0.5000  loss 2.0000
    """

    def __init__(self, steps: int | None = None, *, every: int = 200) -> None:
        self.steps, self.every = steps, integer(every, "every", minimum=1)
        self._bar: Any = None  # made at the first step, which says where the training begins
        self._images, self._time = 0, time.perf_counter()

    def __call__(self, result: StepResult) -> None:
        """Advance the bar; print the line when it is due."""
        if self._bar is None:
            begin = result.step - 1
            self._bar = tqdm(initial=begin, total=self.steps, unit="step", dynamic_ncols=True, mininterval=0.5)
        self._bar.update()
        self._images += result.images
        if result.step % self.every == 0:
            now = time.perf_counter()
            speed = self._images / max(now - self._time, 1e-9)
            self._images, self._time = 0, now
            self._bar.set_postfix_str(f"{speed:.0f} images/s, loss {result.loss:.3f}")
            tqdm.write(_line(result.step, "training", result.loss, result.accuracy))

    def evaluation(self, *, step: int, seconds: float, loss: float, accuracy: float) -> None:
        """Print a line."""
        tqdm.write(_line(step, self.evaluated_on, loss, accuracy))

    def close(self) -> None:
        """Leave the bar as it is and end its line."""
        if self._bar is not None:
            self._bar.close()


def _line(step: int, where: str, loss: float, accuracy: float) -> str:
    if math.isnan(accuracy):
        return f"step {step:6d}  {where} loss {loss:.4f}"
    return f"step {step:6d}  {where} accuracy {accuracy:.4f}  loss {loss:.4f}"


class Evaluation:
    """Callback that evaluates the network at regular intervals and tells the logs.

    It also says when the network is dead, that is, gives the same answer for every picture.  That happens after a step
    so large that every ReLU of a layer gives 0 from then on.

    Parameters
    ----------
    net : Network
        The network in training.
    test_batches : callable
        Returns the test pictures as an iterable of (x, labels), afresh at every call.
    every : int, optional
        Steps between evaluations; by default it evaluates only when `evaluate` is called.
    logs : iterable of Log
        Told of every evaluation.
    loss : callable
        As for `npcnn.train.fit`.
    average : ExponentialMovingAverage or Lookahead, optional
        That of `net`: the network is evaluated with its averages instead of its weights.  It comes before the
        evaluation among the callbacks.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, weight_init=nn.initializers.constant(0.0)))
    >>> x, labels = np.eye(4, dtype=np.float32).reshape(4, 2, 2, 1), np.array([0, 1, 0, 0])
    >>> evaluation = nn.train.Evaluation(net, lambda: [(x, labels)], logs=[nn.train.Progress()])
    >>> loss, accuracy = evaluation.evaluate(step=10, seconds=2.5)
    step     10  test accuracy 0.7500  loss 0.6931
    the network is dead: it gives the same answer for every picture; start again with a smaller learning rate
    """

    def __init__(
        self,
        net: Network,
        test_batches: TestBatches,
        *,
        every: int | None = None,
        logs: Iterable[Log] = (),
        loss: Loss = softmax_cross_entropy,
        average: Average | None = None,
    ) -> None:
        self.loss, self.average = loss, average
        self.net, self.test_batches, self.logs = net, test_batches, tuple(logs)
        self.every = None if every is None else integer(every, "every", minimum=1)
        self._last: tuple[int, tuple[float, float]] | None = None

    def __call__(self, result: StepResult) -> None:
        """Evaluate when it is due."""
        if self.every is not None and result.step % self.every == 0:
            self.evaluate(result.step, result.seconds)

    def evaluate(self, step: int, seconds: float) -> tuple[float, float]:
        """Return loss and accuracy on the test pictures after this step, evaluating at most once for each step."""
        if self._last is None or self._last[0] != step:
            with nullcontext() if self.average is None else self.average.applied():
                loss, accuracy = evaluate(self.net, self.test_batches(), loss=self.loss)
                x, _ = next(iter(self.test_batches()))
                alike = answers_alike(self.net, x)
            self._last = step, (loss, accuracy)
            for log in self.logs:
                log.evaluation(step=step, seconds=seconds, loss=loss, accuracy=accuracy)
            if alike:
                tqdm.write(
                    "the network is dead: it gives the same answer for every picture; start again with a smaller "
                    "learning rate"
                )
        return self._last[1]


def answers_alike(net: Network, x: Array) -> bool:
    """Return whether a network gives the same logits, up to rounding, for pictures that differ.

    Accuracy at chance level does not show that a network is dead, since an untrained one has that too; nor does a
    gradient of 0, since one that has learnt everything has that too.

    Parameters
    ----------
    net : Network
        Gives logits, shape (N, classes).
    x : ndarray, shape (N, H, W, C)
        Pictures.

    Examples
    --------
    >>> from npcnn.train.callbacks import answers_alike
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, rng=np.random.default_rng(0)), nn.ReLU(), nn.Dense(2, 2))
    >>> x = np.eye(4, dtype=np.float32).reshape(4, 2, 2, 1)
    >>> answers_alike(net, x)
    False
    >>> net.params["1_dense.b"][...] = -1000.0
    >>> answers_alike(net, x)
    True
    """
    if (x == x[:1]).all():
        return False
    logits = net.forward(x)
    return bool(np.ptp(logits, axis=0).max() <= 1e-6 * np.abs(logits).max())


class StopSignals:
    """Callback that ends the training after the step in which Ctrl-C or SIGTERM came; a second one acts at once.

    Signals are caught only inside the ``with`` block, and only in the main thread: Python delivers them to no other.

    Attributes
    ----------
    caught : signal.Signals or None
        The signal that came.

    Examples
    --------
    >>> import signal
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2))
    >>> batch = np.ones((3, 2, 2, 1), np.float32), np.array([0, 0, 1])
    >>> with nn.train.StopSignals() as stop:
    ...     signal.raise_signal(signal.SIGINT)           # as Ctrl-C does
    ...     nn.train.fit(net, iter([batch] * 9), nn.SGD(net, lr=0.1), steps=9, callbacks=[stop])
    1
    >>> stop.caught.name
    'SIGINT'
    """

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self, result: StepResult) -> None:
        """End the training if a signal came."""
        if self.caught is not None:
            raise StopTraining

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught = signal.Signals(number)
        signal.signal(number, self._before[self.caught])  # let the next one through
