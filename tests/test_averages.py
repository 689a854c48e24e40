"""The moving average of the weights: by hand, in and out of the network, beside PyTorch's, and what it refuses."""

import numpy as np
import pytest

import npcnn as nn
from npcnn.train import Checkpoints, Evaluation, ExponentialMovingAverage, StepResult, fit


def result(step):
    return StepResult(step, 1.0, 0.5, 8, 0.5 * step, 1.0, 16.0)


def network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Flatten(), nn.Dense(4, 3, rng=rng), nn.BatchNorm(3), nn.ReLU(), nn.Dense(3, 2, rng=rng))


def problem(rng):
    x = rng.standard_normal((32, 2, 2, 1)).astype(np.float32)
    return x, (x[:, 0, 0, 0] > 0).astype(np.int64)


def copied(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def assert_same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_hand(dtype):
    net = nn.Dense(1, 1, bias=False, dtype=dtype)
    average = ExponentialMovingAverage(net, decay=0.75)
    values = [3.0, 7.0, -1.0]
    means = [3.0, 0.75 * 3 + 0.25 * 7, 0.75 * 4 - 0.25]
    for value, mean in zip(values, means, strict=True):
        net.params["w"][...] = value
        average.update()
        assert average.mean["w"].item() == mean
    assert average.mean["w"].dtype == dtype
    assert net.params["w"].item() == -1
    assert average.updates == 3


def test_a_decay_that_float32_takes_for_one():
    net = nn.Dense(1, 1, bias=False)
    average = ExponentialMovingAverage(net, decay=1 - 1e-9)
    for value in (0.0, 1.0):
        net.params["w"][...] = value
        average.update()
    assert average.mean["w"].item() == pytest.approx(1e-9, rel=1e-6)


def test_state_is_averaged_too(rng):
    net = network()
    average = ExponentialMovingAverage(net, decay=0.5)
    x, labels = problem(rng)
    seen = []
    fit(
        net, iter([(x, labels)] * 2), nn.SGD(net, 0.1), steps=2,
        callbacks=[average, lambda _result: seen.append(copied(net.arrays))],
    )  # fmt: skip
    assert average.mean.keys() == net.arrays.keys()
    assert "2_batch_norm.variance" in average.mean
    for name, mean in average.mean.items():
        np.testing.assert_allclose(mean, (seen[0][name] + seen[1][name]) / 2, rtol=1e-5, atol=1e-7)


def test_the_averages_come_in_and_go_out_again(rng):
    net = network()
    average = ExponentialMovingAverage(net, decay=0.9)
    x, labels = problem(rng)
    fit(net, iter([(x, labels)] * 5), nn.Adam(net, 0.1), steps=5, callbacks=[average])
    before, means = copied(net.arrays), copied(average.mean)
    with average.applied():
        assert_same(net.arrays, means)
        with pytest.raises(RuntimeError, match="cannot be applied again while"), average.applied():
            pass
        with pytest.raises(RuntimeError, match="cannot be taken in while"):
            average.update()
        assert_same(net.arrays, means)
    assert_same(net.arrays, before)
    with pytest.raises(ZeroDivisionError), average.applied():
        raise ZeroDivisionError
    assert_same(net.arrays, before)
    assert_same(average.mean, means)


def test_watching_changes_no_bit_of_the_training(rng):
    x, labels = problem(rng)
    nets = network(), network()
    for net, watched in zip(nets, (False, True), strict=True):
        average = ExponentialMovingAverage(net, decay=0.5)
        evaluation = Evaluation(net, lambda: [(x, labels)], every=2, average=average)
        callbacks = [average, evaluation] if watched else []
        fit(net, iter([(x, labels)] * 6), nn.Adam(net, 0.1), steps=6, callbacks=callbacks)
    assert_same(nets[0].arrays, nets[1].arrays)


def test_an_evaluation_is_of_the_averages(rng):
    x, labels = problem(rng)
    net = network()
    average = ExponentialMovingAverage(net, decay=0.9)
    fit(net, iter([(x, labels)] * 6), nn.Adam(net, 0.1), steps=6, callbacks=[average])
    plain = Evaluation(net, lambda: [(x, labels)]).evaluate(6, 1.0)
    averaged = Evaluation(net, lambda: [(x, labels)], average=average).evaluate(6, 1.0)
    other = network(seed=5)
    for name, array in other.arrays.items():
        array[...] = average.mean[name]
    assert averaged == nn.train.evaluate(other, [(x, labels)])
    assert plain == nn.train.evaluate(net, [(x, labels)]) != averaged


def test_the_state_goes_on_to_the_bit(rng):
    values = rng.standard_normal((6, 1, 1)).astype(np.float32)

    def follow(average, values):
        for value in values:
            average.net.params["w"][...] = value
            average.update()
        return average

    def fresh():
        return ExponentialMovingAverage(nn.Dense(1, 1, bias=False), decay=0.9)

    whole = follow(fresh(), values)
    for cut in range(7):
        resumed = fresh()
        resumed.load_state(follow(fresh(), values[:cut]).state())
        assert follow(resumed, values[cut:]).updates == 6
        assert_same(resumed.mean, whole.mean)
    state = whole.state()
    whole.update()
    assert state["updates"] == 6  # a copy


def test_a_state_that_does_not_fit_changes_nothing():
    average = ExponentialMovingAverage(nn.Dense(2, 2))
    before = average.state()
    other = ExponentialMovingAverage(nn.Dense(2, 3))
    for state in (other.state(), before | {"updates": np.array([-1])}, {}):
        with pytest.raises(nn.WeightsError, match="the state does not fit this average"):
            average.load_state(state)
    assert_same(average.state(), before)


def test_a_network_that_has_changed_is_refused():
    net = nn.Sequential(nn.Dense(2, 2))
    average = ExponentialMovingAverage(net)
    net.children["0_dense"] = nn.Dense(2, 3)
    before = copied(average.mean)
    with pytest.raises(nn.WeightsError, match="other parameters than when its average was made"):
        average.update()
    with pytest.raises(nn.WeightsError, match="other parameters"), average.applied():
        pass
    assert_same(average.mean, before)
    assert average.updates == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ExponentialMovingAverage(nn.Dense(1, 1), decay=1.0), ValueError, "decay must be .* below 1"),
        (lambda: ExponentialMovingAverage(nn.Dense(1, 1), decay=-0.1), ValueError, "decay must be"),
        (lambda: ExponentialMovingAverage(nn.Dense(1, 1), decay="0.9"), TypeError, "decay must be"),
        (lambda: ExponentialMovingAverage(nn.Dense(1, 1).params), TypeError, "net must be a network"),
    ],
)
def test_wrong_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_checkpoints_refuse_averages_of_another_step(tmp_path):
    net = network()
    average = ExponentialMovingAverage(net)
    with Checkpoints(tmp_path, net, nn.Adam(net), every=10, average=average) as checkpoints:
        with pytest.raises(RuntimeError, match="average has not been told of step 1; put it before the checkpoints"):
            checkpoints(result(1))
        average(result(1))
        checkpoints(result(1))
        with average.applied(), pytest.raises(RuntimeError, match="cannot be saved while"):
            checkpoints.save(1, 1.0)
        assert checkpoints.steps() == []


