"""The classifier for scikit-learn: by that library's own checks, in its tools, and against the network by hand."""

import functools
import os
import pickle

import numpy as np
import pytest

import npcnn as nn

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from npcnn.sklearn import ConvClassifier, threads

Small = functools.partial(ConvClassifier, epochs=2, random_state=0)


@pytest.fixture(scope="module")
def digits():
    """Return scikit-learn's pictures of digits, 8 x 8, from 0 to 16, and what they are."""
    bunch = load_digits()
    return bunch.images[..., np.newaxis].astype(np.float32), bunch.target


@pytest.fixture
def drawn(rng):
    """Return 40 pictures of 5 x 4 pixels and two channels, the bright ones of class "b"."""
    x = rng.integers(0, 128, (40, 5, 4, 2), np.uint8)
    x[::2] += 128
    return x, np.tile(["b", "a"], 20)


@parametrize_with_checks([ConvClassifier(random_state=0)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_digits_are_learnt_better_than_by_a_linear_model(digits):
    x, y = digits
    rows = x.reshape(len(x), -1)
    linear = LogisticRegression(max_iter=2000).fit(rows[:1200] / 16, y[:1200]).score(rows[1200:] / 16, y[1200:])
    assert ConvClassifier(epochs=10, random_state=0).fit(x[:1200], y[:1200]).score(x[1200:], y[1200:]) > linear


def test_probabilities_are_those_of_the_network_by_hand(drawn):
    x, y = drawn
    classifier = Small().fit(x, y)
    scaled = ((x - x.mean((0, 1, 2))) / x.std((0, 1, 2))).astype(np.float32)
    logits = classifier.net_.forward(scaled).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(x), expected, rtol=1e-4)
    assert classifier.classes_.tolist() == ["a", "b"]
    assert classifier.predict(x).tolist() == [["a", "b"][column] for column in expected.argmax(axis=1)]


def test_training_is_that_of_the_library(drawn):
    x, y = drawn
    net = nn.Sequential(nn.Flatten(), nn.Dense(40, 2, weight_init=nn.initializers.constant(0.0)))
    make = functools.partial(nn.SGD, momentum=0)
    classifier = ConvClassifier(net, optimizer=make, lr=nn.schedules.Constant(0.1), epochs=3, batch_size=40, steps=[])
    classifier.fit(x, y)
    # With all pictures in a batch their order plays no role, so that three steps of gradient descent are these.
    labels = np.array([1, 0] * 20)
    by_hand = nn.Sequential(nn.Flatten(), nn.Dense(40, 2, weight_init=nn.initializers.constant(0.0)))
    nn.train.fit(by_hand, iter([(x.astype(np.float32), labels)] * 3), nn.SGD(by_hand, 0.1), steps=3)
    np.testing.assert_allclose(classifier.net_.params["1_dense.w"], by_hand.params["1_dense.w"], rtol=1e-5, atol=1e-6)
    assert not net.params["1_dense.w"].any()
    assert len(classifier.history_.steps) == 3


def test_rows_with_a_picture_shape_are_the_pictures(drawn):
    x, y = drawn
    pictures, rows = Small().fit(x, y), Small(picture_shape=(5, 4, 2)).fit(x.reshape(40, -1), y)
    np.testing.assert_array_equal(pictures.predict_proba(x), rows.predict_proba(x.reshape(40, -1)))
    np.testing.assert_array_equal(pictures.predict_proba(x.reshape(40, -1)), rows.predict_proba(x))
    assert pictures.n_features_in_ == rows.n_features_in_ == 40
    assert pictures.picture_shape_ == rows.picture_shape_ == (5, 4, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_any_numbers_come_in(drawn, dtype):
    x, y = drawn
    expected = Small().fit(x, y).predict_proba(x)
    given = Small().fit(x.astype(dtype), y).predict_proba(x.astype(dtype))
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given, expected)


def test_in_a_pipeline(digits):
    x, y = digits
    flat = FunctionTransformer(lambda x: x.reshape(len(x), -1))
    pipeline = make_pipeline(flat, MinMaxScaler(), Small(picture_shape=(8, 8, 1)))
    assert pipeline.fit(x[:1000], y[:1000]).score(x[1000:], y[1000:]) > 0.8
    assert len(pipeline.predict(x[:3])) == 3


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_search_and_cross_validation(digits, n_jobs):
    x, y = digits[0][:400], digits[1][:400]
    grid = {"lr": [1e-9, 1e-2], "net": [functools.partial(nn.models.resnet, 8)]}
    search = GridSearchCV(Small(), grid, cv=2, n_jobs=n_jobs).fit(x, y)
    assert search.best_params_["lr"] == 1e-2
    assert "Residual" in repr(search.best_estimator_.net_)
    scores = cross_val_score(Small(epochs=5), x, y, cv=3, n_jobs=n_jobs)
    assert (scores > 0.5).all()


def test_pickle_gives_the_same_answers_and_goes_on_to_the_same_bits(drawn):
    x, y = drawn
    augment = [nn.datasets.steps.random_crop((5, 4), padding=1), nn.datasets.steps.mirror()]
    classifier = Small(augment=augment).fit(x, y)
    content = pickle.dumps(classifier)
    loaded = pickle.loads(content)
    np.testing.assert_array_equal(loaded.predict_proba(x), classifier.predict_proba(x))
    for either in (classifier, loaded):
        either.partial_fit(x, y)
    np.testing.assert_array_equal(loaded.predict_proba(x), classifier.predict_proba(x))
    # Weights, their gradients and two moments of each; not the room that a batch was computed in.
    numbers = sum(array.nbytes for array in classifier.net_.arrays.values())
    assert len(content) < 4.2 * numbers + 40_000


def test_one_seed_gives_the_same_bits(drawn):
    x, y = drawn
    probabilities = [
        Small(random_state=seed, n_jobs=n_jobs).fit(x, y).predict_proba(x)
        for seed, n_jobs in ((3, 1), (3, 2), (np.random.RandomState(5), None), (4, None))
    ]
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    assert (probabilities[0] != probabilities[3]).any()
    assert (probabilities[0] != probabilities[2]).any()


class Watching(nn.Dense):
    """A layer that notes how many threads compute."""

    seen = ()

    def forward(self, x, training=False):
        type(self).seen = (*self.seen, nn.get_num_threads())
        if x[0, 0] == 99:
            raise ArithmeticError("no")
        return super().forward(x, training)


def test_threads_are_those_asked_for_and_afterwards_as_before(drawn):
    x, y = drawn
    before = nn.get_num_threads()
    for n_jobs in (1, 2, -1):
        classifier = Small(nn.Sequential(nn.Flatten(), Watching(40, 2)), n_jobs=n_jobs, steps=[]).fit(x, y)
        with threads(n_jobs):
            expected = nn.get_num_threads()
        Watching.seen = ()
        classifier.fit(x, y).predict(x)
        assert set(Watching.seen) == {expected}
        assert nn.get_num_threads() == before
        with pytest.raises(ArithmeticError):
            classifier.predict(np.full_like(x, 99))
        assert nn.get_num_threads() == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not bind processes to cores")
def test_threads_are_counted_from_the_cores_that_the_process_may_use():
    cores = os.sched_getaffinity(0)
    with threads(-1):
        assert nn.get_num_threads() == len(cores)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with threads(-1):
            assert nn.get_num_threads() == 1
    finally:
        os.sched_setaffinity(0, cores)


def test_partial_fit_goes_on(digits):
    x, y = digits
    classifier = Small()
    with pytest.raises(ValueError, match="classes must be all labels that there will be in the first call"):
        classifier.partial_fit(x[:100], y[:100])
    for first in range(0, 1000, 200):
        classifier.partial_fit(x[first : first + 200], y[first : first + 200], classes=range(10))
    assert len(classifier.history_.steps) == classifier.optimizer_.steps == 15
    before = classifier.score(x[1000:], y[1000:])
    for _ in range(10):
        classifier.partial_fit(x[:1000], y[:1000])
    assert classifier.score(x[1000:], y[1000:]) > max(before, 0.8)
    with pytest.raises(ValueError, match=r"y must be among classes, \[0, 1, .*, 9\], got 10"):
        classifier.partial_fit(x[:1], [10])
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        classifier.partial_fit(x[:1], [1], classes=[0, 1])


def test_partial_fit_goes_on_after_fit_at_the_full_rate(drawn):
    x, y = drawn
    classifier = Small().fit(x, y)
    before = classifier.net_.params["0_conv2d.w"].copy()
    classifier.partial_fit(x, y)
    assert (classifier.net_.params["0_conv2d.w"] != before).any()
    assert classifier.optimizer_.lr == 1e-3


def test_rate_falls_to_zero_in_fit(drawn):
    x, y = drawn
    schedule = Small(epochs=4, lr=0.5).fit(x, y).optimizer_.schedule
    assert (schedule(0), schedule(2), schedule(4)) == pytest.approx((0.5, 0.25, 0))


def test_a_network_that_is_there_is_trained_as_a_copy(drawn):
    x, y = drawn
    net = nn.models.simple_cnn(classes=2, input_channels=2, rng=np.random.default_rng(0))
    before = {name: array.copy() for name, array in net.arrays.items()}
    classifier = clone(Small(net, lr=1e-9)).fit(x, y)
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_allclose(classifier.net_.params[name], array, atol=1e-6)


def test_the_network_is_saved_and_explains_itself_like_any_other(drawn, tmp_path):
    x, y = drawn
    classifier = Small().fit(x, y)
    classifier.net_.save(tmp_path / "net.safetensors")
    net = nn.load(tmp_path / "net.safetensors")
    np.testing.assert_allclose(nn.prediction.classify(net, x), classifier.predict_proba(x), rtol=1e-6)
    assert net.classes == ("a", "b")


def test_pictures_may_be_cropped_on_the_way(drawn):
    x, y = drawn
    classifier = Small(steps=[nn.datasets.steps.crop(3), nn.datasets.steps.standardise()]).fit(x, y)
    assert classifier.predict_proba(x).shape == (40, 2)
    changed = x.copy()
    changed[:, 0] = 0  # a row that is cut off
    np.testing.assert_array_equal(classifier.predict_proba(changed), classifier.predict_proba(x))


def test_a_channel_that_never_changes_does_no_harm(rng):
    x = rng.standard_normal((30, 4)).astype(np.float32)
    x[:, 2] = 7
    assert np.isfinite(Small().fit(x, x[:, 0] > 0).predict_proba(x)).all()


REFUSED = {
    "a name": ({"net": "resnet21"}, ValueError, "net must be one of .*simple_cnn.*, got 'resnet21'"),
    "no network": ({"net": 3}, TypeError, "net must be a name, a function that makes a network, or a network, got 3"),
    "makes none": ({"net": lambda **_: 3}, TypeError, "net must return a network, an npcnn.Layer, got 3"),
    "classes": ({"net": nn.models.simple_cnn(classes=3, input_channels=2)}, nn.ShapeError,
                r"net must give a number for each of the 2 classes in y, but makes \(3,\)"),
    "optimizer": ({"optimizer": "adagrad"}, ValueError, "optimizer must be one of adam, adamw, sgd, got 'adagrad'"),
    "optimizer, a number": ({"optimizer": 1}, TypeError, "optimizer must be a name or a function"),
    "makes no optimizer": ({"optimizer": lambda net, lr: 1}, TypeError, "optimizer must return an optimizer"),
    "rate": ({"lr": 0}, ValueError, "lr must be a finite number above 0, got 0"),
    "epochs": ({"epochs": 0}, ValueError, "epochs must be an integer of at least 1, got 0"),
    "batch": ({"batch_size": 2.5}, TypeError, r"batch_size must be an integer of at least 1, got 2\.5"),
    "threads": ({"n_jobs": 0}, ValueError, "n_jobs must be at least 1, or below 0 to count from the number of cores"),
    "shape": ({"picture_shape": (4, 5, 2)}, nn.ShapeError, r"picture_shape, \(4, 5, 2\), got pictures of \(5, 4, 2\)"),
    "axes": ({"picture_shape": (40,)}, ValueError, r"picture_shape must be \(H, W, C\), got \(40,\)"),
    "steps": ({"steps": [nn.datasets.steps.mirror()]}, ValueError, "draws at random"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_parameter_is_named_by_fit(drawn, case):
    parameters, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        Small(**parameters).fit(*drawn)


def test_wrong_data_is_named(drawn):
    x, y = drawn
    with pytest.raises(NotFittedError):
        Small().predict(x)
    with pytest.raises(ValueError, match="y must hold at least two classes, got one class, 'a'"):
        Small().fit(x, ["a"] * 40)
    with pytest.raises(nn.ShapeError, match=r"grey pictures have one channel: add it with X\[..., None\]"):
        Small().fit(x[..., 0], y)
    with pytest.raises(ValueError, match="NaN"):
        Small().fit(np.full((2, 3, 3, 1), np.nan), [0, 1])
    classifier = Small().fit(x, y)
    with pytest.raises(nn.ShapeError, match=r"X must be pictures of shape \(5, 4, 2\), as in fit, got \(4, 5, 2\)"):
        classifier.predict(x.transpose(0, 2, 1, 3))
    with pytest.raises(nn.ShapeError, match=r"as before, got \(4, 5, 2\)"):
        classifier.partial_fit(x.transpose(0, 2, 1, 3), y)
    with pytest.raises(ValueError, match="is expecting 40 features as input"):
        classifier.predict(x[:, :4])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier.fit(x, y[:-1])


def test_after_a_fit_that_failed_no_earlier_network_answers(drawn):
    x, y = drawn
    classifier = Small().fit(x, y)
    with pytest.raises(ValueError, match="epochs"):
        classifier.set_params(epochs=0).fit(x, y)
    with pytest.raises(NotFittedError):
        classifier.predict(x)
