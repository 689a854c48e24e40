"""From the definition of a convolution to the kernels of npcnn, one rung at a time, each with its time.

The subject is a 3 x 3 SAME convolution of 15 x 15 pictures, 64 channels in and out, float32: 2.1 GFLOP for a batch of
128.  Every rung computes the same numbers, which is checked against `npcnn.reference` before anything is timed.
docs/how-the-core-works.md tells the story.

    python benchmarks/ladder.py [--batch 128] [--rounds 5] [--json FILE]

The rung in Python takes one picture only, and the rungs in C below the vectors fewer pictures, and are scaled up.
Each time is the median over the rounds.  Where a rung is slower than the one before it, the last lines say so.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from machine import load_machine_c, median_milliseconds, versions, write_json
from numpy.lib.stride_tricks import sliding_window_view

import npcnn as nn
from npcnn import functional as F
from npcnn.kernels import core

SIZE, CHANNELS, TAPS = 15, 64, 3


def python_loops(x, w):
    """Return the convolution by seven loops over Python numbers, as it is defined."""
    N, H, W, C_in = x.shape
    K, _, _, C_out = w.shape
    x, w, p = x.tolist(), w.tolist(), K // 2
    y = [[[[0.0] * C_out for _ in range(W)] for _ in range(H)] for _ in range(N)]
    for n in range(N):
        for i in range(H):
            for j in range(W):
                for o in range(C_out):
                    total = 0.0
                    for kh in range(max(0, p - i), min(K, H + p - i)):
                        for kw in range(max(0, p - j), min(K, W + p - j)):
                            pixel, weights = x[n][i + kh - p][j + kw - p], w[kh][kw]
                            for c in range(C_in):
                                total += pixel[c] * weights[c][o]
                    y[n][i][j][o] = total
    return np.array(y, np.float32)


def im2col_matmul(x, w):
    """Return the convolution as one product with the im2col matrix of the whole batch."""
    K, p = len(w), len(w) // 2
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = sliding_window_view(padded, (K, K), axis=(1, 2))
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, w[..., 0].size)
    return (columns @ w.reshape(-1, w.shape[3])).reshape(*x.shape[:3], -1)


def im2col_matmul_by_picture(x, w):
    """Return the same, with the matrix of one picture at a time, which a cache can hold."""
    return np.concatenate([im2col_matmul(x[n : n + 1], w) for n in range(len(x))])


def c_loops(machine):
    """Return the convolution by seven loops in C, as a function."""

    def convolution(x, w):
        y = np.empty((*x.shape[:3], w.shape[3]), np.float32)
        machine.loops(x.ctypes.data, w.ctypes.data, y.ctypes.data, *x.shape, len(w), w.shape[3])
        return y

    return convolution


def kernels(isa, threads, algorithm="im2col"):
    """Return npcnn's convolution on one instruction set, as a function that writes into one array again and again."""
    results = {}

    def convolution(x, w):
        core.use_isa(isa)
        nn.set_num_threads(threads)
        if x.shape not in results:
            results[x.shape] = np.empty((*x.shape[:3], w.shape[3]), np.float32)
        return F.conv2d(x, w, algorithm=algorithm, out=results[x.shape])

    return convolution


def rungs(machine, threads):
    """Return (name, function, share of the batch it is timed on)."""
    best = core.supported_isas()[0]
    ladder = [
        ("loops in Python", python_loops, 0),
        ("loops in C", c_loops(machine), 1 / 16),
        ("im2col of the batch, NumPy's matrix product", im2col_matmul, 1),
        ("im2col picture by picture, NumPy's product", im2col_matmul_by_picture, 1),
        ("tiles in registers: our kernels, plain C", kernels("plain", 1), 1 / 4),
    ]
    vectors = [isa for isa in reversed(core.supported_isas()) if isa != "plain"]
    ladder += [(f"vectors: {isa}", kernels(isa, 1), 1) for isa in vectors]
    ladder += [(f"threads: {threads}", kernels(best, threads), 1)]
    ladder += [("half the multiplications: Toom-Cook", kernels(best, threads, "toom_cook"), 1)]
    ladder += [("a quarter: Toom-Cook along both axes", kernels(best, threads, "toom_cook_2d"), 1)]
    return ladder


def check(ladder, w):
    """Raise AssertionError unless every rung gives the reference's numbers for one picture."""
    x = np.random.default_rng(1).standard_normal((1, SIZE, SIZE, CHANNELS)).astype(np.float32)
    truth = nn.reference.conv2d(x.astype(np.float64), w.astype(np.float64))
    for name, convolution, _ in ladder:
        error = np.abs(convolution(x, w) - truth).max() / np.abs(truth).max()
        if error > 1e-5:
            raise AssertionError(f"{name}: the largest error is {error:.1e} of the largest output")


def contradictions(rows):
    """Return a line for every rung that took longer than the one before it, from rows (name, milliseconds, ...)."""
    return [
        f"not faster here: '{name}' takes {time / time_before:.2f} times as long as '{before}'"
        for (before, time_before, *_), (name, time, *_) in itertools.pairwise(rows)
        if time > time_before
    ]


def main():
    """Check, measure, print the ladder, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args()
    threads = nn.get_num_threads()
    machine, rng = load_machine_c("sse2" if "sse2" in core.supported_isas() else "plain"), np.random.default_rng(0)
    x = rng.standard_normal((options.batch, SIZE, SIZE, CHANNELS)).astype(np.float32)
    w = (0.1 * rng.standard_normal((TAPS, TAPS, CHANNELS, CHANNELS))).astype(np.float32)
    ladder = rungs(machine, threads)
    print(f"{versions()}\nchecking every rung against npcnn.reference ...", flush=True)
    check(ladder, w)

    calls, scale = {}, {}
    for name, convolution, share in ladder:
        pictures = x[: max(1, int(share * options.batch))]
        scale[name] = options.batch / len(pictures)
        calls[name] = lambda convolution=convolution, pictures=pictures: convolution(pictures, w)
    slow = "loops in Python"
    ms = median_milliseconds({slow: calls.pop(slow)}, 1, repeats=1) | median_milliseconds(calls, options.rounds)
    gflop = 2e-9 * options.batch * SIZE**2 * TAPS**2 * CHANNELS**2
    rows, before = [], None
    print(f"\n{'rung':46} {'ms':>11} {'GFLOP/s':>9} {'x before':>9} {'x Python':>10}")
    for name, _, _ in ladder:
        time = ms[name] * scale[name]
        before, faster = time, before / time if before else 1.0
        rows.append((name, time, gflop / time * 1e3, faster, ms[slow] * scale[slow] / time))
        print(f"{name:46} {time:11.2f} {rows[-1][2]:9.3g} {faster:9.2f} {rows[-1][4]:10.0f}")
    print("", *contradictions(rows), sep="\n")
    print("NumPy's matrix product uses the threads its BLAS is set to (OPENBLAS_NUM_THREADS)")
    write_json(options.json, rungs=rows)


if __name__ == "__main__":
    main()
