"""The command: ``python -m npcnn.explain WEIGHTS PICTURE -o explorer.html``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from npcnn import explain, models, prediction, train
from npcnn.datasets import sources
from npcnn.datasets.cifar import CLASS_NAMES
from npcnn.datasets.pictures import FORMATS
from npcnn.errors import to_install


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options; argparse prints one line and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m npcnn.explain", description="Open a trained network as a page.")
    parser.add_argument("weights", type=Path, help="a trained network: weights.safetensors")
    parser.add_argument("picture", help=f"number of a test picture, or one of {', '.join(FORMATS)}")
    parser.add_argument("-o", "--out", type=Path, default=Path("explorer.html"), help="default: %(default)s")
    known = ", ".join(sources.NAMES)
    text = f"of the test picture: {known}, or a folder of pictures; default: what it was trained on"
    parser.add_argument("--data", default="auto", help=text)
    parser.add_argument("--data-dir", type=Path, help="folder of the files, likewise")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; one line on stderr and exit status 2 when something the user gave is wrong."""
    options = parse_arguments(arguments)
    try:
        net = models.load(options.weights)
        names = net.classes or train.class_names_of(options.weights) or CLASS_NAMES
        if options.picture.isdecimal():
            data = train.data_of(options.weights, options.data, options.data_dir)
            number = int(options.picture)
            if number >= len(data.test_images):
                raise ValueError(f"picture must be a file or a number below {len(data.test_images)}, got {number}")
            # If the data has other classes than the network, the label means nothing.
            label = int(data.test_labels[number]) if data.classes == names else None
            picture = data.test_images[number]
        else:
            picture, label = prediction.read(net, options.picture), None
        title = f"{options.weights.name}, picture {Path(options.picture).name}"
        explanation = explain.picture(
            net, prediction.inputs(net, picture[None])[0], class_names=names, label=label, title=title
        )
        explanation.save(options.out)
    except ImportError as error:
        print(f"npcnn.explain: error: {error}; install what pictures need: {to_install('plot')}", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"npcnn.explain: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    share = explanation.probabilities[explanation.predicted]
    print(f"{names[explanation.predicted]} {share:.1%}; open {options.out} in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
