"""What layer an ONNX node becomes.

`READ` has one entry an operator: a function that looks at a node and returns the `Plan` of a layer, or none if the node
only names things anew, and what comes out; or it raises `Refused` with the reason.  Nothing is built here, so that a
file is refused as a whole or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from npcnn import layers
from npcnn.initializers import constant
from npcnn.layers import Layer
from npcnn.onnx.graph import Array, Graph
from npcnn.onnx.place import CHANNELS_FIRST, Place, Plan, Refused, Shift, Value, shape
from npcnn.onnx.resizing import is_bilinear, repeats
from npcnn.onnx.windows import pair_or_number, windows

LONGEST = 2**20  # pixels along one side; what asks for more is damaged
Reader: TypeAlias = Callable[[Place], tuple[Plan | None, Value]]


def short(number: float) -> float:
    """Return the shortest decimal that is the same number in float32, as a file keeps settings: 0.9, not 0.89999998."""
    return float(str(np.float32(number)))


def _conv(place: Place) -> tuple[Plan, Value]:
    place.pictures()
    w, groups = _kernel(place), int(place.setting("group", 1))
    C_out, C_group, *size = w.shape
    arguments = {"kernel_size": pair_or_number(size), **windows(place, size), "bias": _has(place, 2)}
    C_in = C_group * groups
    if groups == C_in > 1:
        plan = place.plan(layers.DepthwiseConv2D, channels=C_in, multiplier=C_out // C_in, **arguments)
    else:
        plan = place.plan(layers.Conv2D, in_channels=C_in, out_channels=C_out, groups=groups, **arguments)
    return _with_weights(plan, place, w.transpose(2, 3, 1, 0)), Value(place.lengths(), CHANNELS_FIRST)


def _conv_transpose(place: Place) -> tuple[Plan, Value]:
    x, w = place.pictures(), _kernel(place)
    if place.setting("group", 1) != 1:
        raise Refused(f"npcnn has no transposed convolution in groups, got group {place.setting('group')}")
    C_in, C_out, *size = w.shape
    laid = windows(place, size)
    more = tuple(map(int, place.setting("output_padding", (0, 0))))
    if place.setting("output_shape") is not None or place.setting("auto_pad", "NOTSET").startswith("SAME"):
        laid["padding"], more = _cut_off(place, x, size, more)
    laid["output_padding"] = pair_or_number(more)
    plan = place.plan(
        layers.Conv2DTranspose, in_channels=C_in, out_channels=C_out, kernel_size=pair_or_number(size), **laid,
        bias=_has(place, 2),
    )  # fmt: skip
    return _with_weights(plan, place, w.transpose(2, 3, 1, 0)), Value(place.lengths(), CHANNELS_FIRST)


def _kernel(place: Place) -> Array:
    w = place.weights(1, "W")
    if w.ndim != 4:
        raise Refused(f"its weights must have four axes, as the pictures, got shape {w.shape}")
    return w


def _cut_off(place: Place, x: Value, size: Any, more: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """Return padding and output padding of a transposed convolution whose output is given as a size."""
    stride, dilation = place.setting("strides", (1, 1)), place.setting("dilations", (1, 1))
    how, wanted = place.setting("auto_pad", "NOTSET"), place.setting("output_shape")
    if wanted is None and how == "SAME_UPPER" and more == (0, 0):
        return "same", more
    sides, longer = [], []
    for axis, length in enumerate(x.lengths[2:]):
        if length is None:
            raise Refused("its output needs the size of the pictures, which the file leaves open; give input_shape")
        reached = (length - 1) * stride[axis] + (size[axis] - 1) * dilation[axis] + 1 + more[axis]
        total = reached - (length * stride[axis] if wanted is None else int(wanted[-2:][axis]))
        half = max(total, 0) // 2
        sides.append((half, max(total, 0) - half) if how == "SAME_UPPER" else (max(total, 0) - half, half))
        longer.append(more[axis] + max(-total, 0))
    return tuple(sides), tuple(longer)


def _has(place: Place, i: int) -> bool:
    return i < len(place.node.inputs) and place.node.inputs[i] != ""


def _with_weights(plan: Plan, place: Place, w: Array) -> Plan:
    plan.arrays["w"] = w
    plan.arguments |= {"weight_init": constant(0.0), "dtype": place.graph.dtype}
    if plan.arguments["bias"] and "b" not in plan.arrays:
        plan.arrays["b"] = place.weights(2, "the bias").ravel()
    return plan


def _pool(layer: type[Layer], **settings: str) -> Reader:
    """Return the entry of a pooling; `settings` are its arguments by the names of attributes, yes or no."""

    def read(place: Place) -> tuple[Plan, Value]:
        place.pictures()
        place.unused(1)
        size = place.setting("kernel_shape")
        more = {name: bool(place.setting(attribute, 0)) for name, attribute in settings.items()}
        laid = windows(place, size)
        if laid["stride"] == pair_or_number(size):
            del laid["stride"]
        plan = place.plan(layer, size=pair_or_number(size), **laid, **more)
        return plan, Value(place.lengths(), CHANNELS_FIRST)

    return read


def _global_pool(layer: type[Layer]) -> Reader:
    def read(place: Place) -> tuple[Plan, Value]:
        H, W = place.pictures().lengths[2:]
        # Without a size it must become a GlobalAvgPool2D, with what comes after it.
        plan = place.plan(layer, size=None if H is None or W is None else pair_or_number((H, W)))
        return plan, Value(place.lengths(), CHANNELS_FIRST)

    return read


def _reduce_mean(place: Place) -> tuple[Plan | None, Value]:
    x, axes = place.x(), place.numbers(1, "axes")
    pixels = {x.axes[axis] for axis in axes} if axes and len(x.axes) == 4 else set()
    if pixels != {1, 2}:
        raise Refused(f"npcnn has the mean over all pixels of a channel, got axes {axes} of shape {shape(x)}")
    if place.setting("keepdims", 1):
        return _global_pool(layers.AvgPool2D)(place)
    return place.plan(layers.GlobalAvgPool2D), Value(place.lengths(), (0, 1))


def _gemm(place: Place) -> tuple[Plan, Value]:
    if place.setting("transA", 0):
        raise Refused("it must not turn its input round, got transA 1")
    w = place.weights(1, "B")
    w = _times(place.setting("alpha", 1.0), w.T if place.setting("transB", 0) else w)
    plan, y = _dense(place, w, bias=_has(place, 2))
    if plan.arguments["bias"]:
        b = _times(place.setting("beta", 1.0), place.weights(2, "C"))
        if b.size != 1 and b.shape not in ((w.shape[1],), (1, w.shape[1])):
            raise Refused(f"its C must be a bias, one row for all, got shape {b.shape}")
        plan.arrays["b"] = np.broadcast_to(b.ravel(), w.shape[1:])
    return _with_weights(plan, place, plan.arrays["w"]), y


def _times(factor: float, weights: Array) -> Array:
    return weights if factor == 1 else np.asarray(factor * weights)


def _mat_mul(place: Place) -> tuple[Plan, Value]:
    plan, y = _dense(place, place.weights(1, "the matrix"), bias=False)
    return _with_weights(plan, place, plan.arrays["w"]), y


def _dense(place: Place, w: Array, *, bias: bool) -> tuple[Plan, Value]:
    if place.x().axes != (0, 1) or w.ndim != 2:
        raise Refused(
            f"npcnn has it for vectors (N, features) and a matrix, got shapes {shape(place.x())} and {w.shape}"
        )
    features = place.x().lengths[1] or len(w)
    if features != len(w):
        raise Refused(f"its matrix must have a row for each of {features} numbers, got shape {w.shape}")
    plan = place.plan(layers.Dense, in_features=w.shape[0], out_features=w.shape[1], bias=bias)
    plan.arrays["w"] = w[place.x().order(len(w))]
    return plan, Value(place.lengths(), (0, 1))


def _batch_norm(place: Place) -> tuple[Plan, Value]:
    x = place.x()
    if x.axes not in (CHANNELS_FIRST, (0, 1)):
        raise Refused(f"npcnn has it for (N, C, H, W) and (N, features), got shape {shape(x)}")
    if place.setting("training_mode", 0) or not place.setting("is_test", 1):
        raise Refused("it must use the statistics in the file, got training_mode 1, those of the batch")
    if not place.setting("spatial", 1):
        raise Refused("it must have one mean a channel, got spatial 0, one a pixel")
    place.unused(1, 2, 3, 4)
    arrays = {name: place.weights(i, name) for i, name in enumerate(("scale", "shift", "mean", "variance"), 1)}
    return _normalization(place, layers.BatchNorm, arrays, momentum=short(place.setting("momentum", 0.9)))


def _layer_norm(place: Place) -> tuple[Plan, Value]:
    x, axis = place.x(), place.axis(-1)
    if axis != len(x.axes) - 1 or x.axes[axis] != len(x.axes) - 1:
        raise Refused(f"it must normalise over the channels alone, got axis {axis} of shape {shape(x)}")
    place.unused(1, 2)
    scale, has_shift = place.weights(1, "scale"), _has(place, 2)
    arrays = {"scale": scale} | ({"shift": place.weights(2, "shift")} if has_shift else {})
    return _normalization(place, layers.LayerNorm, arrays, shift=has_shift)


def _normalization(place: Place, layer: type[Layer], arrays: dict[str, Array], **more: Any) -> tuple[Plan, Value]:
    channels = place.channels()
    if {array.size for array in arrays.values()} != {channels}:
        sizes = ", ".join(f"{array.size} of {name}" for name, array in arrays.items())
        raise Refused(f"it must have one number for each of {channels} channels, got {sizes}")
    plan = place.plan(
        layer, channels=channels, eps=short(place.setting("epsilon", 1e-5)), dtype=place.graph.dtype, **more
    )
    plan.arrays = {name: array.ravel()[place.x().order(channels)] for name, array in arrays.items()}
    return plan, place.x()


def _alone(layer: type[Layer], **settings: tuple[str, Any]) -> Reader:
    """Return the entry of a layer that keeps the shape; `settings` are its arguments: attribute and default."""

    def read(place: Place) -> tuple[Plan, Value]:
        told = {name: place.setting(*one) for name, one in settings.items()}
        arguments = {name: short(value) if isinstance(value, float) else value for name, value in told.items()}
        return place.plan(layer, **arguments), place.x()

    return read


def _swish(place: Place) -> tuple[Plan, Value]:
    if place.setting("alpha", 1.0) != 1.0:
        raise Refused(f"npcnn has x * sigmoid(x), got alpha {place.setting('alpha')}")
    return place.plan(layers.SiLU), place.x()


def _clip(place: Place) -> tuple[Plan | None, Value]:
    low, high = (place.numbers(i, name) for i, name in ((1, "min"), (2, "max")))
    if low is None and high is None:
        return None, place.x()
    if low != [0.0] or not (high is None or high[0] >= float(np.finfo(place.graph.dtype).max)):
        raise Refused(f"npcnn has it from 0 to infinity, a ReLU, got {low} to {high}")
    return place.plan(layers.ReLU), place.x()


def _along_the_channels(layer: type[Layer]) -> Reader:
    """Return the entry of a softmax, which before opset 13 took all axes from one on together."""

    def read(place: Place) -> tuple[Plan, Value]:
        x = place.x()
        axis = place.axis(-1 if place.graph.opset >= 13 else 1)
        last = len(x.axes) - 1
        if not last or x.axes[axis] != last or (place.graph.opset < 13 and axis != last):
            raise Refused(f"npcnn has it along the channels, or the last axis, got axis {axis} of shape {shape(x)}")
        return place.plan(layer), x

    return read


def _dropout(place: Place) -> tuple[Plan, Value]:
    place.unused(1)
    training = place.constant(2, "training_mode")
    if training is not None and training.item():
        raise Refused("it must do nothing when the network is run, got training_mode true")
    rate = place.constant(1, "ratio")
    rate = place.setting("ratio", 0.5) if rate is None else rate.item()
    return place.plan(layers.Dropout, rate=short(rate)), place.x()


def _scaled(place: Place) -> tuple[Plan, Value]:
    x = place.inputs[0]
    if len(place.inputs) != 1:
        raise Refused("npcnn multiplies by a constant only, got two inputs that are computed")
    names = [name for name in place.node.inputs if name in place.graph.constants]
    factor = place.graph.constants[names[0]]
    if factor.size != 1 or factor.ndim > len(x.lengths):
        raise Refused(f"npcnn multiplies by one number, got an array of shape {factor.shape}")
    if place.node.operation == "Div":
        place.x()  # which refuses a constant divided by what comes in
        factor = 1 / factor
    return place.plan(layers.Rescale, factor=factor.item() if factor.dtype == np.float64 else short(factor.item())), x


def _added(place: Place) -> tuple[Plan | None, Value]:
    constants = [place.graph.constants[name] for name in place.node.inputs if name in place.graph.constants]
    if not constants:
        return _joined(layers.Add)(place)
    x, b = place.inputs[0], constants[0]
    if len(place.inputs) != 1 or b.ndim > len(x.axes):
        raise Refused(f"npcnn adds a bias to one array, got {len(place.inputs)} and a constant of shape {b.shape}")
    lengths = (1,) * (len(x.axes) - b.ndim) + b.shape
    if b.size != lengths[x.axes.index(len(x.axes) - 1)] or x.flattened:
        raise Refused(f"npcnn adds one number for each channel, got a constant of shape {b.shape}")
    plan = place.plan(Shift)
    plan.arrays["b"] = b.ravel()
    return plan, x


def _joined(layer: type[Layer]) -> Reader:
    """Return the entry of a layer with branches, whose outputs must be alike."""

    def read(place: Place) -> tuple[Plan | None, Value]:
        inputs, first = place.inputs, place.inputs[0]
        if len(inputs) != len(place.node.inputs):
            raise Refused("all that it joins must be computed, got a constant")
        if len(inputs) == 1:
            return None, first
        if len({value.axes for value in inputs}) > 1 or len(first.axes) < 2:
            raise Refused(f"npcnn joins arrays of one kind, got shapes {[shape(value) for value in inputs]}")
        if layer is layers.Concat and first.axes[place.axis(1)] != len(first.axes) - 1:
            raise Refused(f"npcnn joins along the channels, got axis {place.setting('axis')} of shape {shape(first)}")
        if layer is layers.Add and len({value.lengths[1:] for value in inputs}) > 1:
            raise Refused(f"npcnn adds arrays of one shape, got {[shape(value) for value in inputs]}")
        return place.plan(layer), Value(place.lengths(), first.axes)

    return read


def _flatten(place: Place) -> tuple[Plan | None, Value]:
    if place.setting("axis", 1) not in (1, 1 - len(place.x().lengths)):
        raise Refused(f"it must keep the batch and nothing else, got axis {place.setting('axis')}")
    return flattened(place)


def _reshape(place: Place) -> tuple[Plan | None, Value]:
    x, wanted = place.x(), place.numbers(1, "shape")
    features = None if None in x.lengths[1:] else math.prod(length or 0 for length in x.lengths[1:])
    if wanted and len(wanted) == 2:
        N, F = wanted
        keeps_batch = N in (0, x.lengths[0]) or (N == -1 and features == F)
        if keeps_batch and F in (-1, features):
            return flattened(place)
    raise Refused(f"npcnn has it as Flatten, to (N, features), got {wanted} of shape {shape(x)}")


def _squeeze(place: Place) -> tuple[Plan | None, Value]:
    x, axes = place.x(), place.numbers(1, "axes")
    squeezed = {x.axes[axis] for axis in axes} if axes and len(x.axes) == 4 else set()
    if squeezed != {1, 2}:
        raise Refused(f"npcnn has it for pictures of one pixel, got axes {axes} of shape {shape(x)}")
    return flattened(place)


def flattened(place: Place) -> tuple[Plan | None, Value]:
    """Return the plan of a Flatten: npcnn's order where the weights after it can follow, else that of the file."""
    x = place.x()
    if len(x.axes) == 2:
        return None, x
    if len(x.axes) != 4 or x.axes == (0, 1, 2, 3):
        if x.axes != tuple(range(len(x.axes))) or len(x.axes) < 2:
            raise Refused(f"npcnn flattens pictures, got shape {shape(x)}, turned round")
        return place.plan(layers.Flatten), Value(place.lengths(), (0, 1))
    C, H, W = place.pictures().lengths[1:]
    if C == 1 or H == W == 1:
        return place.plan(layers.Flatten), Value(place.lengths(), (0, 1))
    if C and H and W and any_order_will_do(place.graph, place.node.outputs[0]):
        return place.plan(layers.Flatten), Value(place.lengths(), (0, 1), (C, H, W))
    return place.plan(layers.Flatten, channels_first=True), Value(place.lengths(), (0, 1))


