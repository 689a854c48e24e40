"""Too little memory: a MemoryError, after which the library computes on as if nothing had been.

It is tried in a child process, which gives itself a limit just above what it has.
"""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is enforced by Linux")

PROLOGUE = """
import resource
import numpy as np
import npcnn as nn
from npcnn import functional as F

x = np.random.default_rng(0).standard_normal((4, 12, 12, 16)).astype(np.float32)
w = np.random.default_rng(1).standard_normal((5, 5, 16, 16)).astype(np.float32)
w1 = w[0].copy()
depthwise, doubled = w[:, :, :1].copy(), np.ones((3, 3, 1, 32), np.float32)

def once():
    "Every kind of kernel, forward and backward; the threads are started by the first."
    results = []
    for algorithm in ("im2col", "toom_cook", "toom_cook_2d"):
        taps = w[:3, :3] if algorithm == "toom_cook_2d" else w
        y = F.conv2d(x, taps, algorithm=algorithm)
        results += [y, *F.conv2d_backward(y, x, taps, algorithm=algorithm)]
        if algorithm == "toom_cook_2d":
            continue
        for axis in ("height", "width"):
            y = F.conv1d(x, w1, axis=axis, algorithm=algorithm)
            results += [y, *F.conv1d_backward(y, x, w1, axis=axis, algorithm=algorithm)]
    for weights in (depthwise, doubled):
        y = F.conv2d(x, weights, groups=16, relu=True)
        results += [y, *F.conv2d_backward(y, x, weights, groups=16, relu_output=y)]
    y, argmax = F.max_pool2d(x, 2)
    return [*results, y, F.max_pool2d_backward(y, argmax, x.shape, size=2), F.avg_pool2d(x, 3), F.relu(x)]

before = once()

def limit(megabytes):
    "From here on there is that much more memory than now."
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))

def refused(call):
    try:
        call()
    except MemoryError as error:
        assert str(error), "it says nothing"
    else:
        raise SystemExit("was not refused")

def after():
    "The same bits as before, within the limit."
    for a, b in zip(before, once(), strict=True):
        np.testing.assert_array_equal(a, b)
    print("unharmed")
"""

# Each needs more than the 64 MB that are left: the first four in the result, the others in the kernel's workspace,
# which is as large as the padded picture where the result is small.
CALLS = {
    "result of conv2d": "F.conv2d(x, w, padding=2000)",
    "result of conv1d": "F.conv1d(x, w1, axis='width', padding=100_000)",
    "result of max_pool2d": "F.max_pool2d(np.broadcast_to(x[:1], (4000, 12, 12, 16)), 2)",
    "result of relu": "F.relu(np.broadcast_to(x, (1000, *x.shape)))",
    "workspace of conv2d": "F.conv2d(x[:1], w, padding=((0, 0), (2**23, 2**23)), stride=(1, 2**23))",
    "workspace of conv2d_backward": (
        "F.conv2d_backward(np.ones((1, 1, 3, 16), 'f4'), x[:1, :1], w, padding=((2, 2), (2**20, 2**20 - 4)), "
        "stride=(1, 2**20))"
    ),
    "workspace of toom_cook": "F.conv2d(xl, wl, algorithm='toom_cook', out=yl)",
    "workspace of toom_cook_backward": "F.conv2d_backward(yl, xl, wl, algorithm='toom_cook', out=(dxl, dwl, dbl))",
    "workspace of conv1d_backward": (
        "F.conv1d_backward(yl, xl, wl1, axis='width', algorithm='im2col', out=(dxl, dwl1, dbl))"
    ),
    "workspace of a depthwise conv2d_backward": (
        "F.conv2d_backward(yl, xl, depthwise, groups=16, relu_output=yl, out=(dxl, depthwise.copy(), dbl))"
    ),
    "channels repeated for a multiplier": "F.conv2d(xl, doubled, groups=16, padding='valid', stride=512)",
    "parameters of a layer": "nn.Dense(10_000, 10_000)",
    "output of a layer": "layer.forward(xl)",
}
# Pictures and results of 64 MB each, made before the limit.
LARGE = """
xl = np.zeros((1, 1024, 1024, 16), np.float32)
wl, wl1 = np.zeros((5, 1, 16, 16), np.float32), np.zeros((5, 16, 16), np.float32)
yl, dxl, dwl, dwl1, dbl = (np.zeros_like(array) for array in (xl, xl, wl, wl1, wl[0, 0, 0]))
layer = nn.Conv2D(16, 32, 3, rng=np.random.default_rng(0))
"""


def run(program):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=1800, env=environment
    )


@pytest.mark.parametrize("name", CALLS)
def test_out_of_memory_is_an_error_and_leaves_everything_usable(name):
    done = run(f"{PROLOGUE}{LARGE}limit(48)\nrefused(lambda: {CALLS[name]})\nafter()\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "unharmed\n"
