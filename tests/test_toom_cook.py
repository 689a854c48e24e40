"""Toom-Cook: its transforms in exact fractions, the convolutions that run on them, and what it must not be given."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cases import NOT_CARRIED, assert_equal_arrays
from drawn import conv1d_configuration, conv2d_configuration

import npcnn as nn
from npcnn import functional, reference
from npcnn.functional.algorithms import spent_multiplications
from npcnn.reference.toom_cook import OUTPUTS, POINTS, POINTS_2D, header, multiplications, short_input, transforms

# Kernels, and by which algorithm each runs.
EVERY_WAY = [(kernel, "toom_cook") for kernel in [(3, 3), (5, 5), (5, 1), (1, 5), (7, 2)]]
EVERY_WAY += [((3, 3), "toom_cook_2d")]

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


@pytest.mark.parametrize(("outputs", "taps"), [(4, 3), (3, 4)])
def test_transforms_along_both_axes_give_the_convolution_exactly(outputs, taps):
    t = transforms(outputs, taps, POINTS_2D)
    for j in range(outputs + taps - 1):
        for k in range(taps):
            products = [row_g[k] * row_x[j] for row_g, row_x in zip(t.kernel, t.input, strict=True)]
            y = [sum(a * p for a, p in zip(row, products, strict=True)) for row in t.output]
            assert y == [Fraction(i + k == j) for i in range(outputs)]


def test_a_short_tile_gives_the_convolution_with_the_weights_of_a_whole_one():
    kernel = transforms(4, 3, POINTS_2D).kernel[1:]
    x_table, output = short_input(3, POINTS_2D), transforms(3, 3, POINTS_2D[1:]).output
    for j in range(5):
        for k in range(3):
            products = [row_g[k] * row_x[j] for row_g, row_x in zip(kernel, x_table, strict=True)]
            y = [sum(a * p for a, p in zip(row, products, strict=True)) for row in output]
            assert y == [Fraction(i + k == j) for i in range(3)]


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


def assert_forward_and_gradients(name, x, w, b, options, rng, algorithm="toom_cook"):
    """Hold conv1d or conv2d and its gradients, by `algorithm` in float32, to the reference in float64."""
    conv, backward = getattr(functional, name), getattr(functional, f"{name}_backward")
    x, w, b = (array.astype(np.float32) for array in (x, w, b))
    exact = [array.astype(np.float64) for array in (x, w, b)]
    expected = getattr(reference, name)(*exact, **options)

    y = conv(x, w, b, relu=True, algorithm=algorithm, **options)
    assert_equal_arrays(y, np.maximum(expected, 0), np.float32)
    y = conv(x, w, algorithm=algorithm, **options)
    assert_equal_arrays(y, expected - exact[2], np.float32)

    # With a mean, lest db of one channel be all cancellation and its error relative to next to nothing.
    dy = (0.5 + rng.standard_normal(y.shape)).astype(np.float32)
    mask = rng.standard_normal(y.shape).astype(np.float32)
    for relu_output in (None, mask):
        masked = dy if relu_output is None else dy * (mask > 0)
        expected = getattr(reference, f"{name}_backward")(masked.astype(np.float64), *exact[:2], **options)
        got = backward(dy, x, w, relu_output=relu_output, algorithm=algorithm, **options)
        for one, other in zip(got, expected, strict=True):
            assert_equal_arrays(one, other, np.float32)


@pytest.mark.parametrize("taps", list(POINTS))
@pytest.mark.parametrize("seed", range(120))
def test_conv1d_equals_the_definition(seed, taps):
    x, w, b, options = conv1d_configuration(seed, taps=taps)
    assert_forward_and_gradients("conv1d", x, w, b, options, np.random.default_rng(seed))


# (2, 3), (4, 5) and (1, 7) run along the width, the others along the height.
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (7, 7), (3, 2), (5, 4), (7, 1), (2, 3), (4, 5), (1, 7)])
@pytest.mark.parametrize("seed", range(40))
def test_conv2d_equals_the_definition(seed, kernel):
    x, w, b, options = conv2d_configuration(seed, kernel=kernel)
    assert_forward_and_gradients("conv2d", x, w, b, options, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(200))
def test_conv2d_along_both_axes_equals_the_definition(seed):
    x, w, b, options = conv2d_configuration(seed, kernel=(3, 3))
    rng = np.random.default_rng(seed)
    assert_forward_and_gradients("conv2d", x, w, b, options, rng, "toom_cook_2d")


# All ways to cut a picture into tiles of four and of three, with what they leave of 1, 2 and 5.
@pytest.mark.parametrize("height", range(1, 14))
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, 9])
def test_every_size_of_picture(height, width, rng):
    x, w = rng.standard_normal((3, height, width, 5)), rng.standard_normal((3, 3, 5, 9))
    assert_forward_and_gradients("conv2d", x, w, rng.standard_normal(9), {"padding": 1}, rng, "toom_cook_2d")


# As many channels and tiles as airbench94 has: more than are multiplied together, and sums of two halves.
@pytest.mark.parametrize("shape", [(40, 15, 15, 64, 48), (70, 7, 7, 256, 64), (2, 70, 40, 24, 33)])
def test_error_with_many_channels_and_tiles(shape, rng):
    N, H, W, C_in, C_out = shape
    x, w, b = rng.standard_normal((N, H, W, C_in)), rng.standard_normal((3, 3, C_in, C_out)), np.zeros(C_out)
    x, w = x.astype(np.float32), w.astype(np.float32)
    y = functional.conv2d(x, w, algorithm="toom_cook_2d")
    exact = functional.conv2d(x.astype(np.float64), w.astype(np.float64), b)
    assert_equal_arrays(y, exact, np.float32)
    gradients = functional.conv2d_backward(y, x, w, algorithm="toom_cook_2d")
    exact = functional.conv2d_backward(*(array.astype(np.float64) for array in (y, x, w)))
    for got, wanted in zip(gradients, exact, strict=True):
        assert_equal_arrays(got, wanted, np.float32)


# Weight gradients that are shared out by parts of the batch, by columns, by rows, and by several of these.
@pytest.mark.usefixtures("settings_restored")
@pytest.mark.parametrize("channels", [(24, 100), (7, 260), (260, 7), (140, 130)])
@pytest.mark.parametrize(
    "pool", [None, (2, 2), (3, 2)]
)  # windows side by side, with a border left out, and overlapping
def test_the_same_bits_whatever_the_number_of_threads(channels, pool, rng):
    results = []
    for threads in (1, 2, 3, 5, 8, 30):
        nn.set_num_threads(threads)
        results.append(pooled_convolution(channels, pool, np.float32, "toom_cook_2d"))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    for got, exact in zip(results[0], pooled_convolution(channels, pool, np.float64, "im2col"), strict=True):
        assert_equal_arrays(got, exact, np.float32)


def pooled_convolution(channels, pool, dtype, algorithm):
    """Return y, dx and the gradients of w and b of a convolution with a max pooling behind it, or without."""
    rng = np.random.default_rng(0)
    conv = nn.Conv2D(*channels, 3, algorithm=algorithm, activation=None if pool else "relu", rng=rng)
    net = nn.Sequential(conv, *([nn.MaxPool2D(*pool)] if pool else []))
    net = net.astype(dtype) if dtype == np.float64 else net
    x = rng.standard_normal((5, 13, 11, channels[0])).astype(np.float32).astype(dtype)
    y = net.forward(x, training=True).copy()
    dx = net.backward((0.5 + rng.standard_normal(y.shape)).astype(np.float32).astype(dtype))
    return y, dx, *net.grads.values()


def test_tiles_of_a_large_picture_are_taken_in_turns(rng):
    # More values at the points than the weight gradient keeps at a time.
    x, w = rng.standard_normal((1, 90, 40, 16)), rng.standard_normal((5, 5, 16, 33))
    assert_forward_and_gradients("conv2d", x, w, rng.standard_normal(33), {"padding": "valid"}, rng)


def pictures(value, place, shape=(3, 12, 13, 4)):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x[(1, *place, 2)] = value
    return x


def assert_same(got, expected):
    """NaN and infinity in the same places, the rest as close as float32 gets to its largest."""
    with np.errstate(over="ignore"):
        expected = expected.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    infinite = np.isinf(expected)
    np.testing.assert_array_equal(np.isinf(got), infinite)
    np.testing.assert_array_equal(got[infinite], expected[infinite])
    finite = np.isfinite(expected)
    largest = np.abs(expected[finite]).max(initial=1.0)
    np.testing.assert_allclose(got[finite] / largest, expected[finite] / largest, rtol=0, atol=1e-5)


def weights(kernel, C_in=4, C_out=5):
    return np.random.default_rng(1).standard_normal((*kernel, C_in, C_out)).astype(np.float32)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the definition in NumPy says that inf - inf is invalid
@pytest.mark.parametrize(("kernel", "algorithm"), EVERY_WAY)
@pytest.mark.parametrize("value", NOT_CARRIED)
@pytest.mark.parametrize("place", [(7, 8), (0, 0), (11, 12)])
def test_what_it_cannot_carry_stands_where_the_definition_puts_it(place, value, kernel, algorithm):
    x, w = pictures(value, place), weights(kernel)
    y = functional.conv2d(x, w, algorithm=algorithm)
    assert_same(y, reference.conv2d(*(array.astype(np.float64) for array in (x, w))))
    # The other pictures have the bits that they have without it.
    others = [0, 2]
    np.testing.assert_array_equal(y[others], functional.conv2d(x[others], w, algorithm=algorithm))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("kernel", "algorithm"), EVERY_WAY)
@pytest.mark.parametrize("value", NOT_CARRIED)
@pytest.mark.parametrize("where", ["x", "dy", "w"])
def test_what_it_cannot_carry_in_a_gradient_stands_where_the_definition_puts_it(where, value, kernel, algorithm):
    x, w, dy = pictures(0.5, (7, 8)), weights(kernel), pictures(0.5, (0, 0), (3, 12, 13, 5))
    {"x": x, "dy": dy, "w": w[np.newaxis]}[where][(0, 0, 0, 1)] = value
    expected = reference.conv2d_backward(*(array.astype(np.float64) for array in (dy, x, w)))
    for got, wanted in zip(functional.conv2d_backward(dy, x, w, algorithm=algorithm), expected, strict=True):
        assert_same(got, wanted)


def test_an_infinity_does_not_spread_over_a_tile():
    x, w = np.zeros((1, 12, 12, 4), np.float32), np.ones((5, 1, 4, 4), np.float32)
    x[0, 7, 8, 0] = np.inf
    y = functional.conv2d(x, w, algorithm="toom_cook")
    np.testing.assert_array_equal(np.flatnonzero(np.isinf(y).any(axis=(0, 2, 3))), [5, 6, 7, 8, 9])
    assert not np.isnan(y).any()


@pytest.mark.usefixtures("settings_restored")
def test_an_infinity_is_found_where_threads_share_out_the_channels():
    x, w = pictures(np.inf, (7, 8), (3, 12, 13, 64)), weights((3, 3), 64, 70)
    nn.set_num_threads(2)
    y = functional.conv2d(x, w, algorithm="toom_cook_2d")
    assert_same(y, functional.conv2d(x.astype(np.float64), w.astype(np.float64)))


@pytest.mark.usefixtures("settings_restored")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("channel", [0, 69])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_an_infinity_in_a_gradient_is_found_where_threads_share_out_the_channels(threads, channel):
    x, w, dy = pictures(0.5, (7, 8), (2, 12, 13, 64)), weights((3, 3), 64, 70), pictures(0.5, (0, 0), (2, 12, 13, 70))
    dy[1, 7, 8, channel] = np.inf
    nn.set_num_threads(threads)
    expected = functional.conv2d_backward(*(array.astype(np.float64) for array in (dy[1:], x[1:], w)))
    for got, wanted in zip(
        functional.conv2d_backward(dy[1:], x[1:], w, algorithm="toom_cook_2d"), expected, strict=True
    ):
        assert_same(got, wanted)


@pytest.mark.parametrize(("kernel", "algorithm"), EVERY_WAY)
def test_what_the_relu_stopped_is_no_number_to_carry(kernel, algorithm):
    """So the picture keeps the bits that it has alone, though another in its batch has an infinity."""
    x, w, dy = pictures(0.5, (7, 8)), weights(kernel), pictures(0.5, (0, 0), (3, 12, 13, 5))
    relu_output = pictures(0.5, (0, 0), (3, 12, 13, 5))
    dy[1, 7, 8, 1], relu_output[1, 7, 8, 1] = np.inf, -1.0
    x[0, 0, 0, 1] = np.inf

    def input_gradient(batch):
        options = {"relu_output": relu_output[batch], "algorithm": algorithm}
        return functional.conv2d_backward(dy[batch], x[batch], w, **options)[0]

    alone = input_gradient(slice(1, 2))
    assert np.isfinite(alone).all()
    np.testing.assert_array_equal(input_gradient(slice(0, 3))[1:2], alone)


def test_a_large_number_under_an_identity_kernel():
    x, w = np.zeros((1, 8, 8, 4), np.float32), np.zeros((5, 5, 4, 4), np.float32)
    x[0, 3, 3], w[2, 2] = 1e38, np.eye(4)
    np.testing.assert_array_equal(functional.conv2d(x, w, algorithm="toom_cook"), x)


def test_conv1d_in_float64_is_never_toom_cook(rng):
    x, w = rng.standard_normal((1, 8, 8, 64)), rng.standard_normal((5, 64, 64))
    exact = functional.conv1d(x, w, axis="height", algorithm="im2col")
    np.testing.assert_array_equal(functional.conv1d(x, w, axis="height"), exact)
    with pytest.raises(ValueError, match="float32"):
        functional.conv1d(x, w, axis="height", algorithm="toom_cook")


def test_conv2d_in_float64_is_never_toom_cook(rng):
    x, w = rng.standard_normal((1, 8, 8, 64)), rng.standard_normal((5, 5, 64, 64))
    exact = functional.conv2d(x, w, algorithm="im2col")
    np.testing.assert_array_equal(functional.conv2d(x, w), exact)
    with pytest.raises(ValueError, match="float32"):
        functional.conv2d(x, w, algorithm="toom_cook")


def test_conv2d_without_a_fitting_axis_is_refused():
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((4, 2, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"3, 5 or 7 taps along one axis.*got a 4 x 2 kernel"):
        functional.conv2d(x, w, algorithm="toom_cook")


def test_conv2d_along_both_axes_takes_three_by_three_taps_only():
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((3, 5, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"needs 3 x 3 taps.*got a 3 x 5 kernel"):
        functional.conv2d(x, w, algorithm="toom_cook_2d")


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


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ((24, 24), 36 * 36),  # six tiles of four, 6 points each
        ((7, 15), (6 + 5) * (3 * 6 + 5)),  # 4 + 3, and 4 + 4 + 4 + 3
        ((3, 1), 5 * 5),
        ((5, 2), 10 * 5),  # two of three, of which one line is not there
        ((9, 6), 15 * 10),  # 3 + 3 + 3, and 3 + 3
    ],
)
def test_products_along_both_axes_counted_by_hand(output, expected):
    assert spent_multiplications("toom_cook_2d", output, (3, 3, 2, 8)) == expected * 2 * 8


@pytest.mark.parametrize("options", [{"stride": 2}, {"dilation": 2}])
def test_toom_cook_where_it_does_not_exist_is_refused(options):
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="stride 1, dilation 1 and float32"):
        functional.conv1d(x, w, axis="width", algorithm="toom_cook", **options)


def test_unknown_algorithm_is_refused():
    x, w = np.zeros((1, 8, 8, 2), np.float32), np.zeros((3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="algorithm must be"):
        functional.conv1d(x, w, axis="width", algorithm="winograd")


def test_the_old_name_of_its_module_warns():
    with pytest.warns(DeprecationWarning, match=r"now npcnn\.reference\.toom_cook"):
        from npcnn import toom_cook
    assert toom_cook.transforms is transforms
