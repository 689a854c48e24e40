"""The explorer's numbers of layers that compute something else in training than outside it."""

import numpy as np
import pytest
from second_opinions import central_difference

import npcnn as nn
from npcnn.explain import trace


class BatchNorm(nn.Layer):
    """As simple as it gets: without scale and shift, and running averages that are not saved."""

    def __init__(self, channels):
        super().__init__()
        self.mean, self.variance = np.full(channels, 0.5), np.full(channels, 4.0)

    def forward(self, x, training=False):
        if not training:
            return (x - self.mean) / np.sqrt(self.variance + 1e-5)
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        self.mean += 0.1 * (mean - self.mean)
        self.variance += 0.1 * (variance - self.variance)
        self.sd = np.sqrt(variance + 1e-5)
        self.y = (x - mean) / self.sd
        return self.y

    def backward(self, dy):
        return (dy - dy.mean((0, 1, 2)) - self.y * (dy * self.y).mean((0, 1, 2))) / self.sd


class HalfInTraining(nn.Layer):
    """Stands for all that is spoilt by training before it is looked at."""

    def __init__(self):
        super().__init__()
        self.factor = np.ones(1)

    def forward(self, x, training=False):
        if training:
            self.factor *= 0.5
        return x * self.factor

    def backward(self, dy):
        return dy * self.factor


def network(own):
    rng = np.random.default_rng(0)
    options = {"rng": rng, "dtype": np.float64}
    branches = nn.Concat(nn.Conv2D(3, 2, 3, **options), nn.MaxPool2D(3, 1, padding="same"))
    return nn.Sequential(
        nn.Conv2D(2, 3, 3, **options), own, nn.ReLU(), branches, nn.Dropout(0.5, rng=rng), nn.Flatten(),
        nn.Dense(4 * 5 * 5, 3, **options),
    )  # fmt: skip


X = np.random.default_rng(1).standard_normal((4, 5, 2))


@pytest.mark.parametrize("own", [lambda: BatchNorm(3), HalfInTraining], ids=["batch norm", "half in training"])
def test_what_is_shown_is_what_forward_computes(own):
    net = network(own())
    x = X[None]
    outputs = {}
    for name, layer in net.children.items():
        x = outputs[name] = layer.forward(x).copy()
    steps = trace(net, X)
    for step in steps[1:]:
        if "." not in step.name:
            np.testing.assert_array_equal(step.y.ravel(), outputs[step.name].ravel(), err_msg=step.name)
    assert [step.name for step in steps if step.differs_in_training] == [list(net.children)[1]]
    (own_step,) = (step for step in steps if step.differs_in_training)
    assert "in training it computes something else" in own_step.title


def test_the_network_stays_as_it_is():
    net = network(BatchNorm(3))
    before = net.forward(X[None]).copy()
    trace(net, X)
    np.testing.assert_array_equal(net.forward(X[None]), before)
    assert (net.layers[1].mean == 0.5).all()


def test_the_gradients_behind_it_are_those_of_the_logit_that_forward_gives():
    net = network(BatchNorm(3))
    steps = trace(net, X)
    own = next(step for step in steps if step.differs_in_training)
    label = net.forward(X[None]).argmax()
    y = own.y[None].copy()

    def logit():
        out = y
        for layer in net.layers[2:]:
            out = layer.forward(out)
        return out[0, label]

    np.testing.assert_allclose(own.dy, central_difference(logit, y, step=1e-6)[0], atol=1e-7)


def test_the_gradient_before_it_is_that_of_its_training():
    steps = trace(network(BatchNorm(3)), X)
    k = next(k for k, step in enumerate(steps) if step.differs_in_training)
    layer, before = BatchNorm(3), steps[k - 1]
    layer.forward(before.y[None], training=True)
    np.testing.assert_array_equal(before.dy, layer.backward(steps[k].dy[None])[0])


def test_dropout_hands_everything_through():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Dense(40, 2, dtype=np.float64))
    steps = trace(net, X)
    np.testing.assert_array_equal(steps[1].y, steps[2].y)
    np.testing.assert_array_equal(steps[1].dy, steps[2].dy)
    assert steps[2].dy.all()
