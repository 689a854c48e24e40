"""The Toom-Cook transforms in exact fractions, and the kernels that run on them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from drawn import assert_equal_arrays, conv1d_configuration, conv2d_configuration

from npcnn import functional, reference
from npcnn.functional.toom_cook import spent_multiplications
from npcnn.reference.toom_cook import OUTPUTS, POINTS, header, multiplications, transforms

F_OF = [
    (outputs, taps, points)
    for taps, points in POINTS.items()
    for outputs, taps in ((OUTPUTS[taps], taps), (taps, OUTPUTS[taps]))
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


def assert_forward_and_gradients(name, x, w, b, options, rng):
    """Hold conv1d or conv2d and its gradients, by Toom-Cook in float32, to the reference in float64."""
    conv, backward = getattr(functional, name), getattr(functional, f"{name}_backward")
    x, w, b = (array.astype(np.float32) for array in (x, w, b))
    exact = [array.astype(np.float64) for array in (x, w, b)]
    expected = getattr(reference, name)(*exact, **options)

    y = conv(x, w, b, relu=True, algorithm="toom_cook", **options)
    assert_equal_arrays(y, np.maximum(expected, 0), np.float32)
    y = conv(x, w, algorithm="toom_cook", **options)
    assert_equal_arrays(y, expected - exact[2], np.float32)

    # With a mean, lest db of one channel be all cancellation and its error relative to next to nothing.
    dy = (0.5 + rng.standard_normal(y.shape)).astype(np.float32)
    mask = rng.standard_normal(y.shape).astype(np.float32)
    for relu_output in (None, mask):
        masked = dy if relu_output is None else dy * (mask > 0)
        expected = getattr(reference, f"{name}_backward")(masked.astype(np.float64), *exact[:2], **options)
        got = backward(dy, x, w, relu_output=relu_output, algorithm="toom_cook", **options)
        for one, other in zip(got, expected, strict=True):
            assert_equal_arrays(one, other, np.float32)


@pytest.mark.parametrize("taps", list(POINTS))
@pytest.mark.parametrize("seed", range(120))
def test_conv1d_and_gradients(seed, taps):
    x, w, b, options = conv1d_configuration(seed)
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((taps, *w.shape[1:]))
    padding = options["padding"] if options["padding"] != "valid" else (3, 1)
    if isinstance(padding, int | tuple):
        padding = (np.max(padding) + 3, np.min(padding) + 4)  # room for the taps, and more than they reach
    assert_forward_and_gradients("conv1d", x, w, b, {"axis": options["axis"], "padding": padding}, rng)


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (7, 7), (3, 2), (5, 4), (7, 1), (2, 3), (4, 5), (1, 7)])
@pytest.mark.parametrize("seed", range(40))
def test_conv2d_and_gradients(seed, kernel):
    # (2, 3), (4, 5) and (1, 7) run along the width, the others along the height.
    x, w, b, _ = conv2d_configuration(seed)
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((*kernel, *w.shape[2:]))
    padding = "same"
    if seed % 3:
        padding = tuple(tuple(int(p) for p in rng.integers(taps // 2, taps + 3, 2)) for taps in kernel)
    assert_forward_and_gradients("conv2d", x, w, b, {"padding": padding}, rng)


def test_tiles_of_a_large_picture_are_taken_in_turns(rng):
    # More values at the points than the weight gradient keeps at a time.
    x, w = rng.standard_normal((1, 90, 40, 16)), rng.standard_normal((5, 5, 16, 33))
    assert_forward_and_gradients("conv2d", x, w, rng.standard_normal(33), {"padding": "valid"}, rng)


def test_float64_is_never_toom_cook(rng):
    x, w = rng.standard_normal((1, 8, 8, 64)), rng.standard_normal((5, 64, 64))
    exact = functional.conv1d(x, w, axis="height", algorithm="im2col")
    np.testing.assert_array_equal(functional.conv1d(x, w, axis="height"), exact)
    with pytest.raises(ValueError, match="float32"):
        functional.conv1d(x, w, axis="height", algorithm="toom_cook")


def test_conv2d_float64_is_never_toom_cook(rng):
    x, w = rng.standard_normal((1, 8, 8, 64)), rng.standard_normal((5, 5, 64, 64))
    exact = functional.conv2d(x, w, algorithm="im2col")
    np.testing.assert_array_equal(functional.conv2d(x, w), exact)
    with pytest.raises(ValueError, match="float32"):
        functional.conv2d(x, w, algorithm="toom_cook")


def test_conv2d_without_a_fitting_axis_is_refused():
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((4, 2, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"3, 5 or 7 taps along one axis.*got a 4 x 2 kernel"):
        functional.conv2d(x, w, algorithm="toom_cook")


@pytest.mark.parametrize(
    ("weights", "output", "expected"),
    [
        ((5, 1, 64, 64), (12, 12), 12 * 12 * 2 * 64 * 64),  # F(4, 5): 8 products for 4 outputs
        ((5, 1, 1, 1), (6, 2), 2 * 8 * 2),  # 6 lines take two tiles
        ((3, 3, 3, 8), (24, 24), 24 * 24 * 3 * 3 * 8 * 3 // 2),  # F(4, 3), times 3 taps across
        ((2, 7, 1, 1), (3, 4), 3 * 2 * 8 * 2),  # F(2, 7) along the width
    ],
)
def test_spent_multiplications_counted_by_hand(weights, output, expected):
    assert spent_multiplications("toom_cook", output, weights) == expected


@pytest.mark.parametrize("options", [{"stride": 2}, {"dilation": 2}])
def test_toom_cook_where_it_does_not_exist_is_refused(options):
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="stride 1, dilation 1 and float32"):
        functional.conv1d(x, w, axis="width", algorithm="toom_cook", **options)


def test_unknown_algorithm_is_refused():
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="algorithm must be"):
        functional.conv1d(x, w, axis="width", algorithm="winograd")
