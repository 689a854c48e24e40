"""Convolution with fewer multiplications: the Toom-Cook transforms, in exact fractions.

A 1-D convolution gives m outputs from n = m + r - 1 inputs and r taps,

    y[i] = sum_k x[i + k] * w[k],         i = 0 .. m-1,

for m * r multiplications.  F(m, r) needs n.  The idea comes from multiplying polynomials: a polynomial of degree
n - 1 is known when its values at n points are, and at a point the product of two polynomials costs *one*
multiplication.  So evaluate both factors at n points, multiply value by value, and interpolate.
Convolution as networks use it is the transpose of that product (the transposition principle), which
swaps what is done to the inputs and to the outputs:

    y = output @ ((kernel @ w) * (input @ x))

    input    n x n   transpose of the interpolation
    kernel   n x r   evaluation of a polynomial with r coefficients
    output   m x n   transpose of the evaluation of a polynomial with m coefficients

Over many channels the products become matrix products, n of them instead of m * r.  The transforms cost little
beside them: that of x does not depend on the number of output channels, nor that of y on the input channels.  The
price is rounding: the values at the points are larger than the numbers that went in, the more so the farther the
points lie from 1.

The points here are 0, +-1, +-2, +-1/2 and infinity.  A pair +-a shares all its work: of the sum over the even
powers and the sum over the odd ones, the value at a is the sum and that at -a the difference.  `header` writes the
tables of csrc/toom_cook_tables.h, in which the two have neighbouring rows.

References
----------
Toom, "The complexity of a scheme of functional elements realizing the multiplication of integers", 1963;
Cook, "On the minimum computation time of functions", 1966;
Winograd, "Arithmetic complexity of computations", 1980 (the transposition, and that n is the least);
Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple, TypeAlias

Matrix: TypeAlias = list[list[Fraction]]

# The outputs and points for 3, 5 and 7 taps: F(4, 3) at 6 points, F(4, 5) and F(2, 7) at 8, counting infinity, which
# is not listed and always comes last.  F(4, 7) would need ten points, and in float32 its error comes too near 1e-5.
OUTPUTS = {3: 4, 5: 4, 7: 2}
POINTS = {
    3: (0, 1, -1, 2, -2),
    5: (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)),
    7: (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)),
}

# In two dimensions, 3 x 3 taps: tiles of four lines, F(4, 3), or of three, F(3, 3), which leave the first point out.
# These points round less than 0, +-1 and +-2, which matters where one axis' errors go through the other's transforms
# (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2018).
POINTS_2D = (-2, 0, 1, -1, Fraction(1, 2))


class Transforms(NamedTuple):
    """The three matrices of F(m, r), in exact fractions: y = output @ ((kernel @ w) * (input @ x))."""

    input: Matrix
    kernel: Matrix
    output: Matrix


def transforms(outputs: int, taps: int, points: tuple[int | Fraction, ...]) -> Transforms:
    """Return the transforms of F(outputs, taps) at the given points and infinity.

    Parameters
    ----------
    outputs, taps : int
        m and r; both at least 1.
    points : tuple of int or Fraction
        m + r - 2 different points; infinity is added as the last one.

    Returns
    -------
    Transforms
        The matrices as lists of rows of `fractions.Fraction`.

    Raises
    ------
    ValueError
        If there are more or fewer points than that, or two are equal.

    Examples
    --------
    F(2, 3), of Lavin & Gray: 4 multiplications instead of 6.

    >>> from npcnn.reference.toom_cook import transforms
    >>> t = transforms(2, 3, (0, 1, -1))
    >>> [[int(v) for v in row] for row in t.input]
    [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
    >>> [[str(v) for v in row] for row in t.kernel]
    [['-1', '0', '0'], ['1/2', '1/2', '1/2'], ['1/2', '-1/2', '1/2'], ['0', '0', '1']]
    >>> [[int(v) for v in row] for row in t.output]
    [[1, 1, 1, 0], [0, 1, -1, 1]]
    """
    n = outputs + taps - 1
    exact = [Fraction(point) for point in points]
    if len(exact) != n - 1:
        raise ValueError(
            f"points must be {n - 1} for {outputs} outputs and {taps} taps (infinity is added), got {len(exact)}"
        )
    if len(set(exact)) != len(exact):
        raise ValueError(f"points must differ, got {', '.join(map(str, points))}")

    # Row p of the transposed interpolation: the polynomial that is 0 at every other point.  Its value at point p
    # divides row p of the kernel instead, so that these stay simple numbers.
    others = [[a for a in exact if a != point] for point in exact]
    input_rows = [[*_with_roots(roots), Fraction(0)] for roots in others]
    input_rows.append(_with_roots(exact))
    scales = [_product(point - a for a in roots) for point, roots in zip(exact, others, strict=True)]

    kernel = [[point**k / scale for k in range(taps)] for point, scale in zip(exact, scales, strict=True)]
    kernel.append([Fraction(k == taps - 1) for k in range(taps)])
    output = [[point**i for point in exact] for i in range(outputs)]
    for i, row in enumerate(output):
        row.append(Fraction(i == outputs - 1))
    return Transforms(input_rows, kernel, output)


def short_input(taps: int, points: tuple[int | Fraction, ...]) -> Matrix:
    """Return the `input` of a tile that leaves out the first of the points, for the `kernel` of one that has them all.

    With one point less there is one output less.  At a point a, the scale that `kernel` divides by holds the factor
    a - points[0], of a point that is not there; here the input is multiplied by it instead.  So the weights at the
    points serve tiles of both sizes.

    Examples
    --------
    F(1, 3) at 1, -1 and infinity, beside F(2, 3) at 0, 1, -1 and infinity: 0 is left out, so the factors are 1 and -1.

    >>> from npcnn.reference.toom_cook import short_input
    >>> [[int(v) for v in row] for row in short_input(3, (0, 1, -1))]
    [[1, 1, 0], [1, -1, 0], [-1, 0, 1]]
    """
    left = points[1:]
    rows = transforms(len(left) + 2 - taps, taps, left).input
    factors = [*(Fraction(point) - points[0] for point in left), Fraction(1)]
    return [[factor * v for v in row] for factor, row in zip(factors, rows, strict=True)]


def multiplications(outputs: int, taps: int) -> Fraction:
    """Return the multiplications of F(outputs, taps) per output, where the definition needs `taps`.

    Examples
    --------
    >>> from npcnn.reference.toom_cook import multiplications
    >>> str(multiplications(4, 5))
    '2'
    """
    return Fraction(outputs + taps - 1, outputs)


def _with_roots(roots: list[Fraction]) -> list[Fraction]:
    """Return the coefficients of prod (x - root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        for k, c in enumerate(coefficients):
            shifted[k] -= root * c
        coefficients = shifted
    return coefficients


def _product(factors: object) -> Fraction:
    product = Fraction(1)
    for factor in factors:  # type: ignore[attr-defined]
        product *= factor
    return product


def header() -> str:
    """Return the text of csrc/toom_cook_tables.h: the tables as C constants.

    Examples
    --------
    >>> from npcnn.reference.toom_cook import header
    >>> header().splitlines()[-1]
    '#endif'
    """
    lines = [
        "/* The text that `header` of npcnn/reference/toom_cook.py returns, which explains and derives the numbers. */",
        "#ifndef NPCNN_TOOM_COOK_TABLES_H",
        "#define NPCNN_TOOM_COOK_TABLES_H",
    ]
    for taps, points in POINTS.items():
        outputs = OUTPUTS[taps]
        forward = transforms(outputs, taps, points)
        weight_gradient = transforms(taps, outputs, points)
        lines += [
            "",
            f"/* F({outputs}, {taps}) at {', '.join(map(str, points))} and infinity */",
            *_table(f"toom_cook_input_{taps}", forward.input),
            *_table(f"toom_cook_weights_{taps}", forward.kernel),
            *_table(f"toom_cook_output_{taps}", forward.output),
            f"/* F({taps}, {outputs}), the weight gradient: its `input` is the one above */",
            *_table(f"toom_cook_gradient_{taps}", weight_gradient.kernel),
            *_table(f"toom_cook_weight_gradient_{taps}", weight_gradient.output),
        ]
    return "\n".join([*lines, *_tables_2d(), "", "#endif"])


def _tables_2d() -> list[str]:
    """Return the tables of 3 x 3 kernels; a table of a short tile is one of a whole tile, less its first point."""
    forward, weight_gradient = transforms(4, 3, POINTS_2D), transforms(3, 4, POINTS_2D)
    short = transforms(3, 3, POINTS_2D[1:])
    short_gradient = [row[:3] for row in weight_gradient.kernel[1:]]
    short_gradient[-1] = [Fraction(0), Fraction(0), Fraction(1)]
    return [
        "",
        f"/* F(4, 3) at {', '.join(map(str, POINTS_2D))} and infinity, and F(3, 3) without the first of them */",
        *_table("toom_cook_2d_input_4", forward.input),
        *_table("toom_cook_2d_input_3", short_input(3, POINTS_2D)),
        *_table("toom_cook_2d_weights", forward.kernel),
        *_table("toom_cook_2d_output_4", forward.output),
        *_table("toom_cook_2d_output_3", short.output),
        "/* the weight gradients, F(3, 4) and F(3, 3): their `input` are the ones above */",
        *_table("toom_cook_2d_gradient_4", weight_gradient.kernel),
        *_table("toom_cook_2d_gradient_3", short_gradient),
        *_table("toom_cook_2d_weight_gradient", weight_gradient.output),
    ]


def _table(name: str, matrix: Matrix) -> list[str]:
    rows = ["    {" + ", ".join(map(_literal, row)) + "}," for row in matrix]
    return [f"static const double {name}[{len(matrix)}][{len(matrix[0])}] = {{", *rows, "};"]


def _literal(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{value.numerator}.0 / {value.denominator}"
