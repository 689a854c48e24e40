"""Transposed convolution as a layer: the input gradient of a convolution, with weights of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npcnn import functional
from npcnn.functional.checks import boolean, integer, pair, same_dtype
from npcnn.functional.exchange import as_array
from npcnn.functional.transposed import transposed_options
from npcnn.functional.windows import IntOrPair, Padding, WindowGeometry
from npcnn.initializers import Initializer, constant, truncated_normal
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import activation_name, batch_shape, float_dtype, generator, picture_shape
from npcnn.layers.gradients import gradients_by_parts, part_of


class Conv2DTranspose(Layer):
    """Two-dimensional transposed convolution: pictures `stride` times as large, by weights that are learnt.

    It is the input gradient of ``Conv2D(out_channels, in_channels, ...)``, which takes its output back to the size of
    its input; see `npcnn.functional.conv2d_transpose`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, dilation : int or pair of int
        Along (height, width).
    padding : "same", "valid", int or ((top, bottom), (left, right))
        "same" makes the output exactly `stride` times as large; pixels are cut off it.
    bias : bool
        Whether to add a bias.
    output_padding : int or pair of int
        Rows and columns more, less than the stride; 0 with "same".
    activation : "relu" or None
    rng : numpy.random.Generator, optional
        Source of the first weights; by default unpredictable.
    dtype : float32 or float64
        Of the parameters, and so of the pictures.
    weight_init, bias_init : Initializer, optional
        By default a truncated normal with sd 0.1, and 0.1 for the bias.  The shape of the weights is
        (KH, KW, out_channels, in_channels), so what an initializer takes for the numbers that flow into one output
        are those that one input flows into.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above.

    Examples
    --------
    >>> layer = nn.Conv2DTranspose(64, 3, 5, stride=2)
    >>> layer
    Conv2DTranspose(64, 3, 5, stride=2)
    >>> layer.output_shape((12, 12, 64)), nn.Conv2D(3, 64, 5, stride=2).output_shape((24, 24, 3))
    ((24, 24, 3), (12, 12, 64))
    >>> {name: array.shape for name, array in layer.params.items()}
    {'w': (5, 5, 3, 64), 'b': (3,)}
    """

    kind = "conv_transpose"
    sums_by_parts = True
    in_channels: int
    out_channels: int

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
        output_padding: IntOrPair = 0,
        activation: str | None = None,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = integer(in_channels, "in_channels", minimum=1)
        self.out_channels = integer(out_channels, "out_channels", minimum=1)
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.output_padding, self.bias = output_padding, boolean(bias, "bias")
        self.activation = activation_name(activation)
        taps = pair(kernel_size, "kernel_size", minimum=1)
        self._window: dict[str, Any] = {
            "stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding
        }  # fmt: skip
        self._windows = transposed_options(taps, **self._window)
        self.dtype = float_dtype(dtype)
        rng = generator(rng)
        weight_init = truncated_normal(0.1) if weight_init is None else weight_init
        bias_init = constant(0.1) if bias_init is None else bias_init
        shape = (*taps, self.out_channels, self.in_channels)
        self.add_parameter("w", shape, weight_init, dtype=self.dtype, rng=rng)
        if self.bias:
            self.add_parameter("b", (self.out_channels,), bias_init, dtype=self.dtype, rng=rng)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the transposed convolution of `x`, (N, H, W, in_channels), plus bias, through the activation."""
        x = as_array(x, "x")
        N, shape = batch_shape(x)
        w, b, relu = self._params["w"], self._params.get("b"), self.activation == "relu"
        same_dtype(x, "x", w, "w")
        out = self._buffer("y", (N, *self.output_shape(shape)), self.dtype)
        y = functional.conv2d_transpose(x, w, b, relu=relu, out=out, **self._window)
        if training:
            self._kept = x, y if relu else None
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients of w and b; return dx, or None where it is not needed."""
        x, relu_output = self._take_kept()

        def of(pictures: slice | None, out: Any) -> None:
            of_dy, of_x, of_relu = (part_of(array, pictures) for array in (dy, x, relu_output))
            functional.conv2d_transpose_backward(
                of_dy, of_x, self._params["w"], need_dx=need_dx, relu_output=of_relu, out=out, **self._window
            )

        return gradients_by_parts(self, dy, x, need_dx, of)

    def windows(self, input_shape: Shape) -> WindowGeometry:
        """Return where the kernel lies over the output: that of the convolution that leads from there back to x."""
        H, W, _ = picture_shape(input_shape, self)
        return self._windows.over((H, W))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, out_channels)."""
        H, W, _ = picture_shape(input_shape, self)
        return (*self._windows.output((H, W)), self.out_channels)

    def multiplications(self, input_shape: Shape, *, spent: bool = False) -> int:
        """Return input pixels times weights: each pixel is multiplied by all of them."""
        H, W, _ = picture_shape(input_shape, self)
        return H * W * self._params["w"].size
