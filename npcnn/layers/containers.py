"""Layers made of layers: one after the other, and side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from npcnn.errors import ShapeError
from npcnn.functional.checks import shown
from npcnn.functional.exchange import as_array
from npcnn.layers import fusion
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import batch_shape
from npcnn.layers.names import snake_case
from npcnn.summary import table


class Sequential(Layer):
    """Layers one after the other; the network itself.

    Parameters
    ----------
    *layers : Layer
        At least one.

    Raises
    ------
    ShapeError
        If a layer cannot take the channels that come out of those before it.
    TypeError, ValueError
        If an argument is not a layer, or the same layer is given twice, or there is none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> net = nn.Sequential(nn.Conv2D(3, 8, 3, activation="relu", rng=rng), nn.GlobalAvgPool2D())
    >>> net.forward(np.zeros((2, 5, 5, 3), np.float32)).shape
    (2, 8)
    >>> list(net.params)
    ['0_conv2d.w', '0_conv2d.b']
    >>> nn.Sequential(nn.Conv2D(3, 8, 3), nn.Conv2D(4, 8, 3))
    Traceback (most recent call last):
        ...
    npcnn.errors.ShapeError: layer 1, Conv2D(4, 8, 3) takes 4 channels, but 8 come in after layer 0
    """

    kind = "sequential"

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        check_layers(self, layers, "layers")
        self.children = numbered(layers)
        self.in_channels = layers[0].in_channels
        self.channels_after(self.in_channels)
        self._planned, self._plan = fusion.parts(layers), fusion.steps(layers)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in their order: the values of `children`."""
        return tuple(self.children.values())

    @property
    def _steps(self) -> list[Layer]:
        """The steps that run the layers; another layer in `children` makes new ones."""
        parts = fusion.parts(self.layers)
        if parts != self._planned:
            self._plan = fusion.steps(self.layers)
            self._planned = parts
        return self._plan

    def channels_after(self, channels: int | None) -> int | None:
        """Return the channels after the last layer."""
        for i, layer in enumerate(self.layers):
            try:
                channels = layer.channels_after(channels)
            except ShapeError as error:
                after = f" after layer {i - 1}" if i else ""
                raise ShapeError(f"layer {i}, {error}{after}") from error
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the output of the last layer."""
        x = as_array(x, "x")
        for step in self._steps:
            x = step.forward(x, training)
        return x

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Go back through the layers; only the first may leave its input gradient out."""
        gradient: Any = as_array(dy, "dy")
        first, *others = self._steps
        for step in reversed(others):
            gradient = step.backward(gradient)
        return first.backward(gradient, need_dx=need_dx)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape after the last layer."""
        shape = tuple(input_shape)
        for step in self._steps:
            shape = step.output_shape(shape)
        return shape

    def summary(self, input_shape: Shape) -> str:
        """Return a table of layers, output shapes, parameters and multiplications; see `npcnn.summary`."""
        return table(self, input_shape)


class Concat(Layer):
    """Branches side by side on one input, their outputs concatenated along the channels.

    With kernels of several sizes in its branches, all looking at the same picture, it is a multi-channel convolution.

    Parameters
    ----------
    *branches : Layer
        At least one; all give pictures of one height and width.

    Raises
    ------
    ShapeError
        If the branches take different numbers of channels.
    TypeError, ValueError
        As `Sequential`.

    References
    ----------
    Szegedy et al., "Going Deeper with Convolutions", 2015, section 4 (the Inception module).

    Examples
    --------
    >>> nn.Concat(nn.Conv2D(3, 4, 1), nn.Conv2D(3, 8, 5)).output_shape((6, 6, 3))
    (6, 6, 12)
    """

    kind = "concat"
    children_share_input = True

    def __init__(self, *branches: Layer) -> None:
        super().__init__()
        check_layers(self, branches, "branches")
        self.children = numbered(branches)
        self.in_channels = next((branch.in_channels for branch in branches if branch.in_channels), None)
        self.channels_after(self.in_channels)

    @property
    def branches(self) -> tuple[Layer, ...]:
        """The branches in their order: the values of `children`."""
        return tuple(self.children.values())

    def channels_after(self, channels: int | None) -> int | None:
        """Return the sum over the branches."""
        after: list[int | None] = []
        for i, branch in enumerate(self.branches):
            try:
                after.append(branch.channels_after(channels))
            except ShapeError as error:
                raise ShapeError(f"branch {i}, {error}; all branches of a Concat get the same input") from error
        known = [count for count in after if count is not None]
        return sum(known) if len(known) == len(after) else None

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the outputs of all branches, one after the other along the channels."""
        x = as_array(x, "x")
        N, input_shape = batch_shape(x)
        shape = (N, *self.output_shape(input_shape))
        outputs = [branch.forward(x, training) for branch in self.branches]
        if training:
            self._kept = np.cumsum([output.shape[-1] for output in outputs])[:-1]
        y = self._buffer("y", shape, x.dtype)
        return np.concatenate(outputs, axis=-1, out=y)

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Hand each branch its channels of `dy`; return the sum of their input gradients."""
        borders = self._take_kept()
        parts = np.split(as_array(dy, "dy"), borders, axis=-1)
        gradients: list[Any] = [
            branch.backward(np.ascontiguousarray(part), need_dx=need_dx)
            for branch, part in zip(self.branches, parts, strict=True)
        ]
        if not need_dx:
            return None
        dx = self._dx_array(gradients[0].shape, gradients[0].dtype)
        np.copyto(dx, gradients[0])
        for gradient in gradients[1:]:
            dx += gradient
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of a branch, with the channels of all of them."""
        shapes = [branch.output_shape(input_shape) for branch in self.branches]
        if len({shape[:-1] for shape in shapes}) > 1:
            raise ShapeError(
                f"the branches of a Concat must give one height and width, got {shapes} for an input of "
                f"{tuple(input_shape)}"
            )
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def numbered(layers: tuple[Layer, ...]) -> dict[str, Layer]:
    """Return layers under the names that they have inside a container."""
    return {f"{i}_{snake_case(type(layer).__name__)}": layer for i, layer in enumerate(layers)}


def check_layers(container: Layer, layers: tuple[Any, ...], name: str) -> None:
    """Raise TypeError or ValueError unless all are layers, and none is given twice."""
    if not layers:
        raise ValueError(f"{name} must be at least one layer, got none")
    seen: set[int] = set()
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            hint = f"; unpack it: {type(container).__name__}(*{name})" if isinstance(layer, list | tuple) else ""
            raise TypeError(f"{name}[{i}] must be a Layer, got {shown(layer)}{hint}")
        inside = {id(part) for _, part in layer.walk()}
        if inside & seen:
            raise ValueError(
                f"{name}[{i}], or a layer inside it, is given twice; "
                "a layer keeps the state of one place in the network"
            )
        seen |= inside
