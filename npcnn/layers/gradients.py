"""The gradients of a layer's weights and bias: of the batch as a whole, or part by part.

`npcnn.functional.batch_parts` says what the parts of a batch are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npcnn.functional import batch_parts
from npcnn.layers.base import Array, Layer


def gradients_by_parts(
    layer: Layer, dy: Array, x: Array, need_dx: bool, backward: Callable[[slice | None, Any], Any]
) -> Array | None:
    """Let ``backward(pictures, out)`` write (dx, dw, db) of the batch, or of its parts, which are added up.

    `pictures` says which it is about, None for all; see `part_of`.  Returns dx, or None where it is not needed.
    """
    dx, *sums = layer._gradient_arrays(x, need_dx)
    cut = batch_parts.current()
    if cut.is_whole or np.shape(dy)[:1] != x.shape[:1]:  # which is refused there
        backward(None, (dx, *sums))
        return dx

    def of_part(pictures: slice) -> tuple[Array, ...]:
        out = tuple(np.empty_like(array) for array in sums)
        backward(pictures, (part_of(dx, pictures), *out))
        return out

    cut.add_up(of_part, len(x), into=tuple(sums))
    return dx


def part_of(array: Array | None, pictures: slice | None) -> Any:
    """Return some of the pictures; all of them for None, and None if there is no array.

    Examples
    --------
    >>> from npcnn.layers.gradients import part_of
    >>> part_of(np.arange(4), slice(2, 4)), part_of(None, slice(2, 4))
    (array([2, 3]), None)
    """
    return array if array is None or pictures is None else array[pictures]
