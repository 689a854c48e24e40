"""A network in a file: what `save` writes of any network, `nn.load` builds again; and what it refuses."""

import json

import numpy as np
import pytest

import npcnn as nn

LAYERS = {
    "conv2d": (lambda: nn.Conv2D(2, 4, (3, 1), 2, ((1, 1), (0, 1)), (1, 1), False, activation="relu"), (5, 6, 2)),
    "conv1d": (
        lambda: nn.Conv1D(2, np.int64(3), 3, axis="width", stride=2, padding="valid", algorithm="im2col"),
        (5, 6, 2),
    ),
    "separable": (lambda: nn.SpatiallySeparableConv2D(2, 3, 3, middle_activation=None, bias=False), (5, 6, 2)),
    "groups": (lambda: nn.Conv2D(2, 4, 3, groups=2), (5, 6, 2)),
    "depthwise": (lambda: nn.DepthwiseConv2D(2, 3, multiplier=2, stride=2, bias=False), (5, 6, 2)),
    "depthwise separable": (lambda: nn.DepthwiseSeparableConv2D(2, 5, 3, activation="relu"), (5, 6, 2)),
    "transposed": (lambda: nn.Conv2DTranspose(2, 3, 3, 2, bias=False), (5, 6, 2)),
    "resampled": (lambda: nn.Sequential(nn.UpSample2D((2, 3), "bilinear"), nn.ZeroPad2D(((1, 0), (0, 2)))), (5, 6, 2)),
    "max_pool": (lambda: nn.MaxPool2D([2, 3], 1, "same", dilation=2), (5, 6, 2)),
    "ceil_mode": (lambda: nn.AvgPool2D(2, ceil_mode=True), (5, 7, 2)),
    "avg_pool": (lambda: nn.AvgPool2D(2, padding=1, count_include_pad=True), (5, 6, 2)),
    "batch_norm": (lambda: nn.BatchNorm(2, momentum=0.5, eps=1e-5, shift=False, activation="relu"), (5, 6, 2)),
    "layer_norm": (lambda: nn.LayerNorm(2, scale=False), (5, 6, 2)),
    "activations": (
        lambda: nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.GELU("tanh"),
            nn.SiLU(),
            nn.Sigmoid(),
            nn.Tanh(),
            nn.ReLU(),
            nn.Rescale(0.5),
            nn.Softmax(),
            nn.LogSoftmax(),
            nn.Identity(),
            nn.Flatten(channels_first=True),
        ),
        (5, 6, 2),
    ),
    "dense": (lambda: nn.Dense(60, 3, bias=False), (60,)),
    "dropout": (lambda: nn.Sequential(nn.Dropout(0.25, rng=np.random.default_rng(0)), nn.Flatten()), (5, 6, 2)),
    "concat": (lambda: nn.Concat(nn.Conv2D(2, 3, 1), nn.ReLU(), nn.Add(nn.ReLU(), nn.ReLU())), (5, 6, 2)),
    "residual": (lambda: nn.Residual(nn.Conv2D(2, 2, 3), activation="relu"), (5, 6, 2)),
    "shortcut": (lambda: nn.Residual(nn.Conv2D(2, 3, 3, 2), nn.Conv2D(2, 3, 1, 2)), (5, 6, 2)),
    "float64": (lambda: nn.Conv2D(2, 3, 3, dtype=np.float64), (5, 6, 2)),
    "resnet": (lambda: nn.models.resnet(8, classes=3, input_channels=2), (5, 6, 2)),
    "pooled": (lambda: nn.Sequential(nn.Conv2D(2, 8, 3), nn.MaxPool2D(2), nn.GlobalAvgPool2D()), (5, 6, 2)),
}


