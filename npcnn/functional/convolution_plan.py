"""How a convolution is carried out: checked arrays, where its windows lie, its groups, and which algorithm runs.

The functions of `npcnn.functional.convolution` all make a `Plan` of what they are given, once, and run it with
`forward` or `backward`; a 1-D convolution becomes a 2-D one with a kernel side of 1.  What follows from the shapes, the
dtype and the checked options alone is remembered from call to call.
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
    exact_shape,
    float_array,
    gradient_outputs,
    group_count,
    one_of,
    output_array,
    padded_to_vectors,
    pictures,
    same_dtype,
    weights,
)
from npcnn.functional.pooling import PoolOptions, pool_options
from npcnn.functional.toom_cook import BothAxes, OneAxis, ToomCook
from npcnn.functional.windows import MOST_REMEMBERED, Axis, WindowGeometry, WindowOptions, line_options, window_options
from npcnn.kernels import convolution as kernels

Array: TypeAlias = NDArray[Any]
Gradients: TypeAlias = tuple[Array | None, Array, Array]

# The algorithms that do a convolution and the max pooling after it in one go.
TOOM_COOK: dict[str, ToomCook] = {"toom_cook": OneAxis(), "toom_cook_2d": BothAxes()}


class Plan(NamedTuple):
    """One convolution, checked and worked out: its arrays, where its windows lie, and by which algorithm it runs."""

    x: Array  # (N, H, W, C_in)
    w: Array  # (KH, KW, C_in / groups, C_out)
    groups: int
    geometry: WindowGeometry
    algorithm: str
    pooling: WindowGeometry | None

    @property
    def y_shape(self) -> tuple[int, ...]:
        """The shape of the result, after the pooling if there is one."""
        return len(self.x), *(self.pooling or self.geometry).output, self.w.shape[3]


def planned(
    x: Any,
    w: Any,
    algorithm: str,
    axis: Axis | None = None,
    pooling: Mapping[str, Any] | None = None,
    groups: int = 1,
    **windows: Any,
) -> Plan:
    """Check pictures and weights, and work out all that follows from their shapes; `axis` is that of a 1-D kernel."""
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
    return Plan(x, w, groups, *_worked_out(x.shape[1:], w.shape, w.dtype, options, pool, groups, algorithm))


@functools.lru_cache(maxsize=MOST_REMEMBERED)
def _worked_out(
    picture: tuple[int, int, int],
    w_shape: tuple[int, int, int, int],
    dtype: np.dtype[Any],
    windows: WindowOptions,
    pool: PoolOptions | None,
    groups: int,
    algorithm: str,
) -> tuple[WindowGeometry, str, WindowGeometry | None]:
    """Return the geometry of a convolution of pictures (H, W, C_in), what runs, and the geometry of its pooling."""
    geometry = windows.over(picture[:2])
    geometry.refuse_too_large(picture[:2], max(picture[2], w_shape[3]))
    runs = chosen_algorithm(
        algorithm, w_shape, stride=geometry.stride, dilation=geometry.dilation, groups=groups, dtype=dtype
    )
    return geometry, runs, None if pool is None else pool.over(geometry.output)


def forward(plan: Plan, b: Any, relu: bool, out: Array | None) -> Array:
    """Return y of a convolution without pooling."""
    x, w, groups, geometry, runs, _ = plan
    b = bias(b, w)
    y = output_array(out, "out", plan.y_shape, x.dtype, inputs=(x, w, b))
    if runs in TOOM_COOK:
        TOOM_COOK[runs].conv2d(x, w, b, geometry, relu, y)
    elif runs == "depthwise":
        depthwise.conv2d(x, w, b, geometry, relu, y)
    else:
        w_of_groups = _by_group(w, groups).transpose(2, 0, 1, 3)
        w_of_groups = w_of_groups.reshape(groups, -1, w_of_groups.shape[3])
        kernels.conv2d(x, padded_to_vectors(w_of_groups), b, geometry.kernel_windows(x.shape), relu, y)
    return y


def backward(
    plan: Plan, dy: Any, need_dx: bool, relu_output: Any, out: Any, dw_shape: tuple[int, ...], argmax: Any = None
) -> Gradients:
    """Return dx, or None if it is not needed, dw and db; with `argmax`, `dy` is the gradient after the pooling."""
    x, w, groups, geometry, runs, pooling = plan
    dy, relu_output = like_result(dy, "dy", plan), like_result(relu_output, "relu_output", plan)
    read = (dy, x, w, relu_output, argmax)
    dx, dw, db = gradient_outputs(out, x, dw_shape, w.shape[3], need_dx=need_dx, inputs=read)
    if runs in TOOM_COOK:
        TOOM_COOK[runs].conv2d_backward(dy, x, w, geometry, relu_output, dx, dw.reshape(w.shape), db, pooling, argmax)
    elif runs == "depthwise":
        depthwise.conv2d_backward(dy, x, w, geometry, relu_output, dx, dw.reshape(w.shape), db)
    else:
        w_transposed = padded_to_vectors(_by_group(w, groups).transpose(2, 0, 3, 1))
        windows = geometry.kernel_windows(x.shape)
        kernels.conv2d_backward(dy, x, w_transposed, relu_output, windows, dx, dw.reshape(-1, w.shape[3]), db)
    return dx, dw, db


def like_result(value: Any, name: str, plan: Plan) -> Any:
    """Return `value`, contiguous, if it has the shape and dtype of the result; `relu_output` may be None."""
    if value is None and name != "dy":
        return None
    value = float_array(value, name, "N, PH, PW, C_out" if plan.pooling else "N, OH, OW, C_out")
    same_dtype(value, name, plan.x, "x")
    exact_shape(value, name, plan.y_shape, "the shape of the forward result y")
    return value


def _by_group(w: Array, groups: int) -> Array:
    """Return weights as (taps, C_in of a group, groups, C_out of a group)."""
    KH, KW, C_in, C_out = w.shape
    return w.reshape(KH * KW, C_in, groups, C_out // groups)
