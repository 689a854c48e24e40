r"""Train any network on any data: ``python -m npcnn.train``.

    python -m npcnn.train --net resnet20 --optimizer sgd --lr 0.2 --warmup 2 --schedule linear --epochs 40 \
        --augment random_crop:4,mirror
    python -m npcnn.train --data my-pictures --size 64 --net simple_cnn --epochs 30 --augment mirror
    python -m npcnn.train --resume runs/resnet20-cifar-10-seed0

Everything a run leaves is in one folder: report.html, weights.safetensors, metrics.csv, settings.json, result.json,
checkpoints/ and, when matplotlib is installed, curve.png.  Ctrl-C or SIGTERM ends it after the current step, with
what was learnt saved; --resume goes on bit for bit after those, and after kill -9 or a power cut.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import functools
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npcnn import datasets, models, optimizers, report, schedules
from npcnn.datasets import Dataset, TrainingBatches, evaluation_batches, steps
from npcnn.functional import softmax_cross_entropy
from npcnn.functional.batch_parts import Cut
from npcnn.layers import Layer
from npcnn.muon import Muon
from npcnn.schedules import Schedule
from npcnn.train.averages import ExponentialMovingAverage
from npcnn.train.command_line import (
    above_zero,
    at_least,
    command,
    exit_status,
    number_from,
    parse_run,
    results_folder,
)
from npcnn.train.logs import TensorBoard
from npcnn.train.run import Run

COMMAND = "python -m npcnn.train"
# What decides every bit of the weights: it cannot change when a run goes on.
FIXED = (
    "net", "data", "size", "standardise", "augment", "epochs", "batch_size", "optimizer", "lr", "schedule", "warmup",
    "weight_decay", "label_smoothing", "clip_norm", "ema", "seed", "parts",
)  # fmt: skip
# What has to be given to repeat a run.
REPEAT = (*FIXED, "data_dir")
OPTIMIZERS = ("adam", "adamw", "muon", "sgd")
SGD_SHARE = 0.2  # of the learning rate, for what Muon leaves to SGD
# How the learning rate goes on after the warm-up.
SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda lr, count: schedules.Constant(lr),
    "cosine": lambda lr, count: schedules.Cosine(lr, steps=count),
    "linear": lambda lr, count: schedules.PiecewiseLinear([(0, lr), (count, 0.0)]),
}
# Steps of the augmentation by name, each with its arguments as numbers after colons.
AUGMENTATIONS: dict[str, Callable[..., steps.Step]] = {
    "random_crop": lambda shape, padding=4: steps.random_crop(shape[:2], padding=int(padding)),
    "mirror": lambda shape: steps.mirror(),
    "brightness": lambda shape, most=32: steps.brightness(most),
    "contrast": lambda shape, least=0.8, most=1.25: steps.contrast(least, most),
    "cutout": lambda shape, size=8: steps.cutout(int(size)),
}


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, Cut]:
    """Return the options, and how batches are cut; argparse prints one line and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(datasets.sources.NAMES)
    group = parser.add_argument_group("data").add_argument
    group("--data", default="auto", help=f"{known}, or a folder of pictures, one sub-folder a class; default: auto")
    group("--data-dir", type=Path, help="folder of the files of a data set that has a name")
    group("--size", type=at_least(1), help="height and width to scale the pictures of a folder to; default: 64")
    text = "by the statistics of the training pictures (data), of each picture, or not; default: %(default)s"
    group("--standardise", choices=("data", "picture", "no"), default="data", help=text)
    text = f"in training, in this order: {', '.join(AUGMENTATIONS)}; as in random_crop:4,mirror; default: nothing"
    group("--augment", default="", help=text, metavar="STEPS")
    group("--batch-size", type=at_least(1), default=128, help="pictures in a step; default: %(default)s")

    group = parser.add_argument_group("network and training").add_argument
    group("--net", choices=models.MODELS, default="simple_cnn", help="default: %(default)s")
    group("--epochs", type=at_least(1), default=20, help="how often to go through the data; default: %(default)s")
    text = "sgd has momentum 0.9; muon trains biases and shifts by SGD at a fifth of the rate; default: %(default)s"
    group("--optimizer", choices=OPTIMIZERS, default="adamw", help=text)
    group("--lr", type=above_zero, default=1e-3, help="the largest learning rate; default: %(default)s")
    text = "the learning rate after the warm-up; cosine and linear end at 0; default: %(default)s"
    group("--schedule", choices=SCHEDULES, default="cosine", help=text)
    group("--warmup", type=number_from(0), default=0.0, help="epochs in which it grows to --lr; default: %(default)s")
    text = "of weights, not of biases and normalisations; default: %(default)s"
    group("--weight-decay", type=number_from(0), default=5e-4, help=text)
    group("--label-smoothing", type=number_from(0), default=0.0, help="share of all classes; default: %(default)s")
    group("--clip-norm", type=above_zero, help="longest gradient; default: any")
    text = "evaluate and keep a moving average of the weights with this decay, such as 0.999; default: no"
    group("--ema", type=above_zero, help=text)
    group("--seed", type=at_least(0), default=0, help="of weights, order and augmentation; default: %(default)s")

    group = parser.add_argument_group("run").add_argument
    group("--display-step", type=at_least(1), default=200, help="steps between lines; default: %(default)s")
    group("--checkpoint-every", type=at_least(1), default=500, help="steps between checkpoints; default: %(default)s")
    group("--out", type=Path, help="empty or new folder for the results; default: runs/NAME, numbered")
    group("--tensorboard", action="store_true", help="also write event files for TensorBoard, to tensorboard/")
    group("--resume", type=Path, metavar="FOLDER", help="folder of a run to go on with, under its settings")
    return parse_run(parser, arguments, FIXED)


