"""Pooling layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from npcnn import functional
from npcnn.functional.checks import boolean, contiguous, float_array, pictures
from npcnn.functional.exchange import as_array
from npcnn.functional.pooling import PoolOptions, PoolPlan, planned, pool_options, run_avg, run_max
from npcnn.functional.windows import IntOrPair, Padding, WindowGeometry
from npcnn.layers.base import Array, Layer, Shape
from npcnn.layers.checks import batch_shape, picture_shape


class _Pooling(Layer):
    """What max and average pooling share: the window and the output shape."""

    def __init__(
        self, size: IntOrPair, stride: IntOrPair | None, padding: Padding, dilation: IntOrPair, ceil_mode: bool
    ) -> None:
        super().__init__()
        self.size, self.stride, self.padding, self.dilation, self.ceil_mode = size, stride, padding, dilation, ceil_mode
        self._windows = pool_options(size, stride, padding, dilation, ceil_mode)
        self._window: dict[str, Any] = {
            "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode
        }  # fmt: skip

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`: pooling keeps them."""
        return channels

    def windows(self, input_shape: Shape) -> WindowGeometry:
        """Return where the windows lie over a picture."""
        H, W, _ = picture_shape(input_shape, self)
        return self._windows.over((H, W))

    def _planned(self, x: Array) -> PoolPlan:
        return _checked_plan(self, x, self._windows)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, C)."""
        return (*self.windows(input_shape).output, input_shape[2])


class MaxPool2D(_Pooling):
    """Largest value of each window, channel by channel.

    Parameters
    ----------
    size : int or pair of int
        Height and width of the window.
    stride : int or pair of int, optional
        By default the size.
    padding : "same", "valid", int or ((top, bottom), (left, right))
        See `npcnn.functional.max_pool2d`.
    dilation : int or pair of int
        Distance between the taps of the window.
    ceil_mode : bool
        Whether pixels at the bottom or the right that do not fill a window get one all the same.

    Examples
    --------
    >>> nn.MaxPool2D(2).output_shape((24, 24, 64))
    (12, 12, 64)
    >>> nn.MaxPool2D(2).output_shape((5, 5, 64)), nn.MaxPool2D(2, ceil_mode=True).output_shape((5, 5, 64))
    ((2, 2, 64), (3, 3, 64))
    """

    kind = "max_pool"

    def __init__(
        self,
        size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = "valid",
        *,
        dilation: IntOrPair = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(size, stride, padding, dilation, ceil_mode)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the maxima, and in training remember where they were."""
        x = as_array(x, "x")
        plan = self._remembered(self._planned, x)
        shape = (len(x), *plan.y_shape)
        y = self._buffer("y", shape, x.dtype)
        argmax = self._buffer("argmax", shape, np.int32) if training else None
        run_max(plan, contiguous(x), y, argmax)
        if training:
            self._kept = argmax, x.shape
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dy, each at the pixel that was the largest."""
        dy = float_array(dy, "dy", "N, OH, OW, C")
        argmax, x_shape = self._take_kept()
        out = self._dx_array(x_shape, dy.dtype)
        return functional.max_pool2d_backward(dy, argmax, x_shape, size=self.size, out=out, **self._window)


class AvgPool2D(_Pooling):
    """Mean of each window, channel by channel.

    Parameters
    ----------
    size, stride, padding, dilation, ceil_mode
        As `MaxPool2D`.
    count_include_pad : bool
        Whether pixels of the padding count as zeros; see `npcnn.functional.avg_pool2d`.

    Examples
    --------
    >>> nn.AvgPool2D(6).output_shape((6, 6, 10))
    (1, 1, 10)
    """

    kind = "avg_pool"

    def __init__(
        self,
        size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = "valid",
        count_include_pad: bool = False,
        *,
        dilation: IntOrPair = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(size, stride, padding, dilation, ceil_mode)
        self.count_include_pad = self._window["count_include_pad"] = boolean(count_include_pad, "count_include_pad")

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the means."""
        x = as_array(x, "x")
        plan = self._remembered(self._planned, x)
        y = self._buffer("y", (len(x), *plan.y_shape), x.dtype)
        run_avg(plan, contiguous(x), self.count_include_pad, y)
        if training:
            self._kept = x.shape
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dy, shared out over each window."""
        dy = float_array(dy, "dy", "N, OH, OW, C")
        x_shape = self._take_kept()
        out = self._dx_array(x_shape, dy.dtype)
        return functional.avg_pool2d_backward(dy, x_shape, size=self.size, out=out, **self._window)


class GlobalAvgPool2D(Layer):
    """Mean over all pixels of each channel: pictures (N, H, W, C) become vectors (N, C).

    Examples
    --------
    >>> nn.GlobalAvgPool2D().output_shape((6, 6, 10))
    (10,)
    """

    kind = "avg_pool"

    def channels_after(self, channels: int | None) -> int | None:
        """Return `channels`: pooling keeps them."""
        return channels

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the means, shape (N, C)."""
        x = as_array(x, "x")
        plan = self._remembered(self._planned, x)
        y = self._buffer("y", (len(x), *plan.y_shape), x.dtype)
        run_avg(plan, contiguous(x), False, y)
        if training:
            self._kept = x.shape
        return y[:, 0, 0]

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dy / (H * W) at every pixel."""
        dy = float_array(dy, "dy", "N, C")
        x_shape = self._take_kept()
        out = self._dx_array(x_shape, dy.dtype)
        return functional.avg_pool2d_backward(dy[:, np.newaxis, np.newaxis], x_shape, size=x_shape[1:3], out=out)

    def _planned(self, x: Array) -> PoolPlan:
        return _checked_plan(self, x, None)

    def windows(self, input_shape: Shape) -> WindowGeometry:
        """Return the one window, which is as large as the picture."""
        H, W, _ = picture_shape(input_shape, self)
        return pool_options((H, W)).over((H, W))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (C,)."""
        return picture_shape(input_shape, self)[2:]


def _checked_plan(layer: Layer, x: Array, options: PoolOptions | None) -> PoolPlan:
    """Return how a layer pools `x`, without options by one window; what does not fit, it says in its own words."""
    _, input_shape = batch_shape(x)
    layer.output_shape(input_shape)
    return planned(pictures(x), options or pool_options(x.shape[1:3]))
