"""Small data sets in MNIST's format, written byte by byte as its page describes it."""

import gzip
import struct

import numpy as np

# As they are in MNIST and Fashion-MNIST: the reader tells the two apart by them.
FIRST_LABELS = {"mnist": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9], "fashion-mnist": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]}


def idx(array):
    """Return an array of bytes as the content of an IDX file."""
    content = bytearray([0, 0, 8, array.ndim])
    for length in array.shape:
        content += struct.pack(">i", length)
    return bytes(content) + bytes(array.ravel().tolist())


def contents(name="mnist", *, train=12, size=(28, 28), compressed=True, seed=0):
    """Return the content of each of the four files, and the arrays in them in the order of the names."""
    rng = np.random.default_rng(seed)
    test_labels = np.array(FIRST_LABELS[name], np.uint8)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (train, *size), dtype=np.uint8),
        "train-labels-idx1-ubyte": rng.integers(0, 10, train, dtype=np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (10, *size), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": test_labels,
    }
    files = {file: idx(array) for file, array in arrays.items()}
    if compressed:
        files = {f"{file}.gz": gzip.compress(content, mtime=0) for file, content in files.items()}
    return files, list(arrays.values())
