"""Parameters and gradients by name: what is assigned is written, and what does not fit is refused."""

import copy
import pickle

import numpy as np
import pytest

import npcnn as nn


def network():
    rng = np.random.default_rng(0)
    return nn.Sequential(nn.Conv2D(1, 2, 3, rng=rng), nn.ReLU(), nn.GlobalAvgPool2D(), nn.Dense(2, 3, rng=rng))


X = np.random.default_rng(1).standard_normal((4, 5, 5, 1)).astype(np.float32)


def test_what_is_assigned_to_a_name_is_what_the_network_computes_with():
    net, other = network(), nn.Sequential(*(copy.deepcopy(layer) for layer in network().layers))
    w = np.random.default_rng(2).standard_normal((3, 3, 1, 2)).astype(np.float32)
    other.params["0_conv2d.w"][...] = w
    expected = other.forward(X)
    assert not np.array_equal(net.forward(X), expected)
    array = net.params["0_conv2d.w"]
    net.params["0_conv2d.w"] = w
    assert net.params["0_conv2d.w"] is array
    np.testing.assert_array_equal(net.forward(X), expected)
    w[...] = 0  # it was copied
    np.testing.assert_array_equal(net.forward(X), expected)


@pytest.mark.parametrize("assign", ["item", "update", "or"])
def test_every_way_of_assigning_writes(assign):
    layer = nn.Dense(1, 2)
    params, b = layer.params, np.array([1, 2], np.float32)
    if assign == "item":
        params["b"] = b
    elif assign == "update":
        params.update(b=b)
    else:
        params |= {"b": b}
    np.testing.assert_array_equal(layer.forward(np.zeros((1, 1), np.float32)), [[1, 2]])


def test_changing_in_place_goes_through_assignment_too():
    layer = nn.Dense(1, 2, dtype=np.float64)
    layer.params["b"] += 3
    layer.grads["b"] -= 1
    assert layer.params["b"].tolist() == [3, 3]
    assert layer.grads["b"].tolist() == [-1, -1]


