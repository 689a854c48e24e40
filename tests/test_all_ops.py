"""What all operations have in common: they keep the dtype, and take an empty batch."""

import numpy as np
import pytest
from cases import either

REAL_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@either
@REAL_TYPES
def test_every_function_keeps_the_dtype(dtype, ops):
    x = np.ones((2, 4, 4, 3), dtype)
    w, w1d, b = np.ones((3, 3, 3, 2), dtype), np.ones((3, 3, 2), dtype), np.ones(2, dtype)
    dy = np.ones((2, 4, 4, 2), dtype)
    y, argmax = ops.max_pool2d(x, 2)
    results = [
        ops.conv2d(x, w, b),
        *ops.conv2d_backward(dy, x, w),
        ops.conv2d(x, w[:, :, :1, [0, 1, 0]], groups=3),
        *ops.conv2d_backward(x, x, w[:, :, :1, [0, 1, 0]], groups=3),
        ops.conv1d(x, w1d, b, axis="width"),
        *ops.conv1d_backward(dy, x, w1d, axis="width"),
        ops.conv2d_transpose(x, w.swapaxes(2, 3), b),
        *ops.conv2d_transpose_backward(dy, x, w.swapaxes(2, 3)),
        ops.linear(x[:, 0, 0], w[0, 0], b),
        *ops.linear_backward(dy[:, 0, 0], x[:, 0, 0], w[0, 0]),
        ops.upsample2d(x, 2, mode="bilinear"),
        ops.upsample2d_backward(dy, factor=2, mode="bilinear"),
        ops.zero_pad2d(x, 1),
        ops.zero_pad2d_backward(dy, padding=1),
        y,
        ops.max_pool2d_backward(y, argmax, x.shape, size=2),
        ops.avg_pool2d(x, 2),
        ops.avg_pool2d_backward(y, x.shape, size=2),
        ops.relu(x),
        ops.relu_backward(x, x),
        *(one(x) for one in (ops.leaky_relu, ops.gelu, ops.silu, ops.sigmoid, ops.tanh)),
        ops.gelu(x, approximate="tanh"),
        ops.gelu_backward(x, x, approximate="tanh"),
        *(getattr(ops, f"{name}_backward")(x, x) for name in ("leaky_relu", "gelu", "silu", "sigmoid", "tanh")),
        ops.softmax(x),
        ops.softmax_backward(x, x),
        ops.log_softmax(x),
        ops.log_softmax_backward(x, x),
        ops.softmax_cross_entropy(x[:, 0, 0], np.zeros(2, int))[1],
        ops.softmax_cross_entropy(x[:, 0, 0], np.eye(2, 3), label_smoothing=0.1, class_weights=np.ones(3))[1],
        ops.mean_squared_error(x, x)[1],
    ]
    assert {result.dtype for result in results} == {np.dtype(dtype)}


@either
@REAL_TYPES
def test_an_empty_batch_is_ordinary_input(dtype, ops):
    x, w = np.zeros((0, 4, 5, 2), dtype), np.ones((3, 3, 2, 3), dtype)
    for stride, shape in ((1, (0, 4, 5, 3)), (2, (0, 2, 3, 3))):
        y = ops.conv2d(x, w, stride=stride)
        assert y.shape == shape
        dx, dw, db = ops.conv2d_backward(y, x, w, stride=stride)
        assert dx.shape == x.shape
        np.testing.assert_array_equal(dw, np.zeros(w.shape))
        np.testing.assert_array_equal(db, np.zeros(3))

    for channels in (2, 4, 6):  # in two groups
        y = ops.conv2d(x, np.ones((3, 3, 1, channels), dtype), groups=2)
        assert y.shape == (0, 4, 5, channels)
        dx, dw, _ = ops.conv2d_backward(y, x, np.ones((3, 3, 1, channels), dtype), groups=2)
        assert dx.shape == x.shape
        np.testing.assert_array_equal(dw, np.zeros((3, 3, 1, channels)))

    y = ops.conv1d(x, w[0], axis="height")
    assert y.shape == (0, 4, 5, 3)
    dx, dw, db = ops.conv1d_backward(y, x, w[0], axis="height")
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dw, np.zeros((3, 2, 3)))

    w = np.ones((3, 3, 3, 2), dtype)
    y = ops.conv2d_transpose(x, w, stride=2)
    assert y.shape == (0, 8, 10, 3)
    dx, dw, db = ops.conv2d_transpose_backward(y, x, w, stride=2)
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dw, np.zeros(w.shape))
    np.testing.assert_array_equal(db, np.zeros(3))

    for mode in ("nearest", "bilinear"):
        y = ops.upsample2d(x, 2, mode=mode)
        assert y.shape == (0, 8, 10, 2)
        assert ops.upsample2d_backward(y, factor=2, mode=mode).shape == x.shape
    y = ops.zero_pad2d(x, 1)
    assert y.shape == (0, 6, 7, 2)
    assert ops.zero_pad2d_backward(y, padding=1).shape == x.shape

    y, argmax = ops.max_pool2d(x, 2)
    assert y.shape == argmax.shape == (0, 2, 2, 2)
    assert ops.max_pool2d_backward(y, argmax, x.shape, size=2).shape == x.shape
    assert ops.avg_pool2d(x, 2).shape == (0, 2, 2, 2)
    assert ops.avg_pool2d_backward(y, x.shape, size=2).shape == x.shape
    for name in ("relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "softmax"):
        assert getattr(ops, name)(x).shape == getattr(ops, f"{name}_backward")(x, x).shape == x.shape
    assert ops.log_softmax(np.zeros((0, 10), dtype)).shape == (0, 10)
    loss, dlogits = ops.softmax_cross_entropy(np.zeros((0, 10), dtype), np.zeros(0, int))
    assert (loss, dlogits.shape) == (0.0, (0, 10))
