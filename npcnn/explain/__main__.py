"""The command: ``python -m npcnn.explain WEIGHTS PICTURE -o explorer.html``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from npcnn import explain, models
from npcnn.datasets import inputs, sources
from npcnn.datasets.cifar10 import CLASS_NAMES
from npcnn.datasets.pictures import read_picture


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options; argparse prints one line and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m npcnn.explain", description="Open a trained network as a page.")
    parser.add_argument("weights", type=Path, help="what examples/train_cifar.py left: weights.safetensors")
    parser.add_argument("picture", help="any that Pillow opens, or the number of a test picture of CIFAR-10")
    parser.add_argument("-o", "--out", type=Path, default=Path("explorer.html"), help="default: %(default)s")
    parser.add_argument("--data", choices=sources.NAMES, default="auto", help="for the number of a test picture")
    parser.add_argument("--data-dir", type=Path, help="folder of the CIFAR-10 binary files, likewise")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; one line on stderr and exit status 2 when something the user gave is wrong."""
    options = parse_arguments(arguments)
    try:
        net = models.load(options.weights)
        names = _class_names(options.weights)
        if options.picture.isdecimal():
            data, number = sources.load(options.data, options.data_dir), int(options.picture)
            if number >= len(data.test_images):
                raise ValueError(f"picture must be a file or a number below {len(data.test_images)}, got {number}")
            # If the data has other classes than the network, the label means nothing.
            label = int(data.test_labels[number]) if tuple(data.class_names) == tuple(names) else None
            picture = data.test_images[number]
        else:
            picture, label = read_picture(options.picture), None
        title = f"{options.weights.name}, picture {Path(options.picture).name}"
        explanation = explain.picture(net, inputs(picture[None])[0], class_names=names, label=label, title=title)
        explanation.save(options.out)
    except ImportError as error:
        print(f"npcnn.explain: error: {error}; install what pictures need: pip install npcnn[plot]", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"npcnn.explain: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    share = explanation.probabilities[explanation.predicted]
    print(f"{names[explanation.predicted]} {share:.1%}; open {options.out} in a browser")
    return 0


def _class_names(path: Path) -> Sequence[str]:
    """Return the names the network was trained with, from settings.json beside its weights, or those of CIFAR-10."""
    settings = path.with_name("settings.json")
    if not settings.exists():
        return CLASS_NAMES
    try:
        return [str(name) for name in json.loads(settings.read_text())["class_names"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{settings} is damaged ({error!r}); remove it to take CIFAR-10's classes") from error


if __name__ == "__main__":
    sys.exit(main())
