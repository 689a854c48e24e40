"""Transposed convolution, and its gradients: the layer that makes pictures larger, with weights of its own.

It is the input gradient of `conv2d`: where a convolution with these weights takes a picture like y to one like x,
`conv2d_transpose` takes x back to the size of y, as the backward pass would take a gradient.  So there is nothing new
to compute.  Forward is the dx of `conv2d_backward`; the gradient of x is `conv2d` itself; and the gradient of w is its
dw, with picture and gradient in each other's place.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.activations import relu as rectify
from npcnn.functional.activations import relu_backward
from npcnn.functional.checks import (
    bias,
    boolean,
    exact_shape,
    float_array,
    padded_to_vectors,
    pair,
    pictures,
    positive_axes,
    same_dtype,
)
from npcnn.functional.convolution import conv2d, conv2d_backward
from npcnn.functional.normalization import channel_sums
from npcnn.functional.outputs import gradient_outputs, output_array
from npcnn.functional.windows import MOST_PIXELS, IntOrPair, Padding, WindowGeometry, WindowOptions, window_options
from npcnn.kernels import convolution as kernels

__all__ = ["conv2d_transpose", "conv2d_transpose_backward"]

Array: TypeAlias = NDArray[Any]


def conv2d_transpose(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    output_padding: IntOrPair = 0,
    relu: bool = False,
    out: Array | None = None,
) -> Array:
    """Two-dimensional transposed convolution of a batch of pictures: the input gradient of `conv2d`.

    From y = b on, y[n, i*sh + kh*dh - top, j*sw + kw*dw - left, o] += x[n, i, j, c] * w[kh, kw, o, c] for every term;
    what falls outside y is left out.

    =========================  ==================================================================
    padding                    rows of y, columns likewise; span = (KH - 1) * dilation + 1
    =========================  ==================================================================
    "same"                     H * stride
    "valid"                    (H - 1) * stride + span + output_padding
    p, ((t, b), (l, r))        (H - 1) * stride + span - t - b + output_padding
    =========================  ==================================================================

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C_in), float32 or float64
        Pictures.  N may be 0.
    w : ndarray, shape (KH, KW, C_out, C_in), the dtype of `x`
        The weights of the `conv2d` whose gradient this is: it takes C_out channels, those of y, to C_in.  Keras lays
        them out so too; PyTorch's (C_in, C_out, KH, KW) are ``w.transpose(3, 2, 0, 1)``.
    b : ndarray, shape (C_out,), optional
        Bias.
    stride, dilation : int or pair of int
        Steps of the window over y, and distance between its taps, along (height, width).
    padding : "same", "valid", int or ((top, bottom), (left, right))
        That of the `conv2d`; here it is cut off y.
    output_padding : int or pair of int
        Rows and columns that y has more, at the bottom and the right.  A `conv2d` with a stride gives pictures of
        several sizes one size; this chooses among them, so it is less than the stride.  With "same" it is 0, and the
        largest is chosen.  (Keras, with "valid", chooses a larger one where the stride is larger than the window.)
    relu : bool
        Return max(y, 0) instead of y.
    out : ndarray, optional
        Array to write y into.

    Returns
    -------
    y : ndarray, shape (N, OH, OW, C_out), the dtype of `x`

    Raises
    ------
    ShapeError
        If a rank or a size does not fit, or the padding leaves nothing of y.
    DTypeError
        If `x` is neither float32 nor float64, or `w` or `b` has another dtype.
    TypeError, ValueError
        If another argument is not of the form above.

    References
    ----------
    Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    Each pixel puts down the kernel, times its own number; where two overlap, they add up:

    >>> x = np.array([1.0, 10.0]).reshape(1, 1, 2, 1)
    >>> w = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    >>> nn.functional.conv2d_transpose(x, w, stride=(1, 2), padding="valid").ravel()
    array([ 1.,  2., 13., 20., 30.])

    It is what the backward pass of `conv2d` makes of a gradient like x, for pictures like y:

    >>> rng = np.random.default_rng(0)
    >>> x, w = rng.standard_normal((2, 3, 4, 8)), rng.standard_normal((5, 5, 6, 8))
    >>> y = nn.functional.conv2d_transpose(x, w, stride=2)
    >>> dx, _, _ = nn.functional.conv2d_backward(x, np.zeros((2, 6, 8, 6)), w, stride=2)
    >>> y.shape, np.allclose(y, dx)
    ((2, 6, 8, 6), True)
    """
    x, w, geometry, shape = _plan(x, w, stride, padding, dilation, output_padding)
    _, _, C_out, C_in = w.shape
    b, relu = bias(b, w.swapaxes(2, 3)), boolean(relu, "relu")
    y = output_array(out, "out", shape, x.dtype, inputs=(x, w, b))
    w_transposed = padded_to_vectors(w.swapaxes(2, 3).reshape(-1, C_in, C_out))
    kernels.conv2d_input_gradient(x, w_transposed, geometry.kernel_windows(y.shape[1:]), y)
    if b is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            y += b
    return rectify(y, out=y) if relu else y


def conv2d_transpose_backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    output_padding: IntOrPair = 0,
    need_dx: bool = True,
    relu_output: Array | None = None,
    out: tuple[Array | None, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a loss with respect to the input, weights and bias of `conv2d_transpose`.

    With L the loss, dy = dL/dy, row = i*sh + kh*dh - top and col = j*sw + kw*dw - left:
    dx[n, i, j, c] = sum_kh sum_kw sum_o dy[n, row, col, o] * w[kh, kw, o, c], which is ``conv2d(dy, w)``;
    dw[kh, kw, o, c] = sum_n sum_i sum_j dy[n, row, col, o] * x[n, i, j, c], the dw of that `conv2d`;
    db[o] = sum over all pixels of dy[n, row, col, o].

    Parameters
    ----------
    dy : ndarray, shape (N, OH, OW, C_out)
        Gradient of the loss with respect to the result of `conv2d_transpose`.
    x, w, stride, padding, dilation, output_padding
        What `conv2d_transpose` was called with.
    need_dx : bool
        False leaves dx out: the first layer of a network does not need it.
    relu_output : ndarray, shape (N, OH, OW, C_out), optional
        The result of ``conv2d_transpose(..., relu=True)``, if `dy` is the gradient with respect to that.
    out : tuple of ndarray (dx, dw, db), optional
        Arrays to write the results into; dx may be None when it is not needed.

    Returns
    -------
    dx : ndarray, the shape of `x`, or None
    dw : ndarray, the shape of `w`
    db : ndarray, shape (C_out,)

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `conv2d_transpose`; also if `dy` does not have the shape of its result.

    Examples
    --------
    >>> x, w = np.array([1.0, 10.0]).reshape(1, 1, 2, 1), np.ones((1, 3, 1, 1))
    >>> dy = np.array([1.0, 2.0, 3.0, 4.0, 5.0]).reshape(1, 1, 5, 1)
    >>> dx, dw, db = nn.functional.conv2d_transpose_backward(dy, x, w, stride=(1, 2), padding="valid")
    >>> dx.ravel(), dw.ravel(), db
    (array([ 6., 12.]), array([31., 42., 53.]), array([15.]))
    """
    x, w, geometry, shape = _plan(x, w, stride, padding, dilation, output_padding)
    dy, relu_output = _like_result(dy, "dy", x, shape), _like_result(relu_output, "relu_output", x, shape)
    read = (dy, x, w, relu_output)
    dx, dw, db = gradient_outputs(out, x, w.shape, w.shape[2], need_dx=need_dx, inputs=read)
    if relu_output is not None:
        dy = relu_backward(dy, relu_output)
    windows: dict[str, Any] = {name: getattr(geometry, name) for name in ("stride", "padding", "dilation")}
    if dx is not None:
        conv2d(dy, w, out=dx, **windows)
    conv2d_backward(x, dy, w, need_dx=False, out=(None, dw, np.empty(x.shape[3:], x.dtype)), **windows)
    db[...] = channel_sums(dy.reshape(-1, len(db)))
    return dx, dw, db


