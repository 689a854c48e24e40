"""Ask a trained network what is in your pictures.

    python examples/predict.py runs/separable-cifar-10-inputs-seed0/weights.safetensors cat.jpg dog.png

Any network will do whose file remembers what it was trained on: those of train_cifar.py, train_your_pictures.py and
python -m npcnn.train do.  Each picture, PNG or JPEG for example, is brought to the size of the training pictures (for
CIFAR-10 its middle square) and prepared as in training.  The classes it could be are printed with bars, and drawn
beside the picture into one PNG for each.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import npcnn as nn
from npcnn.datasets.cifar import CLASS_NAMES
from npcnn.datasets.pictures import FORMATS
from npcnn.train.command_line import at_least, exit_status

BAR = 40  # characters of a probability of 1


def parse_arguments(arguments=None):
    """Return the options; argparse prints one line and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a trained network: weights.safetensors", type=Path)
    parser.add_argument("pictures", help=f"one of {', '.join(FORMATS)}", type=Path, nargs="+", metavar="picture")
    parser.add_argument("--top", help="classes to show; default: 3", type=at_least(1), default=3, metavar="N")
    parser.add_argument("--out", help="folder for the drawings; default: the current one", type=Path, default=Path())
    return parser.parse_args(arguments)


def bars(names, probabilities, top):
    """Return the likeliest classes as lines: name, bar, share."""
    likeliest = np.argsort(-probabilities, kind="stable")[:top]
    width = max(map(len, names))
    return "\n".join(
        f"  {names[i]:{width}s} {probabilities[i]:6.1%} {'#' * round(BAR * probabilities[i])}" for i in likeliest
    )


def drawing_path(folder, picture):
    """Return a path for the drawing of a picture that no file has yet."""
    number = 1
    while True:
        path = folder / f"{picture.stem}-prediction{'' if number == 1 else f'-{number}'}.png"
        if not path.exists():
            return path
        number += 1


def predict(arguments):
    """Print and draw what the network makes of each picture; return the exit status."""
    options = parse_arguments(arguments)
    net = nn.load(options.weights)
    names = net.classes or nn.train.class_names_of(options.weights)
    if names is None:
        print(f"{options.weights} does not name its classes: taking them to be those of CIFAR-10")
        names = CLASS_NAMES
    if options.top > len(names):
        raise ValueError(f"--top must be at most {len(names)}, the classes of the network, got {options.top}")
    pictures = [nn.prediction.read(net, path) for path in options.pictures]  # all of them, before anything is written
    options.out.mkdir(parents=True, exist_ok=True)
    for path, picture in zip(options.pictures, pictures, strict=True):
        probabilities = nn.prediction.classify(net, picture[None])[0]
        drawing = drawing_path(options.out, path)
        nn.plot.prediction(picture, probabilities, names, top=options.top).figure.savefig(drawing, dpi=110)
        print(f"{path}\n{bars(names, probabilities, options.top)}\n  drawn in {drawing}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("predict.py", predict))
