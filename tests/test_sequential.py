"""Networks put together: which channels go where, found without a picture, and what is refused."""

import numpy as np
import pytest

import npcnn as nn


def test_pooling_branch_counts_its_channels(rng):
    inception = nn.Concat(nn.Conv2D(3, 4, 1, rng=rng), nn.MaxPool2D(3, 1, padding="same"))
    net = nn.Sequential(nn.Conv2D(1, 3, 1, rng=rng), inception, nn.Conv2D(7, 2, 3, rng=rng))
    x = rng.standard_normal((2, 5, 5, 1)).astype(np.float32)
    assert net.forward(x).shape == (2, 5, 5, 2)
    with pytest.raises(nn.ShapeError, match=r"layer 2.*takes 3 channels, but 7"):
        nn.Sequential(
            nn.Conv2D(1, 3, 1),
            nn.Concat(nn.Conv2D(3, 4, 1), nn.MaxPool2D(3, 1, padding="same")),
            nn.Conv2D(3, 2, 3),
        )


def test_network_in_a_network_takes_what_its_first_layer_takes():
    inner = nn.Sequential(nn.Concat(nn.ReLU(), nn.MaxPool2D(1)), nn.Conv2D(6, 2, 1))
    net = nn.Sequential(nn.Conv2D(1, 3, 1), inner)
    assert net.output_shape((4, 4, 1)) == (4, 4, 2)
    with pytest.raises(nn.ShapeError, match=r"layer 1, layer 1, Conv2D.*takes 8 channels, but 6"):
        nn.Sequential(
            nn.Conv2D(1, 3, 1),
            nn.Sequential(nn.Concat(nn.ReLU(), nn.MaxPool2D(1)), nn.Conv2D(8, 2, 1)),
        )


def test_dense_features_are_checked_where_no_picture_size_is_needed():
    with pytest.raises(nn.ShapeError, match=r"layer 1, Dense\(5, 2\) takes 5 features, but 4"):
        nn.Sequential(nn.Dense(3, 4), nn.Dense(5, 2))
    with pytest.raises(nn.ShapeError, match=r"layer 2, Dense\(4, 2\) takes 4 features, but 3"):
        nn.Sequential(nn.Conv2D(1, 3, 1), nn.GlobalAvgPool2D(), nn.Dense(4, 2))
    # Behind Flatten the number of features depends on the picture.
    net = nn.Sequential(nn.Conv2D(1, 3, 1), nn.Flatten(), nn.Dense(12, 2))
    assert net.output_shape((2, 2, 1)) == (2,)


def test_layer_that_does_not_say_is_not_refused():
    class Doubled(nn.Layer):
        def output_shape(self, input_shape):
            return (*input_shape[:-1], 2 * input_shape[-1])

    nn.Sequential(nn.Conv2D(1, 3, 1), Doubled(), nn.Conv2D(6, 2, 1))


def test_layer_used_twice_is_found_at_any_depth():
    layer = nn.ReLU()
    with pytest.raises(ValueError, match="given twice"):
        nn.Sequential(layer, nn.Sequential(layer))
    with pytest.raises(ValueError, match="given twice"):
        nn.Concat(nn.Sequential(layer), nn.Sequential(layer))


def test_dtype_error_names_the_layer():
    net = nn.Sequential(nn.ReLU(), nn.Conv2D(1, 1, 1))
    with pytest.raises(nn.DTypeError, match="layer 1, conv2d: x must have the dtype of w"):
        net.forward(np.zeros((1, 2, 2, 1)))


def test_summary_of_a_layer_alone_and_of_a_subclass_of_concat():
    assert "90" in nn.summary.table(nn.Conv2D(1, 1, 3), (5, 2, 1))

    class Inception(nn.Concat):
        pass

    table = nn.Sequential(Inception(nn.Conv2D(1, 2, 1), nn.Conv2D(1, 3, 3))).summary((5, 2, 1))
    assert "5 x 2 x 5" in table


SEED = np.random.default_rng(0)


