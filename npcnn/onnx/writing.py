"""A network as an ONNX model: what nodes each layer becomes.

`WRITTEN` has one entry a layer: a function that appends nodes and returns the array they give.  All arrays in the graph
are in ONNX's order, channels before pixels; no node turns them around.  Two places feel it.  The weights are turned
once, here.  And where a picture becomes a vector the numbers stand in another order than npcnn's: such a vector
remembers its picture (`Tensor.flattened`), and what comes next takes its weights in that order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import OnnxError, ShapeError, to_install
from npcnn.functional.checks import integer, shown
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
from npcnn.layers.base import dotted
from npcnn.version import __version__
from npcnn.weights import write_atomically

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]

OPSET, IR_VERSION = 18, 10  # of the end of 2022 and of 2024: what engines of today read
INPUT, OUTPUT = "x", "y"
ABOUT = "npcnn"  # the name of what the file says about the network itself: its classes and its pictures


class Tensor(NamedTuple):
    """An array in the graph: its name, and the shape that npcnn has of one input's part of it.

    `flattened` is the shape (H, W, C) of the picture that a vector was, if its numbers are in the order (C, H, W).
    """

    name: str
    shape: Shape
    flattened: Shape | None = None

    def order(self) -> Array:
        """Return where npcnn has the numbers that the graph has: the index that puts npcnn's into its order."""
        places = np.arange(self.shape[-1])
        return places if self.flattened is None else places.reshape(self.flattened).transpose(2, 0, 1).ravel()


def save(net: Layer, path: str | Path, input_shape: Shape, *, opset: int = OPSET, ir_version: int = IR_VERSION) -> None:
    """Write a network to an ONNX file, as it computes outside training.

    The file has one input, x, of shape (N, C, H, W) or (N, features), and one output, y; N is free.  It appears under
    its name only when it is complete.

    Parameters
    ----------
    net : Layer
        Of npcnn's own layers; a class of your own that only puts them together will do.
    path : str or Path
        File to write; an existing one is replaced.
    input_shape : tuple of int
        Shape of one input, without the batch axis: (H, W, C) or (features,).
    opset : int
        Version of ONNX's operators, at least 18.
    ir_version : int
        Version of the file format, at least 8.

    Raises
    ------
    ImportError
        If the extra is not installed.
    OnnxError
        If there is no operator for a layer; the message names it.
    ShapeError
        If the network does not take such an input.
    TypeError, ValueError
        If another argument is not of the form above.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "net.onnx")
    >>> net = nn.Sequential(nn.Conv2D(3, 8, 3, activation="relu"), nn.GlobalAvgPool2D())
    >>> nn.onnx.save(net, path, (32, 32, 3))
    >>> nn.onnx.load(path).output_shape((32, 32, 3))
    (8,)
    """
    model = to_model(net, input_shape, opset=opset, ir_version=ir_version)
    write_atomically(path, model.SerializeToString())


def to_model(net: Layer, input_shape: Shape, *, opset: int = OPSET, ir_version: int = IR_VERSION) -> Any:
    """Return a network as an ``onnx.ModelProto``, what `save` writes, for those who go on with it.

    Raises
    ------
    ImportError, OnnxError, ShapeError, TypeError, ValueError
        As `save`.
    """
    onnx = imported_onnx()
    if not isinstance(net, Layer):
        raise TypeError(f"net must be a Layer, got {shown(net)}")
    opset = _version(opset, "opset", OPSET, onnx.defs.onnx_opset_version())
    ir_version = _version(ir_version, "ir_version", 8, int(onnx.IR_VERSION))
    shape = _input_shape(input_shape)
    graph = Graph(opset, _dtype(net))
    y = graph.in_npcnns_order(graph.layer(net, Tensor(INPUT, shape), ""), "")
    graph.name_output(y)
    kind = onnx.helper.np_dtype_to_tensor_dtype(graph.dtype)
    inputs, outputs = (
        [onnx.helper.make_tensor_value_info(name, kind, ["N", *_channels_first(one)])]
        for name, one in ((INPUT, shape), (OUTPUT, y.shape))
    )
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "network", inputs, outputs, graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=ir_version,
        producer_name="npcnn",
        producer_version=__version__,
    )
    about = {"classes": net.classes, "picture_shape": net.picture_shape, "input_steps": net.input_steps}
    onnx.helper.set_model_props(model, {ABOUT: json.dumps(about)})
    onnx.checker.check_model(model, full_check=True)
    return model


