"""Convolution in one and two dimensions: by hand, over drawn configurations, its gradients, and what it refuses.

The hand-made figures read off easily: the picture holds the digits 1 to 9 and the kernel the powers of ten, so a
result such as 5421 spells out which pixels met which taps.  The other truths are einsum over windows by np.pad and
sliding views, differences, and the definition.
"""

import itertools

import numpy as np
import pytest
from cases import assert_equal_arrays, assert_refused, either
from drawn import LAYOUTS, REAL_TYPES, conv1d_configuration, conv2d_configuration, laid_out
from second_opinions import central_difference, second_opinion_windows

import npcnn as nn
from npcnn import functional as F
from npcnn import reference

DIGITS = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
TENS = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(2, 2, 1, 1)
LINE = np.array([1.0, 2.0, 3.0, 4.0])
TAPS = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)


# ------------------------------------------------------------------------------------- by hand


@either
def test_article_picture_by_hand(ops):
    # The article's 5 x 2 picture and a 3 x 3 kernel that is the outer product of (1, 2, 3) and (1, 0, -1).
    x = np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]], float).reshape(1, 5, 2, 1)
    column, row = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, -1.0])
    w = np.outer(column, row).reshape(3, 3, 1, 1)
    # Top left: rows 0 and 1 against kernel rows 1 and 2, columns 0 and 1 against kernel columns 1 and 2:
    # 2 * (0*1 - 1*2) + 3 * (0*3 - 1*4) = -16;  right: 2 * (1*1) + 3 * (1*3) = 11.
    y = ops.conv2d(x, w)[0, :, :, 0]
    np.testing.assert_array_equal(y[0], [-16, 11])
    # Row 2: 1 * (-4) + 2 * (-6) + 3 * (-8) = -40 and 3 + 2*5 + 3*7 = 34.
    np.testing.assert_array_equal(y[2], [-40, 34])
    cut = ops.conv1d(ops.conv1d(x, column.reshape(3, 1, 1), axis="height"), row.reshape(3, 1, 1), axis="width")
    np.testing.assert_array_equal(cut[0, :, :, 0], y)


@either
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
def test_conv2d_worked_by_hand(ops, options, expected):
    y = ops.conv2d(DIGITS, TENS, **options)
    np.testing.assert_array_equal(y[0, :, :, 0], expected)


@either
def test_conv2d_channels_and_bias_worked_by_hand(ops):
    x = np.array([2.0, 3.0]).reshape(1, 1, 1, 2)
    w = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    y = ops.conv2d(x, w, np.array([10.0, 20.0]))
    np.testing.assert_array_equal(y.ravel(), [2 + 9 + 10, 4 + 12 + 20])


@either
@pytest.mark.parametrize(("size", "tap"), [((5, 5), (2, 2)), ((2, 4), (0, 1)), ((1, 1), (0, 0))])
def test_conv2d_one_pixel_meets_one_tap(ops, size, tap):
    w = np.arange(1.0, size[0] * size[1] + 1).reshape(*size, 1, 1)
    y = ops.conv2d(np.full((1, 1, 1, 1), 7.0), w)
    np.testing.assert_array_equal(y, 7 * w[tap].reshape(1, 1, 1, 1))


@either
def test_conv2d_kernel_larger_than_the_picture(ops):
    # 2 x 2 picture, 4 x 4 kernel: one pixel of padding before, so pixel (0, 0) meets tap (1, 1).
    x = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    w = np.zeros((4, 4, 1, 1))
    w[1, 1], w[1, 2], w[2, 1], w[2, 2] = 1, 10, 100, 1000
    y = ops.conv2d(x, w)
    np.testing.assert_array_equal(y[0, :, :, 0], [[4321, 402], [43, 4]])


@either
def test_conv2d_backward_worked_by_hand(ops):
    # One window over the top left 2 x 2 pixels, one cut by the right border (padding "same").
    dy = np.zeros((1, 3, 3, 1))
    dy[0, 0, 0, 0], dy[0, 0, 2, 0] = 1, 2
    dx, dw, db = ops.conv2d_backward(dy, DIGITS, TENS)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 10, 2], [100, 1000, 200], [0, 0, 0]])
    np.testing.assert_array_equal(dw[:, :, 0, 0], [[1 + 2 * 3, 2], [4 + 2 * 6, 5]])
    np.testing.assert_array_equal(db, [3])


