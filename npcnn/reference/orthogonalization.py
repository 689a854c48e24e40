"""Making all singular values of a matrix nearly the same, as its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEWTON_SCHULZ", "orthogonalize"]

# a, b and c of the polynomial a s + b s^3 + c s^5.  They are chosen to lift small singular values fast, by a factor of
# a in every step, at the price of leaving those near 1 anywhere between about 0.7 and 1.2.
NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)


def orthogonalize(matrix: NDArray[Any], *, steps: int = 3) -> NDArray[Any]:
    """Replace every singular value of a matrix by one near 1, keeping the singular vectors.

    With matrix = U diag(s) V^T:
    s = s / sqrt(sum of s^2), then `steps` times s = a s + b s^3 + c s^5;  result = U diag(s) V^T.

    Parameters
    ----------
    matrix : ndarray, shape (rows, columns)
    steps : int
        How often the polynomial is applied.

    Returns
    -------
    ndarray, the shape of `matrix`

    Examples
    --------
    The singular values 4 and 3 are 0.8 and 0.6 of the length of the matrix, 5:

    >>> from npcnn import reference
    >>> reference.orthogonalize(np.diag([4.0, 3.0]), steps=1).round(3)
    array([[0.976, 0.   ],
           [0.   , 1.193]])
    """
    u, s, v_transposed = np.linalg.svd(matrix, full_matrices=False)
    a, b, c = NEWTON_SCHULZ
    length = np.sqrt(np.sum(s**2))
    s = s / length if length else s
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    result: NDArray[Any] = (u * s) @ v_transposed
    return result
