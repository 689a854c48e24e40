"""The fully connected layer's product, y = x w + b, and its gradients.

They are npcnn's own, not NumPy's: that hands matrix products to a BLAS with threads of its own, on whose number the
bits depend, and which, while they wait for more, keep the cores from the threads of the convolutions before and after.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.checks import bias, exact_shape, float_array, padded_to_vectors, positive_axes, same_dtype
from npcnn.functional.normalization import channel_sums
from npcnn.functional.outputs import gradient_outputs, output_array
from npcnn.kernels import dense as kernels

__all__ = ["linear", "linear_backward"]

Array: TypeAlias = NDArray[Any]


def linear(x: Array, w: Array, b: Array | None = None, *, out: Array | None = None) -> Array:
    """Vectors times a matrix of weights, plus a bias.

    y[n, k] = b[k] + sum_c x[n, c] w[c, k]

    Parameters
    ----------
    x : ndarray, shape (N, C_in), float32 or float64
        Vectors.  N may be 0.
    w : ndarray, shape (C_in, C_out), the dtype of `x`
    b : ndarray, shape (C_out,), optional
    out : ndarray, optional
        Array to write y into.

    Returns
    -------
    y : ndarray, shape (N, C_out), the dtype of `x`

    Raises
    ------
    ShapeError
        If an array does not have the shape above.
    DTypeError
        If `x` is neither float32 nor float64, or another array has another dtype.
    TypeError, ValueError
        If an argument is not an array, or `out` overlaps an input.

    Examples
    --------
    >>> x, w, b = np.array([[1.0, 2.0]]), np.array([[1.0, 3.0, 0.0], [10.0, 0.0, 5.0]]), np.array([0.5, 0.0, 0.0])
    >>> nn.functional.linear(x, w, b)
    array([[21.5,  3. , 10. ]])
    """
    x, w = _checked(x, w)
    b = bias(b, w)
    y = output_array(out, "out", (len(x), w.shape[1]), x.dtype, inputs=(x, w, b))
    kernels.product(x, False, padded_to_vectors(w), b, y)
    return y


def linear_backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    need_dx: bool = True,
    out: tuple[Array | None, Array, Array] | None = None,
) -> tuple[Array | None, Array, Array]:
    """Gradients of `linear`: dx = dy w^T, dw = x^T dy, and db = sum of dy over the vectors.

    Parameters
    ----------
    dy : ndarray, shape (N, C_out)
        Gradient of the loss with respect to y.
    x, w
        What `linear` was called with.
    need_dx : bool
        False leaves dx out: the first layer of a network does not need it.
    out : tuple of ndarray (dx, dw, db), optional
        Arrays to write the results into; dx may be None with ``need_dx=False``.

    Returns
    -------
    dx : ndarray, shape (N, C_in), or None
    dw : ndarray, shape (C_in, C_out)
    db : ndarray, shape (C_out,)

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As `linear`.

    Examples
    --------
    >>> dy, x, w = np.array([[1.0, -1.0]]), np.array([[1.0, 2.0]]), np.array([[1.0, 3.0], [10.0, 0.0]])
    >>> dx, dw, db = nn.functional.linear_backward(dy, x, w)
    >>> dx, db
    (array([[-2., 10.]]), array([ 1., -1.]))
    >>> dw
    array([[ 1., -1.],
           [ 2., -2.]])
    """
    x, w = _checked(x, w)
    dy = float_array(dy, "dy", "N, C_out")
    same_dtype(dy, "dy", x, "x")
    exact_shape(dy, "dy", (len(x), w.shape[1]), "the shape of y")
    dx, dw, db = gradient_outputs(out, x, w.shape, w.shape[1], need_dx=need_dx, inputs=(dy, x, w))
    if dx is not None:
        kernels.product(dy, False, padded_to_vectors(w.T), None, dx)
    kernels.product(x, True, padded_to_vectors(dy), None, dw)
    with np.errstate(over="ignore"):  # a sum too large for float32 is infinite
        db[...] = channel_sums(dy)
    return dx, dw, db


def _checked(x: Any, w: Any) -> tuple[Array, Array]:
    """Return x and w, contiguous, if they fit each other."""
    x, w = float_array(x, "x", "N, C_in"), float_array(w, "w", "C_in, C_out")
    positive_axes(x, "x", "N, C_in")
    positive_axes(w, "w", "C_in, C_out", first=0)
    same_dtype(w, "w", x, "x")
    exact_shape(w, "w", (x.shape[1], w.shape[1]), f"axes (C_in, C_out), and x has {x.shape[1]} numbers in a vector")
    return x, w
