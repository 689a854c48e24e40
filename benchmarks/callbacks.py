"""Show what checkpoints and metrics cost a training at their default intervals: the share of its time.

Each callback's calls are timed inside one real training, with everything that examples/train_cifar.py writes; the
length of the gradient, which `fit` itself works out for the metrics, by repeating it.

    python benchmarks/callbacks.py [--steps 5000] [--data-dir path/to/cifar-10-batches-bin]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import versions

import npcnn as nn
from npcnn.clipping import gradient_length
from npcnn.datasets import TrainingBatches

BATCH, EVERY = 128, 500


class Timed:
    """A callback that adds up the time another takes."""

    def __init__(self, callback):
        self.callback, self.seconds = callback, 0.0

    def __call__(self, result):
        """Call it, and remember how long that took."""
        begin = time.perf_counter()
        self.callback(result)
        self.seconds += time.perf_counter() - begin


def main():
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--data", choices=nn.datasets.sources.NAMES, default="auto")
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    data = nn.datasets.load(options.data, options.data_dir)
    net = nn.models.cifar_separable(rng=np.random.default_rng(0))
    optimizer = nn.Adam(net, lr=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder, "metrics.csv")
        checkpoints = nn.train.Checkpoints(Path(folder, "checkpoints"), net, optimizer, every=EVERY)
        with (
            checkpoints,
            nn.train.MetricsCSV(metrics) as csv,
            TrainingBatches(data.train_images, data.train_labels, batch_size=BATCH) as batches,
        ):
            timed = {
                "metrics.csv, every step": Timed(csv),
                f"checkpoint, every {EVERY} steps": Timed(checkpoints),
                "length of the gradient": Timed(lambda _result: gradient_length(net.grads)),
            }
            begin = time.perf_counter()
            nn.train.fit(net, batches, optimizer, steps=options.steps, callbacks=timed.values())
            seconds = time.perf_counter() - begin
        seconds -= timed["length of the gradient"].seconds  # it was worked out twice
        begin = time.perf_counter()
        if options.steps >= 2:
            nn.plot.training_curve(metrics).figure.savefig(Path(folder, "curve.png"), dpi=120)
        drawing = (time.perf_counter() - begin) * options.steps / 5000
    print(f"{versions()}\n{data.name}, batch {BATCH}, {options.steps} steps in {seconds:.1f} s\n")
    shares = {name: callback.seconds / seconds for name, callback in timed.items()}
    shares["curve.png, every 5000 steps"] = drawing / seconds
    for name, share in shares.items():
        print(f"{name:30} {share:8.3%}")
    print(f"{'together':30} {sum(shares.values()):8.3%}")


if __name__ == "__main__":
    main()
