"""Training by epochs on a data set: what is evaluated on what, when it ends, what the network remembers."""

from itertools import chain

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import steps
from npcnn.train.epochs import hold_back


def bright_and_dark(count=60, test=20, seed=0):
    """Return a data set whose classes differ in brightness; every picture has its own number in its first pixel."""
    rng = np.random.default_rng(seed)
    x = rng.integers(128, 256, (count + test, 6, 5, 1), np.uint8)
    y = np.arange(count + test) % 2
    x[y == 1] //= 4
    x[:, 0, 0, 0] = np.arange(count + test)
    return nn.datasets.from_arrays(
        x[:count], y[:count], x[count:], y[count:],
        classes=("bright", "dark"), steps=[steps.standardise(mean=128, deviation=64)],
    )  # fmt: skip


def network(seed=0):
    return nn.Sequential(nn.Flatten(), nn.Dense(30, 2, rng=np.random.default_rng(seed)))


class Seen(nn.Sequential):
    """Notes the numbers of the pictures it is given, in training and otherwise."""

    def forward(self, x, training=False):
        numbers = np.rint(x[:, 0, 0, 0] * 64 + 128).astype(int).tolist()
        self.__dict__.setdefault("trained" if training else "evaluated", []).append(numbers)
        return super().forward(x, training)


def test_it_learns_and_remembers():
    data, net = bright_and_dark(), network()
    history = nn.train.fit(net, data, nn.Adam(net, 0.05), epochs=20, batch_size=20, validation=0.2)
    assert history.evaluations[-1]["test_accuracy"] == 1
    assert [row["step"] for row in history.evaluations] == list(range(2, 41, 2))  # 48 pictures: 2 full batches
    assert len(history.steps) == 40
    assert (net.classes, net.picture_shape) == (("bright", "dark"), (6, 5, 1))
    probabilities = nn.prediction.classify(net, data.test_images)
    np.testing.assert_array_equal(probabilities.argmax(1), data.test_labels)


def test_what_is_held_back_is_evaluated_and_never_trained_on():
    data = bright_and_dark()
    net = Seen(*network().layers)
    nn.train.fit(net, data, nn.SGD(net, 0.01), epochs=3, batch_size=8, validation=0.25)
    evaluated = set(chain(*net.evaluated))
    trained = set(chain(*net.trained))
    assert len(evaluated) == 16  # half of 7.5 and 7.5, rounded up
    assert evaluated | trained == set(range(60))
    assert not evaluated & trained


def test_without_validation_the_test_pictures_are_evaluated():
    data = bright_and_dark()
    net = Seen(*network().layers)
    nn.train.fit(net, data, nn.SGD(net, 0.01), epochs=2, batch_size=30)
    assert set(chain(*net.evaluated)) == set(range(60, 80))
    assert sorted(chain(*net.trained)) == sorted([*range(60)] * 2)


def test_the_same_seed_gives_the_same_bits_and_another_others():
    weights = []
    for seed in (0, 0, 1):
        net = network()
        nn.train.fit(
            net, bright_and_dark(), nn.SGD(net, 0.1), epochs=2, batch_size=16, validation=0.1,
            augment=[steps.mirror()], seed=seed,
        )  # fmt: skip
        weights.append(net.params["1_dense.w"].copy())
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


def test_it_equals_a_training_on_the_same_batches():
    data, net, other = bright_and_dark(), network(), network()
    nn.train.fit(net, data, nn.SGD(net, 0.1), epochs=2, batch_size=20, seed=3)
    with nn.datasets.TrainingBatches(data, batch_size=20, seed=3) as batches:
        nn.train.fit(other, batches, nn.SGD(other, 0.1), steps=6)
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, other.params[name])


def test_early_stopping_ends_it_and_gives_the_best_weights_back(capsys):
    data, net = bright_and_dark(), network()
    stopping = nn.train.EarlyStopping(patience=2, net=net)
    history = nn.train.fit(
        net, data, nn.SGD(net, lambda step: 0.01 if step < 9 else 100.0), epochs=50, batch_size=20, validation=0.2,
        callbacks=[nn.train.Progress(), stopping],
    )  # fmt: skip
    assert len(history.evaluations) < 50
    losses = [row["test_loss"] for row in history.evaluations]
    assert stopping.best_loss == min(losses)
    assert losses.index(min(losses)) + 3 == len(losses)
    _, held_back = hold_back(data.train_labels, 0.2, seed=0)
    batches = nn.datasets.evaluation_batches(data.train_images, data.train_labels, steps=data.steps, only=held_back)
    assert nn.train.evaluate(net, batches)[0] == pytest.approx(min(losses))
    out, err = capsys.readouterr()
    assert "validation accuracy" in out
    assert "/100 [" in err  # the bar knows its end: 50 epochs of 2 steps


