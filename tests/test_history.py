"""What a training showed, kept in memory; when it ends early; and which learning rate to train with."""

import itertools

import numpy as np
import pytest

import npcnn as nn


def result(step, loss=1.0):
    return nn.train.StepResult(step, loss, 0.5, 8, 1.0, 2.0, 16.0)


def evaluations(losses, **options):
    """Return an EarlyStopping that was told these losses, one a step."""
    stopping = nn.train.EarlyStopping(**options)
    for step, loss in enumerate(losses, 1):
        stopping.evaluation(step=step, seconds=0.0, loss=loss, accuracy=0.5)
    return stopping


@pytest.mark.parametrize(
    ("losses", "options", "is_over", "best"),
    [
        ([3, 2, 1], {"patience": 1}, False, 3),
        ([3, 2, 2.5], {"patience": 1}, True, 2),
        ([3, 2, 2], {"patience": 1}, True, 2),  # no better is not better
        ([3, 2, 2.5, 2.4], {"patience": 3}, False, 2),
        ([3, 2, 2.5, 1, 2, 2], {"patience": 3}, False, 4),  # a better one begins the count again
        ([3, 2.95, 2.91], {"patience": 2, "least": 0.1}, True, 1),
        ([3, float("nan")], {"patience": 1}, True, 1),
    ],
)
def test_early_stopping(losses, options, is_over, best):
    stopping = evaluations(losses, **options)
    assert (stopping.is_over, stopping.best_step) == (is_over, best)
    if is_over:
        with pytest.raises(nn.train.StopTraining):
            stopping(result(7))
    else:
        stopping(result(7))


def test_the_best_parameters_and_state_come_back():
    net = nn.BatchNorm(2)
    with nn.train.EarlyStopping(patience=5, net=net) as stopping:
        for step, loss in enumerate([2.0, 1.0, 3.0], 1):
            for name, array in net.arrays.items():
                array[...] = step + len(name)
            stopping.evaluation(step=step, seconds=0.0, loss=loss, accuracy=0.5)
    for name, array in net.arrays.items():
        np.testing.assert_array_equal(array, 2 + len(name))
    with nn.train.EarlyStopping(patience=5, net=net):
        pass  # no evaluation: nothing to give back
    np.testing.assert_array_equal(net.arrays["scale"], 2 + len("scale"))


def test_a_history_is_drawn_as_its_file_is(tmp_path):
    pytest.importorskip("matplotlib")
    history = nn.train.History()
    with nn.train.MetricsCSV(tmp_path / "metrics.csv") as metrics:
        for log in (history, metrics):
            for step in range(1, 11):
                log(result(step, loss=1 / step))
            log.evaluation(step=10, seconds=2.0, loss=0.5, accuracy=0.75)
    drawn = [ax.get_lines() for ax in (history.plot(), nn.plot.training_curve(tmp_path / "metrics.csv"))]
    for one, other in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
    with pytest.raises(ValueError, match="at least one step, got none"):
        nn.train.History().plot()


def quadratic():
    """Return network, batches and loss of w^2 from w = 1: a step of SGD multiplies w by 1 - 2 lr."""
    net = nn.Dense(1, 1, bias=False, dtype=np.float64, weight_init=nn.initializers.constant(1.0))
    batches = itertools.repeat((np.ones((1, 1)), np.zeros((1, 1))))
    return net, batches, nn.functional.mean_squared_error


def test_the_losses_of_find_lr_by_hand():
    net, batches, loss = quadratic()
    found = nn.train.find_lr(net, batches, nn.SGD(net, 1.0), lowest=0.01, highest=0.04, steps=3, loss=loss)
    np.testing.assert_allclose(found.lrs, [0.01, 0.02, 0.04])
    losses = [1.0, 0.98**2, (0.98 * 0.96) ** 2]
    weights = [np.array([0.9**2, 0.9, 1])[-n:] for n in (1, 2, 3)]
    np.testing.assert_allclose(found.losses, [np.average(losses[:n], weights=w) for n, w in enumerate(weights, 1)])
    assert found.suggestion == found.lrs[2] / 10


def test_find_lr_ends_where_the_loss_is_lost():
    net, batches, loss = quadratic()
    found = nn.train.find_lr(net, batches, nn.SGD(net, 1.0), lowest=1e-3, highest=1e6, steps=200, loss=loss)
    assert len(found.lrs) < 200
    assert 0.01 < found.suggestion < 1  # from a learning rate of 1 on, w grows
    assert found.losses.max() > 4 * found.losses.min()


def test_find_lr_leaves_network_and_optimizer_as_they_are(rng):
    net = nn.Sequential(
        nn.Flatten(), nn.Dense(4, 8), nn.BatchNorm(8), nn.Dropout(0.5, rng=np.random.default_rng(0)), nn.Dense(8, 2)
    )
    optimizer = nn.Adam(net, nn.schedules.Cosine(0.1, steps=100))
    x, labels = rng.standard_normal((8, 2, 2, 1)).astype(np.float32), rng.integers(0, 2, 8)
    nn.train.fit(net, itertools.repeat((x, labels)), optimizer, steps=3)
    before = {name: array.copy() for name, array in (net.arrays | optimizer.state()).items()}
    states, schedule = nn.train.generator_states(net), optimizer.schedule
    nn.train.find_lr(net, itertools.repeat((x, labels)), optimizer, steps=20)
    assert nn.train.generator_states(net) == states
    assert optimizer.schedule is schedule
    for name, array in (net.arrays | optimizer.state()).items():
        np.testing.assert_array_equal(array, before[name])


def test_find_lr_is_drawn():
    pytest.importorskip("matplotlib")
    ax = nn.train.LearningRates(np.array([0.1, 1.0]), np.array([2.0, 1.0])).plot()
    assert ax.get_xscale() == "log"
    np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), [[0.1, 2], [1, 1]])
    with pytest.raises(nn.ShapeError, match="lrs and losses must have one shape"):
        nn.plot.learning_rates([1.0], [1.0, 2.0], 1.0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lowest": 0}, ValueError, "lowest must be"),
        ({"lowest": 2, "highest": 1}, ValueError, "highest must be above lowest"),
        ({"steps": 1}, ValueError, "steps must be"),
        ({"batches": iter(())}, ValueError, "no step could be done"),
    ],
)
def test_what_find_lr_refuses(options, error, message):
    net, batches, loss = quadratic()
    arguments = {"batches": batches, "loss": loss} | options
    with pytest.raises(error, match=message):
        nn.train.find_lr(net, optimizer=nn.SGD(net, 1.0), **arguments)


@pytest.mark.parametrize("options", [{"patience": 0}, {"patience": 1.5}, {"least": -1}])
def test_what_early_stopping_refuses(options):
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        nn.train.EarlyStopping(**options)
