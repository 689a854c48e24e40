"""Convolution layers: two- and one-dimensional, in groups if asked for, and the pair that cuts a kernel in two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npcnn.functional.algorithms import Algorithm, chosen_algorithm, spent_multiplications
from npcnn.functional.checks import bias, boolean, contiguous, integer, pair, same_dtype
from npcnn.functional.convolution_plan import Plan, backward, planned, run
from npcnn.functional.exchange import as_array
from npcnn.functional.toom_cook import KeptWeights
from npcnn.functional.windows import (
    Axis,
    IntOrPair,
    Padding,
    Padding1D,
    WindowGeometry,
    WindowOptions,
    line_options,
    window_options,
)
from npcnn.initializers import Initializer, constant, truncated_normal
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import activation_name, batch_shape, float_dtype, generator, picture_shape
from npcnn.layers.gradients import gradients_by_parts, part_of


class _Convolution(Layer):
    """What 1-D and 2-D convolution share: everything but how the shape of the weights is given."""

    kind = "convolution"
    sums_by_parts = True
    in_channels: int
    out_channels: int

    def __init__(
        self,
        taps: tuple[int, ...],
        windows: WindowOptions,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        activation: str | None,
        algorithm: str,
        rng: np.random.Generator | None,
        dtype: DTypeLike,
        weight_init: Initializer | None,
        bias_init: Initializer | None,
    ) -> None:
        super().__init__()
        self.in_channels = integer(in_channels, "in_channels", minimum=1)
        self.out_channels = integer(out_channels, "out_channels", minimum=1)
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.groups = integer(groups, "groups", minimum=1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide in_channels, {self.in_channels}, and out_channels, {self.out_channels}, "
                f"got {self.groups}"
            )
        self.bias = boolean(bias, "bias")
        self.activation = activation_name(activation)
        self.algorithm = algorithm
        self._windows = windows
        self._window: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self._kept_weights = KeptWeights()  # while it is trained, they are others every time
        self._weights_2d = (*windows.size, self.in_channels // self.groups, self.out_channels)
        self._set_dtype(float_dtype(dtype))
        rng = generator(rng)
        shape = (*taps, *self._weights_2d[2:])
        weight_init = truncated_normal(0.1) if weight_init is None else weight_init
        bias_init = constant(0.1) if bias_init is None else bias_init
        self.add_parameter("w", shape, weight_init, dtype=self.dtype, rng=rng)
        if self.bias:
            self.add_parameter("b", shape[-1:], bias_init, dtype=self.dtype, rng=rng)

    def _set_dtype(self, dtype: np.dtype[Any]) -> None:
        # What runs: an algorithm that does not exist for this kernel is refused here, not in the first forward pass.
        self.runs_on = chosen_algorithm(
            self.algorithm, self._weights_2d,
            stride=self._windows.stride, dilation=self._windows.dilation, groups=self.groups, dtype=dtype,
        )  # fmt: skip
        self.dtype = dtype

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the convolution of `x`, (N, H, W, in_channels), plus bias, through the activation."""
        x = as_array(x, "x")
        w, b, relu = self._params["w"], self._params.get("b"), self.activation == "relu"
        plan = self._remembered(self._planned, x, w, b)
        y = self._buffer("y", (len(x), *plan.y_shape), self.dtype)
        run(plan, contiguous(x), w.reshape(plan.w_shape), b, relu, y, kept=None if training else self._kept_weights)
        if training:
            self._kept = x, y if relu else None
        return y

    def _planned(self, x: Array, w: Array, b: Array | None, pooling: Mapping[str, Any] | None = None) -> Plan:
        """Check pictures and parameters, and return how they are convolved, and pooled if there is a pooling."""
        _, shape = batch_shape(x)
        same_dtype(x, "x", w, "w")
        self.output_shape(shape)  # says what does not fit in the words of the layer
        bias(b, w)
        return planned(x, w, self.runs_on, pooling=pooling, **self._window)[0]

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients of w and b; return dx, or None where it is not needed."""
        x, relu_output = self._take_kept()
        w = self._params["w"]
        plan = self._remembered(self._planned, x, w, self._params.get("b"))
        x, w_2d = contiguous(x), w.reshape(plan.w_shape)

        def of(pictures: slice | None, out: Any) -> None:
            of_dy, of_x, of_relu = (part_of(array, pictures) for array in (dy, x, relu_output))
            backward(plan, of_dy, of_x, w_2d, need_dx, of_relu, out, w.shape)

        return gradients_by_parts(self, dy, x, need_dx, of)

    def windows(self, input_shape: Shape) -> WindowGeometry:
        """Return where the kernel lies over a picture."""
        H, W, _ = picture_shape(input_shape, self)
        return self._windows.over((H, W))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, out_channels)."""
        return (*self.windows(input_shape).output, self.out_channels)

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return output pixels times weights, or what Toom-Cook spends instead."""
        output = self.windows(input_shape).output
        return spent_multiplications(self.runs_on if spent else "im2col", output, self._weights_2d)


class Conv2D(_Convolution):
    """Two-dimensional convolution.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, dilation : int or pair of int
        Along (height, width).
    padding : "same", "valid", int or ((top, bottom), (left, right))
        See `npcnn.functional.conv2d`.
    bias : bool
        Whether to add a bias.
    groups : int
        Equal blocks into which the channels are cut; a block of the output sees one block of the input.  The weights
        are (KH, KW, in_channels / groups, out_channels).  With as many groups as channels: `DepthwiseConv2D`.
    activation : "relu" or None
        "relu" applies it while the result is still in registers, for free.
    algorithm : "auto", "im2col", "toom_cook", "toom_cook_2d" or "depthwise"
        See `npcnn.functional.algorithms`.
    rng : numpy.random.Generator, optional
        Source of the first weights; by default unpredictable.
    dtype : float32 or float64
        Of the parameters, and so of the pictures.
    weight_init, bias_init : Initializer, optional
        By default a truncated normal with sd 0.1, and 0.1 for the bias.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above.

    Examples
    --------
    >>> layer = nn.Conv2D(3, 64, 5, activation="relu", rng=np.random.default_rng(0))
    >>> layer
    Conv2D(3, 64, 5, activation='relu')
    >>> layer.output_shape((24, 24, 3)), layer.multiplications((24, 24, 3))
    ((24, 24, 64), 2764800)
    >>> {name: array.shape for name, array in layer.params.items()}
    {'w': (5, 5, 3, 64), 'b': (64,)}

    In 8 groups a convolution of 64 channels has an eighth of the weights, and of the multiplications:

    >>> layer = nn.Conv2D(64, 64, 3, groups=8)
    >>> layer.params["w"].shape
    (3, 3, 8, 64)
    >>> nn.Conv2D(64, 64, 3).multiplications((12, 12, 64)) // layer.multiplications((12, 12, 64))
    8
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = "same",
        dilation: IntOrPair = 1,
        bias: bool = True,
        *,
        groups: int = 1,
        activation: str | None = None,
        algorithm: Algorithm = "auto",
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        taps = pair(kernel_size, "kernel_size", minimum=1)
        windows = window_options(kernel_size, stride=stride, padding=padding, dilation=dilation)
        super().__init__(
            taps, windows, in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, activation, algorithm, rng, dtype, weight_init, bias_init,
        )  # fmt: skip


