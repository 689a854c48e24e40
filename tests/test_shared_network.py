"""One network, several threads: every call of `forward` gets its own answer."""

import sys
import threading

import numpy as np
import pytest

import npcnn as nn


def networks():
    rng = np.random.default_rng(0)
    return {
        "relu": (nn.ReLU(), (3, 3, 2)),
        "gelu": (nn.GELU(), (3, 3, 2)),
        "softmax": (nn.Softmax(), (3, 3, 2)),
        "conv1d": (nn.Conv1D(2, 3, 3, axis="width", rng=rng), (3, 3, 2)),
        "conv2d transpose": (nn.Conv2DTranspose(2, 3, 3, activation="relu", rng=rng), (3, 3, 2)),
        "upsample": (nn.UpSample2D(2, "bilinear"), (2, 2, 2)),
        "avg_pool2d": (nn.AvgPool2D(2), (4, 4, 2)),
        "concat": (nn.Concat(nn.ReLU(), nn.MaxPool2D(1)), (3, 3, 2)),
        "convolution and max pooling": (nn.Sequential(nn.Conv2D(4, 4, 3, rng=rng), nn.MaxPool2D(2)), (4, 4, 4)),
    }


def in_another_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


@pytest.mark.parametrize("name", networks())
def test_another_thread_may_step_in_at_any_line(name):
    """The first call is halted before every line of npcnn in turn, and a second one is run in another thread there."""
    net, shape = networks()[name]
    x, other = np.random.default_rng(1).standard_normal((2, 1, *shape)).astype(np.float32)
    expected, expected_other = net.forward(x).copy(), net.forward(other).copy()
    halts = 0

    def forward_halted_at(halt):
        """Return what the two calls gave, and how many lines the first one ran."""
        lines, results = 0, []

        def trace(frame, event, argument):
            nonlocal lines
            if "npcnn" not in frame.f_code.co_filename:
                return None
            if event == "line":
                if lines == halt:
                    in_another_thread(lambda: results.append(net.forward(other)))
                lines += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            y = net.forward(x)
        finally:
            sys.settrace(before)
        return y, results, lines

    _, _, lines = forward_halted_at(None)
    assert lines > 10
    for halt in range(lines):
        y, results, _ = forward_halted_at(halt)
        for result in results:
            halts += 1
            np.testing.assert_array_equal(result, expected_other)
        np.testing.assert_array_equal(y, expected)
        del y, results
    assert halts == lines


def test_threads_that_take_turns_as_often_as_they_can():
    net = nn.Sequential(nn.ReLU(), nn.Conv1D(1, 1, 3, axis="width"), nn.ReLU(), nn.MaxPool2D(2))
    batches = np.random.default_rng(1).standard_normal((4, 1, 2, 2, 1)).astype(np.float32)
    expected = [net.forward(x).copy() for x in batches]
    wrong = []

    def run(x, y):
        for _ in range(1500):
            got = net.forward(x)
            if not np.array_equal(got, y):
                wrong.append(got)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=pair) for pair in zip(batches, expected, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_what_a_thread_holds_stays_while_another_computes(rng):
    net = nn.Conv2D(2, 3, 3, rng=rng)
    x, other = rng.standard_normal((2, 1, 5, 5, 2)).astype(np.float32)
    held = net.forward(x)
    copy = held.copy()
    in_another_thread(lambda: [net.forward(other) for _ in range(3)])
    np.testing.assert_array_equal(held, copy)
