"""What a layer checks and works out of its arrays before it computes, remembered from one call to the next.

That follows from their shapes and dtypes, which from call to call are mostly the same; to work it out again takes
longer than to compute one small picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Remembered:
    """The result of the last call of a function, for arrays like those of that call.

    The function must depend on nothing of its arrays but their shapes and dtypes, or raise; and what it returns must
    not hold them: they are not asked for again.

    Examples
    --------
    >>> from npcnn.layers.remembered import Remembered
    >>> def bytes_of(x, y):
    ...     print("works it out")
    ...     return x.nbytes + y.nbytes
    >>> remembered, x = Remembered(), np.zeros(3)
    >>> remembered(bytes_of, x, x), remembered(bytes_of, x + 1, x)
    works it out
    (48, 48)
    >>> remembered(bytes_of, x, x.astype(np.float32))
    works it out
    36
    """

    def __init__(self) -> None:
        self._last: tuple[Any, Any] = None, None

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy or a pickle of a layer begin with nothing."""
        return Remembered, ()

    def __call__(self, function: Callable[..., Any], *arrays: Any) -> Any:
        """Return ``function(*arrays)``; each of `arrays` may also be None."""
        # What is no array is like nothing else, so that it is looked at every time.
        alike = [
            (array.shape, array.dtype) if isinstance(array, np.ndarray) else None if array is None else object()
            for array in arrays
        ]
        like_last, result = self._last  # both at once: another thread may put others there
        if alike != like_last:
            result = function(*arrays)
            self._last = alike, result
        return result
