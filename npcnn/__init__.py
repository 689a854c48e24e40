"""npcnn: a convolutional network from scratch, to be read from end to end.

============================  ============================================================
where to look                 what is there
============================  ============================================================
`npcnn.functional`            conv2d, conv1d, pooling, activations, with their gradients
`npcnn.reference`             the same functions as plain definitions
`npcnn.layers`                layers and networks, with explicit backward passes
`npcnn.models`                named networks for CIFAR-10
`npcnn.optimizers`            Adam, AdamW, SGD; `npcnn.muon`, `npcnn.schedules`, `npcnn.clipping`, `npcnn.initializers`
`npcnn.gradient_check`        are these gradients right?
`npcnn.train`                 the training loop, logs, checkpoints
`npcnn.prediction`            what a trained network makes of pictures
`npcnn.evaluation`            what a classifier gets right and wrong; `npcnn.report`, `npcnn.plot`
`npcnn.explain`               a trained network as a page to explore
`npcnn.onnx`                  networks of other libraries, and yours for them
`npcnn.factorize`             cut trained kernels into k x 1 and 1 x k
`npcnn.datasets`              pictures of your own, CIFAR-10 and others
`npcnn.sklearn`               a network as a classifier of scikit-learn
`npcnn.kernels`, ``csrc/``    the algorithms in Cython, their inner loops in C
============================  ============================================================
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from npcnn import (
    clipping,
    config,
    functional,
    initializers,
    layers,
    models,
    muon,
    optimizers,
    schedules,
    summary,
    weights,
)
from npcnn.config import get_num_threads, set_num_threads, show_config
from npcnn.errors import CheckpointError, DataError, DTypeError, OnnxError, ShapeError, WeightsError
from npcnn.gradient_check import GradcheckReport, GradientError, KinkWarning, gradcheck
from npcnn.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm,
    Concat,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    DepthwiseSeparableConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool2D,
    ReLU,
    Rescale,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    SpatiallySeparableConv2D,
    Tanh,
    UpSample2D,
    ZeroPad2D,
)
from npcnn.models import load
from npcnn.muon import Muon
from npcnn.optimizers import SGD, Adam, AdamW
from npcnn.version import __version__

if TYPE_CHECKING:
    from npcnn import (
        datasets,
        evaluation,
        explain,
        factorize,
        onnx,
        parallel,
        plot,
        prediction,
        reference,
        report,
        train,
    )  # fmt: skip

__all__ = [
    "GELU",
    "SGD",
    "Adam",
    "AdamW",
    "Add",
    "AvgPool2D",
    "BatchNorm",
    "CheckpointError",
    "Concat",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "DTypeError",
    "DataError",
    "Dense",
    "DepthwiseConv2D",
    "DepthwiseSeparableConv2D",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "GradcheckReport",
    "GradientError",
    "Identity",
    "KinkWarning",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "MaxPool2D",
    "Muon",
    "OnnxError",
    "ReLU",
    "Rescale",
    "Residual",
    "Sequential",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SpatiallySeparableConv2D",
    "Tanh",
    "UpSample2D",
    "WeightsError",
    "ZeroPad2D",
    "__version__",
    "clipping",
    "config",
    "datasets",
    "evaluation",
    "explain",
    "factorize",
    "functional",
    "get_num_threads",
    "gradcheck",
    "initializers",
    "layers",
    "load",
    "models",
    "muon",
    "onnx",
    "optimizers",
    "parallel",
    "plot",
    "prediction",
    "reference",
    "report",
    "schedules",
    "set_num_threads",
    "show_config",
    "summary",
    "train",
    "weights",
]


_IMPORTED_WHEN_USED = (
    "datasets", "evaluation", "explain", "factorize", "onnx", "parallel", "plot", "prediction", "reference", "report",
    "sklearn", "train",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    # Not everyone uses these, and together they take as long to import as all the rest: they are imported when used.
    # `sklearn` is not in __all__, because without its extra ``from npcnn import *`` would end in an error.
    if name in _IMPORTED_WHEN_USED:
        return importlib.import_module(f"npcnn.{name}")
    if name == "toom_cook":
        warnings.warn(
            "npcnn.toom_cook is now npcnn.reference.toom_cook; the old name will be removed in the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        return importlib.import_module("npcnn.reference.toom_cook")
    raise AttributeError(f"module 'npcnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
