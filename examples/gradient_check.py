"""Check the gradient of every layer, and of a whole network, against central differences.

    python examples/gradient_check.py
    python examples/gradient_check.py --elements 200 --seed 7

Each layer is built in float64 with random weights and given a small random batch; `gradcheck`
then compares what `backward` says with what `forward` does when one number is moved a little.
A correct layer stays below 1e-7, the whole network below 1e-6 (its many ReLUs and max poolings
force the steps to be short, where rounding is felt).  The exit status is 1 if anything disagrees.

To check a layer of your own, add it to `layers` below, or call `gradcheck` as `main` does.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import warnings
from typing import Any

import numpy as np

import npcnn as nn
from npcnn.gradient_check import KinkWarning, gradcheck
from npcnn.train.command_line import at_least, exit_status

LAYER_TOLERANCE = 1e-7
NETWORK_TOLERANCE = 1e-6
COLUMNS = "  {:<44} {:>9} {:>9} {:>6} {:>12}  {}"
WIDTH = 100


def layers(rng: np.random.Generator) -> list[tuple[Any, tuple[int, ...]]]:
    """Return every kind of layer and the shape of a batch for it."""
    new: dict[str, Any] = {"rng": rng, "dtype": np.float64}
    pictures, rows = (2, 6, 5, 3), (4, 7)
    return [
        (nn.Conv2D(3, 4, 3, **new), pictures),
        (nn.Conv2D(3, 4, (3, 2), stride=2, dilation=(1, 2), **new), pictures),
        (nn.Conv2D(3, 4, 3, padding="valid", activation="relu", **new), pictures),
        (nn.Conv1D(3, 4, 5, axis="height", **new), pictures),
        (nn.Conv1D(3, 4, 3, axis="width", stride=2, padding=(2, 0), **new), pictures),
        (nn.Conv2D(6, 4, 3, groups=2, **new), (2, 6, 5, 6)),
        (nn.DepthwiseConv2D(3, 3, multiplier=2, **new), pictures),
        (nn.SpatiallySeparableConv2D(3, 4, 3, **new), pictures),
        (nn.DepthwiseSeparableConv2D(3, 4, 3, **new), pictures),
        (nn.Conv2DTranspose(3, 4, 3, stride=2, **new), pictures),
        (nn.Conv2DTranspose(3, 4, 3, stride=2, padding=1, output_padding=1, activation="relu", **new), pictures),
        (nn.UpSample2D(2), pictures),
        (nn.UpSample2D((2, 3), mode="bilinear"), pictures),
        (nn.ZeroPad2D((1, 2)), pictures),
        (nn.MaxPool2D(3, stride=2, padding="same"), pictures),
        (nn.AvgPool2D(2), pictures),
        (nn.AvgPool2D(2, stride=3, dilation=2, ceil_mode=True), pictures),
        (nn.GlobalAvgPool2D(), pictures),
        (nn.ReLU(), pictures),
        (nn.LeakyReLU(), pictures),
        (nn.Rescale(0.25), pictures),
        (nn.GELU(), pictures),
        (nn.GELU("tanh"), pictures),
        (nn.SiLU(), pictures),
        (nn.Sigmoid(), pictures),
        (nn.Tanh(), pictures),
        (nn.Softmax(), pictures),
        (nn.LogSoftmax(), pictures),
        (nn.Identity(), pictures),
        (nn.Flatten(), pictures),
        (nn.Flatten(channels_first=True), pictures),
        (nn.Dropout(0.5, rng=rng), rows),
        (nn.Dense(7, 5, **new), rows),
        (nn.BatchNorm(3, dtype=np.float64), pictures),
        (nn.LayerNorm(3, dtype=np.float64), pictures),
        (nn.Residual(nn.Conv2D(3, 3, 3, **new)), pictures),
        (nn.Add(nn.Conv2D(3, 2, 1, **new), nn.Conv2D(3, 2, 3, **new)), pictures),
        (nn.Concat(nn.Conv2D(3, 2, 1, **new), nn.Conv2D(3, 2, 3, **new)), pictures),
        (nn.Sequential(nn.Conv2D(3, 4, 3, **new), nn.Flatten(), nn.Dense(120, 2, **new)), pictures),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Print every layer, with a line for each of its arrays; return the exit status."""
    options = parse(arguments)
    rng = np.random.default_rng(options.seed)
    cases = [(layer, shape, repr(layer), LAYER_TOLERANCE) for layer, shape in layers(rng)]
    network = nn.models.cifar_separable(rng=rng, dtype=np.float64)
    cases.append((network, (1, 24, 24, 3), "models.cifar_separable", NETWORK_TOLERANCE))

    print(COLUMNS.format("array", "elements", "checked", "kinks", "worst error", "verdict"))
    all_ok = True
    for layer, shape, title, tolerance in cases:
        print(textwrap.fill(on_one_line(title), WIDTH, subsequent_indent="    "))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KinkWarning)  # the table counts them
            report = gradcheck(
                layer,
                rng.standard_normal(shape),
                tolerance=tolerance,
                max_elements=options.elements,
                seed=options.seed,
            )
        all_ok = all_ok and report.ok
        for check in report.arrays:
            print(COLUMNS.format(
                check.name, check.elements, check.checked, len(check.kinks),
                f"{check.relative_error:.1e}", check.verdict,
            ))  # fmt: skip
            if check.remark:
                print(textwrap.fill(check.remark, WIDTH, initial_indent="    ", subsequent_indent="    "))
    print("every gradient agrees" if all_ok else "a gradient is WRONG: see the lines that say FAILED")
    return 0 if all_ok else 1


def on_one_line(call: str) -> str:
    """Return a call that is written over several lines as one line."""
    return " ".join(call.split()).replace("( ", "(").replace(", )", ")")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        help="for weights, inputs and the choice of elements (default: %(default)s)",
    )
    parser.add_argument(
        "--elements",
        type=at_least(1),
        default=30,
        help="how many elements of each array to check (default: %(default)s)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(exit_status("gradient_check.py", main))
