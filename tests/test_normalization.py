"""Batch and layer normalisation: by hand, over drawn shapes, their gradients, far from 0, and what they refuse."""

import numpy as np
import pytest
from cases import assert_equal_arrays
from drawn import REAL_TYPES
from second_opinions import central_difference

import npcnn as nn
from npcnn import functional as F
from npcnn import reference

EPS = 1e-3


def cast(dtype, *arrays):
    return [array.astype(dtype) for array in arrays]


def drawn_configuration(seed):
    """Return (dy, x, scale, shift) in float64; more than one pixel."""
    rng = np.random.default_rng([4, seed])
    C = int(rng.choice([1, 2, 3, 4, 7, 8, 16, 17, 33, 64, 70]))
    shape = rng.integers(2, 40, 1) if seed % 2 == 0 else (*rng.integers(1, 5, 1), *rng.integers(2, 9, 2))
    x = rng.standard_normal((*shape, C)) * rng.uniform(0.1, 10) + rng.uniform(-20, 20, C)
    return rng.standard_normal(x.shape), x, rng.standard_normal(C), rng.standard_normal(C)


def test_batch_statistics_by_hand():
    mean, variance = F.batch_statistics(np.array([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]], np.float32))
    np.testing.assert_allclose(mean, [4, 5])
    np.testing.assert_allclose(variance, [(9 + 1 + 16) / 3, 0], rtol=1e-6)
    assert mean.dtype == variance.dtype == np.float64


def test_batch_norm_by_hand():
    # Mean 4 and variance 9, by which -2, 4 and 10 become -2, 0 and 2; then times 10, plus 1.
    x = np.array([[-2.0], [4.0], [10.0]])
    y = F.batch_norm(x, np.array([10.0]), np.array([1.0]), mean=np.array([4.0]), variance=np.array([8.75]), eps=0.25)
    np.testing.assert_allclose(y, [[-19], [1], [21]])


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(100))
def test_batch_norm_equals_the_definition(seed, dtype):
    dy, x, scale, shift = cast(dtype, *drawn_configuration(seed))
    exact = dict(zip(("dy", "x", "scale", "shift"), cast(np.float64, dy, x, scale, shift), strict=True))
    mean, variance = reference.batch_statistics(exact["x"])
    got_mean, got_variance = F.batch_statistics(x)
    np.testing.assert_allclose(got_mean, mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got_variance, variance, rtol=1e-5)
    statistics = {"mean": got_mean, "variance": got_variance, "eps": EPS}
    expected = reference.batch_norm(exact["x"], exact["scale"], exact["shift"], mean=mean, variance=variance, eps=EPS)
    assert_equal_arrays(F.batch_norm(x, scale, shift, **statistics), expected, dtype)
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    expected = reference.batch_norm(exact["x"], ones, zeros, mean=mean, variance=variance, eps=EPS)
    assert_equal_arrays(F.batch_norm(x, **statistics), expected, dtype)
    for given, defined in ((scale, exact["scale"]), (None, ones)):
        expected = reference.batch_norm_backward(exact["dy"], exact["x"], defined, eps=EPS)
        for name, one, other in zip(
            ("dx", "dscale", "dshift"), F.batch_norm_backward(dy, x, given, **statistics), expected, strict=True
        ):
            size = max(np.abs(expected[0]).max() if name == "dx" else np.abs(other).max(), np.abs(dy).max())
            assert one.dtype == dtype
            assert np.abs(one - other).max() <= (1e-11 if dtype == np.float64 else 2e-5) * size, name


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(50))
def test_with_the_relu_in_the_same_pass_the_bits_are_those_of_two(seed, dtype):
    dy, x, scale, shift = cast(dtype, *drawn_configuration(seed))
    mean, variance = F.batch_statistics(x)
    statistics = {"mean": mean, "variance": variance, "eps": EPS}
    for given in ((scale, shift), (scale, None), (None, shift), (None, None)):
        y = F.batch_norm(x, *given, activation="relu", **statistics)
        np.testing.assert_array_equal(y, F.relu(F.batch_norm(x, *given, **statistics)))
        expected = F.batch_norm_backward(F.relu_backward(dy, y), x, *given, **statistics)
        for one, other in zip(
            F.batch_norm_backward(dy, x, *given, activation="relu", **statistics), expected, strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(50))
def test_with_gelu_in_the_same_pass(seed, dtype):
    dy, x, scale, shift = cast(dtype, *drawn_configuration(seed))
    mean, variance = F.batch_statistics(x)
    statistics = {"mean": mean, "variance": variance, "eps": EPS}
    for given in ((scale, shift), (scale, None), (None, shift), (None, None)):
        before = F.batch_norm(x, *given, **statistics)
        np.testing.assert_array_equal(F.batch_norm(x, *given, activation="gelu", **statistics), F.gelu(before))
        # A product and the sum behind it may be one instruction, with one rounding less.
        expected = F.batch_norm_backward(F.gelu_backward(dy, before), x, *given, **statistics)
        got = F.batch_norm_backward(dy, x, *given, activation="gelu", **statistics)
        factor = np.abs(1 if given[0] is None else scale).max() / np.sqrt(variance.min() + EPS)
        for one, other, size in zip(got, expected, (factor, x.size, x.size), strict=True):
            size = size * np.abs(dy).max()
            assert np.abs(one - other).max() <= (1e-13 if dtype == np.float64 else 3e-6) * size


