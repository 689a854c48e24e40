"""Transposed convolution: by hand, over drawn configurations, as the input gradient of conv2d, and what it refuses."""

import numpy as np
import pytest
from cases import assert_equal_arrays, assert_refused, either
from drawn import LAYOUTS, REAL_TYPES, laid_out, transposed_configuration, transposed_size
from second_opinions import central_difference

import npcnn as nn
from npcnn import functional as F
from npcnn import reference

PAIR = np.array([1.0, 10.0]).reshape(1, 1, 2, 1)
KERNEL = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)


def dy_like(y, seed):
    return (0.5 + np.random.default_rng(seed).standard_normal(y.shape)).astype(y.dtype)


@either
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"padding": "valid"}, [1, 12, 23, 30]),
        ({"padding": "same"}, [12, 23]),  # of the four, "same" leaves the two in the middle
        ({"padding": ((0, 0), (2, 0))}, [23, 30]),
        ({"padding": "valid", "stride": (1, 2)}, [1, 2, 13, 20, 30]),
        ({"padding": "valid", "stride": (1, 2), "output_padding": (0, 1)}, [1, 2, 13, 20, 30, 0]),
        ({"padding": "same", "stride": (1, 2)}, [1, 2, 13, 20]),  # as conv2d pads 4 pixels: none to the left
        ({"padding": "same", "stride": (1, 4)}, [1, 2, 3, 0, 10, 20, 30, 0]),
        ({"padding": ((0, 0), (1, 1)), "stride": (1, 2), "output_padding": (0, 1)}, [2, 13, 20, 30]),
        ({"padding": "valid", "dilation": (1, 2)}, [1, 10, 2, 20, 3, 30]),
    ],
)
def test_by_hand(ops, options, expected):
    y = ops.conv2d_transpose(PAIR, KERNEL, **options)
    np.testing.assert_array_equal(y.ravel(), expected)
    y = ops.conv2d_transpose(PAIR, KERNEL, np.array([0.5]), **options)
    np.testing.assert_array_equal(y.ravel(), np.array(expected) + 0.5)


@either
def test_several_channels_by_hand(ops):
    # One pixel of channels (1, 10); the kernel takes 3 channels to 2.
    w = np.arange(6.0).reshape(1, 1, 3, 2)
    y = ops.conv2d_transpose(np.array([1.0, 10.0]).reshape(1, 1, 1, 2), w)
    np.testing.assert_array_equal(y.ravel(), [0 + 10, 2 + 30, 4 + 50])


@either
def test_backward_by_hand(ops):
    dy = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 4, 1)
    dx, dw, db = ops.conv2d_transpose_backward(dy, PAIR, KERNEL, padding="valid")
    np.testing.assert_array_equal(dx.ravel(), [1 + 4 + 9, 2 + 6 + 12])
    np.testing.assert_array_equal(dw.ravel(), [1 + 20, 2 + 30, 3 + 40])
    np.testing.assert_array_equal(db, [10])


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(120))
def test_equals_the_definition(seed, dtype):
    *arrays, options = transposed_configuration(seed)
    x, w, b = (array.astype(dtype) for array in arrays)
    exact = [array.astype(np.float64) for array in (x, w, b)]
    y = F.conv2d_transpose(x, w, b, **options)
    assert y.shape == (len(x), *transposed_size(x.shape, w.shape[:2], **options), w.shape[2])
    expected = reference.conv2d_transpose(*exact, **options)
    assert_equal_arrays(y, expected, dtype)
    rectified = F.conv2d_transpose(x, w, b, relu=True, **options)
    assert_equal_arrays(rectified, np.maximum(expected, 0), dtype)
    dy = dy_like(y, seed)
    for relu_output, passed in ((None, dy), (rectified, dy * (rectified > 0))):
        got = F.conv2d_transpose_backward(dy, x, w, relu_output=relu_output, **options)
        expected = reference.conv2d_transpose_backward(passed.astype(np.float64), *exact[:2], **options)
        for gradient, defined in zip(got, expected, strict=True):
            assert_equal_arrays(gradient, defined, dtype)
    none, dw, db = F.conv2d_transpose_backward(dy, x, w, need_dx=False, relu_output=rectified, **options)
    assert none is None
    np.testing.assert_array_equal(dw, got[1])
    np.testing.assert_array_equal(db, got[2])


@either
@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_input_gradient_of_conv2d(ops, seed):
    """A conv2d takes y back to the size of x, and hands back what the transposed convolution of its gradient is."""
    x, w, _, options = transposed_configuration(seed, limit=3000)
    more = options.pop("output_padding", 0)
    y = ops.conv2d_transpose(x, w, **options, **({"output_padding": more} if more else {}))
    assert ops.conv2d(y, w, **options).shape == x.shape
    dx, _, _ = ops.conv2d_backward(x, y, w, **options)
    assert_equal_arrays(y, dx, np.float64)


