"""The Toom-Cook transforms in exact fractions, and the kernels that run on them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from drawn import assert_equal_arrays, conv1d_configuration

from npcnn import functional, reference
from npcnn.toom_cook import OUTPUTS, POINTS, header, multiplications, transforms

F_OF = [
    (outputs, taps, points) for taps, points in POINTS.items() for outputs, taps in ((OUTPUTS[taps], taps), (taps, OUTPUTS[taps]))
]


@pytest.mark.parametrize(("outputs", "taps", "points"), F_OF)
def test_transforms_give_the_convolution_exactly(outputs, taps, points):
    # On the unit vectors of inputs and taps the formula must give y[i] = sum_k x[i+k] g[k], in fractions.
    t = transforms(outputs, taps, points)
    for j in range(outputs + taps - 1):
        for k in range(taps):
            products = [row_g[k] * row_x[j] for row_g, row_x in zip(t.kernel, t.input, strict=True)]
            y = [sum(a * p for a, p in zip(row, products, strict=True)) for row in t.output]
            assert y == [Fraction(i + k == j) for i in range(outputs)]


@pytest.mark.parametrize(("outputs", "taps", "points"), F_OF)
def test_rows_of_a_pair_of_points_differ_in_the_odd_coefficients_only(outputs, taps, points):
    # csrc/toom_cook.inc.c relies on it.
    t = transforms(outputs, taps, points)
    columns = [list(column) for column in zip(*t.output, strict=True)]
    for table in (t.input, t.kernel, columns):
        for p in range(1, len(points), 2):
            assert points[p] == -points[p + 1]
            assert table[p + 1] == [v * (-1) ** k for k, v in enumerate(table[p])]


def test_both_directions_share_the_transform_of_the_inputs():
    for taps, points in POINTS.items():
        forward, gradient = transforms(OUTPUTS[taps], taps, points), transforms(taps, OUTPUTS[taps], points)
        assert forward.input == gradient.input


def test_tables_in_csrc_are_the_derived_ones():
    table = Path(__file__).parent.parent / "csrc" / "toom_cook_tables.h"
    assert table.read_text() == header() + "\n"


def test_multiplications_for_an_output():
    assert multiplications(4, 5) == 2
    assert multiplications(4, 3) == Fraction(3, 2)


@pytest.mark.parametrize(("points", "message"), [((0, 1), "points must be 3"), ((0, 1, 1), "points must differ")])
def test_wrong_points_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        transforms(2, 3, points)


@pytest.mark.parametrize("taps", list(POINTS))
@pytest.mark.parametrize("seed", range(120))
def test_conv1d_and_gradients(seed, taps):
    x, w, b, options = conv1d_configuration(seed)
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((taps, *w.shape[1:]))
    padding = options["padding"] if options["padding"] != "valid" else (3, 1)
    if isinstance(padding, int | tuple):
        padding = (np.max(padding) + 3, np.min(padding) + 4)  # room for the taps
    options = {"axis": options["axis"], "padding": padding}
    x, w, b = (array.astype(np.float32) for array in (x, w, b))
    exact = [array.astype(np.float64) for array in (x, w, b)]

    y = functional.conv1d(x, w, b, relu=True, algorithm="toom_cook", **options)
    assert_equal_arrays(y, np.maximum(reference.conv1d(*exact, **options), 0), np.float32)
    y = functional.conv1d(x, w, algorithm="toom_cook", **options)
    assert_equal_arrays(y, reference.conv1d(*exact[:2], **options), np.float32)

    dy = rng.standard_normal(y.shape).astype(np.float32)
    mask = rng.standard_normal(y.shape).astype(np.float32)
    for relu_output in (None, mask):
        masked = dy if relu_output is None else dy * (mask > 0)
        expected = reference.conv1d_backward(masked.astype(np.float64), *exact[:2], **options)
        got = functional.conv1d_backward(dy, x, w, relu_output=relu_output, algorithm="toom_cook", **options)
        for one, other in zip(got, expected, strict=True):
            assert_equal_arrays(one, other, np.float32)


def test_float64_is_never_toom_cook(rng):
    x, w = rng.standard_normal((1, 8, 8, 64)), rng.standard_normal((5, 64, 64))
    exact = functional.conv1d(x, w, axis="height", algorithm="im2col")
    np.testing.assert_array_equal(functional.conv1d(x, w, axis="height"), exact)
    with pytest.raises(ValueError, match="float32"):
        functional.conv1d(x, w, axis="height", algorithm="toom_cook")


@pytest.mark.parametrize("options", [{"stride": 2}, {"dilation": 2}])
def test_toom_cook_where_it_does_not_exist_is_refused(options):
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="stride 1, dilation 1"):
        functional.conv1d(x, w, axis="width", algorithm="toom_cook", **options)


def test_unknown_algorithm_is_refused():
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="algorithm must be"):
        functional.conv1d(x, w, axis="width", algorithm="winograd")
