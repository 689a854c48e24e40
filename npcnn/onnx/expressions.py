"""What a file spells out in several nodes: GELU as products and an erf, SiLU as x * sigmoid(x), Flatten by a shape.

Before opset 20 ONNX had no operator for these activations, so every library wrote a handful of nodes, each in its own
order; and ``x.view(len(x), -1)`` of PyTorch looks up the length of the batch when the file is run.  The expressions are
written down here as trees, and found again in a graph from their last node backwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

from npcnn.onnx.graph import Graph, Node

Tree: TypeAlias = Any  # "x", a number, or (operation, *trees)

TOLERANCE = 1e-4  # of a number in an expression; some files say 0.7071 for the square root of 1/2
EITHER_WAY = ("Add", "Mul")


def _gelus(bracket: Tree) -> Iterator[Tree]:
    """Yield x / 2 times a bracket in the orders that it is multiplied in."""
    yield "Mul", ("Mul", "x", bracket), 0.5
    yield "Mul", ("Mul", "x", 0.5), bracket
    yield "Mul", "x", ("Mul", bracket, 0.5)


_CUBES = (("Pow", "x", 3.0), ("Mul", ("Mul", "x", "x"), "x"))
_BATCH = ("Gather", ("Shape", "x"), 0.0)  # its length, as a number
_ERFS = (("Div", "x", math.sqrt(2)), ("Mul", "x", math.sqrt(0.5)))

# What stands in the place of an expression: operator, attributes, the trees.
EXPRESSIONS: tuple[tuple[str, dict[str, Any], list[Tree]], ...] = (
    ("Swish", {}, [("Mul", "x", ("Sigmoid", "x"))]),
    ("Gelu", {}, [tree for inside in _ERFS for tree in _gelus(("Add", ("Erf", inside), 1.0))]),
    (
        "Gelu",
        {"approximate": "tanh"},
        [
            tree
            for cube in _CUBES
            for tree in _gelus(
                ("Add", ("Tanh", ("Mul", ("Add", "x", ("Mul", cube, 0.044715)), math.sqrt(2 / math.pi))), 1.0)
            )
        ],
    ),
    (
        "Flatten",
        {"axis": 1},
        [("Reshape", "x", ("Concat", ("Unsqueeze", _BATCH, *axes), -1.0)) for axes in ((), (0.0,))],
    ),
)


def contracted(graph: Graph) -> list[Node]:
    """Return the nodes of a graph with one in the place of each expression.

    An expression of which something is used outside it as well stays as it is.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    found: dict[str, Node] = {}
    for node in reversed(graph.nodes):
        for operation, attributes, trees in EXPRESSIONS:
            for tree in trees:
                bound: dict[str, str] = {}
                inside = _matched(tree, node.outputs[0], graph, makers, bound)
                if inside is not None and _used_nowhere_else(inside - {node.outputs[0]}, inside, graph):
                    found[node.outputs[0]] = Node(operation, node.name, (bound["x"],), node.outputs, attributes)
    return [found.get(node.outputs[0], node) for node in graph.nodes]


def _matched(
    tree: Tree, name: str, graph: Graph, makers: dict[str, Node], bound: dict[str, str]
) -> frozenset[str] | None:
    """Return the arrays of an expression that ends in `name`, or None if it is another; x becomes `bound`."""
    if tree == "x":
        return frozenset() if name not in graph.constants and bound.setdefault("x", name) == name else None
    if isinstance(tree, float):
        constant = graph.constants.get(name)
        equal = constant is not None and _is_number(constant) and math.isclose(constant.item(), tree, rel_tol=TOLERANCE)
        return frozenset() if equal else None
    operation, *parts = tree
    node = makers.get(name)
    if node is None or node.operation != operation or len(node.inputs) != len(parts):
        return None
    for inputs in (node.inputs, node.inputs[::-1]) if operation in EITHER_WAY else (node.inputs,):
        trial, inside = dict(bound), frozenset({name})
        for part, one in zip(parts, inputs, strict=True):
            below = _matched(part, one, graph, makers, trial)
            if below is None:
                break
            inside |= below
        else:
            bound.update(trial)
            return inside
    return None


def _used_nowhere_else(names: frozenset[str], by: frozenset[str], graph: Graph) -> bool:
    return graph.output not in names and all(
        consumer.outputs[0] in by for name in names for consumer in graph.consumers(name)
    )


def _is_number(constant: Any) -> bool:
    return bool(constant.size == 1 and constant.dtype.kind in "fiu")
