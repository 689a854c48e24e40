"""Checkpoints: everything that a training needs to go on bit for bit, safe from whatever happens to the process.

A checkpoint of step 500 is two files, neither of them pickled:

    step-00000500.safetensors   the parameters (net.*), the averages of the optimizer (optimizer.*) and of the weights
                                (average.*)
    step-00000500.json          step, seconds, settings, random generators, versions, and the checksums of both files

The JSON file is written last, and both under another name first, flushed and renamed: a checkpoint whose JSON file
exists is whole.  Reading one checks everything before anything is changed.  The order of the data needs no file: a
batch depends on its number and the seed only (`npcnn.datasets.TrainingBatches`), and its number is the step.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from npcnn import config, weights
from npcnn.errors import CheckpointError, WeightsError
from npcnn.file_lock import FileLock
from npcnn.functional.checks import integer, number, shown
from npcnn.layers import Layer
from npcnn.optimizers import Optimizer
from npcnn.train.averages import Average, arrays_of
from npcnn.train.generators import generator_states, set_generator_states
from npcnn.train.loop import StepResult

FORMAT = 1
# What the bits of a result depend on besides the settings; the number of threads is not part of it.
MACHINE = ("npcnn", "isa")
# What the JSON file must hold.
FIELDS: dict[str, Any] = {
    "format": int,
    "step": int,
    "seconds": float,
    "settings": dict,
    "generators": dict,
    "tensors": {"file": str, "bytes": int, "sha256": str},
    "config": dict.fromkeys(MACHINE, str),
}
WORDS = {int: "an integer of at least 0", float: "a finite number of at least 0", str: "text", dict: "an object"}


@dataclass(frozen=True)
class Resumed:
    """Where a training resumes.

    Attributes
    ----------
    step : int
        Steps done; 0 when there was no checkpoint.
    seconds : float
        Time they took.
    notice : str
        Empty, or why what follows may differ in the last bits from an uninterrupted training.
    """

    step: int = 0
    seconds: float = 0.0
    notice: str = ""


class Checkpoints:
    """Callback that writes a checkpoint at regular intervals, and keeps the last few.

    While it is open it holds a lock on its folder, which the system releases when the process dies.

    Parameters
    ----------
    folder : str or Path
        Folder of the checkpoints; it is created if necessary, and belongs to one training.
    net : Layer
        The network in training.
    optimizer : Optimizer
        Its optimizer.
    every : int
        Steps between checkpoints.
    keep : int
        How many to keep.
    settings : dict, optional
        Settings of the training, in types that JSON has; a checkpoint written under other settings is refused.
    average : ExponentialMovingAverage or Lookahead, optional
        That of `net`, which goes on with the training.  It comes before the checkpoints among the callbacks.

    Raises
    ------
    CheckpointError
        If another process has the folder.
    OSError
        If the folder cannot be made or written.
    TypeError, ValueError
        If `every` or `keep` is not an integer of at least 1, or JSON cannot hold the settings: it has no NaN.

    Examples
    --------
    >>> import tempfile
    >>> def training():
    ...     net = nn.Dense(2, 2, rng=np.random.default_rng(0))
    ...     return net, nn.Adam(net)
    >>> net, optimizer = training()
    >>> net.grads["w"][...] = 1.0
    >>> optimizer.step()
    >>> folder = tempfile.mkdtemp()
    >>> with nn.train.Checkpoints(folder, net, optimizer) as checkpoints:
    ...     checkpoints.save(step=1, seconds=0.5)
    >>> net2, optimizer2 = training()
    >>> with nn.train.Checkpoints(folder, net2, optimizer2) as checkpoints:
    ...     checkpoints.resume().step
    1
    >>> bool((net2.params["w"] == net.params["w"]).all()), optimizer2.steps
    (True, 1)
    """

    def __init__(
        self,
        folder: str | Path,
        net: Layer,
        optimizer: Optimizer,
        *,
        every: int = 500,
        keep: int = 3,
        settings: dict[str, Any] | None = None,
        average: Average | None = None,
    ) -> None:
        self.folder, self.net, self.optimizer, self.average = Path(folder), net, optimizer, average
        self.every, self.keep = integer(every, "every", minimum=1), integer(keep, "keep", minimum=1)
        self.settings = _plain_settings(settings or {})
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / "lock")  # (released by close)
        if not self._lock.try_to_take():
            self._lock.close()
            raise CheckpointError(f"another process is training in {self.folder}; wait for it, or name another folder")

    def __call__(self, result: StepResult) -> None:
        """Write a checkpoint when it is due.

        Raises
        ------
        RuntimeError
            If `average` has not been told of this step, so that the checkpoint would hold another step's averages.
        """
        if self.average is not None and self.average.step != result.step:
            raise RuntimeError(
                f"average has not been told of step {result.step}; put it before the checkpoints among the callbacks"
            )
        if result.step % self.every == 0:
            self.save(result.step, result.seconds)

    def save(self, step: int, seconds: float) -> None:
        """Write a checkpoint, then delete the oldest beyond the number to keep.

        Raises
        ------
        OSError
            If it cannot be written; the checkpoints before it are still there then.
        TypeError, ValueError
            If `step` is not an integer of at least 0, or `seconds` not a finite number of at least 0.
        RuntimeError
            While the averages of the weights are in their place.
        """
        if self.average is not None:
            self.average.check_not_applied("saved")
        step, seconds = integer(step, "step", minimum=0), number(seconds, "seconds", minimum=0)
        tensors = weights.to_bytes(self._tensors())
        file = _file(step, "safetensors")
        content = {
            "format": FORMAT,
            "step": step,
            "seconds": round(seconds, 3),
            "settings": self.settings,
            "generators": generator_states(self.net),
            "tensors": {"file": file, "bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()},
            "config": config.current(),
        }
        weights.write_atomically(self.folder / file, tensors)
        text = json.dumps(content | {"sha256": _digest(content)}, indent=1) + "\n"
        weights.write_atomically(self.folder / _file(step, "json"), text.encode())
        self._delete_old()

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, in ascending order."""
        found = (_step(path, "json") for path in self.folder.iterdir())
        return sorted(step for step in found if step is not None)

    def resume(self) -> Resumed:
        """Put network, optimizer, average and generators into the state of the last checkpoint.

        Without a checkpoint it leaves them as they are, and returns step 0.

        Raises
        ------
        CheckpointError
            If it is damaged, or of another network or other settings; nothing is changed then.
        OSError
            If it cannot be read.
        """
        self._delete_leftovers()
        steps = self.steps()
        if not steps:
            return Resumed()
        try:
            return self._load(steps[-1])
        except (CheckpointError, FileNotFoundError) as error:
            before = f"the one of step {steps[-2]}" if len(steps) > 1 else "the beginning"
            raise CheckpointError(
                f"{error}. To go on from {before}, delete {self.folder / _file(steps[-1], 'json')}"
            ) from error

    def close(self) -> None:
        """Release the folder."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _tensors(self) -> dict[str, NDArray[Any]]:
        parts = {"net": arrays_of(self.net), "optimizer": self.optimizer.state()}
        if self.average is not None:
            parts["average"] = self.average.state()
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def _load(self, step: int) -> Resumed:
        path = self.folder / _file(step, "json")
        content = _read_json(path)
        _check_fields(path, content, FIELDS)
        _check_fields(path, content["generators"], dict.fromkeys(content["generators"], dict), "generators.")
        if content["format"] != FORMAT:
            raise CheckpointError(
                f"{path} has format {content['format']}, expected {FORMAT}; use the npcnn that wrote it"
            )
        if content["step"] != step:
            raise CheckpointError(f"{path} is of step {content['step']}, expected {step}; it was renamed")
        self._check_settings(path, content["settings"])
        stored = _read_tensors(self.folder / _file(step, "safetensors"), content["tensors"])
        # Everything that can be wrong is found before the network or the optimizer is changed.
        before = generator_states(self.net)
        tensors = {name: array.copy() for name, array in self._tensors().items()}
        try:
            set_generator_states(self.net, content["generators"])
            if generator_states(self.net) != content["generators"]:  # NumPy truncates 1.5 to 1
                raise ValueError("its numbers must be integers")
            weights.assign(tensors, stored, f"{path} does not fit this network and optimizer")
            self.optimizer.load_state(_named_below(tensors, "optimizer."))
        except WeightsError as error:
            set_generator_states(self.net, before)
            raise CheckpointError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, OverflowError) as error:  # NumPy's, for an impossible state
            set_generator_states(self.net, before)
            raise CheckpointError(f"{path} is damaged: generators holds no state of a generator ({error})") from error
        weights.assign(arrays_of(self.net), _named_below(tensors, "net."), f"{path} does not fit this network")
        if self.average is not None:
            self.average.load_state(_named_below(tensors, "average."))
        now = config.current()
        other = [
            f"{name} {content['config'][name]}, now {now[name]}"
            for name in MACHINE
            if content["config"][name] != now[name]
        ]
        notice = f"the checkpoint was written with {'; '.join(other)}: the last bits may differ" if other else ""
        return Resumed(step, content["seconds"], notice)

    def _check_settings(self, path: Path, settings: dict[str, Any]) -> None:
        names = sorted(settings.keys() | self.settings.keys())
        nothing = object()
        other = [
            f"{name} {shown(settings.get(name))}, now {shown(self.settings.get(name))}"
            for name in names
            if settings.get(name, nothing) != self.settings.get(name, nothing)
        ]
        if other:
            raise CheckpointError(f"{path} was written with {'; '.join(other)}; set what was set then")

    def _delete_old(self) -> None:
        for step in self.steps()[: -self.keep]:
            # The JSON file first: without it the other file is no longer a checkpoint.
            (self.folder / _file(step, "json")).unlink(missing_ok=True)
            (self.folder / _file(step, "safetensors")).unlink(missing_ok=True)

    def _delete_leftovers(self) -> None:
        """Delete what killed processes left: files not yet renamed, tensors whose JSON file was never written."""
        whole = {_file(step, "safetensors") for step in self.steps()}
        for path in self.folder.iterdir():
            ours = _step(path, "safetensors") is not None and path.name not in whole
            if ours or weights.TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _plain_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as they come back from a file."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(settings, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"settings must be of types that JSON has, and without NaN and infinity, got {shown(settings)} ({error})"
        ) from error
    return plain


def _file(step: int, suffix: str) -> str:
    return f"step-{step:08d}.{suffix}"


def _step(path: Path, suffix: str) -> int | None:
    """Return the step of a checkpoint's file by its name; None if no checkpoint has a file of that name."""
    match = re.fullmatch(rf"step-([0-9]{{8,}})\.{suffix}", path.name)
    return int(match[1]) if match and path.name == _file(int(match[1]), suffix) else None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's JSON file, after checking its checksum."""
    try:
        content = json.loads(path.read_bytes())
        told = content.pop("sha256", None) if isinstance(content, dict) else None
        got = _digest(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged, it is not JSON ({error})") from error
    if told is None:
        raise CheckpointError(f"{path} is damaged, it has no checksum")
    if told != got:
        raise CheckpointError(f"{path} is damaged: its checksum is {got}, it says {shown(told)}")
    checked: dict[str, Any] = content
    return checked


def _check_fields(path: Path, content: dict[str, Any], fields: dict[str, Any], inside: str = "") -> None:
    """Raise `CheckpointError` for the first field that is not of the type it has in `fields`."""
    for name, field in fields.items():
        value, kind = content.get(name), dict if isinstance(field, dict) else field
        fits = isinstance(value, int | float if kind is float else kind) and not isinstance(value, bool)
        if isinstance(value, int | float):
            fits = fits and 0 <= value < math.inf
        if not fits:
            raise CheckpointError(f"{path} is damaged: {inside}{name} is {shown(value)}, expected {WORDS[kind]}")
        if isinstance(field, dict):
            _check_fields(path, content[name], field, f"{name}.")


def _named_below(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _read_tensors(path: Path, told: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint, after checking the checksum of their file."""
    if not path.exists():
        raise CheckpointError(f"{path} is missing")
    data = path.read_bytes()
    got = hashlib.sha256(data).hexdigest()
    if got != told["sha256"]:
        raise CheckpointError(
            f"{path} is damaged: expected {told['bytes']} bytes with SHA-256 {told['sha256']}, "
            f"got {len(data)} bytes with {got}"
        )
    try:
        return weights.from_bytes(data, path)
    except WeightsError as error:
        raise CheckpointError(str(error)) from error
