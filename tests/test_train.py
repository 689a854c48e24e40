"""The training loop and its callbacks."""

import numpy as np
import pytest

import npcnn as nn
from npcnn.train import MetricsCSV, NonFiniteLossError, StopTraining, evaluate, fit


def small_problem(rng, count=64):
    """Return pictures whose class is whether the left half is brighter than the right."""
    x = rng.standard_normal((count, 4, 4, 1)).astype(np.float32)
    labels = (x[:, :, :2].mean((1, 2, 3)) > x[:, :, 2:].mean((1, 2, 3))).astype(np.int64)
    return x, labels


def small_net(rng):
    return nn.Sequential(nn.Flatten(), nn.Dense(16, 2, rng=rng))


def test_fit_learns(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    accuracies = []
    done = fit(
        net, iter([(x, labels)] * 200), nn.Adam(net, 0.05), steps=200,
        callbacks=[lambda result: accuracies.append(result.accuracy)],
    )  # fmt: skip
    assert done == len(accuracies) == 200
    assert accuracies[-1] == 1.0
    assert evaluate(net, [(x[:10], labels[:10]), (x[10:], labels[10:])])[1] == 1.0


def test_one_step_is_forward_loss_backward_update(rng):
    x, labels = small_problem(rng)
    net, twin = small_net(np.random.default_rng(0)), small_net(np.random.default_rng(0))
    results = []
    fit(net, iter([(x, labels)]), nn.SGD(net, 0.1), steps=1, callbacks=[results.append])
    logits = x.reshape(64, 16) @ twin.params["1_dense.w"] + twin.params["1_dense.b"]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    dlogits = (p - np.eye(2)[labels]) / 64
    np.testing.assert_allclose(
        net.params["1_dense.w"],
        twin.params["1_dense.w"] - 0.1 * x.reshape(64, 16).T @ dlogits,
        atol=1e-6,
    )
    assert results[0].step == 1
    assert results[0].images == 64
    assert results[0].loss == pytest.approx(-np.log(p[np.arange(64), labels]).mean(), abs=1e-5)
    assert results[0].accuracy == (logits.argmax(1) == labels).mean()


def test_fit_ends_with_its_batches_and_when_a_callback_says_so(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    assert fit(net, iter([(x, labels)] * 3), nn.SGD(net, 0.1), steps=9) == 3

    def stop_at_two(result):
        if result.step == 2:
            raise StopTraining

    done = fit(net, iter([(x, labels)] * 9), nn.SGD(net, 0.1), steps=9, callbacks=[stop_at_two])
    assert done == 2


def test_non_finite_loss_stops_before_the_weights_change(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    before = {name: p.copy() for name, p in net.params.items()}
    bad = x.copy()
    bad[3, 0, 0, 0] = np.nan
    with pytest.raises(NonFiniteLossError, match="step 1"):
        fit(net, iter([(bad, labels)]), nn.SGD(net, 0.1), steps=1)
    for name, p in net.params.items():
        np.testing.assert_array_equal(p, before[name])


def test_evaluate_weights_by_pictures(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    whole = evaluate(net, [(x, labels)])
    assert evaluate(net, [(x[:5], labels[:5]), (x[5:], labels[5:])]) == pytest.approx(whole)
    with pytest.raises(ValueError, match="at least one picture"):
        evaluate(net, [])


def test_metrics_file_never_overwrites(tmp_path):
    with MetricsCSV(tmp_path / "m.csv") as metrics:
        metrics.evaluation(step=3, seconds=1.0, loss=0.5, accuracy=0.75)
        # On disk while the file is still open: a killed run keeps what it wrote.
        assert (tmp_path / "m.csv").read_text().splitlines()[1] == "3,1.000,,,0.500000,0.750000"
    with pytest.raises(FileExistsError):
        MetricsCSV(tmp_path / "m.csv")


def test_training_curve_draws_the_means(tmp_path):
    pytest.importorskip("matplotlib")
    with MetricsCSV(tmp_path / "m.csv") as metrics:
        for step, accuracy in enumerate((0.0, 0.5) * 5, 1):
            metrics(nn.train.StepResult(step, 1.0, accuracy, 8, step))
        metrics.evaluation(step=10, seconds=3, loss=1.0, accuracy=0.25)
    ax = nn.plot.training_curve(tmp_path / "m.csv", smooth=2)
    training, test = ax.lines
    np.testing.assert_allclose(training.get_xydata(), [[step, 0.25] for step in range(2, 11)])
    np.testing.assert_allclose(test.get_xydata(), [[10, 0.25]])
