"""Compare the three networks: multiplications, parameters, time of a step, accuracy after some steps.

    python examples/compare_kernels.py                               # 400 steps each
    python examples/compare_kernels.py --steps 2000 --data-dir path/to/cifar-10-batches-bin

The networks differ in the second convolution only: 5 x 5, cut into 5 x 1 and 1 x 5, or kernels of four sizes
side by side.  Their steps are timed in turns, so that whatever else the machine does slows all three alike.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

import npcnn as nn
from npcnn.datasets import TrainingBatches, evaluation_batches
from npcnn.train.command_line import above_zero, at_least, exit_status

INPUT_SHAPE = (24, 24, 3)
TIMED_ROUNDS = 7


def step_times(nets, batch):
    """Return the median milliseconds of a training step for each network, timed in turns."""
    x, labels = batch
    optimizers = {name: nn.Adam(net, lr=1e-4) for name, net in nets.items()}
    times = {name: [] for name in nets}
    for _ in range(TIMED_ROUNDS + 1):
        for name, net in nets.items():
            begin = time.perf_counter()
            _, dlogits = nn.functional.softmax_cross_entropy(net.forward(x, training=True), labels)
            net.backward(dlogits, need_dx=False)
            optimizers[name].step()
            times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: statistics.median(rounds[1:]) for name, rounds in times.items()}


def accuracy_after(name, data, options):
    """Train one network and return its test accuracy."""
    net = nn.models.ARTICLE[name](rng=np.random.default_rng(options.seed))
    with TrainingBatches(data.train_images, data.train_labels, batch_size=128, seed=options.seed) as batches:
        nn.train.fit(net, batches, nn.Adam(net, lr=options.lr), steps=options.steps)
    _, accuracy = nn.train.evaluate(net, evaluation_batches(data.test_images, data.test_labels))
    return accuracy


def compare(arguments):
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=nn.datasets.sources.NAMES, default="auto")
    parser.add_argument("--data-dir", type=Path, help="folder of the CIFAR-10 binary files")
    parser.add_argument("--steps", type=at_least(0), default=400, help="default: %(default)s")
    parser.add_argument("--lr", type=above_zero, default=1e-3, help="default 1e-3, to see something after few steps")
    parser.add_argument("--seed", type=at_least(0), default=0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    data = nn.datasets.load(options.data, options.data_dir)
    nets = {name: make(rng=np.random.default_rng(0)) for name, make in nn.models.ARTICLE.items()}
    with TrainingBatches(data.train_images, data.train_labels, batch_size=128) as batches:
        times = step_times(nets, next(batches))
    config = nn.config.current()
    print(f"{data.name}; batch 128, float32, {config['threads']} threads, {config['isa']}\n")
    print("multiplications: one picture, forward, by the definition; step: forward, backward and Adam\n")
    print(f"{'network':14} {'multiplications':>16} {'parameters':>11} {'step ms':>8}  test accuracy")
    for name, net in nets.items():
        multiplications, parameters = net.multiplications(INPUT_SHAPE), nn.summary.count_parameters(net)
        accuracy = accuracy_after(name, data, options)
        print(
            f"{name:14} {multiplications:>16,} {parameters:>11,} {times[name]:>8.1f}  "
            f"{accuracy:.4f} after {options.steps} steps",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("compare_kernels.py", compare))
