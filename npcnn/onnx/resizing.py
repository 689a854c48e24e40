"""Whether an ONNX Resize is what npcnn's upsampling does.

The operator has seven ways to lay the pixels of the output over those of the input, and four to round; many pairs of
them do the same where a picture grows by a whole factor.  So they are not compared by name: the pixel that each output
pixel is made of is computed by ONNX's formula, and compared with i // factor.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

ANY_LENGTH = 64  # stands for a length that is not known, in formulas that are the same for all

# Where the centre of output pixel i lies among the input pixels: i, factor, lengths of output and input.
POSITIONS: dict[str, Callable[[NDArray[np.float64], int, int, int], NDArray[np.float64]]] = {
    "asymmetric": lambda i, factor, after, before: i / factor,
    "half_pixel": lambda i, factor, after, before: (i + 0.5) / factor - 0.5,
    "half_pixel_symmetric": lambda i, factor, after, before: (i + 0.5) / factor - 0.5,  # of a factor that is whole
    "pytorch_half_pixel": lambda i, factor, after, before: (i + 0.5) / factor - 0.5 if after > 1 else 0 * i,
    "tf_half_pixel_for_nn": lambda i, factor, after, before: (i + 0.5) / factor,
    "align_corners": lambda i, factor, after, before: i * (before - 1) / max(after - 1, 1),
}
OF_THE_LENGTH = {"align_corners"}
ROUNDINGS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda position: np.ceil(position - 0.5),
    "round_prefer_ceil": lambda position: np.floor(position + 0.5),
}


def repeats(length: int | None, factor: int, where: str, rounding: str) -> bool:
    """Return whether Resize by "nearest" repeats every pixel `factor` times.

    Examples
    --------
    >>> from npcnn.onnx.resizing import repeats
    >>> repeats(5, 3, "half_pixel", "round_prefer_floor"), repeats(5, 3, "asymmetric", "round_prefer_floor")
    (True, False)
    """
    positions = _positions(length, factor, where)
    if positions is None or rounding not in ROUNDINGS:
        return False
    pixels = ROUNDINGS[rounding](positions).clip(0, len(positions) // factor - 1)
    return bool((pixels == np.arange(len(positions)) // factor).all())


def is_bilinear(length: int | None, factor: int, where: str) -> bool:
    """Return whether Resize by "linear" goes by the centres of the pixels, as npcnn does.

    Examples
    --------
    >>> from npcnn.onnx.resizing import is_bilinear
    >>> is_bilinear(5, 2, "half_pixel"), is_bilinear(5, 2, "align_corners"), is_bilinear(5, 1, "align_corners")
    (True, False, True)
    """
    positions, ours = _positions(length, factor, where), _positions(length, factor, "half_pixel")
    return positions is not None and ours is not None and bool((positions == ours).all())


def _positions(length: int | None, factor: int, where: str) -> NDArray[np.float64] | None:
    if where not in POSITIONS or (length is None and where in OF_THE_LENGTH):
        return None
    before = ANY_LENGTH if length is None else length
    after = before * factor
    return POSITIONS[where](np.arange(after, dtype=np.float64), factor, after, before)
