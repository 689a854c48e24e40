"""Max and average pooling: by hand, over drawn configurations, their gradients, and what they refuse.

The truths are figures worked by hand, windows by np.pad and sliding views, differences, and the definition.
"""

import numpy as np
import pytest
from cases import assert_equal_arrays, assert_refused, either
from drawn import LAYOUTS, REAL_TYPES, laid_out, pool_configuration
from second_opinions import central_difference, second_opinion_windows

import npcnn as nn
from npcnn import functional as F
from npcnn import reference
from npcnn.reference.windows import as_pair

DIGITS = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)


@either
def test_max_pool2d_worked_by_hand(ops):
    x = np.array([[1.0, 2.0, 5.0, 5.0], [4.0, 3.0, 5.0, 0.0], [-1.0, -2.0, 0.0, 0.0], [-3.0, -1.0, 0.0, 9.0]]).reshape(
        1, 4, 4, 1
    )
    y, argmax = ops.max_pool2d(x, 2)
    np.testing.assert_array_equal(y[0, :, :, 0], [[4, 5], [-1, 9]])
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[2, 0], [0, 3]])  # ties: 5 5 5 and -1 -1
    assert argmax.dtype == np.int32


@either
def test_max_pool2d_windows_cut_by_the_border(ops):
    # Negative pixels: a padding counted as zero would win everywhere along the border.
    y, argmax = ops.max_pool2d(-DIGITS, 2, padding="same")
    np.testing.assert_array_equal(y[0, :, :, 0], [[-1, -3], [-7, -9]])
    np.testing.assert_array_equal(argmax, 0)

    y, argmax = ops.max_pool2d(-DIGITS, 3, stride=2, padding=1)
    np.testing.assert_array_equal(y[0, :, :, 0], [[-1, -2], [-4, -5]])
    # The first window's own row and column 0 are padding: pixel (0, 0) is its position (1, 1).
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[4, 3], [1, 0]])


@either
def test_max_pool2d_overlapping_and_oblong_windows(ops):
    y, argmax = ops.max_pool2d(DIGITS, (1, 2), stride=1)
    np.testing.assert_array_equal(y[0, :, :, 0], [[2, 3], [5, 6], [8, 9]])
    np.testing.assert_array_equal(argmax, 1)
    y, argmax = ops.max_pool2d(DIGITS, (2, 3), stride=(1, 2))
    np.testing.assert_array_equal(y.ravel(), [6, 9])
    np.testing.assert_array_equal(argmax.ravel(), [5, 5])


LINE = np.array([3.0, 1.0, 4.0, 1.0, 5.0]).reshape(1, 1, 5, 1)


@either
def test_dilation_by_hand(ops):
    options = {"stride": 1, "dilation": (1, 3)}
    y, argmax = ops.max_pool2d(LINE, (1, 2), **options)  # 3 1, and 1 5
    np.testing.assert_array_equal(y.ravel(), [3, 5])
    np.testing.assert_array_equal(argmax.ravel(), [0, 1])
    np.testing.assert_array_equal(ops.avg_pool2d(LINE, (1, 2), **options).ravel(), [2, 3])
    dx = ops.max_pool2d_backward(np.array([10.0, 1.0]).reshape(y.shape), argmax, LINE.shape, size=(1, 2), **options)
    np.testing.assert_array_equal(dx.ravel(), [10, 0, 0, 0, 1])
    # The same step as the window is long, but the taps of one lie between those of the other.
    options = {"size": (1, 2), "stride": (1, 2), "dilation": (1, 2)}
    dx = ops.avg_pool2d_backward(np.array([4.0, 2.0]).reshape(1, 1, 2, 1), LINE.shape, **options)
    np.testing.assert_array_equal(dx.ravel(), [2, 0, 3, 0, 1])


