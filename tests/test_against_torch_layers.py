"""The same layers in PyTorch: values and autograd's gradients, over drawn configurations.

Optional, as test_against_torch.py.  PyTorch always computes in float64, from the numbers that npcnn was given; its
normalisation takes channels first, and its momentum is the share of the new batch.
"""

import numpy as np
import pytest
from cases import assert_equal_arrays
from drawn import CHANNELS, REAL_TYPES, STEPS, Seeded

import npcnn as nn

torch = pytest.importorskip("torch")
F = torch.nn.functional

drawn = pytest.mark.parametrize("seed", range(1000, 1200))


def tensor(array):
    """Return a float64 tensor of an array, which collects a gradient."""
    return torch.tensor(array.astype(np.float64), requires_grad=True)


def channels_first(t):
    return t.movedim(-1, 1)


def channels_last(t):
    return t.movedim(1, -1)


def configuration(seed, *, smallest_batch=1):
    """Return a source of choices, and x in float32 or float64: a batch of vectors or of pictures."""
    source = Seeded(5, seed)
    pictures = [source.integer(1, 9), source.integer(1, 9)] if source.among((False, True)) else []
    shape = (source.integer(smallest_batch, 9), *pictures, source.among(CHANNELS))
    spread, offset = source.among((0.1, 1, 5)), source.among((-2, 0, 0, 3))
    x = spread * source.rng.standard_normal(shape) + offset
    return source, x.astype(source.among(REAL_TYPES))


def compare(layer, x, expected_of, source, *, steepest=1.0):
    """Hold the output and the input gradient of a layer in training to PyTorch.

    What goes into a number of dx may cancel out; it is as large as dy times the `steepest` slope.
    """
    y = layer.forward(x, training=True).copy()
    tx = tensor(x)
    ty = expected_of(tx)
    assert_equal_arrays(y, ty.detach().numpy(), x.dtype)
    dy = source.rng.standard_normal(y.shape).astype(x.dtype)
    dx = layer.backward(dy)
    ty.backward(torch.tensor(dy.astype(np.float64)))
    assert_equal_arrays(dx, tx.grad.numpy(), x.dtype, summed=steepest * np.abs(dy).max())


ACTIVATIONS = {
    "relu": lambda source: (nn.ReLU(), torch.nn.ReLU()),
    "leaky_relu": lambda source: (nn.LeakyReLU(slope := source.rng.uniform(0, 1.5)), torch.nn.LeakyReLU(slope)),
    "gelu": lambda source: (nn.GELU(), torch.nn.GELU()),
    "gelu by tanh": lambda source: (nn.GELU("tanh"), torch.nn.GELU("tanh")),
    "silu": lambda source: (nn.SiLU(), torch.nn.SiLU()),
    "sigmoid": lambda source: (nn.Sigmoid(), torch.nn.Sigmoid()),
    "tanh": lambda source: (nn.Tanh(), torch.nn.Tanh()),
    "softmax": lambda source: (nn.Softmax(), torch.nn.Softmax(-1)),
    "log_softmax": lambda source: (nn.LogSoftmax(), torch.nn.LogSoftmax(-1)),
}


@drawn
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, seed):
    source, x = configuration(seed)
    layer, peer = ACTIVATIONS[name](source)
    compare(layer, x, peer, source)


def randomly_set(layer, source):
    """Give the parameters of a layer random values, and return them as tensors."""
    for array in layer.params.values():
        array[...] = source.rng.standard_normal(array.shape)
    return {name: tensor(array) for name, array in layer.params.items()}


def compare_gradients(layer, tensors):
    """Hold the gradients of the parameters to PyTorch; they are sums of products of numbers near 1."""
    assert layer.grads.keys() == tensors.keys()
    for name, one in tensors.items():
        assert_equal_arrays(layer.grads[name], one.grad.numpy(), layer.params[name].dtype, summed=1.0)


def largest(scale):
    return 1.0 if scale is None else scale.abs().max().item()


