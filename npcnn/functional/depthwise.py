"""Depthwise convolution: as many groups as input channels, so that every channel is convolved by itself.

With a channel *multiplier* of M = C_out / C_in, a channel has M kernels of its own, and output channels c*M to
c*M + M - 1 see input channel c.  The usual M is 1: then a tap is one multiplication for a number of x, and a direct
kernel runs nearly as fast as memory lets it (`npcnn.kernels.depthwise`).  For other M every channel is repeated M times
first, which costs M times the memory of x.

Here come arrays that `npcnn.functional.convolution_plan` has checked.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.windows import WindowGeometry
from npcnn.kernels import depthwise as kernels

Array: TypeAlias = NDArray[Any]


def conv2d(x: Array, w: Array, b: Array | None, geometry: WindowGeometry, relu: bool, y: Array) -> None:
    """Write the convolution of `x` by `w`, (KH, KW, 1, C_out), after ReLU if asked for, into `y`."""
    x = _repeated(x, w.shape[3])
    kernels.conv2d(x, w.reshape(-1, w.shape[3]), b, geometry.kernel_windows(x.shape[1:]), relu, y)


def conv2d_backward(
    dy: Array,
    x: Array,
    w: Array,
    geometry: WindowGeometry,
    relu_output: Array | None,
    dx: Array | None,
    dw: Array,
    db: Array,
) -> None:
    """Write the gradients of `conv2d` into dw, db and, unless it is None, dx."""
    C_out = w.shape[3]
    repeated = _repeated(x, C_out)
    d_repeated = np.empty_like(repeated) if dx is not None and repeated is not x else dx
    windows = geometry.kernel_windows(repeated.shape[1:])
    kernels.conv2d_backward(
        dy, repeated, w.reshape(-1, C_out), relu_output, windows, d_repeated, dw.reshape(-1, C_out), db
    )
    if dx is not None and d_repeated is not None and d_repeated is not dx:
        with np.errstate(invalid="ignore", over="ignore"):
            d_repeated.reshape(*x.shape, C_out // x.shape[3]).sum(axis=-1, out=dx)


def _repeated(x: Array, channels: int) -> Array:
    """Return `x` with every channel repeated as often as it takes to have so many."""
    multiplier = channels // x.shape[3]
    return x if multiplier == 1 else np.repeat(x, multiplier, axis=3)
