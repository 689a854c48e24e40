"""A network as an ONNX model.

All arrays in the graph are in ONNX's order, channels before pixels, and no node turns pictures around.  Two places feel
it.  The weights are turned when they are written.  And where a picture becomes a vector, its numbers stand in another
order than npcnn's: such a vector remembers its picture (`Tensor.flattened`), and what comes next takes its weights in
that order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from npcnn.errors import OnnxError, ShapeError
from npcnn.functional.checks import integer, shown
from npcnn.layers import Layer
from npcnn.onnx.growing import INPUT, OUTPUT, Graph, Shape, Tensor
from npcnn.onnx.installed import imported_onnx
from npcnn.onnx.layers import WRITTEN
from npcnn.version import __version__
from npcnn.weights import write_atomically

OPSET, IR_VERSION = 18, 10  # of the end of 2022 and of 2024: what engines of today read
ABOUT = "npcnn"  # the name of what the file says about the network itself: its classes and its pictures


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
    graph = Graph(opset, _dtype(net), WRITTEN)
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
