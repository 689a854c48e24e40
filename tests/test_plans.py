"""What a call works out from shapes and options is remembered: that must not show in what it returns or refuses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import npcnn as nn
from npcnn import functional

X = np.random.default_rng(0).standard_normal((2, 6, 6, 4)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((3, 3, 4, 4)).astype(np.float32)
CALLS = {
    "conv2d": lambda **options: functional.conv2d(X, W, **options),
    "conv1d": lambda **options: functional.conv1d(X, W[0], axis="width", **options),
    "conv2d_backward": lambda **options: functional.conv2d_backward(X, X, W, **options)[1],
    "conv2d_transpose": lambda **options: functional.conv2d_transpose(X, W, **options),
    "conv2d_max_pool2d": lambda **options: functional.conv2d_max_pool2d(X, W, pooling={"size": 2, **options})[0],
    "max_pool2d": lambda **options: functional.max_pool2d(X, options.pop("size", 1), **options)[0],
    "avg_pool2d": lambda **options: functional.avg_pool2d(X, options.pop("size", 1), **options),
}
# For an option: what is right, what is right and means the same, and what is equal to it, or looks like it, but wrong.
ONE = (1, [(1, 1), [1, 1], np.int64(1), (np.int32(1), 1)], [True, 1.0, np.float32(1), (True, 1), (1, 1.0), "1", 1 + 0j])
NONE = (0, [((0, 0), (0, 0)), np.int64(0), "valid"], [False, 0.0, ((False, 0), (0, 0)), "VALID", (0.0, 0.0)])
OPTIONS = {
    "conv2d": {"stride": ONE, "dilation": ONE, "padding": NONE, "groups": (1, [np.int8(1)], [True, 1.0, (1, 1)])},
    "conv1d": {
        "stride": (1, [np.int64(1)], [True, 1.0, (1, 1)]),
        "padding": (0, [(0, 0), [0, np.int64(0)]], [False, (0, 0.0), (False, 0), "Valid"]),
    },
    "conv2d_backward": {"stride": ONE, "dilation": ONE, "padding": ("same", [1], ["SAME", b"same", True])},
    "conv2d_transpose": {"stride": ONE, "dilation": ONE, "padding": NONE, "output_padding": (0, [], [False, 0.0])},
    "conv2d_max_pool2d": {"stride": ONE, "dilation": ONE, "padding": NONE, "ceil_mode": (False, [], [0, 0.0, None])},
    "max_pool2d": {"size": ONE, "stride": ONE, "dilation": ONE, "padding": NONE, "ceil_mode": (True, [], [1, 1.0])},
    "avg_pool2d": {"size": ONE, "stride": ONE, "padding": NONE, "count_include_pad": (True, [], [1, 1.0, "True"])},
}
CASES = [(call, option, *values) for call, options in OPTIONS.items() for option, values in options.items()]


@pytest.mark.parametrize(("call", "option", "right", "alike", "wrong"), CASES)
def test_a_wrong_option_is_refused_after_a_right_one_that_equals_it(call, option, right, alike, wrong):
    first = CALLS[call](**{option: right})
    for value in alike:
        np.testing.assert_array_equal(CALLS[call](**{option: value}), first)
    for value in wrong:
        with pytest.raises((TypeError, ValueError), match=option):
            CALLS[call](**{option: value})
    np.testing.assert_array_equal(CALLS[call](**{option: right}), first)


def test_the_dtype_and_what_it_rules_out_are_told_apart():
    functional.conv2d(X, W, algorithm="toom_cook")
    with pytest.raises(ValueError, match="toom_cook"):
        functional.conv2d(X.astype(np.float64), W.astype(np.float64), algorithm="toom_cook")
    with pytest.raises(ValueError, match="algorithm must be"):
        functional.conv2d(X, W, algorithm=["toom_cook"])
    with pytest.raises(nn.DTypeError):
        functional.conv2d(X, W.astype(np.float64), algorithm="toom_cook")


def test_a_refused_shape_is_refused_again():
    for _ in range(2):
        with pytest.raises(nn.ShapeError, match="window spans 7 pixels"):
            functional.conv2d(X, np.ones((7, 7, 4, 1), np.float32), padding="valid")


def test_an_option_that_changes_its_mind_is_asked_every_time():
    class Number:
        value = 1

        def __index__(self):
            return self.value

    stride = Number()
    assert functional.conv2d(X, W, stride=stride).shape == (2, 6, 6, 4)
    stride.value = 2
    assert functional.conv2d(X, W, stride=stride).shape == (2, 3, 3, 4)


def test_one_layer_takes_pictures_of_every_size_in_turn():
    layer = nn.Sequential(nn.Conv2D(1, 2, 3, stride=2, padding=1), nn.MaxPool2D(2, ceil_mode=True))
    for _ in range(2):
        for side in range(1, 12):
            after = -(-side // 2)
            assert layer.forward(np.zeros((1, side, 7, 1), np.float32)).shape == (1, -(-after // 2), 2, 2)


def test_threads_that_use_one_function_get_their_own_answers():
    sizes = [(1 + i % 7, 1 + i % 5) for i in range(200)]

    def shape(size):
        return functional.avg_pool2d(np.ones((1, *size, 1)), 2, stride=1, padding="same").shape[1:3]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(shape, sizes)) == sizes