class TransposedOptions(NamedTuple):
    """The arguments that describe the windows of a transposed convolution, checked; `transposed_options` makes one."""

    windows: WindowOptions
    output_padding: tuple[int, int]

    def over(self, picture: tuple[int, int]) -> WindowGeometry:
        """Return where the windows of the `conv2d` lie that takes y to a picture of (height, width) pixels."""
        return self.windows.over(self.output(picture))

    def output(self, picture: tuple[int, int]) -> tuple[int, int]:
        """Return the size of y for a picture of (height, width) pixels.

        Raises
        ------
        ShapeError
            If the padding leaves nothing of it.
        """
        size, stride, dilation, padding, _ = self.windows
        if padding == "same":
            return picture[0] * stride[0], picture[1] * stride[1]
        lengths = []
        for axis, name in enumerate(("height", "width")):
            whole = (picture[axis] - 1) * stride[axis] + (size[axis] - 1) * dilation[axis] + 1
            lengths.append(whole - sum(padding[axis]) + self.output_padding[axis])
            if lengths[axis] < 1:
                raise ShapeError(
                    f"padding must leave something of the result, but along the {name} {padding[axis]} takes away all "
                    f"of {whole} + {self.output_padding[axis]} pixels; use less padding or padding='same'"
                )
        return lengths[0], lengths[1]


