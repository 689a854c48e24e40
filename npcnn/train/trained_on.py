"""What a network was trained on, by the ``settings.json`` that its run left beside the weights.

What a network makes of other pictures than those it learnt from says little, and where the classes are others it says
nothing: whoever looks at trained weights begins here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from npcnn import datasets
from npcnn.datasets import Dataset, steps
from npcnn.errors import DataError
from npcnn.layers import Layer
from npcnn.train.run import read_settings


def class_names_of(weights: str | Path) -> tuple[str, ...] | None:
    """Return the names of the classes a network was trained on; None if there is no ``settings.json``.

    Parameters
    ----------
    weights : str or Path
        Its weights, in the folder of the run.

    Raises
    ------
    DataError
        If ``settings.json`` is damaged.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> print(nn.train.class_names_of("no/such/weights.safetensors"))
    None
    """
    settings = _settings(weights)
    return tuple(settings["class_names"]) if settings else None


def data_of(
    weights: str | Path, name: str = "auto", data_dir: str | Path | None = None, *, net: Layer | None = None
) -> Dataset:
    """Return the data set a network was trained on, or another that is asked for.

    Parameters
    ----------
    weights : str or Path
        Its weights, in the folder of the run.
    name : str
        "auto" is the data set of the training, or CIFAR-10 where there is no ``settings.json``; another name is that
        of a data set, as for `npcnn.datasets.load`, or a folder of pictures.
    data_dir : str or Path, optional
        Folder of the files; by default the one they were in at the training.
    net : Layer, optional
        The network, whose steps the data is given, and whose size the pictures of a folder.

    Returns
    -------
    Dataset
        If it was asked for and is not what the network was trained on, a notice on stderr says so.

    Raises
    ------
    DataError
        If nothing was asked for, and the data of the training cannot be had or has changed; or if ``settings.json`` is
        damaged.
    ValueError, OSError
        As `npcnn.datasets.load`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "settings.json").write_text('{"class_names": ["a"], "data": "cifar10", "data_dir": "moved"}')
    >>> nn.train.data_of(folder / "weights.safetensors")
    Traceback (most recent call last):
        ...
    npcnn.errors.DataError: the data that ... was trained on cannot be had: no data_batch_1.bin in moved ...
    """
    settings = _settings(weights)
    asked_for = name != "auto" or data_dir is not None
    what_to_do = "say where it is with --data-dir, or which other data to use with --data"
    try:
        if not asked_for:
            name, data_dir = settings.get("data", "cifar10"), settings.get("data_dir")
        if name in datasets.sources.NAMES:
            data = datasets.load(name, data_dir)
        else:
            shape = None if net is None else net.picture_shape
            data = datasets.from_folder(
                name if data_dir is None else data_dir,
                size=settings.get("size") if shape is None else shape[:2],
                channels=3 if shape is None else shape[2],
                seed=settings.get("seed", 0),
            )
    except (ValueError, OSError) as error:
        if asked_for:
            raise
        raise DataError(f"the data that {weights} was trained on cannot be had: {error}; {what_to_do}") from error
    if settings.get("data_sha256", checksum := data.checksum()) != checksum:
        if not asked_for:
            raise DataError(f"the data in {data.folder} is not what {weights} was trained on any more; {what_to_do}")
        print(f"note: {weights} was not trained on this {data.name} data", file=sys.stderr, flush=True)
    if net is None:
        return data
    if net.input_steps is None:
        raise DataError(
            f"{weights} does not say how a picture becomes the network's input; evaluate it in your program"
        )
    return data.with_steps(steps.from_description(net.input_steps))


def _settings(weights: str | Path) -> dict[str, Any]:
    """Return what is in ``settings.json``; nothing if there is no such file."""
    path = Path(weights).with_name("settings.json")
    try:
        settings = read_settings(path.parent)
        names, data_dir = settings["class_names"], settings.get("data_dir")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"class_names: {names!r:.100}")
        if not isinstance(data_dir, str | None):
            raise TypeError(f"data_dir: {data_dir!r:.100}")
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it to use CIFAR-10's classes") from error
    return settings
