"""Arrays that results are written into, kept from step to step.

What a training step computes is as large as the caches, or larger; asking the system for fresh pages every step takes a
quarter of its time.  An array can be written into again as soon as nobody holds it: the reference count shows that.
"""

from __future__ import annotations

import math
import sys
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npcnn.functional.outputs import addressable


def kept_array(arrays: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return ``arrays[name]`` if it has this shape and dtype and nobody else holds it; else put a new one there.

    While it is being counted the array is out of `arrays`, so only one of two threads can get it.

    Examples
    --------
    >>> from npcnn.layers.buffers import kept_array
    >>> arrays = {}
    >>> first = kept_array(arrays, "y", (2, 3), np.float32)
    >>> second = kept_array(arrays, "y", (2, 3), np.float32)
    >>> first is second                                      # the first is still held
    False
    >>> address = second.ctypes.data
    >>> del second
    >>> kept_array(arrays, "y", (2, 3), np.float32).ctypes.data == address
    True
    """
    array = arrays.pop(name, None)
    fits = array is not None and array.shape == shape and array.dtype == dtype
    if array is None or not fits or sys.getrefcount(array) > _ONE_VARIABLE:
        addressable(shape, dtype, name)
        array = np.empty(shape, dtype)
    arrays[name] = array
    return array


class GradientMemory:
    """Memory for input gradients, which all layers share.

    The gradient that one layer hands back is read by the layer before it, and then by nobody: two or three pieces of
    memory are enough for a network, where outputs are as many as layers.

    Examples
    --------
    >>> from npcnn.layers.buffers import GradientMemory
    >>> gradients = GradientMemory()
    >>> dy = gradients.array((4, 4), np.float32)
    >>> dx = gradients.array((2, 3), np.float32)             # dy is still read
    >>> del dy
    >>> before = gradients.array((3, 5), np.float32)         # takes its place
    >>> gradients.nbytes == 4 * 4 * 4 + 4 * 2 * 3
    True
    """

    def __init__(self) -> None:
        self._memory: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """How many bytes are kept, in use or not."""
        with self._lock:
            return sum(memory.nbytes for memory in self._memory)

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array that nobody holds, with arbitrary numbers in it."""
        addressable(shape, dtype, "dx")
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        with self._lock:
            memory = self._free(nbytes)
        # It holds `memory`, so that this is in use as long as the array, or a view of it, is.
        return memory[:nbytes].view(dtype).reshape(shape)

    def _free(self, nbytes: int) -> NDArray[np.uint8]:
        """Return the smallest free piece of memory with so many bytes; else a new one, in place of the largest free."""
        in_use: list[NDArray[np.uint8]] = []
        free: list[NDArray[np.uint8]] = []
        while self._memory:
            memory = self._memory.pop()
            (in_use if sys.getrefcount(memory) > _ONE_VARIABLE else free).append(memory)
        free.sort(key=len)
        found = next((memory for memory in free if len(memory) >= nbytes), None)
        if found is None:
            found = np.empty(nbytes, np.uint8)
            free[-1:] = [found]
        self._memory = in_use + free
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """Let copies of a layer share what all layers share."""
        return shared_gradient_memory, ()


def shared_gradient_memory() -> GradientMemory:
    """Return what all layers share, as long as one of them holds it."""
    global _shared
    with _lock:
        shared = _shared() if _shared else None
        if shared is None:
            shared = GradientMemory()
            _shared = weakref.ref(shared)
        return shared


_lock = threading.Lock()
_shared: weakref.ref[GradientMemory] | None = None


def _references_of_one_variable() -> int:
    array = np.empty(1)
    return sys.getrefcount(array)


# Measured, because it depends on the interpreter: from Python 3.14 on, some references of the running function go
# uncounted.
_ONE_VARIABLE = _references_of_one_variable()
