"""Callbacks that write down what a training showed: CSV, JSON lines, TensorBoard, and the curve as a picture.

A training calls each of them once for every step, and its method `evaluation` once for every evaluation.  The text
files are complete up to the last step at any time, whatever happens to the process.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from npcnn import plot, weights
from npcnn.errors import DataError, to_install
from npcnn.functional.checks import integer, shown
from npcnn.metrics import COLUMNS, complete_lines, read_metrics, read_rows
from npcnn.train.loop import Network, StepResult

ENLARGED = 8  # times: TensorBoard shows a picture in the size that it has


class Log:
    """Base of the logs: a callback that is told of evaluations too, and closed at the end.

    Each of the three methods does nothing unless a subclass overrides it; leaving a ``with`` block closes the log.  An
    accuracy is NaN where the loss of the training knows no classes.

    Attributes
    ----------
    evaluated_on : str
        Which pictures an evaluation is of: "test", or "validation" where `fit` by epochs holds some back.

    Examples
    --------
    >>> class BestAccuracy(nn.train.Log):
    ...     best = 0.0
    ...     def evaluation(self, *, step, seconds, loss, accuracy):
    ...         self.best = max(self.best, accuracy)
    >>> with BestAccuracy() as log:
    ...     log.evaluation(step=10, seconds=1.0, loss=1.5, accuracy=0.5)
    ...     log.evaluation(step=20, seconds=2.0, loss=1.6, accuracy=0.4)
    >>> log.best
    0.5
    """

    evaluated_on = "test"

    def __call__(self, result: StepResult) -> None:
        """Take in one step."""

    def evaluation(self, *, step: int, seconds: float, loss: float, accuracy: float) -> None:
        """Take in one evaluation: the step and the time it came at, loss and accuracy."""

    def close(self) -> None:
        """Finish."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class MetricsCSV(Log):
    """Callback that writes one line per step to a CSV file, and one per evaluation.

    Columns: step, seconds, loss and accuracy of the training batch, gradient_norm, images_per_second; in the lines of
    `evaluation`, test_loss and test_accuracy instead.  Numbers are written so that they are read back exactly; an
    accuracy is nan where the loss of the training knows no classes.

    Parameters
    ----------
    path : str or Path
        File to write.
    resume_after : int, optional
        Continue the existing file, after removing the lines of later steps, written by a training that did not reach
        its next checkpoint.  By default the file must not exist yet.

    Raises
    ------
    FileExistsError, FileNotFoundError, OSError
        If the file exists, or with `resume_after` does not exist, or cannot be written.
    DataError
        If the file to continue is not one that this class wrote, or a line of it is damaged.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "metrics.csv")
    >>> with nn.train.MetricsCSV(path) as metrics:
    ...     metrics(nn.train.StepResult(1, loss=2.5, accuracy=0.25, images=8, seconds=0.5, gradient_norm=2.0,
    ...                                 images_per_second=16.0))
    ...     metrics.evaluation(step=1, seconds=0.75, loss=2.0, accuracy=0.5)
    >>> print(path.read_text(), end="")
    step,seconds,loss,accuracy,gradient_norm,images_per_second,test_loss,test_accuracy
    1,0.500,2.5,0.25,2.0,16.0,,
    1,0.750,,,,,2.0,0.5
    """

    def __init__(self, path: str | Path, *, resume_after: int | None = None) -> None:
        path, self._had = Path(path), -1  # the last step whose evaluation the file had
        if resume_after is not None:
            self._had = _cut_csv(path, integer(resume_after, "resume_after", minimum=0))
        # Line by line, so that a process killed at any time leaves at most half a line.
        mode = "x" if resume_after is None else "a"
        self._file = path.open(mode, newline="", encoding="utf-8", buffering=1)  # (closed by close)
        self._writer = csv.writer(self._file, lineterminator="\n")
        if resume_after is None:
            self._writer.writerow(COLUMNS)

    def __call__(self, result: StepResult) -> None:
        """Write the line of one step."""
        numbers = (result.loss, result.accuracy, result.gradient_norm, round(result.images_per_second, 1))
        self._writer.writerow([result.step, f"{result.seconds:.3f}", *map(float, numbers), "", ""])

    def evaluation(self, *, step: int, seconds: float, loss: float, accuracy: float) -> None:
        """Write the line of one evaluation, unless the file has it: a finished training, resumed, repeats it."""
        if step != self._had:
            self._writer.writerow([step, f"{seconds:.3f}", "", "", "", "", float(loss), float(accuracy)])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _cut_csv(path: Path, step: int) -> int:
    """Leave the lines up to a step; return the last step of which there is an evaluation, or -1."""
    kept = [row for row in read_rows(path) if int(row[0]) <= step]
    weights.write_atomically(path, "".join(",".join(row) + "\n" for row in [COLUMNS, *kept]).encode())
    return max((int(row[0]) for row in kept if row[-1]), default=-1)


