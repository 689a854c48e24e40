"""Every gradient of the library under `npcnn.gradcheck`, in float64: operations below 1e-7, the net below 1e-6."""

import numpy as np
import pytest
from drawn import conv1d_configuration, conv2d_configuration, pool_configuration
from test_layers import LAYERS

import npcnn as nn
from npcnn import functional as F


def small(configuration, seed):
    """Return the first configuration from this seed on whose arrays have 1 to 400 numbers."""
    while True:
        drawn = configuration(seed)
        if all(0 < array.size < 400 for array in drawn if isinstance(array, np.ndarray)):
            return drawn
        seed += 1000


@pytest.mark.parametrize("seed", range(40))
def test_conv2d(seed):
    x, w, b, options = small(conv2d_configuration, seed)
    report = nn.gradcheck(
        lambda x, w, b: F.conv2d(x, w, b, **options),
        x,
        w,
        b,
        backward=lambda dy, x, w, b: F.conv2d_backward(dy, x, w, **options),
        tolerance=1e-7,
        max_elements=40,
    )
    assert report.ok, report


@pytest.mark.parametrize("seed", range(40))
def test_conv1d(seed):
    x, w, b, options = small(conv1d_configuration, seed)
    report = nn.gradcheck(
        lambda x, w, b: F.conv1d(x, w, b, **options),
        x,
        w,
        b,
        backward=lambda dy, x, w, b: F.conv1d_backward(dy, x, w, **options),
        tolerance=1e-7,
        max_elements=40,
    )
    assert report.ok, report


@pytest.mark.parametrize("seed", range(40))
def test_pooling(seed, rng):
    x, size, options = small(pool_configuration, seed)
    x = rng.permutation(x.size).reshape(x.shape).astype(float)  # no two alike: no tie
    report = nn.gradcheck(
        lambda x: F.max_pool2d(x, size, **options),
        x,
        backward=lambda dy, x: F.max_pool2d_backward(
            dy, F.max_pool2d(x, size, **options)[1], x.shape, size=size, **options
        ),
        tolerance=1e-7,
        max_elements=60,
    )
    assert report.ok, report
    for count_include_pad in (False, True):
        pooling = options | {"count_include_pad": count_include_pad}
        report = nn.gradcheck(
            lambda x, pooling=pooling: F.avg_pool2d(x, size, **pooling),
            x,
            backward=lambda dy, x, pooling=pooling: F.avg_pool2d_backward(dy, x.shape, size=size, **pooling),
            tolerance=1e-7,
            max_elements=60,
        )
        assert report.ok, report


def test_relu_and_cross_entropy(rng):
    x = rng.standard_normal((4, 5))
    report = nn.gradcheck(F.relu, x, backward=lambda dy, x: F.relu_backward(dy, F.relu(x)), tolerance=1e-7)
    assert report.ok, report
    labels = rng.integers(0, 5, 4)
    report = nn.gradcheck(
        lambda x: np.array(F.softmax_cross_entropy(x, labels)[0]),
        x,
        backward=lambda dy, x: dy * F.softmax_cross_entropy(x, labels)[1],
        tolerance=1e-7,
    )
    assert report.ok, report


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_layers(make, shape, rng):
    report = nn.gradcheck(make(), rng.standard_normal((2, *shape)), tolerance=1e-7, max_elements=60)
    assert report.ok, report


@pytest.mark.parametrize("model", nn.models.MODELS)
def test_networks(model, rng):
    net = nn.models.MODELS[model](rng=rng, dtype=np.float64)
    x = rng.standard_normal((1, 24, 24, 3))
    report = nn.gradcheck(net, x, tolerance=1e-6, max_elements=12 if model == "separable" else 3)
    assert report.ok, report