class Conv1D(_Convolution):
    """One-dimensional convolution along the height (K x 1) or the width (1 x K) of pictures.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, dilation : int
        Along `axis`.
    axis : "height" or "width"
        Direction of the kernel.
    padding : "same", "valid", int or (before, after)
        See `npcnn.functional.conv1d`.
    algorithm : "auto", "im2col", "toom_cook", "toom_cook_2d" or "depthwise"
        See `npcnn.functional.algorithms`.
    bias, groups, activation, rng, dtype, weight_init, bias_init
        As `Conv2D`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above.

    Examples
    --------
    >>> layer = nn.Conv1D(1, 1, 3, axis="height")
    >>> layer
    Conv1D(1, 1, 3, axis='height')
    >>> layer.multiplications((5, 2, 1))
    30
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        axis: Axis,
        stride: int = 1,
        padding: Padding1D = "same",
        dilation: int = 1,
        bias: bool = True,
        groups: int = 1,
        activation: str | None = None,
        algorithm: Algorithm = "auto",
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        kernel_size = integer(kernel_size, "kernel_size", minimum=1)
        windows = line_options(kernel_size, axis=axis, stride=stride, padding=padding, dilation=dilation)
        super().__init__(
            (kernel_size,), windows, in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, activation, algorithm, rng, dtype, weight_init, bias_init,
        )  # fmt: skip
        self.axis = self._window["axis"] = axis


class ConvolutionPair(Layer):
    """Two convolutions in the place of one: its two children, one after the other."""

    @property
    def _halves(self) -> list[Layer]:
        return list(self.children.values())

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the second convolution of the first one of `x`."""
        first, second = self._halves
        return second.forward(first.forward(x, training), training)

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Go back through the second half, then the first."""
        first, second = self._halves
        d_middle: Any = second.backward(dy)
        return first.backward(d_middle, need_dx=need_dx)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, out_channels)."""
        first, second = self._halves
        return second.output_shape(first.output_shape(input_shape))


