"""Saving and loading parameters: safetensors files, written whole or not at all; and those of other libraries."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError, WeightsError
from npcnn.functional.exchange import as_array

# NumPy's types by their names in safetensors files.
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8", "BOOL": "?", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1",
}  # fmt: skip
# The temporary names under which write_atomically writes; a killed process may leave one behind.
TEMPORARY = re.compile(r"\.npcnn-[0-9a-f]{16}\.tmp")
MOST_PROBLEMS = 20  # that a message about a foreign file shows


def save(params: Mapping[str, NDArray[Any]], path: str | Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write parameters to a safetensors file, readable by any library that knows the format.

    The file appears under its name only when it is complete: an interrupted save leaves what was there.

    Parameters
    ----------
    params : dict of ndarray
        Arrays by name.
    path : str or Path
        File to write; an existing one is replaced.
    metadata : dict of str, optional
        Text by name, for `read_metadata`.

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
    write_atomically(path, to_bytes(params, metadata))


def to_bytes(params: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the content of a safetensors file of these arrays."""
    from safetensors.numpy import save

    # Not ascontiguousarray, which gives an array without axes the shape (1,).
    arrays = {name: np.asarray(as_array(array, name), order="C") for name, array in params.items()}
    return save(arrays, None if metadata is None else dict(metadata))


def load(params: Mapping[str, NDArray[Any]], path: str | Path, *, widen: bool = False) -> None:
    """Read a safetensors file into existing parameters.

    Names, shapes and dtypes must all fit; otherwise nothing is changed.

    Parameters
    ----------
    params : dict of ndarray
        Arrays by name; changed in place.
    path : str or Path
        File that `save` wrote.
    widen : bool
        Whether to read bfloat16 and float16 as float32, as in `read`.

    Raises
    ------
    FileNotFoundError, OSError
        If the file does not exist or cannot be read.
    WeightsError
        If the file is damaged, or its names, shapes or dtypes are not those of `params`.
    """
    stored = read(path, widen=widen)
    half = any(array.dtype == np.float16 for array in stored.values())
    hint = " (widen=True reads float16 as float32)" if half else ""
    assign(params, stored, f"{path} does not fit this network{hint}")


