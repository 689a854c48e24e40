"""Convolution layers: two-dimensional, one-dimensional, and the pair that cuts a kernel in two."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npcnn import functional
from npcnn.functional.checks import integer, pair, same_dtype
from npcnn.functional.toom_cook import Algorithm, chosen_algorithm, spent_multiplications
from npcnn.functional.windows import Axis, IntOrPair, Padding, Padding1D, WindowGeometry, line_geometry, window_geometry
from npcnn.initializers import Initializer, constant, truncated_normal
from npcnn.layers.base import (
    Array,
    Layer,
    Shape,
    activation_name,
    batch_shape,
    call,
    check_channels,
    float_dtype,
    generator,
    picture_shape,
)


class _Convolution(Layer):
    """What the 1-D and the 2-D convolution share: parameters, activation, algorithm, forward and backward."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        taps: tuple[int, ...],
        geometry: WindowGeometry,
        *,
        bias: bool,
        activation: str | None,
        algorithm: str,
        rng: np.random.Generator | None,
        dtype: DTypeLike,
        weight_init: Initializer | None,
        bias_init: Initializer | None,
    ) -> None:
        super().__init__()
        self._in_channels = integer(in_channels, "in_channels", minimum=1)
        self._out_channels = integer(out_channels, "out_channels", minimum=1)
        self.activation = activation_name(activation)
        self.dtype = float_dtype(dtype)
        self.algorithm = algorithm
        # What runs: an algorithm that does not exist for this kernel is refused here, not in the first forward pass.
        self._weights_2d = (*geometry.size, self._in_channels, self._out_channels)
        self.runs_on = chosen_algorithm(
            algorithm, self._weights_2d, stride=geometry.stride, dilation=geometry.dilation, dtype=self.dtype
        )
        rng = generator(rng)
        shape = (*taps, self.in_channels, self.out_channels)
        weight_init = truncated_normal(0.1) if weight_init is None else weight_init
        bias_init = constant(0.1) if bias_init is None else bias_init
        self._add_parameter("w", shape, self.dtype, weight_init, rng)
        if bias:
            self._add_parameter("b", shape[-1:], self.dtype, bias_init, rng)

    @property
    def in_channels(self) -> int:
        """Channels of input."""
        return self._in_channels

    @property
    def out_channels(self) -> int:
        """Channels of output."""
        return self._out_channels

    def channels_after(self, channels: int | None) -> int | None:
        """Return `out_channels`."""
        check_channels(self, self.in_channels, channels)
        return self.out_channels

    def _call_forward(self, x: Array, out: Array, relu: bool) -> Array:
        raise NotImplementedError

    def _call_backward(self, dy: Array, x: Array, **options: Any) -> tuple[Array | None, Array, Array]:
        raise NotImplementedError

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the convolution of `x`, (N, H, W, in_channels), plus bias, through the activation."""
        N, shape = batch_shape(x)
        same_dtype(x, "x", self._params["w"], "w")
        out = self._buffer("y", (N, *self.output_shape(shape)), self.dtype)
        y = self._call_forward(x, out, self.activation == "relu")
        if training:
            self._kept = x, y if self.activation else None
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients of w and b; return dx, or None where it is not needed."""
        x, relu_output = self._take_kept()
        out = self.gradient_buffers(x.shape, need_dx)
        dx, _, _ = self._call_backward(dy, x, need_dx=need_dx, relu_output=relu_output, out=out)
        return dx

    def gradient_buffers(self, x_shape: Shape, need_dx: bool) -> tuple[Array | None, Array, Array]:
        """Return the arrays that a backward pass writes (dx, dw, db) into; dw and db are those of `grads`."""
        dx = self._buffer("dx", x_shape, self.dtype) if need_dx else None
        unused_db = np.empty(self.out_channels, self.dtype)
        return dx, self._grads["w"], self._grads.get("b", unused_db)

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return output pixels times weights, or what Toom-Cook spends instead."""
        OH, OW, _ = self.output_shape(input_shape)
        return spent_multiplications(self.runs_on if spent else "im2col", (OH, OW), self._weights_2d)


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
    activation : "relu" or None
        "relu" applies it while the result is still in registers, for free.
    algorithm : "auto", "im2col" or "toom_cook"
        See `npcnn.functional.toom_cook`.
    rng : numpy.random.Generator, optional
        Source of the first weights; by default unpredictable.
    dtype : float32 or float64
        Of the parameters, and so of the pictures.
    weight_init, bias_init : Initializer, optional
        By default the article's: truncated normal with sd 0.1, and 0.1.

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
        activation: str | None = None,
        algorithm: Algorithm = "auto",
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        taps = pair(kernel_size, "kernel_size", minimum=1)
        self.kernel_size = kernel_size
        self.window: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
        # A wrong stride, padding or dilation is found here, not in the first forward pass.
        geometry = window_geometry((2**30, 2**30), kernel_size, **self.window)
        super().__init__(
            in_channels,
            out_channels,
            taps,
            geometry,
            bias=bias,
            activation=activation,
            algorithm=algorithm,
            rng=rng,
            dtype=dtype,
            weight_init=weight_init,
            bias_init=bias_init,
        )

    def __repr__(self) -> str:
        return call(
            self,
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            stride=(self.window["stride"], 1),
            padding=(self.window["padding"], "same"),
            dilation=(self.window["dilation"], 1),
            bias=("b" in self._params, True),
            activation=(self.activation, None),
            algorithm=(self.algorithm, "auto"),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, out_channels)."""
        H, W, _ = picture_shape(input_shape, self, self.in_channels)
        geometry = window_geometry((H, W), self.kernel_size, **self.window)
        return (*geometry.output, self.out_channels)

    def _call_forward(self, x: Array, out: Array, relu: bool) -> Array:
        return functional.conv2d(
            x, self._params["w"], self._params.get("b"),
            relu=relu, algorithm=self.runs_on, out=out, **self.window,
        )  # fmt: skip

    def _call_backward(self, dy: Array, x: Array, **options: Any) -> tuple[Array | None, Array, Array]:
        return functional.conv2d_backward(dy, x, self._params["w"], algorithm=self.runs_on, **self.window, **options)


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
    algorithm : "auto", "im2col" or "toom_cook"
        See `npcnn.functional.toom_cook`.
    bias, activation, rng, dtype, weight_init, bias_init
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
        activation: str | None = None,
        algorithm: Algorithm = "auto",
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        self.kernel_size = integer(kernel_size, "kernel_size", minimum=1)
        self.axis = axis
        self.window: dict[str, Any] = {"axis": axis, "stride": stride, "padding": padding, "dilation": dilation}
        geometry = line_geometry((2**30, 2**30), self.kernel_size, **self.window)
        super().__init__(
            in_channels,
            out_channels,
            (self.kernel_size,),
            geometry,
            bias=bias,
            activation=activation,
            algorithm=algorithm,
            rng=rng,
            dtype=dtype,
            weight_init=weight_init,
            bias_init=bias_init,
        )

    def __repr__(self) -> str:
        return call(
            self,
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            axis=(self.axis, None),
            stride=(self.window["stride"], 1),
            padding=(self.window["padding"], "same"),
            dilation=(self.window["dilation"], 1),
            bias=("b" in self._params, True),
            activation=(self.activation, None),
            algorithm=(self.algorithm, "auto"),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, out_channels)."""
        H, W, _ = picture_shape(input_shape, self, self.in_channels)
        return (*line_geometry((H, W), self.kernel_size, **self.window).output, self.out_channels)

    def _call_forward(self, x: Array, out: Array, relu: bool) -> Array:
        return functional.conv1d(
            x, self._params["w"], self._params.get("b"),
            relu=relu, algorithm=self.runs_on, out=out, **self.window,
        )  # fmt: skip

    def _call_backward(self, dy: Array, x: Array, **options: Any) -> tuple[Array | None, Array, Array]:
        return functional.conv1d_backward(dy, x, self._params["w"], algorithm=self.runs_on, **self.window, **options)


class SpatiallySeparableConv2D(Layer):
    """A k x k convolution cut in two: k x 1, ReLU, 1 x k, as in the article.

    Without the middle activation, and with one input and output channel, the pair is the k x k
    convolution by the outer product of its two kernels: rank 1, for 2 k multiplications instead of k * k.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input, and of the output of either half.
    kernel_size : int
        k.
    middle_activation, activation : "relu" or None
        What follows the first and the second half.
    bias : bool
        Whether each half adds one.
    algorithm : "auto", "im2col" or "toom_cook"
        See `npcnn.functional.toom_cook`.
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
            "rng": np.random.default_rng() if rng is None else rng,
            "dtype": dtype,
            "weight_init": weight_init,
            "bias_init": bias_init,
        }
        self.vertical = Conv1D(
            in_channels, out_channels, kernel_size,
            axis="height", activation=middle_activation, **options,
        )  # fmt: skip
        self.horizontal = Conv1D(
            out_channels, out_channels, kernel_size,
            axis="width", activation=activation, **options,
        )  # fmt: skip
        self.children = {"vertical": self.vertical, "horizontal": self.horizontal}

    def __repr__(self) -> str:
        return call(
            self,
            self.in_channels,
            self.out_channels,
            self.vertical.kernel_size,
            middle_activation=(self.vertical.activation, "relu"),
            activation=(self.horizontal.activation, None),
            bias=("b" in self.vertical.params, True),
            algorithm=(self.vertical.algorithm, "auto"),
        )

    @property
    def in_channels(self) -> int:
        """Channels of input."""
        return self.vertical.in_channels

    @property
    def out_channels(self) -> int:
        """Channels of output."""
        return self.horizontal.out_channels

    def channels_after(self, channels: int | None) -> int | None:
        """Return `out_channels`."""
        check_channels(self, self.in_channels, channels)
        return self.out_channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the 1 x k convolution of the k x 1 convolution of `x`."""
        return self.horizontal.forward(self.vertical.forward(x, training), training)

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Go back through the 1 x k half, then the k x 1 half."""
        d_middle: Any = self.horizontal.backward(dy)
        return self.vertical.backward(d_middle, need_dx=need_dx)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (H, W, out_channels)."""
        return self.horizontal.output_shape(self.vertical.output_shape(input_shape))

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return those of both halves."""
        middle_shape = self.vertical.output_shape(input_shape)
        return self.vertical.multiplications(input_shape, spent=spent) + self.horizontal.multiplications(
            middle_shape, spent=spent
        )