@either
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
def test_conv1d_worked_by_hand(ops, axis, options, expected):
    shape = (1, 4, 1, 1) if axis == "height" else (1, 1, 4, 1)
    y = ops.conv1d(LINE.reshape(shape), TAPS, axis=axis, **options)
    assert y.shape == (1, len(expected), 1, 1) if axis == "height" else (1, 1, len(expected), 1)
    np.testing.assert_array_equal(y.ravel(), expected)


@either
def test_conv1d_axes_are_the_height_and_the_width(ops):
    assert ops.conv1d(DIGITS, TAPS, axis="height", padding="valid").ravel().tolist() == [741, 852, 963]
    assert ops.conv1d(DIGITS, TAPS, axis="width", padding="valid").ravel().tolist() == [321, 654, 987]


@either
def test_same_padding_puts_the_odd_pixel_at_the_bottom_and_right(ops):
    # 4 pixels, stride 2, 3 taps: one pixel of padding in all, at the end.
    x = np.array([1.0, 2, 3, 4]).reshape(1, 4, 1, 1)
    w = np.array([1.0, 10, 100]).reshape(3, 1, 1)
    y = ops.conv1d(x, w, axis="height", stride=2)
    np.testing.assert_array_equal(y.ravel(), [321, 43])


# ------------------------------------------------------------------------------------- by other means


@either
@pytest.mark.parametrize("seed", range(40))
def test_conv2d_and_backward_against_einsum(ops, seed):
    x, w, b, options = conv2d_configuration(seed, limit=1000)
    pairs = {name: value if isinstance(value, tuple) else (value, value) for name, value in options.items()}
    windows = second_opinion_windows(x, w.shape[:2], **pairs | {"padding": options["padding"]})
    y = ops.conv2d(x, w, b, **options)
    np.testing.assert_allclose(y, np.einsum("nijchw,hwco->nijo", windows, w) + b, atol=1e-12)

    rng = np.random.default_rng(seed)
    dy = rng.standard_normal(y.shape)
    dx, dw, db = ops.conv2d_backward(dy, x, w, **options)
    np.testing.assert_allclose(dw, np.einsum("nijchw,nijo->hwco", windows, dy), atol=1e-12)
    np.testing.assert_allclose(db, np.einsum("nijo->o", dy), atol=1e-12)
    # dx is the transpose of a linear map: <conv(v), dy> = <v, dx> for every v.
    v = rng.standard_normal(x.shape)
    forward = np.vdot(ops.conv2d(v, w, **options), dy)
    np.testing.assert_allclose(forward, np.vdot(v, dx), atol=1e-10)


@either
@pytest.mark.parametrize("axis", ["height", "width"])
@pytest.mark.parametrize("padding", ["same", "valid", 2, (0, 3)])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 2)])
def test_conv1d_is_a_k_by_1_or_1_by_k_conv2d(ops, axis, padding, stride, dilation):
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
    y = ops.conv1d(x, w, b, axis=axis, **options)
    np.testing.assert_allclose(y, ops.conv2d(x, w2d, b, **options2d), atol=1e-13)

    dy = rng.standard_normal(y.shape)
    dx, dw, db = ops.conv1d_backward(dy, x, w, axis=axis, **options)
    dx2d, dw2d, db2d = ops.conv2d_backward(dy, x, w2d, **options2d)
    np.testing.assert_allclose(dx, dx2d, atol=1e-13)
    np.testing.assert_allclose(dw, dw2d.reshape(w.shape), atol=1e-12)
    np.testing.assert_allclose(db, db2d, atol=1e-13)


@either
def test_conv1d_pair_equals_the_product_of_both_kernels(ops):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 5, 6, 1))
    column, row = rng.standard_normal((3, 1, 1)), rng.standard_normal((5, 1, 1))
    y = ops.conv1d(ops.conv1d(x, column, axis="height"), row, axis="width")
    outer = np.outer(column, row).reshape(3, 5, 1, 1)
    np.testing.assert_allclose(y, ops.conv2d(x, outer), atol=1e-13)


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


# ------------------------------------------------------------------------------------- over drawn configurations

