"""The steps in which a `Sequential` runs its layers: one by one, but some pairs in one go.

These are a convolution and the max pooling after it, and a batch normalisation and the GELU after it.  None of this
shows from outside: the layers, their parameters and the numbers that come out are the same.  Only the output between
the two is never written to memory; `npcnn.functional.convolution` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional import convolution_plan
from npcnn.functional.checks import contiguous
from npcnn.functional.convolution_plan import TOOM_COOK, Plan
from npcnn.layers.activations import GELU
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.convolution import Conv1D, Conv2D, SpatiallySeparableConv2D
from npcnn.layers.gradients import gradients_by_parts, part_of
from npcnn.layers.names import snake_case
from npcnn.layers.normalization import BatchNorm
from npcnn.layers.pooling import MaxPool2D


def steps(layers: Sequence[Layer]) -> list[Layer]:
    """Return the steps that run `layers` one after the other.

    A `Conv2D` or `Conv1D` that runs on Toom-Cook and a `MaxPool2D` after it are one step, and so are a `BatchNorm` and
    an exact `GELU` after it; but not their subclasses, which may do something else.  A `SpatiallySeparableConv2D` is
    the two convolutions in it.

    Examples
    --------
    >>> from npcnn.layers.fusion import steps
    >>> len(steps([nn.Conv2D(3, 64, 5), nn.MaxPool2D(2), nn.Conv2D(64, 10, 5)]))
    2
    """
    plan: list[Layer] = []
    before: Layer | None = None
    for i, whole in enumerate(layers):
        for layer in parts([whole]):
            plan.append(_InItsPlace(i, whole, layer))
            if type(layer) is MaxPool2D and isinstance(before, Conv1D | Conv2D) and _pools_too(before):
                plan[-2:] = [_ConvolutionMaxPooling(before, layer, plan[-2:])]
            elif type(layer) is GELU and type(before) is BatchNorm and _is_exact_and_alone(layer, before):
                plan[-2:] = [_InItsPlace(i - 1, before, _BatchNormGELU(before))]
            before = layer
    return plan


def parts(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return `layers` with the two convolutions of a `SpatiallySeparableConv2D` in its place.

    Examples
    --------
    >>> from npcnn.layers.fusion import parts
    >>> parts([nn.ReLU(), nn.SpatiallySeparableConv2D(1, 1, 3)])[1:]
    (Conv1D(1, 1, 3, axis='height', activation='relu'), Conv1D(1, 1, 3, axis='width'))
    """
    found: list[Layer] = []
    for layer in layers:
        found += layer.children.values() if type(layer) is SpatiallySeparableConv2D else [layer]
    return tuple(found)


def _pools_too(convolution: Conv1D | Conv2D) -> bool:
    return type(convolution) in (Conv1D, Conv2D) and convolution.runs_on in TOOM_COOK


def _is_exact_and_alone(gelu: GELU, before: BatchNorm) -> bool:
    return gelu.approximate == "none" and before.activation is None


class _InItsPlace(Layer):
    """One layer, or what runs it, whose errors say which of the layers it is."""

    def __init__(self, number: int, layer: Layer, runs: Layer) -> None:
        super().__init__()
        self.layer = runs
        self.place = f"layer {number}, {snake_case(type(layer).__name__)}"

    def forward(self, x: Array, training: bool = False) -> Array:
        try:
            return self.layer.forward(x, training)
        except (ShapeError, DTypeError) as error:
            raise type(error)(f"{self.place}: {error}") from error

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        return self.layer.backward(dy, need_dx=need_dx)

    def output_shape(self, input_shape: Shape) -> Shape:
        try:
            return self.layer.output_shape(input_shape)
        except ShapeError as error:
            raise ShapeError(f"{self.place}: {error}") from error


class _ConvolutionMaxPooling(Layer):
    """A convolution and the max pooling after it in one go; `in_turn` for an input that one of them refuses.

    Parameters and gradients stay those of the two layers.
    """

    def __init__(self, convolution: Conv1D | Conv2D, pooling: MaxPool2D, in_turn: Sequence[Layer]) -> None:
        super().__init__()
        self.convolution = convolution
        self.pooling = {"size": pooling.size, **pooling._window}
        self.first, self.second = in_turn

    def forward(self, x: Array, training: bool = False) -> Array:
        w, b = self.convolution._params["w"], self.convolution._params.get("b")
        plan = self._remembered(self._planned, x, w, b)
        if plan is None:
            return self.second.forward(self.first.forward(x, training), training)
        relu, shape = self.convolution.activation == "relu", (len(x), *plan.y_shape)
        y = self._buffer("y", shape, x.dtype)
        argmax = self._buffer("argmax", shape, np.int32) if training else None
        kept = None if training else self.convolution._kept_weights
        convolution_plan.run(plan, contiguous(x), w.reshape(plan.w_shape), b, relu, y, argmax, kept)
        if training:
            self._kept = x, argmax, y if relu else None
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        if self._kept is None:
            between: Any = self.second.backward(dy)
            return self.first.backward(between, need_dx=need_dx)
        x, argmax, relu_output = self._take_kept()
        w, b = self.convolution._params["w"], self.convolution._params.get("b")
        plan = self._remembered(self._planned, x, w, b)
        x, w_2d = contiguous(x), w.reshape(plan.w_shape)

        def of(pictures: slice | None, out: Any) -> None:
            of_dy, of_x, of_relu, taps = (part_of(array, pictures) for array in (dy, x, relu_output, argmax))
            convolution_plan.backward(plan, of_dy, of_x, w_2d, need_dx, of_relu, out, w.shape, taps)

        return gradients_by_parts(self.convolution, dy, x, need_dx, of)

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.second.output_shape(self.first.output_shape(input_shape))

    def _planned(self, x: Any, w: Array, b: Array | None) -> Plan | None:
        """Return how the two are computed in one go; None where they must be called in turn.

        An `x` that one of them refuses is for that one to refuse; and after `astype` it may not be Toom-Cook that runs.
        """
        try:
            plan = self.convolution._planned(x, w, b, self.pooling)
        except (ShapeError, DTypeError, TypeError):
            return None
        return plan if plan.places is not None else None


class _BatchNormGELU(Layer):
    """A batch normalisation and the GELU after it in one pass over memory.

    The backward pass needs what went into the normalisation, and computes from it once more what went into the GELU.
    """

    def __init__(self, normalisation: BatchNorm) -> None:
        super().__init__()
        self.normalisation = normalisation

    def forward(self, x: Array, training: bool = False) -> Array:
        return self.normalisation._normalized(x, training, "gelu")

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        return self.normalisation._taken_back(dy, "gelu")

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.normalisation.output_shape(input_shape)
