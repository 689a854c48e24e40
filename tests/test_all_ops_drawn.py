"""Every operation against `npcnn.reference` over whatever hypothesis draws.

Drawn are shapes (empty batches too), kernels, strides, paddings and dilations that need not fit, element types,
memory layouts, instruction sets and numbers of threads.  600 configurations by default, always the same;
`pytest --nightly` draws 20,000 new ones.
"""

import contextlib

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from drawn import LAYOUTS, REAL_TYPES, conv1d, conv2d, laid_out, output_size, pooled_size, transposed_size
from drawn import conv2d_transpose as draw_transposed
from drawn import pooling as draw_pooling
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import npcnn as nn
from npcnn import functional as F
from npcnn import reference
from npcnn.functional.algorithms import ALGORITHMS, chosen_algorithm
from npcnn.kernels import core

FEW, NIGHTLY = 600, 20_000


class Hypothesis:
    """A source of choices that hypothesis stands behind: it varies them, and shrinks those that fail."""

    def __init__(self, data):
        self.draw = data.draw

    def integer(self, low, high):
        return self.draw(st.integers(low, high))

    def among(self, values):
        return self.draw(st.sampled_from(values))


def surroundings(source):
    """Draw where an operation runs: the instruction set, the threads, the layout of its arrays."""
    return source.among(core.supported_isas()), source.integer(1, 5), source.among(LAYOUTS)