class Scale(nn.Layer):
    """One factor a channel."""

    def __init__(self, channels, dtype=np.float32):
        super().__init__()
        self.add_parameter("s", (channels,), nn.initializers.constant(1.0), dtype=dtype)

    def forward(self, x, training=False):
        self.x = x
        return x * self.params["s"]

    def backward(self, dy):
        self.grads["s"] = (dy * self.x).sum((0, 1, 2))
        return dy * self.params["s"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.safetensors"


def is_loaded_again(net, path, shape, layers=()):
    """Return the loaded network, after comparing it with the saved one, its outputs bit for bit."""
    rng = np.random.default_rng(3)
    for name, array in net.arrays.items():
        array[...] = rng.uniform(0.1, 1, array.shape)
        assert net.arrays[name] is array
    net.save(path)
    again = nn.load(path, layers)
    assert repr(again) == repr(net)
    dtype = next((array.dtype for array in net.arrays.values()), np.float32)
    x = rng.standard_normal((2, *shape)).astype(dtype)
    np.testing.assert_array_equal(again(x), net(x))
    return again


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_comes_back(name, path):
    make, shape = LAYERS[name]
    is_loaded_again(make(), path, shape)


def test_no_layer_is_forgotten_here():
    """Whoever adds a layer adds it to LAYERS, in which its arguments differ from their defaults."""
    named = {type(layer).__name__ for make, _ in LAYERS.values() for _, layer in make().walk()}
    assert set(nn.layers.__all__) - {"Layer"} <= named


def test_an_own_layer_comes_back_by_its_class(path):
    net = nn.Sequential(nn.Conv2D(2, 3, 3), Scale(3), nn.GlobalAvgPool2D())
    again = is_loaded_again(net, path, (5, 6, 2), [Scale])
    assert type(again.layers[1]) is Scale
    is_loaded_again(net.astype(np.float64), path, (5, 6, 2), [Scale])
    with pytest.raises(nn.WeightsError, match=r"layer Scale, which is not one of npcnn's; .*layers=\[Scale\]"):
        nn.load(path)


def test_an_own_layer_is_not_taken_for_one_of_the_same_name(path):
    class ReLU(nn.ReLU):
        def forward(self, x, training=False):
            return super().forward(x - 1, training)

    nn.Sequential(ReLU(), nn.ReLU()).save(path)
    with pytest.raises(nn.WeightsError, match="layer ReLU, which is not one of npcnn's"):
        nn.load(path)
    again = nn.load(path, [ReLU])
    assert [type(layer) for layer in again.layers] == [ReLU, nn.ReLU]


def test_a_network_class_of_ones_own(path):
    class Net(nn.Sequential):
        def __init__(self, width, *, deep=False):
            super().__init__(nn.Conv2D(1, width, 3), *([nn.ReLU()] if deep else []), nn.GlobalAvgPool2D())

    is_loaded_again(Net(4, deep=True), path, (5, 5, 1), [Net])
    net = Net(4)
    net.children["0_conv2d"] = nn.Conv2D(1, 4, 3, activation="relu")
    net.save(path)
    with pytest.raises(nn.WeightsError, match=r"0_conv2d was saved as .*'relu'\), but .* builds is Conv2D\(1, 4, 3\)"):
        nn.load(path, [Net])


def test_layers_put_in_and_arguments_set_later_are_saved(path):
    net = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))
    net.children["0_relu"] = nn.Residual(nn.ReLU())
    net.layers[1].rate = 0.25
    net.save(path)
    with pytest.raises(nn.WeightsError, match="0_relu was saved as Residual"):
        nn.load(path)  # its names would be others
    net = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))
    net.layers[1].rate = 0.25
    net.save(path)
    assert nn.load(path).layers[1].rate == 0.25


def test_options_and_places_of_an_own_constructor(path):
    class Odd(nn.Layer):
        def __init__(self, first, *layers, last=None, rng, **options):
            super().__init__()
            self.seen = (first, last, options)
            self.drawn = rng.random()
            self.children = {str(i): layer for i, layer in enumerate(layers)}

        def forward(self, x, training=False):
            return x

    net = Odd(1.5, nn.ReLU(), nn.ReLU(), last=("a", None), rng=np.random.default_rng(0), x=True, y=np.int64(3))
    net.save(path)
    again = nn.load(path, [Odd])
    assert again.seen == (1.5, ("a", None), {"x": True, "y": 3})
    assert list(again.children) == ["0", "1"]


def test_arguments_that_json_cannot_hold(path):
    class Apply(nn.Layer):
        def __init__(self, function, table=None):
            super().__init__()
            self.function = function

        def forward(self, x, training=False):
            return self.function(x)

    net = nn.Sequential(Apply(np.abs))
    net.save(path)
    with pytest.raises(nn.WeightsError, match=r"function of Apply cannot be had from the file .*ufunc.*call its load"):
        nn.load(path, [Apply])
    net.load(path)


def test_an_argument_kept_as_something_else_is_found_out(path):
    class Twice(nn.Layer):
        def __init__(self, size):
            super().__init__()
            self.size = 2 * size

        def forward(self, x, training=False):
            return x

    Twice(3).save(path)
    with pytest.raises(nn.WeightsError, match=r"saved as Twice\(6\), but what its description builds is Twice\(12\)"):
        nn.load(path, [Twice])


def test_what_it_was_trained_on(path):
    net = nn.Sequential(nn.Dense(2, 2))
    again = is_loaded_again(net, path, (2,))
    assert (again.classes, again.picture_shape, again.input_steps) == (None, None, None)
    net.classes, net.picture_shape, net.input_steps = ("no", "yes"), (32, 32, 3), [{"step": "crop", "size": 24}]
    again = is_loaded_again(net, path, (2,))
    assert (again.classes, again.picture_shape) == (("no", "yes"), (32, 32, 3))
    assert again.input_steps == net.input_steps


