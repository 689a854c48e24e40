"""In-place updates of the parameters, as the optimizers use them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from npcnn.functional.checks import exact_shape, float_array, same_dtype
from npcnn.functional.outputs import output_array
from npcnn.kernels import updates as kernels

__all__ = ["adam_step"]


def adam_step(
    param: NDArray[Any],
    grad: NDArray[Any],
    m: NDArray[Any],
    v: NDArray[Any],
    *,
    step_size: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float = 0.0,
) -> None:
    """One update of Adam or AdamW, in place.

    m += (1 - beta1) * (grad - m);  v += (1 - beta2) * (grad**2 - v);
    param -= step_size * m / (sqrt(v) + eps) + decay * param.

    Parameters
    ----------
    param, m, v : ndarray, float32 or float64, one shape and dtype
        Parameters and the two moving averages; changed in place.
    grad : ndarray, like `param`
        Gradient of the loss.
    step_size : float
        Learning rate with the bias corrections: lr * sqrt(1 - beta2**t) / (1 - beta1**t).
    beta1, beta2, eps : float
        See `npcnn.Adam`.
    decay : float
        What share of itself `param` loses besides: lr * weight_decay of `npcnn.AdamW`.

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        If the arrays differ in shape or dtype, or one that is written to is not contiguous and writeable.

    References
    ----------
    Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, section 2.
    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.

    Examples
    --------
    >>> p, m, v = np.zeros(1), np.zeros(1), np.zeros(1)
    >>> nn.functional.adam_step(
    ...     p, np.ones(1), m, v, step_size=1.0, beta1=0.5, beta2=0.75, eps=0.0)
    >>> p, m, v
    (array([-1.]), array([0.5]), array([0.25]))
    """
    checked, grad = float_array(param, "param", None), float_array(grad, "grad", None)
    param = output_array(param, "param", checked.shape, checked.dtype, inputs=(grad,))
    same_dtype(grad, "grad", param, "param")
    exact_shape(grad, "grad", param.shape, "the shape of param")
    m = output_array(m, "m", param.shape, param.dtype, inputs=(grad, param))
    v = output_array(v, "v", param.shape, param.dtype, inputs=(grad, param, m))
    # 1 - beta is formed here, in float64: in float32, 1 - 0.99999999 is 0.
    kernels.adam_step(
        param.reshape(-1), grad.reshape(-1), m.reshape(-1), v.reshape(-1), step_size, 1 - beta1, 1 - beta2, eps, decay
    )
