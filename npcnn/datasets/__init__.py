"""Data to train on: pictures of your own, CIFAR-10 and others, a drawn stand-in for it; the way from files to batches.

==================  ==========================================================
`dataset`           what a data set is, once it is read; made from arrays
`step`              what a step on the way of a picture into a network is
`steps`             crops, mirrors, standardises: the usual ones
`checks`            of what a user hands in as pictures and labels
`cifar`             reads the binary versions of CIFAR-10 and CIFAR-100
`idx`               reads MNIST, Fashion-MNIST, and what else comes in their format
`synthetic`         draws ten classes of small pictures into the same format
`cache`             where files are kept, and a lock for it
`download`          fetches an archive or files, resumed when broken off, checked before they are unpacked
`sources`           which data set to use, and where it is
`pipeline`          batches, prepared in a thread; the article's two lists of steps
`pictures`          reads picture files of the usual formats
`folders`           reads a folder of them, one sub-folder for each class
==================  ==========================================================

A new data set is a file such as `cifar`, with an `Archive` and a function that reads its folder, and a line in
`sources`.  Nothing here knows of layers: data meets a network in `npcnn.train`.
"""

from npcnn.datasets.cifar import read_cifar100, read_dataset
from npcnn.datasets.dataset import Dataset, from_arrays
from npcnn.datasets.download import Archive, DownloadError, File, Files
from npcnn.datasets.folders import from_folder
from npcnn.datasets.idx import from_idx
from npcnn.datasets.pipeline import (
    TrainingBatches,
    distorted_inputs,
    evaluation_batches,
    inputs,
)
from npcnn.datasets.sources import cifar10, cifar100, fashion_mnist, load, mnist

__all__ = [
    "Archive",
    "Dataset",
    "DownloadError",
    "File",
    "Files",
    "TrainingBatches",
    "cifar10",
    "cifar100",
    "distorted_inputs",
    "evaluation_batches",
    "fashion_mnist",
    "from_arrays",
    "from_folder",
    "from_idx",
    "inputs",
    "load",
    "mnist",
    "read_cifar100",
    "read_dataset",
]
