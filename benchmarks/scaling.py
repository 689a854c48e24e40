"""How the time of a training step grows with threads, batch, channels and the size of the pictures.

The network is `npcnn.models.cifar_separable`; channels and picture sizes are varied on a network of
the same shape: convolution 5 x 5, pooling, 5 x 1 and 1 x 5, pooling, convolution 5 x 5, average pooling.

    python benchmarks/scaling.py [--rounds 5] [--json FILE]
"""

import argparse
import os
from pathlib import Path

import numpy as np
from machine import median_milliseconds, versions, write_json

import npcnn as nn


def training_step(batch, size=24, channels=64):
    """Return the function that does one training step on a fixed batch of drawn pictures."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, size, size, 3)).astype(np.float32)
    labels = rng.integers(0, 10, batch)
    net = nn.Sequential(
        nn.Conv2D(3, channels, 5, activation="relu", rng=rng),
        nn.MaxPool2D(2, padding="same"),
        nn.SpatiallySeparableConv2D(channels, channels, 5, activation="relu", rng=rng),
        nn.MaxPool2D(2, padding="same"),
        nn.Conv2D(channels, 10, 5, activation="relu", rng=rng),
        nn.GlobalAvgPool2D(),
    )
    optimizer = nn.Adam(net, lr=1e-4)
    multiplications = net.multiplications((size, size, 3))

    def step():
        _, dlogits = nn.functional.softmax_cross_entropy(net.forward(x, training=True), labels)
        net.backward(dlogits, need_dx=False)
        optimizer.step()

    return step, multiplications


def threads_table(counts, rounds):
    """Return rows (threads, ms of a step, times as fast as one thread)."""
    step, _ = training_step(128)

    def with_threads(count):
        def run():
            nn.set_num_threads(count)
            step()

        return run

    ms = median_milliseconds({count: with_threads(count) for count in counts}, rounds)
    return [(count, ms[count], ms[1] / ms[count]) for count in counts]


def growth_table(variants, rounds):
    """Return rows (value, ms of a step, microseconds a picture, ns for 1,000 multiplications of the definition)."""
    rows = []
    for value, options in variants:
        step, multiplications = training_step(**options)
        ms = median_milliseconds({"step": step}, rounds)["step"]
        microseconds = 1e3 * ms / options["batch"]
        rows.append((value, ms, microseconds, 1e6 * microseconds / multiplications))
    return rows


def main():
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args()
    print(f"{versions()}\nmilliseconds of a training step, medians\n")
    cpus = os.cpu_count() or 1
    figures = {"threads": threads_table([n for n in (1, 2, 4, 8, 16, 32) if n <= cpus], options.rounds)}
    nn.set_num_threads(cpus)
    print(f"{'threads':>8} {'ms':>9} {'x one':>7}")
    for count, ms, ratio in figures["threads"]:
        print(f"{count:>8} {ms:9.1f} {ratio:7.2f}")
    growths = {
        "batch": [(n, {"batch": n}) for n in (1, 8, 32, 128, 512)],
        "channels": [(n, {"batch": 64, "channels": n}) for n in (8, 16, 32, 64, 128)],
        "picture": [(n, {"batch": 32, "size": n}) for n in (12, 24, 48, 96)],
    }
    for name, variants in growths.items():
        figures[name] = growth_table(variants, options.rounds)
        print(f"\n{name:>8} {'ms':>9} {'us a picture':>13} {'ns a 1,000 multiplications':>27}")
        for value, ms, microseconds, nanoseconds in figures[name]:
            print(f"{value:>8} {ms:9.2f} {microseconds:13.1f} {nanoseconds:27.1f}")
    write_json(options.json, **figures)


if __name__ == "__main__":
    main()
