"""Time every operation and pass of the networks in `npcnn.models` against what the machine can do.

Convolutions: GFLOP/s, two operations for every multiplication of the *definition* (padding included), and the share of
the multiply-add peak, measured in the same run.  An algorithm that multiplies less can pass 100 %.  Pooling, ReLU,
depthwise convolution and Adam: the bytes that have to be read and written, and how fast that is beside a plain copy of
as many bytes.  The first convolution with the max pooling after it: one after the other, and in one go.

    python benchmarks/ops.py [--batch 128] [--threads 2] [--rounds 9] [--json FILE]

NPCNN_ISA chooses the instruction set, and so the peak.
"""

import argparse
from pathlib import Path

import numpy as np
from machine import load_machine_c, median_milliseconds, versions, write_json

import npcnn as nn
from npcnn import functional as F

# Name, picture, channels in and out, kernel.
CONVOLUTIONS = (
    ("first, 5 x 5", 24, 3, 64, (5, 5)),
    ("5 x 1", 12, 64, 64, (5, 1)),
    ("1 x 5", 12, 64, 64, (1, 5)),
    ("5 x 5", 12, 64, 64, (5, 5)),
    ("3 x 3", 12, 64, 64, (3, 3)),
    ("7 x 7", 12, 64, 64, (7, 7)),
    ("1 x 1", 12, 64, 64, (1, 1)),
    ("last, 5 x 5", 6, 64, 10, (5, 5)),
    # Those of airbench94, and as large pictures with other channels.
    ("3 x 3, 31, 24-64", 31, 24, 64, (3, 3)),
    ("3 x 3, 31, 64-64", 31, 64, 64, (3, 3)),
    ("3 x 3, 15, 64-64", 15, 64, 64, (3, 3)),
    ("3 x 3, 15, 64-256", 15, 64, 256, (3, 3)),
    ("3 x 3, 15, 256-256", 15, 256, 256, (3, 3)),
    ("3 x 3, 7, 256-256", 7, 256, 256, (3, 3)),
    ("3 x 3, 3, 256-256", 3, 256, 256, (3, 3)),
)
PEAK_ROUNDS = 200_000


def convolution_calls(batch, size, c_in, c_out, kernel, algorithm, rng):
    """Return {pass: function} of one convolution: forward, and backward without and with the input gradient."""
    x = rng.standard_normal((batch, size, size, c_in)).astype(np.float32)
    w = (0.1 * rng.standard_normal((*kernel, c_in, c_out))).astype(np.float32)
    b = np.full(c_out, 0.1, np.float32)
    options = {"algorithm": algorithm}
    forward, backward = F.conv2d, F.conv2d_backward
    if 1 in kernel and kernel != (1, 1):
        options["axis"] = "height" if kernel[1] == 1 else "width"
        w, forward, backward = w.reshape(-1, c_in, c_out), F.conv1d, F.conv1d_backward
    y = forward(x, w, b, **options)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
    return {
        "forward": lambda: forward(x, w, b, relu=True, out=y, **options),
        "dw": lambda: backward(dy, x, w, need_dx=False, out=(None, dw, db), **options),
        "dx": lambda: backward(dy, x, w, out=(dx, dw, db), **options),
    }


