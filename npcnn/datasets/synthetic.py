"""Ten classes of small drawn pictures, for machines without CIFAR-10 and without a network.

Each picture shows one figure - a disc, a ring, stripes, ... - of random size, place and colours on a background
that fades from one random colour to another, under noise.  Figure and background may be light or dark, so no
pixel on its own says anything: a linear classifier stays well under 60 %, the convolutional networks of
`npcnn.models` pass 90 %.

The pictures are written in the binary format of CIFAR-10 and read back by the same reader, so that whatever works
with them works with the real data.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets.cifar import ARCHIVE, CLASSES_FILE, SIZE, TEST_FILE, TRAINING_FILES, read_dataset
from npcnn.datasets.dataset import Dataset
from npcnn.functional.checks import integer

SEED = 1
RECORDS_PER_FILE = 4_000
VERSION = "synthetic-1"  # changes when the pictures do, so that an old cache is not taken for them

Floats: TypeAlias = NDArray[Any]


def _ring(u: Floats, v: Floats) -> Floats:
    distance = np.hypot(u, v)
    return (distance < 1) & (distance > 0.62)


def _frame(u: Floats, v: Floats) -> Floats:
    distance = np.maximum(np.abs(u), np.abs(v))
    return (distance < 0.9) & (distance > 0.55)


def _triangle(u: Floats, v: Floats) -> Floats:
    return (v < 0.8) & (v > 1.8 * np.abs(u) - 0.9)


# Each figure as the pixels it covers, u to the right and v downwards in units of its radius.
FIGURES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": lambda u, v: np.hypot(u, v) < 1,
    "ring": _ring,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) < 0.9,
    "frame": _frame,
    "triangle": _triangle,
    "plus": lambda u, v: (np.minimum(np.abs(u), np.abs(v)) < 0.28) & (np.maximum(np.abs(u), np.abs(v)) < 1),
    "cross": lambda u, v: (np.abs(np.abs(u) - np.abs(v)) < 0.35) & (np.maximum(np.abs(u), np.abs(v)) < 0.9),
    "rows": lambda u, v: (np.floor(2.5 * v + 50.25) % 2 == 0) & (np.maximum(np.abs(u), np.abs(v)) < 1),
    "columns": lambda u, v: (np.floor(2.5 * u + 50.25) % 2 == 0) & (np.maximum(np.abs(u), np.abs(v)) < 1),
    "diamond": lambda u, v: np.abs(u) + np.abs(v) < 1.1,
}


def draw(labels: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one picture for each label.

    Parameters
    ----------
    labels : ndarray, shape (N,), integers 0 to 9
        Which of `FIGURES` to draw.
    rng : numpy.random.Generator
        Source of sizes, places, colours and noise.

    Returns
    -------
    ndarray, shape (N, 32, 32, 3), uint8
        The figures lie inside the middle 24 x 24 pixels.

    Examples
    --------
    >>> from npcnn.datasets.synthetic import draw
    >>> draw(np.arange(10), np.random.default_rng(0)).shape
    (10, 32, 32, 3)
    """
    N = len(labels)
    radius = rng.uniform(5.0, 9.0, N)
    middle = (SIZE - 1) / 2
    rows, columns = (middle + rng.uniform(-1, 1, N) * (11.5 - radius) for _ in range(2))
    pixels = np.arange(SIZE)
    u = (pixels[None, None, :] - columns[:, None, None]) / radius[:, None, None]
    v = (pixels[None, :, None] - rows[:, None, None]) / radius[:, None, None]

    inside = np.zeros((N, SIZE, SIZE), bool)
    for label, figure in enumerate(FIGURES.values()):
        of_class = labels == label
        inside[of_class] = figure(u[of_class], v[of_class])

    # The background fades along a random direction; the figure is lighter or darker than it, in each channel.
    angle = rng.uniform(0, 2 * np.pi, N)[:, None, None]
    slope = (pixels[None, None, :] - middle) * np.cos(angle) + (pixels[None, :, None] - middle) * np.sin(angle)
    background = rng.uniform(80, 175, (N, 1, 1, 3)) + slope[..., None] * rng.uniform(-1.5, 1.5, (N, 1, 1, 3))
    contrast = rng.uniform(25, 70, (N, 1, 1, 3)) * rng.choice([-1, 1], (N, 1, 1, 1))
    pictures = background + inside[..., None] * contrast + rng.normal(0, 18, (N, SIZE, SIZE, 3))
    return np.asarray(np.clip(np.rint(pictures), 0, 255), dtype=np.uint8)


def write(folder: str | Path, *, records_per_file: int = RECORDS_PER_FILE, seed: int = SEED) -> Path:
    """Draw the data set and write it in the binary format of CIFAR-10.

    Parameters
    ----------
    folder : str or Path
        Folder to make ``cifar-10-batches-bin`` in; it appears when it is complete.
    records_per_file : int
        Pictures in each of the five training files and the test file.
    seed : int
        Of all the choices.

    Returns
    -------
    Path
        The folder ``cifar-10-batches-bin``; one that exists is left as it is.

    Raises
    ------
    TypeError, ValueError, OSError
        If a number is out of range, or the folder cannot be written.
    """
    integer(records_per_file, "records_per_file", minimum=1)
    integer(seed, "seed", minimum=0)
    target = Path(folder) / ARCHIVE.folder
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for number, file in enumerate((*TRAINING_FILES, TEST_FILE)):
            rng = np.random.default_rng([seed, number])
            labels = rng.integers(0, len(FIGURES), records_per_file)
            planes = draw(labels, rng).transpose(0, 3, 1, 2).reshape(records_per_file, -1)
            (temporary / file).write_bytes(np.column_stack([labels.astype(np.uint8), planes]).data)
        (temporary / CLASSES_FILE).write_text("\n".join(FIGURES) + "\n", "ascii")
        temporary.chmod(0o755)
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # unless another process was quicker
                raise
    except OSError as error:
        if error.filename is None:  # a full disk: a write names no file
            error.filename = str(target)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def load(cache: str | Path) -> Dataset:
    """Return the data set; the first time it is drawn into a folder of `cache`, which takes some seconds.

    Parameters
    ----------
    cache : str or Path
        Folder to keep it in.

    Returns
    -------
    Dataset
        20,000 pictures to train on, 4,000 to test.

    Raises
    ------
    OSError, DataError
        If the folder cannot be written, or what is in it is damaged.
    """
    folder = write(Path(cache) / VERSION)
    return read_dataset(folder, name="synthetic", records_per_file=RECORDS_PER_FILE)
