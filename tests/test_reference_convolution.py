"""The reference's convolutions against figures worked by hand and independent second opinions.

The figures read off easily: the picture holds the digits 1 to 9 and the kernel the powers of ten,
so a result such as 5421 spells out which pixels met which taps.
"""

import numpy as np
import pytest
from second_opinions import central_difference, random_geometry, second_opinion_windows

from npcnn import reference

DIGITS = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
TENS = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(2, 2, 1, 1)


# ---------------------------------------------------------------------------------- conv2d


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"padding": "valid"}, [[5421, 6532], [8754, 9865]]),
        ({}, [[5421, 6532, 603], [8754, 9865, 906], [87, 98, 9]]),
        ({"stride": 2}, [[5421, 603], [87, 9]]),  # lopsided: the odd pixel below and right
        ({"stride": (2, 1)}, [[5421, 6532, 603], [87, 98, 9]]),
        ({"stride": (1, 2), "padding": "valid"}, [[5421], [8754]]),
        ({"dilation": 2, "padding": "valid"}, [[9731]]),
        ({"dilation": (1, 2), "padding": "valid"}, [[6431], [9764]]),
        ({"dilation": 2}, [[5000, 6400, 500], [8020, 9731, 802], [50, 64, 5]]),
        ({"padding": 1, "stride": 2}, [[1000, 3200], [7040, 9865]]),
        ({"padding": ((1, 0), (0, 2)), "stride": 2}, [[2100, 300], [8754, 906]]),
        ({"padding": ((0, 0), (1, 0)), "stride": (1, 3)}, [[4010], [7040]]),
    ],
)
def test_conv2d_worked_by_hand(options, expected):
    y = reference.conv2d(DIGITS, TENS, **options)
    np.testing.assert_array_equal(y[0, :, :, 0], expected)


def test_conv2d_channels_and_bias_worked_by_hand():
    x = np.array([2.0, 3.0]).reshape(1, 1, 1, 2)
    w = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    y = reference.conv2d(x, w, np.array([10.0, 20.0]))
    np.testing.assert_array_equal(y.ravel(), [2 + 9 + 10, 4 + 12 + 20])


@pytest.mark.parametrize(("size", "tap"), [((5, 5), (2, 2)), ((2, 4), (0, 1)), ((1, 1), (0, 0))])
def test_conv2d_one_pixel_meets_one_tap(size, tap):
    w = np.arange(1.0, size[0] * size[1] + 1).reshape(*size, 1, 1)
    y = reference.conv2d(np.full((1, 1, 1, 1), 7.0), w)
    np.testing.assert_array_equal(y, 7 * w[tap].reshape(1, 1, 1, 1))


def test_conv2d_kernel_larger_than_the_picture():
    # 2 x 2 picture, 4 x 4 kernel: one pixel of padding before, so pixel (0, 0) meets tap (1, 1).
    x = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    w = np.zeros((4, 4, 1, 1))
    w[1, 1], w[1, 2], w[2, 1], w[2, 2] = 1, 10, 100, 1000
    y = reference.conv2d(x, w)
    np.testing.assert_array_equal(y[0, :, :, 0], [[4321, 402], [43, 4]])


def test_conv2d_backward_worked_by_hand():
    # One window over the top left 2 x 2 pixels, one cut by the right border (padding "same").
    dy = np.zeros((1, 3, 3, 1))
    dy[0, 0, 0, 0], dy[0, 0, 2, 0] = 1, 2
    dx, dw, db = reference.conv2d_backward(dy, DIGITS, TENS)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 10, 2], [100, 1000, 200], [0, 0, 0]])
    np.testing.assert_array_equal(dw[:, :, 0, 0], [[1 + 2 * 3, 2], [4 + 2 * 6, 5]])
    np.testing.assert_array_equal(db, [3])


@pytest.mark.parametrize("seed", range(40))
def test_conv2d_and_backward_against_einsum(seed):
    rng = np.random.default_rng(seed)
    picture, size, options = random_geometry(rng)
    x = rng.standard_normal((2, *picture, 3))
    w = rng.standard_normal((*size, 3, 4))
    b = rng.standard_normal(4)
    windows = second_opinion_windows(x, size, **options)
    y = reference.conv2d(x, w, b, **options)
    np.testing.assert_allclose(y, np.einsum("nijchw,hwco->nijo", windows, w) + b, atol=1e-12)

    dy = rng.standard_normal(y.shape)
    dx, dw, db = reference.conv2d_backward(dy, x, w, **options)
    np.testing.assert_allclose(dw, np.einsum("nijchw,nijo->hwco", windows, dy), atol=1e-12)
    np.testing.assert_allclose(db, np.einsum("nijo->o", dy), atol=1e-12)
    # dx is the transpose of a linear map: <conv(v), dy> = <v, dx> for every v.
    v = rng.standard_normal(x.shape)
    forward = np.vdot(reference.conv2d(v, w, **options), dy)
    np.testing.assert_allclose(forward, np.vdot(v, dx), atol=1e-10)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": (1, 2), "padding": "valid"},
        {"padding": ((2, 0), (1, 1)), "dilation": (2, 1)},
    ],
)
def test_conv2d_backward_against_central_differences(options):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 4, 5, 2)), rng.standard_normal((3, 2, 2, 3))
    b = rng.standard_normal(3)
    dy = rng.standard_normal(reference.conv2d(x, w, b, **options).shape)

    def loss():
        return np.vdot(reference.conv2d(x, w, b, **options), dy)

    for gradient, array in zip(reference.conv2d_backward(dy, x, w, **options), (x, w, b), strict=True):
        np.testing.assert_allclose(gradient, central_difference(loss, array), atol=1e-8)


