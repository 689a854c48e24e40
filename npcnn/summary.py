"""A network as a table: output shapes, parameters, multiplications."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

COLUMNS = ("layer", "output shape", "parameters", "multiplications", "spent")


class SummaryRow(NamedTuple):
    """One line of the table."""

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    multiplications: int | None
    spent: int | None


class Table(str):
    """A text that a notebook shows as a table.

    Attributes
    ----------
    head : tuple of str
        The names of its columns.
    rows : list of tuple of str
        Its cells.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def _repr_html_(self) -> str:
        lines = [("th", self.head), *(("td", row) for row in self.rows)]
        cells = ["".join(f"<{tag}>{_cell(text)}</{tag}>" for text in row) for tag, row in lines]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def table(net: Any, input_shape: tuple[int, ...]) -> Table:
    """Return a table of a network's layers, with totals: text that a notebook shows as a table.

    Multiplications are those of the forward pass of one picture by the definition, products with the
    padding included; "spent" are those of the algorithm each layer runs on (`npcnn.functional.algorithms`).  A layer
    that does not say how many it takes has a "?".

    Parameters
    ----------
    net : Layer
        Usually a `Sequential`.
    input_shape : tuple of int
        Shape of the input without the batch axis.

    Returns
    -------
    Table

    Raises
    ------
    ShapeError
        If the network cannot take such an input.

    Examples
    --------
    A 3 x 3 SAME convolution of a 5 x 2 picture costs 90 multiplications; cut in two, it costs 60.

    >>> print(nn.Sequential(nn.Conv2D(1, 1, 3, bias=False)).summary((5, 2, 1)))
    layer                output shape     parameters   multiplications         spent
    --------------------------------------------------------------------------------
    0_conv2d             5 x 2 x 1                 9                90            90
    --------------------------------------------------------------------------------
    total                                          9                90            90
    >>> print(nn.Sequential(nn.SpatiallySeparableConv2D(1, 1, 3, bias=False)).summary((5, 2, 1)))
    layer                           output shape     parameters   multiplications         spent
    -------------------------------------------------------------------------------------------
    0_spatially_separable_conv2d    5 x 2 x 1                 6                60            60
      vertical                      5 x 2 x 1                 3                30            30
      horizontal                    5 x 2 x 1                 3                30            30
    -------------------------------------------------------------------------------------------
    total                                                     6                60            60
    """
    total = _row("total", net, input_shape)._replace(output_shape=())
    rows = [_texts(row) for row in (*summary_rows(net, input_shape), total)]
    width = max(20, max(len(row[0]) for row in rows) + 3)
    head, *lines = (
        f"{name:<{width}} {shape:<16} {parameters:>10} {multiplications:>17} {spent:>13}"
        for name, shape, parameters, multiplications, spent in (COLUMNS, *rows)
    )
    rule = "-" * len(head)
    text = Table("\n".join([head, rule, *lines[:-1], rule, lines[-1]]))
    text.head, text.rows = COLUMNS, rows
    return text


def summary_rows(net: Any, input_shape: tuple[int, ...]) -> list[SummaryRow]:
    """Return a row for each layer, in order; the layers inside a layer follow it, indented."""
    net.output_shape(input_shape)  # first, because its error says which layer refuses the input
    if not net.children:
        return [_row(type(net).__name__, net, input_shape)]
    inside = [(name.split("."), layer, shape) for name, layer, shape in net.input_shapes(input_shape) if name]
    return [_row("  " * (len(keys) - 1) + keys[-1], layer, shape) for keys, layer, shape in inside]


def _row(name: str, layer: Any, shape: tuple[int, ...]) -> SummaryRow:
    return SummaryRow(
        name,
        layer.output_shape(shape),
        count_parameters(layer),
        layer.multiplications(shape),
        layer.multiplications(shape, spent=True),
    )


def _texts(row: SummaryRow) -> tuple[str, ...]:
    counts = (row.parameters, row.multiplications, row.spent)
    return row.name, " x ".join(map(str, row.output_shape)), *("?" if n is None else f"{n:,}" for n in counts)


def _cell(text: str) -> str:
    return html.escape(text).replace("  ", "&emsp;")


def count_parameters(layer: Any) -> int:
    """Return how many numbers a layer learns."""
    return sum(array.size for array in layer.params.values())