@pytest.mark.parametrize("seed", range(4))
def test_definition_against_central_differences(seed):
    x, w, b, options = transposed_configuration(seed, limit=120)
    dy = dy_like(reference.conv2d_transpose(x, w, b, **options), seed)
    gradients = reference.conv2d_transpose_backward(dy, x, w, **options)
    for array, gradient in zip((x, w, b), gradients, strict=True):
        numeric = central_difference(lambda: np.vdot(reference.conv2d_transpose(x, w, b, **options), dy), array)
        np.testing.assert_allclose(gradient, numeric, atol=1e-7 * max(np.abs(numeric).max(), 1))


LAYERS = {
    "same": {"kernel_size": 3, "stride": 2},
    "valid": {"kernel_size": (2, 3), "stride": (3, 2), "padding": "valid", "output_padding": (1, 0)},
    "explicit padding": {"kernel_size": 3, "padding": ((1, 0), (2, 1)), "dilation": 2, "activation": "relu"},
    "without bias": {"kernel_size": (3, 1), "bias": False},
}


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_gradients(options, rng):
    layer = nn.Conv2DTranspose(3, 4, **options, rng=rng, dtype=np.float64)
    report = nn.gradcheck(layer, rng.standard_normal((2, 4, 5, 3)), tolerance=1e-7)
    assert report.ok, report


def test_a_layer_takes_back_what_a_convolution_did_to_the_size():
    layer = nn.Conv2DTranspose(8, 3, 4, stride=2, activation="relu")
    assert layer.kind == "conv_transpose"
    assert repr(layer) == "Conv2DTranspose(8, 3, 4, stride=2, activation='relu')"
    assert repr(nn.Conv2DTranspose(8, 3, 4, stride=2, padding=1, output_padding=1)) == (
        "Conv2DTranspose(8, 3, 4, stride=2, padding=1, output_padding=1)"
    )
    net = nn.Sequential(nn.Conv2D(3, 8, 4, stride=2), layer)
    assert net.output_shape((6, 10, 3)) == (6, 10, 3)
    assert list(net.params) == ["0_conv2d.w", "0_conv2d.b", "1_conv2d_transpose.w", "1_conv2d_transpose.b"]
    assert layer.multiplications((3, 5, 8)) == layer.multiplications((3, 5, 8), spent=True) == 3 * 5 * 4 * 4 * 3 * 8
    assert layer.multiplications((3, 5, 8)) == nn.Conv2D(3, 8, 4, stride=2).multiplications((6, 10, 3))
    with pytest.raises(nn.ShapeError, match="takes 8 channels, but 4 come in"):
        nn.Sequential(nn.Conv2D(3, 4, 3), nn.Conv2DTranspose(8, 3, 4))