@either
def test_ceil_mode_by_hand(ops):
    y, argmax = ops.max_pool2d(LINE, (1, 2), ceil_mode=True)
    np.testing.assert_array_equal(y.ravel(), [3, 4, 5])
    np.testing.assert_array_equal(argmax.ravel(), [0, 0, 0])
    np.testing.assert_array_equal(ops.avg_pool2d(LINE, (1, 2), ceil_mode=True).ravel(), [2, 2.5, 5])
    # A padding of 1 to the left: (-3) (1 4) (1 5).  Of 1 on both sides: the window that would start in it is left out.
    for right in (0, 1):
        options = {"padding": ((0, 0), (1, right)), "ceil_mode": True}
        np.testing.assert_array_equal(ops.max_pool2d(LINE, (1, 2), **options)[0].ravel(), [3, 4, 5])
        means = ops.avg_pool2d(LINE, (1, 2), count_include_pad=True, **options)
        np.testing.assert_array_equal(means.ravel(), [1.5, 2.5, 3])
    # Three wide: (3 1 4) (1 5 |): what is beyond the picture does not count, what is padding does.
    options = {"stride": (1, 3), "ceil_mode": True, "count_include_pad": True}
    np.testing.assert_allclose(ops.avg_pool2d(LINE, (1, 3), **options).ravel(), [8 / 3, 3])
    options["padding"] = ((0, 0), (0, 1))
    np.testing.assert_allclose(ops.avg_pool2d(LINE, (1, 3), **options).ravel(), [8 / 3, 2])
    dx = ops.avg_pool2d_backward(np.array([3.0, 6.0]).reshape(1, 1, 2, 1), LINE.shape, size=(1, 3), **options)
    np.testing.assert_allclose(dx.ravel(), [1, 1, 1, 2, 2])


@either
def test_ceil_mode_gives_a_picture_smaller_than_the_window_one_window(ops):
    assert ops.max_pool2d(LINE, (1, 6), ceil_mode=True)[0].ravel().tolist() == [5]


@either
def test_max_pool2d_nan_wins_and_the_first_of_several(ops):
    x = np.array([[1.0, np.nan, 2.0, np.inf], [np.nan, 3.0, np.nan, 4.0]]).reshape(1, 2, 4, 1)
    y, argmax = ops.max_pool2d(x, 2)
    assert np.isnan(y).all()
    np.testing.assert_array_equal(argmax.ravel(), [1, 2])


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_max_pool2d_loses_no_nan_and_makes_none(dtype):
    x = np.ones((1, 4, 4, 3), dtype)
    x[0, 1, 1, 0] = np.nan
    y, argmax = F.max_pool2d(x, 2)
    assert np.isnan(y[0, 0, 0, 0])
    assert argmax[0, 0, 0, 0] == 3
    assert np.isnan(y).sum() == 1


@either
def test_max_pool2d_minus_infinity_is_a_value(ops):
    y, argmax = ops.max_pool2d(np.full((1, 3, 3, 1), -np.inf), 3, stride=2, padding=1)
    np.testing.assert_array_equal(y, -np.inf)
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[4, 3], [1, 0]])


@either
def test_max_pool2d_backward_worked_by_hand(ops):
    # All four windows hold the 9 in the middle, so it collects all of dy.
    x = np.array([[1.0, 2.0, 3.0], [4.0, 9.0, 6.0], [7.0, 8.0, 5.0]]).reshape(1, 3, 3, 1)
    _, argmax = ops.max_pool2d(x, 2, stride=1)
    dy = np.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(1, 2, 2, 1)
    dx = ops.max_pool2d_backward(dy, argmax, x.shape, size=2, stride=1)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 0, 0], [0, 1111, 0], [0, 0, 0]])

    ties = np.ones((1, 2, 2, 1))
    _, argmax = ops.max_pool2d(ties, 2, padding="same", stride=1)
    dx = ops.max_pool2d_backward(dy, argmax, ties.shape, size=2, padding="same", stride=1)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 10], [100, 1000]])


@either
def test_avg_pool2d_worked_by_hand(ops):
    y = ops.avg_pool2d(DIGITS, 2, padding="same")
    np.testing.assert_array_equal(y[0, :, :, 0], [[3, 4.5], [7.5, 9]])
    y = ops.avg_pool2d(DIGITS, 2, padding="same", count_include_pad=True)
    np.testing.assert_array_equal(y[0, :, :, 0], [[3, 2.25], [3.75, 2.25]])
    y = ops.avg_pool2d(DIGITS, (2, 3), stride=1)
    np.testing.assert_array_equal(y.ravel(), [3.5, 6.5])


@either
def test_avg_pool2d_backward_worked_by_hand(ops):
    dy = np.array([[4.0, 2.0], [6.0, 1.0]]).reshape(1, 2, 2, 1)
    options = {"size": 2, "padding": "same"}
    dx = ops.avg_pool2d_backward(dy, (1, 3, 3, 1), **options)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 1, 1], [1, 1, 1], [3, 3, 1]])
    dx = ops.avg_pool2d_backward(dy, (1, 3, 3, 1), **options, count_include_pad=True)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 1, 0.5], [1, 1, 0.5], [1.5, 1.5, 0.25]])


