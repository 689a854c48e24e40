"""How a convolution is carried out: checked arrays, where its windows lie, its groups, and which algorithm runs.

The functions of `npcnn.functional.convolution` all make a `Plan` of what they are given, once, and run it with
`forward` or `backward`; a 1-D convolution becomes a 2-D one with a kernel side of 1.  A plan follows from the shapes,
the dtype and the checked options alone, and is remembered from call to call.  A layer keeps its own, and for arrays
like those of its last call goes straight to `run`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional import depthwise
from npcnn.functional.algorithms import ALGORITHMS, chosen_algorithm
from npcnn.functional.checks import (
    bias,
    boolean,
    exact_shape,
    float_array,
    group_count,
    one_of,
    padded_to_vectors,
    pictures,
    same_dtype,
    weights,
)
from npcnn.functional.outputs import gradient_outputs, output_array
from npcnn.functional.pooling import PoolOptions, pool_options
from npcnn.functional.toom_cook import BothAxes, KeptWeights, OneAxis, Places, ToomCook
from npcnn.functional.windows import MOST_REMEMBERED, Axis, WindowGeometry, WindowOptions, line_options, window_options
from npcnn.kernels import convolution as kernels

Array: TypeAlias = NDArray[Any]
Gradients: TypeAlias = tuple[Array | None, Array, Array]

# The algorithms that do a convolution and the max pooling after it in one go.
TOOM_COOK: dict[str, ToomCook] = {"toom_cook": OneAxis(), "toom_cook_2d": BothAxes()}


class Plan(NamedTuple):
    """How one convolution is carried out: all that follows from the shapes, the dtype and the options.

    It holds no numbers, so it is good for any arrays of these shapes and this dtype.
    """

    w_shape: tuple[int, int, int, int]  # (KH, KW, C_in / groups, C_out)
    groups: int
    geometry: WindowGeometry
    algorithm: str
    windows: dict[str, int]  # `geometry` as the kernels take it
    places: Places | None  # what Toom-Cook is told instead, if it runs
    y_shape: tuple[int, int, int]  # of one picture, after the pooling if there is one


def planned(
    x: Any,
    w: Any,
    algorithm: str,
    axis: Axis | None = None,
    pooling: Mapping[str, Any] | None = None,
    groups: int = 1,
    **windows: Any,
) -> tuple[Plan, Array, Array]:
    """Check pictures and weights; return the plan, and both of them, contiguous, the weights as `Plan.w_shape`.

    `axis` is that of a 1-D kernel.
    """
    x = pictures(x)
    groups = group_count(groups, x.shape[3])
    c_in = "C_in / groups" if groups > 1 else "C_in"
    w = weights(w, f"K, {c_in}, C_out" if axis else f"KH, KW, {c_in}, C_out", x.shape, x.dtype, groups)
    if axis:
        options = line_options(len(w), axis=axis, **windows)
        w = w[:, np.newaxis] if axis == "height" else w[np.newaxis]
    else:
        options = window_options(w.shape[:2], **windows)
    pool = None if pooling is None else pool_options(**pooling)
    algorithm = one_of(algorithm, "algorithm", ALGORITHMS)
    return _worked_out(x.shape[1:], w.shape, w.dtype, options, pool, groups, algorithm), x, w


@functools.lru_cache(maxsize=MOST_REMEMBERED)
def _worked_out(
    picture: tuple[int, int, int],
    w_shape: tuple[int, int, int, int],
    dtype: np.dtype[Any],
    windows: WindowOptions,
    pool: PoolOptions | None,
    groups: int,
    algorithm: str,
) -> Plan:
    """Return how pictures (H, W, C_in) are convolved, and pooled if there is a pooling."""
    geometry = windows.over(picture[:2])
    geometry.refuse_too_large(picture[:2], max(picture[2], w_shape[3]))
    runs = chosen_algorithm(
        algorithm, w_shape, stride=geometry.stride, dilation=geometry.dilation, groups=groups, dtype=dtype
    )
    pooling = None if pool is None else pool.over(geometry.output)
    places = TOOM_COOK[runs].places(picture, w_shape, geometry, pooling) if runs in TOOM_COOK else None
    y_shape = (*(pooling or geometry).output, w_shape[3])
    return Plan(w_shape, groups, geometry, runs, geometry.kernel_windows(picture), places, y_shape)


def forward(plan: Plan, x: Array, w: Array, b: Any, relu: bool, out: Array | None) -> Array:
    """Return y of a convolution without pooling, of what `planned` returned."""
    b, relu = bias(b, w), boolean(relu, "relu")
    y = output_array(out, "out", (len(x), *plan.y_shape), x.dtype, inputs=(x, w, b))
    run(plan, x, w, b, relu, y)
    return y


def run(
    plan: Plan,
    x: Array,
    w: Array,
    b: Array | None,
    relu: bool,
    y: Array,
    argmax: Array | None = None,
    kept: KeptWeights | None = None,
) -> None:
    """Write the result into y and, where Toom-Cook pools it and if given, `argmax`: arrays that fit the plan.

    `kept` is for Toom-Cook, where a convolution is likely to be called again with the same weights.
    """
    if plan.places is not None:
        TOOM_COOK[plan.algorithm].conv2d(x, w, b, plan.places, relu, y, argmax, kept)
    elif plan.algorithm == "depthwise":
        depthwise.conv2d(x, w, b, plan.geometry, relu, y)
    else:
        w_of_groups = _by_group(w, plan.groups).transpose(2, 0, 1, 3)
        w_of_groups = w_of_groups.reshape(plan.groups, -1, w_of_groups.shape[3])
        kernels.conv2d(x, padded_to_vectors(w_of_groups), b, plan.windows, relu, y)


def backward(
    plan: Plan,
    dy: Any,
    x: Array,
    w: Array,
    need_dx: bool,
    relu_output: Any,
    out: Any,
    dw_shape: tuple[int, ...],
    argmax: Any = None,
) -> Gradients:
    """Return dx, or None if it is not needed, dw and db; with `argmax`, `dy` is the gradient after the pooling."""
    dy, relu_output = like_result(dy, "dy", plan, x), like_result(relu_output, "relu_output", plan, x)
    read = (dy, x, w, relu_output, argmax)
    dx, dw, db = gradient_outputs(out, x, dw_shape, w.shape[3], need_dx=need_dx, inputs=read)
    if plan.places is not None:
        toom_cook = TOOM_COOK[plan.algorithm]
        toom_cook.conv2d_backward(dy, x, w, plan.places, relu_output, dx, dw.reshape(w.shape), db, argmax)
    elif plan.algorithm == "depthwise":
        depthwise.conv2d_backward(dy, x, w, plan.geometry, relu_output, dx, dw.reshape(w.shape), db)
    else:
        w_transposed = padded_to_vectors(_by_group(w, plan.groups).transpose(2, 0, 3, 1))
        kernels.conv2d_backward(dy, x, w_transposed, relu_output, plan.windows, dx, dw.reshape(-1, w.shape[3]), db)
    return dx, dw, db


def like_result(value: Any, name: str, plan: Plan, x: Array) -> Any:
    """Return `value`, contiguous, if it has the shape and dtype of the result; `relu_output` may be None."""
    if value is None and name != "dy":
        return None
    value = float_array(value, name, "N, OH, OW, C_out")
    same_dtype(value, name, x, "x")
    exact_shape(value, name, (len(x), *plan.y_shape), "the shape of the forward result y")
    return value


def _by_group(w: Array, groups: int) -> Array:
    """Return weights as (taps, C_in of a group, groups, C_out of a group)."""
    KH, KW, C_in, C_out = w.shape
    return w.reshape(KH * KW, C_in, groups, C_out // groups)
