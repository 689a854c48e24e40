"""An ONNX graph that grows: arrays, nodes and constants get their names here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import OnnxError
from npcnn.layers import Layer
from npcnn.layers.names import dotted
from npcnn.onnx.installed import imported_onnx

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Writer: TypeAlias = Callable[["Graph", Any, "Tensor", str], "Tensor"]  # graph, layer, its input, its name: its output

INPUT, OUTPUT = "x", "y"


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


class Graph:
    """An ONNX graph that grows layer by layer.

    Nodes are named for the layers they are of, and weights for the parameters: ``2_residual.branch.0_conv2d.w``.
    """

    def __init__(self, opset: int, dtype: np.dtype[Any], writers: Mapping[type[Layer], Writer]) -> None:
        self.onnx, self._writers = imported_onnx(), writers
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
        writer = self._writer(layer)
        if writer is None:
            raise OnnxError(
                f"layer {path or 'net'}, {layer!r}, cannot be written: there is no ONNX operator for a "
                f"{type(layer).__name__}; npcnn.onnx knows {', '.join(known.__name__ for known in self._writers)}"
            )
        return writer(self, layer, x, path)

    def _writer(self, layer: Layer) -> Writer | None:
        """Return the entry of the class that the layer has its forward from."""
        for cls, writer in self._writers.items():
            if isinstance(layer, cls) and cls.forward is type(layer).forward:
                return writer
        return None

    def in_npcnns_order(self, x: Tensor, path: str) -> Tensor:
        """Return `x`, its numbers put into npcnn's order if they are in another."""
        if x.flattened is None:
            return x
        where = self.constant(np.argsort(x.order()), path, "order", np.int64)
        return self.add("Gather", path, [x.name, where], x.shape, axis=1)

    def activated(self, x: Tensor, layer: Any, path: str) -> Tensor:
        """Return `x` through the activation that a layer has built in."""
        return self.add("Relu", path, [x.name], x.shape) if layer.activation == "relu" else x
