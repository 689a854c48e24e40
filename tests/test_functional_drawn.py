"""Every kernel against `npcnn.reference`, over drawn configurations, types and memory layouts."""

import numpy as np
import pytest
from drawn import (
    REAL_TYPES,
    assert_equal_arrays,
    conv1d_configuration,
    conv2d_configuration,
    pool_configuration,
)

from npcnn import functional, reference

SEEDS = range(150)


def cast(dtype, *arrays):
    return [array.astype(dtype) for array in arrays]


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_conv2d(seed, dtype):
    x, w, b, options = conv2d_configuration(seed)
    x, w, b = cast(dtype, x, w, b)
    expected = reference.conv2d(*cast(np.float64, x, w, b), **options)
    assert_equal_arrays(functional.conv2d(x, w, b, **options), expected, dtype)
    assert_equal_arrays(functional.conv2d(x, w, b, relu=True, **options), np.maximum(expected, 0), dtype)
    without_bias = reference.conv2d(*cast(np.float64, x, w), **options)
    assert_equal_arrays(functional.conv2d(x, w, **options), without_bias, dtype)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_conv2d_backward(seed, dtype):
    x, w, _, options = conv2d_configuration(seed)
    x, w = cast(dtype, x, w)
    y = functional.conv2d(x, w, relu=True, **options)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    expected = reference.conv2d_backward(*cast(np.float64, dy, x, w), **options)
    got = functional.conv2d_backward(dy, x, w, **options)
    for one, other in zip(got, expected, strict=True):
        assert_equal_arrays(one, other, dtype)
    masked = reference.conv2d_backward(*cast(np.float64, dy * (y > 0), x, w), **options)
    got = functional.conv2d_backward(dy, x, w, relu_output=y, **options)
    for one, other in zip(got, masked, strict=True):
        assert_equal_arrays(one, other, dtype)
    no_dx, dw, db = functional.conv2d_backward(dy, x, w, need_dx=False, **options)
    assert no_dx is None
    assert_equal_arrays(dw, expected[1], dtype)
    assert_equal_arrays(db, expected[2], dtype)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_conv1d(seed, dtype):
    x, w, b, options = conv1d_configuration(seed)
    x, w, b = cast(dtype, x, w, b)
    expected = reference.conv1d(*cast(np.float64, x, w, b), **options)
    assert_equal_arrays(functional.conv1d(x, w, b, **options), expected, dtype)
    assert_equal_arrays(functional.conv1d(x, w, b, relu=True, **options), np.maximum(expected, 0), dtype)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_conv1d_backward(seed, dtype):
    x, w, _, options = conv1d_configuration(seed)
    x, w = cast(dtype, x, w)
    y = functional.conv1d(x, w, relu=True, **options)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    expected = reference.conv1d_backward(*cast(np.float64, dy, x, w), **options)
    got = functional.conv1d_backward(dy, x, w, **options)
    for one, other in zip(got, expected, strict=True):
        assert_equal_arrays(one, other, dtype)
    masked = reference.conv1d_backward(*cast(np.float64, dy * (y > 0), x, w), **options)
    got = functional.conv1d_backward(dy, x, w, relu_output=y, **options)
    for one, other in zip(got, masked, strict=True):
        assert_equal_arrays(one, other, dtype)
    assert functional.conv1d_backward(dy, x, w, need_dx=False, **options)[0] is None


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_max_pool2d(seed, dtype):
    x, size, options = pool_configuration(seed)
    x = x.astype(dtype)
    y, argmax = functional.max_pool2d(x, size, **options)
    expected_y, expected_argmax = reference.max_pool2d(x, size, **options)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(argmax, expected_argmax)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    expected = reference.max_pool2d_backward(dy.astype(np.float64), expected_argmax, x.shape, size=size, **options)
    got = functional.max_pool2d_backward(dy, argmax, x.shape, size=size, **options)
    assert_equal_arrays(got, expected, dtype)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(50))
def test_max_pool2d_of_several_nans(seed, dtype):
    x, size, options = pool_configuration(seed, nan=True)
    x = x.astype(dtype)
    for got, expected in zip(
        functional.max_pool2d(x, size, **options), reference.max_pool2d(x, size, **options), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_avg_pool2d(seed, count_include_pad, dtype):
    x, size, options = pool_configuration(seed)
    x = x.astype(dtype)
    options["count_include_pad"] = count_include_pad
    y = functional.avg_pool2d(x, size, **options)
    assert_equal_arrays(y, reference.avg_pool2d(x.astype(np.float64), size, **options), dtype)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    expected = reference.avg_pool2d_backward(dy.astype(np.float64), x.shape, size=size, **options)
    got = functional.avg_pool2d_backward(dy, x.shape, size=size, **options)
    assert_equal_arrays(got, expected, dtype)


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
    expected = functional.conv2d(x, w, b, **options)
    np.testing.assert_array_equal(functional.conv2d(layout(x), layout(w), layout(b), **options), expected)
    dy = np.random.default_rng(seed).standard_normal(expected.shape)
    for got, plain in zip(
        functional.conv2d_backward(layout(dy), layout(x), layout(w), **options),
        functional.conv2d_backward(dy, x, w, **options),
        strict=True,
    ):
        np.testing.assert_array_equal(got, plain)
    x, size, options = pool_configuration(seed)
    for got, plain in zip(
        functional.max_pool2d(layout(x), size, **options),
        functional.max_pool2d(x, size, **options),
        strict=True,
    ):
        np.testing.assert_array_equal(got, plain)
