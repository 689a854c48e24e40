"""A run: a training in a folder of its own, with all that is needed to judge it, to use it and to resume it.

============================  ==========================================================
file                          what is in it
============================  ==========================================================
``settings.json``             the settings of the run, and the machine it ran on
``metrics.csv``               loss and accuracy of every step and every evaluation
``curve.png``                 the same as a picture, where matplotlib is installed
``checkpoints/``              the last three states to resume from
``weights.safetensors``       what was learnt
``result.json``               accuracies, steps and time
============================  ==========================================================
"""

from __future__ import annotations

import importlib.util
import json
import math
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from npcnn import config, prediction, weights
from npcnn.datasets import Dataset, sources
from npcnn.evaluation import Views
from npcnn.functional import softmax_cross_entropy
from npcnn.functional.checks import integer, shown
from npcnn.layers import Layer
from npcnn.metrics import read_metrics
from npcnn.optimizers import Optimizer
from npcnn.train.averages import Average
from npcnn.train.callbacks import Evaluation, Progress, StopSignals, TestBatches
from npcnn.train.checkpoints import Checkpoints
from npcnn.train.logs import CurvePlot, Log, MetricsCSV
from npcnn.train.loop import Batch, Callback, Loss, StepResult, evaluate, fit

# The training accuracy of a run is the mean over this number of last steps: that of a single batch is too rough.
LAST_STEPS = 1000


