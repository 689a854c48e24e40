"""See what a trained network gets right and wrong on the test pictures.

    python examples/evaluate.py runs/separable-cifar-10-inputs-seed0/weights.safetensors

The data is that of the training, unless other data is named.  Prints the accuracy and a table of the classes; draws the
confusion matrix and the pictures that were classified wrongly with the most confidence, to confusion.png and
mistakes.png in --out.
"""

import argparse
import sys
from pathlib import Path

import npcnn as nn
from npcnn.datasets import evaluation_batches
from npcnn.train.command_line import exit_status

MISTAKES = 24


def parse_arguments(arguments=None):
    """Return the options; argparse prints one line and exits with 2 when they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a trained network: weights.safetensors", type=Path)
    known = ", ".join(nn.datasets.sources.NAMES)
    parser.add_argument(
        "--data", help=f"{known}, or a folder of pictures; default: what it was trained on", default="auto"
    )
    parser.add_argument("--data-dir", help="folder of the files; default: that of the training", type=Path)
    parser.add_argument("--views", help="look at each picture six times: shifted, mirrored", action="store_true")
    parser.add_argument("--out", help="folder for the drawings; default: that of the weights", type=Path)
    return parser.parse_args(arguments)


def table(matrix, names):
    """Return recall and precision of every class as lines."""
    lines = [f"{'class':12s} pictures  recall  precision  most often taken for"]
    for i, (name, score) in enumerate(zip(names, nn.evaluation.class_scores(matrix), strict=True)):
        wrong = matrix[i].copy()
        wrong[i] = 0
        other = f"{names[wrong.argmax()]} ({wrong.max()})" if wrong.any() else "-"
        lines.append(f"{name:12s} {score.pictures:8d} {score.recall:7.3f} {score.precision:10.3f}  {other}")
    return "\n".join(lines)


def evaluate(arguments):
    """Print and draw; return the exit status."""
    options = parse_arguments(arguments)
    net = nn.load(options.weights)
    data = nn.train.data_of(options.weights, options.data, options.data_dir, net=net)
    if len(data.classes) != net.output_shape(data.input_shape)[-1]:
        raise ValueError(f"the network has other classes than {data.name}, which has {len(data.classes)}")
    out = options.out or options.weights.parent
    out.mkdir(parents=True, exist_ok=True)
    probabilities, labels = nn.evaluation.predict(
        nn.evaluation.Views(net) if options.views else net, evaluation_batches(data)
    )
    predicted = probabilities.argmax(axis=1)
    matrix = nn.evaluation.confusion_matrix(labels, predicted, len(data.classes))
    right = matrix.diagonal().sum()
    print(f"test accuracy {right / len(labels):.4f} ({right} of {len(labels)} pictures) on {data.name}\n")
    print(f"{table(matrix, data.classes)}\n", flush=True)
    drawn = {"confusion.png": nn.plot.confusion_matrix(matrix, data.classes)}
    worst = nn.evaluation.worst_mistakes(probabilities, labels, MISTAKES)
    if len(worst):
        titles = nn.evaluation.mistake_titles(probabilities[worst], labels[worst], data.classes)
        drawn["mistakes.png"] = nn.plot.pictures(data.test_images[worst], titles)
    for name, ax in drawn.items():
        ax.figure.savefig(out / name, dpi=110)
    print(f"in {out}: {', '.join(drawn)}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("evaluate.py", evaluate))
