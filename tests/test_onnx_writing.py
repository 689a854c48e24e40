"""Networks as ONNX files: onnxruntime gives what npcnn gives, for every layer, every named network, any size."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx.reference import ReferenceEvaluator
from onnx_networks import LAYERS, PICTURE, assert_close, drawn_arrays, run, seeded

import npcnn as nn


def assert_same(net, shape, rng, **options):
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    assert_close(run(nn.onnx.to_model(net, shape, **options), x), net(x))


# ------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("name", nn.models.MODELS)
def test_named_networks(name, rng, tmp_path):
    net = drawn_arrays(nn.models.MODELS[name](rng=seeded()))
    shape = (24, 24, 3) if name in nn.models.ARTICLE else (32, 32, 3)
    nn.onnx.save(net, tmp_path / "net.onnx", shape)
    x = rng.standard_normal((2, *shape)).astype(np.float32)
    assert_close(run((tmp_path / "net.onnx").read_bytes(), x), net(x))


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer(name, rng):
    assert_same(drawn_arrays(LAYERS[name]()), PICTURE, rng)


def test_every_layer_of_npcnn_is_here():
    kinds = {type(layer).__name__ for make in LAYERS.values() for _, layer in make().walk()}
    assert set(nn.layers.__all__) - kinds == {"Layer", "Sequential", "Dense"}


@pytest.mark.parametrize("opset", [18, 20, 21])
def test_other_opsets(opset, rng):
    net = nn.Sequential(nn.GELU(), nn.GELU("tanh"), nn.LayerNorm(4), nn.MaxPool2D(2), nn.Flatten(), nn.Dense(36, 2))
    assert_same(net, PICTURE, rng, opset=opset)
    model = nn.onnx.to_model(net, PICTURE, opset=opset, ir_version=9)
    assert (model.opset_import[0].version, model.ir_version) == (opset, 9)


def test_dilated_means_need_opset_19(rng):
    net = nn.AvgPool2D(2, 1, dilation=2)
    with pytest.raises(nn.OnnxError, match=r"layer net, AvgPool2D\(.*give opset=19"):
        nn.onnx.to_model(net, PICTURE)
    assert_same(net, PICTURE, rng, opset=19)


@pytest.mark.parametrize("seed", range(60))
def test_drawn_poolings(seed):
    """Windows over pictures of all sizes, in ceil mode too, where ONNX's rule has changed over the years."""
    rng = np.random.default_rng(seed)
    size, stride = (tuple(int(one) for one in rng.integers(1, 5, 2)) for _ in range(2))
    padding = tuple(tuple(int(rng.integers(0, length)) for _ in range(2)) for length in size)
    pool = rng.choice([nn.MaxPool2D, nn.AvgPool2D])
    more = {"count_include_pad": bool(rng.integers(2))} if pool is nn.AvgPool2D else {}
    layer = pool(size, stride, padding, ceil_mode=bool(rng.integers(2)), **more)
    shape = (*(int(one) for one in rng.integers(4, 11, 2)), 2)
    try:
        assert_same(layer, shape, rng)
    except nn.OnnxError:
        if not (layer.ceil_mode and more.get("count_include_pad")):
            raise


# ------------------------------------------------------------------------------------- vectors


@pytest.mark.parametrize("last", ["dense", "dropout", "concat", "add", "residual"])
def test_what_comes_after_flatten_has_its_weights_in_the_order_of_the_file(last, rng):
    features = 3 * 2 * 4
    ends = {
        "dense": lambda: nn.Dense(features, 5, rng=seeded()),
        "dropout": lambda: nn.Dropout(0.5),
        "concat": lambda: nn.Concat(nn.Tanh(), nn.Dense(features, 5, rng=seeded())),
        "add": lambda: nn.Add(nn.Tanh(), nn.SiLU(), nn.Dense(features, features, rng=seeded())),
        "residual": lambda: nn.Residual(nn.Dense(features, features, rng=seeded())),
    }
    keeping = (nn.BatchNorm(features), nn.GELU(), nn.LayerNorm(features), nn.Rescale(0.5), nn.LeakyReLU(), nn.Softmax())
    assert_same(drawn_arrays(nn.Sequential(nn.Flatten(), *keeping, ends[last]())), (3, 2, 4), rng)


def test_only_where_the_order_is_npcnns_own_a_node_sorts_it():
    def operators(*layers):
        net = nn.Sequential(nn.Conv2D(3, 4, 3), nn.Flatten(), *layers)
        return [node.op_type for node in nn.onnx.to_model(net, (4, 4, 3)).graph.node]

    assert operators(nn.ReLU(), nn.Dense(64, 2)) == ["Conv", "Flatten", "Relu", "Gemm"]
    assert operators(nn.ReLU()) == ["Conv", "Flatten", "Relu", "Gather"]