def _gather(place: Place) -> tuple[None, Value]:
    """Take what `save` writes where a network gives a flattened picture: its numbers put into npcnn's order."""
    x, where = place.x(), place.constant(1, "indices")
    flat = x.flattened is not None and where is not None and where.size == math.prod(x.flattened)
    if not flat or where is None or place.axis(0) != 1 or not np.array_equal(where, x.order(where.size)):
        raise Refused("npcnn has it where a flattened picture is put into the order (H, W, C), and nowhere else")
    return None, Value(place.lengths(), (0, 1))


def any_order_will_do(graph: Graph, name: str) -> bool:
    """Return whether all that takes a vector has weights that can be put into another order."""
    consumers = graph.consumers(name)
    return bool(consumers) and all(
        node.operation in ("Gemm", "MatMul", "Gather")
        or (node.operation in KEEPING_ORDER and any_order_will_do(graph, node.outputs[0]))
        for node in consumers
    )


def _pad(place: Place) -> tuple[Plan, Value]:
    x = place.x()
    how, sides, fill = place.setting("mode", "constant"), place.numbers(1, "pads"), place.numbers(2, "value")
    axes = place.numbers(3, "axes") or list(range(len(x.axes)))
    if how != "constant" or (fill or [0.0])[0] != 0 or not sides or min(sides) < 0:
        raise Refused(f"npcnn pads with zeros, got mode {how}, value {fill}, pads {sides}")
    around = {
        x.axes[axis]: (before, after) for axis, before, after in zip(axes, sides, sides[len(axes) :], strict=False)
    }
    height, width = around.pop(1, (0, 0)), around.pop(2, (0, 0))
    if len(x.axes) != 4 or any(side != (0, 0) for side in around.values()):
        raise Refused(f"npcnn pads the height and the width of pictures, got pads {sides} of shape {shape(x)}")
    even = height == width and height[0] == height[1]
    return place.plan(layers.ZeroPad2D, padding=height[0] if even else (height, width)), Value(place.lengths(), x.axes)


