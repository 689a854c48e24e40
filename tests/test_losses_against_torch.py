"""The losses in PyTorch, over drawn configurations: values and autograd's gradients.

Optional: runs where PyTorch is installed (``pip install torch``).
"""

import numpy as np
import pytest

from npcnn import functional

torch = pytest.importorskip("torch")
F = torch.nn.functional


def assert_equal_losses(got, expected, tensor):
    expected.backward()
    value, gradient = got
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("seed", range(200))
def test_softmax_cross_entropy(seed):
    rng = np.random.default_rng(seed)
    N, classes = int(rng.integers(1, 50)), int(rng.integers(2, 30))
    logits = rng.uniform(0.1, 10) * rng.standard_normal((N, classes))
    soft = seed % 2 == 0
    labels = rng.dirichlet(np.full(classes, 0.3), N) if soft else rng.integers(0, classes, N)
    smoothing = float(rng.choice([0.0, rng.uniform(0, 1)]))
    weights = rng.uniform(0, 3, classes) if seed % 3 else None

    tensor = torch.tensor(logits, requires_grad=True)
    each = F.cross_entropy(
        tensor,
        torch.tensor(labels),
        weight=None if weights is None else torch.tensor(weights),
        label_smoothing=smoothing,
        reduction="none",
    )
    got = functional.softmax_cross_entropy(logits, labels, label_smoothing=smoothing, class_weights=weights)
    assert_equal_losses(got, each.mean(), tensor)


@pytest.mark.parametrize("seed", range(20))
def test_the_weighted_mean_of_pytorch(seed):
    # As the docstring says: PyTorch divides by the sum of the weights of the labels.
    rng = np.random.default_rng(seed)
    logits, labels, weights = rng.standard_normal((40, 7)), rng.integers(0, 7, 40), rng.uniform(0.1, 3, 7)
    value, gradient = functional.softmax_cross_entropy(logits, labels, class_weights=weights)
    factor = 40 / weights[labels].sum()
    tensor = torch.tensor(logits, requires_grad=True)
    expected = F.cross_entropy(tensor, torch.tensor(labels), weight=torch.tensor(weights))
    assert_equal_losses((factor * value, factor * gradient), expected, tensor)


@pytest.mark.parametrize("seed", range(200))
def test_mean_squared_error(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, rng.integers(0, 5)))
    outputs, targets = np.asarray(rng.standard_normal(shape)), np.asarray(rng.standard_normal(shape))
    tensor = torch.tensor(outputs, requires_grad=True)
    got = functional.mean_squared_error(outputs, targets)
    assert_equal_losses(got, F.mse_loss(tensor, torch.tensor(targets)), tensor)