@pytest.mark.parametrize("which", ["params", "grads"])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda p: p.__setitem__("0_conv2d.b", np.zeros(3, "f4")),
            nn.ShapeError,
            r"0_conv2d\.b must have shape \(2,\)",
        ),
        (
            lambda p: p.__setitem__("0_conv2d.b", np.zeros(2)),
            nn.DTypeError,
            r"0_conv2d\.b must have the dtype.*float32",
        ),
        (
            lambda p: p.__setitem__("0_conv2d.b", [0.0, 0.0]),
            TypeError,
            r"0_conv2d\.b must be a numpy\.ndarray, got list",
        ),
        (lambda p: p.__setitem__("0_conv2d.c", np.zeros(2, "f4")), nn.WeightsError, r"'0_conv2d\.c' is not one"),
        (lambda p: p.setdefault("c", np.zeros(2, "f4")), nn.WeightsError, "cannot be removed|is not one"),
        (lambda p: p.__delitem__("0_conv2d.b"), nn.WeightsError, "cannot be removed"),
        (lambda p: p.pop("0_conv2d.b"), nn.WeightsError, "cannot be removed"),
        (lambda p: p.popitem(), nn.WeightsError, "cannot be removed"),
        (lambda p: p.clear(), nn.WeightsError, "cannot be removed"),
        (
            lambda p: p.update({"0_conv2d.b": np.ones(2, "f4"), "3_dense.b": np.ones(2, "f4")}),
            nn.ShapeError,
            r"3_dense\.b must have shape \(3,\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changed(which, change, error, message):
    net = network()
    before = {name: array.copy() for name, array in getattr(net, which).items()}
    with pytest.raises(error, match=message):
        change(getattr(net, which))
    after = getattr(net, which)
    assert list(after) == list(before)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


@pytest.mark.parametrize(
    "duplicate", [dict, copy.copy, copy.deepcopy, lambda p: p.copy(), lambda p: pickle.loads(pickle.dumps(p))]
)
def test_a_copy_is_a_plain_dictionary(duplicate):
    net = network()
    kept = duplicate(net.params)
    assert type(kept) is dict
    for name, array in net.params.items():
        np.testing.assert_array_equal(kept.pop(name), array)
    assert not kept


def test_a_number_of_no_axes_takes_a_scalar():
    class Bias(nn.Layer):
        def __init__(self):
            super().__init__()
            self.add_parameter("b", (), nn.initializers.constant(1.0))

        def forward(self, x, training=False):
            return x + self.params["b"]

        def backward(self, dy):
            self.grads["b"] = dy.sum()  # np.float32
            return dy

    layer = Bias()
    layer.forward(X, training=True)
    layer.backward(np.ones_like(X))
    assert layer.grads["b"] == X.size


def test_added_parameters_are_checked():
    layer = nn.Layer()
    one = nn.initializers.constant(1.0)
    layer.add_parameter("w", 3, one)
    assert layer.params["w"].shape == layer.grads["w"].shape == (3,)
    for name in ("w", "", "a.b", 3):
        with pytest.raises(ValueError, match=r"name must be a string without a dot that no array has yet \(w\)"):
            layer.add_parameter(name, (2,), one)
    with pytest.raises(nn.DTypeError, match="dtype must be"):
        layer.add_parameter("i", (2,), one, dtype=np.int32)
    with pytest.raises(ValueError, match=r"shape\[0\] must be"):
        layer.add_parameter("i", (-2,), one)
    with pytest.raises(TypeError, match="rng must be"):
        layer.add_parameter("i", (2,), one, rng=0)
    assert list(layer.params) == ["w"]


class Assigns(nn.Layer):
    """A factor and an addend for each feature, whose backward assigns new arrays to its gradients."""

    def __init__(self):
        super().__init__()
        self.add_parameter("s", (3,), nn.initializers.constant(1.0), dtype=np.float64)
        self.add_parameter("t", (3,), nn.initializers.constant(0.0), dtype=np.float64)

    def forward(self, x, training=False):
        self.x = x
        return x * self.params["s"] + self.params["t"]

    def backward(self, dy):
        self.grads["s"] = (dy * self.x).sum(axis=0)
        self.grads.update(t=dy.sum(axis=0))
        return dy * self.params["s"]


class AssignsWithoutNpcnn:
    """The same with dictionaries of its own, in which every assignment puts another array."""

    def __init__(self):
        self.params = {"s": np.ones(3), "t": np.zeros(3)}
        self.grads = {"s": np.zeros(3), "t": np.zeros(3)}

    def forward(self, x, training=False):
        self.x = x
        return x * self.params["s"] + self.params["t"]

    def backward(self, dy, *, need_dx=True):
        self.grads = {"s": (dy * self.x).sum(axis=0), "t": dy.sum(axis=0)}
        return dy * self.params["s"]


@pytest.mark.parametrize("layer", [Assigns, AssignsWithoutNpcnn])
@pytest.mark.parametrize("make", [nn.Adam, lambda net: nn.SGD(net, 0.1, momentum=0.5)], ids=["adam", "sgd"])
def test_a_layer_that_assigns_its_gradients_trains(layer, make):
    net = layer()
    optimizer = make(net)
    x, dy = np.array([[1.0, -2.0, 3.0]]), np.ones((1, 3))
    for _ in range(3):
        before = {name: array.copy() for name, array in net.params.items()}
        net.forward(x, training=True)
        net.backward(dy)
        optimizer.step()
        assert (np.sign(net.params["s"] - before["s"]) == [[-1, 1, -1]]).all()
        assert (net.params["t"] < before["t"]).all()


@pytest.mark.parametrize("layer", [Assigns, AssignsWithoutNpcnn])
def test_a_parameter_that_is_assigned_is_the_one_that_trains(layer):
    net = layer()
    optimizer = nn.SGD(net, 1.0)
    net.params["t"] = np.array([10.0, 20.0, 30.0])
    net.forward(np.zeros((1, 3)), training=True)
    net.backward(np.ones((1, 3)))
    optimizer.step()
    assert net.params["t"].tolist() == [9, 19, 29]


@pytest.mark.parametrize("model", ["simple_cnn", "resnet20", "separable", "multichannel"])
def test_a_network_and_its_optimizer_are_pickled_without_the_room_they_compute_in(model):
    net = nn.models.MODELS[model](classes=4, rng=np.random.default_rng(0))
    optimizer = nn.SGD(net, 0.1, momentum=0.9)
    x, labels = np.random.default_rng(0).standard_normal((8, 24, 24, 3)).astype(np.float32), np.arange(8) % 4
    before = len(pickle.dumps((net, optimizer)))
    nn.train.fit(net, iter([(x, labels)] * 2), optimizer, steps=2)
    net.forward(x)
    content = pickle.dumps((net, optimizer))
    momentum = sum(array.nbytes for array in net.params.values())
    assert len(content) < before + momentum + 50_000
    again, its_optimizer = pickle.loads(content)
    for one, other in ((net, optimizer), (again, its_optimizer)):
        nn.train.fit(one, iter([(x, labels)] * 2), other, steps=2)
    for name, array in net.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