@pytest.mark.parametrize("place", [0, 100, 99_999])
def test_statistics_where_a_sample_says_nothing_of_the_rest(place):
    x = np.zeros((100_000, 2), np.float32)
    x[:, 1] = np.arange(len(x)) % 7
    x[place] += 1e5  # the sample may be far from all other pixels
    mean, variance = F.batch_statistics(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), atol=1e-6 * exact.std())
    np.testing.assert_allclose(variance, exact.var(0), rtol=1e-5)


@pytest.mark.parametrize("dtype", REAL_TYPES)
@pytest.mark.parametrize("seed", range(100))
def test_layer_norm_equals_the_definition(seed, dtype):
    dy, x, scale, shift = cast(dtype, *drawn_configuration(seed))
    exact = cast(np.float64, dy, x, scale, shift)
    expected = reference.layer_norm(*exact[1:], eps=EPS)
    assert (
        np.abs(F.layer_norm(x, scale, shift, eps=EPS) - expected).max()
        <= (1e-11 if dtype == np.float64 else 1e-3) * np.abs(expected).max()
    )
    for one, other in zip(
        F.layer_norm_backward(dy, x, scale, eps=EPS),
        reference.layer_norm_backward(*exact[:3], eps=EPS),
        strict=True,
    ):
        assert one.dtype == dtype
        size = max(np.abs(other).max(), np.abs(dy).max())
        assert np.abs(one - other).max() <= (1e-10 if dtype == np.float64 else 1e-3) * size


@pytest.mark.parametrize("seed", range(4))
def test_definitions_against_central_differences(seed):
    dy, x, scale, shift = drawn_configuration(2 * seed)
    dy, x, scale, shift = dy[:5, :3], x[:5, :3], scale[:3], shift[:3]

    def batch():
        mean, variance = reference.batch_statistics(x)
        return (dy * reference.batch_norm(x, scale, shift, mean=mean, variance=variance, eps=EPS)).sum()

    def layer():
        return (dy * reference.layer_norm(x, scale, shift, eps=EPS)).sum()

    for loss, gradients in (
        (batch, reference.batch_norm_backward(dy, x, scale, eps=EPS)),
        (layer, reference.layer_norm_backward(dy, x, scale, eps=EPS)),
    ):
        for array, gradient in zip((x, scale, shift), gradients, strict=True):
            numeric = central_difference(loss, array)
            np.testing.assert_allclose(gradient, numeric, atol=1e-6 * max(np.abs(numeric).max(), 1))


