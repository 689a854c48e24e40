"""Train a network on CIFAR-10: the article's recipe, and its variations.

    python examples/train_cifar.py                                   # the article's network, 15,000 steps
    python examples/train_cifar.py --net plain --steps 2000
    python examples/train_cifar.py --data-dir path/to/cifar-10-batches-bin --pipeline distorted
    python examples/train_cifar.py --resume runs/separable-cifar-10-inputs-seed0

Everything a run leaves is in one folder: report.html, weights.safetensors, metrics.csv, settings.json, result.json,
checkpoints/ and, when matplotlib is installed, curve.png.  Ctrl-C or SIGTERM ends it after the current step, with
what was learnt saved; --resume goes on bit for bit, after those as after kill -9 or a power cut.
"""

import argparse
import importlib.util
import json
import signal
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import tqdm

import npcnn as nn
from npcnn.datasets import TrainingBatches, evaluation_batches
from npcnn.datasets.download import DownloadError

DEFAULTS = {
    "net": "separable",
    "algorithm": "auto",
    "data": "auto",
    "data_dir": None,
    "pipeline": "inputs",
    "steps": 15_000,
    "batch_size": 128,
    "lr": 1e-4,
    "seed": 0,
    "display_step": 200,
    "checkpoint_every": 500,
    "threads": None,
    "out": None,
    "tensorboard": False,
}
# What decides every bit of the weights: it cannot change when a run goes on.
FIXED = ("net", "algorithm", "pipeline", "batch_size", "lr", "seed")


def parse_arguments(arguments=None):
    """Return the options; argparse prints one line and exits with 2 when they are wrong.

    With --resume those that were not given are the settings of the run that goes on, else DEFAULTS.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(name, text, **options):
        default = DEFAULTS.get(name[2:].replace("-", "_"))
        parser.add_argument(name, help=text if default in (None, False) else f"{text}; default: {default}", **options)

    add("--net", "the network", choices=nn.models.MODELS)
    add("--algorithm", "of the convolutions", choices=("auto", "im2col"))
    add("--data", "auto: CIFAR-10 if it can be had", choices=nn.datasets.sources.NAMES)
    add("--data-dir", "folder of the CIFAR-10 binary files; default: $NPCNN_DATA, or downloaded", type=Path)
    add(
        "--pipeline",
        "inputs: the middle of the picture; distorted: drawn crop, mirroring, brightness, contrast",
        choices=nn.datasets.pipeline.PIPELINES,
    )
    add("--steps", "number of the last step", type=at_least(1))
    add("--batch-size", "pictures in a step", type=at_least(1))
    add("--lr", "learning rate of Adam", type=learning_rate)
    add("--seed", "of weights, order and distortions", type=at_least(0))
    add("--display-step", "steps between lines", type=at_least(1))
    add("--checkpoint-every", "steps between checkpoints", type=at_least(1))
    add("--threads", "default: all cores", type=at_least(1))
    add("--out", "empty or new folder for the results; default: runs/NAME, numbered", type=Path)
    add("--tensorboard", "also write event files for TensorBoard, to tensorboard/", action="store_true", default=None)
    add("--resume", "folder of a run to go on with, under its settings", type=Path, metavar="FOLDER")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    settings = resumed_settings(given) if "resume" in given else {"resume": None} | DEFAULTS | given
    return argparse.Namespace(**settings)


def resumed_settings(given):
    """Return the settings of the run in --resume, with what was given besides.

    Raises
    ------
    ValueError, OSError
        If the folder has no readable settings, or an option was given that cannot change.
    """
    folder = given["resume"]
    path = folder / "settings.json"
    if not path.exists():
        raise FileNotFoundError(f"--resume {folder} is not the folder of a run: it has no settings.json")
    try:
        saved = json.loads(path.read_text())
        settings = {name: saved[name] for name in DEFAULTS}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); start a new run") from error
    if "out" in given:
        raise ValueError(f"--out {given['out']} and --resume exclude each other: the results go to {folder}")
    for name in FIXED:
        if given.get(name, settings[name]) != settings[name]:
            raise ValueError(
                f"--{name.replace('_', '-')} of the run in {folder} is {settings[name]}, got {given[name]}; it cannot "
                "change when a run goes on: leave it out, or start a new run"
            )
    settings["data_dir"] = Path(settings["data_dir"]) if settings["data_dir"] else None
    return settings | given | {"out": folder}


def at_least(minimum):
    """Return a converter for argparse: a whole number of at least `minimum`."""

    def convert(text):
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}, got {text!r}")
        return int(text)

    return convert


def learning_rate(text):
    """Convert for argparse: a finite number above 0."""
    try:
        return nn.schedules.positive(float(text), "lr")
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, got {text!r}") from None


def make_out_folder(options, data_name):
    """Return a new folder for the results: --out, or runs/NAME with a number when NAME is taken."""
    if options.out:
        if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
            raise FileExistsError(
                f"--out {options.out} exists and is not an empty folder; name another, or go on with --resume"
            )
        options.out.mkdir(parents=True, exist_ok=True)
        return options.out
    name = f"{options.net}-{data_name.lower()}-{options.pipeline}-seed{options.seed}"
    number = 1
    while True:
        out = Path("runs", name if number == 1 else f"{name}-{number}")
        try:
            out.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return out


class Display:
    """Callback: the progress bar, and a line of training accuracy every few steps."""

    def __init__(self, start, steps, every):
        self.every = every
        self.bar = tqdm(initial=start, total=steps, unit="step", dynamic_ncols=True, mininterval=0.5)
        self.images, self.time = 0, time.perf_counter()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.bar.close()

    def __call__(self, result):
        """Advance the bar; print the line when it is due."""
        self.bar.update()
        self.images += result.images
        if result.step % self.every == 0:
            now = time.perf_counter()
            self.bar.set_postfix_str(f"{self.images / (now - self.time):.0f} images/s, loss {result.loss:.3f}")
            self.images, self.time = 0, now
            self.write(f"step {result.step:6d}  training accuracy {result.accuracy:.4f}  loss {result.loss:.4f}")

    def write(self, line):
        """Print a line above the bar."""
        self.bar.write(line)


class Evaluation:
    """Callback: the test accuracy at the end of every epoch."""

    def __init__(self, net, data, batch_size, logs, display):
        self.net, self.data, self.logs, self.display = net, data, logs, display
        self.epoch_steps = max(len(data.train_images) // batch_size, 1)
        self.last = None  # (step, test loss, test accuracy)

    def __call__(self, result):
        """Evaluate when an epoch is over."""
        if result.step % self.epoch_steps == 0:
            self.evaluate(result.step, result.seconds)

    def evaluate(self, step, seconds):
        """Evaluate now, unless this step was evaluated already; return the accuracy."""
        if self.last is None or self.last[0] != step:
            loss, accuracy = nn.train.evaluate(
                self.net, evaluation_batches(self.data.test_images, self.data.test_labels)
            )
            self.last = step, loss, accuracy
            for log in self.logs:
                log.evaluation(step=step, seconds=seconds, loss=loss, accuracy=accuracy)
            self.display.write(f"step {step:6d}  test accuracy {accuracy:.4f}  loss {loss:.4f}")
        return self.last[2]


class Clock:
    """Callback: the time of the last step."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, result):
        """Remember it."""
        self.seconds = result.seconds


