"""Orthogonalising matrices: against singular values, the products as written, and what must not change a result."""

import numpy as np
import pytest
from cases import assert_refused, either
from drawn import REAL_TYPES

import npcnn as nn
from npcnn import functional as F
from npcnn import reference
from npcnn.kernels import core

# Wide, square and tall; one row, one column; around the 32 rows that a thread takes at a time.
SHAPES = [(1, 1), (1, 7), (7, 1), (5, 5), (27, 16), (16, 27), (32, 33), (31, 64), (65, 40), (216, 64), (75, 100)]


def by_products(matrix, steps):
    """Return the iteration as its formula says, with no thought of how many multiplications it takes."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(steps):
        x = 3.4445 * x - 4.775 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
    return x


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_definition_is_the_iteration(rng, shape, steps):
    matrix = rng.standard_normal(shape)
    np.testing.assert_allclose(reference.orthogonalize(matrix, steps=steps), by_products(matrix, steps), atol=1e-12)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_the_definition(rng, shape, steps, dtype):
    matrix = (rng.standard_normal(shape) * rng.uniform(1e-3, 1e3)).astype(dtype)
    got = F.orthogonalize(matrix, steps=steps)
    assert got.dtype == dtype
    assert got.flags.c_contiguous
    atol = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(got, reference.orthogonalize(matrix.astype(np.float64), steps=steps), atol=atol)


@pytest.mark.parametrize("shape", [(20, 20), (12, 40), (40, 12)])
def test_what_comes_out_is_near_the_nearest_orthogonal_matrix(rng, shape):
    # U V^T is where all singular values are 1; after three steps they are between 0.68 and 1.21.
    u, _, v_transposed = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    singular = rng.uniform(0.2, 1, len(v_transposed))
    singular /= np.linalg.norm(singular)
    got = F.orthogonalize((u * singular) @ v_transposed)
    kept = u.T @ got @ v_transposed.T
    np.testing.assert_allclose(kept, np.diag(kept.diagonal()), atol=1e-12)  # the singular vectors are as they were
    assert kept.diagonal().min() > 0.68
    assert kept.diagonal().max() < 1.21
    assert np.linalg.norm(got - u @ v_transposed, 2) < 0.32


@either
def test_by_hand(ops):
    # 0.8 and 0.6 of the norm: 3.4445 * 0.8 - 4.775 * 0.512 + 2.0315 * 0.32768 and so on.
    got = ops.orthogonalize(np.array([[0.0, -8.0, 0.0], [6.0, 0.0, 0.0]]), steps=1)
    np.testing.assert_allclose(got, [[0, -0.97648192, 0], [1.19326944, 0, 0]], atol=1e-12)


@either
def test_a_matrix_of_zeros_stays_one(ops):
    np.testing.assert_array_equal(ops.orthogonalize(np.zeros((3, 4))), np.zeros((3, 4)))


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_the_length_plays_no_role(rng, dtype):
    # Powers of two change no bit, not even where squares overflow, or numbers are so small that they have lost some.
    matrix = rng.integers(-8, 9, (12, 20)).astype(dtype)
    expected = F.orthogonalize(matrix)
    for exponent in (100, -100) if dtype == np.float32 else (1000, -1000):
        np.testing.assert_array_equal(F.orthogonalize(np.ldexp(matrix, exponent)), expected)
    smallest = np.sign(matrix) * np.finfo(dtype).smallest_subnormal
    np.testing.assert_array_equal(F.orthogonalize(smallest), F.orthogonalize(np.sign(matrix)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_not_hidden(rng, value):
    matrix = rng.standard_normal((4, 3)).astype(np.float32)
    matrix[1, 2] = value
    assert np.isnan(F.orthogonalize(matrix)).all()


def test_the_matrix_is_only_read_and_may_lie_anyhow(rng):
    matrix = rng.standard_normal((40, 24))
    matrix.flags.writeable = False
    np.testing.assert_array_equal(F.orthogonalize(matrix.T), F.orthogonalize(matrix.T.copy()))


@pytest.mark.parametrize("shape", [(216, 64), (64, 200)])
def test_the_same_bits_in_any_number_of_threads(rng, shape):
    # Also of BLAS, whose products depend on it.
    threadpoolctl = pytest.importorskip("threadpoolctl")
    matrix = rng.standard_normal(shape).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        with threadpoolctl.threadpool_limits(limits=threads, user_api="blas"):
            nn.set_num_threads(threads)
            results.append(F.orthogonalize(matrix))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_every_instruction_set(rng):
    matrix = rng.standard_normal((90, 40)).astype(np.float32)
    expected = reference.orthogonalize(matrix.astype(np.float64))
    before = core.isa()
    try:
        for isa in core.supported_isas():
            core.use_isa(isa)
            np.testing.assert_allclose(F.orthogonalize(matrix), expected, atol=1e-5, err_msg=isa)
    finally:
        core.use_isa(before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.orthogonalize(np.zeros(3)), nn.ShapeError, r"matrix must have 2 axes \(rows, columns\)"),
        (lambda: F.orthogonalize(np.zeros((3, 0))), nn.ShapeError, r"at least one row and one column, .* \(3, 0\)"),
        (lambda: F.orthogonalize(np.zeros((3, 3), int)), nn.DTypeError, "matrix must be float32 or float64"),
        (lambda: F.orthogonalize([[1.0]]), TypeError, "matrix must be a numpy.ndarray"),
        (lambda: F.orthogonalize(np.eye(2), steps=0), ValueError, "steps must be"),
        (lambda: F.orthogonalize(np.eye(2), steps=2.5), TypeError, "steps must be"),
    ],
)
def test_what_it_refuses(call, error, message):
    assert_refused(call, error, message)
