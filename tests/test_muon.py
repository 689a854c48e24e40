"""Muon against its formulas step by step, beside SGD, resumed, on any number of threads, and what it refuses."""

import itertools

import numpy as np
import pytest
from cases import assert_refused

import npcnn as nn
from npcnn import reference, schedules
from npcnn.functional import softmax_cross_entropy
from npcnn.train import Checkpoints, fit

WEIGHTS = {"conv.w": (3, 3, 4, 6), "line.w": (3, 5, 2), "dense.w": (7, 3), "conv.b": (6,), "scale": ()}


class Parameters:
    """Arrays of the shapes above with their gradients."""

    def __init__(self, dtype=np.float64):
        rng = np.random.default_rng(0)
        self.params = {name: np.asarray(rng.standard_normal(shape), dtype) for name, shape in WEIGHTS.items()}
        self.grads = {name: np.zeros_like(param) for name, param in self.params.items()}


def steps(net, optimizer, count, seed=1):
    """Take `count` steps along drawn gradients."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        for grad in net.grads.values():
            grad[...] = rng.standard_normal(grad.shape)
        optimizer.step()
    return net.params


def by_definition(param, gradients, lr, *, momentum, steps, normalize, weight_decay):
    """Return a parameter after steps along the gradients, all in float64 and by singular values."""
    param, m = param.astype(np.float64), np.zeros(param.shape)
    for g in gradients:
        m = momentum * m + g
        if normalize:
            param = param * param.shape[-1] ** 0.5 / np.linalg.norm(param)
        update = reference.orthogonalize((g + momentum * m).reshape(-1, param.shape[-1]), steps=steps)
        param = param - lr * (update.reshape(param.shape) + weight_decay * param)
    return param


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.6, "newton_schulz_steps": 3, "normalize": True, "weight_decay": 0.0},
        {"momentum": 0.9, "newton_schulz_steps": 5, "normalize": False, "weight_decay": 0.25},
        {"momentum": 0.0, "newton_schulz_steps": 1, "normalize": True, "weight_decay": 0.1},
    ],
)
def test_matrices_go_by_the_definition(options, dtype):
    net, start = Parameters(dtype), Parameters(dtype).params
    got = steps(net, nn.Muon(net, 0.24, 0.05, **options), 4)
    gradients = {name: [] for name in WEIGHTS}
    for number in range(4):
        rng = np.random.default_rng([1, number])
        for name, shape in WEIGHTS.items():
            gradients[name].append(np.asarray(rng.standard_normal(shape), dtype).astype(np.float64))
    options = {"steps" if name == "newton_schulz_steps" else name: value for name, value in options.items()}
    for name in ("conv.w", "line.w", "dense.w"):
        expected = by_definition(start[name], gradients[name], 0.24, **options)
        atol = 1e-12 if dtype == np.float64 else 2e-5
        np.testing.assert_allclose(got[name], expected, atol=atol, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_all_others_go_by_sgd_to_the_bit(dtype):
    net, plain = Parameters(dtype), Parameters(dtype)
    groups = {"dense.w": {"orthogonalize": 0, "lr_factor": 12.0}, "*.b": {"weight_decay": 0.5}}
    optimizer = nn.Muon(net, 0.24, 0.05, sgd_momentum=0.7, weight_decay=0.1, groups=groups)
    assert optimizer.orthogonalized == {"conv.w", "line.w"}
    steps(net, optimizer, 4)
    del groups["dense.w"]["orthogonalize"]
    steps(plain, nn.SGD(plain, 0.05, 0.7, nesterov=True, weight_decay=0.1, groups=groups), 4)
    for name in ("dense.w", "conv.b", "scale"):
        np.testing.assert_array_equal(net.params[name], plain.params[name], err_msg=name)
    assert (net.params["conv.w"] != plain.params["conv.w"]).any()


def test_a_step_by_hand():
    # The gradient's only direction has the whole norm: its singular value 1 becomes 3.4445 - 4.775 + 2.0315 = 0.701.
    net = nn.Dense(2, 2, bias=False, dtype=np.float64, weight_init=nn.initializers.constant(1.0))
    net.grads["w"][...] = [[0, 50], [0, 0]]
    nn.Muon(net, 0.5, sgd_lr=1.0, newton_schulz_steps=1).step()
    np.testing.assert_allclose(net.params["w"], [[1, 1 - 0.5 * 0.701], [1, 1]], rtol=1e-12)


def test_weights_are_normalised_before_the_step():
    # Four numbers of 3 have norm 6, which becomes sqrt(2).
    net = nn.Dense(2, 2, bias=False, dtype=np.float64, weight_init=nn.initializers.constant(3.0))
    nn.Muon(net, 0.5, sgd_lr=1.0, normalize=True).step()  # the gradient is 0
    np.testing.assert_allclose(net.params["w"], np.full((2, 2), 2**0.5 / 2), rtol=1e-12)


def test_weights_of_zeros_are_not_normalised():
    net = nn.Dense(2, 2, bias=False, weight_init=nn.initializers.constant(0.0))
    nn.Muon(net, 0.5, sgd_lr=1.0, normalize=True).step()
    np.testing.assert_array_equal(net.params["w"], np.zeros((2, 2)))


def test_with_a_rate_of_0_weights_stay_as_they_are_and_the_momentum_goes_on():
    net = Parameters()
    optimizer = nn.Muon(net, 0.24, 0.05, normalize=True, weight_decay=0.5, groups={"conv.*": {"lr_factor": 0}})
    before = {name: param.copy() for name, param in net.params.items()}
    steps(net, optimizer, 2)
    for name, param in net.params.items():
        assert (param == before[name]).all() == name.startswith("conv"), name
    assert all(velocity.any() for velocity in optimizer.velocity.values())


def test_both_rates_follow_their_schedules():
    nets = [Parameters() for _ in range(2)]
    lrs, sgd_lrs = (0.3, 0.2, 0.0), (0.5, 0.25, 0.125)
    scheduled = nn.Muon(nets[0], lrs.__getitem__, schedules.Step(0.5, (1, 2), 0.5))
    by_hand = nn.Muon(nets[1], 1.0, 1.0)
    for number, (lr, sgd_lr) in enumerate(zip(lrs, sgd_lrs, strict=True)):
        assert (scheduled.lr, scheduled.sgd_lr) == (lr, sgd_lr)
        steps(nets[0], scheduled, 1, seed=number)
        by_hand.schedule, by_hand.sgd_schedule = (lambda step, lr=lr: lr), (lambda step, lr=sgd_lr: lr)
        steps(nets[1], by_hand, 1, seed=number)
    for name, param in nets[0].params.items():
        np.testing.assert_array_equal(param, nets[1].params[name], err_msg=name)


@pytest.mark.parametrize("name", ["lr", "sgd_lr"])
@pytest.mark.parametrize("rate", [np.nan, -0.1, np.inf])
def test_a_rate_that_is_none_changes_nothing(name, rate):
    net = Parameters()
    optimizer = nn.Muon(net, **({"lr": 0.1, "sgd_lr": 0.1} | {name: lambda step: rate}), clip_norm=0.1)
    before = {name: param.copy() for name, param in (net.params | optimizer.state()).items()}
    for grad in net.grads.values():
        grad[...] = 1.0
    with pytest.raises(ValueError, match=f"^{name} must be finite and at least 0"):
        optimizer.step()
    for after, array in (net.params | optimizer.state()).items():
        np.testing.assert_array_equal(array, before[after])
    assert all((grad == 1).all() for grad in net.grads.values())


def test_a_gradient_that_is_not_finite_is_not_hidden():
    net = Parameters(np.float32)
    net.grads["conv.w"][0, 0, 0, 0] = np.inf
    nn.Muon(net, 0.1, 0.1).step()
    assert np.isnan(net.params["conv.w"]).all()
    assert np.isfinite(net.params["line.w"]).all()


def test_what_is_set_is_shown():
    optimizer = nn.Muon(Parameters(), 0.24, 0.05, normalize=True, groups={"dense.w": {"orthogonalize": 0}})
    assert repr(optimizer) == (
        "Muon(lr=Constant(lr=0.24), sgd_lr=Constant(lr=0.05), momentum=0.6, sgd_momentum=0.85, newton_schulz_steps=3, "
        "normalize=True, weight_decay=0.0, groups={'dense.w': {'orthogonalize': 0}}, steps=0)"
    )


def network():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2D(3, 8, 3, bias=False, rng=rng),
        nn.BatchNorm(8),
        nn.ReLU(),
        nn.SpatiallySeparableConv2D(8, 8, 3, rng=rng),
        nn.ReLU(),
        nn.GlobalAvgPool2D(),
        nn.Dense(8, 3, rng=rng),
    )


def batches(start):
    for number in itertools.count(start):
        rng = np.random.default_rng(number)
        labels = rng.integers(0, 3, 12)
        yield (rng.standard_normal((12, 6, 6, 3)) + labels[:, None, None, None]).astype(np.float32), labels


def train(folder, until, threads):
    """Train from the last checkpoint on; return every array."""
    nn.set_num_threads(threads)
    net = network()
    optimizer = nn.Muon(
        net, schedules.Cosine(0.24, 8), schedules.Warmup(0.05, 2), normalize=True, clip_norm=1.0,
        groups={"6_dense.w": {"orthogonalize": 0, "weight_decay": 0.01}},
    )  # fmt: skip
    with Checkpoints(folder, net, optimizer, every=2) as checkpoints:
        at = checkpoints.resume()
        fit(net, batches(at.step), optimizer, steps=until, start=at.step, callbacks=[checkpoints])
    return net.arrays | {f"optimizer.{name}": array for name, array in optimizer.state().items()}


def test_it_goes_on_to_the_bit_on_any_number_of_threads(tmp_path):
    whole = train(tmp_path / "whole", 8, threads=1)
    for threads, end in ((2, 3), (3, 6)):
        train(tmp_path / str(threads), end, threads)
        arrays = train(tmp_path / str(threads), 8, threads=1 + threads % 3)
        assert arrays.keys() == whole.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, whole[name], err_msg=name)


def test_a_network_learns_with_it():
    net, drawn = network(), batches(0)
    optimizer = nn.Muon(net, 0.1, 0.05, normalize=True, groups={"6_dense.w": {"orthogonalize": 0}})
    fit(net, drawn, optimizer, steps=40)
    x, labels = next(batches(1000))
    assert softmax_cross_entropy(net.forward(x, training=True), labels)[0] < 0.5


def muon(*rates, **options):
    return lambda: nn.Muon(Parameters(), *(rates or (0.1, 0.1)), **options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (muon(0.1, 0.0), ValueError, "lr must be a finite number above 0"),
        (muon("fast", 0.1), TypeError, "lr must be a number above 0"),
        (muon(momentum=1.0), ValueError, "^momentum must be"),
        (muon(sgd_momentum=-0.1), ValueError, "sgd_momentum must be"),
        (muon(newton_schulz_steps=0), ValueError, "newton_schulz_steps must be"),
        (muon(normalize="yes"), TypeError, "normalize must be True or False"),
        (muon(weight_decay=-1), ValueError, "weight_decay must be"),
        (muon(groups={"*": {"beta": 1}}), ValueError, "may set lr_factor, weight_decay, orthogonalize, got 'beta'"),
        (muon(groups={"*.w": {"orthogonalize": 0.5}}), ValueError, "orthogonalize to 0 or 1, got 0.5 for conv.w"),
        (muon(groups={"*": {"orthogonalize": 1}}), ValueError, r"sets orthogonalize to 1 for conv.b, .* shape \(6,\)"),
    ],
)
def test_what_it_refuses(make, error, message):
    assert_refused(make, error, message)
