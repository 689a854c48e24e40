"""Data to train on: CIFAR-10, a drawn stand-in for it, and the way from files to batches.

==================  ==========================================================
`cifar10`           reads the binary version
`download`          fetches it, resumed when broken off, checked before it is unpacked
`sources`           which data to use, and where they are
`synthetic`         draws ten classes of small pictures into the same format
`pipeline`          crops, distorts, standardises; batches made in a thread
`pictures`          reads any picture into the same format
==================  ==========================================================

Nothing here knows of layers: data meets a network in `npcnn.train`.
"""

from npcnn.datasets.cifar10 import Dataset, read_dataset
from npcnn.datasets.download import DownloadError
from npcnn.datasets.pipeline import (
    TrainingBatches,
    distorted_inputs,
    evaluation_batches,
    inputs,
)
from npcnn.datasets.sources import load

__all__ = [
    "Dataset",
    "DownloadError",
    "TrainingBatches",
    "distorted_inputs",
    "evaluation_batches",
    "inputs",
    "load",
    "read_dataset",
]