def test_a_checkpoint_with_an_average_fits_only_a_training_with_one(tmp_path):
    net = network()
    with Checkpoints(tmp_path, net, nn.Adam(net), average=ExponentialMovingAverage(net)) as checkpoints:
        checkpoints.save(1, 1.0)
    with (
        Checkpoints(tmp_path, net, nn.Adam(net)) as checkpoints,
        pytest.raises(nn.CheckpointError, match=r"average\.updates is not"),
    ):
        checkpoints.resume()
    (tmp_path / "step-00000001.json").unlink()
    with Checkpoints(tmp_path, net, nn.Adam(net)) as checkpoints:
        checkpoints.save(2, 1.0)
    average = ExponentialMovingAverage(net)
    with (
        Checkpoints(tmp_path, net, nn.Adam(net), average=average) as checkpoints,
        pytest.raises(nn.CheckpointError, match=r"average\.updates is missing"),
    ):
        checkpoints.resume()
    assert average.updates == 0


def test_pytorch_averages_alike(rng):
    torch = pytest.importorskip("torch")
    swa = pytest.importorskip("torch.optim.swa_utils")
    for decay in (0.0, 0.5, 0.99):
        net, module = nn.Dense(3, 2, dtype=np.float64), torch.nn.Linear(3, 2, dtype=torch.float64)
        ours = ExponentialMovingAverage(net, decay)
        theirs = swa.AveragedModel(module, multi_avg_fn=swa.get_ema_multi_avg_fn(decay))
        for _ in range(10):
            w, b = rng.standard_normal((3, 2)), rng.standard_normal(2)
            net.params["w"], net.params["b"] = w, b
            with torch.no_grad():
                module.weight.copy_(torch.tensor(w.T))
                module.bias.copy_(torch.tensor(b))
            ours.update()
            theirs.update_parameters(module)
        np.testing.assert_allclose(ours.mean["w"], theirs.module.weight.detach().numpy().T, rtol=1e-12)
        np.testing.assert_allclose(ours.mean["b"], theirs.module.bias.detach().numpy(), rtol=1e-12)