class MetricsJSONL(Log):
    """Callback that writes a JSON object on each line: the fields of `StepResult`, or those of an evaluation.

    An accuracy that is NaN is left out.

    Parameters
    ----------
    path, resume_after
        As `MetricsCSV`.

    Raises
    ------
    FileExistsError, FileNotFoundError, OSError, DataError
        As `MetricsCSV`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "metrics.jsonl")
    >>> with nn.train.MetricsJSONL(path) as metrics:
    ...     metrics.evaluation(step=1, seconds=0.75, loss=2.0, accuracy=0.5)
    >>> print(path.read_text(), end="")
    {"step": 1, "seconds": 0.75, "test_loss": 2.0, "test_accuracy": 0.5}
    """

    def __init__(self, path: str | Path, *, resume_after: int | None = None) -> None:
        path, self._had = Path(path), -1  # the last step whose evaluation the file had
        if resume_after is not None:
            self._had = _cut_jsonl(path, integer(resume_after, "resume_after", minimum=0))
        mode = "x" if resume_after is None else "a"
        self._file = path.open(mode, newline="\n", encoding="utf-8", buffering=1)  # (closed by close)

    def __call__(self, result: StepResult) -> None:
        """Write the line of one step."""
        self._write(asdict(result))

    def evaluation(self, *, step: int, seconds: float, loss: float, accuracy: float) -> None:
        """Write the line of one evaluation, unless the file has it, as in `MetricsCSV`."""
        if step != self._had:
            self._write({"step": step, "seconds": seconds, "test_loss": float(loss), "test_accuracy": float(accuracy)})

    def _write(self, numbers: dict[str, float]) -> None:
        known = {name: x for name, x in numbers.items() if not (name.endswith("accuracy") and math.isnan(x))}
        self._file.write(json.dumps(known) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _cut_jsonl(path: Path, step: int) -> int:
    """As `_cut_csv`."""
    kept, evaluated = [], -1
    for number, line in enumerate(complete_lines(path), 1):
        try:
            content = json.loads(line)
            keep = content["step"] <= step
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: line {number} is damaged, expected a JSON object with a step: {shown(line)}"
            ) from error
        if keep:
            kept.append(line + "\n")
            evaluated = content["step"] if "test_loss" in content else evaluated
    weights.write_atomically(path, "".join(kept).encode())
    return evaluated


class TensorBoard(Log):
    """Callback that writes event files for TensorBoard (``python -m pip install ".[tensorboard]"`` in the clone).

    There are curves of what a training and its evaluations show and, with a network, how the numbers of each parameter
    are spread, and the kernels of the first `Conv2D` as little pictures (see `npcnn.plot.filters`), if it is for grey
    or coloured ones.

    Parameters
    ----------
    folder : str or Path
        Folder of the event files; a training that goes on adds another.
    every : int
        Steps between two points of the training curves; every evaluation is written.
    net : Layer, optional
        The network in training.
    weights_every : int
        Steps between two looks at its parameters; the first is after the first step.

    Raises
    ------
    ImportError
        If the package tensorboardX is not installed, or, with a network, Pillow.
    OSError
        If the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, *, every: int = 20, net: Network | None = None, weights_every: int = 500
    ) -> None:
        try:
            from tensorboardX import SummaryWriter

            if net is not None:
                import PIL.Image  # noqa: F401 (tensorboardX asks for it when the first picture is written)
        except ImportError as error:
            raise ImportError(f"{error}; install it with {to_install('tensorboard')}") from error

        self.every, self.net = integer(every, "every", minimum=1), net
        self.weights_every = integer(weights_every, "weights_every", minimum=1)
        self._seen = False  # whether the parameters have been written
        self._writer: Any = SummaryWriter(str(folder))

    def __call__(self, result: StepResult) -> None:
        """Write the numbers of one step, and the parameters when they are due."""
        if result.step % self.every == 0:
            for name in ("loss", "accuracy", "gradient_norm", "images_per_second"):
                self._add(f"training/{name}", getattr(result, name), result.step)
        if self.net is not None and (result.step % self.weights_every == 0 or not self._seen):
            self._seen = True
            self._add_weights(self.net.params, result.step)

    def _add_weights(self, params: Mapping[str, NDArray[Any]], step: int) -> None:
        for name, array in params.items():
            finite = array[np.isfinite(array)]  # the step after tells what became NaN, and where
            if finite.size:
                self._writer.add_histogram(f"weights/{name}", finite, step)
        for name, w in [(name, w) for name, w in params.items() if w.ndim == 4][:1]:
            if w.shape[2] in (1, 3) and np.isfinite(w).all():
                sheet = plot.filter_sheet(w).repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
                self._writer.add_image(f"filters/{name}", sheet, step, dataformats="HWC")

    def evaluation(self, *, step: int, seconds: float, loss: float, accuracy: float) -> None:
        """Write the numbers of one evaluation."""
        self._add("test/loss", loss, step)
        self._add("test/accuracy", accuracy, step)

    def _add(self, name: str, value: float, step: int) -> None:
        if not (name.endswith("accuracy") and math.isnan(value)):
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class CurvePlot(Log):
    """Callback that redraws the training curve at regular intervals, and when it is closed (needs matplotlib).

    Parameters
    ----------
    metrics : str or Path
        File of the `MetricsCSV` of the same training, which must come before it among the callbacks.
    path : str or Path
        PNG file to write.
    every : int
        Steps between two drawings, of about a third of a second each.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """

    def __init__(self, metrics: str | Path, path: str | Path, *, every: int = 5000) -> None:
        import matplotlib.figure  # noqa: F401 (if it is missing, fail now and not after five thousand steps)

        self.metrics, self.path = Path(metrics), Path(path)
        self.every = integer(every, "every", minimum=1)

    def __call__(self, result: StepResult) -> None:
        """Draw when it is due."""
        if result.step % self.every == 0:
            self.draw()

    def draw(self) -> None:
        """Draw what the metrics hold so far, unless they hold no step yet."""
        from matplotlib.figure import Figure

        if not read_metrics(self.metrics)[0]:
            return
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        plot.training_curve(self.metrics, ax=figure.subplots())
        png = io.BytesIO()
        figure.savefig(png, dpi=120, format="png")
        weights.write_atomically(self.path, png.getvalue())

    def close(self) -> None:
        """Draw a last time."""
        self.draw()
