"""An ONNX model as a network of npcnn.

First every node is planned (`operators`), and what cannot be had is refused, all of it at once.  Then the graph is
taken apart from its end: a node that takes one array is the next layer of a `Sequential`; where several arrays meet,
the branches are what lies between there and the last place that all of them come through, and become a `Concat`, an
`Add` or a `Residual`.  Only then are layers built.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from npcnn import layers
from npcnn.errors import OnnxError, ShapeError
from npcnn.functional.checks import integer, shown
from npcnn.layers import Layer, Sequential
from npcnn.onnx.expressions import contracted
from npcnn.onnx.graph import Graph, Node, read_graph, takes_pixels_first
from npcnn.onnx.installed import imported_onnx
from npcnn.onnx.operators import READ
from npcnn.onnx.place import CHANNELS_FIRST, Place, Plan, Refused, Shift, Value
from npcnn.onnx.writing import ABOUT

MOST_REFUSALS = 20  # that a message shows


@dataclass
class Join:
    """Branches that meet: a Concat or an Add to be built, and the plans of what is in each branch."""

    plan: Plan
    branches: list[list[Plan | Join]]


Step: TypeAlias = Plan | Join


def load(path: str | Path, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Return the network in an ONNX file, to be trained, checked, explored and saved like any other.

    It takes and gives pictures as (N, H, W, C), whatever their order is in the file, and vectors as they are.

    Parameters
    ----------
    path : str or Path
        File that `save` or another library wrote: one input of float32 or float64, one output, and in between the
        operators in the table of ``docs/onnx.md``, one after the other or in branches.
    input_shape : tuple of int, optional
        Shape of one input in npcnn's order, (H, W, C) or (features,); needed where the file leaves it open and a layer
        depends on it.

    Returns
    -------
    Sequential
        With `classes`, `picture_shape` and `input_steps` if npcnn wrote the file.

    Raises
    ------
    ImportError
        If the extra is not installed.
    OSError
        If the file cannot be read.
    OnnxError
        If it is damaged, or holds what npcnn does not have; the message lists the nodes, with the reason for each.
        Nothing has been built then.
    ShapeError, TypeError, ValueError
        If `input_shape` is not of the form above.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "net.onnx")
    >>> net = nn.Sequential(nn.Conv2D(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dense(128, 10))
    >>> nn.onnx.save(net, path, (4, 4, 3))
    >>> nn.onnx.load(path)
    Sequential(
        Conv2D(3, 8, 3, activation='relu'),
        Flatten(),
        Dense(128, 10),
    )
    """
    onnx = imported_onnx()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise OnnxError(f"{path} is not a complete ONNX file ({error})") from error
    try:
        return from_model(model, input_shape)
    except OnnxError as error:
        raise OnnxError(f"{path}: {error}") from error


