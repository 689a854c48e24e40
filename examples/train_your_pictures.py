"""Train a network on your own pictures: a folder with one sub-folder for each class.

    python examples/train_your_pictures.py pictures

It leaves weights.safetensors, history.png and explorer.html, the network as a page to explore, in the current folder.
"""

import sys

import numpy as np

import npcnn as nn
from npcnn.datasets import steps
from npcnn.train.command_line import exit_status


def train(arguments):
    """Train on the folder that is named, save, report; return the exit status."""
    if len(arguments) != 1:
        raise ValueError(f"name one folder, with a sub-folder for each class, got {len(arguments)}")
    data = nn.datasets.from_folder(arguments[0], size=(64, 64), unreadable="skip")
    data = data.with_steps([steps.standardise(*data.statistics())])
    net = nn.models.simple_cnn(classes=len(data.classes), rng=np.random.default_rng(0))
    history = nn.train.fit(
        net, data, nn.AdamW(net, 2e-3), epochs=30, batch_size=32, validation=0.1,
        augment=[steps.random_crop(64, padding=6), steps.mirror()],
        callbacks=[nn.train.Progress(), nn.train.EarlyStopping(patience=8, net=net)],
    )  # fmt: skip
    accuracy = nn.train.evaluate(net, nn.datasets.evaluation_batches(data))[1]
    print(f"test accuracy {accuracy:.3f} (all {len(data.test_labels)} pictures put aside), classes {data.classes}")
    net.save("weights.safetensors")
    history.plot().figure.savefig("history.png")
    explanation = nn.explain.picture(net, data.inputs(data.test_images[:1])[0], class_names=data.classes)
    explanation.save("explorer.html")
    print("open explorer.html in a browser; for other pictures: python examples/predict.py weights.safetensors PICTURE")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("train_your_pictures.py", train, sys.argv[1:]))
