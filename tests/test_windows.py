"""Where windows lie: padding worked by hand, and against the padding rule in another form."""

import itertools

import pytest
from second_opinions import tensorflow_same

from npcnn.functional import window_geometry
from npcnn.reference.windows import axis_windows


def by_definition(length, size, stride, dilation):
    """Return (before, after), windows."""
    windows = axis_windows(length, size, stride=stride, padding="same", dilation=dilation)
    return (windows.before, windows.after), windows.output_length


def along_the_height(length, size, stride, dilation):
    geometry = window_geometry((length, 1), (size, 1), stride=(stride, 1), dilation=(dilation, 1))
    return geometry.padding[0], geometry.output[0]


def along_the_width(length, size, stride, dilation):
    geometry = window_geometry((1, length), (1, size), stride=(1, stride), dilation=(1, dilation))
    return geometry.padding[1], geometry.output[1]


each_way = pytest.mark.parametrize("same", [by_definition, along_the_height, along_the_width])


@each_way
@pytest.mark.parametrize(
    ("length", "size", "stride", "dilation", "padding", "windows"),
    [
        (5, 3, 1, 1, (1, 1), 5),
        (4, 2, 1, 1, (0, 1), 4),  # even kernel: the odd pixel goes after
        (4, 3, 2, 1, (0, 1), 2),
        (5, 3, 2, 1, (1, 1), 3),
        (24, 3, 2, 1, (0, 1), 12),
        (6, 1, 3, 1, (0, 0), 2),  # stride beyond the kernel: never negative
        (7, 3, 1, 2, (2, 2), 7),
        (1, 5, 1, 1, (2, 2), 1),
        (1, 4, 2, 1, (1, 2), 1),
        (2, 7, 3, 1, (2, 3), 1),
    ],
)
def test_same_padding_worked_by_hand(length, size, stride, dilation, padding, windows, same):
    assert same(length, size, stride, dilation) == (padding, windows)


@each_way
def test_same_padding_is_tensorflows(same):
    for length, size, stride, dilation in itertools.product(range(1, 12), range(1, 8), range(1, 5), range(1, 4)):
        padding = tensorflow_same(length, size, stride, dilation)
        assert same(length, size, stride, dilation) == (padding, -(-length // stride))