# ---------------------------------------------------------------------------------- conv1d

LINE = np.array([1.0, 2.0, 3.0, 4.0])
TAPS = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [210, 321, 432, 43]),
        ({"padding": "valid"}, [321, 432]),
        ({"stride": 2}, [321, 43]),  # lopsided: no padding before, one pixel after
        ({"padding": (2, 0)}, [100, 210, 321, 432]),
        ({"padding": 1, "stride": 3}, [210, 43]),
        ({"dilation": 2}, [310, 420, 31, 42]),
    ],
)
@pytest.mark.parametrize("axis", ["height", "width"])
def test_conv1d_worked_by_hand(axis, options, expected):
    shape = (1, 4, 1, 1) if axis == "height" else (1, 1, 4, 1)
    y = reference.conv1d(LINE.reshape(shape), TAPS, axis=axis, **options)
    assert y.shape == (1, len(expected), 1, 1) if axis == "height" else (1, 1, len(expected), 1)
    np.testing.assert_array_equal(y.ravel(), expected)


def test_conv1d_axes_are_the_height_and_the_width():
    assert reference.conv1d(DIGITS, TAPS, axis="height", padding="valid").ravel().tolist() == [
        741,
        852,
        963,
    ]
    assert reference.conv1d(DIGITS, TAPS, axis="width", padding="valid").ravel().tolist() == [
        321,
        654,
        987,
    ]


@pytest.mark.parametrize("axis", ["height", "width"])
@pytest.mark.parametrize("padding", ["same", "valid", 2, (0, 3)])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 2)])
def test_conv1d_is_a_k_by_1_or_1_by_k_conv2d(axis, padding, stride, dilation):
    rng = np.random.default_rng(1)
    x, b = rng.standard_normal((2, 7, 6, 3)), rng.standard_normal(4)
    w = rng.standard_normal((3, 3, 4))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    sides = (padding, padding) if isinstance(padding, int) else padding
    if axis == "height":
        w2d, pads, pair = w[:, None], (sides, (0, 0)), (stride, 1)
        dilations = (dilation, 1)
    else:
        w2d, pads, pair = w[None], ((0, 0), sides), (1, stride)
        dilations = (1, dilation)
    options2d = {
        "stride": pair,
        "padding": padding if isinstance(padding, str) else pads,
        "dilation": dilations,
    }
    y = reference.conv1d(x, w, b, axis=axis, **options)
    np.testing.assert_allclose(y, reference.conv2d(x, w2d, b, **options2d), atol=1e-13)

    dy = rng.standard_normal(y.shape)
    dx, dw, db = reference.conv1d_backward(dy, x, w, axis=axis, **options)
    dx2d, dw2d, db2d = reference.conv2d_backward(dy, x, w2d, **options2d)
    np.testing.assert_allclose(dx, dx2d, atol=1e-13)
    np.testing.assert_allclose(dw, dw2d.reshape(w.shape), atol=1e-12)
    np.testing.assert_allclose(db, db2d, atol=1e-13)


@pytest.mark.parametrize("axis", ["height", "width"])
def test_conv1d_backward_against_central_differences(axis):
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 4, 5, 2)), rng.standard_normal((3, 2, 3))
    b = rng.standard_normal(3)
    options = {"axis": axis, "stride": 2, "padding": (2, 1), "dilation": 2}
    dy = rng.standard_normal(reference.conv1d(x, w, b, **options).shape)

    def loss():
        return np.vdot(reference.conv1d(x, w, b, **options), dy)

    for gradient, array in zip(reference.conv1d_backward(dy, x, w, **options), (x, w, b), strict=True):
        np.testing.assert_allclose(gradient, central_difference(loss, array), atol=1e-8)


def test_conv1d_pair_equals_the_product_of_both_kernels():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 5, 6, 1))
    column, row = rng.standard_normal((3, 1, 1)), rng.standard_normal((5, 1, 1))
    y = reference.conv1d(reference.conv1d(x, column, axis="height"), row, axis="width")
    outer = np.outer(column, row).reshape(3, 5, 1, 1)
    np.testing.assert_allclose(y, reference.conv2d(x, outer), atol=1e-13)
