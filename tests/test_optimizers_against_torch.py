"""Optimizers and clipping in PyTorch, over drawn settings, for some steps along drawn gradients.

Optional: runs where PyTorch is installed (``pip install torch``).  PyTorch's Adam adds eps to the corrected sqrt(v),
npcnn's to the uncorrected one; with eps = 0 they are the same.
"""

import numpy as np
import pytest

import npcnn as nn
from npcnn import clipping

torch = pytest.importorskip("torch")
STEPS = 12


class Parameters:
    """Some arrays and their gradients, in npcnn and as PyTorch's tensors."""

    def __init__(self, rng):
        shapes = [tuple(rng.integers(1, 6, rng.integers(0, 4))) for _ in range(rng.integers(1, 6))]
        self.params = {f"{i}_{'wb'[i % 2]}": np.asarray(rng.standard_normal(shape)) for i, shape in enumerate(shapes)}
        self.grads = {name: np.zeros_like(param) for name, param in self.params.items()}
        self.tensors = {name: torch.tensor(param.copy(), requires_grad=True) for name, param in self.params.items()}

    def draw_gradients(self, rng):
        for name, grad in self.grads.items():
            grad[...] = rng.uniform(0.1, 5) * rng.standard_normal(grad.shape)
            self.tensors[name].grad = torch.tensor(grad.copy())

    def assert_equal(self):
        for name, param in self.params.items():
            np.testing.assert_allclose(param, self.tensors[name].detach().numpy(), rtol=1e-10, atol=1e-12)


def run(both, rng, optimizer, theirs, clip=lambda _tensors: None):
    for _ in range(STEPS):
        both.draw_gradients(rng)
        clip(both.tensors.values())
        optimizer.step()
        theirs.step()
    both.assert_equal()


@pytest.mark.parametrize("seed", range(100))
def test_adamw_with_groups_and_clipping(seed):
    rng = np.random.default_rng(seed)
    both = Parameters(rng)
    lr, decay, factor, own_decay = rng.uniform(1e-3, 0.1), rng.uniform(0, 1), rng.uniform(0, 2), rng.uniform(0, 1)
    betas = rng.uniform(0, 0.95), rng.uniform(0.5, 0.999)
    limit = rng.uniform(0.01, 5)
    # Half of the drawn networks have groups, a third clip the norm and a third the values.
    groups = {"*_w": {"lr_factor": factor, "weight_decay": own_decay}} if seed % 2 else {}
    by_value = {0: {}, 1: {"clip_norm": limit}, 2: {"clip_value": limit}}[seed % 3]
    optimizer = nn.AdamW(both, lr, *betas, 0.0, decay, groups=groups, **by_value)

    own = [tensor for name, tensor in both.tensors.items() if groups and name.endswith("_w")]
    others = [tensor for name, tensor in both.tensors.items() if not (groups and name.endswith("_w"))]
    their_groups = [{"params": own, "lr": lr * factor, "weight_decay": own_decay}, {"params": others}]
    theirs = torch.optim.AdamW([g for g in their_groups if g["params"]], lr, betas, 0.0, decay)

    def clip(tensors):
        if "clip_norm" in by_value:
            # PyTorch divides by the norm + 1e-6.
            norm = torch.nn.utils.get_total_norm([tensor.grad for tensor in tensors]).item()
            torch.nn.utils.clip_grad_norm_(tensors, limit * (norm + 1e-6) / norm if norm > limit else limit)
        if "clip_value" in by_value:
            torch.nn.utils.clip_grad_value_(tensors, limit)

    run(both, rng, optimizer, theirs, clip)


@pytest.mark.parametrize("seed", range(60))
def test_sgd(seed):
    rng = np.random.default_rng(seed)
    both = Parameters(rng)
    lr, decay = rng.uniform(1e-3, 0.1), rng.uniform(0, 1)
    momentum = rng.uniform(0.1, 0.95) if seed % 3 else 0.0
    nesterov = bool(seed % 3 == 2)
    optimizer = nn.SGD(both, lr, momentum, nesterov, decay)
    theirs = torch.optim.SGD(both.tensors.values(), lr, momentum, weight_decay=decay, nesterov=nesterov)
    run(both, rng, optimizer, theirs)


@pytest.mark.parametrize("seed", range(60))
def test_clip_norm(seed):
    rng = np.random.default_rng(seed)
    both = Parameters(rng)
    both.draw_gradients(rng)
    limit = rng.uniform(0.1, 20)
    norm = torch.nn.utils.clip_grad_norm_(both.tensors.values(), limit).item()
    assert clipping.clip_norm(both.grads, limit) == pytest.approx(norm, rel=1e-12)
    for name, grad in both.grads.items():
        np.testing.assert_allclose(grad, both.tensors[name].grad.numpy(), rtol=1e-5)