def test_vectors_alone(rng):
    assert_same(drawn_arrays(nn.Sequential(nn.Dense(5, 4), nn.BatchNorm(4), nn.Dense(4, 3, bias=False))), (5,), rng)


# ------------------------------------------------------------------------------------- the file


def test_names_are_those_of_the_network(rng):
    net = nn.Sequential(nn.Conv2D(4, 4, 3), nn.Residual(nn.Sequential(nn.BatchNorm(4), nn.Conv2D(4, 4, 3, bias=False))))
    graph = nn.onnx.to_model(net, PICTURE).graph
    assert {constant.name for constant in graph.initializer} == set(net.arrays)
    assert [node.name for node in graph.node][:2] == [
        "0_conv2d.conv",
        "1_residual.branch.0_batch_norm.batchnormalization",
    ]
    assert [axis.dim_param or axis.dim_value for axis in graph.input[0].type.tensor_type.shape.dim] == ["N", 4, 7, 6]
    assert [axis.dim_param or axis.dim_value for axis in graph.output[0].type.tensor_type.shape.dim] == ["N", 4, 7, 6]


def test_no_node_turns_pictures_around():
    for name, model in nn.models.MODELS.items():
        nodes = nn.onnx.to_model(model(), (24, 24, 3)).graph.node
        assert not {"Transpose", "Gather", "Identity"} & {node.op_type for node in nodes}, name


def test_the_default_is_opset_18_and_ir_10():
    model = nn.onnx.to_model(nn.ReLU(), (3,))
    assert (model.opset_import[0].version, model.ir_version) == (18, 10)


def test_float64(rng):
    net = drawn_arrays(nn.models.simple_cnn(dtype=np.float64, rng=seeded()))
    x = rng.standard_normal((2, 8, 8, 3))
    (y,) = ReferenceEvaluator(nn.onnx.to_model(net, (8, 8, 3))).run(None, {"x": x.transpose(0, 3, 1, 2)})
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, net(x), rtol=1e-6)


class Scale(nn.Layer):
    """One of one's own."""

    def forward(self, x, training=False):
        return 2 * x

    def backward(self, dy):
        return 2 * dy

    def output_shape(self, input_shape):
        return input_shape


class Doubled(nn.Conv2D):
    """It computes something else than the class that it is derived from."""

    def forward(self, x, training=False):
        return 2 * super().forward(x, training)


class Block(nn.Sequential):
    """Only puts layers of npcnn together."""

    def __init__(self, channels):
        super().__init__(nn.Conv2D(channels, channels, 3), nn.ReLU())


def test_a_class_that_only_puts_layers_together_will_do(rng):
    assert_same(nn.Sequential(Block(4), Block(4)), PICTURE, rng)


@pytest.mark.parametrize("layer", [Scale(), Doubled(4, 4, 3)], ids=["own", "derived"])
def test_what_cannot_be_written_is_named_and_nothing_is_written(layer, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"before")
    with pytest.raises(nn.OnnxError, match=f"layer 1_residual.branch, {type(layer).__name__}"):
        nn.onnx.save(nn.Sequential(nn.ReLU(), nn.Residual(layer)), path, PICTURE)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def two_dtypes():
    return nn.Sequential(nn.Dense(3, 3), nn.Dense(3, 3, dtype="f8"))


@pytest.mark.parametrize(
    ("make", "input_shape", "options", "error", "message"),
    [
        (lambda: nn.Conv2D(3, 4, 3), PICTURE, {}, nn.ShapeError, "takes 3 channels, got 4"),
        (nn.ReLU, (3, 4), {}, nn.ShapeError, r"\(H, W, C\) or \(features,\).*got \(3, 4\)"),
        (nn.ReLU, 7, {}, nn.ShapeError, "got 7"),
        (nn.ReLU, (0,), {}, ValueError, r"input_shape\[0\] must be an integer of at least 1"),
        (nn.ReLU, (3,), {"opset": 17}, ValueError, "opset must be from 18 to .*got 17"),
        (nn.ReLU, (3,), {"ir_version": 99}, ValueError, "ir_version must be from 8 .*got 99"),
        (lambda: "net", (3,), {}, TypeError, "net must be a Layer, got 'net'"),
        (two_dtypes, (3,), {}, nn.OnnxError, "one dtype, got arrays of float32 and float64"),
    ],
)
def test_refusals(make, input_shape, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        nn.onnx.save(make(), tmp_path / "net.onnx", input_shape, **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        nn.onnx.save(nn.ReLU(), tmp_path / "missing" / "net.onnx", (3,))


def test_the_checker_of_onnx_lets_every_file_pass(tmp_path):
    nn.onnx.save(nn.models.airbench(), tmp_path / "net.onnx", (32, 32, 3))
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