@either
@pytest.mark.parametrize("seed", range(30))
def test_pooling_against_sliding_windows(ops, seed):
    x, size, options = pool_configuration(seed, limit=1000)
    given = as_pair(size), as_pair(options["stride"] or size), options["padding"], as_pair(options["dilation"])
    windows = second_opinion_windows(x, *given, fill=-np.inf, ceil_mode=options["ceil_mode"])
    flat = windows.reshape(*windows.shape[:4], -1)
    y, argmax = ops.max_pool2d(x, size, **options)
    np.testing.assert_array_equal(y, flat.max(axis=-1))
    np.testing.assert_array_equal(argmax, flat.argmax(axis=-1))  # argmax: the first, as well

    inside = np.isfinite(flat)
    total = np.where(inside, flat, 0).sum(axis=-1)
    means = ops.avg_pool2d(x, size, **options)
    np.testing.assert_allclose(means, total / inside.sum(axis=-1), atol=1e-13)
    means = ops.avg_pool2d(x, size, **options, count_include_pad=True)
    ones = np.ones_like(x)
    counted = second_opinion_windows(ones, *given, fill=1.0, ceil_mode=options["ceil_mode"], beyond=0.0)
    np.testing.assert_allclose(means, total / counted.sum(axis=(-2, -1)), atol=1e-13)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (2, {}),
        ((3, 2), {"stride": 1, "padding": "same"}),
        (3, {"stride": 2, "padding": ((1, 2), (0, 1))}),
        (2, {"stride": (3, 2), "dilation": (1, 2), "ceil_mode": True}),
    ],
)
def test_pooling_backward_against_central_differences(size, options):
    rng = np.random.default_rng(4)
    # A permutation: no two values closer than one, so no step changes a winner.
    x = rng.permutation(2 * 4 * 5 * 2).astype(float).reshape(2, 4, 5, 2)
    y, argmax = reference.max_pool2d(x, size, **options)
    dy = rng.standard_normal(y.shape)
    dx = reference.max_pool2d_backward(dy, argmax, x.shape, size=size, **options)
    numeric = central_difference(lambda: np.vdot(reference.max_pool2d(x, size, **options)[0], dy), x, step=1e-2)
    np.testing.assert_allclose(dx, numeric, atol=1e-10)

    for count_include_pad in (False, True):
        rest = {**options, "count_include_pad": count_include_pad}
        dx = reference.avg_pool2d_backward(dy, x.shape, size=size, **rest)
        numeric = central_difference(lambda rest=rest: np.vdot(reference.avg_pool2d(x, size, **rest), dy), x, step=1e-2)
        np.testing.assert_allclose(dx, numeric, atol=1e-10)


@either
def test_ties_go_to_the_first_in_row_major_order(ops):
    x = np.array([[7.0, 7, 1], [7, 7, 7], [0, 7, 7]]).reshape(1, 3, 3, 1)
    _, argmax = ops.max_pool2d(x, 2, stride=1)
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[0, 0], [0, 0]])
    x[0, 0, 0] = 0
    _, argmax = ops.max_pool2d(x, 2, stride=1)
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[1, 0], [0, 0]])


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(150))
def test_max_pool2d_equals_the_definition(seed, dtype):
    x, size, options = pool_configuration(seed)
    x = x.astype(dtype)
    y, argmax = F.max_pool2d(x, size, **options)
    expected_y, expected_argmax = reference.max_pool2d(x, size, **options)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(argmax, expected_argmax)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    expected = reference.max_pool2d_backward(dy.astype(np.float64), expected_argmax, x.shape, size=size, **options)
    got = F.max_pool2d_backward(dy, argmax, x.shape, size=size, **options)
    assert_equal_arrays(got, expected, dtype)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(50))
