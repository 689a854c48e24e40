"""The losses that a training can have: what it minimizes, the accuracy it tells, and where it tells none."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import Dataset
from npcnn.functional import mean_squared_error, softmax_cross_entropy
from npcnn.train import Evaluation, MetricsCSV, MetricsJSONL, NonFiniteError, Progress, Run, evaluate, fit, read_metrics

SMOOTHED = partial(softmax_cross_entropy, label_smoothing=0.2)


def classifier(classes=3):
    return nn.Sequential(nn.Flatten(), nn.Dense(4, classes, rng=np.random.default_rng(0)))


def problem(rng, count=30):
    x = rng.standard_normal((count, 2, 2, 1)).astype(np.float32)
    return x, x.reshape(count, 4)[:, :3].argmax(axis=1)


def soft(labels, classes=3):
    """Return rows whose likeliest class is the label."""
    return (0.6 * np.eye(classes)[labels] + 0.4 / classes).astype(np.float32)


def steps_of(net, batch, loss, count=1, **options):
    results = []
    fit(net, iter([batch] * count), nn.SGD(net, 0.5), steps=count, loss=loss, callbacks=[results.append], **options)
    return results


@pytest.mark.parametrize(
    ("loss", "targets"),
    [(softmax_cross_entropy, lambda y: y), (SMOOTHED, lambda y: y), (softmax_cross_entropy, soft), (SMOOTHED, soft)],
    ids=["plain", "smoothed", "soft", "soft and smoothed"],
)
def test_a_step_is_along_the_gradient_of_the_loss(rng, loss, targets):
    x, labels = problem(rng)
    net, twin = classifier(), classifier()
    logits = twin(x)
    value, dlogits = loss(logits, targets(labels))
    (result,) = steps_of(net, (x, targets(labels)), loss)
    assert result.loss == value
    assert result.accuracy == (logits.argmax(axis=1) == labels).mean()
    expected = twin.params["1_dense.w"] - 0.5 * x.reshape(-1, 4).T @ dlogits
    np.testing.assert_allclose(net.params["1_dense.w"], expected, atol=1e-6)
    assert evaluate(twin, [(x, targets(labels))], loss=loss) == (value, result.accuracy)


def test_the_loss_in_a_partial_of_a_partial_is_found(rng):
    x, labels = problem(rng)
    loss = partial(SMOOTHED, class_weights=np.ones(3, np.float32))
    (result,) = steps_of(classifier(), (x, soft(labels)), loss)
    assert result.accuracy == (classifier()(x).argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("outputs", [1, 3])
def test_mean_squared_error_learns_and_tells_no_accuracy(rng, outputs):
    x, _ = problem(rng)
    # One-hot rows among them: that they could be classes does not make them classes.
    targets = (x.reshape(-1, 4) @ rng.standard_normal((4, outputs))).astype(np.float32)
    targets[:3] = np.eye(3, outputs)
    net = classifier(outputs)
    results = steps_of(net, (x, targets), mean_squared_error, 50)
    assert results[-1].loss < 0.5 * results[0].loss
    assert all(math.isnan(result.accuracy) for result in results)
    loss, accuracy = evaluate(net, [(x[:7], targets[:7]), (x[7:], targets[7:])], loss=mean_squared_error)
    assert loss == pytest.approx(((net(x) - targets) ** 2).mean(), rel=1e-6)
    assert math.isnan(accuracy)


def test_pictures_as_targets(rng):
    x, _ = problem(rng)
    net = nn.Sequential(nn.Conv2D(1, 1, 3, rng=np.random.default_rng(0)))
    results = steps_of(net, (x, x), mean_squared_error, 30)
    assert results[-1].loss < 0.1 * results[0].loss
    assert math.isnan(results[0].accuracy)


def logistic(outputs, labels):
    """A loss of one's own: the logistic loss of one output for two classes."""
    z = outputs[:, 0] * (2 * labels - 1)
    gradient = -(2 * labels - 1) / (1 + np.exp(z)) / len(z)
    return np.log1p(np.exp(-z)).mean(), gradient[:, None].astype(outputs.dtype)


def hinge(outputs, labels):
    """A loss of one's own: how much the right class falls short of leading each other one by 1."""
    rows = np.arange(len(labels))
    short = np.maximum(outputs - outputs[rows, labels][:, None] + 1, 0)
    short[rows, labels] = 0
    gradient = (short > 0).astype(outputs.dtype)
    gradient[rows, labels] = -gradient.sum(axis=1)
    return short.sum() / len(labels), gradient / len(labels)


def test_a_loss_of_ones_own(rng):
    x, labels = problem(rng)
    net = classifier()
    results = steps_of(net, (x, labels), hinge, 50)
    assert results[-1].loss < results[0].loss
    assert results[-1].accuracy > 0.9
    assert isinstance(results[0].loss, float)
    # The first of one column is always the largest: no accuracy, rather than the share of class 0.
    results = steps_of(classifier(1), (x, labels % 2), logistic, 50)
    assert results[-1].loss < results[0].loss
    assert all(math.isnan(result.accuracy) for result in results)


