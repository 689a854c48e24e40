"""What is known where a node stands in its graph: what goes in, its settings, its constants.

Between the nodes are values: arrays of which is known how long their axes are in the file, which of npcnn's axes each
of them is, and whether it is a vector whose numbers npcnn has in another order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from npcnn.layers import Layer
from npcnn.onnx.graph import Array, Graph, Lengths, Node

CHANNELS_FIRST = (0, 3, 1, 2)  # npcnn's axes of (N, C, H, W)


class Refused(Exception):
    """A node has no layer; the reason."""


class Value(NamedTuple):
    """An array between two nodes.

    `axes` are npcnn's axes in the order of the file.  `flattened` is (C, H, W) of the picture that a vector was, if
    npcnn has its numbers in the order (H, W, C), not as the file has them.
    """

    lengths: Lengths
    axes: tuple[int, ...]
    flattened: tuple[int, int, int] | None = None

    def order(self, length: int) -> Array:
        """Return where the file has the numbers that npcnn has: the index that puts the file's into its order."""
        places = np.arange(length)
        return places if self.flattened is None else places.reshape(self.flattened).transpose(1, 2, 0).ravel()


@dataclass
class Plan:
    """A layer to be built: its class, the arguments, and the arrays to put into it."""

    node: Node
    layer: type[Layer]
    arguments: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)


def shape(value: Value) -> str:
    """Return the shape of an array in the file, for messages.

    Examples
    --------
    >>> from npcnn.onnx.place import Value, shape
    >>> shape(Value((None, 3, 8, 8), (0, 3, 1, 2)))
    '(?, 3, 8, 8)'
    """
    return f"({', '.join('?' if length is None else str(length) for length in value.lengths)})"


class Shift(Layer):
    """Stands in a plan for a constant that is added: the bias of the layer before it, or nothing npcnn has."""


class Place:
    """A node in its graph, with what goes into it."""

    def __init__(self, graph: Graph, node: Node, inputs: list[Value]) -> None:
        self.graph, self.node, self.inputs = graph, node, inputs

    def x(self) -> Value:
        """Return what goes in, of a node that takes one array."""
        if len(self.inputs) != 1 or self.node.inputs[0] in self.graph.constants:
            raise Refused(f"it must have one input that is computed, the first, got {len(self.inputs)} of them")
        return self.inputs[0]

    def pictures(self) -> Value:
        """Return what goes in, if it is pictures (N, C, H, W)."""
        x = self.x()
        if len(x.lengths) != 4:
            raise Refused(f"npcnn has it for pictures of two dimensions, (N, C, H, W), got shape {shape(x)}")
        if x.axes != CHANNELS_FIRST:
            raise Refused("it must take pictures in the order (N, C, H, W), got one that a Transpose has changed")
        return x

    def channels(self) -> int:
        """Return how many channels go in."""
        x = self.x()
        channels = x.lengths[x.axes.index(len(x.axes) - 1)]
        if channels is None:
            raise Refused(f"the number of its channels cannot be told from the file, got shape {shape(x)}")
        return channels

    def plan(self, layer: type[Layer], **arguments: Any) -> Plan:
        """Return the plan of a layer."""
        return Plan(self.node, layer, arguments)

    def lengths(self) -> Lengths:
        """Return the lengths of the output's axes."""
        return self.graph.shapes[self.node.outputs[0]]

    def setting(self, name: str, default: Any = None) -> Any:
        """Return an attribute of the node."""
        return self.node.attributes.get(name, default)

    def unused(self, *outputs: int) -> None:
        """Refuse the node if one of these outputs, which npcnn does not have, is used."""
        for i in outputs:
            name = self.node.outputs[i] if i < len(self.node.outputs) else ""
            if name and (name == self.graph.output or self.graph.consumers(name)):
                raise Refused(f"its output {name!r} is used, which npcnn does not have")

    def constant(self, i: int, what: str) -> Array | None:
        """Return an input that is constant, None if it is left out."""
        name = self.node.inputs[i] if i < len(self.node.inputs) else ""
        if name and name not in self.graph.constants:
            raise Refused(f"{what} must be a constant in the file, but {name!r} is computed or comes in from outside")
        return self.graph.constants[name] if name else None

    def weights(self, i: int, what: str) -> Array:
        """Return weights, in the dtype of the network."""
        array = self.constant(i, what)
        if array is None:
            raise Refused(f"{what} is missing")
        if array.dtype != self.graph.dtype:
            raise Refused(f"{what} must be {self.graph.dtype}, as what comes in, got {array.dtype}")
        return array

    def numbers(self, i: int, attribute: str) -> list[Any] | None:
        """Return a list that is an attribute in some opsets and an input in others, None if it is left out."""
        if attribute in self.node.attributes:
            return list(np.ravel(self.node.attributes[attribute]).tolist())
        array = self.constant(i, attribute)
        return None if array is None or array.size == 0 else array.ravel().tolist()

    def axis(self, default: int) -> int:
        """Return the attribute axis, counted from the front."""
        axis, rank = int(self.setting("axis", default)), len(self.inputs[0].lengths)
        if not -rank <= axis < rank:
            raise Refused(f"there is no axis {axis} in shape {shape(self.inputs[0])}")
        return axis % rank