class Run:
    """A training in a folder of its own that can be interrupted at any time and, resumed, ends with the same bits.

    While it is open it holds a lock on its folder.

    Parameters
    ----------
    folder : str or Path
        A new or empty folder, or with `resume` that of the run to resume.
    net : Layer
        The network to train.
    optimizer : Optimizer
        Its optimizer.
    data : Dataset
        What it is trained on.
    settings : dict
        The settings of the run, for ``settings.json``, in types that JSON has; anything else is written as text.  The
        run adds which data it is trained on and where that is, in place of "data" and "data_dir", and the machine.
    fixed : iterable of str
        The settings that decide the bits of the result.  A checkpoint written under other values of these, or with
        other data, is refused.
    resume : bool
        Whether to resume the run in `folder`.
    checkpoint_every : int
        Steps between checkpoints.
    average : ExponentialMovingAverage or Lookahead, optional
        That of `net`.  It is told of every step and goes on with a resumed run; evaluations and ``weights.safetensors``
        are of the averages.  `net` itself keeps the weights of the last step: look at it within `average.applied`.

    Attributes
    ----------
    folder : Path
        The folder.
    step : int
        Steps done so far, those before a resume included; batches go on from there.
    seconds : float
        Time they took.

    Raises
    ------
    FileExistsError, FileNotFoundError, OSError
        If the folder holds something already, or with `resume` holds no run, or cannot be written.
    CheckpointError
        If another process has the folder, or its last checkpoint is damaged or does not fit.
    TypeError, ValueError
        If `settings` holds a number that is not finite, `fixed` names no setting, or `checkpoint_every` is wrong.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from npcnn.datasets import Dataset, TrainingBatches, evaluation_batches
    >>> images, labels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), np.uint8), np.arange(8) % 2
    >>> data = Dataset("noise", pathlib.Path(), images, labels, images, labels, ("no", "yes"))
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(24 * 24, 2, rng=np.random.default_rng(0)))
    >>> with nn.train.Run(tempfile.mkdtemp(), net, nn.SGD(net, lr=0.01), data, settings={"lr": 0.01}) as run:
    ...     with TrainingBatches(images, labels, batch_size=4, start=run.step) as batches:
    ...         result = run.fit(batches, lambda: evaluation_batches(images, labels), steps=20)  # doctest: +ELLIPSIS
    step     20  test accuracy 1.0000  loss 0...
    <BLANKLINE>
    done: 20 steps in ... s, ... images/s, evaluation included; waited ... s for data
    training accuracy ... (mean over the whole run, while it learnt)
    test accuracy     1.0000 (all 8 pictures) on noise
    >>> result["steps"], result["test_accuracy"], (run.folder / "weights.safetensors").exists()
    (20, 1.0, True)
    """

    def __init__(
        self,
        folder: str | Path,
        net: Layer,
        optimizer: Optimizer,
        data: Dataset,
        *,
        settings: Mapping[str, Any] | None = None,
        fixed: Iterable[str] = (),
        resume: bool = False,
        checkpoint_every: int = 500,
        average: Average | None = None,
    ) -> None:
        self.folder, self.net, self.optimizer, self.data = Path(folder), net, optimizer, data
        self.average = average
        prediction.remember(net, data)
        settings, fixed = dict(settings or {}), tuple(fixed)
        if unknown := [name for name in fixed if name not in settings]:
            raise ValueError(f"fixed must name settings, of which there are {list(settings)}; got {unknown}")
        about = sources.arguments(data) | {"data_sha256": data.checksum(), "data_name": data.name}
        about |= {"class_names": data.classes, "config": config.current()}
        try:
            self._settings = _to_json(settings | about)
        except ValueError as error:
            raise ValueError(
                f"settings must hold no NaN or infinity, which JSON does not have; got {shown(settings)} ({error})"
            ) from error
        written = json.loads(self._settings)
        deciding = {name: written[name] for name in (*fixed, "data_sha256")}
        if resume:
            read_settings(self.folder)
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise FileExistsError(
                f"{self.folder} exists and is not an empty folder; name another, or resume the run in it"
            )
        self.checkpoints = Checkpoints(
            self.folder / "checkpoints", net, optimizer, every=checkpoint_every, settings=deciding, average=average
        )
        try:
            at = self.checkpoints.resume()
        except BaseException:
            self.checkpoints.close()
            raise
        self.step, self.seconds, self._images = at.step, at.seconds, 0
        self._resumed, self._notice = resume, at.notice and f"; {at.notice}"

    def close(self) -> None:
        """Release the folder."""
        self.checkpoints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def fit(
        self,
        batches: Iterator[Batch],
        test_batches: TestBatches,
        *,
        steps: int,
        evaluate_every: int | None = None,
        display_every: int = 200,
        loss: Loss = softmax_cross_entropy,
        callbacks: Iterable[Callback] = (),
        views: Views | None = None,
    ) -> dict[str, Any] | None:
        """Train up to step `steps`, evaluate, and write all the files of the run; print the progress.

        Ctrl-C ends the training after the current step, and what was learnt by then is the result.  SIGTERM, whose
        sender may not wait for long, ends it with a checkpoint only.

        Parameters
        ----------
        batches : iterator of (x, labels)
            The training batches from `step` on, as `npcnn.datasets.TrainingBatches` gives them.
        test_batches : callable
            Returns the test pictures as an iterable of (x, labels), afresh at every call.
        steps : int
            Number of the last step, counting those done before.
        evaluate_every : int, optional
            Steps between evaluations on the test pictures; by default they are evaluated at the end only.
        display_every : int
            Steps between printed lines.
        loss : callable
            As for `npcnn.train.fit`; evaluations are by the same loss.
        callbacks : iterable of callable
            As for `npcnn.train.fit`.  Those that are a `Log` are told of evaluations too, and closed at the end.
        views : npcnn.evaluation.Views, optional
            Of `net`: the test accuracy that is the result is with them.  Evaluations on the way are without, and the
            accuracy without them at the end is the result's "plain_test_accuracy".

        Returns
        -------
        dict or None
            What ``result.json`` holds; None if SIGTERM ended the training.  The accuracies in it are None if the loss
            knows no classes.

        Raises
        ------
        NonFiniteError
            If the loss or a gradient is NaN or infinite; the batch is in ``non_finite_batch.safetensors`` then.
        OSError
            If a file cannot be written.
        TypeError, ValueError
            If `steps` is below the steps done, `batches` holds none, or another argument is wrong.
        """
        if integer(steps, "steps", minimum=1) < self.step:
            raise ValueError(f"steps must be at least {self.step}, the steps {self.folder} has done, got {steps}")
        progress = Progress(steps, every=display_every)
        weights.write_atomically(self.folder / "settings.json", self._settings.encode())
        if self._resumed or self.step:
            print(f"going on after step {self.step}{self._notice}", flush=True)
        begin, before, self._images, callbacks = time.perf_counter(), self.seconds, 0, tuple(callbacks)
        with ExitStack() as stack:
            own = [*self._open_logs(stack), stack.enter_context(progress)]
            others = [stack.enter_context(callback) for callback in callbacks if isinstance(callback, Log)]
            evaluation = Evaluation(
                self.net, test_batches, every=evaluate_every, logs=[*own, *others], loss=loss, average=self.average
            )
            following = [] if self.average is None else [self.average]
            stop = stack.enter_context(StopSignals())
            fit(
                self.net,
                batches,
                self.optimizer,
                steps=steps,
                loss=loss,
                # Checkpoints come last: whatever a checkpoint says is done has been logged by then.
                callbacks=[self._count, *following, *own, evaluation, *callbacks, self.checkpoints, stop],
                start=self.step,
                seconds=self.seconds,
                save_batch=self.folder / "non_finite_batch.safetensors",
            )
            self.checkpoints.save(self.step, self.seconds)
            ended_by = stop.caught
            if ended_by == signal.SIGTERM:
                return None
            accuracies = self._last_accuracies()
            with nullcontext() if self.average is None else self.average.applied():
                self.net.save(self.folder / "weights.safetensors")
            test_loss, plain_accuracy = evaluation.evaluate(self.step, self.seconds)
            test_accuracy = plain_accuracy
            if views is not None:
                with nullcontext() if self.average is None else self.average.applied():
                    test_loss, test_accuracy = evaluate(views, test_batches(), loss=loss)
        seconds = time.perf_counter() - begin
        result = {
            "steps": self.step,
            "seconds": round(before + seconds, 1),
            "data_wait_seconds": round(getattr(batches, "wait_seconds", 0.0), 3),
            "data_name": self.data.name,
            "test_accuracy": _or_none(test_accuracy),
            **({} if views is None else {"plain_test_accuracy": _or_none(plain_accuracy)}),
            "training_accuracy": _or_none(float(np.mean(accuracies))),
            "training_accuracy_steps": len(accuracies),
        }
        weights.write_atomically(self.folder / "result.json", _to_json(result).encode())
        speed, pictures = self._images / seconds, len(self.data.test_images)
        print(_outcome(result, ended_by, speed, pictures, test_loss), flush=True)
        return result

    def _open_logs(self, stack: ExitStack) -> list[Log]:
        metrics = self.folder / "metrics.csv"
        logs: list[Log] = [MetricsCSV(metrics, resume_after=self.step if metrics.exists() else None)]
        stack.enter_context(logs[0])
        if importlib.util.find_spec("matplotlib") is not None:
            logs.append(stack.enter_context(CurvePlot(metrics, self.folder / "curve.png")))
        return logs

    def _last_accuracies(self) -> list[float]:
        steps, _ = read_metrics(self.folder / "metrics.csv")
        if not steps:
            raise ValueError(f"batches gave none to train on, or {self.folder / 'metrics.csv'} has lost its lines")
        return [row["accuracy"] for row in steps[-LAST_STEPS:]]

    def _count(self, result: StepResult) -> None:
        self.step, self.seconds = result.step, result.seconds
        self._images += result.images


