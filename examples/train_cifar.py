"""Train a network on CIFAR-10: the article's recipe, and its variations.

    python examples/train_cifar.py                                   # the article's network, 15,000 steps
    python examples/train_cifar.py --net plain --steps 2000
    python examples/train_cifar.py --data-dir path/to/cifar-10-batches-bin --pipeline distorted

Everything a run leaves is in one folder: weights.safetensors, metrics.csv, settings.json, result.json
and, when matplotlib is installed, curve.png.  Ctrl-C ends it after the current step, with what was learnt saved.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import npcnn as nn
from npcnn.datasets import TrainingBatches, evaluation_batches
from npcnn.datasets.download import DownloadError


def parse_arguments(arguments=None):
    """Return the options; argparse prints one line and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--net", choices=nn.models.MODELS, default="separable", help="default: %(default)s, the article's")
    add("--algorithm", choices=("auto", "im2col"), default="auto", help="of the convolutions; default: %(default)s")
    add("--data", choices=nn.datasets.sources.NAMES, default="auto", help="auto: CIFAR-10 if it can be had")
    add("--data-dir", type=Path, help="folder of the CIFAR-10 binary files; default: $NPCNN_DATA, or downloaded")
    add(
        "--pipeline",
        choices=nn.datasets.pipeline.PIPELINES,
        default="inputs",
        help="inputs: the middle; distorted: drawn crop, mirroring, brightness, contrast (default: %(default)s)",
    )
    add("--steps", type=at_least(1), default=15_000, help="default: %(default)s")
    add("--batch-size", type=at_least(1), default=128, help="default: %(default)s")
    add("--lr", type=learning_rate, default=1e-4, help="learning rate of Adam; default: %(default)s")
    add("--display-step", type=at_least(1), default=200, help="steps between lines; default: %(default)s")
    add("--seed", type=at_least(0), default=0, help="of weights, order and distortions; default: %(default)s")
    add("--threads", type=at_least(1), help="default: all cores")
    add("--out", type=Path, help="empty or new folder for the results; default: runs/NAME, numbered")
    return parser.parse_args(arguments)


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
            raise FileExistsError(f"--out {options.out} exists and is not an empty folder; name another")
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

    def __init__(self, steps, every):
        self.every = every
        self.bar = tqdm(total=steps, unit="step", dynamic_ncols=True, mininterval=0.5)
        self.last_seconds, self.last_step = 0.0, 0

    def __call__(self, result):
        """Advance the bar; print the line when it is due."""
        self.bar.update()
        if result.step % self.every == 0:
            speed = (result.step - self.last_step) * result.images / (result.seconds - self.last_seconds)
            self.last_seconds, self.last_step = result.seconds, result.step
            self.bar.set_postfix_str(f"{speed:.0f} images/s, loss {result.loss:.3f}")
            self.write(f"step {result.step:6d}  training accuracy {result.accuracy:.4f}  loss {result.loss:.4f}")

    def write(self, line):
        """Print a line above the bar."""
        self.bar.write(line)


class Evaluation:
    """Callback: the test accuracy at the end of every epoch."""

    def __init__(self, net, data, batch_size, metrics, display):
        self.net, self.data, self.metrics, self.display = net, data, metrics, display
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
            self.metrics.evaluation(step=step, seconds=seconds, loss=loss, accuracy=accuracy)
            self.display.write(f"step {step:6d}  test accuracy {accuracy:.4f}  loss {loss:.4f}")
        return self.last[2]


class CtrlC:
    """Callback: ends the training after the step in which Ctrl-C was pressed; pressed again, everything at once.

    As a context manager it catches Ctrl-C between enter and exit only.
    """

    def __enter__(self):
        self.pressed = False
        self.before = signal.signal(signal.SIGINT, self.press)
        return self

    def __exit__(self, *_error):
        signal.signal(signal.SIGINT, self.before)

    def press(self, _number, _frame):
        """Remember it, and let the next one through."""
        self.pressed = True
        signal.signal(signal.SIGINT, self.before)

    def __call__(self, _result):
        """Stop when it was pressed."""
        if self.pressed:
            raise nn.train.StopTraining