class SpatiallySeparableConv2D(ConvolutionPair):
    """A k x k convolution cut in two: k x 1, ReLU, 1 x k.

    Without the middle activation and the biases, and with one input and output channel, the pair is the k x k
    convolution by the outer product of its two kernels: rank 1, for 2 k multiplications instead of k * k.

    What Keras calls separable is another pair, `DepthwiseSeparableConv2D`; its docstring compares the two.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input, and of the output of either half.
    kernel_size : int
        k.
    middle_activation, activation : "relu" or None
        What follows the first and the second half.
    bias : bool
        Whether each half adds a bias.
    algorithm : "auto", "im2col" or "toom_cook"
        See `npcnn.functional.algorithms`.
    rng, dtype, weight_init, bias_init
        As `Conv2D`.

    Examples
    --------
    >>> layer = nn.SpatiallySeparableConv2D(1, 1, 3)
    >>> layer.multiplications((5, 2, 1)), nn.Conv2D(1, 1, 3).multiplications((5, 2, 1))
    (60, 90)
    >>> list(layer.params)
    ['vertical.w', 'vertical.b', 'horizontal.w', 'horizontal.b']
    """

    kind = "spatially_separable"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        middle_activation: str | None = "relu",
        activation: str | None = None,
        bias: bool = True,
        algorithm: Algorithm = "auto",
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        super().__init__()
        activation_name(middle_activation, "middle_activation")
        options: dict[str, Any] = {
            "bias": bias,
            "algorithm": algorithm,
            "rng": generator(rng),
            "dtype": dtype,
            "weight_init": weight_init,
            "bias_init": bias_init,
        }
        vertical = Conv1D(
            in_channels, out_channels, kernel_size,
            axis="height", activation=middle_activation, **options,
        )  # fmt: skip
        horizontal = Conv1D(
            out_channels, out_channels, kernel_size,
            axis="width", activation=activation, **options,
        )  # fmt: skip
        self.children = {"vertical": vertical, "horizontal": horizontal}
        self.in_channels, self.out_channels = vertical.in_channels, horizontal.out_channels
        self.kernel_size, self.bias, self.algorithm = vertical.kernel_size, vertical.bias, algorithm
        self.middle_activation, self.activation = middle_activation, activation

    @property
    def vertical(self) -> Layer:
        """The k x 1 half."""
        return self.children["vertical"]

    @property
    def horizontal(self) -> Layer:
        """The 1 x k half."""
        return self.children["horizontal"]