def test_max_pool2d_of_several_nans(seed, dtype):
    x, size, options = pool_configuration(seed, nan=True)
    x = x.astype(dtype)
    for got, expected in zip(F.max_pool2d(x, size, **options), reference.max_pool2d(x, size, **options), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "before",
    [
        [],
        [nn.Conv1D(40, 40, 3, axis="width", rng=np.random.default_rng(0))],
        [nn.Conv2D(40, 40, 3, rng=np.random.default_rng(0))],
    ],
)
def test_the_maxima_without_their_places_are_those_with_them(before, rng):
    # In training each layer, or the convolution before it in one go, writes argmax too; otherwise neither does.
    net = nn.Sequential(*before, nn.MaxPool2D((2, 3), stride=2, padding="same"))
    x = rng.standard_normal((3, 9, 7, 40)).astype(np.float32)
    x[0, 4:6, 2:5], x[1, 0, 0] = np.nan, -np.inf
    np.testing.assert_array_equal(net.forward(x), net.forward(x, training=True).copy())


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("seed", range(150))
def test_avg_pool2d_equals_the_definition(seed, count_include_pad, dtype):
    x, size, options = pool_configuration(seed)
    x = x.astype(dtype)
    options["count_include_pad"] = count_include_pad
    y = F.avg_pool2d(x, size, **options)
    assert_equal_arrays(y, reference.avg_pool2d(x.astype(np.float64), size, **options), dtype)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    expected = reference.avg_pool2d_backward(dy.astype(np.float64), x.shape, size=size, **options)
    got = F.avg_pool2d_backward(dy, x.shape, size=size, **options)
    assert_equal_arrays(got, expected, dtype)


@pytest.mark.parametrize("seed", range(40))
def test_gradients_pass_gradcheck(seed, rng):
    x, size, options = pool_configuration(seed, limit=400)
    x = rng.permutation(x.size).reshape(x.shape).astype(float)  # no two alike: no tie
    report = nn.gradcheck(
        lambda x: F.max_pool2d(x, size, **options),
        x,
        backward=lambda dy, x: F.max_pool2d_backward(
            dy, F.max_pool2d(x, size, **options)[1], x.shape, size=size, **options
        ),
        tolerance=1e-7,
        max_elements=60,
    )
    assert report.ok, report
    for count_include_pad in (False, True):
        pooling = options | {"count_include_pad": count_include_pad}
        report = nn.gradcheck(
            lambda x, pooling=pooling: F.avg_pool2d(x, size, **pooling),
            x,
            backward=lambda dy, x, pooling=pooling: F.avg_pool2d_backward(dy, x.shape, size=size, **pooling),
            tolerance=1e-7,
            max_elements=60,
        )
        assert report.ok, report


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(5))
def test_memory_layout_does_not_matter(seed, layout):
    x, size, options = pool_configuration(seed)
    y, argmax = F.max_pool2d(x, size, **options)
    for got, plain in zip(F.max_pool2d(*laid_out(layout, x), size, **options), (y, argmax), strict=True):
        np.testing.assert_array_equal(got, plain)


@pytest.mark.parametrize("shape", [(4096, 4096), (1, 100_000), (100_000, 1)])
def test_the_mean_of_a_constant_is_that_constant(shape):
    x = np.full((1, *shape, 1), 0.1, np.float32)
    assert F.avg_pool2d(x, shape).item() == pytest.approx(0.1, rel=1e-6)


def test_a_mean_over_a_large_window_keeps_infinity():
    x = np.ones((1, 20, 20, 1), np.float32)
    x[0, 3, 3] = np.inf
    assert F.avg_pool2d(x, 20).item() == np.inf


