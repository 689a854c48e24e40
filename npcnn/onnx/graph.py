"""An ONNX file as plain Python: nodes in the order they run in, constants as arrays, and the shapes that are known.

What a file may hold in several ways is told apart here and nowhere else: weights as initializers or as nodes,
arithmetic on constants, nodes that only rename, nodes that nothing needs, functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import OnnxError
from npcnn.onnx.installed import imported_onnx

Array: TypeAlias = NDArray[Any]
Lengths: TypeAlias = tuple[int | None, ...]  # of the axes of an array; None where the file leaves one open

OLDEST_OPSET = 6  # of 2017; until then some operators took sizes that are not in the file
DTYPES: dict[str, np.dtype[Any]] = {"FLOAT": np.dtype(np.float32), "DOUBLE": np.dtype(np.float64)}
# What is computed here if all that goes in is constant: how converters write a shape, or turn weights round.
OF_CONSTANTS = {
    "Add", "Cast", "Concat", "ConstantOfShape", "Div", "Gather", "Identity", "Mul", "Reshape", "Slice", "Sqrt",
    "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip


class Node(NamedTuple):
    """One operation: what it is, the names of what goes in and comes out, and its settings."""

    operation: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"node {self.name or self.outputs[0]!r} ({self.operation})"


@dataclass
class Graph:
    """Nodes, constants by name, shapes by name; what goes in is named `input`, what comes out `output`."""

    input: str
    output: str
    opset: int
    dtype: np.dtype[Any]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, Lengths] = field(default_factory=dict)

    def data_inputs(self, node: Node) -> list[str]:
        """Return the inputs of a node that are computed, or come from outside."""
        return [name for name in node.inputs if name and name not in self.constants]

    def consumers(self, name: str) -> list[Node]:
        """Return the nodes that take an array."""
        return [node for node in self.nodes if name in node.inputs]

    def without_dead_nodes(self) -> list[Node]:
        """Return the nodes that the output needs, in their order."""
        needed, kept = {self.output}, []
        for node in reversed(self.nodes):
            if needed & set(node.outputs):
                needed |= set(node.inputs)
                kept.append(node)
        return kept[::-1]


def read_graph(model: Any, input_shape: tuple[int, ...] | None) -> Graph:
    """Return the graph of an ``onnx.ModelProto``.

    Parameters
    ----------
    model : onnx.ModelProto
        It is not changed.
    input_shape : tuple of int or None
        (H, W, C) or (features,), for files that leave the size of the pictures open.

    Raises
    ------
    OnnxError
        If the model is not valid, or has not one input and one output of float32 or float64.
    """
    onnx = imported_onnx()
    model = _checked(model, onnx)
    proto = model.graph
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise OnnxError(
            f"the model is of opset {opset}, expected at least {OLDEST_OPSET}; onnx.version_converter raises it"
        )
    constants = {one.name: _array(one, onnx) for one in proto.initializer}
    inputs = [one for one in proto.input if one.name not in constants]
    if len(inputs) != 1 or len(proto.output) != 1:
        raise OnnxError(
            f"the model must have one input and one output, got inputs {_names(inputs)} and outputs "
            f"{_names(proto.output)}; onnx.utils.extract_model cuts one out"
        )
    kind = onnx.TensorProto.DataType.Name(inputs[0].type.tensor_type.elem_type)
    if kind not in DTYPES:
        raise OnnxError(
            f"input {inputs[0].name!r} must be of {' or '.join(DTYPES)}, which npcnn computes in, got {kind}"
        )
    graph = Graph(inputs[0].name, proto.output[0].name, opset, DTYPES[kind], constants=constants)
    _add_nodes(graph, proto, onnx)
    graph.nodes = graph.without_dead_nodes()
    if input_shape is not None:
        _set_input_shape(inputs[0], proto, input_shape, turned=takes_pixels_first(graph))
    graph.shapes = dict(_inferred_shapes(model, onnx))
    return graph


def takes_pixels_first(graph: Graph) -> bool:
    """Return whether pictures come in as (N, H, W, C): all that is done to them first is to put the channels first."""
    first = graph.consumers(graph.input)
    return bool(first) and all(
        node.operation == "Transpose" and tuple(node.attributes.get("perm", ())) == (0, 3, 1, 2) for node in first
    )


def _checked(model: Any, onnx: Any) -> Any:
    """Return a copy of the model, its functions put in the place of their calls, if ONNX's own checks let it pass."""
    try:
        onnx.checker.check_model(model)
        if model.functions:
            from onnx.inliner import inline_local_functions

            return inline_local_functions(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise OnnxError(f"this is not a valid ONNX model: {error}") from error
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def _names(values: Any) -> str:
    return ", ".join(repr(value.name) for value in values) or "none"


def _add_nodes(graph: Graph, proto: Any, onnx: Any) -> None:
    """Take over the nodes, without those that only rename, and those whose result is constant."""
    renamed: dict[str, str] = {}
    for one in proto.node:
        domain = "" if one.domain in ("", "ai.onnx") else f"{one.domain}."
        attributes = {
            attribute.name: _attribute(onnx.helper.get_attribute_value(attribute), onnx) for attribute in one.attribute
        }
        inputs = tuple(renamed.get(name, name) for name in one.input)
        node = Node(domain + one.op_type, one.name, inputs, tuple(one.output), attributes)
        if node.operation == "Identity" and inputs[0] not in graph.constants:
            renamed[node.outputs[0]] = inputs[0]
        elif node.operation == "Constant":
            graph.constants[node.outputs[0]] = _constant(attributes)
        elif node.operation in OF_CONSTANTS and all(name in graph.constants for name in inputs if name):
            graph.constants[node.outputs[0]] = _computed(one, node, graph, onnx)
        else:
            graph.nodes.append(node)
    graph.output = renamed.get(graph.output, graph.output)


def _attribute(value: Any, onnx: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return _array(value, onnx) if isinstance(value, onnx.TensorProto) else value


def _array(tensor: Any, onnx: Any) -> Array:
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (KeyError, TypeError, ValueError) as error:
        raise OnnxError(f"constant {tensor.name!r} is damaged: {error!r}") from error


def _constant(attributes: dict[str, Any]) -> Array:
    ((name, value),) = attributes.items()
    return np.asarray(value, {"value_float": np.float32, "value_floats": np.float32}.get(name))


def _computed(proto: Any, node: Node, graph: Graph, onnx: Any) -> Array:
    """Return what a node makes of constants, by ONNX's own definition of it."""
    from onnx.reference import ReferenceEvaluator

    known = {name: graph.constants[renamed] for name, renamed in zip(proto.input, node.inputs, strict=True) if name}
    kinds = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in known.items()
    ]
    output = onnx.helper.make_empty_tensor_value_info(proto.output[0])
    alone = onnx.helper.make_graph([proto], "constant", kinds, [output])
    opsets = [onnx.helper.make_opsetid("", graph.opset)]
    try:
        (value,) = ReferenceEvaluator(onnx.helper.make_model(alone, opset_imports=opsets)).run(None, known)
    except (ArithmeticError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise OnnxError(f"{node}: what it makes of constants cannot be computed: {error}") from error
    return np.asarray(value)


def _set_input_shape(value: Any, proto: Any, input_shape: tuple[int, ...], *, turned: bool) -> None:
    """Write the shape of the input into the model, and take out what it says of shapes that follow from it."""
    H_W_C = len(input_shape) == 3 and not turned
    lengths = (input_shape[2], *input_shape[:2]) if H_W_C else input_shape
    declared = value.type.tensor_type.shape.dim
    said = [axis.dim_value or None for axis in declared][1:]
    if len(said) != len(lengths) or any(one not in (None, length) for one, length in zip(said, lengths, strict=True)):
        raise OnnxError(
            f"input_shape {input_shape} is {lengths} in the model's order, whose input {value.name!r} is {said}"
        )
    for axis, length in zip(list(declared)[1:], lengths, strict=True):
        axis.dim_value = length
    del proto.value_info[:]
    proto.output[0].type.tensor_type.ClearField("shape")


def _inferred_shapes(model: Any, onnx: Any) -> Iterator[tuple[str, Lengths]]:
    try:
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise OnnxError(f"the shapes in the model do not fit together: {error}") from error
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            yield value.name, tuple(axis.dim_value or None for axis in value.type.tensor_type.shape.dim)