@pytest.mark.parametrize("model", nn.models.ARTICLE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_without_a_description_still_load(model, dtype, path, rng):
    net = nn.models.ARTICLE[model](rng=rng, dtype=dtype)
    nn.weights.save(net.arrays, path)
    x = rng.standard_normal((1, 24, 24, 3)).astype(dtype)
    np.testing.assert_array_equal(nn.load(path)(x), net(x))
    nn.weights.save(nn.Dense(2, 2).arrays, path)
    with pytest.raises(nn.WeightsError, match="does not say what network it holds, and it is none of separable, "):
        nn.load(path)


def test_the_file_is_read_without_npcnn(path):
    safetensors = pytest.importorskip("safetensors")
    net = nn.Sequential(nn.Conv2D(1, 2, 3))
    net.save(path)
    with safetensors.safe_open(path, "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("0_conv2d.w"), net.params["0_conv2d.w"])
        about = json.loads(file.metadata()["npcnn"])
    assert about["layers"]["0_conv2d"] == "Conv2D(1, 2, 3)"


def described(**arguments):
    return {"layer": "npcnn.Conv2D", "arguments": {"in_channels": 1, "out_channels": 2, "kernel_size": 3} | arguments}


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            {"layer": "npcnn.Sequential", "arguments": {"layers": []}},
            "Sequential cannot be built .* at least one layer",
        ),
        (described(kernel_size=0), "Conv2D cannot be built from the arguments in the file: kernel_size must be"),
        (described(kernel_size=5), r"saved as Conv2D\(1, 2, 3\), but .* Conv2D\(1, 2, 5\)"),
        (described(out_channels=3), r"Conv2D\(1, 3, 3\)"),
        (described(colour="red"), "Conv2D cannot be built .*unexpected keyword argument 'colour'"),
        (described(rng={"unreadable": "Thing"}), "rng of npcnn.Conv2D cannot be had from the file"),
        (described(dtype={"dtype": "object"}), "dtype of npcnn.Conv2D cannot be had"),
        (described(out_channels=2**60), "Conv2D cannot be built"),
        ({"layer": "npcnn.os", "arguments": {}}, "which this version of npcnn does not have"),
        ({"layer": "os.system", "arguments": {"command": "true"}}, "not one of npcnn's"),
        ({"layer": ["npcnn.Conv2D"], "arguments": {}}, "which this version of npcnn does not have"),
        ({"layer": "npcnn.Layer", "arguments": {}}, "which this version of npcnn does not have"),
        ({"layer": "npcnn.Conv2D"}, "must be an object with its arguments"),
        (7, "must be an object with its arguments, got 7"),
    ],
)
def test_what_is_no_description_of_the_network_is_refused(network, message, path):
    net = nn.Conv2D(1, 2, 3)
    about = {
        "format": 1,
        "network": network,
        "layers": {"": repr(net)},
        "classes": None,
        "picture_shape": None,
        "input_steps": None,
    }
    nn.weights.save(net.arrays, path, metadata={"npcnn": json.dumps(about)})
    with pytest.raises(nn.WeightsError, match=message) as caught:
        nn.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("about", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 2}', "[" * 100_000])
def test_a_damaged_description_is_refused(about, path):
    nn.weights.save(nn.Conv2D(1, 2, 3).arrays, path, metadata={"npcnn": about})
    with pytest.raises(
        nn.WeightsError, match=r"network\.safetensors: (the description of the network is damaged|.*later)"
    ):
        nn.load(path)


def test_arrays_that_are_not_those_of_the_network(path):
    net = nn.Conv2D(1, 2, 3)
    about = {
        "format": 1,
        "network": described(),
        "layers": {"": repr(net)},
        "classes": None,
        "picture_shape": None,
        "input_steps": None,
    }
    nn.weights.save({"w": net.params["w"]}, path, metadata={"npcnn": json.dumps(about)})
    with pytest.raises(nn.WeightsError, match="does not hold the network that it describes: b is missing"):
        nn.load(path)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([Scale(3)], TypeError, r"layers\[0\] must be a subclass of Layer, the class itself, got Scale"),
        ([Scale, Scale], ValueError, "two of the name Scale"),
        ([dict], TypeError, "must be a subclass of Layer"),
    ],
)
def test_wrong_classes_are_named(layers, error, message, path):
    nn.Conv2D(1, 2, 3).save(path)
    with pytest.raises(error, match=message):
        nn.load(path, layers)
