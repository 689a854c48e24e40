"""The findings of a gradient check: what was compared, what was worst, as data and as a table.

A `GradcheckReport` holds one `ArrayCheck` for the input and for each parameter, and a `Kink` for
every element at which there was no gradient to compare with.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from npcnn.gradient_check.differences import Index
from npcnn.summary import Table

_COLUMNS = (
    "array",
    "elements",
    "checked",
    "kinks",
    "relative error",
    "worst at",
    "backward",
    "differences",
    "verdict",
)
_KINKS_SHOWN = 5


class KinkWarning(UserWarning):
    """Some elements sit on a kink, where there is no gradient to compare with."""


class GradientError(AssertionError):
    """A gradient disagrees with the differences of its function."""


@dataclass(frozen=True)
class Kink:
    """An element at which the function has two slopes: a ReLU at 0, a tie in max pooling.

    Attributes
    ----------
    array : str
        The name of the array.
    index : tuple of int
        The element.
    left, right : float
        The slopes on either side, of the sum of output * dy.
    analytic : float
        What the backward pass says; often one of the two.
    """

    array: str
    index: Index
    left: float
    right: float
    analytic: float

    def __str__(self) -> str:
        """Describe the kink in one line."""
        return (
            f"kink at {self.array}[{', '.join(map(str, self.index)) or '()'}]: slope "
            f"{self.left:.6g} on the left, {self.right:.6g} on the right; backward says "
            f"{self.analytic:.6g}"
        )


@dataclass(frozen=True)
class ArrayCheck:
    """What was found about the gradient of one array.

    Attributes
    ----------
    name : str
        "x" for the input of a layer, the parameter's name, or the function's argument.
    elements, checked, failed : int
        How many there are, were compared, and disagree.
    kinks : tuple of Kink
        Those that were looked at but have no gradient.
    relative_error : float
        The largest.
    index : tuple of int or None
        Where it is; None when nothing could be compared.
    analytic, numeric : float
        What the backward pass and the differences say there.
    remark : str
        What else is wrong with the gradient, and what to do: for example, backward adds to it
        instead of writing it.  Empty if nothing is.
    """

    name: str
    elements: int
    checked: int
    failed: int
    kinks: tuple[Kink, ...]
    relative_error: float
    index: Index | None
    analytic: float
    numeric: float
    remark: str = ""

    @property
    def ok(self) -> bool:
        """Whether every checked element agrees, there was one to check, and nothing else is wrong."""
        return not (self.failed or self.remark) and (self.checked > 0 or self.elements == 0)

    @property
    def verdict(self) -> str:
        """One of "ok", "FAILED", and "only kinks" when no element could be checked."""
        if self.failed or self.remark:
            return "FAILED"
        return "ok" if self.ok else "only kinks"


@dataclass(frozen=True)
class GradcheckReport:
    """The result of `gradcheck`; print it to see the table.

    Attributes
    ----------
    target : str
        What was checked.
    tolerance : float
        The largest relative error that passes.
    arrays : tuple of ArrayCheck
        The findings, the input first.

    Examples
    --------
    >>> from npcnn.gradient_check import gradcheck
    >>> report = gradcheck(np.sin, np.array([0.5, 2.0]), backward=lambda dy, x: dy * np.cos(x))
    >>> report.ok, report.worst.name, report.worst.checked
    (True, 'x', 2)
    """

    target: str
    tolerance: float
    arrays: tuple[ArrayCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether every array passed.  An array whose elements all sit on kinks has not."""
        return all(check.ok for check in self.arrays)

    @property
    def worst(self) -> ArrayCheck:
        """The array with the largest relative error."""
        return max(self.arrays, key=lambda check: check.relative_error)

    @property
    def kinks(self) -> tuple[Kink, ...]:
        """The elements that could not be judged."""
        return tuple(kink for check in self.arrays for kink in check.kinks)

    def raise_if_failed(self) -> None:
        """Raise `GradientError`, with the table as its message, unless the report is ok."""
        if not self.ok:
            raise GradientError(str(self))

    def __str__(self) -> str:
        """Lay the findings out as a table, one line per array, with remarks and the first few kinks below."""
        table = [_COLUMNS, *(_cells(check) for check in self.arrays)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [f"gradient check of {self.target}: {'ok' if self.ok else 'FAILED'} (tolerance {self.tolerance:g})"]
        for row in table:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  ".join(cells).rstrip())
        lines += [f"{check.name}: {check.remark}" for check in self.arrays if check.remark]
        lines += [str(kink) for kink in self.kinks[:_KINKS_SHOWN]]
        if len(self.kinks) > _KINKS_SHOWN:
            lines.append(f"... and {len(self.kinks) - _KINKS_SHOWN} more kinks")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *lines = str(self).splitlines()
        text = Table(head)
        text.head, text.rows = _COLUMNS, [_cells(check) for check in self.arrays]
        below = lines[1 + len(self.arrays) :]  # behind the table
        return f"<p>{html.escape(head)}</p>{text._repr_html_()}<p>{'<br>'.join(map(html.escape, below))}</p>"


def _cells(check: ArrayCheck) -> tuple[str, ...]:
    """Return one line of the table, cell by cell."""
    return (
        check.name,
        str(check.elements),
        str(check.checked),
        str(len(check.kinks)),
        f"{check.relative_error:.1e}",
        "-" if check.index is None else str(check.index),
        f"{check.analytic:.9g}",
        f"{check.numeric:.9g}",
        check.verdict,
    )
