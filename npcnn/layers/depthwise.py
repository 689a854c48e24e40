"""Depthwise convolution, channel by channel, and the pair that it is half of: depthwise separable convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npcnn.functional.checks import integer, pair
from npcnn.functional.windows import IntOrPair, Padding, window_options
from npcnn.initializers import Initializer
from npcnn.layers.base import Layer
from npcnn.layers.checks import generator
from npcnn.layers.convolution import Conv2D, ConvolutionPair, _Convolution


class DepthwiseConv2D(_Convolution):
    """Two-dimensional convolution of each channel by itself: a `Conv2D` with as many groups as input channels.

    Channels do not mix.  Output channels c * multiplier to c * multiplier + multiplier - 1 see input channel c.

    Parameters
    ----------
    channels : int
        Channels of the input.
    kernel_size, stride, dilation : int or pair of int
        Along (height, width).
    multiplier : int
        Kernels for each channel: the output has channels * multiplier of them.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        See `npcnn.functional.conv2d`.
    bias : bool
        Whether to add a bias.
    activation : "relu" or None
        "relu" applies it while the result is still in registers, for free.
    rng, dtype, weight_init, bias_init
        As `Conv2D`.  The weights are (KH, KW, 1, channels * multiplier), so fan_in is KH * KW.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above.

    Examples
    --------
    >>> layer = nn.DepthwiseConv2D(64, 3)
    >>> layer, layer.params["w"].shape
    (DepthwiseConv2D(64, 3), (3, 3, 1, 64))
    >>> nn.Conv2D(64, 64, 3).multiplications((12, 12, 64)) // layer.multiplications((12, 12, 64))
    64
    """

    def __init__(
        self,
        channels: int,
        kernel_size: IntOrPair,
        multiplier: int = 1,
        stride: IntOrPair = 1,
        padding: Padding = "same",
        dilation: IntOrPair = 1,
        bias: bool = True,
        *,
        activation: str | None = None,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        channels = integer(channels, "channels", minimum=1)
        multiplier = integer(multiplier, "multiplier", minimum=1)
        taps = pair(kernel_size, "kernel_size", minimum=1)
        windows = window_options(kernel_size, stride=stride, padding=padding, dilation=dilation)
        super().__init__(
            taps, windows, channels, channels * multiplier, kernel_size, stride, padding, dilation, channels,
            bias, activation, "auto", rng, dtype, weight_init, bias_init,
        )  # fmt: skip
        self.channels, self.multiplier = channels, multiplier


class DepthwiseSeparableConv2D(ConvolutionPair):
    """A convolution in two: depthwise, k x k in every channel by itself, then pointwise, 1 x 1 over all channels.

    The first half looks at the neighbourhood, the second mixes the channels.  This is what Keras (`SeparableConv2D`)
    and MobileNet call separable.  `SpatiallySeparableConv2D` cuts the same kernel another way, into k x 1 and 1 x k
    over all channels.  Multiplications for a pixel, from C to C' channels:

    ====================================  =================================================================
    `Conv2D`                              k * k * C * C'
    `SpatiallySeparableConv2D`            k * C * C' + k * C' * C', which is 2 * k * C * C' for C' = C
    `DepthwiseSeparableConv2D`            k * k * C + C * C'
    ====================================  =================================================================

    As in Keras nothing stands between the halves, and the first has no bias, which the second would take over.  For
    batch normalisation and a ReLU between them, as MobileNet has, put a `DepthwiseConv2D` and a ``Conv2D(..., 1)`` into
    a `Sequential`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, dilation : int or pair of int
        Of the depthwise half, along (height, width).
    padding : "same", "valid", int or ((top, bottom), (left, right))
        Of the depthwise half; see `npcnn.functional.conv2d`.
    bias : bool
        Whether the pointwise half adds a bias.
    multiplier : int
        Kernels of the depthwise half for each channel.
    activation : "relu" or None
        What follows the pointwise half.
    rng, dtype, weight_init, bias_init
        As `Conv2D`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above.

    References
    ----------
    Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2017.
    Howard et al., "MobileNets", 2017, section 3.1.

    Examples
    --------
    The three lines of the table, for one pixel, k = 5 and 64 channels:

    >>> def for_a_pixel(layer):
    ...     return layer.multiplications((12, 12, 64)) // (12 * 12)
    >>> for_a_pixel(nn.Conv2D(64, 64, 5)), 5 * 5 * 64 * 64
    (102400, 102400)
    >>> for_a_pixel(nn.SpatiallySeparableConv2D(64, 64, 5)), 2 * 5 * 64 * 64
    (40960, 40960)
    >>> for_a_pixel(nn.DepthwiseSeparableConv2D(64, 64, 5)), 5 * 5 * 64 + 64 * 64
    (5696, 5696)
    >>> {name: array.shape for name, array in nn.DepthwiseSeparableConv2D(64, 10, 5).params.items()}
    {'depthwise.w': (5, 5, 1, 64), 'pointwise.w': (1, 1, 64, 10), 'pointwise.b': (10,)}
    """

    kind = "depthwise_separable"

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
        multiplier: int = 1,
        activation: str | None = None,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
        weight_init: Initializer | None = None,
        bias_init: Initializer | None = None,
    ) -> None:
        super().__init__()
        in_channels = integer(in_channels, "in_channels", minimum=1)
        options: dict[str, Any] = {"rng": generator(rng), "dtype": dtype, "weight_init": weight_init}
        depthwise = DepthwiseConv2D(
            in_channels, kernel_size, multiplier, stride, padding, dilation, bias=False, **options,
        )  # fmt: skip
        pointwise = Conv2D(
            depthwise.out_channels, out_channels, 1, bias=bias, activation=activation, bias_init=bias_init, **options,
        )  # fmt: skip
        self.children = {"depthwise": depthwise, "pointwise": pointwise}
        self.in_channels, self.out_channels = depthwise.in_channels, pointwise.out_channels
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.bias, self.multiplier, self.activation = pointwise.bias, depthwise.multiplier, activation

    @property
    def depthwise(self) -> Layer:
        """The half that convolves each channel."""
        return self.children["depthwise"]

    @property
    def pointwise(self) -> Layer:
        """The half that mixes the channels."""
        return self.children["pointwise"]
