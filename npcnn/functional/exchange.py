"""Arrays of other libraries: what PyTorch, JAX and others hold in main memory is read where it lies.

Two protocols say where an array is and how it is laid out.  DLPack does so in C, with the device that the memory
belongs to; the array interface is NumPy's own, a dictionary.  Whoever speaks one of them may hand in arrays wherever
npcnn takes those of NumPy; what comes out is always NumPy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# DLPack's numbers of devices: memory that the processor reads as its own, its own and what CUDA and ROCm pin of it;
# and the rest, for messages.
IN_MAIN_MEMORY = (1, 3, 11)
ELSEWHERE = {
    2: "CUDA",
    4: "OpenCL",
    7: "Vulkan",
    8: "Metal",
    10: "ROCm",
    13: "CUDA managed",
    14: "oneAPI",
    15: "WebGPU",
}


def as_array(value: Any, name: str) -> Any:
    """Return an array of another library as NumPy's, without a copy; anything else as it is.

    Parameters
    ----------
    value : object
        What came.  What has ``__dlpack__`` and ``__dlpack_device__``, or ``__array_interface__``, is an array: a
        ``torch.Tensor``, a ``jax.Array``.
    name : str
        The name of the argument, for the message.

    Returns
    -------
    ndarray, or `value` itself
        In the memory of `value`, which lives as long as it is needed; some libraries forbid writing to it.

    Raises
    ------
    TypeError
        If it is an array in the memory of a device, or one that its library does not hand out: of a dtype that NumPy
        does not have, or one that is tracked for a gradient.

    Examples
    --------
    >>> class Elsewhere:                                 # an array of another library
    ...     def __init__(self, array):
    ...         self.__array_interface__ = array.__array_interface__
    >>> x = np.arange(3.0)
    >>> np.shares_memory(nn.functional.exchange.as_array(Elsewhere(x), "x"), x)
    True
    """
    if isinstance(value, np.ndarray):  # nearly always, and by itself: a step makes a hundred of these checks
        return value
    if isinstance(value, np.generic | type):
        return value
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _by_dlpack(value, name)
    if hasattr(value, "__array_interface__"):
        try:
            return np.asarray(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}, a {_kind(value)}, cannot be read by its array interface: {error}") from error
    return value


def _by_dlpack(value: Any, name: str) -> np.ndarray[Any, Any]:
    number, place = (int(part) for part in value.__dlpack_device__())
    if number not in IN_MAIN_MEMORY:
        device = ELSEWHERE.get(number, f"number {number}")
        raise TypeError(
            f"{name}, a {_kind(value)}, is in the memory of a device (DLPack's {device}, {place}); npcnn computes on "
            f"the CPU: bring it there first, in PyTorch with {name}.cpu()"
        )
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TypeError(
            f"{name}, a {_kind(value)}, cannot be read by DLPack: {reason}; hand in a plain array, in PyTorch "
            f"{name}.detach(), and of a dtype that NumPy has, {name}.float()"
        ) from error


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
