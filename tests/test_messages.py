"""A message shows what came, however large it is, in a length that can be read."""

from fractions import Fraction

import numpy as np
import pytest

import npcnn as nn
from npcnn import functional as F

HUGE = 10**5000  # Python refuses to print it, with an error of its own
LONG = "a" * 100_000
X, W = np.zeros((1, 6, 6, 3), np.float32), np.zeros((3, 3, 3, 4), np.float32)
DENSE = nn.Dense(2, 2)

CASES = [
    *[
        call
        for value in (HUGE, -HUGE, LONG, [HUGE], (HUGE, HUGE), (1, HUGE))
        for call in (
            lambda value=value: nn.Dense(value, 1),
            lambda value=value: nn.Conv2D(3, value, 3),
            lambda value=value: nn.Conv2D(3, 4, value),
            lambda value=value: nn.Conv2D(3, 4, 3, padding=value),
            lambda value=value: nn.Conv2D(3, 4, 3, stride=value),
            lambda value=value: nn.Conv2D(4, 4, 3, groups=value),
            lambda value=value: nn.DepthwiseConv2D(value, 3),
            lambda value=value: F.conv2d(X, W, groups=value),
            lambda value=value: nn.MaxPool2D(value),
            lambda value=value: F.conv2d(X, W, padding=value),
            lambda value=value: F.conv1d(X, W[0], axis="width", padding=value),
            lambda value=value: nn.Conv2DTranspose(3, 4, 3, output_padding=value),
            lambda value=value: F.conv2d_transpose(X, W.swapaxes(2, 3), stride=value),
            lambda value=value: nn.UpSample2D(value),
            lambda value=value: nn.UpSample2D(2, mode=value),
            lambda value=value: nn.ZeroPad2D(value),
            lambda value=value: nn.MaxPool2D(2, dilation=value),
            lambda value=value: nn.MaxPool2D(2, ceil_mode=value),
            lambda value=value: nn.Dropout(value),
            lambda value=value: nn.LeakyReLU(value),
            lambda value=value: nn.GELU(value),
            lambda value=value: nn.Adam(DENSE, lr=value),
            lambda value=value: nn.Adam(DENSE, groups={"*": {"lr_factor": value}}),
            lambda value=value: nn.Adam(DENSE, groups={"*": {value if isinstance(value, str) else "no": 1}}),
            lambda value=value: nn.Adam(DENSE, groups={value if isinstance(value, str) else "no": {}}),
            lambda value=value: nn.Adam(DENSE, clip_norm=[value]),
            lambda value=value: nn.schedules.PiecewiseLinear([value]),
            lambda value=value: nn.schedules.Warmup([value], 1),
            lambda value=value: nn.schedules.Step(value, [1]),
            lambda value=value: nn.schedules.Step(0.1, [value]),
            lambda value=value: nn.initializers.constant(value),
            lambda value=value: nn.set_num_threads(value),
            lambda value=value: nn.evaluation.confusion_matrix(np.array([0]), np.array([0]), value),
            lambda value=value: nn.train.fit(None, iter([]), None, steps=value),
            lambda value=value: nn.summary.table(nn.Sequential(nn.Conv2D(3, 4, 3)), (value, 6, 3)),
            lambda value=value: nn.AvgPool2D(2, count_include_pad=value),
            lambda value=value: F.conv2d(X, W, algorithm=value),
            lambda value=value: F.conv1d(X, W[0], axis=value),
            lambda value=value: nn.Dense(2, 2, dtype=value),
            lambda value=value: nn.Dense(2, 2, rng=value),
            lambda value=value: nn.Dense(2, 2, weight_init=value),
            lambda value=value: nn.Sequential(value),
            lambda value=value: DENSE.params.update({value if isinstance(value, str) else "no": np.zeros(1)}),
            lambda value=value: F.max_pool2d(X, 2, out=value),
            lambda value=value: nn.datasets.steps.crop((value, value, value)),
            lambda value=value: nn.datasets.steps.random_crop(3, padding=value),
            lambda value=value: nn.datasets.steps.random_crop(3, mode=value),
            lambda value=value: nn.datasets.steps.brightness(value),
            lambda value=value: nn.datasets.steps.standardise(value, value),
            lambda value=value: nn.datasets.steps.mirror()(X, value),
            lambda value=value: nn.datasets.steps.from_description([{"step": value}]),
            lambda value=value: nn.datasets.steps.from_description([{"step": "crop", "size": (value, value, value)}]),
            lambda value=value: nn.datasets.steps.describe([value]),
            lambda value=value: nn.datasets.from_arrays(X, [value], X, [0]),
            lambda value=value: nn.datasets.from_arrays(X, [0], X, [0], classes=(value, 3)),
            lambda value=value: nn.datasets.from_arrays(X, [0], X, [0], steps=[value]),
            lambda value=value: nn.datasets.from_folder("no folder", size=(value, value, value)),
            lambda value=value: nn.datasets.from_folder("no folder", channels=value),
            lambda value=value: nn.datasets.from_folder("no folder", unreadable=value),
            lambda value=value: nn.datasets.TrainingBatches(X, [0], batch_size=1, pipeline=value),
            lambda value=value: nn.datasets.load(value),
            lambda value=value: nn.datasets.cifar100(labels=value),
        )
    ],
    lambda: nn.Adam(DENSE, beta1=Fraction(HUGE)),
    lambda: nn.Conv2D(3, 4, 3, stride=[1] * 100_000),
]


@pytest.mark.parametrize("call", CASES)
def test_a_message_is_short_whatever_came(call):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert len(str(caught.value)) < 400
    assert "integer string conversion" not in str(caught.value)
