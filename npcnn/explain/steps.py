"""What a network computes for one picture, layer by layer, and the gradient of the class it predicts.

The page needs nothing else: every other number on it (products, sums, a weight's gradient) is computed from these by
its scripts, in front of the reader.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.padding import checked_sides
from npcnn.functional.windows import WindowGeometry
from npcnn.layers import Layer

Array = NDArray[Any]
# Labels for the kinds of layers that have windows over a picture.
WINDOW_LABELS = {"convolution": "conv", "conv_transpose": "transposed", "max_pool": "max", "avg_pool": "mean"}
# Labels for the kinds of layers where branches meet.
JOIN_LABELS = {"concat": "concat", "add": "+", "residual": "+"}
# What else a formula needs: attributes of the layer.  Its parameters and its state are added.
SETTINGS = {
    "batch_norm": ["eps"],
    "layer_norm": ["eps"],
    "leaky_relu": ["slope"],
    "rescale": ["factor"],
    "gelu": ["approximate"],
    "upsample": ["mode"],
    "zero_pad": ["padding"],
}
# These compute something else in training, but the gradient of what they compute outside it is known too.
GRADIENT_OUTSIDE_TRAINING = {"batch_norm", "dropout"}
# Kinds of layers that are two convolutions in the place of one.
PAIRS = ("spatially_separable", "depthwise_separable")
DIFFERS = "in training it computes something else, and the gradient that goes back through it is that of training"


@dataclass
class Step:
    """One thing that was computed: by a layer that is not made of others, where branches meet, or the input itself.

    Attributes
    ----------
    name, title : str
        Where it is in the network, as in the names of its parameters, and what it is.
    label : str
        What it is, in two or three words.
    kind : str
        "input" or the layer's: "convolution", "batch_norm", "relu", "concat", "residual", ...; "other" for a layer of
        one's own.
    inputs : list of int
        Numbers of the steps whose output it takes.
    y : ndarray, shape (H, W, C)
        Its output; vectors as (1, 1, C), a sequence of them as one row of pixels.
    dy : ndarray, shape of `y`
        The gradient of the largest output of the network, the logit of the class it predicts, with respect to `y`.
    multiplications : int
        That it takes by the definition; 0 if the layer does not say.
    window : WindowGeometry, optional
        Of convolutions and poolings; of a transposed convolution those of the convolution that leads from its output
        back to its input.
    w, b : ndarray, optional
        Of convolutions, (KH, KW, C_in / groups, C_out) and (C_out,); a `Dense` is one of 1 x 1.  The weights of a
        transposed one are (KH, KW, C_out, C_in).
    groups : int
        Blocks of the channels of a convolution; a block of the output sees one block of the input.
    relu : bool
        Whether a ReLU is part of it.
    count_include_pad : bool
        Of average poolings, whether the padding counts.
    pair, pair_kind : str
        Name and kind of the `SpatiallySeparableConv2D` or `DepthwiseSeparableConv2D` it is half of, or "".
    branches : tuple of (str, str)
        Names of the `Concat`, `Residual` or `Add` that it is inside of, each with which branch of it; the outermost
        first.
    source : int, optional
        Where branches meet: number of the step whose output they all take.
    constants : dict
        What else its formula needs: `eps`, `scale`, `shift`, `mean` and `variance` of normalisations as far as they
        have them, `slope` of a leaky ReLU, `approximate` of a GELU, `mode` of an upsampling, `padding` of a
        `ZeroPad2D` as ((top, bottom), (left, right)).
    differs_in_training : bool
        Whether the layer computes something else with ``training=True``.  `y` is what it computes without; a layer's
        only `backward` is that of training, so the `dy` of the steps before it is the gradient of that.  (`BatchNorm`
        and `Dropout` are not among them: what they do outside training is known, and so is its gradient.)
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
    groups: int = 1
    relu: bool = False
    count_include_pad: bool = False
    pair: str = ""
    pair_kind: str = ""
    branches: tuple[tuple[str, str], ...] = ()
    source: int | None = None
    constants: dict[str, Any] = field(default_factory=dict)
    differs_in_training: bool = False


