"""ONNX, both ways: a network of npcnn as a file that other engines run, and networks of others as layers of npcnn.

An ONNX file is a graph: nodes such as Conv and Relu, each of which takes arrays by name and gives others, and the
weights as constants.  It orders pictures (N, C, H, W) and kernels (C_out, C_in, KH, KW); npcnn, (N, H, W, C) and
(KH, KW, C_in, C_out).  An engine that runs a file takes and gives the first order, a network from `load` the second.

================  ==========================================================
file              what is there
================  ==========================================================
`writing`         what nodes a layer becomes, one entry a layer
`graph`           an ONNX file as plain Python: nodes, constants, shapes
`expressions`     GELU and SiLU, which files spell out in several nodes
`operators`       what layer a node becomes, one entry an operator
`reading`         the graph as layers one after the other and side by side
================  ==========================================================

``pip install onnx`` is all that it needs; the command is in `npcnn.errors.to_install`.
"""

from npcnn.onnx.reading import from_model, load
from npcnn.onnx.writing import save, to_model

__all__ = ["from_model", "load", "save", "to_model"]
