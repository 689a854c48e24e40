"""Data to train on: CIFAR-10, a drawn stand-in for it, and the way from files to batches.

==================  ==========================================================
`dataset`           what a data set is, once it is read; made from arrays
`steps`             crops, mirrors, standardises: the way of a picture into a network
`cifar10`           reads the binary version of CIFAR-10
`synthetic`         draws ten classes of small pictures into the same format
`download`          fetches an archive, resumed when broken off, checked before it is unpacked
`sources`           which data set to use, and where it is
`pipeline`          batches, prepared in a thread; the article's two lists of steps
`pictures`          reads picture files of the usual formats into the same
==================  ==========================================================

A new data set is a file such as `cifar10`, with an `Archive` and a function that reads its folder, and a line in
`sources`.  Nothing here knows of layers: data meets a network in `npcnn.train`.
"""

from npcnn.datasets.cifar10 import read_dataset
from npcnn.datasets.dataset import Dataset, from_arrays
from npcnn.datasets.download import Archive, DownloadError
from npcnn.datasets.pipeline import (
    TrainingBatches,
    distorted_inputs,
    evaluation_batches,
    inputs,
)
from npcnn.datasets.sources import load

__all__ = [
    "Archive",
    "Dataset",
    "DownloadError",
    "TrainingBatches",
    "distorted_inputs",
    "evaluation_batches",
    "from_arrays",
    "inputs",
    "load",
    "read_dataset",
]
