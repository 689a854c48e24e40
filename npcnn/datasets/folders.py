"""Pictures of your own in a folder, one sub-folder for each class.

They are read once, scaled to one size, and kept as plain bytes in the user's cache; a data set maps these files into
memory.  So the pictures may be more than fit in memory: the system reads those that a batch asks for, in the thread
that prepares the batches, and forgets them when it needs the room.  The files are kept in a folder whose name is
computed from all that decides their content, among it the names, lengths and times of the pictures: when one of these
changes, they are made anew.  The folder appears when it is complete.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets.cache import cache_folder, expanded, locked
from npcnn.datasets.dataset import Dataset
from npcnn.datasets.pictures import MODES, read_whole_picture
from npcnn.datasets.steps import Function, checked
from npcnn.errors import DataError, to_install
from npcnn.functional.checks import integer, number, pair, shown

VERSION = "folder-1"  # changes when what is made of a picture does, so that old files are not taken for it
ABOUT = "about.json"
PARTS = ("train", "test")

Labelled: TypeAlias = tuple[Path, int]  # a picture file, and the number of its class


def from_folder(
    folder: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int = 3,
    test_share: float = 0.2,
    seed: int = 0,
    unreadable: str = "stop",
    steps: Sequence[Function] = (),
    cache: str | Path | None = None,
) -> Dataset:
    """Read the pictures in a folder that has one sub-folder for each class.

    Files and folders whose names begin with a dot are left out, and so are files beside the sub-folders.

    Parameters
    ----------
    folder : str or Path
        The folder; ``~`` is the home folder.  The names of its sub-folders become those of the classes.
    size : int or (int, int), optional
        Height and width that each picture is scaled to, as a whole: nothing is cut off.  By default nothing is scaled,
        and the pictures must all be of one size.
    channels : 3 or 1
        Red, green and blue, or shades of grey.
    test_share : float
        Share of the pictures of each class to put aside for the test, from 0 to below 1.
    seed : int
        Which ones, and the order.  Both depend on the names of the files and the seed alone.
    unreadable : "stop" or "skip"
        What to do about a file that cannot be read as a picture: raise an error that names it, or name it on stderr
        and go on without it.
    steps : list of functions
        The way of a picture into the network, see `npcnn.datasets.steps`; by default nothing is done.
    cache : str or Path, optional
        Where to keep the scaled pictures, H * W * channels bytes for each; by default ``pictures`` in the user's
        cache.  What is in there may be deleted; it will be made again.

    Returns
    -------
    Dataset
        Its pictures are mapped files, `numpy.memmap`, and cannot be written to.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    OSError
        If the folder cannot be read, or the cache cannot be written.
    DataError
        If there are not at least two sub-folders, one of them has no pictures or has a folder in it, or a picture
        cannot be read or is of another size.
    TypeError, ValueError
        If another argument is not of the form above, or a class is left without training pictures.

    Examples
    --------
    >>> nn.datasets.from_folder("no/such/folder", size=(64, 64))
    Traceback (most recent call last):
        ...
    FileNotFoundError: there is no folder no/such/folder
    """
    folder, steps = expanded(folder), checked(steps, "steps", random=False)
    shape = None if size is None else pair(size, "size", minimum=1)
    if integer(channels, "channels", minimum=1) not in MODES:
        raise ValueError(f"channels must be 3 (red, green, blue) or 1 (grey), got {channels}")
    share, seed = number(test_share, "test_share", minimum=0, below=1), integer(seed, "seed", minimum=0)
    if unreadable not in ("stop", "skip"):
        raise ValueError(f'unreadable must be "stop" or "skip", got {shown(unreadable)}')
    classes = _classes(folder)
    parts = _split(classes, share, seed)
    home = cache_folder() / "pictures" if cache is None else expanded(cache)
    kept = home / _key(folder, parts, shape, channels)
    if not kept.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / ".lock", f"reading the pictures in {folder}"):
            if not kept.is_dir():  # no other process was quicker
                _keep(kept, folder, parts, shape, channels, stop=unreadable == "stop")
    about = _read_about(kept)
    if about["unreadable"] and unreadable == "stop":
        raise DataError(_advice(about["unreadable"][0]))
    for line in about["unreadable"]:
        print(f"left out: {line}", file=sys.stderr, flush=True)
    labels = [np.array(about[part], np.int64) for part in PARTS]
    for number_of_class, name in enumerate(classes):
        if number_of_class not in labels[0]:
            raise DataError(f"no training picture in {folder / name} can be read; mend them or remove this sub-folder")
    train_images, test_images = (
        _mapped(kept, part, (len(there), *about["shape"])) for part, there in zip(PARTS, labels, strict=True)
    )
    return Dataset(
        name=folder.resolve().name,
        folder=folder,
        train_images=train_images,
        train_labels=labels[0],
        test_images=test_images,
        test_labels=labels[1],
        classes=tuple(classes),
        steps=steps,
    )


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each sub-folder, all in the order of their names, whatever order the system has."""
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    sub_folders = [path for path in _visible(folder) if path.is_dir()]
    if len(sub_folders) < 2:
        raise DataError(
            f"{folder} has {len(sub_folders)} sub-folders, expected one for each class, at least two; "
            "sort the pictures into sub-folders named as the classes"
        )
    files = {sub_folder.name: _visible(sub_folder) for sub_folder in sub_folders}
    for name, paths in files.items():
        if not paths:
            raise DataError(f"there are no pictures in {folder / name}; add some or remove this sub-folder")
        for path in paths:
            if path.is_dir():
                raise DataError(
                    f"{path} is a folder, expected pictures there; name the folder whose sub-folders hold the pictures "
                    "themselves"
                )
    return files


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _split(classes: dict[str, list[Path]], share: float, seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """Return the training and the test files in a drawn order; in both a class has the share that it has in all."""
    train: list[Labelled] = []
    test: list[Labelled] = []
    for label, (name, paths) in enumerate(classes.items()):
        order = np.random.default_rng([seed, label]).permutation(len(paths))
        count = int(share * len(paths) + 0.5)
        if count == len(paths):
            raise ValueError(
                f"test_share must leave a training picture of each class, but {share:g} of the {len(paths)} of "
                f"{name!r} are all of them; add pictures or use a smaller share"
            )
        test += [(paths[place], label) for place in order[:count]]
        train += [(paths[place], label) for place in order[count:]]
    rng = np.random.default_rng([seed, len(classes)])
    # Not class after class: whoever takes only the first pictures shall see all classes.
    return [train[place] for place in rng.permutation(len(train))], [
        test[place] for place in rng.permutation(len(test))
    ]


def _key(folder: Path, parts: Iterable[list[Labelled]], shape: tuple[int, int] | None, channels: int) -> str:
    """Return a name that changes with anything that decides which bytes are kept."""
    digest = hashlib.sha256(repr((VERSION, str(folder.resolve()), shape, channels)).encode(errors="surrogateescape"))
    for part in parts:
        digest.update(b"part")
        for path, label in part:
            about = path.stat() if path.exists() else None  # a link may lead nowhere
            digest.update(repr((path.name, label, about and (about.st_size, about.st_mtime_ns))).encode())
    return digest.hexdigest()[:32]


def _keep(
    kept: Path,
    folder: Path,
    parts: Iterable[list[Labelled]],
    size: tuple[int, int] | None,
    channels: int,
    *,
    stop: bool,
) -> None:
    """Read all pictures into a hidden folder, then rename that to `kept`.  The caller holds the lock."""
    if importlib.util.find_spec("PIL") is None:
        raise ImportError(f"pictures in files are read by Pillow, which is not installed: {to_install('plot')}")
    temporary = kept.with_name(".unfinished")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    about: dict[str, Any] = {"folder": str(folder.resolve()), "shape": None, "unreadable": []}
    try:
        for name, part in zip(PARTS, parts, strict=True):
            with _written(temporary / f"{name}.bytes") as file:
                about[name] = _write_part(file, part, about, size, channels, stop=stop)
        if about["shape"] is None:
            raise DataError(f"none of the pictures in {folder} can be read; the first: {about['unreadable'][0]}")
        with _written(temporary / ABOUT) as file:
            file.write(json.dumps(about).encode())
        temporary.rename(kept)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk: a write names no file
            error.filename = str(kept.parent)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_part(
    file: IO[bytes],
    part: list[Labelled],
    about: dict[str, Any],
    size: tuple[int, int] | None,
    channels: int,
    *,
    stop: bool,
) -> list[int]:
    """Append the pictures to the file; return their labels, and add to `about` their shape and what is unreadable."""
    from tqdm import tqdm

    labels = []
    for path, label in tqdm(part, desc=f"pictures for {Path(file.name).stem}", unit=" pictures", leave=False):
        try:
            if not path.is_file():  # a link that leads nowhere; a pipe, at which reading would wait for ever
                raise DataError(f"{path} is not a file")
            picture = read_whole_picture(path, size, channels=channels)
        except (DataError, OSError) as error:
            if stop:
                raise DataError(_advice(str(error))) from error
            about["unreadable"].append(str(error))
            continue
        about["shape"] = shape = about["shape"] or picture.shape
        if picture.shape != shape:
            raise DataError(
                f"{path} has {picture.shape[0]} x {picture.shape[1]} pixels, but others {shape[0]} x {shape[1]}; "
                "say which size to scale all of them to with size=(H, W)"
            )
        file.write(picture.data)
        labels.append(label)
    return labels


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to write, and wait at the end until it is on the disk."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _advice(reason: str) -> str:
    return f'{reason}. Mend or remove it, or leave out such files with unreadable="skip"'


def _read_about(kept: Path) -> dict[str, Any]:
    """Return what is known of the kept pictures: their labels, their shape, and the files that could not be read."""
    try:
        about = json.loads((kept / ABOUT).read_bytes())
        labels, shape, unreadable = [about[part] for part in PARTS], about["shape"], about["unreadable"]
        good = all(type(label) is int for part in labels for label in part)
        good = good and len(shape) == 3 and all(type(length) is int and length > 0 for length in shape)
        if not good or not all(isinstance(line, str) for line in unreadable):
            raise ValueError("values of another kind")
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{kept / ABOUT} is damaged ({error!r}): delete its folder and run again") from error
    return dict(about)


def _mapped(kept: Path, part: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Map a file of pictures into memory."""
    path, length = kept / f"{part}.bytes", math.prod(shape)
    if not path.is_file() or path.stat().st_size != length:
        raise DataError(f"{path} is damaged, expected {length} bytes: delete its folder and run again")
    if length == 0:
        return np.empty(shape, np.uint8)  # nothing cannot be mapped
    return np.memmap(path, np.uint8, mode="r", shape=shape)
