"""Optimizers, schedules and initializers against plain loops and known values."""

import itertools
import math

import numpy as np
import pytest

import npcnn as nn
from npcnn import initializers, schedules


class OneArray:
    """The least an optimizer accepts: one parameter and its gradient."""

    def __init__(self, values, dtype=np.float64):
        self.params = {"w": np.array(values, dtype)}
        self.grads = {"w": np.zeros_like(self.params["w"])}


def run(optimizer, net, gradients):
    for gradient in gradients:
        net.grads["w"][...] = gradient
        optimizer.step()
    return net.params["w"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_adam_is_algorithm_1(rng, dtype):
    # Kingma & Ba, algorithm 1 in the order of section 2, one number at a time.
    start, gradients = rng.standard_normal(5000), rng.standard_normal((4, 5000))
    lr, beta1, beta2, eps = 0.01, 0.8, 0.95, 1e-3
    expected, m, v = start.copy(), np.zeros(5000), np.zeros(5000)
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        expected -= lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps)
    net = OneArray(start, dtype)
    got = run(nn.Adam(net, lr, beta1, beta2, eps), net, gradients.astype(dtype))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14 if dtype == np.float64 else 1e-6)


def test_sgd_by_hand():
    # p = 1; gradient 2 twice; lr 0.1
    def sgd(**options):
        net = OneArray([1.0])
        return run(nn.SGD(net, 0.1, **options), net, [2.0, 2.0])[0]

    assert sgd() == pytest.approx(1 - 0.2 - 0.2)
    assert sgd(momentum=0.5) == pytest.approx(1 - 0.1 * 2 - 0.1 * (0.5 * 2 + 2))
    # Nesterov: g + 0.5 u with u = 2, then u = 3
    assert sgd(momentum=0.5, nesterov=True) == pytest.approx(1 - 0.1 * 3 - 0.1 * 3.5)
    # decay 0.5: g = 2 + 0.5 * 1 = 2.5, p = 0.75, g = 2.375
    assert sgd(weight_decay=0.5) == pytest.approx(1 - 0.25 - 0.2375)


def test_schedule_is_asked_for_each_step():
    asked = []

    def schedule(step):
        asked.append(step)
        return 0.5

    net = OneArray([0.0])
    run(nn.SGD(net, schedule), net, [1.0, 1.0, 1.0])
    assert asked == [0, 1, 2]
    assert net.params["w"][0] == -1.5


def test_schedules_at_known_steps():
    assert schedules.Constant(0.3)(7) == 0.3
    step = schedules.Step(1.0, (3, 6), 0.1)
    assert [step(k) for k in (0, 2, 3, 6)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = schedules.Cosine(2.0, 10, final_lr=1.0)
    expected = [1 + (1 + math.cos(math.pi * k / 10)) / 2 for k in (0, 3, 10)]
    assert [cosine(k) for k in (0, 3, 10)] == pytest.approx(expected)
    assert cosine(1000) == 1.0
    cycle = schedules.OneCycle(1.0, 100, warmup=0.2, start_factor=5, final_factor=100)
    assert [cycle(k) for k in (0, 20, 100, 500)] == pytest.approx([0.2, 1.0, 0.01, 0.01])
    rates = [cycle(k) for k in range(101)]
    assert all(a < b for a, b in itertools.pairwise(rates[:21]))
    assert all(a > b for a, b in itertools.pairwise(rates[20:]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Adam(OneArray([0.0]), lr=0.0), "lr must be"),
        (lambda: nn.Adam(OneArray([0.0]), lr=float("nan")), "lr must be"),
        (lambda: nn.Adam(OneArray([0.0]), lr="fast"), "lr must be"),
        (lambda: nn.Adam(OneArray([0.0]), beta1=1.0), "beta1 must be"),
        (lambda: nn.Adam(OneArray([0.0]), beta1="0.9"), "beta1 must be"),
        (lambda: nn.Adam(OneArray([0.0]), eps=None), "eps must be"),
        (lambda: nn.Dropout("0.5"), "rate must be"),
        (lambda: initializers.truncated_normal(None), "sd must be"),
        (lambda: nn.Adam(OneArray([0.0]), beta2=-0.1), "beta2 must be"),
        (lambda: nn.Adam(OneArray([0.0]), eps=float("inf")), "eps must be"),
        (lambda: nn.SGD(OneArray([0.0]), -1.0), "lr must be"),
        (lambda: nn.SGD(OneArray([0.0]), 1.0, momentum=1.5), "momentum must be"),
        (lambda: nn.SGD(OneArray([0.0]), 1.0, nesterov=True), "nesterov needs"),
        (lambda: nn.SGD(OneArray([0.0]), 1.0, weight_decay=-1), "weight_decay must be"),
        (lambda: schedules.Step(1.0, (-1,)), r"milestones\[0\] must be"),
        (lambda: schedules.Cosine(1.0, 0), "steps must be"),
        (lambda: schedules.Cosine(1.0, 5, final_lr=2.0), "final_lr must be"),
        (lambda: schedules.OneCycle(1.0, 5, warmup=1.0), "warmup must be"),
        (lambda: initializers.truncated_normal(-1.0), "sd must be"),
    ],
)
def test_wrong_numbers_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize("optimizer", [nn.Adam, lambda net: nn.SGD(net, 0.1)], ids=["adam", "sgd"])
@pytest.mark.parametrize("given", [nn.Dense(1, 1).params, [1.0], None], ids=["params", "list", "None"])
def test_what_is_no_network_is_refused(optimizer, given):
    with pytest.raises(TypeError, match=r"net must be a network.*pass the network itself: (Adam|SGD)\(net\)"):
        optimizer(given)


