"""Optimizers, schedules and initializers against plain loops and known values."""

import itertools
import math

import numpy as np
import pytest

import npcnn as nn
from npcnn import clipping, initializers, reference, schedules
from npcnn.kernels import core


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


@pytest.fixture
def any_isa():
    before = core.isa()
    yield core.supported_isas()
    core.use_isa(before)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("count", [1, 7, 4096, 10_007])
@pytest.mark.parametrize("decay", [0.0, 1e-3, 0.25])
def test_adam_step_equals_the_definition(any_isa, dtype, count, decay):
    rng = np.random.default_rng(count)
    start = [array.astype(dtype) for array in (*rng.standard_normal((2, count)), rng.random(count), np.ones(count))]
    numbers = {"step_size": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-3, "decay": decay}
    expected = [array.astype(np.float64) for array in start]
    for _ in range(3):
        reference.adam_step(expected[0], expected[3], *expected[1:3], **numbers)
    for isa in any_isa:
        core.use_isa(isa)
        p, m, v, grad = (array.copy() for array in start)
        for _ in range(3):
            nn.functional.adam_step(p, grad, m, v, **numbers)
        for got, right in zip((p, m, v), expected, strict=False):
            np.testing.assert_allclose(got, right, rtol=0, atol=1e-14 if dtype == np.float64 else 2e-6)


def test_without_decay_a_parameter_changes_by_the_step_alone(any_isa):
    # Whatever decay * p would be: 0 * inf is NaN, and -0.0 less 0.0 keeps its sign.
    for isa in any_isa:
        core.use_isa(isa)
        p, zeros = np.array([np.inf, -np.inf, -0.0, 0.0], np.float32), np.zeros((3, 4), np.float32)
        nn.functional.adam_step(p, *zeros, step_size=1.0, beta1=0.9, beta2=0.99, eps=1.0)
        assert p.tobytes() == np.array([np.inf, -np.inf, -0.0, 0.0], np.float32).tobytes()