@drawn
def test_batch_norm(seed):
    source, x = configuration(seed, smallest_batch=2)
    C, n = x.shape[-1], x[..., 0].size
    momentum, eps = source.among((0.0, 0.9, 0.99)), source.among((1e-3, 1e-5))
    scale, shift = source.among((True, True, False)), source.among((True, True, False))
    layer = nn.BatchNorm(C, momentum=momentum, eps=eps, scale=scale, shift=shift, dtype=x.dtype)
    given = randomly_set(layer, source)
    mean, variance = torch.zeros(C, dtype=torch.float64), torch.ones(C, dtype=torch.float64)

    def normalized(t, training):
        options = {"training": training, "momentum": 1 - momentum, "eps": eps}
        y = F.batch_norm(channels_first(t), mean, variance, given.get("scale"), given.get("shift"), **options)
        return channels_last(y)

    steepest = largest(given.get("scale")) / np.sqrt(x.var(tuple(range(x.ndim - 1))).min() + eps)
    compare(layer, x, lambda t: normalized(t, True), source, steepest=steepest)
    compare_gradients(layer, given)
    assert_equal_arrays(layer.state["mean"], mean.numpy(), x.dtype)
    # PyTorch has learnt the unbiased variance: its part of the batch is n / (n - 1) times as large.
    learnt = momentum + (variance.numpy() - momentum) * (n - 1) / n
    assert_equal_arrays(layer.state["variance"], learnt, x.dtype)
    variance[...] = torch.tensor(learnt)
    assert_equal_arrays(layer(x), normalized(tensor(x), False).detach().numpy(), x.dtype)


@drawn
def test_layer_norm(seed):
    source, x = configuration(seed)
    C, eps = x.shape[-1], source.among((1e-3, 1e-5))
    scale, shift = source.among((True, True, False)), source.among((True, True, False))
    layer = nn.LayerNorm(C, eps=eps, scale=scale, shift=shift, dtype=x.dtype)
    given = randomly_set(layer, source)
    steepest = largest(given.get("scale")) / np.sqrt(x.var(-1).min() + eps)

    def normalized(t):
        return F.layer_norm(t, (C,), given.get("scale"), given.get("shift"), eps)

    compare(layer, x, normalized, source, steepest=steepest)
    compare_gradients(layer, given)


class Branch:
    """A convolution of npcnn with odd kernels and SAME padding, and the same one in PyTorch."""

    def __init__(self, source, x, channels, stride, kernel):
        options = {"stride": stride, "padding": kernel // 2, "dtype": x.dtype, "algorithm": "im2col"}
        self.layer = nn.Conv2D(x.shape[-1], channels, kernel, rng=source.rng, **options)
        self.options = {"stride": stride, "padding": kernel // 2}

    def __call__(self, t, params):
        y = F.conv2d(channels_first(t), params["w"].permute(3, 2, 0, 1).contiguous(), params["b"], **self.options)
        return channels_last(y)


def check_sum(layer, branches, x, source):
    """Hold an Add or a Residual to the sum of what `branches` give: by name a Branch, or None for the input itself."""
    given = randomly_set(layer, source)

    def total(t):
        outputs = []
        for name, branch in branches.items():
            params = {key: given[f"{name}.{key}"] for key in "wb"} if branch else None
            outputs.append(branch(t, params) if branch else t)
        return sum(outputs)

    compare(layer, x, total, source)
    compare_gradients(layer, given)


def picture_configuration(seed):
    """Return a source of choices and pictures x."""
    source = Seeded(6, seed)
    shape = (source.integer(1, 4), source.integer(1, 9), source.integer(1, 9), source.among((1, 2, 3, 5, 8)))
    return source, source.rng.standard_normal(shape).astype(source.among(REAL_TYPES))


@drawn
def test_residual(seed):
    source, x = picture_configuration(seed)
    with_shortcut = source.among((False, True))
    channels = source.among((1, 3, 8, 17)) if with_shortcut else x.shape[-1]
    stride = source.among(STEPS) if with_shortcut else 1
    branch = Branch(source, x, channels, stride, source.among((1, 3, 5)))
    shortcut = Branch(source, x, channels, stride, 1) if with_shortcut else None
    layer = nn.Residual(branch.layer, shortcut.layer if shortcut else None)
    check_sum(layer, {"branch": branch, "shortcut": shortcut}, x, source)


@drawn
def test_add(seed):
    source, x = picture_configuration(seed)
    channels, stride = source.among((1, 3, 8, 17)), source.among(STEPS)
    branches = [Branch(source, x, channels, stride, source.among((1, 3, 5))) for _ in range(source.integer(1, 4))]
    layer = nn.Add(*(branch.layer for branch in branches))
    check_sum(layer, dict(zip(layer.children, branches, strict=True)), x, source)
