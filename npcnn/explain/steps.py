"""What a network computes for one picture, layer by layer, and the gradient of the class it takes it for.

The page needs nothing else: every other number on it (products, sums, a weight's gradient) is computed from these by
`arithmetic.js`, in front of the reader.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.convolution_1d import line_geometry
from npcnn.functional.geometry import WindowGeometry, window_geometry
from npcnn.functional.pooling import pool_geometry
from npcnn.layers import (
    AvgPool2D,
    Concat,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Sequential,
    SpatiallySeparableConv2D,
)

Array = NDArray[Any]


@dataclass
class Step:
    """One thing that was computed: a layer that is not made of others, a concatenation, or the input itself.

    Attributes
    ----------
    name, title : str
        Where it is in the network, as in the names of its parameters, and what it is.
    label : str
        What it is, in two or three words.
    kind : str
        "input", "convolution", "dense", "max_pool", "avg_pool", "relu", "dropout", "flatten", "concat" or "other".
    inputs : list of int
        Numbers of the steps whose output it takes.
    y : ndarray, shape (H, W, C)
        Its output; vectors as (1, 1, C).
    dy : ndarray, shape of `y`
        The gradient of the predicted class's logit with respect to `y`.
    multiplications : int
        That it takes by the definition.
    window : WindowGeometry, optional
        Of convolutions and poolings.
    w, b : ndarray, optional
        Of convolutions, (KH, KW, C_in, C_out) and (C_out,); a `Dense` is one of 1 x 1.
    relu : bool
        Whether a ReLU is part of it.
    count_include_pad : bool
        Of average poolings, whether the padding counts.
    pair : str
        Name of the `SpatiallySeparableConv2D` it is half of, or "".
    branch : tuple of (str, str), optional
        Name of the (outermost) `Concat` it is inside of, and which branch of it.
    """

    name: str
    title: str
    label: str
    kind: str
    inputs: list[int]
    y: Array
    dy: Array = field(default_factory=lambda: np.zeros(0))
    multiplications: int = 0
    window: WindowGeometry | None = None
    w: Array | None = None
    b: Array | None = None
    relu: bool = False
    count_include_pad: bool = False
    pair: str = ""
    branch: tuple[str, str] | None = None


def trace(net: Layer, x: Array) -> list[Step]:
    """Return every step of a network for one picture, forward and backward.

    Parameters
    ----------
    net : Layer
        Gives logits; it stays as it is.
    x : ndarray, shape (H, W, C)
        The picture, as the network takes it.

    Returns
    -------
    list of Step
        The input first, in the order they are computed.
    """
    return _Tracer(copy.deepcopy(net), x).steps


class _Tracer:
    def __init__(self, net: Layer, x: Array) -> None:
        self.steps = [Step("input", "the picture", "the picture", "input", [], x)]
        self.layers: list[Layer | None] = [None]
        # With the batch axis and in the layer's own shape, which for vectors is not that of a Step.
        self.outputs = [x[np.newaxis]]
        last = self.forward(net, 0, "", "", None)
        self.backward(last)

    def forward(self, layer: Layer, before: int, name: str, pair: str, branch: tuple[str, str] | None) -> int:
        """Compute a layer on the output of a step; return the number of the step that gives its output."""
        if type(layer) is Concat:
            ends = [
                self.forward(child, before, _join(name, key), pair, branch or (name, key))
                for key, child in layer.children.items()
            ]
            y = np.concatenate([self.outputs[end] for end in ends], axis=-1)
            return self.add(
                Step(name or "net", "Concat", "concat", "concat", ends, _picture(y), branch=branch), None, y
            )
        if type(layer) in (Sequential, SpatiallySeparableConv2D):
            inside = (name or "net") if type(layer) is SpatiallySeparableConv2D else pair
            for key, child in layer.children.items():
                before = self.forward(child, before, _join(name, key), inside, branch)
            return before
        x = self.outputs[before]
        y = layer.forward(x, training=type(layer) is not Dropout).copy()
        label = type(layer).__name__
        step = Step(name or "net", repr(layer), label, "other", [before], _picture(y), pair=pair, branch=branch)
        step.multiplications = layer.multiplications(x.shape[1:])
        _describe(step, layer, x.shape[1:])
        return self.add(step, layer, y)

    def add(self, step: Step, layer: Layer | None, y: Array) -> int:
        """Append a step; return its number."""
        self.steps.append(step)
        self.layers.append(layer)
        self.outputs.append(y)
        return len(self.steps) - 1

    def backward(self, last: int) -> None:
        """Go back from the largest logit; a step that feeds several gets the sum of what they hand back."""
        gradients = [np.zeros_like(y) for y in self.outputs]
        logits = self.outputs[last]
        gradients[last].flat[logits.argmax()] = 1
        for number in range(len(self.steps) - 1, 0, -1):
            step, layer, dy = self.steps[number], self.layers[number], gradients[number]
            if step.kind == "concat":
                borders = np.cumsum([self.outputs[i].shape[-1] for i in step.inputs])[:-1]
                for i, part in zip(step.inputs, np.split(dy, borders, axis=-1), strict=True):
                    gradients[i] += part
            elif layer is None or type(layer) is Dropout:
                gradients[step.inputs[0]] += dy
            else:
                gradients[step.inputs[0]] += np.asarray(layer.backward(dy))
        for step, dy in zip(self.steps, gradients, strict=True):
            step.dy = _picture(dy)


def _describe(step: Step, layer: Layer, x_shape: tuple[int, ...]) -> None:
    """Fill in what kind of layer a step is, and where its windows lie."""
    params, picture = layer.params, (x_shape[0], x_shape[1] if len(x_shape) > 1 else 1)
    step.relu = getattr(layer, "activation", None) == "relu"
    if isinstance(layer, Conv2D):
        step.kind, step.window = "convolution", window_geometry(picture, layer.kernel_size, **layer.window)
    elif isinstance(layer, Conv1D):
        step.kind, step.window = "convolution", line_geometry(picture, layer.kernel_size, **layer.window)
    elif isinstance(layer, Dense):
        step.kind, step.window = "dense", window_geometry((1, 1), 1)
    elif isinstance(layer, MaxPool2D | AvgPool2D):
        step.kind = "max_pool" if isinstance(layer, MaxPool2D) else "avg_pool"
        step.window = pool_geometry(picture, layer.size, layer.window["stride"], layer.window["padding"])
        step.count_include_pad = layer.window.get("count_include_pad", False)
    elif isinstance(layer, GlobalAvgPool2D):
        step.kind, step.window = "avg_pool", pool_geometry(picture, picture, None, "valid")
    elif isinstance(layer, ReLU):
        step.kind, step.relu = "relu", True
    elif isinstance(layer, Dropout | Flatten):
        step.kind = "dropout" if isinstance(layer, Dropout) else "flatten"
    if step.kind in ("convolution", "dense") and step.window is not None:
        w = params["w"]
        step.w = w.reshape(*step.window.size, *w.shape[-2:])
        step.b = params.get("b")
    if step.window is not None and step.kind != "dense":
        what = {"convolution": "conv", "max_pool": "max", "avg_pool": "mean"}[step.kind]
        step.label = " ".join([what, " x ".join(map(str, step.window.size)), *(["+ ReLU"] if step.relu else [])])


def _picture(batch: Array) -> Array:
    """Return the one picture of a batch as (H, W, C); a vector as (1, 1, C)."""
    one: Array = batch[0]
    return one if one.ndim == 3 else one.reshape(1, 1, -1)


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