class TwoArrays:
    def __init__(self):
        self.params = {"a": np.ones(2), "b": np.ones(2)}
        self.grads = {"a": np.ones(2), "b": np.ones(2)}


@pytest.mark.parametrize("make", [nn.Adam, lambda net: nn.SGD(net, 0.1)], ids=["adam", "sgd"])
@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda net: net.grads.update(b=np.ones(1)), nn.ShapeError, r"the gradient of b must have shape \(2,\)"),
        (lambda net: net.grads.update(b=np.ones(2, "f4")), nn.DTypeError, "the gradient of b must have the dtype"),
        (lambda net: net.params.update(b=np.ones(3)), nn.WeightsError, "other parameters"),
        (lambda net: net.params.update(c=np.ones(2)), nn.WeightsError, "other parameters"),
    ],
)
def test_a_step_that_cannot_be_whole_changes_nothing(make, spoil, error, message):
    net = TwoArrays()
    optimizer = make(net)
    before = optimizer.state()
    spoil(net)
    with pytest.raises(error, match=message):
        optimizer.step()
    assert (net.params["a"] == 1).all()
    assert all((before[name] == array).all() for name, array in optimizer.state().items())


def test_schedule_that_gives_nan_changes_nothing():
    net = OneArray([1.0])
    optimizer = nn.SGD(net, lambda step: float("nan"))
    net.grads["w"][...] = 1.0
    with pytest.raises(ValueError, match="lr must be finite"):
        optimizer.step()
    assert net.params["w"][0] == 1.0
    assert optimizer.steps == 0


def test_truncated_normal_moments(rng):
    values = initializers.truncated_normal(0.1, mean=1.0)((200_000,), rng, np.float64)
    assert np.abs(values - 1).max() <= 0.2
    assert abs(values.mean() - 1) < 1e-3
    # variance of a standard normal cut off at +-2: 1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737
    assert abs(values.var() / 0.01 - 0.7737) < 0.01


def test_he_and_glorot_variances(rng):
    shape = (3, 3, 32, 48)
    assert initializers.he_normal()(shape, rng, np.float64).var() == pytest.approx(2 / (9 * 32), rel=0.05)
    values = initializers.glorot_uniform()(shape, rng, np.float64)
    limit = math.sqrt(6 / (9 * (32 + 48)))
    assert np.abs(values).max() <= limit
    assert values.var() == pytest.approx(limit**2 / 3, rel=0.05)


def test_a_beta_that_float32_takes_for_one():
    net = nn.Dense(1, 1, bias=False, weight_init=nn.initializers.constant(1.0))
    net.grads["w"][...] = 7.0
    nn.Adam(net, lr=0.001, beta2=0.99999999).step()
    assert net.params["w"].item() == pytest.approx(0.999, abs=1e-6)