def from_model(model: Any, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Return the network in an ``onnx.ModelProto``, as `load` does; the model is not changed.

    Raises
    ------
    ImportError, OnnxError, ShapeError, TypeError, ValueError
        As `load`.
    """
    graph = read_graph(model, _checked_shape(input_shape))
    graph.nodes = contracted(graph)
    graph.nodes = graph.without_dead_nodes()
    plans, values = _planned(graph)
    network = _simplified(_taken_apart(graph, plans))
    _refuse([(step.node, reason) for step, reason in _left_over(network)])
    net = _one_after_the_other(network or [Plan(Node("", "", (), (), {}), layers.Identity)])
    _check_output(net, values[graph.input], values[graph.output])
    _remember(net, model)
    return net


def _checked_shape(input_shape: Any) -> tuple[int, ...] | None:
    if input_shape is None:
        return None
    if not isinstance(input_shape, tuple | list) or len(input_shape) not in (1, 3):
        raise ShapeError(
            f"input_shape must be (H, W, C) or (features,), without the batch axis, got {shown(input_shape)}"
        )
    return tuple(integer(length, f"input_shape[{i}]", minimum=1) for i, length in enumerate(input_shape))


def _refuse(reasons: list[tuple[Node, str]]) -> None:
    """Raise OnnxError if there are reasons."""
    if reasons:
        told = "; ".join(f"{node}: {reason}" for node, reason in reasons[:MOST_REFUSALS])
        more = f"; and {len(reasons) - MOST_REFUSALS} more" if len(reasons) > MOST_REFUSALS else ""
        raise OnnxError(f"npcnn has no layers for {len(reasons)} of the nodes, and built nothing: {told}{more}")


# ------------------------------------------------------------------------------------- planning


def _planned(graph: Graph) -> tuple[dict[str, Plan | None], dict[str, Value]]:
    """Return the plan of each node by the name of its output, and what is known of each array.

    A node behind one that is refused is not looked at, unless npcnn does not know its operator.
    """
    plans: dict[str, Plan | None] = {}
    values = {graph.input: _door(graph)}
    refused: list[tuple[Node, str]] = []
    for node in graph.nodes:
        inputs = [values.get(name) for name in graph.data_inputs(node)]
        known = [value for value in inputs if value is not None]
        try:
            if node.operation not in READ:
                raise Refused("npcnn has no such operator")
            if len(known) < len(inputs):
                continue
            if not known:
                raise Refused("nothing that goes in is computed, all of it is constant")
            if node.outputs[0] not in graph.shapes:
                raise Refused("the shape of its output cannot be told from the file; give input_shape")
            plans[node.outputs[0]], values[node.outputs[0]] = READ[node.operation](Place(graph, node, known))
        except Refused as reason:
            refused.append((node, str(reason)))
    _refuse(refused)
    return plans, values


def _door(graph: Graph) -> Value:
    """Return what is known of the input: pictures (N, C, H, W), unless the channels are first put there."""
    lengths = graph.shapes.get(graph.input)
    if not lengths:
        raise OnnxError(f"input {graph.input!r} must have a batch axis, got shape {lengths}")
    pictures = len(lengths) == 4 and not takes_pixels_first(graph)
    return Value(lengths, CHANNELS_FIRST if pictures else tuple(range(len(lengths))))


# ------------------------------------------------------------------------------------- taking apart


def _taken_apart(graph: Graph, plans: dict[str, Plan | None]) -> list[Step]:
    """Return the steps from the input to the output, branches inside."""
    makers = {node.outputs[0]: node for node in graph.nodes}
    forks = _forks(graph)
    taken: set[str] = set()

    def steps(start: str, end: str) -> list[Step]:
        backwards: list[Step] = []
        while end != start:
            node = makers[end]
            if end in taken:
                _refuse([(node, "it is used in several branches, and a layer has one place in a network")])
            taken.add(end)
            inputs, plan = graph.data_inputs(node), plans[end]
            if len(inputs) == 1:
                end = inputs[0]
                backwards += [] if plan is None else [plan]
            else:
                end = forks[end]
                backwards += [] if plan is None else [Join(plan, [steps(end, name) for name in inputs])]
        return backwards[::-1]

    return steps(graph.input, graph.output)


def _forks(graph: Graph) -> dict[str, str]:
    """Return for each array the last one that all ways to it come through (its immediate dominator).

    References
    ----------
    Cooper, Harvey & Kennedy, "A Simple, Fast Dominance Algorithm", 2001.
    """
    forks: dict[str, str] = {}
    depths = {graph.input: 0}

    def common(one: str, other: str) -> str:
        while one != other:
            if depths[one] < depths[other]:
                one, other = other, one
            one = forks[one]
        return one

    for node in graph.nodes:
        name = node.outputs[0]
        forks[name] = functools.reduce(common, graph.data_inputs(node))
        depths[name] = depths[forks[name]] + 1
    return forks


# ------------------------------------------------------------------------------------- simplifying


def _simplified(steps: list[Step]) -> list[Step]:
    """Return steps with those put together that are one layer of npcnn, inside branches too."""
    done: list[Step] = []
    for step in steps:
        if isinstance(step, Join):
            step = Join(step.plan, [_simplified(branch) for branch in step.branches])
            step = _residual(step) if step.plan.layer is layers.Add else step
        if not (done and isinstance(step, Plan) and any(merge(done[-1], step) for merge in MERGED)):
            done.append(step)
    return done


def _residual(join: Join) -> Join:
    """Return the sum of two branches as a residual connection, if one is the input, or shorter than the other."""
    first, second = sorted(join.branches, key=len, reverse=True)[:2]
    if len(join.branches) != 2 or len(first) == len(second):
        return join
    plan = Plan(join.plan.node, layers.Residual, dict(join.plan.arguments))
    return Join(plan, [first, second])


def _took_relu(before: Step, step: Plan) -> bool:
    """Put a ReLU into the layer before it, which has it for free; say whether that could be done."""
    plan = before.plan if isinstance(before, Join) else before
    if step.layer is not layers.ReLU or plan.layer not in WITH_ACTIVATION or "activation" in plan.arguments:
        return False
    plan.arguments["activation"] = "relu"
    return True


def _took_shift(before: Step, step: Plan) -> bool:
    """Put a constant that is added into the layer before it, as its bias."""
    if step.layer is not Shift or isinstance(before, Join) or before.arguments.get("bias", True):
        return False
    if "activation" in before.arguments:
        return False
    before.arguments["bias"], before.arrays["b"] = True, step.arrays["b"]
    return True


def _took_flatten(before: Step, step: Plan) -> bool:
    """Make a mean over all pixels that is flattened a GlobalAvgPool2D."""
    if step.layer is not layers.Flatten or isinstance(before, Join) or before.layer is not layers.AvgPool2D:
        return False
    if before.node.operation not in ("GlobalAveragePool", "ReduceMean"):
        return False
    before.layer, before.arguments = layers.GlobalAvgPool2D, {}
    return True


WITH_ACTIVATION = (
    layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.BatchNorm, layers.Add, layers.Residual,
)  # fmt: skip
MERGED: tuple[Callable[[Step, Plan], bool], ...] = (_took_relu, _took_shift, _took_flatten)


def _left_over(steps: list[Step]) -> Iterator[tuple[Plan, str]]:
    """Yield the plans that cannot stand by themselves, with the reason."""
    for step in steps:
        if isinstance(step, Join):
            for branch in step.branches:
                yield from _left_over(branch)
        elif step.layer is Shift:
            yield step, "npcnn adds a constant as the bias of a layer only, and the one before it takes none"
        elif step.arguments.get("size", 0) is None:
            yield step, "it is as large as the pictures, whose size the file leaves open; give input_shape"


# ------------------------------------------------------------------------------------- building


def _built(step: Step) -> Layer:
    plan = step.plan if isinstance(step, Join) else step
    branches = [_branch(branch) for branch in step.branches] if isinstance(step, Join) else []
    try:
        if plan.layer is layers.Residual:
            return layers.Residual(
                *(branch for branch in branches if type(branch) is not layers.Identity), **plan.arguments
            )
        layer = plan.layer(*branches, **plan.arguments)
    except (TypeError, ValueError) as error:
        raise OnnxError(f"{plan.node} does not make a layer of npcnn: {error}") from error
    arrays = layer.arrays
    for name, array in plan.arrays.items():
        if arrays[name].shape != array.shape:
            raise OnnxError(f"{plan.node}: {name} of {layer!r} must have shape {arrays[name].shape}, got {array.shape}")
        arrays[name][...] = array
    return layer


def _branch(steps: list[Step]) -> Layer:
    if not steps:
        return layers.Identity()
    return _built(steps[0]) if len(steps) == 1 else _one_after_the_other(steps)


def _one_after_the_other(steps: list[Step]) -> Sequential:
    built = [_built(step) for step in steps]
    try:
        return Sequential(*built)
    except ShapeError as error:
        raise OnnxError(f"the layers do not fit together: {error}") from error


def _check_output(net: Sequential, x: Value, y: Value) -> None:
    """Raise OnnxError unless the network gives what the file says, as far as it says it."""
    orders = (CHANNELS_FIRST, (0, 1, 2, 3)) if len(y.axes) == 4 else (tuple(range(len(y.axes))),)
    if y.axes not in orders:
        raise OnnxError(f"the output has its axes in an order that npcnn does not have: {y.axes} of its own")
    given, expected = (_of_one_input(value) for value in (x, y))
    if None in given:
        return
    try:
        shape = net.output_shape(tuple(length or 0 for length in given))
    except ShapeError as error:
        raise OnnxError(f"the layers do not fit together for an input of {given}: {error}") from error
    if len(shape) != len(expected) or any(b not in (None, a) for a, b in zip(shape, expected, strict=True)):
        raise OnnxError(f"the network gives {shape} for an input of {given}, and the file says {expected}")


def _of_one_input(value: Value) -> list[int | None]:
    """Return the lengths of all axes but the batch in npcnn's order."""
    return [value.lengths[value.axes.index(axis)] for axis in range(1, len(value.axes))]


def _remember(net: Sequential, model: Any) -> None:
    """Give the network what the file says of its classes and pictures, if npcnn wrote it."""
    said = next((one.value for one in model.metadata_props if one.key == ABOUT), None)
    if said is None:
        return
    try:
        about = json.loads(said)
        net.classes = None if about["classes"] is None else tuple(map(str, about["classes"]))
        if about["picture_shape"] is not None:
            H, W, C = (integer(length, "picture_shape", minimum=1) for length in about["picture_shape"])
            net.picture_shape = H, W, C
        net.input_steps = None if about["input_steps"] is None else [dict(step) for step in about["input_steps"]]
    except (ValueError, KeyError, TypeError) as error:
        raise OnnxError(f"what the file says of the network itself is damaged ({error})") from error