CONFIGURATIONS = {"conv2d": conv2d_configuration, "conv1d": conv1d_configuration}
each_convolution = pytest.mark.parametrize("name", CONFIGURATIONS)
each_seed = pytest.mark.parametrize("seed", range(150))
each_type = pytest.mark.parametrize("dtype", REAL_TYPES)


def cast(dtype, *arrays):
    return [array.astype(dtype) for array in arrays]


@each_convolution
@each_type
@each_seed
def test_equals_the_definition(seed, dtype, name):
    conv, define = getattr(F, name), getattr(reference, name)
    *arrays, options = CONFIGURATIONS[name](seed)
    x, w, b = cast(dtype, *arrays)
    expected = define(*cast(np.float64, x, w, b), **options)
    assert_equal_arrays(conv(x, w, b, **options), expected, dtype)
    assert_equal_arrays(conv(x, w, b, relu=True, **options), np.maximum(expected, 0), dtype)
    assert_equal_arrays(conv(x, w, **options), define(*cast(np.float64, x, w), **options), dtype)


@each_convolution
@each_type
@each_seed
def test_backward_equals_the_definition(seed, dtype, name):
    conv, backward, define = getattr(F, name), getattr(F, f"{name}_backward"), getattr(reference, f"{name}_backward")
    *arrays, options = CONFIGURATIONS[name](seed)
    x, w, _ = cast(dtype, *arrays)
    y = conv(x, w, relu=True, **options)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    expected = define(*cast(np.float64, dy, x, w), **options)
    for got, wanted in zip(backward(dy, x, w, **options), expected, strict=True):
        assert_equal_arrays(got, wanted, dtype)
    masked = define(*cast(np.float64, dy * (y > 0), x, w), **options)
    for got, wanted in zip(backward(dy, x, w, relu_output=y, **options), masked, strict=True):
        assert_equal_arrays(got, wanted, dtype)
    no_dx, *rest = backward(dy, x, w, need_dx=False, **options)
    assert no_dx is None
    for got, wanted in zip(rest, expected[1:], strict=True):
        assert_equal_arrays(got, wanted, dtype)


@each_convolution
@pytest.mark.parametrize("seed", range(40))
def test_gradients_pass_gradcheck(seed, name):
    conv, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x, w, b, options = CONFIGURATIONS[name](seed, limit=400)
    report = nn.gradcheck(
        lambda x, w, b: conv(x, w, b, **options),
        x,
        w,
        b,
        backward=lambda dy, x, w, b: backward(dy, x, w, **options),
        tolerance=1e-7,
        max_elements=40,
    )
    assert report.ok, report


@each_convolution
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(5))
def test_memory_layout_does_not_matter(seed, layout, name):
    conv, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x, w, b, options = CONFIGURATIONS[name](seed)
    expected = conv(x, w, b, **options)
    np.testing.assert_array_equal(conv(*laid_out(layout, x, w, b), **options), expected)
    dy = np.random.default_rng(seed).standard_normal(expected.shape)
    for got, plain in zip(backward(*laid_out(layout, dy, x, w), **options), backward(dy, x, w, **options), strict=True):
        np.testing.assert_array_equal(got, plain)


# ------------------------------------------------------------------------------------- at the edges


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_nan_is_not_lost_in_the_relu(dtype):
    x = np.ones((1, 4, 4, 3), dtype)
    x[0, 1, 1, 0] = np.nan
    assert np.isnan(F.conv2d(x, np.ones((1, 1, 3, 2), dtype), relu=True)[0, 1, 1]).all()


