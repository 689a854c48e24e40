"""What changes the size of pictures, in PyTorch: its own ceil mode, transposed convolution, upsampling, zero padding.

Optional, as `test_against_torch.py`, which has the other operations.
"""

import numpy as np
import pytest
from cases import assert_equal_arrays
from drawn import Seeded, transposed_configuration, upsampling_configuration, zero_pad_configuration

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


def filled(x):
    """PyTorch refuses empty batches in some places."""
    return x if len(x) else np.ones((1, *x.shape[1:]))


def check_transposed(x, w, b, options, of_torch):
    """Compare y and the gradients with those of `of_torch`, (x, w, b) -> y."""
    y = functional.conv2d_transpose(x, w, b, **options)
    tx, tb = to_torch(x), torch.tensor(b, requires_grad=True)
    tw = torch.tensor(w.transpose(3, 2, 0, 1).copy(), requires_grad=True)
    ty = of_torch(tx, tw, tb)
    assert_equal_arrays(y, to_numpy(ty), np.float64)
    dy = np.random.default_rng(len(b)).standard_normal(y.shape)
    dx, dw, db = functional.conv2d_transpose_backward(dy, x, w, **options)
    assert_equal_arrays(dx, gradient_of(ty, tx, dy), np.float64)
    assert_equal_arrays(dw, tw.grad.numpy().transpose(2, 3, 1, 0), np.float64)
    assert_equal_arrays(db, tb.grad.numpy(), np.float64)


@pytest.mark.parametrize("seed", SEEDS)
def test_conv2d_transpose(seed):
    """Of any padding: PyTorch's result without one, which is cut; or, where that is too small, goes on with zeros."""
    x, w, b, options = transposed_configuration(seed)
    x = filled(x)
    windows = {name: options[name] for name in ("stride", "padding", "dilation")}
    OH, OW = functional.conv2d_transpose(x, w, **options).shape[1:3]
    (top, _), (left, _) = functional.window_geometry((OH, OW), w.shape[:2], **windows).padding

    def of_torch(x, w, b):
        whole = F.conv_transpose2d(x, w, stride=options["stride"], dilation=options["dilation"])
        more = [max(left + OW - whole.shape[3], 0), max(top + OH - whole.shape[2], 0)]
        whole = F.pad(whole, (0, more[0], 0, more[1]))
        return whole[:, :, top : top + OH, left : left + OW] + b[:, None, None]

    check_transposed(x, w, b, options, of_torch)


@pytest.mark.parametrize("seed", SEEDS)
def test_conv2d_transpose_with_pytorchs_own_padding(seed):
    source = Seeded(9, seed)
    shape, size = (source.integer(1, 3), *(source.integer(2, 7) for _ in "HWC")), [source.integer(1, 5) for _ in "HW"]
    stride, dilation = ([source.integer(1, 3) for _ in "HW"] for _ in range(2))
    spans = [(taps - 1) * apart + 1 for taps, apart in zip(size, dilation, strict=True)]
    options = {
        "stride": stride,
        "dilation": dilation,
        "padding": [source.integer(0, (span - 1) // 2) for span in spans],
    }
    options["output_padding"] = [source.integer(0, step - 1) for step in stride]
    C_out = source.integer(1, 7)
    x, w, b = (source.rng.standard_normal(axes) for axes in (shape, (*size, C_out, shape[3]), (C_out,)))
    check_transposed(x, w, b, both_sides(options), lambda x, w, b: F.conv_transpose2d(x, w, b, **options))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("seed", SEEDS)
def test_upsample2d(seed, mode):
    x, factor = upsampling_configuration(seed)
    x = filled(x)
    y = functional.upsample2d(x, factor, mode=mode)
    tx = to_torch(x)
    centres = {"align_corners": False} if mode == "bilinear" else {}
    ty = F.interpolate(tx, scale_factor=factor, mode=mode, **centres)
    assert_equal_arrays(y, to_numpy(ty), np.float64)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    dx = functional.upsample2d_backward(dy, factor=factor, mode=mode)
    assert_equal_arrays(dx, gradient_of(ty, tx, dy), np.float64)


@pytest.mark.parametrize("seed", SEEDS)
def test_zero_pad2d(seed):
    x, padding = zero_pad_configuration(seed)
    x = filled(x)
    y = functional.zero_pad2d(x, padding)
    height, width = (padding, padding) if isinstance(padding, int) else padding
    (top, bottom), (left, right) = ((side, side) if isinstance(side, int) else side for side in (height, width))
    tx = to_torch(x)
    ty = F.pad(tx, (left, right, top, bottom))
    np.testing.assert_array_equal(y, to_numpy(ty))
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    np.testing.assert_array_equal(functional.zero_pad2d_backward(dy, padding=padding), gradient_of(ty, tx, dy))