def read(path: str | Path, *, widen: bool = False) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file by name.

    Parameters
    ----------
    path : str or Path
        The file.
    widen : bool
        Whether to read bfloat16, which NumPy does not have, and float16 as float32, which holds all their values.

    Raises
    ------
    FileNotFoundError, OSError
        If the file does not exist or cannot be read.
    WeightsError
        If the file is damaged, or holds a dtype that NumPy does not have.
    """
    return from_bytes(Path(path).read_bytes(), path, widen=widen)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the text that a safetensors file holds beside its arrays, by name.

    Raises
    ------
    FileNotFoundError, OSError
        If the file does not exist or cannot be read.
    WeightsError
        If it is damaged.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "w.safetensors")
    >>> nn.weights.save({"w": np.ones(3)}, path, metadata={"licence": "CC0"})
    >>> nn.weights.read_metadata(path)
    {'licence': 'CC0'}
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a complete safetensors file ({error})") from error


def from_bytes(content: bytes, path: str | Path, *, widen: bool = False) -> dict[str, NDArray[Any]]:
    """Return the arrays in the content of a safetensors file; `path` is for the messages.

    Raises
    ------
    WeightsError
        If it is damaged, or holds a dtype that NumPy does not have.
    """
    from safetensors import SafetensorError, deserialize

    try:
        tensors = dict(deserialize(content))  # type: ignore[no-untyped-call]
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{path} is not a complete safetensors file ({error})") from error
    unknown = {name: tensor["dtype"] for name, tensor in tensors.items() if tensor["dtype"] not in DTYPES}
    if not widen and "BF16" in unknown.values():
        raise WeightsError(f"{path} holds BF16, which NumPy does not have; widen=True reads it as float32")
    for name, dtype in unknown.items():
        if dtype != "BF16":
            raise WeightsError(
                f"{path} holds {name} as {dtype}, which NumPy does not have; save it as float32 with what wrote it"
            )
    return {name: _array(tensor, widen=widen) for name, tensor in tensors.items()}


def _array(tensor: Mapping[str, Any], *, widen: bool) -> NDArray[Any]:
    if tensor["dtype"] == "BF16":
        # A bfloat16 is the upper half of the float32 of the same value.
        upper = np.frombuffer(tensor["data"], "<u2").astype(np.uint32)
        array: NDArray[Any] = (upper << 16).view(np.float32)
    else:
        array = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]])
        if widen and array.dtype == np.float16:
            array = array.astype(np.float32)
    return array.reshape(tensor["shape"])


def assign(params: Mapping[str, NDArray[Any]], stored: Mapping[str, NDArray[Any]], message: str) -> None:
    """Copy `stored` into `params` if all names, shapes and dtypes fit; else change nothing.

    Raises
    ------
    WeightsError
        `message`, and what does not fit.
    """
    stored = {name: as_array(array, name) for name, array in stored.items()}
    problems = [f"{name} is missing" for name in params if name not in stored]
    problems += [f"{name} is not a parameter of this network" for name in stored if name not in params]
    for name, array in params.items():
        if name in stored and (stored[name].shape, stored[name].dtype) != (array.shape, array.dtype):
            problems.append(
                f"{name} is {stored[name].dtype} {stored[name].shape}, expected {array.dtype} {array.shape}"
            )
    if problems:
        more = f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise WeightsError(
            f"{message}: {'; '.join(problems[:MOST_PROBLEMS])}{more}. Build what was saved; nothing was changed"
        )
    for name, array in params.items():
        array[...] = stored[name]


def assign_in_order(net: Any, arrays: Iterable[Any]) -> None:
    """Give a network its parameters and state as a list, layer after layer; unless all fit, nothing is changed.

    A layer's own come in the order in which PyTorch and Keras have them, too: weights, then bias; of a normalisation
    scale, shift, mean and variance.

    Parameters
    ----------
    net : Layer
        The network.
    arrays : iterable of ndarray
        As they lie here (see `from_torch`), in the order of ``net.walk()``, which is that of the forward pass.

    Raises
    ------
    WeightsError
        If there are more or fewer of them than the network has, or one has another shape or dtype.
    TypeError
        If one is no array.

    Examples
    --------
    >>> net = nn.Sequential(nn.Dense(1, 2), nn.BatchNorm(2))
    >>> ones = np.ones(2, np.float32)
    >>> nn.weights.assign_in_order(net, [[ones], 0 * ones, ones, 0 * ones, 3 * ones, ones])
    Traceback (most recent call last):
        ...
    TypeError: arrays[0] must be a numpy.ndarray, got list; convert it with numpy.asarray
    >>> nn.weights.assign_in_order(net, [ones[np.newaxis], 0 * ones, ones, 0 * ones, 3 * ones, ones])
    >>> net.params["0_dense.b"], net.state["1_batch_norm.mean"]
    (array([0., 0.], dtype=float32), array([3., 3.], dtype=float32))
    """
    given = [as_array(array, f"arrays[{i}]") for i, array in enumerate(arrays)]
    for i, array in enumerate(given):
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"arrays[{i}] must be a numpy.ndarray, got {type(array).__name__}; convert it with numpy.asarray"
            )
    names = [
        f"{name}.{key}" if name else key
        for name, layer in net.walk()
        for key in layer.arrays
        if "." not in key  # with a dot it belongs to a layer inside
    ]
    if len(given) != len(names):
        raise WeightsError(
            f"arrays must be {len(names)}, as many as the network has ({', '.join(names[:MOST_PROBLEMS])}"
            f"{', ...' if len(names) > MOST_PROBLEMS else ''}), got {len(given)}; nothing was changed"
        )
    assign(net.arrays, dict(zip(names, given, strict=True)), "the arrays do not fit this network")


def from_torch(array: Any, *, flattened: tuple[int, int, int] | None = None) -> NDArray[Any]:
    """Return weights of PyTorch's layout, in which output channels come first, as they lie here, where they come last.

    The first two axes change places and go to the end: (C_out, C_in, KH, KW) becomes (KH, KW, C_in, C_out), of a
    transposed convolution (C_in, C_out, KH, KW) becomes (KH, KW, C_out, C_in), of a fully connected layer
    (out_features, in_features) becomes (in_features, out_features).  Vectors stay as they are.

    Parameters
    ----------
    array : array_like
        Weights, bias or statistics; a tensor that is trained must be detached, as in a ``state_dict()``.
    flattened : (int, int, int), optional
        For the fully connected layer behind a flattening: height, width and channels of the pictures before it.
        PyTorch flattens channel by channel, npcnn pixel by pixel.

    Returns
    -------
    ndarray, C-contiguous

    Raises
    ------
    ShapeError
        If the layer does not take `flattened`, height times width times channels.

    Examples
    --------
    >>> nn.weights.from_torch(np.zeros((64, 3, 5, 7))).shape
    (5, 7, 3, 64)
    >>> nn.weights.from_torch(np.arange(8).reshape(1, 8), flattened=(2, 2, 2)).ravel()
    array([0, 4, 1, 5, 2, 6, 3, 7])
    """
    w: NDArray[Any] = np.asarray(as_array(array, "array"))
    if flattened is not None:
        H, W, C = flattened
        if w.ndim != 2 or w.shape[1] != H * W * C:
            raise ShapeError(
                f"array must be (out_features, {H * W * C}), the weights of a layer that takes {H} x {W} pixels of {C} "
                f"channels, got shape {w.shape}"
            )
        w = w.reshape(len(w), C, H, W)
    if w.ndim >= 2:
        w = w.transpose(*range(2, w.ndim), 1, 0)
    return np.asarray(w if flattened is None else w.reshape(-1, w.shape[-1]), order="C")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that it is seen whole or not at all: temporary file, fsync, rename.

    A symbolic link is followed, and an existing file keeps its permissions.  A path that is not a regular file, such as
    a device or a FIFO, is written to directly.

    Raises
    ------
    OSError
        If it cannot be written; the error names `path`.  An existing file is unchanged then.
    """
    path = Path(path)
    try:
        mode = _mode(path)
        if mode is None or stat.S_ISREG(mode):
            _replace(Path(os.path.realpath(path)), content, mode)
        else:
            path.write_bytes(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _replace(path: Path, content: bytes, mode: int | None) -> None:
    temporary = path.parent / f".npcnn-{secrets.token_hex(8)}.tmp"
    # A private file stays private while it is being written; a new one gets the mode an ordinary open gives.
    first_mode = 0o666 if mode is None else 0o600
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, first_mode)) as file:
            if mode is not None:
                temporary.chmod(mode & 0o777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_names(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _flush_names(folder: Path) -> None:
    """Bring the names in a folder to the disk: without this a power cut may bring back a file that was replaced.

    Windows opens no folders; its file system keeps a log of names by itself.
    """
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