def test_the_same_bits_in_any_number_of_threads(rng):
    results = []
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 7, 6, 9), (4, 3, 17, 9), (17,)))
    for threads in (1, 2, 3):
        nn.set_num_threads(threads)
        y = F.conv2d_transpose(x, w, b, stride=2, relu=True)
        results.append((y, *F.conv2d_transpose_backward(y, x, w, stride=2, relu_output=y)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(5))
def test_memory_layout_does_not_matter(seed, layout):
    x, w, b, options = transposed_configuration(seed)
    y = F.conv2d_transpose(x, w, b, **options)
    dy = dy_like(y, seed)
    given_x, given_w, given_b, given_dy = laid_out(layout, x, w, b, dy)
    np.testing.assert_array_equal(F.conv2d_transpose(given_x, given_w, given_b, **options), y)
    got = F.conv2d_transpose_backward(given_dy, given_x, given_w, **options)
    for one, plain in zip(got, F.conv2d_transpose_backward(dy, x, w, **options), strict=True):
        np.testing.assert_array_equal(one, plain)


def test_results_go_where_out_says(rng):
    x, w, b = (rng.standard_normal(shape) for shape in ((2, 3, 4, 3), (3, 3, 2, 3), (2,)))
    y = F.conv2d_transpose(x, w, b, stride=2)
    out = np.full_like(y, np.nan)
    assert F.conv2d_transpose(x, w, b, stride=2, out=out) is out
    np.testing.assert_array_equal(out, y)
    expected = F.conv2d_transpose_backward(y, x, w, stride=2)
    given = tuple(np.full_like(gradient, np.nan) for gradient in expected)
    got = F.conv2d_transpose_backward(y, x, w, stride=2, out=given)
    for one, place, other in zip(got, given, expected, strict=True):
        assert one is place
        np.testing.assert_array_equal(one, other)


def test_the_gradient_of_the_bias_is_exact_over_many_pixels():
    dy = np.full((1, 2000, 2000, 1), 0.1, np.float32)
    x, w = np.zeros_like(dy), np.ones((1, 1, 1, 1), np.float32)
    _, _, db = F.conv2d_transpose_backward(dy, x, w, need_dx=False)
    assert db.item() == pytest.approx(4e6 * np.float64(np.float32(0.1)), rel=1e-6)


X = np.zeros((2, 3, 3, 4), np.float32)
W = np.zeros((3, 3, 5, 4), np.float32)
Y = np.zeros((2, 3, 3, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.conv2d_transpose(X[0], W), nn.ShapeError, "x must have 4 axes"),
        (lambda: F.conv2d_transpose(X.astype(int), W), nn.DTypeError, "x must be float32 or float64"),
        (lambda: F.conv2d_transpose(X, W[0]), nn.ShapeError, r"w must have 4 axes \(KH, KW, C_out, C_in\)"),
        (lambda: F.conv2d_transpose(X, W.swapaxes(2, 3)), nn.ShapeError, r"w must have shape \(3, 3, 4, 4\) .*x has 4"),
        (lambda: F.conv2d_transpose(X, W.astype(float)), nn.DTypeError, "w must have the dtype of x, float32"),
        (lambda: F.conv2d_transpose(X, W[:0]), nn.ShapeError, "w has an empty axis"),
        (lambda: F.conv2d_transpose(X, W, Y[0, 0, 0, :4]), nn.ShapeError, r"b must have shape \(5,\)"),
        (lambda: F.conv2d_transpose(X, W, stride=0), ValueError, "stride must be"),
        (lambda: F.conv2d_transpose(X, W, dilation=(1, 0)), ValueError, r"dilation\[1\] must be"),
        (lambda: F.conv2d_transpose(X, W, padding="full"), ValueError, "padding must be 'same', 'valid'"),
        (lambda: F.conv2d_transpose(X, W, padding=3), nn.ShapeError, "padding must leave something of the result"),
        (
            lambda: F.conv2d_transpose(X, W, padding=1, output_padding=1),
            ValueError,
            "smaller than the stride .*1, got 1",
        ),
        (
            lambda: F.conv2d_transpose(X, W, stride=(3, 2), padding=1, output_padding=(2, 2)),
            ValueError,
            "smaller than the stride along the width, 2, got 2",
        ),
        (lambda: F.conv2d_transpose(X, W, output_padding=-1), ValueError, "output_padding must be"),
        (lambda: F.conv2d_transpose(X, W, stride=2, output_padding=1), ValueError, "must be 0 with padding 'same'"),
        (lambda: F.conv2d_transpose(X, W, relu="yes"), TypeError, "relu must be True or False"),
        (lambda: F.conv2d_transpose(X, W, out=Y[:1]), nn.ShapeError, "out must have shape"),
        (lambda: F.conv2d_transpose(X, W[:, :, :4], out=X), ValueError, "out must not share memory"),
        (
            lambda: F.conv2d_transpose(X, W, stride=2**31 - 1),
            nn.ShapeError,
            "more bytes than can be addressed|padding must leave a padded picture of at most",
        ),
        (lambda: F.conv2d_transpose_backward(X, X, W), nn.ShapeError, r"dy must have shape \(2, 3, 3, 5\)"),
        (lambda: F.conv2d_transpose_backward(Y.astype(float), X, W), nn.DTypeError, "dy must have the dtype of x"),
        (lambda: F.conv2d_transpose_backward(None, X, W), TypeError, "dy must be a numpy.ndarray"),
        (lambda: F.conv2d_transpose_backward(Y, X, W, relu_output=X), nn.ShapeError, "relu_output must have shape"),
        (lambda: F.conv2d_transpose_backward(Y, X, W, out=Y), TypeError, "out must be a tuple of three arrays"),
        # layers
        (lambda: nn.Conv2DTranspose(0, 4, 3), ValueError, "in_channels must be"),
        (lambda: nn.Conv2DTranspose(3, 4, 0), ValueError, "kernel_size must be"),
        (lambda: nn.Conv2DTranspose(3, 4, 3, output_padding=1), ValueError, "output_padding must be 0 with padding"),
        (lambda: nn.Conv2DTranspose(3, 4, 3, activation="sine"), ValueError, "activation must be"),
        (lambda: nn.Conv2DTranspose(3, 4, 3)(X), nn.ShapeError, "takes 3 channels, got 4"),
        (lambda: nn.Conv2DTranspose(4, 4, 3)(X.astype(float)), nn.DTypeError, "x must have the dtype of w"),
        (lambda: nn.Conv2DTranspose(4, 4, 3, padding=3)(X), nn.ShapeError, "padding must leave something"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
