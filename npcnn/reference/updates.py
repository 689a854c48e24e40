"""The updates of parameters by their gradients, written as definitions.

Like their fast counterparts they change the arrays they are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """One update of Adam, or with `decay` of AdamW, in place.

    m     = beta1 m + (1 - beta1) grad
    v     = beta2 v + (1 - beta2) grad^2
    param = (1 - decay) param - step_size m / (sqrt(v) + eps)

    Parameters
    ----------
    param, m, v : ndarray
        Parameters and the moving averages of gradient and squared gradient; changed in place.
    grad : ndarray
        The gradient.
    step_size : float
        Learning rate with the bias corrections: lr * sqrt(1 - beta2**t) / (1 - beta1**t).
    beta1, beta2, eps : float
        See `npcnn.Adam`.
    decay : float
        Learning rate times weight decay.

    Examples
    --------
    >>> from npcnn import reference
    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> reference.adam_step(p, np.ones(1), m, v, step_size=1.0, beta1=0.5, beta2=0.75, eps=0.0, decay=0.25)
    >>> p, m, v
    (array([-0.25]), array([0.5]), array([0.25]))
    """
    m[...] = beta1 * m + (1 - beta1) * grad
    v[...] = beta2 * v + (1 - beta2) * grad**2
    param[...] = (1 - decay) * param - step_size * m / (np.sqrt(v) + eps)