def returns(array):
    return lambda shape, rng, dtype: array


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2D(3, 4, 0), ValueError, "kernel_size must be"),
        (lambda: nn.Conv2D(3, 4, (3, 0)), ValueError, r"kernel_size\[1\] must be"),
        (lambda: nn.Conv2D(3, 4, "3"), TypeError, "kernel_size must be"),
        (lambda: nn.Conv2D(0, 4, 3), ValueError, "in_channels must be"),
        (lambda: nn.Conv2D(3, 4.0, 3), TypeError, "out_channels must be"),
        (lambda: nn.Conv2D(3, 4, 3, stride=0), ValueError, "stride must be"),
        (lambda: nn.Conv2D(3, 4, 3, padding="reflect"), ValueError, "padding must be"),
        (lambda: nn.Conv2D(3, 4, 3, dilation=0), ValueError, "dilation must be"),
        (lambda: nn.Conv1D(3, 4, 3, axis="width", padding=(1, -1)), ValueError, "padding must be"),
        (lambda: nn.MaxPool2D(2, padding=2), ValueError, "padding must be smaller than the pooling window"),
        (lambda: nn.Conv2D(3, 4, 3, weight_init=0), TypeError, "initializer of w must be"),
        (lambda: nn.Conv2D(3, 4, 3, activation="tanh"), ValueError, "activation must be"),
        (lambda: nn.Conv2D(3, 4, 3, dtype="f2"), nn.DTypeError, "dtype must be"),
        (lambda: nn.Conv2D(3, 4, 3, rng=0), TypeError, r"rng must be.*default_rng\(seed\)"),
        (lambda: nn.Dense(3, 4, rng=0), TypeError, "rng must be"),
        (lambda: nn.Dropout(0.5, rng=0), TypeError, "rng must be"),
        (lambda: nn.Dropout(1.0), ValueError, "rate must be"),
        (lambda: nn.Conv1D(3, 4, 3, axis="depth"), ValueError, "axis must be"),
        (lambda: nn.Conv1D(3, 4, 3, axis="width", algorithm="fft"), ValueError, "algorithm must"),
        (
            lambda: nn.Conv1D(3, 4, 3, axis="width", algorithm="toom_cook", stride=2),
            ValueError,
            "toom_cook",
        ),
        (lambda: nn.Dense(2, 3, weight_init=5), TypeError, "initializer of w must be"),
        (
            lambda: nn.Dense(2, 3, bias_init=returns(np.zeros(2, "f4"))),
            nn.ShapeError,
            r"initializer of b must return shape \(3,\), got \(2,\)",
        ),
        (
            lambda: nn.Dense(2, 3, weight_init=returns(np.zeros((2, 3)))),
            nn.DTypeError,
            "initializer of w must return float32, got float64",
        ),
        (
            lambda: nn.initializers.he_normal()((4,), SEED, "f4"),
            nn.ShapeError,
            "he_normal is for weights",
        ),
        (
            lambda: nn.initializers.glorot_uniform()((4,), SEED, "f4"),
            nn.ShapeError,
            "glorot_uniform is for weights",
        ),
        (lambda: nn.initializers.constant(float("nan")), ValueError, "value must be"),
        (lambda: nn.MaxPool2D(0), ValueError, "size must be"),
        (lambda: nn.Sequential(nn.ReLU), TypeError, r"layers\[0\] must be"),
        (lambda: nn.Sequential([nn.ReLU(), nn.ReLU()]), TypeError, r"unpack it: Sequential\(\*layers\)"),
        (lambda: nn.Concat((nn.ReLU(),)), TypeError, r"unpack it: Concat\(\*branches\)"),
        (lambda: nn.Concat(), ValueError, "branches must be"),
    ],
)
def test_wrong_arguments_are_refused_at_construction(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2D(3, 4, 3), nn.MaxPool2D(2), nn.AvgPool2D(2), nn.GlobalAvgPool2D()],
    ids=repr,
)
def test_wrong_input_says_what_x_must_be(layer):
    with pytest.raises(nn.ShapeError, match=r"got \(8, 3\) not counting the batch axis; forward needs"):
        layer.forward(np.zeros((8, 8, 3), np.float32))
    y = layer.forward(np.zeros((1, 8, 8, 3), np.float32), training=True)
    with pytest.raises(TypeError, match=r"dy must be a numpy\.ndarray.*got list"):
        layer.backward(y.tolist())


@pytest.mark.parametrize("layer", [nn.Dense(3, 3), nn.Dropout(0.5)], ids=repr)
def test_gradient_of_another_dtype_is_refused(layer):
    y = layer.forward(np.ones((1, 3), np.float32), training=True)
    with pytest.raises(nn.DTypeError, match="dy must have the dtype"):
        layer.backward(y.astype(np.float64))


def test_an_initializers_array_is_copied():
    values = np.ones((2, 3), np.float32)
    layer = nn.Dense(2, 3, weight_init=returns(values))
    layer.params["w"][...] = 5
    assert (values == 1).all()


def small(seed, channels=4):
    return nn.Conv2D(channels, 4, 3, padding="same", rng=np.random.default_rng(seed))


REPLACED = {
    "Sequential": (lambda *layers: nn.Sequential(*layers), small, "1_conv2d"),
    "Sequential, fused": (
        lambda *layers: nn.Sequential(*layers, nn.MaxPool2D(2)),
        lambda seed: nn.Conv2D(4, 64, 5, algorithm="toom_cook", rng=np.random.default_rng(seed)),
        "1_conv2d",
    ),
    "Concat": (lambda *layers: nn.Concat(*layers), small, "1_conv2d"),
    "SpatiallySeparableConv2D": (
        lambda *layers: nn.SpatiallySeparableConv2D(4, 4, 3, rng=np.random.default_rng(5)),
        lambda seed: nn.Conv1D(4, 4, 3, axis="width", rng=np.random.default_rng(seed)),
        "horizontal",
    ),
}


@pytest.mark.parametrize(("make", "layer", "name"), REPLACED.values(), ids=REPLACED)
def test_another_layer_put_into_children_takes_part(make, layer, name):
    """Forward, backward, parameters and repr: none may go on with the layer that was there."""
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 4)).astype(np.float32)
    replaced, built = make(small(1), layer(2)), make(small(1), layer(3))
    replaced.forward(x)
    new = layer(3)
    replaced.children[name] = new
    if name == "horizontal":
        built.params.update({f"{name}.{key}": array for key, array in new.params.items()})
    y = replaced.forward(x, training=True)
    np.testing.assert_array_equal(y, built.forward(x, training=True))
    np.testing.assert_array_equal(replaced.backward(y), built.backward(y))
    assert new.grads["w"].any()
    assert list(replaced.params) == list(built.params)
    for key, array in built.grads.items():
        np.testing.assert_array_equal(replaced.grads[key], array)
    assert repr(replaced) == repr(built)


def test_the_order_of_layers_is_that_of_children_and_cannot_be_assigned():
    net, branches = nn.Sequential(nn.ReLU(), nn.Flatten()), nn.Concat(nn.ReLU())
    new = nn.ReLU()
    net.children["0_relu"] = branches.children["0_relu"] = new
    assert net.layers[0] is branches.branches[0] is new
    with pytest.raises(AttributeError, match="layers"):
        net.layers = (nn.ReLU(),)
    with pytest.raises(AttributeError, match="branches"):
        branches.branches = (nn.ReLU(),)
