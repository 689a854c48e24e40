"""Small data sets in the binary formats of CIFAR-10 and CIFAR-100, written byte by byte as their page says."""

import numpy as np

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FILES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


NAMES_100 = {kind: [f"{kind} {k}" for k in range(count)] for kind, count in (("coarse", 20), ("fine", 100))}


def record(labels, picture):
    """Return one record: the label or labels, then all red, all green, all blue."""
    content = bytearray(np.atleast_1d(labels).tolist())
    for channel in range(3):
        for row in range(32):
            content += bytes(int(picture[row, column, channel]) for column in range(32))
    return bytes(content)


def contents(records=2, seed=0):
    """Return the content of each file of a data set, and the pictures and labels that are in them."""
    rng = np.random.default_rng(seed)
    files, pictures, labels = {"batches.meta.txt": ("\n".join(NAMES) + "\n\n").encode()}, [], []
    for name in FILES:
        pictures.append(rng.integers(0, 256, (records, 32, 32, 3), dtype=np.uint8))
        labels.append(rng.integers(0, 10, records))
        files[name] = b"".join(record(*pair) for pair in zip(labels[-1], pictures[-1], strict=True))
    return files, pictures, labels


def contents_100(records=2, seed=0):
    """Return the content of each file of a CIFAR-100, the pictures, and the labels (N, 2), coarse and fine."""
    rng = np.random.default_rng(seed)
    files = {f"{kind}_label_names.txt": ("\n".join(names) + "\n\n").encode() for kind, names in NAMES_100.items()}
    pictures, labels = [], []
    for name in ("train.bin", "test.bin"):
        pictures.append(rng.integers(0, 256, (records, 32, 32, 3), dtype=np.uint8))
        labels.append(rng.integers(0, [20, 100], (records, 2)))
        files[name] = b"".join(record(*pair) for pair in zip(labels[-1], pictures[-1], strict=True))
    return files, pictures, labels


def write(folder, files):
    """Write the files into a new folder; return it."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
