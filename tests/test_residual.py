"""Residual connections and sums of branches: by hand, their gradients, inside networks, and what they refuse."""

import numpy as np
import pytest

import npcnn as nn


def constant(value):
    return nn.initializers.constant(value)


def times(channels, value):
    """A 1 x 1 convolution that multiplies by a number."""
    layer = nn.Conv2D(channels, channels, 1, bias=False, dtype=np.float64)
    layer.params["w"] = value * np.eye(channels).reshape(1, 1, channels, channels)
    return layer


def test_a_residual_connection_by_hand():
    x = np.arange(1.0, 5).reshape(1, 2, 1, 2)
    layer = nn.Residual(times(2, 10.0))
    np.testing.assert_array_equal(layer.forward(x, training=True), 11 * x)
    np.testing.assert_array_equal(layer.backward(np.ones_like(x)), np.full_like(x, 11))
    np.testing.assert_array_equal(layer.grads["branch.w"][0, 0], np.full((2, 2), [[1 + 3], [2 + 4]]))
    layer = nn.Residual(times(2, 10.0), times(2, -1.0))
    np.testing.assert_array_equal(layer(x), 9 * x)
    layer = nn.Residual(times(2, -3.0), activation="relu")
    x[..., 1] *= -1
    np.testing.assert_array_equal(layer.forward(x, training=True), np.maximum(-2 * x, 0))
    np.testing.assert_array_equal(layer.backward(np.ones_like(x))[..., 0], 0)
    np.testing.assert_array_equal(layer.grads["branch.w"][0, 0], [[0, 1 + 3], [0, -2 - 4]])
    np.testing.assert_array_equal(nn.Add(times(2, 1.0), times(2, 2.0), times(2, 4.0))(x), 7 * x)


LAYERS = {
    "residual": lambda o: nn.Residual(
        nn.Sequential(nn.Conv2D(3, 3, 3, activation="relu", **o), nn.Conv2D(3, 3, 3, **o))
    ),
    "with shortcut": lambda o: nn.Residual(nn.Conv2D(3, 4, 3, stride=2, **o), nn.Conv2D(3, 4, 1, stride=2, **o)),
    "add": lambda o: nn.Add(nn.Conv2D(3, 4, 3, **o), nn.Conv2D(3, 4, 1, **o), nn.Conv2D(3, 4, 5, **o)),
    "with batch norm": lambda o: nn.Residual(
        nn.Sequential(nn.Conv2D(3, 3, 3, **o), nn.BatchNorm(3, dtype=o["dtype"]), nn.ReLU(), nn.Conv2D(3, 3, 3, **o))
    ),
    "and relu": lambda o: nn.Residual(nn.Conv2D(3, 3, 3, **o), activation="relu"),
    "one in another": lambda o: nn.Residual(nn.Residual(nn.Conv2D(3, 3, 3, **o))),
}
each = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@each
def test_gradients(make, rng):
    layer = make({"rng": rng, "dtype": np.float64})
    report = nn.gradcheck(layer, rng.standard_normal((2, 4, 6, 3)), tolerance=1e-7)
    assert report.ok, report


@each
def test_inside_a_network(make, rng, tmp_path):
    def network(seed):
        options = {"rng": np.random.default_rng(seed), "dtype": np.float32}
        return nn.Sequential(nn.Conv2D(2, 3, 3, **options), make(options), nn.ReLU(), nn.GlobalAvgPool2D())

    net, x = network(0), rng.standard_normal((4, 6, 6, 2)).astype(np.float32)
    labels = np.array([0, 1, 2, 0])
    nn.train.fit(net, iter([(x, labels)] * 3), nn.Adam(net), steps=3)
    assert all((array != network(0).params[name]).any() for name, array in net.params.items())
    assert net(x).shape[1:] == net.output_shape((6, 6, 2))
    assert "1_" in net.summary((6, 6, 2))
    net.save(tmp_path / "w.safetensors")
    again = network(1)
    again.load(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(again(x), net(x))
    y = net.forward(x, training=True)
    assert net.backward(np.ones_like(y), need_dx=False) is None
    assert nn.explain.picture(net, x[0]).steps[-1].y.shape == (1, 1, net(x).shape[1])
    assert repr(make({"rng": rng, "dtype": np.float32})).startswith(("Residual(\n", "Add(\n"))


def test_the_multiplications_are_those_of_all_branches():
    layer = nn.Residual(nn.Conv2D(3, 4, 3), nn.Conv2D(3, 4, 1))
    assert layer.multiplications((5, 6, 3)) == 5 * 6 * (9 + 1) * 3 * 4


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Add(), ValueError, "branches must be at least one layer"),
        (lambda: nn.Residual("conv"), TypeError, r"branch and shortcut\[0\] must be a Layer"),
        (lambda: nn.Add(*[nn.ReLU()] * 2), ValueError, "given twice"),
        (lambda: nn.Add(nn.Conv2D(3, 4, 3), nn.Conv2D(3, 5, 3)), nn.ShapeError, "got 0_conv2d 4, 1_conv2d 5"),
        (lambda: nn.Add(nn.Conv2D(3, 4, 3), nn.Conv2D(2, 4, 3)), nn.ShapeError, "1_conv2d: .* takes 2 channels"),
        (lambda: nn.Residual(nn.Conv2D(3, 4, 3)), nn.ShapeError, "got branch 4, shortcut 3"),
        (
            lambda: nn.Residual(nn.Conv2D(3, 3, 3, stride=2)).output_shape((6, 6, 3)),
            nn.ShapeError,
            r"'branch': \(3, 3, 3\), 'shortcut': \(6, 6, 3\).* 1 x 1 convolution",
        ),
    ],
)
def test_wrong_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
