"""The im2col matrix against a figure worked by hand, against NumPy's own windows, and against convolution."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from npcnn import reference

WINDOWS = [
    {},
    {"padding": "valid"},
    {"stride": 2},
    {"stride": (1, 2), "padding": ((1, 0), (0, 2)), "dilation": (2, 1)},
]


def test_by_hand():
    x = np.arange(1, 5).reshape(1, 2, 2, 1)
    expected = [[1, 2, 3, 4], [2, 0, 4, 0], [3, 4, 0, 0], [4, 0, 0, 0]]  # lopsided: a 2 x 2 kernel pads below, right
    np.testing.assert_array_equal(reference.im2col(x, 2), expected)


def test_rows_are_numpys_windows(rng):
    x = rng.standard_normal((2, 6, 5, 3))
    windows = sliding_window_view(x, (3, 2), axis=(1, 2))  # n, i, j, c, kh, kw
    expected = np.moveaxis(windows, 3, 5).reshape(2 * 4 * 4, 3 * 2 * 3)
    np.testing.assert_array_equal(reference.im2col(x, (3, 2), padding="valid"), expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_product_with_it_is_the_convolution(window, rng):
    x, w = rng.standard_normal((2, 6, 5, 3)), rng.standard_normal((3, 2, 3, 4))
    y = reference.conv2d(x, w, **window)
    np.testing.assert_allclose(reference.im2col(x, (3, 2), **window) @ w.reshape(-1, 4), y.reshape(-1, 4), atol=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
def test_col2im_is_its_transpose(window, rng):
    x = rng.standard_normal((2, 6, 5, 3))
    columns = reference.im2col(x, (3, 2), **window)
    other = rng.standard_normal(columns.shape)
    back = reference.col2im(other, x.shape, (3, 2), **window)
    np.testing.assert_allclose(np.vdot(columns, other), np.vdot(x, back))  # <A x, y> = <x, A^T y>


@pytest.mark.parametrize("window", WINDOWS)
def test_col2im_gives_the_gradient_of_the_convolution(window, rng):
    x, w = rng.standard_normal((2, 6, 5, 3)), rng.standard_normal((3, 2, 3, 4))
    dy = rng.standard_normal(reference.conv2d(x, w, **window).shape)
    dx, _, _ = reference.conv2d_backward(dy, x, w, **window)
    columns = dy.reshape(-1, 4) @ w.reshape(-1, 4).T
    np.testing.assert_allclose(reference.col2im(columns, x.shape, (3, 2), **window), dx, atol=1e-12)


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="padding must be"):
        reference.im2col(np.ones((1, 3, 3, 1)), 3, padding="reflect")