def test_held_back_is_the_share_of_each_class():
    labels = np.repeat([0, 1, 2], [100, 10, 50])
    training, held_back = hold_back(labels, 0.2, seed=0)
    assert np.bincount(labels[held_back]).tolist() == [20, 2, 10]
    assert sorted([*training, *held_back]) == list(range(160))
    assert (hold_back(labels, 0.2, seed=1)[1] != held_back).any()
    assert len(hold_back(labels, 0, seed=0)[1]) == 0


def test_a_step_of_ones_own_trains_but_is_not_remembered():
    data = bright_and_dark().with_steps([lambda images, rng: images / np.float32(255)])
    net = network()
    nn.train.fit(net, data, nn.Adam(net, 0.05), epochs=2, batch_size=20)
    assert net.input_steps is None
    with pytest.raises(ValueError, match=r"prepare the pictures .* net\(x\)"):
        nn.prediction.classify(net, data.test_images)


def test_it_comes_back_from_a_file_ready_for_pictures(tmp_path):
    data, net = bright_and_dark(), network()
    nn.train.fit(net, data, nn.Adam(net, 0.05), epochs=5, batch_size=20)
    net.save(tmp_path / "w.safetensors")
    again = nn.load(tmp_path / "w.safetensors")
    assert (again.classes, again.picture_shape) == (data.classes, data.picture_shape)
    np.testing.assert_array_equal(
        nn.prediction.classify(again, data.test_images, batch_size=7), nn.prediction.classify(net, data.test_images)
    )


def iterator():
    return iter([(np.zeros((2, 6, 5, 1), np.float32), np.array([0, 1]))])


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (bright_and_dark(), {"steps": 5}, TypeError, "with a Dataset say epochs="),
        (bright_and_dark(), {}, TypeError, "with a Dataset say epochs="),
        (iterator(), {"epochs": 5}, TypeError, "with batches say steps="),
        ([1, 2], {"epochs": 5}, TypeError, r"epochs= is for a Dataset; got \[1, 2\]"),
        (bright_and_dark(), {"epochs": 0}, ValueError, "epochs must be an integer of at least 1"),
        (bright_and_dark(), {"epochs": 1, "validation": 1}, ValueError, "validation must be"),
        (bright_and_dark(), {"epochs": 1, "validation": 0.001}, ValueError, "hold back at least one picture"),
        (bright_and_dark(4), {"epochs": 1, "validation": 0.9}, ValueError, "leave pictures of each class"),
        (bright_and_dark(test=0), {"epochs": 1}, ValueError, "validation must be above 0 for data without test"),
        (bright_and_dark(), {"epochs": 1, "batch_size": 61}, ValueError, "batch_size must be at most 60"),
        (iterator(), {"steps": 1, "validation": 0.1}, TypeError, "validation"),
    ],
)
def test_what_is_refused(data, options, error, message):
    net = network()
    with pytest.raises(error, match=message):
        nn.train.fit(net, data, nn.SGD(net, 0.1), **options)


def test_pictures_may_be_chosen_by_number():
    data = bright_and_dark()
    only = np.array([3, 5, 11])
    with nn.datasets.TrainingBatches(data, batch_size=3, only=only) as batches:
        for _ in range(3):
            x, labels = next(batches)
            assert sorted(np.rint(x[:, 0, 0, 0] * 64 + 128).astype(int)) == [3, 5, 11]
            assert labels.tolist() == [1, 1, 1]
    for wrong in ([], [60], [-1], [0.5], [[1]]):
        with pytest.raises(ValueError, match="only must be"):
            nn.datasets.TrainingBatches(data, batch_size=1, only=np.array(wrong))
        with pytest.raises(ValueError, match="only must be"):
            next(nn.datasets.evaluation_batches(data.train_images, data.train_labels, only=np.array(wrong)))