def read_settings(folder: str | Path) -> dict[str, Any]:
    """Return the settings of the run in a folder, with its data and machine.

    Raises
    ------
    FileNotFoundError
        If the folder is not that of a run.
    ValueError
        If its ``settings.json`` is damaged.
    OSError
        If that cannot be read.

    Examples
    --------
    >>> nn.train.read_settings("no/such/folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no/such/folder is not the folder of a run: it has no settings.json
    """
    path = Path(folder) / "settings.json"
    if not path.exists():
        raise FileNotFoundError(f"{folder} is not the folder of a run: it has no settings.json")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); start a new run") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} is damaged (it is no JSON object); start a new run")
    return settings


def numbered_folder(path: str | Path) -> Path:
    """Make a folder of this name, with a number after it if the name is taken, and return it.

    Raises
    ------
    OSError
        If it cannot be made.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "runs", "first-try")
    >>> [nn.train.numbered_folder(path).name for _ in range(3)]
    ['first-try', 'first-try-2', 'first-try-3']
    """
    folder, number = Path(path), 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = folder.with_name(f"{Path(path).name}-{number}")
        else:
            return folder


def _to_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, default=str, allow_nan=False) + "\n"


def _or_none(accuracy: float) -> float | None:
    """Return an accuracy as JSON has it: null if there is none."""
    return None if math.isnan(accuracy) else accuracy


def _outcome(
    result: Mapping[str, Any], ended_by: signal.Signals | None, speed: float, pictures: int, test_loss: float
) -> str:
    """Return the closing lines that a run prints in the terminal."""
    steps, averaged = result["steps"], result["training_accuracy_steps"]
    if speed:
        head = (
            f"{'ended by Ctrl-C after' if ended_by else 'done:'} {steps} steps in {result['seconds']:.0f} s, "
            f"{speed:.0f} images/s, evaluation included; waited {result['data_wait_seconds']:.2f} s for data"
        )
    else:
        head = f"nothing was left to do: the run was at step {steps} already"
    if result["test_accuracy"] is None:
        return f"\n{head}\ntest loss {test_loss:.4f} (all {pictures} pictures) on {result['data_name']}"
    span = "over the whole run, while it learnt" if averaged == steps else f"of the last {averaged} steps"
    lines = [head, f"training accuracy {result['training_accuracy']:.4f} (mean {span})"]
    seen = f"all {pictures} pictures"
    if "plain_test_accuracy" in result:
        lines.append(f"plain accuracy    {result['plain_test_accuracy']:.4f} ({seen}, each seen once)")
        seen += ", in six views"
    lines.append(f"test accuracy     {result['test_accuracy']:.4f} ({seen}) on {result['data_name']}")
    return "\n" + "\n".join(lines)
