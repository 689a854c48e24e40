"""Arrays of other libraries: read where they lie, wherever NumPy's are; those of a device are refused in words."""

import numpy as np
import pytest

import npcnn as nn
from npcnn import functional as F
from npcnn.functional.exchange import as_array


class ByDLPack:
    """An array that speaks DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class ByInterface:
    """An array that speaks NumPy's interface and nothing else."""

    def __init__(self, array):
        self.array = array

    @property
    def __array_interface__(self):
        return self.array.__array_interface__


class OnDevice(ByDLPack):
    def __dlpack_device__(self):
        return 2, 1


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return ByInterface(array)


def torch_tensor(array):
    return pytest.importorskip("torch").from_numpy(np.array(array))


KINDS = {"DLPack": ByDLPack, "interface": ByInterface, "read-only": read_only, "PyTorch": torch_tensor}
each_kind = pytest.mark.parametrize("wrapped", KINDS.values(), ids=KINDS)


@each_kind
def test_no_number_is_copied(wrapped):
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    given = wrapped(x)
    array = as_array(given, "x")
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, x)
    assert np.shares_memory(array, given.numpy() if wrapped is torch_tensor else given.array)


@each_kind
def test_the_memory_lives_as_long_as_the_array(wrapped):
    arrays = [as_array(wrapped(np.full(50_000, i, np.float64)), "x") for i in range(20)]
    assert [array.mean() for array in arrays] == list(range(20))


@pytest.mark.parametrize("value", [3, "x", None, [1.0], np.ones(2), np.float32(1), np.ndarray, object()])
def test_what_is_no_array_of_another_library_stays_what_it_is(value):
    assert as_array(value, "x") is value