def _resize(place: Place) -> tuple[Plan, Value]:
    x = place.inputs[0]
    by_ratio = 1 if place.graph.opset < 11 else 2
    scales, sizes = place.numbers(by_ratio, "scales"), place.numbers(by_ratio + 1, "sizes") if by_ratio == 2 else None
    if place.setting("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Refused(f"it must stretch, got keep_aspect_ratio_policy {place.setting('keep_aspect_ratio_policy')}")
    axes = [axis % len(x.axes) for axis in place.setting("axes", range(len(x.axes)))]
    lengths = [x.lengths[axis] for axis in axes]
    if len(scales or sizes or []) != len(axes):
        raise Refused(f"it must say how large each of {len(axes)} axes becomes, got scales {scales}, sizes {sizes}")
    if not scales and sizes:
        scales = [size / length if length else 1.0 if size == length else math.nan
                  for size, length in zip(sizes, lengths, strict=True)]  # fmt: skip
    factors = {x.axes[axis]: scale for axis, scale in zip(axes, scales or [], strict=True)}
    factor = factors.pop(1, 1.0), factors.pop(2, 1.0)
    if len(x.axes) != 4 or any(scale != 1 for scale in factors.values()) or any(one < 1 or one % 1 for one in factor):
        raise Refused(f"npcnn makes pictures larger by whole numbers, got scales {scales} of shape {shape(x)}")
    H, W = (x.lengths[x.axes.index(axis)] for axis in (1, 2))
    if max((H or 1) * factor[0], (W or 1) * factor[1]) > LONGEST:
        raise Refused(f"it makes pictures longer than {LONGEST} pixels, got scales {scales} of shape {shape(x)}")
    mode = _resize_mode(place, ((H, int(factor[0])), (W, int(factor[1]))))
    even = int(factor[0]) if factor[0] == factor[1] else (int(factor[0]), int(factor[1]))
    return place.plan(layers.UpSample2D, factor=even, mode=mode), Value(place.lengths(), x.axes)


def _resize_mode(place: Place, stretched: tuple[tuple[int | None, int], ...]) -> str:
    """Return the mode of an UpSample2D; each axis has a length and a factor."""
    newer = place.graph.opset >= 11  # until then pixels lay at their corners
    mode = place.setting("mode", "nearest")
    where = place.setting("coordinate_transformation_mode", "half_pixel") if newer else "asymmetric"
    rounding = place.setting("nearest_mode", "round_prefer_floor") if newer else "floor"
    if mode == "nearest" and all(repeats(length, factor, where, rounding) for length, factor in stretched):
        return "nearest"
    excluding = place.setting("exclude_outside", 0)
    if mode == "linear" and not excluding and all(is_bilinear(length, factor, where) for length, factor in stretched):
        return "bilinear"
    raise Refused(
        "npcnn repeats pixels, or draws a line between their centres, got "
        f"mode {mode}, coordinate_transformation_mode {where}, nearest_mode {rounding}"
    )


def _transpose(place: Place) -> tuple[None, Value]:
    x = place.x()
    turn = place.setting("perm", range(len(x.axes))[::-1])
    if turn[0] != 0:
        raise Refused(f"it must leave the batch in its place, got perm {list(turn)}")
    return None, Value(tuple(x.lengths[axis] for axis in turn), tuple(x.axes[axis] for axis in turn), x.flattened)


READ: dict[str, Reader] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _mat_mul,
    "MaxPool": _pool(layers.MaxPool2D, ceil_mode="ceil_mode"),
    "AveragePool": _pool(layers.AvgPool2D, ceil_mode="ceil_mode", count_include_pad="count_include_pad"),
    "GlobalMaxPool": _global_pool(layers.MaxPool2D),
    "GlobalAveragePool": _global_pool(layers.AvgPool2D),
    "ReduceMean": _reduce_mean,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Softmax": _along_the_channels(layers.Softmax),
    "LogSoftmax": _along_the_channels(layers.LogSoftmax),
    "Relu": _alone(layers.ReLU),
    "LeakyRelu": _alone(layers.LeakyReLU, slope=("alpha", 0.01)),
    "Sigmoid": _alone(layers.Sigmoid),
    "Tanh": _alone(layers.Tanh),
    "Gelu": _alone(layers.GELU, approximate=("approximate", "none")),
    "Swish": _swish,
    "Clip": _clip,
    "Dropout": _dropout,
    "Mul": _scaled,
    "Div": _scaled,
    "Add": _added,
    "Sum": _added,
    "Concat": _joined(layers.Concat),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Gather": _gather,
    "Transpose": _transpose,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
}
# What does the same to each number, or has one weight for each: the numbers of a vector may stand in any order.
KEEPING_ORDER = {
    "BatchNormalization", "LayerNormalization", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Gelu", "Swish", "Clip",
    "Dropout", "Mul", "Div", "Softmax", "LogSoftmax", "Flatten", "Reshape",
}  # fmt: skip
