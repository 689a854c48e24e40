"""Layers: operations with parameters and a memory of what backward needs.

Each layer has ``forward(x, training=False)``, ``backward(dy)``, ``params`` and
``grads`` (dictionaries of arrays), ``output_shape(input_shape)`` and
``multiplications(input_shape)``; `Layer`, in `base`, says what each of them
promises.  A new layer is a class in a file of this folder and its name in the
list below and in ``npcnn/__init__.py``.
"""

from npcnn.layers.activations import GELU, LeakyReLU, ReLU, Rescale, Sigmoid, SiLU, Tanh
from npcnn.layers.base import Layer
from npcnn.layers.containers import Concat, Sequential
from npcnn.layers.convolution import Conv1D, Conv2D, SpatiallySeparableConv2D
from npcnn.layers.dense import Dense
from npcnn.layers.depthwise import DepthwiseConv2D, DepthwiseSeparableConv2D
from npcnn.layers.dropout import Dropout
from npcnn.layers.flatten import Flatten
from npcnn.layers.normalization import BatchNorm, LayerNorm
from npcnn.layers.padding import ZeroPad2D
from npcnn.layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from npcnn.layers.probabilities import LogSoftmax, Softmax
from npcnn.layers.resampling import UpSample2D
from npcnn.layers.residual import Add, Identity, Residual
from npcnn.layers.transposed import Conv2DTranspose

__all__ = [
    "GELU",
    "Add",
    "AvgPool2D",
    "BatchNorm",
    "Concat",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "DepthwiseSeparableConv2D",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "MaxPool2D",
    "ReLU",
    "Rescale",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SpatiallySeparableConv2D",
    "Tanh",
    "UpSample2D",
    "ZeroPad2D",
]