@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_function_takes_them(wrapped, dtype, rng):
    def drawn(*shape):
        return rng.standard_normal(shape).astype(dtype)

    x, w, b, dy = drawn(2, 4, 4, 3), drawn(3, 3, 3, 2), drawn(2), drawn(2, 4, 4, 2)
    labels, soft, statistics = np.array([0, 2]), np.eye(2, 3, dtype=dtype), np.abs(drawn(3)).astype(np.float64)
    scale, pooled, argmax = drawn(3), *F.max_pool2d(x, 2)
    pooling = {"size": 2}
    largest, places = F.conv2d_max_pool2d(x, w, b, pooling=pooling)

    def results(of):
        return [
            F.conv2d(of(x), of(w), of(b)),
            *F.conv2d_backward(of(dy), of(x), of(w), relu_output=of(dy)),
            F.conv2d(of(x), of(w[:, :, :1, [0, 1, 0]]), groups=3),
            F.conv1d(of(x), of(w[0]), of(b), axis="width"),
            *F.conv1d_backward(of(dy), of(x), of(w[0]), axis="width"),
            F.linear(of(x[:, 0, 0]), of(w[0, 0]), of(b)),
            *F.linear_backward(of(dy[:, 0, 0]), of(x[:, 0, 0]), of(w[0, 0])),
            F.conv2d_max_pool2d(of(x), of(w), of(b), pooling=pooling)[0],
            *F.conv2d_max_pool2d_backward(of(largest), of(places), of(x), of(w), pooling=pooling),
            F.conv2d_transpose(of(x), of(w.swapaxes(2, 3)), of(b)),
            *F.conv2d_transpose_backward(of(dy), of(x), of(w.swapaxes(2, 3))),
            F.upsample2d(of(x), 2, mode="bilinear"),
            F.upsample2d_backward(of(dy), factor=2, mode="bilinear"),
            F.zero_pad2d(of(x), 1),
            F.zero_pad2d_backward(of(dy), padding=1),
            F.max_pool2d(of(x), 2)[0],
            F.max_pool2d_backward(of(pooled), of(argmax), x.shape, size=2),
            F.avg_pool2d(of(x), 2),
            F.avg_pool2d_backward(of(pooled), x.shape, size=2),
            *(getattr(F, name)(of(x)) for name in ("relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "softmax")),
            F.log_softmax(of(x)),
            *(getattr(F, f"{name}_backward")(of(x), of(x)) for name in ("relu", "gelu", "silu", "tanh", "softmax")),
            F.softmax_cross_entropy(of(x[:, 0, 0]), of(labels))[1],
            F.softmax_cross_entropy(of(x[:, 0, 0]), of(soft), class_weights=of(np.abs(scale)))[1],
            F.mean_squared_error(of(x), of(2 * x))[1],
            *F.batch_statistics(of(x)),
            F.batch_norm(of(x), of(scale), of(scale), mean=of(statistics), variance=of(statistics)),
            *F.batch_norm_backward(of(x), of(x), of(scale), of(scale), mean=of(statistics), variance=of(statistics)),
            F.layer_norm(of(x), of(scale), of(scale)),
            *F.layer_norm_backward(of(x), of(x), of(scale)),
            F.orthogonalize(of(x[0, 0])),
        ]

    for got, expected in zip(results(wrapped), results(np.asarray), strict=True):
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, expected)


PICTURE = (2, 5, 6, 4)
LAYERS = [
    lambda: nn.Conv2D(4, 3, 3),
    lambda: nn.Conv2D(4, 3, 3, activation="relu"),
    lambda: nn.Conv1D(4, 3, 5, axis="width"),
    lambda: nn.DepthwiseConv2D(4, 3),
    lambda: nn.SpatiallySeparableConv2D(4, 3, 5),
    lambda: nn.Conv2DTranspose(4, 3, 3),
    lambda: nn.MaxPool2D(2),
    lambda: nn.AvgPool2D(2),
    lambda: nn.GlobalAvgPool2D(),
    lambda: nn.ZeroPad2D(1),
    lambda: nn.UpSample2D(2),
    lambda: nn.ReLU(),
    lambda: nn.GELU(),
    lambda: nn.Softmax(),
    lambda: nn.Rescale(2.0),
    lambda: nn.Flatten(),
    lambda: nn.Dropout(0.5, rng=np.random.default_rng(0)),
    lambda: nn.BatchNorm(4),
    lambda: nn.LayerNorm(4),
    lambda: nn.Concat(nn.Conv2D(4, 3, 1), nn.ReLU()),
    lambda: nn.Add(nn.ReLU(), nn.Tanh()),
    lambda: nn.Residual(nn.Conv2D(4, 4, 3), activation=None),
    lambda: nn.Residual(nn.Conv2D(4, 4, 3)),
    lambda: nn.Sequential(nn.Conv2D(4, 3, 3), nn.MaxPool2D(2), nn.GlobalAvgPool2D()),
    lambda: nn.Sequential(nn.Flatten(), nn.Dense(120, 3)),
]


@each_kind
@pytest.mark.parametrize("make", LAYERS, ids=lambda make: repr(make()).replace("\n", ""))
def test_every_layer_takes_them(wrapped, make, rng):
    plain, other = make(), make()
    other.params.update(plain.params)
    x = rng.standard_normal(PICTURE).astype(np.float32)
    expected = plain.forward(x, training=True).copy()
    dy = rng.standard_normal(expected.shape).astype(np.float32)
    dx = plain.backward(dy)
    got = other.forward(wrapped(x), training=True).copy()
    np.testing.assert_array_equal(got, expected)
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(other.backward(wrapped(dy)), dx)
    for name, gradient in plain.grads.items():
        np.testing.assert_array_equal(other.grads[name], gradient)
    np.testing.assert_array_equal(other(wrapped(x)), plain(x))


@each_kind
def test_parameters_take_them(wrapped, tmp_path):
    layer, w = nn.Dense(2, 3), np.arange(6, dtype=np.float32).reshape(2, 3)
    layer.params["w"] = wrapped(w)
    np.testing.assert_array_equal(layer.params["w"], w)
    nn.weights.save({"w": wrapped(w)}, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(nn.weights.read(tmp_path / "w.safetensors")["w"], w)
    nn.weights.assign(layer.params, {"w": wrapped(w + 1), "b": wrapped(w[0])}, "no")
    np.testing.assert_array_equal(layer.params["w"], w + 1)


@each_kind
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_data_sets_and_training_take_them(wrapped, dtype, rng):
    x, y = rng.integers(0, 256, (20, 4, 4, 3)).astype(dtype), np.arange(20) % 2
    data = nn.datasets.from_arrays(wrapped(x), wrapped(y), wrapped(x[:3]), wrapped(y[:3]))
    np.testing.assert_array_equal(data.train_images, x)
    np.testing.assert_array_equal(data.test_labels, y[:3])
    assert data.checksum() == nn.datasets.from_arrays(x, y, x[:3], y[:3]).checksum()
    assert data.inputs(wrapped(x)).dtype == np.float32
    batches = nn.datasets.evaluation_batches(wrapped(x), wrapped(y), steps=[nn.datasets.steps.crop(2)])
    np.testing.assert_array_equal(next(batches)[0], x[:, 1:3, 1:3])
    np.testing.assert_array_equal(nn.datasets.steps.crop(2)(wrapped(x)), x[:, 1:3, 1:3])

    def network():
        return nn.Sequential(nn.Flatten(), nn.Dense(48, 2, rng=np.random.default_rng(0)))

    net, plain = network(), network()
    batch = x.astype(np.float32) / 255, y
    nn.train.fit(net, iter([(wrapped(batch[0]), wrapped(y))] * 3), nn.SGD(net, 0.1), steps=3)
    nn.train.fit(plain, iter([batch] * 3), nn.SGD(plain, 0.1), steps=3)
    np.testing.assert_array_equal(net.params["1_dense.w"], plain.params["1_dense.w"])
    expected = nn.train.evaluate(net, [batch])
    assert nn.train.evaluate(net, [(wrapped(batch[0]), wrapped(y))]) == expected
    net.input_steps = []
    np.testing.assert_array_equal(nn.prediction.classify(net, wrapped(x)), nn.prediction.classify(net, x))
    counts = nn.evaluation.confusion_matrix(wrapped(y), wrapped(y), 2)
    np.testing.assert_array_equal(counts, [[10, 0], [0, 10]])


@each_kind
def test_gradcheck_takes_them(wrapped, rng):
    assert nn.gradcheck(nn.Dense(2, 3, dtype=np.float64), wrapped(rng.standard_normal((4, 2)))).ok


@each_kind
def test_the_classifier_takes_them(wrapped, rng):
    pytest.importorskip("sklearn")
    from npcnn.sklearn import ConvClassifier

    x, y = rng.standard_normal((20, 4, 4, 1)).astype(np.float32), np.arange(20) % 2
    expected = ConvClassifier(epochs=1, random_state=0).fit(x, y).predict_proba(x)
    given = ConvClassifier(epochs=1, random_state=0).fit(wrapped(x), wrapped(y)).predict_proba(wrapped(x))
    np.testing.assert_array_equal(given, expected)
    rows = ConvClassifier(epochs=1, random_state=0, picture_shape=(4, 4, 1)).fit(wrapped(x.reshape(20, 16)), wrapped(y))
    np.testing.assert_array_equal(rows.predict_proba(wrapped(x.reshape(20, 16))), expected)


@pytest.mark.parametrize(
    "call",
    [
        F.relu,
        nn.Conv2D(3, 2, 3),
        nn.ReLU(),
        nn.Sequential(nn.ReLU()),
        lambda x: nn.datasets.from_arrays(x, [0], x, [0]),
    ],
)
def test_memory_of_a_device_is_refused(call):
    told = r"a test_exchange\.OnDevice, is in the memory of a device \(DLPack's CUDA, 1\); .* bring it there first"
    with pytest.raises(TypeError, match=told):
        call(OnDevice(np.ones((1, 4, 4, 3), np.float32)))


def test_what_cannot_be_handed_out_is_refused_with_its_reason():
    class Refusing(ByDLPack):
        def __dlpack__(self, **options):
            raise BufferError("not today")

    with pytest.raises(TypeError, match=r"^dy, a .*Refusing, cannot be read by DLPack: not today; .* dy\.detach\(\)"):
        as_array(Refusing(np.ones(1)), "dy")

    class Broken:
        __array_interface__ = {"shape": (1,)}  # noqa: RUF012

    with pytest.raises(TypeError, match=r"^x, a .*Broken, cannot be read by its array interface"):
        as_array(Broken(), "x")


def test_tensors_that_pytorch_does_not_hand_out_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x, a torch\.Tensor, cannot be read by DLPack: .*gradient.*x\.detach\(\)"):
        F.relu(torch.ones(2, 3, requires_grad=True))
    with pytest.raises(TypeError, match=r"cannot be read by DLPack: .*x\.float\(\)"):
        F.relu(torch.ones(2, 3, dtype=torch.bfloat16))


def test_what_comes_in_is_still_checked():
    with pytest.raises(nn.DTypeError, match="x must be float32 or float64, got int64"):
        F.relu(ByDLPack(np.ones(3, np.int64)))
    with pytest.raises(nn.ShapeError, match=r"x must have 4 axes"):
        F.max_pool2d(ByInterface(np.ones(3)), 2)
    with pytest.raises(nn.ShapeError, match=r"x\.transpose\(0, 2, 3, 1\)"):
        F.conv2d(ByDLPack(np.ones((1, 3, 8, 8), np.float32)), np.ones((3, 3, 3, 2), np.float32))