class Recent:
    """Callback: the last thousand training accuracies, and the time of the last step."""

    def __init__(self):
        self.accuracies, self.seconds = [], 0.0

    def __call__(self, result):
        """Remember them."""
        self.seconds = result.seconds
        self.accuracies = [*self.accuracies[-999:], result.accuracy]


def save_curve(out):
    """Draw the training curve into the folder if matplotlib is installed; return whether it was."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    nn.plot.training_curve(out / "metrics.csv", ax=figure.subplots())
    figure.savefig(out / "curve.png", dpi=120)
    return True


def train(options):
    """Load the data, train, evaluate, save."""
    if options.threads:
        nn.set_num_threads(options.threads)
    data = nn.datasets.load(options.data, options.data_dir)
    with TrainingBatches(
        data.train_images,
        data.train_labels,
        batch_size=options.batch_size,
        pipeline=options.pipeline,
        seed=options.seed,
    ) as batches:
        out = make_out_folder(options, data.name)
        save_settings(out, options, data)
        net = nn.models.MODELS[options.net](rng=np.random.default_rng(options.seed), algorithm=options.algorithm)
        print(f"data: {data.name}, {len(data.train_images)} training and {len(data.test_images)} test pictures")
        print(f"network: {options.net}; results go to {out}\n\n{net.summary((24, 24, 3))}\n", flush=True)
        result = run(options, net, data, batches, out)
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    names = ["weights.safetensors", "metrics.csv", "settings.json", "result.json"]
    names.append("curve.png" if save_curve(out) else "no curve.png (matplotlib is not installed)")
    print(f"in {out}: {', '.join(names)}")


def save_settings(out, options, data):
    """Write what this run was started with."""
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    settings |= {"out": str(out), "data_name": data.name, "data_sha256": data.checksum()}
    (out / "settings.json").write_text(json.dumps(settings | {"config": nn.config.config()}, indent=1) + "\n")


def run(options, net, data, batches, out):
    """Train, save the weights, evaluate; print and return the result."""
    recent = Recent()
    begin = time.perf_counter()
    with nn.train.MetricsCSV(out / "metrics.csv") as metrics:
        display = Display(options.steps, options.display_step)
        evaluation = Evaluation(net, data, options.batch_size, metrics, display)
        with CtrlC() as ctrl_c:
            done = nn.train.fit(
                net,
                batches,
                nn.Adam(net, lr=options.lr),
                steps=options.steps,
                callbacks=[recent, metrics, display, evaluation, ctrl_c],
            )
        net.save(out / "weights.safetensors")
        test_accuracy = evaluation.evaluate(done, recent.seconds)
        display.bar.close()
    seconds = time.perf_counter() - begin
    training_accuracy = float(np.mean(recent.accuracies))
    print(
        f"\n{'ended by Ctrl-C after' if ctrl_c.pressed else 'done:'} {done} steps in {seconds:.0f} s, "
        f"{done * options.batch_size / seconds:.0f} images/s, evaluation included; "
        f"waited {batches.wait_seconds:.2f} s for data"
    )
    print(f"training accuracy {training_accuracy:.4f} (mean of the last {len(recent.accuracies)} steps)")
    print(f"test accuracy     {test_accuracy:.4f} (all {len(data.test_images)} pictures) on {data.name}")
    return {
        "steps": done,
        "seconds": round(seconds, 1),
        "data_wait_seconds": round(batches.wait_seconds, 3),
        "data_name": data.name,
        "test_accuracy": test_accuracy,
        "training_accuracy": training_accuracy,
        "training_accuracy_steps": len(recent.accuracies),
    }


def main(arguments=None):
    """Run; one line on stderr and exit status 2 when something the user gave is wrong."""
    options = parse_arguments(arguments)
    try:
        train(options)
    except (ValueError, OSError, DownloadError, nn.train.NonFiniteLossError) as error:
        print(f"train_cifar.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntrain_cifar.py: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
