"""The same operations in PyTorch: values and autograd's gradients, over drawn configurations.

Optional: runs where PyTorch is installed (``pip install torch``).  PyTorch knows no lopsided padding, so
pictures are padded here, with zeros for convolution and -inf for max pooling, by the amounts that
`npcnn.functional.window_geometry` gives.
"""

import numpy as np
import pytest
from cases import assert_equal_arrays
from drawn import conv1d_configuration, conv2d_configuration, pool_configuration

from npcnn import functional
from npcnn.functional.pooling import pool_geometry
from npcnn.functional.windows import line_geometry

torch = pytest.importorskip("torch")
F = torch.nn.functional


def to_torch(x):
    """(N, H, W, C) as a tensor (N, C, H, W) that collects gradients."""
    return torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)


def to_numpy(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def padded(x, geometry, value=0.0, beyond=None):
    """Pad a tensor with `value`, and by what the last windows reach beyond the padding in ceil mode with `beyond`."""
    (top, bottom), (left, right) = geometry.padding
    x = F.pad(x, (left, right, top, bottom), value=value)
    more = []
    for axis in (0, 1):
        span = (geometry.size[axis] - 1) * geometry.dilation[axis] + 1
        more.append(max((geometry.output[axis] - 1) * geometry.stride[axis] + span - x.shape[2 + axis], 0))
    return F.pad(x, (0, more[1], 0, more[0]), value=value if beyond is None else beyond)


def window_sums(x, geometry):
    """Return the sum of each window of a padded tensor."""
    ones = torch.ones((x.shape[1], 1, *geometry.size), dtype=x.dtype)
    return F.conv2d(x, ones, stride=geometry.stride, dilation=geometry.dilation, groups=x.shape[1])


def check_convolution(x, w, b, geometry, y, gradients, groups=1):
    """Compare y and (dx, dw, db) for the drawn dy with PyTorch; `w` is (KH, KW, C_in / groups, C_out)."""
    tx, tb = to_torch(x), torch.tensor(b, requires_grad=True)
    tw = torch.tensor(w.transpose(3, 2, 0, 1).copy(), requires_grad=True)
    ty = F.conv2d(padded(tx, geometry), tw, tb, stride=geometry.stride, dilation=geometry.dilation, groups=groups)
    assert_equal_arrays(y, to_numpy(ty), y.dtype)
    dy, (dx, dw, db) = gradients
    ty.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    assert_equal_arrays(dx, to_numpy(tx.grad), y.dtype)
    assert_equal_arrays(dw, tw.grad.numpy().transpose(2, 3, 1, 0), y.dtype)
    assert_equal_arrays(db, tb.grad.numpy(), y.dtype)


@pytest.mark.parametrize("seed", range(1000, 1220))
def test_conv2d(seed):
    x, w, b, options = conv2d_configuration(seed)
    if len(x) == 0:
        x = np.ones((1, *x.shape[1:]))
    geometry = functional.window_geometry(x.shape[1:3], w.shape[:2], **options)
    y = functional.conv2d(x, w, b, **options)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    gradients = dy, functional.conv2d_backward(dy, x, w, **options)
    check_convolution(x, w, b, geometry, y, gradients)


@pytest.mark.parametrize("seed", range(2000, 2220))
def test_conv2d_in_groups(seed):
    x, w, b, options = conv2d_configuration(seed, grouped=True)
    if len(x) == 0:
        x = np.ones((1, *x.shape[1:]))
    y = functional.conv2d(x, w, b, **options)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    gradients = dy, functional.conv2d_backward(dy, x, w, **options)
    groups = options.pop("groups")
    geometry = functional.window_geometry(x.shape[1:3], w.shape[:2], **options)
    check_convolution(x, w, b, geometry, y, gradients, groups)


@pytest.mark.parametrize(
    ("kernel", "algorithm"),
    [*(((KH, KW), "toom_cook") for KH, KW in [(3, 3), (5, 5), (7, 7), (2, 3)]), ((3, 3), "toom_cook_2d")],
)
@pytest.mark.parametrize("seed", range(1000, 1030))
def test_conv2d_by_toom_cook(seed, kernel, algorithm):
    x, w, b, _ = conv2d_configuration(seed)
    rng = np.random.default_rng(seed)
    if len(x) == 0:
        x = np.ones((1, *x.shape[1:]))
    x, b = (array.astype(np.float32) for array in (x, b))
    w = rng.standard_normal((*kernel, *w.shape[2:])).astype(np.float32)
    y = functional.conv2d(x, w, b, algorithm=algorithm)
    dy = (0.5 + rng.standard_normal(y.shape)).astype(np.float32)
    gradients = functional.conv2d_backward(dy, x, w, algorithm=algorithm)
    exact = [array.astype(np.float64) for array in (x, w, b)]
    geometry = functional.window_geometry(x.shape[1:3], kernel)
    check_convolution(*exact, geometry, y, (dy.astype(np.float64), gradients))


@pytest.mark.parametrize("algorithm", ["im2col", "auto"])
@pytest.mark.parametrize("seed", range(1000, 1220))
def test_conv1d(seed, algorithm):
    x, w, b, options = conv1d_configuration(seed)
    if len(x) == 0:
        x = np.ones((1, *x.shape[1:]))
    geometry = line_geometry(x.shape[1:3], len(w), **options)
    dtype = np.float64 if algorithm == "im2col" else np.float32
    typed = [array.astype(dtype) for array in (x, w, b)]
    y = functional.conv1d(*typed, algorithm=algorithm, **options)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    dx, dw, db = functional.conv1d_backward(dy, *typed[:2], algorithm=algorithm, **options)
    axis = 1 if options["axis"] == "height" else 0
    # PyTorch computes the truth in float64 from the numbers that npcnn was given.
    exact = [array.astype(np.float64) for array in typed]
    check_convolution(
        exact[0], np.expand_dims(exact[1], axis), exact[2], geometry, y,
        (dy.astype(np.float64), (dx, np.expand_dims(dw, axis), db)),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(1000, 1220))
def test_max_pool2d(seed):
    x, size, options = pool_configuration(seed)
    if len(x) == 0:
        x = np.ones((1, *x.shape[1:]))
    geometry = pool_geometry(x.shape[1:3], size, **options)
    y, argmax = functional.max_pool2d(x, size, **options)
    tx = to_torch(x)
    ty = F.max_pool2d(padded(tx, geometry, -np.inf), geometry.size, geometry.stride, dilation=geometry.dilation)
    np.testing.assert_array_equal(y, to_numpy(ty))
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    ty.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    dx = functional.max_pool2d_backward(dy, argmax, x.shape, size=size, **options)
    # Drawn from seven whole numbers, nearly every window has a tie: PyTorch, too, takes the first.
    assert_equal_arrays(dx, to_numpy(tx.grad), np.float64)


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("seed", range(1000, 1220))
def test_avg_pool2d(seed, count_include_pad):
    # PyTorch's mean has no dilation: the sums are those of a convolution by ones.
    x, size, options = pool_configuration(seed)
    if len(x) == 0:
        x = np.ones((1, *x.shape[1:]))
    geometry = pool_geometry(x.shape[1:3], size, **options)
    y = functional.avg_pool2d(x, size, count_include_pad=count_include_pad, **options)
    tx = to_torch(x)
    counted = padded(torch.ones_like(tx), geometry, float(count_include_pad), beyond=0.0)
    ty = window_sums(padded(tx, geometry), geometry) / window_sums(counted, geometry)
    assert_equal_arrays(y, to_numpy(ty), np.float64)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    ty.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    dx = functional.avg_pool2d_backward(dy, x.shape, size=size, count_include_pad=count_include_pad, **options)
    assert_equal_arrays(dx, to_numpy(tx.grad), np.float64)


def test_softmax_cross_entropy(rng):
    logits, labels = 5 * rng.standard_normal((40, 10)), rng.integers(0, 10, 40)
    loss, dlogits = functional.softmax_cross_entropy(logits, labels)
    tensor = torch.tensor(logits, requires_grad=True)
    expected = F.cross_entropy(tensor, torch.tensor(labels))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(dlogits, tensor.grad.numpy(), rtol=0, atol=1e-15)
