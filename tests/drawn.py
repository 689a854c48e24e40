"""Configurations of the operations, drawn at random: shapes, strides, paddings, dilations, memory layouts.

One generator for all.  It draws from a source of choices: `Seeded` draws the same whenever it is given the same seed;
`test_all_ops_drawn.py` has one that hypothesis stands behind.  What is drawn holds the kernels to `npcnn.reference` and
to PyTorch, and gradients to differences.
"""

import math

import numpy as np

from npcnn.reference.windows import as_pair, axis_windows, picture_windows

REAL_TYPES = (np.float32, np.float64)
# Around the widths of vectors: less than one, whole ones, and one number more or less.
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 19, 31, 33, 40, 64, 65, 70)
STEPS = (1, 1, 1, 2, 3, 4)


class Seeded:
    """A source of choices that always makes the same ones."""

    def __init__(self, *seed):
        self.rng = np.random.default_rng(seed)

    def integer(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def among(self, values):
        return values[self.integer(0, len(values) - 1)]


# ------------------------------------------------------------------------------------- shapes and options


def conv2d(source, kernel=None, grouped=False):
    """Draw the shapes of x and w, and the options; with `kernel`, a convolution that Toom-Cook takes.

    With `grouped`, groups are among the options, and more often than not there are several.
    """
    x_shape = _pictures(source)
    size = kernel or (source.integer(1, 8), source.integer(1, 8))
    most = source.among((3, 3, 9))
    options = {"padding": _padding(source, (most, most))}
    if kernel is None:
        options |= {"stride": _for_both_axes(source, STEPS), "dilation": _for_both_axes(source, STEPS)}
    return _with_channels(source, x_shape, size, options, grouped)


def conv1d(source, taps=None, grouped=False):
    """Draw the shapes of x and w, and the options; with `taps`, a convolution that Toom-Cook takes; see `conv2d`."""
    x_shape = _pictures(source)
    options = {
        "axis": source.among(("height", "width")),
        "padding": _padding(source, (source.among((3, 3, 9)),)),
    }
    if taps is None:
        options |= {"stride": source.among(STEPS), "dilation": source.among(STEPS)}
    return _with_channels(source, x_shape, (taps or source.integer(1, 8),), options, grouped)


def conv2d_transpose(source):
    """Draw the shapes of x and w, and the options."""
    x_shape = _pictures(source)
    most = source.among((1, 1, 3))
    stride, padding = _for_both_axes(source, STEPS), _padding(source, (most, most))
    options = {"stride": stride, "padding": padding, "dilation": _for_both_axes(source, STEPS)}
    if padding != "same":
        options["output_padding"] = tuple(source.integer(0, step - 1) for step in as_pair(stride))
    return x_shape, (source.integer(1, 8), source.integer(1, 8), source.among(CHANNELS), x_shape[3]), options


def pooling(source):
    """Draw the shape of x, the size of the window, and the options."""
    size, dilation = _for_both_axes(source, (1, 2, 3, 4, 5)), _for_both_axes(source, (1, 1, 1, 2, 3))
    most = [(taps - 1) * apart for taps, apart in zip(as_pair(size), as_pair(dilation), strict=True)]
    options = {
        "stride": _for_both_axes(source, (1, 2, 3, 4)) if source.among((True, True, False)) else None,
        "padding": _padding(source, most),  # more is refused
        "dilation": dilation,
        "ceil_mode": source.among((False, True)),
    }
    return _pictures(source), size, options


def _with_channels(source, x_shape, size, options, grouped):
    """Return the shapes of x and w and the options, of which groups, if asked for, change the channels of x."""
    C_in, C_out = x_shape[3], source.among(CHANNELS)
    if not grouped:
        return x_shape, (*size, C_in, C_out), options
    kind = source.among(("depthwise", "several", "one"))
    groups = {"one": 1, "depthwise": C_in}.get(kind) or source.among((2, 3, 4, 7))
    if kind == "several":
        C_in = source.among((1, 2, 3, 4, 8, 9, 17))
        C_out = groups * source.among((1, 2, 3, 4, 8, 9, 17))
    elif kind == "depthwise":
        C_in, C_out = 1, groups * source.among((1, 1, 1, 2, 3))
    return (*x_shape[:3], groups * C_in), (*size, C_in, C_out), options | {"groups": groups}


def _pictures(source):
    return (
        source.among((1, 1, 2, 2, 3, 3, 5, 5, 0, 18)),
        source.integer(1, 14),
        source.integer(1, 14),
        source.among(CHANNELS),
    )


def _for_both_axes(source, values):
    """Draw a number, or a pair of them."""
    return source.among(values) if source.among((False, True)) else (source.among(values), source.among(values))


def _padding(source, largest):
    """Draw a padding; `largest` has the most pixels for each axis."""
    kind = source.among(("same", "valid", "pixels", "sides"))
    if kind == "pixels":
        return source.integer(0, min(largest))
    if kind == "sides":
        sides = tuple((source.integer(0, most), source.integer(0, most)) for most in largest)
        return sides if len(sides) == 2 else sides[0]
    return kind


def output_size(x_shape, size, *, axis=None, stride=1, padding="same", dilation=1, groups=1, ceil_mode=False):
    """Return (OH, OW) by the definition, None if a window does not fit; without a stride, windows lie side by side."""
    options = {"stride": size if stride is None else stride, "padding": padding, "dilation": dilation}
    if axis is None:
        axes = picture_windows(x_shape[1:3], size, ceil_mode=ceil_mode, **options)
        output = [windows.output_length for windows in axes]
    else:
        output = list(x_shape[1:3])
        along = ("height", "width").index(axis)
        output[along] = axis_windows(output[along], *size, **options).output_length
    return tuple(output) if min(output) > 0 else None


def transposed_size(x_shape, size, *, stride, padding, dilation, output_padding=0):
    """Return (OH, OW) of a transposed convolution by the rule of its documentation, None if the padding leaves none."""
    strides, dilations, more = as_pair(stride), as_pair(dilation), as_pair(output_padding)
    if padding == "same":
        return x_shape[1] * strides[0], x_shape[2] * strides[1]
    sides = 0 if padding == "valid" else padding
    sides = ((sides, sides),) * 2 if isinstance(sides, int) else sides
    output = tuple(
        (x_shape[1 + axis] - 1) * strides[axis] + (size[axis] - 1) * dilations[axis] + 1 - sum(sides[axis]) + more[axis]
        for axis in (0, 1)
    )
    return output if min(output) > 0 else None


def pooled_size(x_shape, size, **options):
    """Return (OH, OW) of a pooling as `output_size` does; None also if a window lies in the padding alone."""
    output = output_size(x_shape, size, **options)
    if output is None:
        return None
    options["stride"] = options["stride"] or size
    axes = picture_windows(x_shape[1:3], size, **options)
    return output if all({i for i, _, _ in axis.taps()} == set(range(axis.output_length)) for axis in axes) else None


# ------------------------------------------------------------------------------------- arrays, from a seed


def conv2d_configuration(seed, *, kernel=None, pooled=None, limit=None, grouped=False):
    """Return x, w, b, all float64, and the options of a 2-D convolution.

    With `kernel` it is one that Toom-Cook takes; `pooled` are the options of a pooling that fits behind it; with
    `limit`, x and w have from 1 to so many numbers; with `grouped`, groups are among the options.
    """
    return _convolution(Seeded(2, seed), lambda source: conv2d(source, kernel, grouped), pooled, limit)


def conv1d_configuration(seed, *, taps=None, limit=None, grouped=False):
    """Return x, w, b, all float64, and the options of a 1-D convolution; see `conv2d_configuration`."""
    return _convolution(Seeded(1, seed), lambda source: conv1d(source, taps, grouped), None, limit)


def transposed_configuration(seed, *, limit=None):
    """Return x, w, b, all float64, and the options of a transposed convolution; see `conv2d_configuration`."""
    source = Seeded(6, seed)
    while True:
        x_shape, w_shape, options = conv2d_transpose(source)
        if transposed_size(x_shape, w_shape[:2], **options) and _within(limit, x_shape, w_shape):
            break
    return *(source.rng.standard_normal(shape) for shape in (x_shape, w_shape, w_shape[2:3])), options


def pool_configuration(seed, *, nan=False, limit=None):
    """Return x, the size of the window, and the options; x is float64 and of few whole numbers, so that ties occur.

    With `nan`, a fifth of the numbers are NaN; with `limit`, x has from 1 to so many.
    """
    source = Seeded(3, seed)
    while True:
        x_shape, size, options = pooling(source)
        if pooled_size(x_shape, size, **options) and _within(limit, x_shape):
            break
    x = source.rng.integers(-3, 4, x_shape).astype(float)
    if nan:
        x[source.rng.random(x_shape) < 0.2] = np.nan
    return x, size, options


def upsampling_configuration(seed):
    """Return x, float64, and a factor."""
    source = Seeded(7, seed)
    shape = (source.integer(0, 3), source.integer(1, 9), source.integer(1, 9), source.among(CHANNELS))
    return source.rng.standard_normal(shape), _for_both_axes(source, (1, 2, 3, 4, 5))


def zero_pad_configuration(seed):
    """Return x, float64, and a padding in any of its forms."""
    source = Seeded(8, seed)
    sides = tuple((source.integer(0, 5), source.integer(0, 5)) for _ in "HW")
    return source.rng.standard_normal(_pictures(source)), source.among((sides[0][0], sides[0], sides))


def _convolution(source, draw, pooled, limit):
    while True:
        x_shape, w_shape, options = draw(source)
        output = output_size(x_shape, w_shape[:-2], **options)
        if output and _within(limit, x_shape, w_shape) and (pooled is None or _pools(output, pooled)):
            break
    return *(source.rng.standard_normal(shape) for shape in (x_shape, w_shape, w_shape[-1:])), options


def _pools(picture, options):
    return pooled_size((1, *picture), **{"stride": None, "padding": "valid"} | options)


def _within(limit, *shapes):
    return limit is None or all(0 < math.prod(shape) <= limit for shape in shapes)


# ------------------------------------------------------------------------------------- memory layouts


def as_it_is(array):
    return array


def fortran_order(array):
    return np.asfortranarray(array)


def reversed_everywhere(array):
    return np.ascontiguousarray(np.flip(array))[(slice(None, None, -1),) * array.ndim]


def reversed_in_front(array):
    return np.ascontiguousarray(array[::-1])[::-1]


def every_second(array):
    wide = np.full(tuple(2 * length for length in array.shape), _poison(array), array.dtype)
    view = wide[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    return view


def every_second_channel(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


def slice_of_larger(array):
    larger = np.full(tuple(length + 3 for length in array.shape), _poison(array), array.dtype)
    view = larger[tuple(slice(2, -1) for _ in array.shape)]
    view[...] = array
    return view


def misaligned(array):
    view = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def _poison(array):
    """Return what must not be read: it would show in any result."""
    return np.nan if array.dtype.kind == "f" else -7


LAYOUTS = (
    as_it_is,
    fortran_order,
    reversed_everywhere,
    reversed_in_front,
    every_second,
    every_second_channel,
    slice_of_larger,
    misaligned,
)


def laid_out(layout, *arrays):
    """Return the arrays in a memory layout, read-only: nothing may write into what it is given."""
    views = [layout(array.copy()) for array in arrays]
    for view in views:
        view.flags.writeable = False
    return views