def imported_onnx() -> Any:
    """Return the package onnx; ImportError, with what to install, if it is not there."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        raise ImportError(f"npcnn.onnx needs the package onnx ({error}): {to_install('onnx')}") from error
    return onnx


def _version(value: Any, name: str, oldest: int, newest: int) -> int:
    version = integer(value, name, minimum=1)
    if not oldest <= version <= newest:
        raise ValueError(f"{name} must be from {oldest} to {newest}, which the installed onnx knows, got {version}")
    return version


def _input_shape(input_shape: Any) -> Shape:
    if not isinstance(input_shape, tuple | list) or len(input_shape) not in (1, 3):
        raise ShapeError(
            f"input_shape must be (H, W, C) or (features,), without the batch axis, got {shown(input_shape)}"
        )
    return tuple(integer(length, f"input_shape[{i}]", minimum=1) for i, length in enumerate(input_shape))


def _dtype(net: Layer) -> np.dtype[Any]:
    """Return the dtype of the network's arrays, float32 if it has none."""
    found = sorted({array.dtype.name for array in net.arrays.values()})
    if len(found) > 1:
        raise OnnxError(f"net must compute in one dtype, got arrays of {' and '.join(found)}; see Layer.astype")
    return np.dtype(found[0] if found else np.float32)


def _channels_first(shape: Shape) -> Shape:
    return (shape[2], *shape[:2]) if len(shape) == 3 else shape


class Graph:
    """An ONNX graph that grows layer by layer.

    Nodes are named for the layers they are of, and weights for the parameters: ``2_residual.branch.0_conv2d.w``.
    """

    def __init__(self, opset: int, dtype: np.dtype[Any]) -> None:
        self.onnx = imported_onnx()
        self.opset, self.dtype = opset, dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names: set[str] = {INPUT, OUTPUT}

    def add(self, operation: str, path: str, inputs: list[str], shape: Shape, **attributes: Any) -> Tensor:
        """Append a node of the layer at `path`; return what it gives, of `shape` in npcnn's order."""
        name = self._free(dotted(path, operation.lower()))
        self.nodes.append(self.onnx.helper.make_node(operation, inputs, [name], name, **attributes))
        return Tensor(name, shape)

    def name_output(self, y: Tensor) -> None:
        """Make `y`, what the last node gives, the output of the graph."""
        if not self.nodes:
            self.add("Identity", "", [y.name], y.shape)
        self.nodes[-1].output[0] = OUTPUT

    def constant(self, array: Any, path: str, key: str, dtype: Any = None) -> str:
        """Store a constant of the layer at `path`, by default in the dtype of the network; return its name."""
        name = self._free(dotted(path, key))
        array = np.asarray(array, self.dtype if dtype is None else dtype, order="C")
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def _free(self, name: str) -> str:
        number, free = 1, name
        while free in self._names:
            number, free = number + 1, f"{name}_{number + 1}"
        self._names.add(free)
        return free

    def layer(self, layer: Layer, x: Tensor, path: str) -> Tensor:
        """Append what a layer computes of `x`; return its output."""
        writer = _writer(layer)
        if writer is None:
            raise OnnxError(
                f"layer {path or 'net'}, {layer!r}, cannot be written: there is no ONNX operator for a "
                f"{type(layer).__name__}; npcnn.onnx knows {', '.join(known.__name__ for known in WRITTEN)}"
            )
        return writer(self, layer, x, path)

    def in_npcnns_order(self, x: Tensor, path: str) -> Tensor:
        """Return `x`, its numbers put into npcnn's order if they are in another."""
        if x.flattened is None:
            return x
        where = self.constant(np.argsort(x.order()), path, "order", np.int64)
        return self.add("Gather", path, [x.name, where], x.shape, axis=1)

    def activated(self, x: Tensor, layer: Any, path: str) -> Tensor:
        """Return `x` through the activation that a layer has built in."""
        return self.add("Relu", path, [x.name], x.shape) if layer.activation == "relu" else x


Writer: TypeAlias = Callable[[Graph, Any, Tensor, str], Tensor]


def _writer(layer: Layer) -> Writer | None:
    """Return the entry of the class that the layer has its forward from."""
    for cls in type(layer).__mro__:
        if cls in WRITTEN and cls.forward is type(layer).forward:
            return WRITTEN[cls]
    return None


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
    windows = _window(layer.windows(x.shape), dilations=True)
    return graph.add("MaxPool", path, [x.name], layer.output_shape(x.shape), ceil_mode=int(layer.ceil_mode), **windows)


def _avg_pool(graph: Graph, layer: AvgPool2D, x: Tensor, path: str) -> Tensor:
    windows = layer.windows(x.shape)
    dilated = windows.dilation != (1, 1)
    if dilated and graph.opset < 19:
        raise OnnxError(
            f"layer {path or 'net'}, {layer!r}, cannot be written for opset {graph.opset}, whose average pooling "
            "has no dilation; give opset=19"
        )
    return graph.add(
        "AveragePool", path, [x.name], layer.output_shape(x.shape), ceil_mode=int(layer.ceil_mode),
        count_include_pad=int(layer.count_include_pad), **_window(windows, dilations=dilated),
    )  # fmt: skip


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
