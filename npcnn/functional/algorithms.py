"""Which algorithm a convolution runs on, and the weights as Toom-Cook needs them.

"im2col" multiplies as often as the definition says: a matrix product over im2col tiles in two dimensions; in
one dimension, where the name is kept so that the choice is alike, over lines of the picture, without any im2col
matrix.  "toom_cook" multiplies about half as often (`npcnn.toom_cook` explains how) for some rounding: its largest
error stays under 1e-5 of the largest output, where im2col's is about 1e-6.  "auto" takes it where it is faster, and
never in float64, so that gradient checks see the exact algorithm.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.toom_cook import OUTPUTS, POINTS, transforms

Algorithm: TypeAlias = Literal["auto", "im2col", "toom_cook"]
ALGORITHMS = ("auto", "im2col", "toom_cook")

# Below this many channels on either side the transforms cost more than the products they save.
AUTO_LEAST_CHANNELS = 16


def chosen_algorithm(
    algorithm: str, *, taps: int, stride: int, dilation: int, channels: int, dtype: np.dtype[Any]
) -> Literal["im2col", "toom_cook"]:
    """Return the algorithm of a 1-D convolution, "im2col" or "toom_cook".

    Parameters
    ----------
    algorithm : "auto", "im2col" or "toom_cook"
        What the user asked for.
    taps, stride, dilation : int
        Of the convolution.
    channels : int
        The smaller of its input and output channels.
    dtype : numpy.dtype
        Of its arrays.

    Raises
    ------
    ValueError
        If `algorithm` is none of the three, or Toom-Cook is asked for where it does not exist.

    Examples
    --------
    >>> from npcnn.functional.algorithms import chosen_algorithm
    >>> chosen_algorithm("auto", taps=5, stride=1, dilation=1, channels=64, dtype=np.dtype("f4"))
    'toom_cook'
    >>> chosen_algorithm("auto", taps=5, stride=1, dilation=1, channels=64, dtype=np.dtype("f8"))
    'im2col'
    """
    if checked_algorithm(algorithm) == "im2col":
        return "im2col"
    exists = taps in POINTS and stride == 1 and dilation == 1 and dtype == np.float32
    if algorithm == "toom_cook":
        if not exists:
            raise ValueError(
                f"algorithm 'toom_cook' needs {' or '.join(map(str, POINTS))} taps, stride 1, dilation 1 "
                f"and float32, got {taps} taps, stride {stride}, dilation {dilation} and {dtype}; "
                "use 'auto' or 'im2col'"
            )
        return "toom_cook"
    return "toom_cook" if exists and channels >= AUTO_LEAST_CHANNELS else "im2col"


def checked_algorithm(algorithm: Any) -> Any:
    """Return `algorithm` if it is one of `ALGORITHMS`; else raise ValueError."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm must be 'auto', 'im2col' or 'toom_cook', got {algorithm!r}")
    return algorithm


def weights_at_points(w: NDArray[Any]) -> NDArray[Any]:
    """Return u[p] = sum_t kernel[p, t] w[t], the weights (taps, ...) at the points (points, ...)."""
    matrix = _kernel_matrix(w.shape[0])
    return np.asarray((matrix @ w.reshape(w.shape[0], -1)).reshape(-1, *w.shape[1:]), dtype=w.dtype)


def weight_gradient_from_points(du: NDArray[Any], taps: int, out: NDArray[Any]) -> None:
    """Write dw[t] = sum_p output[t, p] du[p] into `out`."""
    out[...] = (_gradient_matrix(taps) @ du.reshape(len(du), -1)).reshape(out.shape)


@cache
def _kernel_matrix(taps: int) -> NDArray[np.float64]:
    return np.array(transforms(OUTPUTS, taps, POINTS[taps]).kernel, dtype=np.float64)


@cache
def _gradient_matrix(taps: int) -> NDArray[np.float64]:
    return np.array(transforms(taps, OUTPUTS, POINTS[taps]).output, dtype=np.float64)
