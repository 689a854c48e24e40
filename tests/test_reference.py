"""What all of the reference has in common, its padding rule, and its activations.

The truths are figures worked by hand, the padding rule in another form, and central differences.
"""

import itertools

import numpy as np
import pytest
from second_opinions import central_difference, tensorflow_same

from npcnn import reference
from npcnn.reference.windows import axis_windows

DIGITS = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
TENS = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(2, 2, 1, 1)
TAPS = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)


# -------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_function_keeps_the_dtype(dtype):
    x = np.ones((2, 4, 4, 3), dtype)
    w, w1d, b = np.ones((3, 3, 3, 2), dtype), np.ones((3, 3, 2), dtype), np.ones(2, dtype)
    dy = np.ones((2, 4, 4, 2), dtype)
    y, argmax = reference.max_pool2d(x, 2)
    results = [
        reference.conv2d(x, w, b),
        *reference.conv2d_backward(dy, x, w),
        reference.conv1d(x, w1d, b, axis="width"),
        *reference.conv1d_backward(dy, x, w1d, axis="width"),
        y,
        reference.max_pool2d_backward(y, argmax, x.shape, size=2),
        reference.avg_pool2d(x, 2),
        reference.avg_pool2d_backward(y, x.shape, size=2),
        reference.relu(x),
        reference.relu_backward(x, x),
        reference.softmax(x[:, 0, 0]),
        reference.log_softmax(x[:, 0, 0]),
        reference.softmax_cross_entropy(x[:, 0, 0], np.zeros(2, int))[1],
    ]
    assert {result.dtype for result in results} == {np.dtype(dtype)}


def test_an_empty_batch_is_ordinary_input():
    x, w = np.zeros((0, 4, 5, 2)), np.ones((3, 3, 2, 3))
    y = reference.conv2d(x, w, stride=2)
    assert y.shape == (0, 2, 3, 3)
    dx, dw, db = reference.conv2d_backward(y, x, w, stride=2)
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dw, np.zeros(w.shape))
    np.testing.assert_array_equal(db, np.zeros(3))

    y = reference.conv1d(x, w[0], axis="height")
    assert y.shape == (0, 4, 5, 3)
    dx, dw, db = reference.conv1d_backward(y, x, w[0], axis="height")
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dw, np.zeros((3, 2, 3)))

    y, argmax = reference.max_pool2d(x, 2)
    assert y.shape == argmax.shape == (0, 2, 2, 2)
    assert reference.max_pool2d_backward(y, argmax, x.shape, size=2).shape == x.shape
    assert reference.avg_pool2d(x, 2).shape == (0, 2, 2, 2)
    assert reference.avg_pool2d_backward(y, x.shape, size=2).shape == x.shape
    assert reference.softmax(np.zeros((0, 10))).shape == (0, 10)
    loss, dlogits = reference.softmax_cross_entropy(np.zeros((0, 10)), np.zeros(0, int))
    assert (loss, dlogits.shape) == (0.0, (0, 10))


@pytest.mark.parametrize(
    "call",
    [
        lambda: reference.conv2d(DIGITS, TENS, padding="SAME"),
        lambda: reference.conv2d_backward(DIGITS, DIGITS, TENS, padding="full"),
        lambda: reference.conv1d(DIGITS, TAPS, axis="height", padding="causal"),
        lambda: reference.max_pool2d(DIGITS, 2, padding="reflect"),
        lambda: reference.avg_pool2d(DIGITS, 2, padding=""),
    ],
)
def test_unknown_padding_strings_are_refused(call):
    with pytest.raises(ValueError, match="padding must be 'same', 'valid'"):
        call()


@pytest.mark.parametrize("axis", ["depth", "Height", 1])
def test_unknown_axes_are_refused(axis):
    with pytest.raises(ValueError, match="axis must be 'height' or 'width'"):
        reference.conv1d(DIGITS, TAPS, axis=axis)


# ---------------------------------------------------------------------------------- padding