def moving_calls(batch, rng):
    """Return {name: (function, bytes read and written)} of the operations that compute next to nothing."""

    def array(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    calls = {}
    x = array(batch, 24, 24, 64)
    y, argmax = F.max_pool2d(x, 2)
    dx = np.empty_like(x)
    shape = x.shape
    calls["max pool 2 x 2, forward"] = (
        lambda: F.max_pool2d(x, 2, out=(y, argmax)),
        x.nbytes + y.nbytes + argmax.nbytes,
    )
    calls["max pool 2 x 2, backward"] = (
        lambda: F.max_pool2d_backward(y, argmax, shape, size=2, out=dx),
        x.nbytes + y.nbytes + argmax.nbytes,
    )
    calls["average pool 2 x 2, forward"] = lambda: F.avg_pool2d(x, 2, out=y), x.nbytes + y.nbytes
    calls["average pool 2 x 2, backward"] = (
        lambda: F.avg_pool2d_backward(y, shape, size=2, out=dx),
        x.nbytes + y.nbytes,
    )
    calls["ReLU, forward"] = lambda: F.relu(x, out=dx), 2 * x.nbytes
    z = np.empty_like(x)
    w, b = array(3, 3, 1, 64), array(64)
    gradients = (dx, np.empty_like(w), np.empty_like(b))
    calls["depthwise 3 x 3, forward"] = lambda: F.conv2d(x, w, b, groups=64, out=z), 2 * x.nbytes
    calls["depthwise 3 x 3, backward"] = (
        lambda: F.conv2d_backward(z, x, w, groups=64, out=gradients),
        3 * x.nbytes,
    )
    calls["ReLU, backward"] = lambda: F.relu_backward(x, dx, out=z), 3 * x.nbytes
    p, grad, m, v = (array(x.size) for _ in range(4))
    np.abs(v, out=v)
    calls["Adam"] = lambda: F.adam_step(p, grad, m, v, step_size=1e-4, beta1=0.9, beta2=0.999, eps=1e-8), 7 * x.nbytes
    return calls


def measure_convolutions(machine, options, rng):
    """Return rows (name, algorithm, pass, ms, GFLOP/s, share of the peak)."""
    rows = []
    for name, size, c_in, c_out, kernel in CONVOLUTIONS:
        algorithms = ["im2col"] if kernel == (1, 1) else ["im2col", "toom_cook"]
        algorithms += ["toom_cook_2d"] if kernel == (3, 3) else []
        calls = {"peak": lambda: machine.multiply_add(PEAK_ROUNDS, options.threads)}
        for algorithm in algorithms:
            passes = convolution_calls(options.batch, size, c_in, c_out, kernel, algorithm, rng)
            calls |= {(algorithm, name): call for name, call in passes.items()}
        ms = median_milliseconds(calls, options.rounds)
        peak = machine.multiply_add(PEAK_ROUNDS, options.threads) / ms["peak"] / 1e6
        gflop = 2e-9 * options.batch * size * size * kernel[0] * kernel[1] * c_in * c_out
        for algorithm in algorithms:
            ms[algorithm, "dx"] -= ms[algorithm, "dw"]
            for one in ("forward", "dw", "dx"):
                rate = gflop / ms[algorithm, one] * 1e3
                rows.append((name, algorithm, one, ms[algorithm, one], rate, rate / peak))
    return rows, peak


def measure_moving(machine, options, rng):
    """Return rows (name, ms, GB/s, share of a copy of as many bytes)."""
    rows = []
    # Four batches at a time: more than the caches hold, as in a training step, where each operation finds its
    # input pushed out by all that ran since it was written.
    moving = moving_calls(4 * options.batch, rng)
    # Written to, since memory that never was is a single page of zeros, which stays in the cache.
    room = np.ones(max(size for _, size in moving.values()), np.uint8)
    for name, (call, size) in moving.items():
        half = size // 2

        def copy(half=half):
            machine.copy(room.ctypes.data + half, room.ctypes.data, half, options.threads)

        ms = median_milliseconds({"copy": copy, "op": call}, options.rounds)
        rows.append((name, ms["op"], size / ms["op"] / 1e6, ms["copy"] / ms["op"]))
    return rows


def pair_calls(batch, rng):
    """Return {(pass, way): function} of the first convolution, ReLU and max pooling, to equal results."""
    x = rng.standard_normal((batch, 24, 24, 3)).astype(np.float32)
    w = (0.1 * rng.standard_normal((5, 5, 3, 64))).astype(np.float32)
    b, pooling = np.full(64, 0.1, np.float32), {"size": 2, "padding": "same"}
    convolved = F.conv2d(x, w, b, relu=True)
    y, argmax = F.max_pool2d(convolved, **pooling)
    dy, between = rng.standard_normal(y.shape).astype(np.float32), np.empty_like(convolved)
    gradients = (None, np.empty_like(w), np.empty_like(b))

    def forward():
        F.conv2d(x, w, b, relu=True, out=convolved)
        F.max_pool2d(convolved, **pooling, out=(y, argmax))

    def backward():
        F.max_pool2d_backward(dy, argmax, convolved.shape, **pooling, out=between)
        F.conv2d_backward(between, x, w, need_dx=False, relu_output=convolved, out=gradients)

    return {
        ("forward", "one after the other"): forward,
        ("forward", "in one go"): lambda: F.conv2d_max_pool2d(x, w, b, pooling=pooling, relu=True, out=(y, argmax)),
        ("dw", "one after the other"): backward,
        ("dw", "in one go"): lambda: F.conv2d_max_pool2d_backward(
            dy, argmax, x, w, pooling=pooling, need_dx=False, relu_output=y, out=gradients
        ),
    }


def main():
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=nn.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args()
    nn.set_num_threads(options.threads)
    machine, rng = load_machine_c(nn.config.current()["isa"]), np.random.default_rng(0)
    print(f"{versions()}\nbatch {options.batch}, float32, medians of {3 * options.rounds} interleaved calls\n")
    convolutions, peak = measure_convolutions(machine, options, rng)
    print(f"multiply-add peak {peak:.0f} GFLOP/s; 12 x 12 pictures, 64 channels, except first (24 x 24, 3 channels in)")
    print("and those that say their pixels and channels")
    print("and last (6 x 6, 10 channels out); dx is the time of backward less that of backward without dx\n")
    print(f"{'convolution':18} {'algorithm':12} {'pass':8} {'ms':>7} {'GFLOP/s':>8} {'of peak':>8}")
    for name, algorithm, one, ms, rate, share in convolutions:
        print(f"{name:18} {algorithm:12} {one:8} {ms:7.2f} {rate:8.0f} {share:8.0%}")
    moving = measure_moving(machine, options, rng)
    print(f"\n{f'{4 * options.batch} pictures, 24 x 24 x 64':28} {'ms':>7} {'GB/s':>8} {'of copy':>8}")
    for name, ms, rate, share in moving:
        print(f"{name:28} {ms:7.2f} {rate:8.1f} {share:8.0%}")
    pairs = median_milliseconds(pair_calls(options.batch, rng), options.rounds)
    print(f"\n{'first, 5 x 5, and max pool':28} {'pass':8} {'ms':>7}")
    for (one, way), ms in pairs.items():
        print(f"{way:28} {one:8} {ms:7.2f}")
    pairs = [(*key, ms) for key, ms in pairs.items()]
    write_json(options.json, peak_gflops=peak, convolutions=convolutions, moving=moving, pairs=pairs)


if __name__ == "__main__":
    main()