def trace(net: Layer, x: Array) -> list[Step]:
    """Return every step that `forward` takes for one picture, and the gradient on the way back through it.

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
        self.names = {layer: name for name, layer in net.walk()}
        self.steps = [Step("input", "the picture", "the picture", "input", [], x)]
        self.layers: list[Layer | None] = [None]
        # With the batch axis and in the layer's own shape, which for vectors is not that of a Step.
        self.outputs = [x[np.newaxis]]
        last = self.forward(net, 0, ("", ""), ())
        self.backward(last)

    def forward(self, layer: Layer, before: int, pair: tuple[str, str], branches: tuple[tuple[str, str], ...]) -> int:
        """Compute a layer on the output of a step; return the number of the step that gives its output."""
        name = self.names[layer] or "net"
        x = self.outputs[before]
        if layer.kind in JOIN_LABELS:
            layer.output_shape(x.shape[1:])  # raises unless the branches fit together
            ends = [
                self.forward(child, before, pair, (*branches, (name, key))) for key, child in layer.children.items()
            ]
            outputs = [self.outputs[end] for end in ends]
            y = np.concatenate(outputs, axis=-1) if layer.kind == "concat" else functools.reduce(np.add, outputs)
            title, label = type(layer).__name__, JOIN_LABELS[layer.kind]
            step = Step(name, title, label, layer.kind, ends, _picture(y), branches=branches, source=before)
            return self.add(step, None, y)
        if layer.kind == "sequential" or layer.kind in PAIRS:
            inside = (name, layer.kind) if layer.kind in PAIRS else pair
            for child in layer.children.values():
                before = self.forward(child, before, inside, branches)
            return before
        y = layer.forward(x).copy()
        step = Step(name, repr(layer), type(layer).__name__, layer.kind, [before], _picture(y))
        (step.pair, step.pair_kind), step.branches = pair, branches
        step.multiplications = layer.multiplications(x.shape[1:]) or 0
        if layer.kind != "other":
            _describe(step, layer, x.shape[1:])
        if layer.kind not in GRADIENT_OUTSIDE_TRAINING:
            # `backward` needs what only forward in training keeps.  It comes last, because it may change the layer.
            step.differs_in_training = not np.array_equal(layer.forward(x, training=True), y, equal_nan=True)
            step.title += f"; {DIFFERS}" if step.differs_in_training else ""
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
            elif layer is None:
                for i in step.inputs:
                    gradients[i] += dy
            else:
                gradients[step.inputs[0]] += _gradient(step, layer, dy)
        for step, dy in zip(self.steps, gradients, strict=True):
            step.dy = _picture(dy)


def _gradient(step: Step, layer: Layer, dy: Array) -> Array:
    """Return dx of a layer: outside training where that is known, else as in training."""
    if layer.kind == "dropout":
        return dy
    if layer.kind == "batch_norm":  # whose statistics are constants here
        deviation = np.sqrt(step.constants["variance"].astype(np.float64) + step.constants["eps"])
        return np.asarray(dy * (step.constants.get("scale", 1.0) / deviation))
    return np.asarray(layer.backward(dy))


def _describe(step: Step, layer: Layer, x_shape: tuple[int, ...]) -> None:
    """Fill in where the windows of a layer of npcnn lie, what it multiplies by, and what else its formula needs."""
    if layer.kind == "identity":
        step.title, step.label = "the input as it is", "as it is"
    if layer.kind in SETTINGS:
        step.constants = {name: getattr(layer, name) for name in SETTINGS[layer.kind]} | layer.arrays
    if layer.kind == "zero_pad":
        step.constants["padding"] = checked_sides(step.constants["padding"])
    if layer.kind in WINDOW_LABELS or layer.kind == "dense":
        step.window = layer.windows(x_shape)
    step.relu = layer.kind == "relu" or getattr(layer, "activation", None) == "relu"
    step.count_include_pad = getattr(layer, "count_include_pad", False)
    if step.window is not None and "w" in layer.params:
        w = layer.params["w"]
        step.groups = getattr(layer, "groups", 1)
        inputs = w.shape[-1] if layer.kind == "conv_transpose" else w.shape[-2] * step.groups
        if inputs != x_shape[-1]:  # the page has a formula for this no more than for its layer
            step.kind, step.window = "other", None
            return
        step.w = w.reshape(*step.window.size, *w.shape[-2:])
        step.b = layer.params.get("b")
    if step.window is not None and layer.kind in WINDOW_LABELS:
        size = " x ".join(map(str, step.window.size))
        depthwise = step.groups > 1 and step.w is not None and step.w.shape[2] == 1
        groups = f" in {step.groups} groups" if step.groups > 1 and not depthwise else ""
        step.label = f"{'depthwise' if depthwise else WINDOW_LABELS[layer.kind]} {size}{groups}" + (
            " + ReLU" if step.relu else ""
        )


def _picture(batch: Array) -> Array:
    """Return the one picture of a batch as (H, W, C); a vector as (1, 1, C)."""
    one: Array = batch[0]
    if one.ndim == 3:
        return one
    return one.reshape(1, -1, one.shape[-1] if one.ndim else 1)
