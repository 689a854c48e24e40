"""Random configurations of the operations, drawn from a seed: shapes, strides, paddings, dilations.

The same configurations hold the kernels to `npcnn.reference` and to PyTorch.
"""

import numpy as np

REAL_TYPES = (np.float64, np.float32)


def tolerance(dtype):
    """Largest difference allowed, relative to the largest value."""
    return 1e-12 if dtype == np.float64 else 1e-5


def assert_equal_arrays(got, expected, dtype):
    """Hold `got` to `expected` (computed in float64) within the tolerance of `dtype`."""
    assert got.shape == expected.shape
    assert got.dtype == dtype
    if expected.size:
        largest = max(np.abs(expected).max(), 1e-30)
        assert np.abs(got - expected).max() <= tolerance(dtype) * largest


def cast(dtype, *arrays):
    """Return the arrays in another type."""
    return [array.astype(dtype) for array in arrays]


def small(configuration, seed):
    """Return the first configuration from this seed on whose arrays have 1 to 400 numbers."""
    while True:
        drawn = configuration(seed)
        if all(0 < array.size < 400 for array in drawn if isinstance(array, np.ndarray)):
            return drawn
        seed += 1000


def _padding(rng, window_limit):
    kind = rng.integers(4)
    if kind < 2:
        return ("same", "valid")[kind]
    if kind == 2:
        return int(rng.integers(0, window_limit + 1))
    return tuple(tuple(int(p) for p in rng.integers(0, window_limit + 1, 2)) for _ in range(2))


def _pair(rng, low, high):
    pair = tuple(int(v) for v in rng.integers(low, high + 1, 2))
    return pair if rng.random() < 0.5 else pair[0]


def as_pair(value):
    """Return (value, value), or a pair as it is."""
    return value if isinstance(value, tuple) else (value, value)


def conv2d_configuration(seed):
    """Return (x, w, b, options) in float64, for one drawn 2-D convolution."""
    rng = np.random.default_rng([2, seed])
    while True:
        size, options = (
            _pair(rng, 1, 7),
            {
                "stride": _pair(rng, 1, 3),
                "padding": _padding(rng, 4),
                "dilation": _pair(rng, 1, 3),
            },
        )
        picture = rng.integers(1, 13, 2)
        if _fits(picture, size, options["padding"], options["dilation"]):
            break
    N = int(rng.choice([0, 1, 2, 3, 5], p=[0.05, 0.2, 0.3, 0.3, 0.15]))
    C_in, C_out = (int(c) for c in rng.choice([1, 2, 3, 4, 7, 8, 10, 16, 17, 33, 40, 70], 2))
    x = rng.standard_normal((N, *picture, C_in))
    w = rng.standard_normal((*as_pair(size), C_in, C_out))
    return x, w, rng.standard_normal(C_out), options


def conv1d_configuration(seed):
    """Return (x, w, b, options) in float64, for one drawn 1-D convolution."""
    rng = np.random.default_rng([1, seed])
    while True:
        size, axis = int(rng.integers(1, 8)), str(rng.choice(["height", "width"]))
        padding = _padding(rng, 4)
        padding = padding if isinstance(padding, str | int) else padding[0]
        options = {
            "axis": axis,
            "stride": int(rng.integers(1, 4)),
            "padding": padding,
            "dilation": int(rng.integers(1, 4)),
        }
        picture = rng.integers(1, 15, 2)
        along = picture[0 if axis == "height" else 1]
        if _fits(
            (along, along), size, padding if not isinstance(padding, tuple) else (padding, padding), options["dilation"]
        ):
            break
    N = int(rng.choice([0, 1, 2, 3, 20], p=[0.05, 0.25, 0.3, 0.3, 0.1]))
    C_in, C_out = (int(c) for c in rng.choice([1, 2, 3, 4, 7, 8, 10, 16, 17, 33, 40, 64, 70], 2))
    x = rng.standard_normal((N, *picture, C_in))
    return x, rng.standard_normal((size, C_in, C_out)), rng.standard_normal(C_out), options


def pool_configuration(seed, nan=False):
    """Return (x, size, options) in float64, for one drawn pooling; whole numbers, so that ties occur.

    With `nan`, a fifth of the numbers are NaN.
    """
    rng = np.random.default_rng([3, seed])
    while True:
        size, padding = _pair(rng, 1, 4), _padding(rng, 2)
        options = {"stride": None if rng.random() < 0.3 else _pair(rng, 1, 4), "padding": padding}
        picture = rng.integers(1, 13, 2)
        if not isinstance(padding, str) and np.max(padding) >= np.min(size):
            continue
        if _fits(picture, size, padding, 1):
            break
    N = int(rng.choice([0, 1, 2, 5], p=[0.05, 0.3, 0.4, 0.25]))
    C = int(rng.choice([1, 2, 3, 5, 8, 16, 19, 33, 64]))
    x = rng.integers(-3, 4, (N, *picture, C)).astype(float)
    if nan:
        x[rng.random(x.shape) < 0.2] = np.nan
    return x, size, options


def _fits(picture, size, padding, dilation):
    if padding == "same":
        return True
    pads = (
        (0, 0)
        if padding == "valid"
        else ((2 * padding,) * 2 if isinstance(padding, int) else tuple(sum(side) for side in padding))
    )
    spans = [(k - 1) * d + 1 for k, d in zip(as_pair(size), as_pair(dilation), strict=True)]
    return all(length + pad >= span for length, pad, span in zip(picture, pads, spans, strict=True))
