"""The training loop and its callbacks."""

import numpy as np
import pytest

import npcnn as nn
from npcnn.train import MetricsCSV, NonFiniteError, StopTraining, evaluate, fit


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
    with pytest.raises(NonFiniteError, match="step 1"):
        fit(net, iter([(bad, labels)]), nn.SGD(net, 0.1), steps=1)
    for name, p in net.params.items():
        np.testing.assert_array_equal(p, before[name])


class WithoutParameters:
    """Has what `fit` calls in a step, but no `params`."""

    grads = {}  # noqa: RUF012

    def forward(self, x, training=False):
        return np.full((len(x), 2), np.nan, np.float32)

    def backward(self, dy, *, need_dx=True):
        return None


class NoOptimizer:
    """Changes nothing."""

    def step(self):
        pass


def test_a_network_without_params_is_refused_at_once(rng):
    with pytest.raises(TypeError, match="net must be a network; WithoutParameters has no params"):
        fit(WithoutParameters(), iter([small_problem(rng)]), NoOptimizer(), steps=1)


def test_a_network_of_ones_own_with_a_nan_loss_is_a_non_finite_error(rng):
    net = WithoutParameters()
    net.params = {}
    with pytest.raises(NonFiniteError, match="the output of WithoutParameters"):
        fit(net, iter([small_problem(rng)]), NoOptimizer(), steps=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_the_batch_is_not_blamed_on_the_learning_rate(rng, value):
    x, labels = small_problem(rng)
    x[3, 0, 0, 0] = value
    net = small_net(rng)
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteError, match="the pictures of the batch; correct the data") as caught,
    ):
        fit(net, iter([(x, labels)]), nn.SGD(net, 0.1), steps=1)
    assert "learning rate" not in str(caught.value)


@pytest.mark.parametrize("count", [2, 64])
def test_one_batch_for_all_batches_is_refused_with_advice(rng, count):
    x, labels = small_problem(rng, count)
    net = small_net(rng)
    with pytest.raises(TypeError, match=r"an iterator of \(x, labels\), got tuple.*itertools.repeat"):
        fit(net, (x, labels), nn.SGD(net, 0.1), steps=1)
    with pytest.raises(TypeError, match=r"an iterator of \(x, labels\), got list.*iter\(batches\)"):
        fit(net, [(x, labels)], nn.SGD(net, 0.1), steps=1)
    with pytest.raises(TypeError, match=r"each of batches must be a pair \(x, labels\), got ndarray"):
        fit(net, iter((x, labels)), nn.SGD(net, 0.1), steps=1)
    with pytest.raises(
        TypeError, match=r"each of batches must be a pair \(x, labels\), got ndarray.*\[\(x, labels\)\]"
    ):
        evaluate(net, (x, labels))


def test_an_optimizer_of_another_network_is_refused_one_of_a_part_is_not(rng):
    x, labels = small_problem(rng)
    net, other = small_net(rng), small_net(rng)
    with pytest.raises(ValueError, match=r"made for another network.*SGD\(net\)"):
        fit(net, iter([(x, labels)]), nn.SGD(other, 0.1), steps=1)
    before = net.params["1_dense.w"].copy()
    fit(net, iter([(x, labels)]), nn.SGD(net.children["1_dense"], 0.1), steps=1)
    assert (net.params["1_dense.w"] != before).any()


def test_one_hot_integers_are_told_of_argmax(rng):
    x, labels = small_problem(rng)
    with pytest.raises(nn.ShapeError, match=r"got \(64, 2\); convert one-hot rows with labels.argmax\(axis=1\)"):
        evaluate(small_net(rng), [(x, np.eye(2, dtype=np.int64)[labels])])
    with pytest.raises(nn.ShapeError, match=r"got \(64, 1\)$"):
        evaluate(small_net(rng), [(x, labels[:, None])])


