"""The file metrics.csv: what a training showed, a line for each step and each evaluation.

`npcnn.train.MetricsCSV` writes it; `npcnn.plot` draws it.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

COLUMNS = (
    "step", "seconds", "loss", "accuracy", "gradient_norm", "images_per_second", "test_loss", "test_accuracy",
)  # fmt: skip


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
    ValueError
        If it is not one that `MetricsCSV` wrote.

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
    """Return the complete lines below the heading as text; a last line that was cut short is left out."""
    text = path.read_text()
    rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ValueError(f"{path} must begin with the columns {', '.join(COLUMNS)}; it is not a file of MetricsCSV")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(COLUMNS) or not row[0].isdecimal():
            raise ValueError(
                f"{path}: line {number} is damaged, expected {len(COLUMNS)} numbers, got {','.join(row)!r}"
            )
    return rows[1:]
