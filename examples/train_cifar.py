"""Train a network on CIFAR-10: the article's recipe, and its variations.

    python examples/train_cifar.py                                   # the article's network, 15,000 steps
    python examples/train_cifar.py --net plain --steps 2000
    python examples/train_cifar.py --data-dir path/to/cifar-10-batches-bin --pipeline distorted
    python examples/train_cifar.py --resume runs/separable-cifar-10-inputs-seed0

Everything a run leaves is in one folder: report.html, weights.safetensors, metrics.csv, settings.json, result.json,
checkpoints/ and, when matplotlib is installed, curve.png.  Ctrl-C or SIGTERM ends it after the current step, with
what was learnt saved; --resume goes on bit for bit after those, and after kill -9 or a power cut.
"""

import argparse
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np

import npcnn as nn
from npcnn.datasets import TrainingBatches, evaluation_batches
from npcnn.datasets.pipeline import INPUTS
from npcnn.train.command_line import above_zero, at_least, command, exit_status, parse_run, results_folder

COMMAND = "python examples/train_cifar.py"
# What decides every bit of the weights: it cannot change when a run goes on.
FIXED = ("net", "algorithm", "pipeline", "batch_size", "lr", "seed", "parts")
# What has to be given to repeat a run.
REPEAT = ("net", "algorithm", "data", "data_dir", "pipeline", "steps", "batch_size", "lr", "seed", "parts")


def parse_arguments(arguments):
    """Return the options, and how batches are cut; argparse prints one line and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--net", choices=nn.models.MODELS, default="separable", help="the network; default: %(default)s")
    add("--algorithm", choices=("auto", "im2col"), default="auto", help="of the convolutions; default: %(default)s")
    text = "auto: CIFAR-10 if it can be had; default: %(default)s"
    add("--data", choices=nn.datasets.sources.NAMES, default="auto", help=text)
    add("--data-dir", type=Path, help="folder of the CIFAR-10 binary files; default: $NPCNN_DATA, or downloaded")
    text = "inputs: the middle of the picture; distorted: drawn crop, mirroring, brightness, contrast"
    add("--pipeline", choices=nn.datasets.pipeline.PIPELINES, default="inputs", help=f"{text}; default: %(default)s")
    add("--steps", type=at_least(1), default=15_000, help="number of the last step; default: %(default)s")
    add("--batch-size", type=at_least(1), default=128, help="pictures in a step; default: %(default)s")
    add("--lr", type=above_zero, default=1e-4, help="learning rate of Adam; default: %(default)s")
    add("--seed", type=at_least(0), default=0, help="of weights, order and distortions; default: %(default)s")
    add("--display-step", type=at_least(1), default=200, help="steps between lines; default: %(default)s")
    add("--checkpoint-every", type=at_least(1), default=500, help="steps between checkpoints; default: %(default)s")
    add("--out", type=Path, help="empty or new folder for the results; default: runs/NAME, numbered")
    add("--tensorboard", action="store_true", help="also write event files for TensorBoard, to tensorboard/")
    add("--resume", type=Path, metavar="FOLDER", help="folder of a run to go on with, under its settings")
    return parse_run(parser, arguments, FIXED)


def train(arguments):
    """Load the data, build the network, train it, report; return the exit status."""
    options, cut = parse_arguments(arguments)

    data = nn.datasets.load(options.data, options.data_dir).with_steps(INPUTS)
    H, W, C = data.input_shape
    net = nn.models.MODELS[options.net](
        classes=len(data.classes),
        input_channels=C,
        rng=np.random.default_rng(options.seed),
        algorithm=options.algorithm,
    )
    optimizer = nn.Adam(net, lr=options.lr)
    training_batches = partial(
        TrainingBatches, data, batch_size=options.batch_size, pipeline=options.pipeline, seed=options.seed, cut=cut,
    )  # fmt: skip
    training_batches().close()  # a wrong option is found here, before a folder is made
    test_batches = partial(evaluation_batches, data)
    epoch = max(len(data.train_images) // options.batch_size, 1)

    name = f"{options.net}-{data.name.lower()}-{options.pipeline}-seed{options.seed}"
    options.out = results_folder(options, name, cut.ranks)
    settings = {name: value for name, value in vars(options).items() if name != "resume"}
    with nn.train.Run(
        options.out, net, optimizer, data, settings=settings, fixed=FIXED,
        resume=options.resume is not None, checkpoint_every=options.checkpoint_every, cut=cut,
    ) as run:  # fmt: skip
        shape = " x ".join(map(str, data.picture_shape))
        counts = f"{len(data.train_images)} training and {len(data.test_images)} test pictures"
        print(f"data: {data.name}, {counts} of {shape}")
        print(f"network: {options.net}; results go to {run.folder}\n\n{net.summary((H, W, C))}\n")
        print("multiplications: one picture, forward, by the definition; spent: by the algorithm the layer runs on")
        print(f"every {options.display_step} steps below: the {options.batch_size} training pictures of that step")
        print(f"every {epoch} steps (an epoch) and at the end: all test pictures\n", flush=True)
        with training_batches(start=run.step) as batches:
            result = run.fit(
                batches, test_batches, steps=options.steps, evaluate_every=epoch, display_every=options.display_step,
                callbacks=[nn.train.TensorBoard(run.folder / "tensorboard", net=net)] if options.tensorboard else [],
            )  # fmt: skip

        to_go_on = f"to go on: {command(COMMAND, {'resume': run.folder})}"
        if result is None:
            print(f"ended by SIGTERM after {run.step} steps; {to_go_on}")
            return 128 + signal.SIGTERM
        if cut.ranks.number:
            return 0  # what is left to do, rank 0 does
        nn.report.write(
            run.folder, net, data, test_batches,
            title=f"{options.net} network on {data.name}, seed {options.seed}",
            settings=(*REPEAT, "threads", "checkpoint_every"),
            command=command(COMMAND, {name: settings[name] for name in REPEAT}),
        )  # fmt: skip
        curve = "curve.png" if (run.folder / "curve.png").exists() else "no curve.png (matplotlib is not installed)"
        files = "report.html, weights.safetensors, metrics.csv, settings.json, result.json, checkpoints"
        print(f"in {run.folder}: {files}, {curve}")
        if run.step < options.steps:
            print(to_go_on)
        return 0


if __name__ == "__main__":
    sys.exit(exit_status("train_cifar.py", train))
