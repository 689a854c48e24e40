"""Making all singular values of a matrix nearly the same, by a few matrix products.

Let X = U S V^T be the singular value decomposition of a matrix.  X^T X = V S^2 V^T, so

    a X + b X (X^T X) + c X (X^T X)^2 = U (a S + b S^3 + c S^5) V^T:

a polynomial in X changes the singular values, each by itself, and nothing else, and no decomposition is computed.
`npcnn.Muon` does this to the update of every matrix of weights, at every step.

The products are npcnn's own: the bits of NumPy's depend on how many threads its BLAS has.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import ShapeError
from npcnn.functional.checks import float_array, integer
from npcnn.functional.dense import linear
from npcnn.reference.orthogonalization import NEWTON_SCHULZ

__all__ = ["orthogonalize"]

Array: TypeAlias = NDArray[Any]


def orthogonalize(matrix: Array, *, steps: int = 3) -> Array:
    """Replace every singular value of a matrix by one near 1, keeping the singular vectors: Newton-Schulz.

    X = matrix / (its Frobenius norm), then `steps` times
    X = a X + b X (X^T X) + c X (X^T X)^2 with (a, b, c) = (3.4445, -4.775, 2.0315).

    With U S V^T the singular value decomposition of `matrix`, the result comes near U V^T, which is as long in every
    direction.  The polynomial does not converge to it: after three steps a singular value of at least a fiftieth of
    the norm has become one between 0.68 and 1.21, and one far below has grown 41 times.

    Parameters
    ----------
    matrix : ndarray, shape (rows, columns), float32 or float64
        Any matrix.  Its length plays no role, and a matrix of zeros stays one.  If a number is infinite or NaN, all of
        the result is NaN.
    steps : int
        How often the polynomial is applied, at least 1.

    Returns
    -------
    ndarray, shape and dtype of `matrix`

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        If `matrix` has another rank, no element or another dtype, or `steps` is not of the form above.

    References
    ----------
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024 (the coefficients).
    Bernstein & Newhouse, "Old Optimizer, New Norm: An Anthology", 2024.
    Higham, "Functions of Matrices: Theory and Computation", 2008, chapter 8 (Newton-Schulz).

    Examples
    --------
    >>> matrix = np.diag([16.0, 4.0, 1.0])
    >>> np.diag(nn.functional.orthogonalize(matrix)).round(2)
    array([0.69, 0.69, 1.14])
    """
    matrix = float_array(matrix, "matrix", "rows, columns")
    if matrix.size == 0:
        raise ShapeError(f"matrix must have at least one row and one column, got shape {matrix.shape}")
    steps = integer(steps, "steps", minimum=1)
    largest = np.abs(matrix).max()
    if not np.isfinite(largest):
        return np.full_like(matrix, np.nan)
    if largest == 0:
        return np.zeros_like(matrix)
    # The largest number becomes 1 first, in float64: no square overflows or vanishes on the way to the norm.
    scaled = matrix / np.float64(largest)
    scaled /= np.sqrt(np.square(scaled).sum())
    is_wide = matrix.shape[0] < matrix.shape[1]
    x = np.ascontiguousarray(scaled.T if is_wide else scaled, matrix.dtype)  # so that X^T X is the smaller square
    a, b, c = NEWTON_SCHULZ
    for _ in range(steps):
        square = linear(x.T, x)
        x = a * x + linear(x, b * square + c * linear(square, square))
    return np.ascontiguousarray(x.T) if is_wide else x