@pytest.mark.parametrize("offset", [1e4, -1e4, 1e6])
def test_a_channel_far_from_0_loses_nothing_more_than_its_numbers_do(offset, rng):
    x = (rng.standard_normal((8, 32, 32, 5)) + offset).astype(np.float32)
    exact = x.astype(np.float64)
    mean, variance = F.batch_statistics(x)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-5)
    y = F.batch_norm(x, mean=mean, variance=variance, eps=EPS)
    expected = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + EPS)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    got = F.batch_norm_backward(dy, x, mean=mean, variance=variance, eps=EPS)
    for one, other in zip(got, reference.batch_norm_backward(dy, exact, np.ones(5), eps=EPS), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


def test_a_channel_that_never_changes():
    x = np.full((4, 3, 3, 2), 7.0, np.float32)
    mean, variance = F.batch_statistics(x)
    np.testing.assert_array_equal(variance, [0, 0])
    np.testing.assert_array_equal(F.batch_norm(x, mean=mean, variance=variance), np.zeros_like(x))


def test_the_same_bits_in_any_number_of_threads(rng):
    x, dy = rng.standard_normal((2, 5, 9, 9, 17)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        nn.set_num_threads(threads)
        mean, variance = F.batch_statistics(x)
        statistics = {"mean": mean, "variance": variance}
        results.append((mean, variance, F.batch_norm(x, **statistics), *F.batch_norm_backward(dy, x, **statistics)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


LAYERS = {
    "batch": lambda: nn.BatchNorm(3, dtype=np.float64),
    "batch without scale": lambda: nn.BatchNorm(3, scale=False, dtype=np.float64),
    "batch without shift": lambda: nn.BatchNorm(3, shift=False, dtype=np.float64),
    "batch and relu": lambda: nn.BatchNorm(3, activation="relu", dtype=np.float64),
    "batch with neither": lambda: nn.BatchNorm(3, scale=False, shift=False, dtype=np.float64),
    "layer": lambda: nn.LayerNorm(3, dtype=np.float64),
    "layer with neither": lambda: nn.LayerNorm(3, scale=False, shift=False, dtype=np.float64),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4, 3)])
def test_gradients(make, shape, rng):
    layer = make()
    for name in layer.params:
        layer.params[name] = rng.standard_normal(3)
    report = nn.gradcheck(layer, rng.standard_normal(shape), tolerance=1e-7)
    assert report.ok, report


def test_running_statistics_by_hand():
    layer = nn.BatchNorm(1, momentum=0.75, dtype=np.float64)
    layer.forward(np.array([[1.0], [3.0]]), training=True)  # mean 2, variance 1
    assert layer.state["mean"].item() == 0.25 * 2
    assert layer.state["variance"].item() == 0.75 * 1 + 0.25 * 1
    layer.forward(np.array([[5.0], [5.0]]), training=True)
    assert layer.state["mean"].item() == 0.75 * 0.5 + 0.25 * 5
    assert layer.state["variance"].item() == 0.75
    before = {name: array.copy() for name, array in layer.state.items()}
    y = layer.forward(np.array([[1.625]]))  # one picture, by the running ones
    assert y.item() == 0
    assert all((layer.state[name] == before[name]).all() for name in before)


def test_outside_training_a_picture_does_not_depend_on_the_others(rng):
    layer = nn.BatchNorm(3)
    layer.forward(rng.standard_normal((4, 5, 5, 3)).astype(np.float32), training=True)
    x = rng.standard_normal((4, 5, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer(x)[:1], layer(x[:1]))


def test_a_network_with_it_learns_and_is_saved(tmp_path, rng):
    def network():
        return nn.Sequential(
            nn.Conv2D(2, 8, 3, bias=False, rng=np.random.default_rng(0)),
            nn.BatchNorm(8, momentum=0.5),
            nn.ReLU(),
            nn.GlobalAvgPool2D(),
            nn.Dense(8, 2, rng=np.random.default_rng(1)),
        )

    labels = rng.integers(0, 2, 64)
    x = rng.standard_normal((64, 6, 6, 2)).astype(np.float32)
    x[..., 0] += labels[:, None, None]  # one channel is brighter in one class
    net = network()
    nn.train.fit(net, iter([(x, labels)] * 60), nn.Adam(net, 0.02), steps=60)
    _, accuracy = nn.train.evaluate(net, [(x, labels)])
    assert accuracy > 0.9
    net.save(tmp_path / "w.safetensors")
    again = network()
    again.load(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(again(x), net(x))


X = np.zeros((2, 3, 3, 4), np.float32)
C = np.zeros(4, np.float32)
OK = {"mean": C, "variance": C}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.batch_statistics(X[0, 0, 0]), nn.ShapeError, r"x must have shape \(\.\.\., channels\)"),
        (lambda: F.batch_statistics(X[:0]), nn.ShapeError, "x must have at least one pixel"),
        (lambda: F.batch_statistics(X[..., :0]), nn.ShapeError, "x must have shape"),
        (lambda: F.batch_statistics(X.astype(int)), nn.DTypeError, "got int64"),
        (lambda: F.batch_norm(X, C[:3], **OK), nn.ShapeError, r"scale must have shape \(4,\)"),
        (lambda: F.batch_norm(X, C.astype(float), **OK), nn.DTypeError, "scale must have the dtype of x"),
        (lambda: F.batch_norm(X, mean=C[:3], variance=C), nn.ShapeError, r"mean must have shape \(4,\)"),
        (lambda: F.batch_norm(X, mean=C, variance=C - 1), ValueError, "variance must not be negative, got -1"),
        (lambda: F.batch_norm(X, **OK, eps=0), ValueError, "eps must be above 0"),
        (lambda: F.batch_norm(X, **OK, eps=-1), ValueError, "eps must be"),
        (
            lambda: F.batch_norm(X, **OK, activation="tanh"),
            ValueError,
            "activation must be 'relu' or 'gelu', got 'tanh'",
        ),
        (lambda: F.batch_norm(X, **OK, activation=True), ValueError, "activation must be"),
        (lambda: F.batch_norm(X, **OK, out=X), ValueError, "out must not share memory"),
        (lambda: F.batch_norm_backward(X[:1], X, **OK), nn.ShapeError, "dy must have shape"),
        (lambda: F.layer_norm(X, C[:3]), nn.ShapeError, r"scale must have shape \(4,\)"),
        (lambda: F.layer_norm_backward(X[:1], X), nn.ShapeError, "dy must have shape"),
        (lambda: nn.BatchNorm(0), ValueError, "channels must be"),
        (lambda: nn.BatchNorm(3, momentum=1), ValueError, "momentum must be .* below 1"),
        (lambda: nn.BatchNorm(3, eps=0), ValueError, "eps must be"),
        (lambda: nn.BatchNorm(3, activation="tanh"), ValueError, "activation must be 'relu' or None"),
        (lambda: nn.BatchNorm(3, scale=1), TypeError, "scale must be True or False"),
        (lambda: nn.BatchNorm(3)(X), nn.ShapeError, "takes 3 channels, but 4 come in"),
        (lambda: nn.BatchNorm(4)(X.astype(float)), nn.DTypeError, "x must have the dtype of the layer, float32"),
        (lambda: nn.LayerNorm(3)(X), nn.ShapeError, "takes 3 channels, but 4 come in"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error
