"""The reference's pooling against figures worked by hand and independent second opinions."""

import numpy as np
import pytest
from second_opinions import central_difference, random_geometry, second_opinion_windows

from npcnn import reference

DIGITS = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)


def test_max_pool2d_worked_by_hand():
    x = np.array([[1.0, 2.0, 5.0, 5.0], [4.0, 3.0, 5.0, 0.0], [-1.0, -2.0, 0.0, 0.0], [-3.0, -1.0, 0.0, 9.0]]).reshape(
        1, 4, 4, 1
    )
    y, argmax = reference.max_pool2d(x, 2)
    np.testing.assert_array_equal(y[0, :, :, 0], [[4, 5], [-1, 9]])
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[2, 0], [0, 3]])  # ties: 5 5 5 and -1 -1
    assert argmax.dtype == np.int32


def test_max_pool2d_windows_cut_by_the_border():
    # Negative pixels: a padding counted as zero would win everywhere along the border.
    y, argmax = reference.max_pool2d(-DIGITS, 2, padding="same")
    np.testing.assert_array_equal(y[0, :, :, 0], [[-1, -3], [-7, -9]])
    np.testing.assert_array_equal(argmax, 0)

    y, argmax = reference.max_pool2d(-DIGITS, 3, stride=2, padding=1)
    np.testing.assert_array_equal(y[0, :, :, 0], [[-1, -2], [-4, -5]])
    # The first window's own row and column 0 are padding: pixel (0, 0) is its position (1, 1).
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[4, 3], [1, 0]])


def test_max_pool2d_overlapping_and_oblong_windows():
    y, argmax = reference.max_pool2d(DIGITS, (1, 2), stride=1)
    np.testing.assert_array_equal(y[0, :, :, 0], [[2, 3], [5, 6], [8, 9]])
    np.testing.assert_array_equal(argmax, 1)
    y, argmax = reference.max_pool2d(DIGITS, (2, 3), stride=(1, 2))
    np.testing.assert_array_equal(y.ravel(), [6, 9])
    np.testing.assert_array_equal(argmax.ravel(), [5, 5])


def test_max_pool2d_nan_wins_and_the_first_of_several():
    x = np.array([[1.0, np.nan, 2.0, np.inf], [np.nan, 3.0, np.nan, 4.0]]).reshape(1, 2, 4, 1)
    y, argmax = reference.max_pool2d(x, 2)
    assert np.isnan(y).all()
    np.testing.assert_array_equal(argmax.ravel(), [1, 2])


def test_max_pool2d_minus_infinity_is_a_value():
    y, argmax = reference.max_pool2d(np.full((1, 3, 3, 1), -np.inf), 3, stride=2, padding=1)
    np.testing.assert_array_equal(y, -np.inf)
    np.testing.assert_array_equal(argmax[0, :, :, 0], [[4, 3], [1, 0]])


def test_max_pool2d_backward_worked_by_hand():
    # All four windows hold the 9 in the middle, so it collects all of dy.
    x = np.array([[1.0, 2.0, 3.0], [4.0, 9.0, 6.0], [7.0, 8.0, 5.0]]).reshape(1, 3, 3, 1)
    _, argmax = reference.max_pool2d(x, 2, stride=1)
    dy = np.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(1, 2, 2, 1)
    dx = reference.max_pool2d_backward(dy, argmax, x.shape, size=2, stride=1)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 0, 0], [0, 1111, 0], [0, 0, 0]])

    ties = np.ones((1, 2, 2, 1))
    _, argmax = reference.max_pool2d(ties, 2, padding="same", stride=1)
    dx = reference.max_pool2d_backward(dy, argmax, ties.shape, size=2, padding="same", stride=1)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 10], [100, 1000]])


@pytest.mark.parametrize("seed", range(20))
def test_pooling_against_sliding_windows(seed):
    rng = np.random.default_rng(seed)
    picture, size, options = random_geometry(rng)
    del options["dilation"]
    if not isinstance(options["padding"], str):
        options["padding"] = tuple((min(1, k - 1), k - 1) for k in size)
    # Few different values, so that ties are everywhere.
    x = rng.integers(-3, 3, (2, *picture, 3)).astype(float)
    windows = second_opinion_windows(x, size, **options, dilation=(1, 1), fill=-np.inf)
    flat = windows.reshape(*windows.shape[:4], -1)
    y, argmax = reference.max_pool2d(x, size, **options)
    np.testing.assert_array_equal(y, flat.max(axis=-1))
    np.testing.assert_array_equal(argmax, flat.argmax(axis=-1))  # argmax: the first, as well

    inside = np.isfinite(flat)
    total = np.where(inside, flat, 0).sum(axis=-1)
    means = reference.avg_pool2d(x, size, **options)
    np.testing.assert_allclose(means, total / inside.sum(axis=-1), atol=1e-13)
    means = reference.avg_pool2d(x, size, **options, count_include_pad=True)
    np.testing.assert_allclose(means, total / flat.shape[-1], atol=1e-13)


def test_avg_pool2d_worked_by_hand():
    y = reference.avg_pool2d(DIGITS, 2, padding="same")
    np.testing.assert_array_equal(y[0, :, :, 0], [[3, 4.5], [7.5, 9]])
    y = reference.avg_pool2d(DIGITS, 2, padding="same", count_include_pad=True)
    np.testing.assert_array_equal(y[0, :, :, 0], [[3, 2.25], [3.75, 2.25]])
    y = reference.avg_pool2d(DIGITS, (2, 3), stride=1)
    np.testing.assert_array_equal(y.ravel(), [3.5, 6.5])


def test_avg_pool2d_backward_worked_by_hand():
    dy = np.array([[4.0, 2.0], [6.0, 1.0]]).reshape(1, 2, 2, 1)
    options = {"size": 2, "padding": "same"}
    dx = reference.avg_pool2d_backward(dy, (1, 3, 3, 1), **options)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 1, 1], [1, 1, 1], [3, 3, 1]])
    dx = reference.avg_pool2d_backward(dy, (1, 3, 3, 1), **options, count_include_pad=True)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 1, 0.5], [1, 1, 0.5], [1.5, 1.5, 0.25]])


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (2, {}),
        ((3, 2), {"stride": 1, "padding": "same"}),
        (3, {"stride": 2, "padding": ((1, 2), (0, 1))}),
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