def test_gradient_norm_and_throughput_are_told(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    results = []
    fit(net, iter([(x, labels)] * 2), nn.SGD(net, 1e-9), steps=2, callbacks=[results.append])
    expected = np.sqrt(sum((grad.astype(np.float64) ** 2).sum() for grad in net.grads.values()))
    assert results[1].gradient_norm == pytest.approx(expected, rel=1e-6)
    assert results[1].images_per_second == pytest.approx(64 / (results[1].seconds - results[0].seconds), rel=1e-6)


def test_the_length_of_large_gradients_does_not_overflow(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    results = []
    fit(net, iter([(x * 1e25, labels)]), nn.SGD(net, 1e-9), steps=1, callbacks=[results.append])
    assert 1e22 < results[0].gradient_norm < 1e26


def blows_up(layer):
    """Return what makes the named layer of `deep_net` give NaN or infinity from finite numbers."""
    return {
        "0_conv2d": ("the output of 0_conv2d, Conv2D(1, 4, 3, activation='relu')", "0_conv2d.w", 3e38),
        "2_sequential.0_conv2d": ("the output of 2_sequential.0_conv2d", "2_sequential.0_conv2d.b", np.float32(3.4e38)),
        "4_dense": ("the parameter 4_dense.w", "4_dense.w", np.nan),
    }[layer]


def deep_net(rng):
    return nn.Sequential(
        nn.Conv2D(1, 4, 3, activation="relu", rng=rng),
        nn.MaxPool2D(2),
        nn.Sequential(nn.Conv2D(4, 4, 3, weight_init=nn.initializers.constant(1e38), rng=rng)),
        nn.Flatten(),
        nn.Dense(16, 2, rng=rng),
    )


@pytest.mark.parametrize("layer", ["0_conv2d", "2_sequential.0_conv2d", "4_dense"])
def test_the_layer_where_it_began_is_named_and_the_batch_saved(rng, tmp_path, layer):
    x, labels = small_problem(rng)
    net = deep_net(rng)
    if layer != "2_sequential.0_conv2d":
        net.params["2_sequential.0_conv2d.w"][...] = 0.1
    words, parameter, value = blows_up(layer)
    net.params[parameter][...] = value
    before = {name: p.copy() for name, p in net.params.items()}
    path = tmp_path / "batch.safetensors"
    with pytest.raises(NonFiniteError, match="step 1") as caught:
        fit(net, iter([(x * 1e3, labels)]), nn.SGD(net, 0.1), steps=1, save_batch=path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    saved = {"x": np.zeros_like(x), "labels": np.zeros_like(labels)}
    nn.weights.load(saved, path)
    np.testing.assert_array_equal(saved["x"], x * 1e3)
    np.testing.assert_array_equal(saved["labels"], labels)
    for name, p in net.params.items():
        np.testing.assert_array_equal(p, before[name])


class InfiniteBackward(nn.ReLU):
    """A layer that is right forward and wrong backward."""

    def backward(self, dy, *, need_dx=True):
        return super().backward(dy) + np.float32(np.inf)


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(rng):
    x, labels = small_problem(rng)
    net = nn.Sequential(nn.Flatten(), nn.Dense(16, 16, rng=rng), InfiniteBackward(), nn.Dense(16, 2, rng=rng))
    before = net.params["1_dense.w"].copy()
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteError, match="gradient with respect to the input of 2_infinite_backward"),
    ):
        fit(net, iter([(x, labels)]), nn.SGD(net, 0.1), steps=1)
    np.testing.assert_array_equal(net.params["1_dense.w"], before)


def test_diagnosis_draws_the_same_dropout_masks(rng):
    x, labels = small_problem(rng)
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5, rng=np.random.default_rng(3)), nn.Dense(16, 2, rng=rng))
    net.params["2_dense.w"][...] = 1.0
    x[0, 0, 0, 0] = np.finfo(np.float32).max
    x[0, 0, 1, 0] = np.finfo(np.float32).max
    masks = np.random.default_rng(3).random((64, 16), dtype=np.float32) >= 0.5
    assert masks[0, :2].any()  # so that twice the largest number comes out
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="the output of 1_dropout"):
        fit(net, iter([(x, labels)]), nn.SGD(net, 0.1), steps=1)


def test_all_callbacks_see_the_last_step(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    seen = []

    def stop(result):
        raise StopTraining

    assert fit(net, iter([(x, labels)] * 3), nn.SGD(net, 0.1), steps=3, callbacks=[stop, seen.append]) == 1
    assert [result.step for result in seen] == [1]


def test_fit_goes_on_where_it_is_told(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    seen = []
    options = {"steps": 7, "start": 5, "seconds": 100.0, "callbacks": [seen.append]}
    assert fit(net, iter([(x, labels)] * 9), nn.SGD(net, 0.1), **options) == 7
    assert [result.step for result in seen] == [6, 7]
    assert seen[0].seconds > 100
    assert fit(net, iter([]), nn.SGD(net, 0.1), steps=3, start=5) == 5


def test_evaluate_weights_by_pictures(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    whole = evaluate(net, [(x, labels)])
    assert evaluate(net, [(x[:5], labels[:5]), (x[5:], labels[5:])]) == pytest.approx(whole)
    with pytest.raises(ValueError, match="at least one picture"):
        evaluate(net, [])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_evaluate_skips_an_empty_batch(rng, place):
    x, labels = small_problem(rng)
    net = small_net(rng)
    batches = [(x[:5], labels[:5]), (x[5:], labels[5:])]
    expected = evaluate(net, batches)
    batches.insert(place, (x[:0], labels[:0]))
    assert evaluate(net, batches) == expected
    with pytest.raises(ValueError, match="at least one picture"):
        evaluate(net, [(x[:0], labels[:0])])


def test_an_empty_batch_is_not_trained_on(rng):
    x, labels = small_problem(rng)
    net = small_net(rng)
    optimizer = nn.SGD(net, 0.1)
    with pytest.raises(ValueError, match="the batch of step 2 must hold at least one picture"):
        fit(net, iter([(x, labels), (x[:0], labels[:0])]), optimizer, steps=2)
    assert optimizer.steps == 1


def test_metrics_file_never_overwrites(tmp_path):
    with MetricsCSV(tmp_path / "m.csv") as metrics:
        metrics.evaluation(step=3, seconds=1.0, loss=0.5, accuracy=0.75)
        # On disk while the file is still open: a killed run keeps what it wrote.
        assert (tmp_path / "m.csv").read_text().splitlines()[1] == "3,1.000,,,,,0.5,0.75"
    with pytest.raises(FileExistsError):
        MetricsCSV(tmp_path / "m.csv")


def test_training_curve_draws_the_means(tmp_path):
    pytest.importorskip("matplotlib")
    with MetricsCSV(tmp_path / "m.csv") as metrics:
        for step, accuracy in enumerate((0.0, 0.5) * 5, 1):
            metrics(nn.train.StepResult(step, 1.0, accuracy, 8, step, 1.0, 8.0))
        metrics.evaluation(step=10, seconds=3, loss=1.0, accuracy=0.25)
    ax = nn.plot.training_curve(tmp_path / "m.csv", smooth=2)
    training, test = ax.lines
    np.testing.assert_allclose(training.get_xydata(), [[1, 0.0], *([step, 0.25] for step in range(2, 11))])
    np.testing.assert_allclose(test.get_xydata(), [[10, 0.25]])