class StopSignals:
    """Callback: ends the training after the step in which Ctrl-C or SIGTERM came; the second one acts at once.

    As a context manager it catches them between enter and exit only.
    """

    NAMES: ClassVar = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}

    def __enter__(self):
        self.got = None
        self.before = {number: signal.signal(number, self.catch) for number in self.NAMES}
        return self

    def __exit__(self, *_error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def catch(self, number, _frame):
        """Remember it, and let the next one through."""
        self.got = number
        signal.signal(number, self.before[number])

    def __call__(self, _result):
        """Stop when there was one."""
        if self.got is not None:
            raise nn.train.StopTraining


def train(options):
    """Load the data, train or go on, evaluate, save; return the exit status."""
    if options.threads:
        nn.set_num_threads(options.threads)
    data = nn.datasets.load(options.data, options.data_dir)
    fixed = {name: getattr(options, name) for name in FIXED} | {"data_sha256": data.checksum()}
    net = nn.models.MODELS[options.net](rng=np.random.default_rng(options.seed), algorithm=options.algorithm)
    optimizer = nn.Adam(net, lr=options.lr)
    make_batches = partial(
        TrainingBatches,
        data.train_images,
        data.train_labels,
        batch_size=options.batch_size,
        pipeline=options.pipeline,
        seed=options.seed,
    )
    make_batches().close()  # wrong options are found here, before a folder is made
    out = options.resume or make_out_folder(options, data.name)
    checkpoints = nn.train.Checkpoints(
        out / "checkpoints", net, optimizer, every=options.checkpoint_every, settings=fixed
    )
    with checkpoints:
        at = checkpoints.resume()
        if options.steps < at.step:
            raise ValueError(f"--steps must be at least {at.step}, the steps {out} has done, got {options.steps}")
        save_settings(out, options, data, fixed)
        print(f"data: {data.name}, {len(data.train_images)} training and {len(data.test_images)} test pictures")
        print(f"network: {options.net}; results go to {out}\n\n{net.summary((24, 24, 3))}\n", flush=True)
        if options.resume:
            print(f"going on after step {at.step}{at.notice and f'; {at.notice}'}", flush=True)
        with make_batches(start=at.step) as batches:
            return run(options, net, optimizer, data, batches, checkpoints, at, out)


def save_settings(out, options, data, fixed):
    """Write what this run was started with."""
    settings = {name: getattr(options, name) for name in DEFAULTS} | fixed
    settings |= {"out": out, "data_name": data.name, "class_names": data.class_names, "config": nn.config.current()}
    text = json.dumps(settings, indent=1, default=str) + "\n"
    nn.weights.write_atomically(out / "settings.json", text.encode())


def open_logs(options, at, out):
    """Return the logs of this run."""
    metrics = out / "metrics.csv"
    logs = [nn.train.MetricsCSV(metrics, resume_after=at.step if metrics.exists() else None)]
    if matplotlib_is_installed():
        logs.append(nn.train.CurvePlot(metrics, out / "curve.png"))
    if options.tensorboard:
        logs.append(nn.train.TensorBoard(out / "tensorboard"))
    return logs


def matplotlib_is_installed():
    """Return whether it is."""
    return importlib.util.find_spec("matplotlib") is not None


def run(options, net, optimizer, data, batches, checkpoints, at, out):
    """Train, save the weights, evaluate, report; return the exit status."""
    begin = time.perf_counter()
    logs = open_logs(options, at, out)
    with ExitStack() as stack:
        for log in logs:
            stack.enter_context(log)
        display = stack.enter_context(Display(at.step, options.steps, options.display_step))
        evaluation = Evaluation(net, data, options.batch_size, logs, display)
        clock = Clock(at.seconds)
        signals = stack.enter_context(StopSignals())
        done = nn.train.fit(
            net,
            batches,
            optimizer,
            steps=options.steps,
            callbacks=[clock, *logs, display, evaluation, checkpoints, signals],
            start=at.step,
            seconds=at.seconds,
            save_batch=out / "non_finite_batch.safetensors",
        )
        checkpoints.save(done, clock.seconds)
        if signals.got == signal.SIGTERM:
            display.write(f"ended by SIGTERM after {done} steps; to go on: {command_to_resume(out)}")
            return 128 + signal.SIGTERM
        net.save(out / "weights.safetensors")
        test_accuracy = evaluation.evaluate(done, clock.seconds)
    seconds = time.perf_counter() - begin
    steps, _ = nn.train.read_metrics(out / "metrics.csv")
    accuracies = [row["accuracy"] for row in steps[-1000:]]
    result = {
        "steps": done,
        "seconds": round(at.seconds + seconds, 1),
        "data_wait_seconds": round(batches.wait_seconds, 3),
        "data_name": data.name,
        "test_accuracy": test_accuracy,
        "training_accuracy": float(np.mean(accuracies)),
        "training_accuracy_steps": len(accuracies),
    }
    text = json.dumps(result, indent=1) + "\n"
    nn.weights.write_atomically(out / "result.json", text.encode())
    nn.report.write(out, net, data)
    print(
        f"\n{f'ended by {signals.NAMES[signals.got]} after' if signals.got else 'done:'} {done} steps in "
        f"{result['seconds']:.0f} s, {(done - at.step) * options.batch_size / seconds:.0f} images/s, evaluation "
        f"included; waited {batches.wait_seconds:.2f} s for data"
    )
    print(f"training accuracy {result['training_accuracy']:.4f} (mean of the last {len(accuracies)} steps)")
    print(f"test accuracy     {test_accuracy:.4f} (all {len(data.test_images)} pictures) on {data.name}")
    names = ["report.html", "weights.safetensors", "metrics.csv", "settings.json", "result.json", "checkpoints"]
    names.append("curve.png" if matplotlib_is_installed() else "no curve.png (matplotlib is not installed)")
    print(f"in {out}: {', '.join(names)}")
    if done < options.steps:
        print(f"to go on: {command_to_resume(out)}")
    return 0


def command_to_resume(out):
    """Return the command that goes on with a run."""
    return f"python examples/train_cifar.py --resume {out}"


def main(arguments=None):
    """Run; one line on stderr and exit status 2 when something the user gave is wrong."""
    try:
        return train(parse_arguments(arguments))
    except (ValueError, OSError, ImportError, DownloadError, nn.train.NonFiniteError) as error:
        print(f"train_cifar.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntrain_cifar.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