def test_adamw_by_hand():
    # The first step of Adam is lr long; the decay takes lr * 0.5 of what was there, whatever the gradient.
    net = OneArray([1.0, -4.0, 3.0])
    got = run(nn.AdamW(net, 0.1, weight_decay=0.5, eps=0), net, [[7.0, -2.0, 1e-3]])
    np.testing.assert_allclose(got, [1 - 0.1 - 0.05, -4 + 0.1 + 0.2, 3 - 0.1 - 0.15], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_adamw_without_decay_is_adam_to_the_bit(rng, dtype):
    start, gradients = rng.standard_normal(5000), rng.standard_normal((4, 5000)).astype(dtype)
    plain, decoupled = OneArray(start, dtype), OneArray(start, dtype)
    expected = run(nn.Adam(plain), plain, gradients)
    np.testing.assert_array_equal(run(nn.AdamW(decoupled, weight_decay=0), decoupled, gradients), expected)


def test_a_decay_that_float32_cannot_take_from_1():
    # Step and decay are a third of the distance from 1 to the next number each: lost alone, felt together.
    p, m, v, grad = np.ones((4, 1), np.float32)
    nn.functional.adam_step(p, grad, m, v, step_size=2e-8, beta1=0.9, beta2=0.99, eps=0.0, decay=2e-8)
    assert p.item() == np.nextafter(np.float32(1), np.float32(0))


def test_the_decay_follows_the_schedule():
    net = OneArray([1.0])
    run(nn.AdamW(net, schedules.Step(0.1, (1,), 0.5), weight_decay=1.0), net, [0.0, 0.0])
    assert net.params["w"].item() == pytest.approx(0.9 * 0.95)


def named_network():
    net = nn.Sequential(nn.Dense(3, 3), nn.BatchNorm(3), nn.Dense(3, 3))
    for array in (*net.params.values(), *net.grads.values()):
        array[...] = 1.0
    return net


OPTIMIZERS = {
    "sgd": lambda net, **options: nn.SGD(net, 0.1, **options),
    "momentum": lambda net, **options: nn.SGD(net, 0.1, momentum=0.9, **options),
    "adam": lambda net, **options: nn.Adam(net, 0.1, **options),
    "adamw": lambda net, **options: nn.AdamW(net, 0.1, **options),
    "muon": lambda net, **options: nn.Muon(net, 0.1, 0.1, **options),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


@each_optimizer
def test_a_group_has_a_learning_rate_of_its_own(make):
    net, plain = named_network(), named_network()
    make(plain, **({"weight_decay": 0} if make is OPTIMIZERS["adamw"] else {})).step()
    groups = {"0_*": {"lr_factor": 0.5}, "*.b": {"lr_factor": 0}, "*": {"weight_decay": 0}}
    if make is OPTIMIZERS["adam"]:
        del groups["*"]
    make(net, groups=groups).step()
    for name, param in net.params.items():
        factor = 0 if name.endswith(".b") else 0.5 if name.startswith("0_") else 1
        np.testing.assert_allclose(1 - param, factor * (1 - plain.params[name]), rtol=1e-5, err_msg=name)


def test_a_group_has_a_weight_decay_of_its_own():
    net = named_network()
    for grad in net.grads.values():
        grad[...] = 0.0
    groups = {"*": {"weight_decay": 1.0}, "*.b": {"weight_decay": 0}, "1_batch_norm.*": {"weight_decay": 0}}
    for optimizer in (
        nn.AdamW(net, 0.5, weight_decay=0.25, groups=groups | {"2_*.w": {"lr_factor": 0.5}}),
        nn.SGD(net, 0.5, weight_decay=0.25, groups=groups | {"2_*.w": {"lr_factor": 0.5}}),
    ):
        for array in net.params.values():
            array[...] = 1.0
        optimizer.step()
        after = {name: param.flat[0].item() for name, param in net.params.items()}
        assert after == {
            "0_dense.w": 0.5, "0_dense.b": 1.0, "1_batch_norm.scale": 1.0, "1_batch_norm.shift": 1.0,
            "2_dense.w": 0.75, "2_dense.b": 1.0,
        }  # fmt: skip


@each_optimizer
def test_a_factor_of_1_changes_no_bit(make, rng):
    nets = named_network(), named_network()
    optimizers = make(nets[0]), make(nets[1], groups={"*": {"lr_factor": 1}})
    for _ in range(3):
        for name, grad in nets[0].grads.items():
            grad[...] = nets[1].grads[name][...] = rng.standard_normal(grad.shape)
        for optimizer in optimizers:
            optimizer.step()
    for name, param in nets[0].params.items():
        np.testing.assert_array_equal(nets[1].params[name], param)


def two_gradients(dtype=np.float64):
    return {"a": np.array([3.0, 0.0], dtype), "b": np.array([[-4.0]], dtype)}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clipping_by_hand(dtype):
    grads = two_gradients(dtype)
    assert clipping.clip_norm(grads, 5.0) == 5.0  # as long as they may be: as they were
    np.testing.assert_array_equal(grads["a"], [3, 0])
    assert clipping.clip_norm(grads, 1.0) == 5.0
    np.testing.assert_allclose(grads["a"], [0.6, 0], rtol=1e-6)
    np.testing.assert_allclose(grads["b"], [[-0.8]], rtol=1e-6)
    assert grads["a"].dtype == dtype
    grads = two_gradients(dtype)
    clipping.clip_value(grads, 3.5)
    np.testing.assert_array_equal(grads["a"], [3, 0])
    np.testing.assert_array_equal(grads["b"], [[-3.5]])


def test_the_norm_of_large_gradients_does_not_overflow():
    grads = {"a": np.full(4, 1e30, np.float32)}
    assert clipping.clip_norm(grads, 1.0) == pytest.approx(2e30)
    np.testing.assert_allclose(grads["a"], 0.5, rtol=1e-6)


@each_optimizer
def test_an_optimizer_clips_before_it_steps(make, rng):
    for option, clip in (({"clip_norm": 0.5}, clipping.clip_norm), ({"clip_value": 0.5}, clipping.clip_value)):
        nets = named_network(), named_network()
        optimizers = make(nets[0], **option), make(nets[1])
        for _ in range(3):
            for name, grad in nets[0].grads.items():
                grad[...] = nets[1].grads[name][...] = rng.standard_normal(grad.shape)
            clip(nets[1].grads, 0.5)
            for optimizer in optimizers:
                optimizer.step()
        for name, param in nets[0].params.items():
            np.testing.assert_array_equal(nets[1].params[name], param)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gradients_that_are_not_finite_are_not_clipped_by_their_norm(value):
    net = OneArray([1.0, 2.0])
    optimizer = nn.SGD(net, 0.1, clip_norm=1.0)
    net.grads["w"][...] = 1.0, value
    with pytest.raises(ValueError, match="grads must be finite to be clipped by their norm"):
        optimizer.step()
    assert optimizer.steps == 0
    np.testing.assert_array_equal(net.params["w"], [1, 2])
    np.testing.assert_array_equal(net.grads["w"], [1, value])


def test_what_is_set_is_shown():
    net = named_network()
    optimizer = nn.AdamW(net, 0.1, clip_norm=2, groups={"*.b": {"weight_decay": 0}})
    assert repr(optimizer) == (
        "AdamW(lr=Constant(lr=0.1), beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0.01, "
        "groups={'*.b': {'weight_decay': 0}}, clip_norm=2.0, steps=0)"
    )


def with_groups(groups, optimizer=nn.AdamW):
    return lambda: optimizer(named_network(), 0.1, groups=groups)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            with_groups({"*.gamma": {"lr_factor": 0}}),
            ValueError,
            r"groups\['\*.gamma'\] matches no parameter; there are 0_dense.w, 0_dense.b, 1_batch_norm.scale",
        ),
        (with_groups({"dense": {"lr_factor": 0}}), ValueError, "matches no parameter"),
        (with_groups({"*": {"lr": 0.1}}), ValueError, "may set lr_factor, weight_decay, got 'lr'"),
        (with_groups({"*": {"weight_decay": 0}}, nn.Adam), ValueError, "may set lr_factor, got 'weight_decay'"),
        (with_groups({"*": {"lr_factor": -1}}), ValueError, r"groups\['\*'\]\['lr_factor'\] must be .* at least 0"),
        (with_groups({"*": {"lr_factor": np.nan}}), ValueError, "must be a finite number"),
        (with_groups({"*": {"lr_factor": "0.1"}}), TypeError, "must be a finite number"),
        (with_groups({"*": 0.1}), TypeError, "to dictionaries of settings, got '\\*': 0.1"),
        (with_groups({0: {"lr_factor": 1}}), TypeError, "groups must map patterns"),
        (with_groups([("*", {"lr_factor": 1})]), TypeError, "groups must be a dictionary"),
        (lambda: nn.SGD(OneArray([0.0]), 1.0, clip_norm=0), ValueError, "clip_norm must be"),
        (lambda: nn.SGD(OneArray([0.0]), 1.0, clip_norm="1"), TypeError, "clip_norm must be"),
        (lambda: nn.Adam(OneArray([0.0]), clip_value=-1), ValueError, "clip_value must be"),
        (lambda: nn.Adam(OneArray([0.0]), clip_value=np.inf), ValueError, "clip_value must be"),
        (lambda: nn.Adam(OneArray([0.0]), clip_value=1, clip_norm=1), ValueError, "choose one"),
        (lambda: nn.AdamW(OneArray([0.0]), weight_decay=-0.1), ValueError, "weight_decay must be"),
        (lambda: clipping.clip_norm(two_gradients(), 0), ValueError, "limit must be"),
        (lambda: clipping.clip_value(two_gradients(), None), TypeError, "limit must be"),
    ],
)
def test_wrong_groups_and_limits_are_refused(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert type(caught.value) is error
    assert len(str(caught.value)) < 400


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


def test_piecewise_linear_at_known_steps():
    schedule = schedules.PiecewiseLinear([(10, 0.1), (20, 0.5), (40, 0.0)])
    assert [schedule(k) for k in (0, 10, 15, 20, 30, 40, 99)] == pytest.approx([0.1, 0.1, 0.3, 0.5, 0.25, 0, 0])
    assert schedules.PiecewiseLinear(((0, 0.25),))(7) == 0.25


def test_warmup_at_known_steps():
    alone = schedules.Warmup(0.4, steps=4)
    assert [alone(k) for k in (0, 1, 2, 3, 4, 5)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4])
    wrapped = schedules.Warmup(schedules.Step(0.4, (10,)), steps=4, start_lr=0.2)
    assert [wrapped(k) for k in (0, 2, 4, 13, 14)] == pytest.approx([0.2, 0.3, 0.4, 0.4, 0.04])
    assert schedules.Warmup(lambda step: 1.0 - step, steps=1)(2) == 0.0


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
        (lambda: schedules.Warmup(0.0, 5), "schedule must be a finite number above 0"),
        (lambda: schedules.Warmup("cosine", 5), "schedule must be a number above 0"),
        (lambda: schedules.Warmup(1.0, 0), "steps must be"),
        (lambda: schedules.Warmup(1.0, 5, start_lr=-1), "start_lr must be"),
        (lambda: schedules.PiecewiseLinear([]), "points must be one or more pairs"),
        (lambda: schedules.PiecewiseLinear([0, 1]), "points must be one or more pairs"),
        (lambda: schedules.PiecewiseLinear({0: 1.0}), "points must be one or more pairs"),
        (lambda: schedules.PiecewiseLinear([(0, 1.0), (0.5, 1.0)]), r"the step of points\[1\] must be"),
        (lambda: schedules.PiecewiseLinear([(0, -1.0)]), r"the lr of points\[0\] must be"),
        (lambda: schedules.PiecewiseLinear([(3, 1.0), (3, 2.0)]), "in the order of their steps"),
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