def test_where_a_loss_became_infinite_is_told(rng):
    x, labels = problem(rng)
    with np.errstate(all="ignore"):
        with pytest.raises(NonFiniteError, match=r"the loss is inf.* is in the loss"):
            steps_of(classifier(), (x, labels), lambda z, _: (np.inf, np.zeros_like(z)))
        with pytest.raises(NonFiniteError, match=r"a gradient is not finite.* is in the gradient of 1_dense\.w"):
            steps_of(classifier(), (x, labels), lambda z, _: (1.0, np.full_like(z, np.nan)))


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ("mse", TypeError, "loss must be a function"),
        (None, TypeError, "loss must be a function"),
        (lambda z, y: 1.0, TypeError, "loss must return two things.* got 1.0"),
        (lambda z, y: (1.0, None), TypeError, "loss must return two things"),
        (lambda z, y: (1.0, z.T), nn.ShapeError, r"the gradient that loss returns must have shape \(30, 3\)"),
        (mean_squared_error, nn.DTypeError, "targets must be float32 or float64, got int64"),
    ],
)
def test_what_is_no_loss_is_refused(rng, loss, error, message):
    batch, net = problem(rng), classifier()
    before = net.params["1_dense.w"].copy()
    with pytest.raises(error, match=message):
        steps_of(net, batch, loss)
    with pytest.raises(error, match=message):
        evaluate(net, [batch], loss=loss)
    np.testing.assert_array_equal(net.params["1_dense.w"], before)


def test_logs_leave_out_an_accuracy_that_there_is_not(rng, tmp_path, capsys):
    x, _ = problem(rng)
    targets = x.reshape(-1, 4)[:, :3]
    net = classifier()

    def train(steps, start=0):
        resume_after = start if start else None
        with (
            MetricsCSV(tmp_path / "m.csv", resume_after=resume_after) as table,
            MetricsJSONL(tmp_path / "m.jsonl", resume_after=resume_after) as lines,
            Progress(steps, every=2) as progress,
        ):
            logs = [table, lines, progress]
            evaluation = Evaluation(net, lambda: [(x, targets)], every=2, logs=logs, loss=mean_squared_error)
            steps_of_net = iter([(x, targets)] * steps)
            fit(
                net, steps_of_net, nn.SGD(net, 0.1), steps=steps, start=start, loss=mean_squared_error,
                callbacks=[*logs, evaluation],
            )  # fmt: skip
            evaluation.evaluate(steps, 1.0)

    train(2)
    train(4, start=2)  # which goes on with both files
    steps, evaluations = read_metrics(tmp_path / "m.csv")
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert [row["step"] for row in evaluations] == [2, 4]
    assert all(math.isnan(row["accuracy"]) for row in steps)
    content = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert [line["step"] for line in content] == [1, 2, 2, 3, 4, 4]
    assert not any("accuracy" in name for line in content for name in line)
    printed = [
        line.split("loss")[0].split() for line in capsys.readouterr().out.splitlines() if line.startswith("step")
    ]
    expected = [["step", step, where] for step in "24" for where in ("training", "test")]
    assert printed == expected

    plot = pytest.importorskip("matplotlib") and nn.plot
    ax = plot.training_curve(tmp_path / "m.csv", smooth=1)
    assert ax.get_ylabel() == "loss"
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [row["loss"] for row in steps])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [row["test_loss"] for row in evaluations])


@pytest.fixture
def data(rng):
    images, labels = rng.integers(0, 256, (24, 4, 4, 1), dtype=np.uint8), np.arange(24) % 3
    return Dataset("noise", Path(), images[:16], labels[:16], images[16:], labels[16:], ("a", "b", "c"))


def test_a_run_with_a_loss_that_knows_no_classes(rng, data, tmp_path, capsys):
    x, _ = problem(rng)
    net = nn.Sequential(nn.Conv2D(1, 1, 3, rng=np.random.default_rng(0)))
    with Run(tmp_path, net, nn.SGD(net, 0.1), data) as run:
        result = run.fit(iter([(x, x)] * 4), lambda: [(x, x)], steps=4, loss=mean_squared_error)
    assert result["test_accuracy"] is result["training_accuracy"] is None
    assert json.loads((tmp_path / "result.json").read_text()) == result
    loss, _ = evaluate(net, [(x, x)], loss=mean_squared_error)
    assert f"test loss {loss:.4f} (all 8 pictures) on noise" in capsys.readouterr().out


def test_a_run_with_an_average_saves_and_evaluates_the_averages(rng, data, tmp_path):
    x, labels = problem(rng)

    def train(folder, steps, resume=False):
        net = classifier()
        average = nn.train.ExponentialMovingAverage(net, decay=0.8)
        with Run(folder, net, nn.Adam(net, 0.1), data, average=average, resume=resume, checkpoint_every=2) as run:
            batches = iter([(x, labels)] * (steps - run.step))
            result = run.fit(batches, lambda: [(x, labels)], steps=steps, loss=SMOOTHED, evaluate_every=2)
        return net, average, result

    net, average, result = train(tmp_path / "whole", 6)
    assert average.updates == 6
    saved = classifier()
    saved.load(tmp_path / "whole" / "weights.safetensors")
    for name, mean in average.mean.items():
        np.testing.assert_array_equal(saved.params[name], mean)
        assert (net.params[name] != mean).any()
    loss, accuracy = evaluate(saved, [(x, labels)], loss=SMOOTHED)
    assert result["test_accuracy"] == accuracy
    assert read_metrics(tmp_path / "whole" / "metrics.csv")[1][-1]["test_loss"] == loss

    train(tmp_path / "parts", 3)
    resumed, again, _ = train(tmp_path / "parts", 6, resume=True)
    for name, mean in average.mean.items():
        np.testing.assert_array_equal(again.mean[name], mean)
        np.testing.assert_array_equal(resumed.params[name], net.params[name])
