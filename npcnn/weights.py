"""Saving and loading parameters: safetensors files, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import WeightsError


def save(params: Mapping[str, NDArray[Any]], path: str | Path) -> None:
    """Write parameters to a safetensors file, readable by any library that knows the format.

    The file appears under its name only when it is complete: an interrupted save leaves what was there.

    Parameters
    ----------
    params : dict of ndarray
        Arrays by name.
    path : str or Path
        File to write; an existing one is replaced.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "w.safetensors")
    >>> nn.weights.save({"w": np.ones(3)}, path)
    >>> params = {"w": np.zeros(3)}
    >>> nn.weights.load(params, path)
    >>> params["w"]
    array([1., 1., 1.])
    """
    from safetensors.numpy import save as to_bytes

    write_atomically(path, to_bytes({name: np.ascontiguousarray(array) for name, array in params.items()}))


def load(params: Mapping[str, NDArray[Any]], path: str | Path) -> None:
    """Read a safetensors file into existing parameters.

    Names, shapes and dtypes must all fit; otherwise nothing is changed.

    Parameters
    ----------
    params : dict of ndarray
        Arrays by name; changed in place.
    path : str or Path
        File that `save` wrote.

    Raises
    ------
    FileNotFoundError, OSError
        If the file does not exist or cannot be read.
    WeightsError
        If the file is damaged, or its names, shapes or dtypes are not those of `params`.
    """
    assign(params, read(path), f"{path} does not fit this network")


def read(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file by name.

    Raises
    ------
    FileNotFoundError, OSError
        If the file does not exist or cannot be read.
    WeightsError
        If the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    content = Path(path).read_bytes()
    try:
        stored: dict[str, NDArray[Any]] = from_bytes(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is not a complete safetensors file ({error})") from error
    return stored


def assign(params: Mapping[str, NDArray[Any]], stored: Mapping[str, NDArray[Any]], message: str) -> None:
    """Copy `stored` into `params` if all names, shapes and dtypes fit; else change nothing.

    Raises
    ------
    WeightsError
        `message`, and what does not fit.
    """
    problems = [f"{name} is missing" for name in params if name not in stored]
    problems += [f"{name} is not a parameter of this network" for name in stored if name not in params]
    for name, array in params.items():
        if name in stored and (stored[name].shape, stored[name].dtype) != (array.shape, array.dtype):
            problems.append(
                f"{name} is {stored[name].dtype} {stored[name].shape}, expected {array.dtype} {array.shape}"
            )
    if problems:
        raise WeightsError(f"{message}: {'; '.join(problems)}. Build what was saved; nothing was changed")
    for name, array in params.items():
        array[...] = stored[name]


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that it is seen whole or not at all: temporary file, fsync, rename."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files only their owner can read; take the mode an ordinary open would give.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
        # The new name too: without this a power cut may bring back the file that was replaced.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
