"""What changes the size of pictures, in PyTorch: its own ceil mode, transposed convolution, upsampling, zero padding.

Optional, as `test_against_torch.py`, which has the other operations.
"""

import numpy as np
import pytest
from cases import assert_equal_arrays
from drawn import Seeded

from npcnn import functional

torch = pytest.importorskip("torch")
F = torch.nn.functional
SEEDS = range(1000, 1220)


def to_torch(x):
    """(N, H, W, C) as a tensor (N, C, H, W) that collects gradients."""
    return torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)


def to_numpy(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def gradient_of(ty, tx, dy):
    """Return what PyTorch hands back to `tx`."""
    ty.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    return to_numpy(tx.grad)


def drawn_pooling(seed, dilations):
    """Return x and what PyTorch's poolings take: the same padding on both sides, at most half a window."""
    source = Seeded(5, seed)
    while True:
        size, dilation = ([source.among(values) for _ in "HW"] for values in ((1, 2, 3, 4, 5), dilations))
        options = {
            "stride": [source.integer(1, 4) for _ in "HW"],
            "padding": [],
            "ceil_mode": source.among((True, False)),
        }
        spans = [(taps - 1) * apart + 1 for taps, apart in zip(size, dilation, strict=True)]
        options["padding"] = [source.integer(0, taps // 2) for taps in size]
        shape = (source.integer(1, 3), source.integer(1, 14), source.integer(1, 14), source.integer(1, 9))
        # A window smaller than the picture and the padding, and a picture that no window steps over.
        if all(
            length + 2 * pad >= span and length >= apart
            for length, pad, span, apart in zip(shape[1:3], options["padding"], spans, dilation, strict=True)
        ):
            return source.rng.standard_normal(shape), size, dilation, options


def both_sides(options):
    """Return PyTorch's options as those of npcnn."""
    return options | {"padding": tuple((pad, pad) for pad in options["padding"])}


@pytest.mark.parametrize("seed", SEEDS)
def test_max_pool2d_with_dilation_and_ceil_mode(seed):
    x, size, dilation, options = drawn_pooling(seed, (1, 2, 3))
    y, argmax = functional.max_pool2d(x, size, dilation=dilation, **both_sides(options))
    tx = to_torch(x)
    ty = F.max_pool2d(tx, size, dilation=dilation, **options)
    np.testing.assert_array_equal(y, to_numpy(ty))
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx = functional.max_pool2d_backward(dy, argmax, x.shape, size=size, dilation=dilation, **both_sides(options))
    assert_equal_arrays(dx, gradient_of(ty, tx, dy), np.float64)


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_avg_pool2d_with_ceil_mode(seed, count_include_pad):
    x, size, _, options = drawn_pooling(seed, (1,))
    y = functional.avg_pool2d(x, size, count_include_pad=count_include_pad, **both_sides(options))
    tx = to_torch(x)
    ty = F.avg_pool2d(tx, size, count_include_pad=count_include_pad, **options)
    assert_equal_arrays(y, to_numpy(ty), np.float64)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx = functional.avg_pool2d_backward(
        dy, x.shape, size=size, count_include_pad=count_include_pad, **both_sides(options)
    )
    assert_equal_arrays(dx, gradient_of(ty, tx, dy), np.float64)