def load_data(options: argparse.Namespace) -> Dataset:
    """Return the data set with the steps of its pictures into the network."""
    if options.data in datasets.sources.NAMES:
        if options.size is not None:
            raise ValueError(f"--size is for a folder of pictures; those of {options.data} are taken as they are")
        data = datasets.load(options.data, options.data_dir)
    else:
        # A run that goes on has noted the name of the data, and the folder in --data-dir.
        folder = options.data if options.data_dir is None else options.data_dir
        options.size = 64 if options.size is None else options.size
        data = datasets.from_folder(folder, size=(options.size, options.size), seed=options.seed)
    if options.standardise == "no":
        return data
    return data.with_steps([steps.standardise(*(data.statistics() if options.standardise == "data" else ()))])


def augmentation(text: str, picture_shape: tuple[int, int, int]) -> list[steps.Step]:
    """Return the steps that ``--augment`` names.

    Raises
    ------
    ValueError
        If one is not known, or its arguments are wrong.

    Examples
    --------
    >>> from npcnn.train.__main__ import augmentation
    >>> augmentation("random_crop:4,mirror", (32, 32, 3))
    [random_crop(size=32, padding=4, mode='reflect'), mirror()]
    """
    found = []
    for part in filter(None, text.split(",")):
        name, *numbers = part.split(":")
        if name not in AUGMENTATIONS:
            raise ValueError(f"--augment must name steps of {', '.join(AUGMENTATIONS)}, got {part!r:.80}")
        try:
            found.append(AUGMENTATIONS[name](picture_shape, *map(float, numbers)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"--augment {part!r:.80}: {error}") from error
    return found


def make_optimizer(net: Layer, options: argparse.Namespace, steps_of_epoch: int) -> optimizers.Optimizer:
    """Return the optimizer, its schedule, and the weight decay, which is for weights only."""
    warmup = round(options.warmup * steps_of_epoch)
    count = options.epochs * steps_of_epoch - warmup
    if count < 1:
        raise ValueError(f"--warmup must be below the {options.epochs} epochs of the training, got {options.warmup}")

    def schedule(lr: float) -> Schedule:
        after: Schedule = SCHEDULES[options.schedule](lr, count)
        return schedules.Warmup(after, steps=warmup) if warmup else after

    # A pattern that matches nothing is refused; not every network has all three.
    undecayed = [pattern for pattern in ("*.b", "*.scale", "*.shift") if fnmatch.filter(net.params, pattern)]
    given: dict[str, Any] = {"clip_norm": options.clip_norm}
    if options.optimizer == "adam":
        if options.weight_decay:
            raise ValueError(
                "--weight-decay is for adamw, muon and sgd; use --optimizer adamw, or --weight-decay 0 with adam"
            )
        return optimizers.Adam(net, schedule(options.lr), **given)
    given |= {"weight_decay": options.weight_decay, "groups": {pattern: {"weight_decay": 0} for pattern in undecayed}}
    if options.optimizer == "adamw":
        return optimizers.AdamW(net, schedule(options.lr), **given)
    if options.optimizer == "muon":
        return Muon(net, schedule(options.lr), schedule(SGD_SHARE * options.lr), **given)
    return optimizers.SGD(net, schedule(options.lr), momentum=0.9, nesterov=True, **given)


def train(arguments: Sequence[str] | None) -> int:
    """Load the data, build the network, train it, report; return the exit status."""
    options, cut = parse_arguments(arguments)
    data = load_data(options)
    H, W, C = data.input_shape
    net = models.MODELS[options.net](
        classes=len(data.classes), input_channels=C, rng=np.random.default_rng(options.seed)
    )
    epoch = max(len(data.train_images) // options.batch_size, 1)
    optimizer = make_optimizer(net, options, epoch)
    average = None if options.ema is None else ExponentialMovingAverage(net, options.ema)
    loss = functools.partial(softmax_cross_entropy, label_smoothing=options.label_smoothing)
    training_batches = functools.partial(
        TrainingBatches,
        data,
        batch_size=options.batch_size,
        augment=augmentation(options.augment, data.picture_shape),
        seed=options.seed,
        cut=cut,
    )
    # A wrong option is found here, before a folder is made.
    training_batches().close()
    loss(np.zeros((1, len(data.classes)), np.float32), np.zeros(1, np.int64))
    test_batches = functools.partial(evaluation_batches, data)

    name = f"{options.net}-{data.name.lower().replace(' ', '-')}-seed{options.seed}"
    options.out = results_folder(options, name, cut.ranks)
    settings = {name: value for name, value in vars(options).items() if name != "resume"}
    with Run(
        options.out,
        net,
        optimizer,
        data,
        settings=settings,
        fixed=FIXED,
        resume=options.resume is not None,
        checkpoint_every=options.checkpoint_every,
        average=average,
        cut=cut,
    ) as run:
        counts = f"{len(data.train_images)} training and {len(data.test_images)} test pictures"
        print(f"data: {data.name}, {counts} of {' x '.join(map(str, data.picture_shape))}, {len(data.classes)} classes")
        print(f"network: {options.net}; results go to {run.folder}\n\n{net.summary((H, W, C))}\n")
        print(f"{options.epochs} epochs of {epoch} steps; after each, all test pictures\n", flush=True)
        with training_batches(start=run.step) as batches:
            result = run.fit(
                batches,
                test_batches,
                steps=options.epochs * epoch,
                evaluate_every=epoch,
                display_every=options.display_step,
                loss=loss,
                callbacks=[TensorBoard(run.folder / "tensorboard", net=net)] if options.tensorboard else [],
            )
        to_go_on = f"to go on: {command(COMMAND, {'resume': run.folder})}"
        if result is None:
            print(f"ended by SIGTERM after {run.step} steps; {to_go_on}")
            return 128 + signal.SIGTERM
        if cut.ranks.number:
            return 0  # what is left to do, rank 0 does
        with contextlib.nullcontext() if average is None else average.applied():
            report.write(
                run.folder,
                net,
                data,
                test_batches,
                title=f"{options.net} on {data.name}, seed {options.seed}",
                settings=(*REPEAT, "threads", "checkpoint_every"),
                command=command(COMMAND, {name: settings[name] for name in REPEAT if settings[name] != ""}),
            )
        print(f"in {run.folder}: report.html, weights.safetensors, metrics.csv and the rest of the run")
        if run.step < options.epochs * epoch:
            print(to_go_on)
        return 0


if __name__ == "__main__":
    sys.exit(exit_status("npcnn.train", train))
