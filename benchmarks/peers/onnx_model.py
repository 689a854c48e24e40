"""The article's networks as ONNX models, for engines that run a network and do not train it.

The model has the weights of npcnn's own network and takes NCHW, the order of ONNX; what an engine makes of it is
compared with what npcnn computes before anything is timed.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

import npcnn as nn
from npcnn.layers import Concat, Conv1D, Conv2D, GlobalAvgPool2D, MaxPool2D, Sequential, SpatiallySeparableConv2D
from peers import NETWORKS, of_the_article
from peers.batch import random_batch

LARGEST_ERROR = 1e-4  # of the largest output
OPSET, IR_VERSION = 17, 8  # of 2022: every engine of today reads them


class Model:
    """An ONNX graph that grows layer by layer."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def add(self, operation, *inputs, **attributes):
        """Append one operation; return the name of its output."""
        name = f"{operation}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    def constant(self, array):
        """Store weights; return their name."""
        name = f"weights{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def layer(self, layer, x, shape):
        """Append what a layer of npcnn computes of `x`, pictures of `shape`; return the name of its output."""
        if isinstance(layer, Sequential | SpatiallySeparableConv2D):
            for child in layer.children.values():
                x, shape = self.layer(child, x, shape), child.output_shape(shape)
            return x
        if isinstance(layer, Concat):
            return self.add("Concat", *(self.layer(branch, x, shape) for branch in layer.branches), axis=1)
        if isinstance(layer, GlobalAvgPool2D):
            return self.add("Flatten", self.add("GlobalAveragePool", x))
        if not isinstance(layer, Conv1D | Conv2D | MaxPool2D):
            raise ImportError(f"no ONNX model is written here for {layer!r}")
        windows = layer.windows(shape)
        (top, bottom), (left, right) = windows.padding
        attributes = {"kernel_shape": windows.size, "strides": windows.stride, "pads": (top, left, bottom, right)}
        if isinstance(layer, MaxPool2D):
            return self.add("MaxPool", x, **attributes)
        w = layer.params["w"]
        w = w.reshape(*windows.size, *w.shape[-2:]).transpose(3, 2, 0, 1)  # HWIO to OIHW
        y = self.add("Conv", x, self.constant(w), self.constant(layer.params["b"]), **attributes)
        return self.add("Relu", y) if layer.activation == "relu" else y


def serialized(net, shape):
    """Return a network of npcnn, for batches (N, H, W, C), as the bytes of an ONNX file."""
    model = Model()
    N, H, W, C = shape
    output = model.layer(net, "x", (H, W, C))
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (N, C, H, W))
    y = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, (N, *net.output_shape((H, W, C))))
    graph = helper.make_graph(model.nodes, "network", [x], [y], model.weights)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(whole)
    return whole.SerializeToString()


def build(batch, network, load):
    """Return (None, forward, versions) of an engine.

    `load(model)` takes the bytes of the model and returns what computes the logits of (N, C, H, W), and the versions.
    """
    of_the_article(network)
    pictures, _ = random_batch(batch)
    name = next(name for name, known in NETWORKS.items() if known == network)
    net = nn.models.MODELS[name](rng=np.random.default_rng(0))
    run, versions = load(serialized(net, pictures.shape))
    x, expected = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)), net.forward(pictures)
    error = np.abs(run(x) - expected).max() / np.abs(expected).max()
    if not error <= LARGEST_ERROR:
        raise SystemExit(f"{versions}: its outputs are not npcnn's, but up to {error:.1e} of the largest off")
    return None, lambda: run(x), versions
