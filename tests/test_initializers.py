"""First values of weights: what each promises, seen in the layers that begin with them."""

import numpy as np
import pytest
from cases import assert_refused

import npcnn as nn
from npcnn.initializers import constant, fan_in_uniform, identity, whitening


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (24, 6), (5, 4, 4)])
def test_fan_in_uniform_fills_its_interval(shape):
    w = fan_in_uniform()(shape, np.random.default_rng(0), np.float64)
    limit = 1 / np.sqrt(np.prod(shape[:-1]))
    assert 0.95 * limit < np.abs(w).max() <= limit
    assert w.std() == pytest.approx(limit / np.sqrt(3), rel=0.15)


@pytest.mark.parametrize(
    ("kernel", "channels"), [((3, 3), (2, 5)), ((1, 5), (4, 4)), ((2, 2), (3, 4)), ((3, 3), (5, 2))]
)
def test_identity_passes_the_input_on_and_leaves_the_other_filters(kernel, channels, rng):
    C_in, C_out = channels
    w = identity(constant(0.25))((*kernel, C_in, C_out), rng, np.float64)
    x = rng.standard_normal((2, 6, 7, C_in))
    y = nn.functional.conv2d(x, w)
    same = min(C_in, C_out)
    np.testing.assert_array_equal(y[..., :same], x[..., :same])
    assert (w[..., same:] == 0.25).all()


def test_identity_draws_the_others_as_they_would_be_drawn_alone():
    shape = (3, 3, 2, 6)
    alone = fan_in_uniform()(shape, np.random.default_rng(3), np.float32)
    w = identity(fan_in_uniform())(shape, np.random.default_rng(3), np.float32)
    np.testing.assert_array_equal(w[..., 2:], alone[..., 2:])


@pytest.mark.parametrize("size", [(2, 2), (1, 3)])
def test_whitened_patches_are_uncorrelated(size, rng):
    # Neighbours that are nearly alike, as in photographs.
    x = rng.standard_normal((50, 12, 12, 3)).cumsum(axis=1).cumsum(axis=2)
    x /= x.std()
    fan_in = size[0] * size[1] * 3
    w = whitening(x, eps=1e-9)((*size, 3, 2 * fan_in), rng, np.float64)
    y = nn.functional.conv2d(x, w, padding="valid").reshape(-1, 2 * fan_in)
    np.testing.assert_allclose(y[:, :fan_in].T @ y[:, :fan_in] / len(y), np.eye(fan_in), atol=1e-3)
    np.testing.assert_array_equal(y[:, fan_in:], -y[:, :fan_in])


def test_whitening_by_hand():
    # Patches (a, b) with a^2 and b^2 1 and 4 on average and a*b 0: eigenvectors (0, 1) and (1, 0), the larger first.
    x = np.array([[1, 2], [1, -2], [-1, 2], [-1, -2]], np.float64).reshape(4, 1, 2, 1)
    w = whitening(x, eps=1e-12)((1, 2, 1, 4), None, np.float64).reshape(2, 4)
    np.testing.assert_allclose(w, [[0, 1, 0, -1], [0.5, 0, -0.5, 0]], atol=1e-6)


def test_eps_bounds_what_hardly_varies(rng):
    w = whitening(np.zeros((1, 4, 4, 1)), eps=0.25)((2, 2, 1, 8), rng, np.float64)
    np.testing.assert_allclose(np.linalg.norm(w.reshape(4, 8), axis=0), 2)  # 1 / sqrt(0 + 0.25)


X = np.ones((2, 4, 4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: identity("he_normal"), TypeError, "others must be an initializer"),
        (lambda: whitening(X.astype(int)), nn.DTypeError, "x must be float32 or float64"),
        (lambda: whitening(X[:0]), nn.ShapeError, "at least one picture"),
        (lambda: whitening(X, eps=0), ValueError, "eps must be"),
        (lambda: whitening(X)((2, 2, 3, 12), None, np.float32), nn.ShapeError, r"2 \* 12; got 12"),
        (lambda: whitening(X)((2, 2, 1, 8), None, np.float32), nn.ShapeError, r"weights \(KH, KW, 3, n\)"),
        (lambda: whitening(X)((5, 1, 3, 30), None, np.float32), nn.ShapeError, "whitening of pictures"),
        (lambda: fan_in_uniform()((4,), np.random.default_rng(0), np.float32), nn.ShapeError, "constant for biases"),
    ],
)
def test_what_is_refused(call, error, message):
    assert_refused(call, error, message)