def transposed_options(
    size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    output_padding: IntOrPair = 0,
) -> TransposedOptions:
    """Return the arguments of `conv2d_transpose` that do not depend on the picture, checked.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form that `conv2d_transpose` takes.
    """
    windows = window_options(size, stride=stride, padding=padding, dilation=dilation)
    more = pair(output_padding, "output_padding", minimum=0, maximum=MOST_PIXELS)
    if windows.padding == "same" and more != (0, 0):
        raise ValueError(
            f"output_padding must be 0 with padding 'same', which makes the result stride times as large, got {more}; "
            "give the padding in pixels"
        )
    for axis, name in enumerate(("height", "width")):
        if more[axis] >= windows.stride[axis]:
            raise ValueError(
                f"output_padding must be smaller than the stride along the {name}, {windows.stride[axis]}, got "
                f"{more[axis]}; a result that much larger belongs to a larger input"
            )
    return TransposedOptions(windows, more)


def _plan(
    x: Any, w: Any, stride: Any, padding: Any, dilation: Any, output_padding: Any
) -> tuple[Array, Array, WindowGeometry, tuple[int, ...]]:
    """Return x and w, checked, the windows of the `conv2d` from y to x, and the shape of y."""
    x = pictures(x)
    w = float_array(w, "w", "KH, KW, C_out, C_in")
    same_dtype(w, "w", x, "x")
    positive_axes(w, "w", "KH, KW, C_out, C_in", first=0)
    exact_shape(w, "w", (*w.shape[:3], x.shape[3]), f"axes (KH, KW, C_out, C_in), and x has {x.shape[3]} channels")
    options = transposed_options(
        w.shape[:2], stride=stride, padding=padding, dilation=dilation, output_padding=output_padding
    )
    output = options.output(x.shape[1:3])
    geometry = options.over(x.shape[1:3])
    geometry.refuse_too_large(output, max(w.shape[2:]))
    return x, w, geometry, (len(x), *output, w.shape[2])


def _like_result(value: Any, name: str, x: Array, shape: tuple[int, ...]) -> Any:
    """Return `value`, contiguous, if it has the shape and dtype of the result; `relu_output` may be None."""
    if value is None and name != "dy":
        return None
    value = float_array(value, name, "N, OH, OW, C_out")
    same_dtype(value, name, x, "x")
    exact_shape(value, name, shape, "the shape of the forward result y")
    return value
