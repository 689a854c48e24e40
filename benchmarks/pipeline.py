"""Show how much of a training is spent waiting for data: hardly any.

Both input pipelines: milliseconds to prepare a batch, and the share of a real training that was spent waiting for
the thread that prepares them.

    python benchmarks/pipeline.py [--data-dir path/to/cifar-10-batches-bin] [--steps 300]
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

import npcnn as nn
from npcnn.datasets import TrainingBatches

BATCH = 128


def batch_time(data, pipeline, count=50):
    """Return the median milliseconds to prepare one batch, in one thread."""
    times = []
    with TrainingBatches(data.train_images, data.train_labels, batch_size=BATCH, pipeline=pipeline) as batches:
        time.sleep(0.5)  # the thread has filled its queue and rests
        for number in range(100, 100 + count):
            begin = time.perf_counter()
            batches.batch(number)
            times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def training(data, pipeline, steps):
    """Return (seconds, seconds waited) of a training."""
    net = nn.models.cifar_separable(rng=np.random.default_rng(0))
    with TrainingBatches(data.train_images, data.train_labels, batch_size=BATCH, pipeline=pipeline) as batches:
        begin = time.perf_counter()
        nn.train.fit(net, batches, nn.Adam(net, lr=1e-4), steps=steps)
        return time.perf_counter() - begin, batches.wait_seconds


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=nn.datasets.sources.NAMES, default="auto")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    data = nn.datasets.load(options.data, options.data_dir)
    print(f"{data.name}, batch {BATCH}, {nn.get_num_threads()} threads\n")
    print(f"{'pipeline':10} {'ms a batch':>10} {'ms a step':>10} {'waited for data':>16}")
    for pipeline in nn.datasets.pipeline.PIPELINES:
        prepared = batch_time(data, pipeline)
        seconds, waited = training(data, pipeline, options.steps)
        print(f"{pipeline:10} {prepared:10.2f} {1e3 * seconds / options.steps:10.1f} {waited / seconds:16.3%}")


if __name__ == "__main__":
    main()