class Arrays:
    """Arrays of random numbers, all of one type."""

    def __init__(self, source, dtype=None):
        self.dtype = dtype or source.among(REAL_TYPES)
        self.rng = np.random.default_rng(source.integer(0, 2**32))

    def normal(self, shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def whole(self, shape):
        """Few different numbers, a tenth of them NaN: ties."""
        x = self.rng.integers(-3, 4, shape).astype(self.dtype)
        x[self.rng.random(shape) < 0.1] = np.nan
        return x


def both(isa, threads, call):
    """Return what `call` gives on an instruction set, which must be the same bits in one thread and in several."""
    core.use_isa(isa)
    nn.set_num_threads(1)
    alone = call()
    nn.set_num_threads(threads)
    for one, other in zip(alone, call(), strict=True):
        np.testing.assert_array_equal(one, other)
    return alone


def close(got, expected, scale, dtype):
    """Hold `got` to the definition in float64; `scale` is that of the absolute values: what rounding goes by."""
    assert got.shape == expected.shape
    assert got.dtype == dtype
    if expected.size:
        tolerance = 1e-13 if dtype == np.float64 else 3e-6
        assert np.abs(got - expected).max() <= tolerance * scale.max()


def refused(call, *arguments, **options):
    """Whether a window does not fit, or lies in the padding alone."""
    try:
        call(*arguments, **options)
    except nn.ShapeError as error:
        if "the window spans" not in str(error) and "a window may not lie in the padding alone" not in str(error):
            raise
        return True
    return False


def doubles(*arrays):
    return [array.astype(np.float64) for array in arrays]


def magnitudes(*arrays):
    return [np.abs(array) for array in doubles(*arrays)]


def check_convolution(source, name, x_shape, w_shape, options):
    """Forward and both gradients of conv2d or conv1d."""
    isa, threads, layout = surroundings(source)
    arrays = Arrays(source)
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    define, define_backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    x, w, b = (arrays.normal(shape) for shape in (x_shape, w_shape, w_shape[-1:]))
    if not output_size(x_shape, w_shape[:-2], **options):
        assert refused(forward, x, w, **options)
        return
    biases = [b] if source.among((False, True)) else []
    relu, need_dx = source.among((False, True)), source.among((False, True))
    algorithm = source.among(algorithms(w_shape, options, arrays.dtype))
    given = laid_out(layout, x, w, *biases)
    (y,) = both(isa, threads, lambda: (forward(*given, relu=relu, algorithm=algorithm, **options),))
    expected = define(*doubles(x, w, *biases), **options)
    scale = define(*magnitudes(x, w, *biases), **options)
    close(y, np.maximum(expected, 0) if relu else expected, scale, arrays.dtype)

    dy = arrays.normal(y.shape)
    given_dy, given_y = laid_out(layout, dy, y)
    dx, dw, db = both(isa, threads, lambda: without_none(backward(
        given_dy, *given[:2], need_dx=need_dx, relu_output=given_y if relu else None, algorithm=algorithm, **options),
        x))  # fmt: skip
    passed = dy * (y > 0) if relu else dy
    expected = define_backward(*doubles(passed, x, w), **options)
    scales = define_backward(*magnitudes(passed, x, w), **options)
    for gradient, defined, scale in zip((dx, dw, db), expected, scales, strict=True):
        if gradient is not dx or need_dx:
            close(gradient, defined, scale, arrays.dtype)


def without_none(gradients, x):
    dx, dw, db = gradients
    return np.zeros_like(x) if dx is None else dx, dw, db


def algorithms(w_shape, options, dtype):
    """Those that exist for a convolution."""
    axis = options.get("axis")
    taps = w_shape[:-2] if axis is None else (w_shape[0], 1) if axis == "height" else (1, w_shape[0])
    stride, dilation = ((v, v) if isinstance(v, int) else v for v in (options["stride"], options["dilation"]))
    windows = {"stride": stride, "dilation": dilation, "groups": options["groups"]}
    there = []
    for algorithm in ALGORITHMS:
        with contextlib.suppress(ValueError):
            chosen_algorithm(algorithm, (*taps, *w_shape[-2:]), dtype=np.dtype(dtype), **windows)
            there.append(algorithm)
    return there


def check_conv2d(source):
    check_convolution(source, "conv2d", *conv2d(source, grouped=True))


def check_conv1d(source):
    check_convolution(source, "conv1d", *conv1d(source, grouped=True))


def check_conv2d_max_pool2d(source):
    """In one go or one after the other: the same bits."""
    isa, threads, layout = surroundings(source)
    arrays = Arrays(source, np.float32)
    kernel = source.among([(3, 3), (5, 5), (7, 2), (1, 3), (4, 5)])
    x_shape, w_shape, convolution = conv2d(source, kernel, grouped=True)
    x, w, b = (arrays.normal(shape) for shape in (x_shape, w_shape, w_shape[-1:]))
    given = {"stride": 1, "dilation": 1, **convolution}
    relu, algorithm = source.among((False, True)), source.among(algorithms(w_shape, given, np.float32))
    _, size, pooling = draw_pooling(source)
    pooling["size"] = size
    options = {"convolution": convolution, "pooling": pooling, "relu": relu, "algorithm": algorithm}
    if refused(F.conv2d_max_pool2d, x, w, b, **options):
        return
    given_x, given_w, given_b = laid_out(layout, x, w, b)
    y, argmax = both(isa, threads, lambda: F.conv2d_max_pool2d(given_x, given_w, given_b, **options))
    convolved = F.conv2d(x, w, b, relu=relu, algorithm=algorithm, **convolution)
    expected_y, expected_argmax = F.max_pool2d(convolved, **pooling)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(argmax, expected_argmax)

    dy = arrays.normal(y.shape)
    given_dy, given_argmax, given_y = laid_out(layout, dy, argmax, y)
    got = both(isa, threads, lambda: F.conv2d_max_pool2d_backward(
        given_dy, given_argmax, given_x, given_w, convolution=convolution, pooling=pooling, algorithm=algorithm,
        relu_output=given_y if relu else None))  # fmt: skip
    between = F.max_pool2d_backward(dy, argmax, convolved.shape, **pooling)
    expected = F.conv2d_backward(
        between, x, w, algorithm=algorithm, relu_output=convolved if relu else None, **convolution
    )
    for gradient, wanted in zip(got, expected, strict=True):
        np.testing.assert_array_equal(gradient, wanted)


def check_max_pool2d(source):
    isa, threads, layout = surroundings(source)
    arrays = Arrays(source)
    x_shape, size, options = draw_pooling(source)
    x = arrays.whole(x_shape)
    if not pooled_size(x_shape, size, **options):
        assert refused(F.max_pool2d, x, size, **options)
        return
    (given_x,) = laid_out(layout, x)
    y, argmax = both(isa, threads, lambda: F.max_pool2d(given_x, size, **options))
    expected_y, expected_argmax = reference.max_pool2d(x, size, **options)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(argmax, expected_argmax)
    dy = arrays.normal(y.shape)
    given_dy, given_argmax = laid_out(layout, dy, argmax)
    (dx,) = both(isa, threads, lambda: (F.max_pool2d_backward(given_dy, given_argmax, x.shape, size=size, **options),))
    arguments = {"argmax": argmax, "x_shape": x.shape, "size": size, **options}
    scale = reference.max_pool2d_backward(np.abs(dy.astype(np.float64)), **arguments)
    close(dx, reference.max_pool2d_backward(dy.astype(np.float64), **arguments), scale, arrays.dtype)


def check_avg_pool2d(source):
    isa, threads, layout = surroundings(source)
    arrays = Arrays(source)
    x_shape, size, options = draw_pooling(source)
    x = arrays.whole(x_shape)
    if not pooled_size(x_shape, size, **options):
        assert refused(F.avg_pool2d, x, size, **options)
        return
    x = np.nan_to_num(x)
    options["count_include_pad"] = source.among((False, True))
    (given_x,) = laid_out(layout, x)
    (y,) = both(isa, threads, lambda: (F.avg_pool2d(given_x, size, **options),))
    x = x.astype(np.float64)
    scale = reference.avg_pool2d(np.abs(x), size, **options)
    close(y, reference.avg_pool2d(x, size, **options), scale, arrays.dtype)
    dy = arrays.normal(y.shape)
    (given_dy,) = laid_out(layout, dy)
    (dx,) = both(isa, threads, lambda: (F.avg_pool2d_backward(given_dy, x.shape, size=size, **options),))
    scale = reference.avg_pool2d_backward(np.abs(dy.astype(np.float64)), x.shape, size=size, **options)
    close(dx, reference.avg_pool2d_backward(dy.astype(np.float64), x.shape, size=size, **options), scale, arrays.dtype)


def check_conv2d_transpose(source):
    isa, threads, layout = surroundings(source)
    arrays = Arrays(source)
    x_shape, w_shape, options = draw_transposed(source)
    x, w, b = (arrays.normal(shape) for shape in (x_shape, w_shape, w_shape[2:3]))
    if not transposed_size(x_shape, w_shape[:2], **options):
        with pytest.raises(nn.ShapeError, match="padding must leave something"):
            F.conv2d_transpose(x, w, b, **options)
        return
    relu, need_dx = source.among((False, True)), source.among((False, True))
    given = laid_out(layout, x, w, b)
    (y,) = both(isa, threads, lambda: (F.conv2d_transpose(*given, relu=relu, **options),))
    expected = reference.conv2d_transpose(*doubles(x, w, b), **options)
    scale = reference.conv2d_transpose(*magnitudes(x, w, b), **options)
    close(y, np.maximum(expected, 0) if relu else expected, scale, arrays.dtype)

    dy = arrays.normal(y.shape)
    given_dy, given_y = laid_out(layout, dy, y)
    dx, dw, db = both(isa, threads, lambda: without_none(F.conv2d_transpose_backward(
        given_dy, *given[:2], need_dx=need_dx, relu_output=given_y if relu else None, **options), x))  # fmt: skip
    passed = dy * (y > 0) if relu else dy
    expected = reference.conv2d_transpose_backward(*doubles(passed, x, w), **options)
    scales = reference.conv2d_transpose_backward(*magnitudes(passed, x, w), **options)
    for gradient, defined, scale in zip((dx, dw, db), expected, scales, strict=True):
        if gradient is not dx or need_dx:
            close(gradient, defined, scale, arrays.dtype)


ACTIVATIONS = (
    ("leaky_relu", {}),
    ("leaky_relu", {"slope": 0.3}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}),
    ("sigmoid", {}),
    ("tanh", {}),
)


