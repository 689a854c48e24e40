"""The file metrics.csv: what a training showed, a line for each step and each evaluation.

`npcnn.train.MetricsCSV` writes it; `npcnn.plot` draws it.
"""

from __future__ import annotations

from pathlib import Path

from npcnn.errors import DataError
from npcnn.functional.checks import shown

COLUMNS = (
    "step", "seconds", "loss", "accuracy", "gradient_norm", "images_per_second", "test_loss", "test_accuracy",
)  # fmt: skip
# Those of a line that are filled: of a step, and of an evaluation.
KINDS = (COLUMNS[:6], COLUMNS[:2] + COLUMNS[6:])


def read_metrics(path: str | Path) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Return the steps and the evaluations in a file that `MetricsCSV` wrote, a dictionary for each.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    OSError
        If it cannot be read.
    DataError
        If it is not one that `MetricsCSV` wrote, or a line of it is damaged.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "metrics.csv")
    >>> with nn.train.MetricsCSV(path) as metrics:
    ...     metrics.evaluation(step=1, seconds=0.75, loss=2.0, accuracy=0.5)
    >>> nn.train.read_metrics(path)
    ([], [{'step': 1.0, 'seconds': 0.75, 'test_loss': 2.0, 'test_accuracy': 0.5}])
    """
    steps: list[dict[str, float]] = []
    evaluations: list[dict[str, float]] = []
    for row in read_rows(Path(path)):
        numbers = {name: float(text) for name, text in zip(COLUMNS, row, strict=True) if text}
        (evaluations if "test_accuracy" in numbers else steps).append(numbers)
    return steps, evaluations


def read_rows(path: Path) -> list[list[str]]:
    """Return the complete lines below the heading as text, each number of which has been checked."""
    lines = complete_lines(path)
    if not lines or lines[0] != ",".join(COLUMNS):
        raise DataError(f"{path} must begin with the columns {', '.join(COLUMNS)}; it is not a file of MetricsCSV")
    rows = [line.split(",") for line in lines[1:]]
    for number, row in enumerate(rows, 2):
        damaged = f"{path}: line {number} is damaged"
        filled = tuple(name for name, text in zip(COLUMNS, row, strict=False) if text)
        if len(row) != len(COLUMNS) or filled not in KINDS:
            raise DataError(
                f"{damaged}, expected {len(COLUMNS)} fields, those of a step or of an evaluation filled, "
                f"got {shown(','.join(row))}"
            )
        for name, text in zip(COLUMNS, row, strict=True):
            try:
                value = float(text or 0)
            except ValueError:
                raise DataError(f"{damaged}, {name} must be a number, got {shown(text)}") from None
            if name == "step" and not (text.isdecimal() and value < 2**53):
                raise DataError(f"{damaged}, step must be a whole number, got {shown(text)}")
    return rows


def complete_lines(path: Path) -> list[str]:
    """Return the lines of a file in which every line is ended; a last one that was cut short is left out.

    Raises
    ------
    OSError
        If it cannot be read.
    DataError
        If it is not text.
    """
    try:
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: it is not text ({error})") from error
