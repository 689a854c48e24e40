"""What holds for every function alike: types, empty batches, memory layouts, `out`, NaN, words that mean nothing."""

import numpy as np
import pytest
from drawn import conv2d_configuration, pool_configuration

from npcnn import functional as F
from npcnn import reference

PICTURE, KERNEL, TAPS = np.zeros((1, 3, 3, 1)), np.zeros((2, 2, 1, 1)), np.zeros((3, 1, 1))


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


def test_empty_batches():
    x, w, b = np.zeros((0, 5, 5, 3), np.float32), np.ones((3, 3, 3, 4), np.float32), None
    y = F.conv2d(x, w, b)
    assert y.shape == (0, 5, 5, 4)
    dx, dw, db = F.conv2d_backward(y, x, w)
    assert dx.shape == x.shape
    assert not dw.any()
    assert not db.any()
    loss, dlogits = F.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int))
    assert loss == 0.0
    assert dlogits.shape == (0, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: reference.conv2d(PICTURE, KERNEL, padding="SAME"),
        lambda: reference.conv2d_backward(PICTURE, PICTURE, KERNEL, padding="full"),
        lambda: reference.conv1d(PICTURE, TAPS, axis="height", padding="causal"),
        lambda: reference.max_pool2d(PICTURE, 2, padding="reflect"),
        lambda: reference.avg_pool2d(PICTURE, 2, padding=""),
    ],
)
def test_unknown_padding_strings_are_refused(call):
    with pytest.raises(ValueError, match="padding must be 'same', 'valid'"):
        call()


@pytest.mark.parametrize("axis", ["depth", "Height", 1])
def test_unknown_axes_are_refused(axis):
    with pytest.raises(ValueError, match="axis must be 'height' or 'width'"):
        reference.conv1d(PICTURE, TAPS, axis=axis)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_is_never_lost(dtype):
    x = np.ones((1, 4, 4, 3), dtype)
    x[0, 1, 1, 0] = np.nan
    assert np.isnan(F.relu(x)[0, 1, 1, 0])
    y, argmax = F.max_pool2d(x, 2)
    assert np.isnan(y[0, 0, 0, 0])
    assert argmax[0, 0, 0, 0] == 3
    assert np.isnan(F.conv2d(x, np.ones((1, 1, 3, 2), dtype), relu=True)[0, 1, 1]).all()
    assert np.isnan(y).sum() == 1


def test_out_is_used_and_checked(rng):
    x, w = rng.standard_normal((2, 4, 4, 3)), rng.standard_normal((3, 3, 3, 5))
    out = np.empty((2, 4, 4, 5))
    assert F.conv2d(x, w, out=out) is out
    np.testing.assert_array_equal(out, F.conv2d(x, w))
    x = rng.standard_normal((2, 4, 4, 3))
    with pytest.raises(ValueError, match="share memory"):
        F.conv2d(x, rng.standard_normal((3, 3, 3, 3)), out=x)
    with pytest.raises(ValueError, match="contiguous"):
        F.conv2d(x, w, out=np.empty((2, 4, 5, 4)).swapaxes(2, 3))


def test_results_may_not_overlap_what_is_still_read(rng):
    memory = rng.standard_normal(40)
    x, shifted = memory[:20], memory[1:21]
    for call in (lambda: F.relu(x, out=shifted), lambda: F.relu_backward(x, x, out=shifted)):
        before = memory.copy()
        with pytest.raises(ValueError, match="out must not share memory"):
            call()
        np.testing.assert_array_equal(memory, before)
    pictures, w, b = rng.standard_normal((1, 4, 4, 2)), rng.standard_normal((3, 3, 2, 2)), rng.standard_normal(34)
    with pytest.raises(ValueError, match="out must not share memory"):
        F.conv2d(pictures, w, b[:2], out=b[1:33].reshape(1, 4, 4, 2))
    room = np.empty(60)
    gradients = (None, room[:36].reshape(3, 3, 2, 2), room[35:37])
    with pytest.raises(ValueError, match=r"db.* must not share memory"):
        F.conv2d_backward(pictures, pictures, w, need_dx=False, out=gradients)
    p, m = np.ones(4), np.zeros(4)
    with pytest.raises(ValueError, match="v must not share memory"):
        F.adam_step(p, np.ones(4), m, m, step_size=1.0, beta1=0.9, beta2=0.9, eps=0.1)


def test_inputs_are_never_changed(rng):
    x, w, b = (rng.standard_normal(s) for s in ((2, 6, 6, 3), (3, 3, 3, 4), (4,)))
    copies = [array.copy() for array in (x, w, b)]
    y = F.conv2d(x, w, b, relu=True)
    dy = rng.standard_normal(y.shape)
    dy_copy, y_copy = dy.copy(), y.copy()
    F.conv2d_backward(dy, x, w, relu_output=y)
    for array, copy in zip((x, w, b, dy, y), (*copies, dy_copy, y_copy), strict=True):
        np.testing.assert_array_equal(array, copy)


def fortran_order(array):
    return np.asfortranarray(array)


def every_second(array):
    wide = np.repeat(array, 2, axis=-1)
    return wide[..., ::2]


def reversed_axis(array):
    return np.ascontiguousarray(array[::-1])[::-1]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("layout", [fortran_order, every_second, reversed_axis, read_only])
@pytest.mark.parametrize("seed", range(5))
def test_memory_layout_does_not_matter(seed, layout):
    x, w, b, options = conv2d_configuration(seed)
    expected = F.conv2d(x, w, b, **options)
    np.testing.assert_array_equal(F.conv2d(layout(x), layout(w), layout(b), **options), expected)
    dy = np.random.default_rng(seed).standard_normal(expected.shape)
    for got, plain in zip(
        F.conv2d_backward(layout(dy), layout(x), layout(w), **options),
        F.conv2d_backward(dy, x, w, **options),
        strict=True,
    ):
        np.testing.assert_array_equal(got, plain)
    x, size, options = pool_configuration(seed)
    for got, plain in zip(
        F.max_pool2d(layout(x), size, **options),
        F.max_pool2d(x, size, **options),
        strict=True,
    ):
        np.testing.assert_array_equal(got, plain)