@pytest.mark.parametrize(
    ("length", "size", "stride", "dilation", "expected"),
    [
        (5, 3, 1, 1, (1, 1, 5)),
        (4, 2, 1, 1, (0, 1, 4)),  # even kernel: the odd pixel goes after
        (4, 3, 2, 1, (0, 1, 2)),
        (5, 3, 2, 1, (1, 1, 3)),
        (24, 3, 2, 1, (0, 1, 12)),
        (6, 1, 3, 1, (0, 0, 2)),  # stride beyond the kernel: never negative
        (7, 3, 1, 2, (2, 2, 7)),
        (1, 5, 1, 1, (2, 2, 1)),
        (1, 4, 2, 1, (1, 2, 1)),
        (2, 7, 3, 1, (2, 3, 1)),
    ],
)
def test_same_padding_worked_by_hand(length, size, stride, dilation, expected):
    windows = axis_windows(length, size, stride=stride, padding="same", dilation=dilation)
    assert (windows.before, windows.after, windows.output_length) == expected


def test_same_padding_is_tensorflows():
    for length, size, stride, dilation in itertools.product(range(1, 12), range(1, 8), range(1, 5), range(1, 4)):
        windows = axis_windows(length, size, stride=stride, padding="same", dilation=dilation)
        assert (windows.before, windows.after) == tensorflow_same(length, size, stride, dilation)
        assert windows.output_length == int(np.ceil(length / stride))


# ------------------------------------------------------------------------------ activations


def test_relu_and_its_gradient_worked_by_hand():
    x = np.array([[-2.0, 0.0, 3.0], [np.nan, -np.inf, np.inf]])
    y = reference.relu(x)
    np.testing.assert_array_equal(y, [[0, 0, 3], [np.nan, 0, np.inf]])
    dy = np.array([[5.0, 6.0, 7.0], [8.0, 9.0, 10.0]])
    np.testing.assert_array_equal(reference.relu_backward(dy, y), [[0, 0, 7], [0, 0, 10]])


def test_softmax_worked_by_hand():
    logits = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    expected = [[0.125, 0.25, 0.625], [0.25, 0.25, 0.5]]
    np.testing.assert_allclose(reference.softmax(logits), expected, rtol=1e-14)
    np.testing.assert_allclose(reference.log_softmax(logits), np.log(expected), rtol=1e-14)


def test_softmax_cross_entropy_worked_by_hand():
    logits = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    loss, dlogits = reference.softmax_cross_entropy(logits, np.array([1, 2]))
    assert isinstance(loss, float)
    assert loss == pytest.approx((np.log(4) + np.log(2)) / 2, rel=1e-14)
    expected = [[0.0625, -0.375, 0.3125], [0.125, 0.125, -0.25]]
    np.testing.assert_allclose(dlogits, expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_of_huge_logits(dtype):
    logits = np.array([[10000.0, 0.0], [-10000.0, -10000.0]], dtype)
    np.testing.assert_array_equal(reference.softmax(logits), [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(reference.log_softmax(logits), [[0, -10000], [-np.log(2), -np.log(2)]], rtol=1e-3)
    loss, dlogits = reference.softmax_cross_entropy(logits, np.array([1, 0]))
    assert loss == pytest.approx((10000 + np.log(2)) / 2, rel=1e-3)
    np.testing.assert_array_equal(dlogits, [[0.5, -0.5], [-0.25, 0.25]])


def test_softmax_cross_entropy_against_central_differences():
    rng = np.random.default_rng(5)
    logits, labels = 3 * rng.standard_normal((4, 6)), rng.integers(0, 6, 4)
    _, dlogits = reference.softmax_cross_entropy(logits, labels)
    numeric = central_difference(lambda: reference.softmax_cross_entropy(logits, labels)[0], logits)
    np.testing.assert_allclose(dlogits, numeric, atol=1e-9)
    before = logits.copy()
    reference.softmax_cross_entropy(logits, labels)
    np.testing.assert_array_equal(logits, before)