def check_one_number_at_a_time(source):
    """Activations, their gradients, softmax and the loss."""
    isa, threads, layout = surroundings(source)
    arrays = Arrays(source)
    shape = [source.integer(0, 70) for _ in range(source.integer(1, 3))]
    x, dy = arrays.whole(shape), arrays.normal(shape)
    given_x, given_dy = laid_out(layout, x, dy)
    (y,) = both(isa, threads, lambda: (F.relu(given_x),))
    np.testing.assert_array_equal(y, reference.relu(x))
    (given_y,) = laid_out(layout, y)
    (dx,) = both(isa, threads, lambda: (F.relu_backward(given_dy, given_y),))
    np.testing.assert_array_equal(dx, reference.relu_backward(dy, y))

    name, options = source.among(ACTIVATIONS)
    x *= arrays.dtype(source.among((1, 3, 40)))
    (given_x,) = laid_out(layout, x)
    (y,) = both(isa, threads, lambda: (getattr(F, name)(given_x, **options),))
    scale = arrays.dtype(1e-6 if arrays.dtype == np.float32 else 1e-14)
    expected = getattr(reference, name)(x.astype(np.float64), **options)
    np.testing.assert_allclose(y, expected, rtol=scale, atol=scale)
    kept = x if name in ("gelu", "silu") else y
    (given_kept,) = laid_out(layout, kept)
    (dx,) = both(isa, threads, lambda: (getattr(F, f"{name}_backward")(given_dy, given_kept, **options),))
    expected = getattr(reference, f"{name}_backward")(*doubles(dy, kept), **options)
    np.testing.assert_allclose(dx, expected, rtol=10 * scale, atol=10 * scale)

    logits = 30 * arrays.normal((source.integer(1, 40), source.integer(1, 40)))
    (given_logits,) = laid_out(layout, logits)
    expected = reference.softmax(logits.astype(np.float64))
    np.testing.assert_allclose(F.softmax(given_logits), expected, rtol=0, atol=1e-6)
    labels = arrays.rng.integers(0, logits.shape[1], len(logits))
    loss, dlogits = F.softmax_cross_entropy(given_logits, labels)
    expected_loss, expected_dlogits = reference.softmax_cross_entropy(logits.astype(np.float64), labels)
    # log(1 + tiny) has the absolute precision of 1 + tiny.
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dlogits, expected_dlogits, rtol=0, atol=1e-6)


# Each operation's part of the configurations.
PARTS = {
    check_conv2d: 0.25,
    check_conv1d: 0.15,
    check_conv2d_transpose: 0.1,
    check_conv2d_max_pool2d: 0.15,
    check_max_pool2d: 0.15,
    check_avg_pool2d: 0.1,
    check_one_number_at_a_time: 0.1,
}


@pytest.fixture
def back_to_normal():
    isa, threads = core.isa(), nn.get_num_threads()
    yield
    core.use_isa(isa)
    nn.set_num_threads(threads)


@pytest.mark.parametrize("check", PARTS)
def test_whatever_is_drawn_equals_the_definition(check, nightly, back_to_normal):
    examples = round(PARTS[check] * (NIGHTLY if nightly else FEW))
    varied = settings(
        max_examples=examples,
        derandomize=not nightly,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )(given(st.data())(lambda data: check(Hypothesis(data))))
    varied()
