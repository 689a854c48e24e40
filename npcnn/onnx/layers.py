"""What nodes each layer becomes.

`WRITTEN` has one entry a layer: a function that appends nodes to a graph and returns the array that they give.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npcnn.errors import OnnxError
from npcnn.functional.padding import checked_sides
from npcnn.functional.resampling import checked_factor
from npcnn.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm,
    Concat,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    DepthwiseSeparableConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool2D,
    ReLU,
    Rescale,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    SpatiallySeparableConv2D,
    Tanh,
    UpSample2D,
    ZeroPad2D,
)
from npcnn.layers.names import dotted
from npcnn.onnx.growing import Graph, Tensor, Writer


def _one_after_the_other(graph: Graph, layer: Layer, x: Tensor, path: str) -> Tensor:
    for name, child in layer.children.items():
        x = graph.layer(child, x, dotted(path, name))
    return x


def _convolution(graph: Graph, layer: Any, x: Tensor, path: str) -> Tensor:
    windows = layer.windows(x.shape)
    w = layer.params["w"]
    w = w.reshape(*windows.size, *w.shape[-2:]).transpose(3, 2, 0, 1)
    inputs = [x.name, graph.constant(w, path, "w"), *_bias(graph, layer, path)]
    shape = layer.output_shape(x.shape)
    y = graph.add("Conv", path, inputs, shape, group=layer.groups, **_window(windows, dilations=True))
    return graph.activated(y, layer, path)


def _transposed_convolution(graph: Graph, layer: Any, x: Tensor, path: str) -> Tensor:
    windows, shape = layer.windows(x.shape), layer.output_shape(x.shape)
    w = layer.params["w"].transpose(3, 2, 0, 1)
    # What the output has more than the windows reach.
    more = [
        length + sum(pads) - ((before - 1) * stride + (size - 1) * dilation + 1)
        for length, pads, before, stride, size, dilation in zip(
            shape[:2], windows.padding, x.shape[:2], windows.stride, windows.size, windows.dilation, strict=True
        )
    ]
    y = graph.add(
        "ConvTranspose", path, [x.name, graph.constant(w, path, "w"), *_bias(graph, layer, path)], shape,
        output_padding=more, **_window(windows, dilations=True),
    )  # fmt: skip
    return graph.activated(y, layer, path)


def _bias(graph: Graph, layer: Any, path: str) -> list[str]:
    return [graph.constant(layer.params["b"], path, "b")] if "b" in layer.params else []


def _window(windows: Any, *, dilations: bool) -> dict[str, Any]:
    """Return windows as the attributes of a node."""
    (top, bottom), (left, right) = windows.padding
    attributes = {"kernel_shape": windows.size, "strides": windows.stride, "pads": (top, left, bottom, right)}
    return attributes | ({"dilations": windows.dilation} if dilations else {})


def _max_pool(graph: Graph, layer: MaxPool2D, x: Tensor, path: str) -> Tensor:
    window, _ = _pooling_window(layer, x, dilations=True)
    return graph.add("MaxPool", path, [x.name], layer.output_shape(x.shape), **window)


def _avg_pool(graph: Graph, layer: AvgPool2D, x: Tensor, path: str) -> Tensor:
    dilated = layer.windows(x.shape).dilation != (1, 1)
    window, padded_more = _pooling_window(layer, x, dilations=dilated)
    if dilated and graph.opset < 19:
        raise OnnxError(
            f"layer {path or 'net'}, {layer!r}, cannot be written for opset {graph.opset}, whose average pooling "
            "has no dilation; give opset=19"
        )
    if padded_more and layer.count_include_pad:
        raise OnnxError(
            f"layer {path or 'net'}, {layer!r}, cannot be written for an input of {x.shape}: in ceil mode one more "
            "window would start behind the last pixel, which npcnn leaves out and ONNX does not; pad otherwise"
        )
    include = int(layer.count_include_pad)
    return graph.add(
        "AveragePool", path, [x.name], layer.output_shape(x.shape), count_include_pad=include, **window
    )  # fmt: skip


def _pooling_window(layer: Any, x: Tensor, *, dilations: bool) -> tuple[dict[str, Any], bool]:
    """Return the windows of a pooling as attributes, and whether padding was added for windows that are not full.

    Until opset 19 ONNX's ceil mode has windows that start behind the last pixel.  npcnn leaves them out; where that
    makes a difference, the windows are made full instead, by padding that neither a maximum nor a mean counts.
    """
    windows = layer.windows(x.shape)
    attributes = _window(windows, dilations=dilations)
    ends, counts = [], []
    for axis in (0, 1):
        length, (before, after), stride = x.shape[axis], windows.padding[axis], windows.stride[axis]
        span = (windows.size[axis] - 1) * windows.dilation[axis] + 1
        counts.append(-((span - length - before - after) // stride) + 1)
        ends.append(max((windows.output[axis] - 1) * stride + span - length - before, 0))
    if not layer.ceil_mode or tuple(counts) == windows.output:
        return attributes | {"ceil_mode": int(layer.ceil_mode)}, False
    (top, bottom), (left, right) = windows.padding
    return attributes | {"pads": (top, left, *ends)}, ends[0] > bottom or ends[1] > right


def _global_avg_pool(graph: Graph, layer: GlobalAvgPool2D, x: Tensor, path: str) -> Tensor:
    C = x.shape[-1]
    means = graph.add("GlobalAveragePool", path, [x.name], (1, 1, C))
    return graph.add("Flatten", path, [means.name], (C,))


def _dense(graph: Graph, layer: Dense, x: Tensor, path: str) -> Tensor:
    w = graph.constant(layer.params["w"][x.order()], path, "w")
    return graph.add("Gemm", path, [x.name, w, *_bias(graph, layer, path)], layer.output_shape(x.shape))


def _flatten(graph: Graph, layer: Flatten, x: Tensor, path: str) -> Tensor:
    if len(x.shape) == 1:
        return x
    y = graph.add("Flatten", path, [x.name], layer.output_shape(x.shape))
    H, W, C = x.shape
    if layer.channels_first:
        return y
    return y if C == 1 or H * W == 1 else y._replace(flattened=x.shape)


def _batch_norm(graph: Graph, layer: BatchNorm, x: Tensor, path: str) -> Tensor:
    arrays = {"scale": np.ones(layer.channels), "shift": np.zeros(layer.channels), **layer.arrays}
    inputs = [graph.constant(arrays[key][x.order()], path, key) for key in ("scale", "shift", "mean", "variance")]
    y = graph.add(
        "BatchNormalization", path, [x.name, *inputs], x.shape, epsilon=layer.eps, momentum=layer.momentum
    )  # fmt: skip
    return graph.activated(y, layer, path)._replace(flattened=x.flattened)


def _layer_norm(graph: Graph, layer: LayerNorm, x: Tensor, path: str) -> Tensor:
    arrays = {"scale": np.ones(layer.channels), "shift": np.zeros(layer.channels), **layer.params}
    inputs = [graph.constant(arrays[key][x.order()], path, key) for key in ("scale", "shift")]
    if len(x.shape) == 1:
        y = graph.add("LayerNormalization", path, [x.name, *inputs], x.shape, epsilon=layer.eps)
        return y._replace(flattened=x.flattened)
    # The operator takes the last axes only, and the channels are not among them.
    turned = graph.add("Transpose", path, [x.name], x.shape, perm=(0, 2, 3, 1))
    y = graph.add("LayerNormalization", path, [turned.name, *inputs], x.shape, epsilon=layer.eps)
    return graph.add("Transpose", path, [y.name], x.shape, perm=(0, 3, 1, 2))


def _side_by_side(graph: Graph, layer: Layer, x: Tensor, path: str) -> list[Tensor]:
    outputs = [graph.layer(child, x, dotted(path, name)) for name, child in layer.children.items()]
    return [graph.in_npcnns_order(y, path) for y in outputs]


def _concat(graph: Graph, layer: Concat, x: Tensor, path: str) -> Tensor:
    names = [y.name for y in _side_by_side(graph, layer, x, path)]
    return graph.add("Concat", path, names, layer.output_shape(x.shape), axis=1)


def _add(graph: Graph, layer: Add, x: Tensor, path: str) -> Tensor:
    names = [y.name for y in _side_by_side(graph, layer, x, path)]
    y = graph.add("Add" if len(names) == 2 else "Sum", path, names, layer.output_shape(x.shape))
    return graph.activated(y, layer, path)


def _residual(graph: Graph, layer: Residual, x: Tensor, path: str) -> Tensor:
    branch = graph.layer(layer.branch, x, dotted(path, "branch"))
    shortcut = x if layer.shortcut is None else graph.layer(layer.shortcut, x, dotted(path, "shortcut"))
    names = [graph.in_npcnns_order(y, path).name for y in (branch, shortcut)]
    return graph.activated(graph.add("Add", path, names, layer.output_shape(x.shape)), layer, path)


def _zero_pad(graph: Graph, layer: ZeroPad2D, x: Tensor, path: str) -> Tensor:
    (top, bottom), (left, right) = checked_sides(layer.padding)
    sides = graph.constant([0, 0, top, left, 0, 0, bottom, right], path, "pads", np.int64)
    return graph.add("Pad", path, [x.name, sides], layer.output_shape(x.shape))


def _upsample(graph: Graph, layer: UpSample2D, x: Tensor, path: str) -> Tensor:
    scales = graph.constant([1, 1, *checked_factor(layer.factor)], path, "scales", np.float32)
    how: dict[str, str] = {"coordinate_transformation_mode": "half_pixel", "mode": "linear"}
    if layer.mode == "nearest":
        how = {"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"}
    return graph.add("Resize", path, [x.name, "", scales], layer.output_shape(x.shape), **how)


def _rescale(graph: Graph, layer: Rescale, x: Tensor, path: str) -> Tensor:
    factor = graph.constant(layer.factor, path, "factor")
    return graph.add("Mul", path, [x.name, factor], x.shape)._replace(flattened=x.flattened)


def _silu(graph: Graph, layer: SiLU, x: Tensor, path: str) -> Tensor:
    sigmoid = graph.add("Sigmoid", path, [x.name], x.shape)
    return graph.add("Mul", path, [x.name, sigmoid.name], x.shape)._replace(flattened=x.flattened)


def _gelu(graph: Graph, layer: GELU, x: Tensor, path: str) -> Tensor:
    if graph.opset >= 20:
        y = graph.add("Gelu", path, [x.name], x.shape, approximate=layer.approximate)
        return y._replace(flattened=x.flattened)

    def apply(operation: str, *inputs: str | float) -> str:
        names = [one if isinstance(one, str) else graph.constant(one, path, "number") for one in inputs]
        return graph.add(operation, path, names, x.shape).name

    if layer.approximate == "none":
        bracket = apply("Add", apply("Erf", apply("Div", x.name, np.sqrt(2.0))), 1.0)
    else:
        cube = apply("Mul", apply("Mul", apply("Mul", x.name, x.name), x.name), 0.044715)
        bracket = apply("Add", apply("Tanh", apply("Mul", apply("Add", x.name, cube), np.sqrt(2 / np.pi))), 1.0)
    return Tensor(apply("Mul", apply("Mul", x.name, bracket), 0.5), x.shape, x.flattened)


def _alone(operation: str, **attributes: Any) -> Writer:
    """Return the entry of a layer that is one operator; an attribute that is a string is a setting of the layer."""

    def write(graph: Graph, layer: Any, x: Tensor, path: str) -> Tensor:
        values = {name: getattr(layer, one) if isinstance(one, str) else one for name, one in attributes.items()}
        return graph.add(operation, path, [x.name], x.shape, **values)._replace(flattened=x.flattened)

    return write


def _dropout(graph: Graph, layer: Dropout, x: Tensor, path: str) -> Tensor:
    rate = graph.constant(layer.rate, path, "rate")
    return graph.add("Dropout", path, [x.name, rate], x.shape)._replace(flattened=x.flattened)


def _identity(graph: Graph, layer: Identity, x: Tensor, path: str) -> Tensor:
    return x


WRITTEN: dict[type[Layer], Writer] = {
    Sequential: _one_after_the_other,
    SpatiallySeparableConv2D: _one_after_the_other,
    DepthwiseSeparableConv2D: _one_after_the_other,
    Residual: _residual,
    Add: _add,
    Concat: _concat,
    Conv2D: _convolution,
    Conv1D: _convolution,
    DepthwiseConv2D: _convolution,
    Conv2DTranspose: _transposed_convolution,
    Dense: _dense,
    MaxPool2D: _max_pool,
    AvgPool2D: _avg_pool,
    GlobalAvgPool2D: _global_avg_pool,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    Flatten: _flatten,
    ZeroPad2D: _zero_pad,
    UpSample2D: _upsample,
    Dropout: _dropout,
    Rescale: _rescale,
    ReLU: _alone("Relu"),
    LeakyReLU: _alone("LeakyRelu", alpha="slope"),
    Sigmoid: _alone("Sigmoid"),
    Tanh: _alone("Tanh"),
    Softmax: _alone("Softmax", axis=1),
    LogSoftmax: _alone("LogSoftmax", axis=1),
    Identity: _identity,
    GELU: _gelu,
    SiLU: _silu,
}
