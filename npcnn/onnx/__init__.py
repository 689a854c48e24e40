"""ONNX, both ways: a network of npcnn as a file that other engines run, and networks of others as layers of npcnn.

An ONNX file is a graph: nodes such as Conv and Relu, each of which takes arrays by name and gives others, and the
weights as constants.  It orders pictures (N, C, H, W) and kernels (C_out, C_in, KH, KW); npcnn, (N, H, W, C) and
(KH, KW, C_in, C_out).  An engine that runs a file takes and gives the first order, a network from `load` the second.

==============  =====================================================================================
file            what is there
==============  =====================================================================================
`writing`       a network as a model; `growing`, the graph while it is being made
`layers`        what nodes a layer becomes, one entry a layer
`reading`       a model as a network: layers one after the other and side by side
`operators`     what layer a node becomes, one entry an operator; `place`, `windows`, `resizing`
`graph`         a model as plain Python: nodes, constants, shapes
`expressions`   GELU and SiLU, which files spell out in several nodes
==============  =====================================================================================

It needs the package onnx, which the extra of that name installs; to run a file, ``pip install onnxruntime``.
"""

from npcnn.onnx.reading import from_model, load
from npcnn.onnx.writing import save, to_model

__all__ = ["from_model", "load", "save", "to_model"]