@either
@pytest.mark.parametrize("pool", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("padding", ["reflect", ""])
def test_unknown_padding_strings_are_refused(ops, pool, padding):
    with pytest.raises(ValueError, match="padding must be 'same', 'valid'"):
        getattr(ops, pool)(DIGITS, 2, padding=padding)


X = np.zeros((2, 6, 6, 3), np.float32)
POOLED = np.zeros((2, 3, 3, 3), np.float32)
ARGMAX = np.zeros((2, 3, 3, 3), np.int32)


def pool_back(dy=POOLED, argmax=ARGMAX, x_shape=X.shape, **options):
    return F.max_pool2d_backward(dy, argmax, x_shape, **{"size": 2} | options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.max_pool2d(X[0], 2), nn.ShapeError, "x must have 4 axes"),
        (lambda: F.avg_pool2d(X[0], 2), nn.ShapeError, "x must have 4 axes"),
        (lambda: F.max_pool2d(X[:, :, :0], 2), nn.ShapeError, "x has an empty axis"),
        (lambda: F.max_pool2d(X, 7), nn.ShapeError, "spans 7 pixels"),
        (lambda: F.max_pool2d(X.astype(np.uint8), 2), nn.DTypeError, "got uint8"),
        (lambda: F.avg_pool2d(X.astype(bool), 2), nn.DTypeError, "got bool"),
        (lambda: F.max_pool2d(X, 0), ValueError, "size must be"),
        (lambda: F.max_pool2d(X, (2, -1)), ValueError, r"size\[1\] must be"),
        (lambda: F.max_pool2d(X, 2, stride=0), ValueError, "stride must be"),
        (lambda: F.max_pool2d(X, 2, padding=2), ValueError, "smaller than the pooling window"),
        (lambda: F.avg_pool2d(X, 2, padding=((0, 0), (0, 2))), ValueError, "smaller than the pooling"),
        (lambda: F.avg_pool2d(X, 2, padding=4, dilation=3), ValueError, "smaller than the pooling .* height, 4,"),
        (lambda: F.max_pool2d(X, 2, dilation=6), nn.ShapeError, r"spans 7 pixels .*size 2, dilation 6"),
        (lambda: F.max_pool2d(X, 2, dilation=7, padding="same"), nn.ShapeError, "may not lie in the padding alone"),
        (lambda: nn.AvgPool2D(2, dilation=7, padding="same")(X), nn.ShapeError, "may not lie in the padding alone"),
        (lambda: F.max_pool2d(X, 2, dilation=0), ValueError, "dilation must be"),
        (lambda: F.max_pool2d(X, 2, dilation=2**31), ValueError, "dilation must be .* at most 2147483647"),
        (lambda: F.avg_pool2d(X, 2, ceil_mode=1), TypeError, "ceil_mode must be True or False"),
        (lambda: pool_back(dy=POOLED[:1]), nn.ShapeError, "dy must have shape"),
        (lambda: pool_back(argmax=ARGMAX.astype(np.int64)), nn.DTypeError, "argmax must be the int32"),
        (lambda: pool_back(argmax=ARGMAX[:1]), nn.ShapeError, "argmax must have shape"),
        (lambda: pool_back(argmax=ARGMAX + 4), ValueError, "argmax must lie between 0 and 3"),
        (lambda: pool_back(argmax=ARGMAX - 1), ValueError, "argmax must lie between 0 and 3"),
        (lambda: pool_back(x_shape=(6, 6, 3)), nn.ShapeError, "x_shape must be"),
        (lambda: pool_back(x_shape=(2, 6, 0, 3)), ValueError, r"x_shape\[2\] must be"),
        (lambda: F.max_pool2d(X, 2, out=POOLED), TypeError, "out must be a tuple of two"),
        (lambda: F.avg_pool2d_backward(POOLED, (2, 9, 9, 3), size=2), nn.ShapeError, "dy must have"),
        (lambda: F.avg_pool2d(X, 2, count_include_pad="no"), TypeError, "count_include_pad must be"),
        (
            lambda: F.max_pool2d(X, 2**16, padding="same"),
            ValueError,
            "size must be a window of at most 2147483647 taps",
        ),
        (lambda: F.max_pool2d(X, (1, 2**31), padding="same"), ValueError, r"size\[1\] must be .* at most 2147483647"),
        (lambda: F.avg_pool2d(X, 2, stride=2**64), ValueError, "stride must be .* at most 2147483647"),
        (
            lambda: pool_back(
                POOLED[:1, :1, :1, :1], ARGMAX[:1, :1, :1, :1], (1, 2**31 - 1, 2**31 - 1, 1), stride=2**31 - 1
            ),
            nn.ShapeError,
            r"the result \(out\) would have shape .* more bytes than can be addressed",
        ),
        # layers
        (lambda: nn.MaxPool2D(0), ValueError, "size must be"),
        (lambda: nn.MaxPool2D(2**31), ValueError, "size must be .* at most 2147483647"),
        (lambda: nn.MaxPool2D(2, padding=2), ValueError, "padding must be smaller than the pooling window"),
        (lambda: nn.AvgPool2D(2, padding=2), ValueError, "smaller than the pooling window"),
        (lambda: nn.AvgPool2D(2, count_include_pad=2), TypeError, "count_include_pad must be"),
        (lambda: nn.MaxPool2D(2, dilation=-1), ValueError, "dilation must be"),
        (lambda: nn.MaxPool2D(2, ceil_mode=None), TypeError, "ceil_mode must be"),
        (lambda: nn.MaxPool2D(2).forward([[1.0]]), TypeError, "x must be a numpy.ndarray"),
        (lambda: nn.GlobalAvgPool2D().forward("x"), TypeError, "x must be a numpy.ndarray"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
