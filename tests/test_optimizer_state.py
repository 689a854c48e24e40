"""Saving an optimizer and going on: the same bits as a run that was never interrupted."""

import numpy as np
import pytest

import npcnn as nn

OPTIMIZERS = {
    "adam": lambda net: nn.Adam(net, nn.schedules.Cosine(0.1, 10)),
    "adamw": lambda net: nn.AdamW(
        net,
        nn.schedules.Warmup(0.1, 3),
        groups={"b": {"weight_decay": 0}, "w": {"lr_factor": 0.5}},
        clip_norm=1.0,
    ),
    "sgd": lambda net: nn.SGD(net, 0.1),
    "momentum": lambda net: nn.SGD(net, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "muon": lambda net: nn.Muon(net, nn.schedules.Cosine(0.1, 10), 0.1, normalize=True, weight_decay=0.01),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def steps(net, optimizer, gradients):
    for gradient in gradients:
        for grad in net.grads.values():
            grad[...] = gradient
        optimizer.step()


@each_optimizer
def test_run_goes_on_bit_for_bit_from_files(tmp_path, make):
    gradients = [0.3, -1.2, 0.7, 2.0, -0.1]
    whole = nn.Dense(2, 3, rng=np.random.default_rng(0))
    steps(whole, make(whole), gradients)

    first = nn.Dense(2, 3, rng=np.random.default_rng(0))
    interrupted = make(first)
    steps(first, interrupted, gradients[:2])
    first.save(tmp_path / "net")
    nn.weights.save(interrupted.state(), tmp_path / "optimizer")

    second = nn.Dense(2, 3)
    second.load(tmp_path / "net")
    resumed = make(second)
    state = resumed.state()
    nn.weights.load(state, tmp_path / "optimizer")
    resumed.load_state(state)
    assert resumed.steps == 2
    steps(second, resumed, gradients[2:])
    for name, param in whole.params.items():
        np.testing.assert_array_equal(second.params[name], param)


def test_state_is_a_copy():
    net = nn.Dense(1, 1)
    optimizer = nn.Adam(net)
    before = optimizer.state()
    steps(net, optimizer, [1.0])
    assert before["steps"] == 0
    assert before["m.w"] == 0
    assert optimizer.m["w"] != 0


def test_state_that_does_not_fit_changes_nothing():
    optimizer = nn.Adam(nn.Dense(2, 3))
    other = nn.Dense(2, 4)
    wrong = nn.Adam(other)
    steps(other, wrong, [1.0])
    for state in (wrong.state(), nn.SGD(nn.Dense(2, 3), 0.1, momentum=0.9).state()):
        with pytest.raises(nn.WeightsError, match="does not fit this optimizer"):
            optimizer.load_state(state)
    assert optimizer.steps == 0
    assert not optimizer.m["w"].any()


@each_optimizer
def test_a_negative_number_of_steps_is_refused_and_changes_nothing(make):
    net = nn.Dense(2, 3)
    optimizer = make(net)
    state = {name: array + 1 for name, array in optimizer.state().items()} | {"steps": np.array([-3])}
    before = optimizer.state()
    with pytest.raises(nn.WeightsError, match=r"steps is \[-3\], expected at least 0"):
        optimizer.load_state(state)
    for name, array in optimizer.state().items():
        np.testing.assert_array_equal(array, before[name])


@each_optimizer
def test_repr_names_the_learning_rate_and_the_step(make):
    net = nn.Dense(1, 1)
    optimizer = make(net)
    steps(net, optimizer, [1.0])
    assert repr(optimizer.schedule) in repr(optimizer)
    assert "steps=1)" in repr(optimizer)


def test_learning_rate_may_be_any_real_number():
    assert nn.Adam(nn.Dense(1, 1), lr=np.float32(0.5)).lr == 0.5
