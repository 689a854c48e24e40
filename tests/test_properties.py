"""Every operation against `npcnn.reference` over whatever hypothesis draws.

Drawn are shapes (empty batches too), kernels, strides, paddings and dilations that need not fit, element types,
memory layouts, instruction sets and numbers of threads.  600 configurations by default, always the same;
`pytest --nightly` draws 20,000 new ones.
"""

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import npcnn as nn
from npcnn import functional as F
from npcnn import reference
from npcnn.functional.toom_cook import chosen_algorithm
from npcnn.kernels import core

FEW, NIGHTLY = 600, 20_000

DTYPES = st.sampled_from([np.float32, np.float64])
CHANNELS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65])
PICTURES = st.tuples(
    st.sampled_from([0, 1, 1, 2, 3, 5, 18]), st.integers(1, 13), st.integers(1, 13), CHANNELS
)  # N, H, W, C


def pairs(numbers):
    return st.one_of(numbers, st.tuples(numbers, numbers))


PADDINGS_1D = st.one_of(
    st.sampled_from(["same", "valid"]), st.integers(0, 9), st.tuples(st.integers(0, 9), st.integers(0, 9))
)
PADDINGS = st.one_of(
    st.sampled_from(["same", "valid"]), st.integers(0, 9), st.tuples(*[st.tuples(*[st.integers(0, 9)] * 2)] * 2)
)


def fortran_order(array):
    return np.asfortranarray(array)


def reversed_everywhere(array):
    return np.ascontiguousarray(np.flip(array))[(slice(None, None, -1),) * array.ndim]


def poison(array):
    """What must not be read: it would show in any result."""
    return np.nan if array.dtype.kind == "f" else -7


