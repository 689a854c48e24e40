"""Train the plain network, then cut its 5 x 5 kernels in two, at several ranks.

    python examples/cut_kernels.py                                   # 3,000 steps, then 300 more for each rank
    python examples/cut_kernels.py --weights runs/plain-cifar-10-inputs-seed0/weights.safetensors
    python examples/cut_kernels.py --data-dir path/to/cifar-10-batches-bin --ranks 8 32 --fine-tune 1000

Each convolution is replaced by its best pair of 5 x 1 and 1 x 5 (npcnn.factorize) where that pair costs fewer
multiplications.  Accuracy is that on the test pictures, right after the cut and after some more steps of training; the
steps of all networks are timed in turns.  The whole network gets the same extra steps, for a fair comparison.
With matplotlib installed the table is drawn as well.
"""

import argparse
import copy
import importlib.util
import sys
from functools import partial
from pathlib import Path

import numpy as np
from compare_kernels import INPUT_SHAPE, step_times
from tqdm import tqdm

import npcnn as nn
from npcnn.datasets import TrainingBatches, evaluation_batches
from npcnn.train.command_line import above_zero, at_least, exit_status

RANKS = (4, 8, 16, 32, 64, 128)


def parse_arguments(arguments):
    """Return the options; argparse prints one line and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=nn.datasets.sources.NAMES, default="auto")
    parser.add_argument("--data-dir", type=Path, help="folder of the CIFAR-10 binary files")
    parser.add_argument("--weights", type=Path, help="a trained plain network; default: train one")
    parser.add_argument("--steps", type=at_least(1), default=3000, help="to train it; default: %(default)s")
    parser.add_argument("--fine-tune", type=at_least(1), default=300, help="steps after the cut; default: %(default)s")
    parser.add_argument("--lr", type=above_zero, default=1e-3, help="default 1e-3; a tenth of it after the cut")
    parser.add_argument("--ranks", type=at_least(1), nargs="+", default=RANKS, metavar="R", help=f"default: {RANKS}")
    parser.add_argument("--seed", type=at_least(0), default=0, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("cut-kernels.png"), help="default: %(default)s")
    return parser.parse_args(arguments)


def train(net, data, steps, lr, seed, what):
    """Train a network, with a progress bar."""
    with (
        TrainingBatches(data.train_images, data.train_labels, batch_size=128, seed=seed) as batches,
        tqdm(total=steps, desc=what, unit="step", leave=False, disable=None) as bar,
    ):
        nn.train.fit(net, batches, nn.Adam(net, lr=lr), steps=steps, callbacks=[lambda result: bar.update()])


def accuracy(net, data):
    """Return the accuracy on the test pictures."""
    return nn.train.evaluate(net, evaluation_batches(data.test_images, data.test_labels))[1]


def whole_network(options, data):
    """Return the plain network, from a file or trained here."""
    if options.weights is not None:
        net = nn.models.load(options.weights)
        if list(net.params) != list(nn.models.cifar_plain().params):
            raise ValueError(f"--weights must be of the plain network, got another in {options.weights}")
        return net
    net = nn.models.cifar_plain(rng=np.random.default_rng(options.seed))
    train(net, data, options.steps, options.lr, options.seed, "training the whole network")
    return net


def cut_networks(net, ranks):
    """Return the cut networks by rank; those of a rank at which no cut would save anything are left out."""
    networks = {}
    for rank in sorted(set(ranks)):
        cut, cuts = nn.factorize.cut_network(net, rank)
        if not cuts:
            print(f"rank {rank}: no convolution gets cheaper by it, left out", file=sys.stderr)
            continue
        networks[rank] = cut, cuts
    if not networks:
        raise ValueError(f"--ranks must hold a rank that saves multiplications, got {' '.join(map(str, ranks))}")
    return networks


def draw(rows, data_name, path):
    """Draw accuracy against multiplications, before and after the extra training."""
    from matplotlib.figure import Figure

    ax = Figure(figsize=(7.5, 4.5), layout="constrained").subplots()
    cut = [row for row in rows if row["rank"]]
    whole = next(row for row in rows if not row["rank"])
    millions = [row["multiplications"] / 1e6 for row in cut]
    for key, label, marker in (("before", "cut", "o"), ("after", "cut, then trained on", "s")):
        (line,) = ax.plot(millions, [row[key] for row in cut], marker=marker, label=label)
        ax.plot(whole["multiplications"] / 1e6, whole[key], marker="*", markersize=13, color=line.get_color())
    for row, x in zip(cut, millions, strict=True):
        ax.annotate(f"rank {row['rank']}", (x, row["after"]), (-5, 6), textcoords="offset points", ha="right")
    ax.annotate(
        "whole", (whole["multiplications"] / 1e6, whole["after"]), (0, 9), textcoords="offset points", ha="center"
    )
    ax.set_xlabel("million multiplications for one picture")
    ax.set_ylabel(f"test accuracy on {data_name}")
    ax.set_xlim(left=0)
    ax.margins(y=0.12)
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
    ax.figure.savefig(path, dpi=110)


def print_table(rows):
    """Print a line for each network."""
    whole = next(row for row in rows if not row["rank"])
    print(
        f"{'rank':>5}  {'multiplications':>15}  {'of whole':>8}  {'step ms':>7}  {'cut':>6}  {'trained on':>10}  error"
    )
    for row in rows:
        share = row["multiplications"] / whole["multiplications"]
        print(
            f"{row['rank'] or 'whole':>5}  {row['multiplications']:>15,}  {share:>8.0%}  {row['step']:>7.1f}  "
            f"{row['before']:>6.4f}  {row['after']:>10.4f}  {row['errors']}"
        )


def cut_kernels(arguments):
    """Train, cut, train on, print and draw; return the exit status."""
    options = parse_arguments(arguments)
    if options.out.is_dir() or not options.out.absolute().parent.is_dir():
        raise ValueError(f"--out must be a file in a folder that exists, got {options.out}")
    load = nn.datasets.load if options.weights is None else partial(nn.train.data_of, options.weights)
    data = load(options.data, options.data_dir)
    net = whole_network(options, data)
    cut = cut_networks(net, options.ranks)
    networks = {rank: layer for rank, (layer, _) in cut.items()} | {0: copy.deepcopy(net)}
    with TrainingBatches(data.train_images, data.train_labels, batch_size=128) as batches:
        times = step_times({rank: copy.deepcopy(layer) for rank, layer in networks.items()}, next(batches))
    rows = []
    for rank, layer in networks.items():
        before = accuracy(layer, data)
        train(layer, data, options.fine_tune, options.lr / 10, options.seed + 1, f"rank {rank}" if rank else "whole")
        errors = [f"{kernel.name} {kernel.error:.3f}" for kernel in cut[rank][1]] if rank else []
        rows.append(
            {
                "rank": rank,
                "multiplications": layer.multiplications(INPUT_SHAPE),
                "step": times[rank],
                "before": before,
                "after": accuracy(layer, data),
                "errors": ", ".join(errors) or "-",
            }
        )
    config = nn.config.current()
    print(f"{data.name}; batch 128, float32, {config['threads']} threads, {config['isa']}\n")
    print("multiplications: one picture, forward, by the definition; step: forward, backward and Adam")
    print(f"cut, trained on: test accuracy right after the cut, and after {options.fine_tune} more steps")
    print("error: what each kernel lost when it was cut, as a share of its norm\n")
    print_table(rows)
    if importlib.util.find_spec("matplotlib"):
        draw(rows, data.name, options.out)
        print(f"\ndrawn in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("cut_kernels.py", cut_kernels))