@pytest.mark.parametrize(
    ("kernel", "algorithm"),
    [*itertools.product([(3, 3), (3, 1), (1, 3)], ["im2col", "toom_cook"]), ((3, 3), "toom_cook_2d")],
)
def test_gradients_over_a_large_picture(kernel, algorithm):
    x, w = np.full((1, 1024, 1024, 1), 0.1, np.float32), np.ones((*kernel, 1, 1), np.float32)
    _, dw, db = F.conv2d_backward(x, x, w, need_dx=False, algorithm=algorithm)
    assert db.item() == pytest.approx(x.astype(np.float64).sum(), rel=1e-6)
    middle = dw[kernel[0] // 2, kernel[1] // 2].item()
    assert middle == pytest.approx(np.square(x, dtype=np.float64).sum(), rel=5e-5)


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
    x, w, b = rng.standard_normal((1, 4, 4, 2)), rng.standard_normal((3, 3, 2, 2)), rng.standard_normal(34)
    with pytest.raises(ValueError, match="out must not share memory"):
        F.conv2d(x, w, b[:2], out=b[1:33].reshape(1, 4, 4, 2))
    room = np.empty(60)
    gradients = (None, room[:36].reshape(3, 3, 2, 2), room[35:37])
    with pytest.raises(ValueError, match=r"db.* must not share memory"):
        F.conv2d_backward(x, x, w, need_dx=False, out=gradients)


def test_inputs_are_never_changed(rng):
    x, w, b = (rng.standard_normal(s) for s in ((2, 6, 6, 3), (3, 3, 3, 4), (4,)))
    copies = [array.copy() for array in (x, w, b)]
    y = F.conv2d(x, w, b, relu=True)
    dy = rng.standard_normal(y.shape)
    dy_copy, y_copy = dy.copy(), y.copy()
    F.conv2d_backward(dy, x, w, relu_output=y)
    for array, copy in zip((x, w, b, dy, y), (*copies, dy_copy, y_copy), strict=True):
        np.testing.assert_array_equal(array, copy)


# ------------------------------------------------------------------------------------- what is refused


@either
def test_unknown_words_are_refused(ops):
    for padding in ("SAME", "full", "reflect", "causal", ""):
        with pytest.raises(ValueError, match="padding must be 'same', 'valid'"):
            ops.conv2d(DIGITS, TENS, padding=padding)
        with pytest.raises(ValueError, match="padding must be 'same', 'valid'"):
            ops.conv2d_backward(DIGITS, DIGITS, TENS, padding=padding)
        with pytest.raises(ValueError, match="padding must be 'same', 'valid'"):
            ops.conv1d(DIGITS, TAPS, axis="height", padding=padding)
    for axis in ("depth", "Height", 1):
        with pytest.raises(ValueError, match="axis must be 'height' or 'width'"):
            ops.conv1d(DIGITS, TAPS, axis=axis)


X = np.zeros((2, 6, 6, 3), np.float32)
W = np.zeros((3, 3, 3, 4), np.float32)
W1 = np.zeros((3, 3, 4), np.float32)
B = np.zeros(4, np.float32)
Y = np.zeros((2, 6, 6, 4), np.float32)


def as_wide(array):
    """With 1,000 input channels in place of 3."""
    shape = list(array.shape)
    shape[array.ndim - 2 if array is W1 else -1] = 1000
    return np.zeros(shape, array.dtype)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.conv2d(X[0], W), nn.ShapeError, r"x must have 4 axes.*\(6, 6, 3\)"),
        (lambda: F.conv2d(X, W[0]), nn.ShapeError, r"w must have 4 axes.*\(3, 3, 4\)"),
        (lambda: F.conv2d(X, W, B[None]), nn.ShapeError, "b must have 1 axes"),
        (lambda: F.conv1d(X[0], W1, axis="height"), nn.ShapeError, "x must have 4 axes"),
        (lambda: F.conv1d(X, W, axis="height"), nn.ShapeError, "w must have 3 axes"),
        (lambda: F.conv2d(X, W[:, :, :2]), nn.ShapeError, r"w must have shape \(3, 3, 3, 4\).*3 channels"),
        (lambda: F.conv1d(X, W1[:, :2], axis="width"), nn.ShapeError, "w must have shape"),
        (lambda: F.conv2d(X, W, B[:3]), nn.ShapeError, r"b must have shape \(4,\).*got \(3,\)"),
        (lambda: F.conv1d(X, W1, B[:3], axis="width"), nn.ShapeError, "b must have shape"),
        (lambda: F.conv2d(X[:, :0], W), nn.ShapeError, "x has an empty axis"),
        (lambda: F.conv2d(X, W[:0]), nn.ShapeError, "w has an empty axis"),
        (lambda: F.conv2d(X[..., :0], W[:, :, :0]), nn.ShapeError, "x has an empty axis"),
        (lambda: F.conv2d(X[:, :2], W, padding="valid"), nn.ShapeError, "spans 3 pixels along the height"),
        (lambda: F.conv2d(X.astype(int), W), nn.DTypeError, "x must be float32 or float64, got int64"),
        (lambda: F.conv2d(X.astype(np.float16), W), nn.DTypeError, "got float16"),
        (lambda: F.conv2d(X.astype(object), W), nn.DTypeError, "got object"),
        (lambda: F.conv2d(X.astype(complex), W), nn.DTypeError, "got complex128"),
        (lambda: F.conv2d(X.astype(">f4"), W), nn.DTypeError, "x must be float32 or float64"),
        (lambda: F.conv2d(X.tolist(), W), TypeError, "x must be a numpy.ndarray.*got list"),
        (lambda: F.conv2d(None, W), TypeError, "got NoneType"),
        (lambda: F.conv2d(X, W.astype(np.float64)), nn.DTypeError, "w must have the dtype of x"),
        (lambda: F.conv2d(X, W, B.astype(np.float64)), nn.DTypeError, "b must have the dtype of w"),
        (lambda: F.conv1d(X.astype(int), W1, axis="width"), nn.DTypeError, "x must be float32"),
        (lambda: F.conv2d(X, W, stride=0), ValueError, "stride must be an integer of at least 1 .*got 0"),
        (lambda: F.conv2d(X, W, stride=-1), ValueError, "stride must be"),
        (lambda: F.conv2d(X, W, stride=1.5), TypeError, "stride must be"),
        (lambda: F.conv2d(X, W, stride=(1, 0)), ValueError, r"stride\[1\] must be"),
        (lambda: F.conv2d(X, W, stride=(1, 1, 1)), ValueError, "stride must be an integer or a pair"),
        (lambda: F.conv2d(X, W, stride=True), TypeError, "stride must be"),
        (lambda: F.conv2d(X, W, dilation=0), ValueError, "dilation must be"),
        (lambda: F.conv2d(X, W, padding="full"), ValueError, "padding must be 'same'"),
        (lambda: F.conv2d(X, W, padding=-1), ValueError, "padding must be"),
        (lambda: F.conv2d(X, W, padding=(1, 1)), ValueError, "padding must be"),
        (lambda: F.conv2d(X, W, padding=((1, 1), (1, -1))), ValueError, r"padding\[1\]\[1\] must be"),
        (lambda: F.conv2d(X, W, padding=None), TypeError, "padding must be"),
        (lambda: F.conv1d(X, W1, axis="depth"), ValueError, "axis must be 'height' or 'width'"),
        (lambda: F.conv1d(X, W1, axis=0), ValueError, "axis must be"),
        (lambda: F.conv1d(X, W1, axis="width", stride=(1, 1)), TypeError, "stride must be"),
        (lambda: F.conv1d(X, W1, axis="width", padding=(1, 1, 1)), ValueError, "padding must be"),
        (lambda: F.conv1d(X, W1, axis="width", padding="half"), ValueError, "padding must be"),
        (lambda: F.conv1d(X, W1, axis="width", dilation=0), ValueError, "dilation must be"),
        (lambda: F.conv2d_backward(Y[:1], X, W), nn.ShapeError, "dy must have shape.*forward result"),
        (lambda: F.conv2d_backward(Y[..., :3], X, W), nn.ShapeError, "dy must have shape"),
        (lambda: F.conv2d_backward(Y.astype(np.float64), X, W), nn.DTypeError, "dy must have the dtype"),
        (lambda: F.conv2d_backward(Y, X, W, relu_output=Y[:, :5]), nn.ShapeError, "relu_output must"),
        (lambda: F.conv2d_backward(Y, X, W, out=(X,)), TypeError, "out must be a tuple of three"),
        (lambda: F.conv1d_backward(Y[:1], X, W1, axis="width"), nn.ShapeError, "dy must have shape"),
        (lambda: F.conv2d(X, W, out=X), nn.ShapeError, "out must have shape"),
        (lambda: F.conv2d(X, W, out=Y.astype(float)), nn.DTypeError, "out must have dtype"),
        (lambda: F.conv2d(X, W, out=[0]), TypeError, "out must be a numpy.ndarray or None"),
        (lambda: F.conv1d(X, W1, axis="width", padding=((1, 1), (0, 0))), ValueError, r"got \(\(1, 1\), \(0, 0\)\)"),
        (lambda: F.conv2d(X, W, stride=2**31), ValueError, "stride must be .* at most 2147483647, got 2147483648"),
        (lambda: F.conv2d(X, W, stride=(1, 2**63)), ValueError, r"stride\[1\] must be .* at most 2147483647"),
        (lambda: F.conv2d(X, W, dilation=2**64), ValueError, "dilation must be .* at most 2147483647"),
        (lambda: F.conv2d(X, W, padding=2**31), ValueError, "padding must be .* at most 2147483647"),
        (lambda: F.conv2d(X, W, padding=((0, 0), (2**40, 0))), ValueError, r"padding\[1\]\[0\] must be .* at most"),
        (lambda: F.conv2d(X, W, padding=2**30, stride=2**30), nn.ShapeError, "padding must leave .* at most 1,099"),
        (lambda: F.conv2d(X, W, dilation=2**30), nn.ShapeError, "padding must leave .* a smaller dilation"),
        (lambda: F.conv2d_backward(Y, X, W, padding=2**30), nn.ShapeError, "padding must leave"),
        (lambda: F.conv1d(X, W1, axis="width", stride=2**31), ValueError, "stride must be .* at most 2147483647"),
        (lambda: F.conv1d(X, W1, axis="width", dilation=2**63), ValueError, "dilation must be .* at most 2147483647"),
        (
            lambda: F.conv1d(X, W1, axis="height", padding=(0, 2**62)),
            ValueError,
            "padding must be .* at most 2147483647",
        ),
        (
            lambda: F.conv1d(as_wide(X), as_wide(W1), axis="height", padding=2**31 - 1),
            nn.ShapeError,
            "padding must leave",
        ),
        # layers
        (lambda: nn.Conv2D(0, 4, 3), ValueError, "in_channels must be"),
        (lambda: nn.Conv2D(3, -4, 3), ValueError, "out_channels must be"),
        (lambda: nn.Conv2D(3, 4.0, 3), TypeError, "out_channels must be"),
        (lambda: nn.Conv2D(3, 4, 0), ValueError, "kernel_size must be"),
        (lambda: nn.Conv2D(3, 4, (3, 0)), ValueError, r"kernel_size\[1\] must be"),
        (lambda: nn.Conv2D(3, 4, "3"), TypeError, "kernel_size must be"),
        (lambda: nn.Conv2D(3, 4, 3, stride=0), ValueError, "stride must be"),
        (lambda: nn.Conv2D(3, 4, 3, dilation=0), ValueError, "dilation must be"),
        (lambda: nn.Conv2D(3, 4, 3, padding="full"), ValueError, "padding must be"),
        (lambda: nn.Conv2D(3, 4, 3, activation="tanh"), ValueError, "activation must be"),
        (lambda: nn.Conv2D(3, 4, 3, dtype=np.float16), nn.DTypeError, "dtype must be"),
        (lambda: nn.Conv2D(3, 4, 3, dtype="real"), nn.DTypeError, "dtype must be"),
        (lambda: nn.Conv2D(3, 4, 3, weight_init=0), TypeError, "initializer of w must be"),
        (lambda: nn.Conv2D(3, 4, 3, rng=0), TypeError, r"rng must be.*default_rng\(seed\)"),
        (lambda: nn.Conv2D(2**40, 2**40, 3), nn.ShapeError, "w would have shape .* more bytes than can be addressed"),
        (lambda: nn.Conv2D(3, 4, 3).forward([[1.0]]), TypeError, "x must be a numpy.ndarray"),
        (lambda: nn.Conv1D(3, 4, 3, axis="depth"), ValueError, "axis must be"),
        (lambda: nn.Conv1D(3, 4, (3, 1), axis="height"), TypeError, "kernel_size must be"),
        (lambda: nn.Conv1D(3, 4, 3, axis="width", padding=(1, -1)), ValueError, "padding must be"),
        (lambda: nn.Conv1D(3, 4, 3, axis="width", algorithm="fft"), ValueError, "algorithm must be"),
        (lambda: nn.Conv1D(3, 4, 3, axis="width", algorithm="toom_cook", stride=2), ValueError, "toom_cook"),
        (lambda: nn.Conv1D(2**40, 2**40, 3, axis="width"), nn.ShapeError, "w would have shape"),
        (lambda: nn.SpatiallySeparableConv2D(3, 4, 3, middle_activation="elu"), ValueError, "middle_act"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