def every_second(array):
    wide = np.full(tuple(2 * length for length in array.shape), poison(array), array.dtype)
    view = wide[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    return view


def slice_of_larger(array):
    larger = np.full(tuple(length + 3 for length in array.shape), poison(array), array.dtype)
    view = larger[tuple(slice(2, -1) for _ in array.shape)]
    view[...] = array
    return view


def misaligned(array):
    view = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def as_it_is(array):
    return array


LAYOUTS = st.sampled_from([as_it_is, fortran_order, reversed_everywhere, every_second, slice_of_larger, misaligned])


@st.composite
def surroundings(draw):
    """Return where an operation runs: the instruction set, the threads, the layout of its arrays."""
    return draw(st.sampled_from(core.supported_isas())), draw(st.integers(1, 5)), draw(LAYOUTS)


class Drawn:
    """Arrays of normal numbers by name, in the drawn type; `laid_out` and read-only, as the operation gets them."""

    def __init__(self, seed, dtype, layout):
        self.rng, self.dtype, self.layout = np.random.default_rng(seed), dtype, layout

    def normal(self, shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def whole(self, shape):
        """Few different numbers, a tenth of them NaN: ties."""
        x = self.rng.integers(-3, 4, shape).astype(self.dtype)
        x[self.rng.random(shape) < 0.1] = np.nan
        return x

    def laid_out(self, *arrays):
        views = [self.layout(array) for array in arrays]
        for view in views:
            view.flags.writeable = False
        return views


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
    """Whether a window does not fit."""
    try:
        call(*arguments, **options)
    except nn.ShapeError as error:
        if "the window spans" not in str(error):
            raise
        return True
    return False


def fits(picture, taps, *, axis=None, stride, padding, dilation):
    """Whether the reference finds a window in a picture (height, width)."""
    if axis is None:
        windows = reference.windows.picture_windows(picture, taps, stride=stride, padding=padding, dilation=dilation)
    else:
        length = picture[0 if axis == "height" else 1]
        windows = [reference.windows.axis_windows(length, *taps, stride=stride, padding=padding, dilation=dilation)]
    return all(axis_windows.output_length > 0 for axis_windows in windows)


def doubles(*arrays):
    return [array.astype(np.float64) for array in arrays]


def magnitudes(*arrays):
    return [np.abs(array) for array in doubles(*arrays)]


def check_convolution(name, draw, x_shape, w_shape, options):
    """Forward and both gradients of conv2d or conv1d."""
    isa, threads, layout = draw(surroundings())
    drawn = Drawn(draw(st.integers(0, 2**32)), draw(DTYPES), layout)
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    define, define_backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    x, w, b = drawn.normal(x_shape), drawn.normal(w_shape), drawn.normal(w_shape[-1:])
    if not fits(x_shape[1:3], w_shape[:-2], **options):
        assert refused(forward, x, w, **options)
        return
    b_or_none = b if draw(st.booleans()) else None
    relu, need_dx = draw(st.booleans()), draw(st.booleans())
    algorithm = draw(st.sampled_from(["auto", "im2col", *toom_cook(w_shape, options, drawn.dtype)]))
    given_x, given_w, given_b = drawn.laid_out(x, w, b)
    (y,) = both(isa, threads, lambda: (forward(given_x, given_w, given_b if b_or_none is not None else None, relu=relu,
                                               algorithm=algorithm, **options),))  # fmt: skip
    biases = [] if b_or_none is None else [b]
    expected = define(*doubles(x, w, *biases), **options)
    scale = define(*magnitudes(x, w, *biases), **options)
    close(y, np.maximum(expected, 0) if relu else expected, scale, drawn.dtype)

    dy = drawn.normal(y.shape)
    given_dy, given_y = drawn.laid_out(dy, y)
    dx, dw, db = both(isa, threads, lambda: without_none(backward(
        given_dy, given_x, given_w, need_dx=need_dx, relu_output=given_y if relu else None, algorithm=algorithm,
        **options), x))  # fmt: skip
    passed = dy * (y > 0) if relu else dy
    expected = define_backward(*doubles(passed, x, w), **options)
    scales = define_backward(*magnitudes(passed, x, w), **options)
    for gradient, defined, scale in zip((dx, dw, db), expected, scales, strict=True):
        if gradient is not dx or need_dx:
            close(gradient, defined, scale, drawn.dtype)


def without_none(gradients, x):
    dx, dw, db = gradients
    return np.zeros_like(x) if dx is None else dx, dw, db


def toom_cook(w_shape, options, dtype):
    """["toom_cook"] where that exists, else []."""
    axis = options.get("axis")
    taps = w_shape[:-2] if axis is None else (w_shape[0], 1) if axis == "height" else (1, w_shape[0])
    stride, dilation = ((v, v) if isinstance(v, int) else v for v in (options["stride"], options["dilation"]))
    try:
        chosen_algorithm("toom_cook", (*taps, *w_shape[-2:]), stride=stride, dilation=dilation, dtype=np.dtype(dtype))
    except ValueError:
        return []
    return ["toom_cook"]


def check_conv2d(data):
    x_shape = data.draw(PICTURES)
    w_shape = (data.draw(st.integers(1, 8)), data.draw(st.integers(1, 8)), x_shape[3], data.draw(CHANNELS))
    step = st.sampled_from([1, 1, 1, 2, 3, 4])
    options = {"stride": data.draw(pairs(step)), "dilation": data.draw(pairs(step)), "padding": data.draw(PADDINGS)}
    check_convolution("conv2d", data.draw, x_shape, w_shape, options)


def check_conv1d(data):
    x_shape = data.draw(PICTURES)
    w_shape = (data.draw(st.integers(1, 8)), x_shape[3], data.draw(CHANNELS))
    step = st.sampled_from([1, 1, 1, 2, 3, 4])
    options = {
        "axis": data.draw(st.sampled_from(["height", "width"])),
        "stride": data.draw(step),
        "dilation": data.draw(step),
        "padding": data.draw(PADDINGS_1D),
    }
    check_convolution("conv1d", data.draw, x_shape, w_shape, options)


def check_conv2d_max_pool2d(data):
    """In one go or one after the other: the same bits."""
    isa, threads, layout = data.draw(surroundings())
    drawn = Drawn(data.draw(st.integers(0, 2**32)), np.float32, layout)
    x_shape = data.draw(PICTURES)
    kernel = data.draw(st.sampled_from([(3, 3), (5, 5), (7, 2), (1, 3), (4, 5)]))
    x, w, b = (drawn.normal(shape) for shape in (x_shape, (*kernel, x_shape[3], data.draw(CHANNELS)), ()))
    b = drawn.normal(w.shape[3:])
    convolution = {"padding": data.draw(PADDINGS)}
    relu, algorithm = data.draw(st.booleans()), data.draw(st.sampled_from(["auto", "im2col", "toom_cook"]))
    pooling = {"size": data.draw(pairs(st.integers(1, 4))), "stride": data.draw(pairs(st.integers(1, 4)))}
    pooling["padding"] = data.draw(st.sampled_from(["same", "valid"]))
    options = {"convolution": convolution, "pooling": pooling, "relu": relu, "algorithm": algorithm}
    if refused(F.conv2d_max_pool2d, x, w, b, **options):
        return
    given_x, given_w, given_b = drawn.laid_out(x, w, b)
    y, argmax = both(isa, threads, lambda: F.conv2d_max_pool2d(given_x, given_w, given_b, **options))
    convolved = F.conv2d(x, w, b, relu=relu, algorithm=algorithm, **convolution)
    expected_y, expected_argmax = F.max_pool2d(convolved, **pooling)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(argmax, expected_argmax)

    dy = drawn.normal(y.shape)
    given_dy, given_argmax, given_y = drawn.laid_out(dy, argmax, y)
    got = both(isa, threads, lambda: F.conv2d_max_pool2d_backward(
        given_dy, given_argmax, given_x, given_w, convolution=convolution, pooling=pooling, algorithm=algorithm,
        relu_output=given_y if relu else None))  # fmt: skip
    between = F.max_pool2d_backward(dy, argmax, convolved.shape, **pooling)
    expected = F.conv2d_backward(
        between, x, w, algorithm=algorithm, relu_output=convolved if relu else None, **convolution
    )
    for gradient, wanted in zip(got, expected, strict=True):
        np.testing.assert_array_equal(gradient, wanted)


def draw_pooling(data):
    """Return where it runs, whole numbers with ties, and the options; None if the padding is refused."""
    isa, threads, layout = data.draw(surroundings())
    drawn = Drawn(data.draw(st.integers(0, 2**32)), data.draw(DTYPES), layout)
    size = data.draw(pairs(st.integers(1, 5)))
    options = {"stride": data.draw(st.one_of(st.none(), pairs(st.integers(1, 4)))), "padding": data.draw(PADDINGS)}
    padding = options["padding"]
    smallest = int(np.min(size))
    if not isinstance(padding, str):  # smaller than the window, or it is refused
        options["padding"] = (
            padding % smallest
            if isinstance(padding, int)
            else tuple(tuple(p % smallest for p in side) for side in padding)
        )
    return isa, threads, drawn, drawn.whole(data.draw(PICTURES)), size, options


def check_max_pool2d(data):
    isa, threads, drawn, x, size, options = draw_pooling(data)
    if not fits(x.shape[1:3], size, dilation=1, **options | {"stride": options["stride"] or size}):
        assert refused(F.max_pool2d, x, size, **options)
        return
    (given_x,) = drawn.laid_out(x)
    y, argmax = both(isa, threads, lambda: F.max_pool2d(given_x, size, **options))
    expected_y, expected_argmax = reference.max_pool2d(x, size, **options)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(argmax, expected_argmax)
    dy = drawn.normal(y.shape)
    given_dy, given_argmax = drawn.laid_out(dy, argmax)
    (dx,) = both(isa, threads, lambda: (F.max_pool2d_backward(given_dy, given_argmax, x.shape, size=size, **options),))
    arguments = {"argmax": argmax, "x_shape": x.shape, "size": size, **options}
    scale = reference.max_pool2d_backward(np.abs(dy.astype(np.float64)), **arguments)
    close(dx, reference.max_pool2d_backward(dy.astype(np.float64), **arguments), scale, drawn.dtype)


def check_avg_pool2d(data):
    isa, threads, drawn, x, size, options = draw_pooling(data)
    if not fits(x.shape[1:3], size, dilation=1, **options | {"stride": options["stride"] or size}):
        assert refused(F.avg_pool2d, x, size, **options)
        return
    x = np.nan_to_num(x)
    options["count_include_pad"] = data.draw(st.booleans())
    (given_x,) = drawn.laid_out(x)
    (y,) = both(isa, threads, lambda: (F.avg_pool2d(given_x, size, **options),))
    x = x.astype(np.float64)
    scale = reference.avg_pool2d(np.abs(x), size, **options)
    close(y, reference.avg_pool2d(x, size, **options), scale, drawn.dtype)
    dy = drawn.normal(y.shape)
    (given_dy,) = drawn.laid_out(dy)
    (dx,) = both(isa, threads, lambda: (F.avg_pool2d_backward(given_dy, x.shape, size=size, **options),))
    scale = reference.avg_pool2d_backward(np.abs(dy.astype(np.float64)), x.shape, size=size, **options)
    close(dx, reference.avg_pool2d_backward(dy.astype(np.float64), x.shape, size=size, **options), scale, drawn.dtype)


def check_one_number_at_a_time(data):
    """ReLU, its gradient, softmax and the loss."""
    isa, threads, layout = data.draw(surroundings())
    drawn = Drawn(data.draw(st.integers(0, 2**32)), data.draw(DTYPES), layout)
    shape = data.draw(st.lists(st.integers(0, 70), min_size=1, max_size=3))
    x, dy = drawn.whole(shape), drawn.normal(shape)
    given_x, given_dy = drawn.laid_out(x, dy)
    (y,) = both(isa, threads, lambda: (F.relu(given_x),))
    np.testing.assert_array_equal(y, reference.relu(x))
    (given_y,) = drawn.laid_out(y)
    (dx,) = both(isa, threads, lambda: (F.relu_backward(given_dy, given_y),))
    np.testing.assert_array_equal(dx, reference.relu_backward(dy, y))

    logits = 30 * drawn.normal((data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))))
    (given_logits,) = drawn.laid_out(logits)
    expected = reference.softmax(logits.astype(np.float64))
    np.testing.assert_allclose(F.softmax(given_logits), expected, rtol=0, atol=1e-6)
    labels = drawn.rng.integers(0, logits.shape[1], len(logits))
    loss, dlogits = F.softmax_cross_entropy(given_logits, labels)
    expected_loss, expected_dlogits = reference.softmax_cross_entropy(logits.astype(np.float64), labels)
    # log(1 + tiny) has the absolute precision of 1 + tiny.
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dlogits, expected_dlogits, rtol=0, atol=1e-6)


# Each operation's part of the configurations.
PARTS = {
    check_conv2d: 0.3,
    check_conv1d: 0.2,
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
    drawn = settings(
        max_examples=examples,
        derandomize=not nightly,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )(given(st.data())(check))
    drawn()
