"""Where windows lie: padding worked by hand, and against the padding rule in another form."""

import itertools

import numpy as np
import pytest
from second_opinions import tensorflow_same

from npcnn.reference.windows import axis_windows


@pytest.mark.parametrize(
    ("length", "size", "stride", "dilation", "expected"),
    [
        (5, 3, 1, 1, (1, 1, 5)),
        (4, 2, 1, 1, (0, 1, 4)),  # even kernel: the odd pixel goes after
        (4, 3, 2, 1, (0, 1, 2)),
        (5, 3, 2, 1, (1, 1, 3)),
        (24, 3, 2, 1, (0, 1, 12)),
        (6, 1, 3, 1, (0, 0, 2)),  # stride beyond the kernel: never negative
        (7, 3, 1, 2, (2, 2, 7)),
        (1, 5, 1, 1, (2, 2, 1)),
        (1, 4, 2, 1, (1, 2, 1)),
        (2, 7, 3, 1, (2, 3, 1)),
    ],
)
def test_same_padding_worked_by_hand(length, size, stride, dilation, expected):
    windows = axis_windows(length, size, stride=stride, padding="same", dilation=dilation)
    assert (windows.before, windows.after, windows.output_length) == expected


def test_same_padding_is_tensorflows():
    for length, size, stride, dilation in itertools.product(range(1, 12), range(1, 8), range(1, 5), range(1, 4)):
        windows = axis_windows(length, size, stride=stride, padding="same", dilation=dilation)
        assert (windows.before, windows.after) == tensorflow_same(length, size, stride, dilation)
        assert windows.output_length == int(np.ceil(length / stride))
