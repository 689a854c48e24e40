"""Networks of convolutions and poolings for the tests of the explorer, and their pages."""

import numpy as np

import npcnn as nn
from npcnn.explain import picture


def separable():
    return nn.models.cifar_separable(rng=np.random.default_rng(0))


def odd_layers():
    """Every kind of layer, with windows that are not the usual ones."""
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2D(2, 4, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), dilation=(1, 2), activation="relu", rng=rng),
        nn.Concat(
            nn.Conv2D(4, 3, 1, bias=False, rng=rng),
            nn.Sequential(nn.Conv1D(4, 2, 3, axis="width", rng=rng), nn.ReLU()),
            nn.SpatiallySeparableConv2D(4, 2, 3, middle_activation=None, rng=rng),
        ),
        nn.MaxPool2D(3, stride=2, padding="same"),
        nn.AvgPool2D(2, stride=1, padding="same", count_include_pad=True),
        nn.AvgPool2D(2, stride=1, padding="same"),
        nn.Dropout(0.5, rng=rng),
        nn.Flatten(),
        nn.Dense(3 * 5 * 7, 6, rng=rng),
    )


def poolings():
    """Windows whose taps lie apart, and windows that reach beyond the padding."""
    return nn.Sequential(
        nn.MaxPool2D(2, stride=(2, 1), dilation=(3, 2), ceil_mode=True),
        nn.AvgPool2D(3, stride=2, padding=((1, 0), (0, 1)), count_include_pad=True, ceil_mode=True),
        nn.AvgPool2D(2, dilation=(1, 2), ceil_mode=True),
        nn.Flatten(),
        nn.Dense(3 * 2 * 2, 3, rng=np.random.default_rng(1)),
    )


def groups():
    """Blocks of channels, single channels, and the pair of a depthwise and a pointwise convolution."""
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2D(4, 6, (3, 2), stride=(2, 1), groups=2, activation="relu", rng=rng),
        nn.Conv1D(6, 6, 3, axis="width", groups=3, rng=rng),
        nn.DepthwiseConv2D(6, 3, 2, activation="relu", rng=rng),
        nn.DepthwiseSeparableConv2D(12, 5, 3, multiplier=2, activation="relu", rng=rng),
        nn.DepthwiseSeparableConv2D(5, 4, 3, rng=rng),
        nn.GlobalAvgPool2D(),
    )


NETS = {
    "separable": (separable, (24, 24, 3)),
    "odd layers": (odd_layers, (13, 9, 2)),
    "poolings": (poolings, (17, 14, 2)),
    "groups": (groups, (7, 6, 4)),
}


def explained(name):
    make, shape = NETS[name]
    return picture(make(), np.random.default_rng(2).standard_normal(shape).astype(np.float32))
