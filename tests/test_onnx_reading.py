"""ONNX files as networks: what is read computes what onnxruntime computes, trains, and can be looked into.

`model` takes graphs in ONNX's own notation.
"""

import json
import re
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import numpy_helper, parser
from onnx_networks import LAYERS, PICTURE, assert_close, drawn_arrays, run, seeded

import npcnn as nn

PICTURES, VECTORS = "float[N, 3, 8, 8] x", "float[N, 6] x"
OF_FOUR_AXES, OF_TWO_AXES = "float[N, C, H, W] y", "float[N, F] y"


def model(nodes, *, x=PICTURES, y=OF_FOUR_AXES, opset=18, functions="", **constants):
    """Return a model of nodes in ONNX's notation, with names in brackets; weights that are shapes are drawn."""
    rng = np.random.default_rng(1)
    named = re.compile(r"^\[(\w+)\] ")  # older releases of ONNX have no notation for that
    statements = nodes.split("  ")
    names = [match[1] if (match := named.match(one)) else "" for one in statements]
    nodes = " ".join(named.sub("", one) for one in statements)
    opsets = f'"" : {opset}' + (', "own" : 1' if functions else "")
    found = parser.parse_model(f"<ir_version: 8, opset_import: [{opsets}]> g ({x}) => ({y}) {{ {nodes} }} {functions}")
    for node, name in zip(found.graph.node, names, strict=True):
        node.name = name
    for name, one in constants.items():
        array = rng.uniform(0.5, 1.5, one).astype(np.float32) if isinstance(one, tuple) else one
        found.graph.initializer.append(numpy_helper.from_array(array, name))
    return found


def assert_read(found, shape=(8, 8, 3), input_shape=None):
    """Return the network that is read, after it was compared with onnxruntime."""
    net = nn.onnx.from_model(found, input_shape)
    x = np.random.default_rng(2).standard_normal((2, *shape)).astype(np.float32)
    assert_close(net(x), run(found, x))
    return net


def kinds(net):
    return [type(layer).__name__ for layer in net.layers]


# ------------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("name", nn.models.MODELS)
def test_named_networks_there_and_back(name, rng, tmp_path):
    net = drawn_arrays(nn.models.MODELS[name](rng=seeded()))
    shape = (24, 24, 3) if name in nn.models.ARTICLE else (32, 32, 3)
    nn.onnx.save(net, tmp_path / "net.onnx", shape)
    read = nn.onnx.load(tmp_path / "net.onnx")
    x = rng.standard_normal((2, *shape)).astype(np.float32)
    expected = net(x)
    assert_close(read(x), expected)
    assert_close(run((tmp_path / "net.onnx").read_bytes(), x), expected)
    assert read.output_shape(shape) == (10,)

    # What it was made of is there again, number for number, and learns the same.
    kept, again = list(net.params.values()), list(read.params.values())
    if len(kept) == len(again):  # BatchNorm gets the scale and shift that it had left out
        for one, other in zip(kept, again, strict=True):
            np.testing.assert_array_equal(one.ravel(), other.ravel())
    nn.onnx.save(read, tmp_path / "again.onnx", shape)
    assert_close(run((tmp_path / "again.onnx").read_bytes(), x), expected)


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_there_and_back(name, rng):
    net = drawn_arrays(LAYERS[name]())
    read = nn.onnx.from_model(nn.onnx.to_model(net, PICTURE))
    x = rng.standard_normal((3, *PICTURE)).astype(np.float32)
    assert_close(read(x), net(x))
    assert_close(nn.onnx.from_model(nn.onnx.to_model(read, PICTURE))(x), net(x))


# What is one layer of npcnn is one again; where ONNX has less to say, what it becomes.
BECOMES = {
    "depthwise separable": "Sequential(DepthwiseConv2D(4, 3, bias=False), Conv2D(4, 5, 1, activation='relu'))",
    "groups": "Conv2D(4, 6, 3, groups=2, activation='relu')",
    "along the height": "Conv2D(4, 3, (5, 1), stride=(2, 1), padding=((2, 2), (0, 0)))",
    "transposed, valid": "Conv2DTranspose(4, 3, 3, stride=2, padding='valid', bias=False)",
    "max pool": "MaxPool2D(2, padding=((0, 1), (0, 0)))",
    "mean pool with its padding": "AvgPool2D(3, stride=2, padding=1, count_include_pad=True)",
    "batch norm": "BatchNorm(4, activation='relu')",
    "global mean": "GlobalAvgPool2D()",
    "flatten, channels first": "Flatten(channels_first=True)",
    "bilinear": "UpSample2D((3, 2), mode='bilinear')",
    "gelu by tanh": "GELU(approximate='tanh')",
    "silu": "SiLU()",
    "identity": "Identity()",
    "leaky relu": "LeakyReLU(slope=0.2)",
    "residual": "Residual(Conv2D(4, 4, 3), activation='relu')",
    # Of two branches of one length none is said to be the shortcut.
    "shortcut": "Add(Conv2D(4, 3, 3, stride=2, padding=((1, 1), (0, 1))), Conv2D(4, 3, 1, stride=2, padding='valid'))",
}


@pytest.mark.parametrize("name", BECOMES)
def test_layers_are_what_they_were(name):
    read = nn.onnx.from_model(nn.onnx.to_model(LAYERS[name](), PICTURE))
    layer = read.layers[0] if len(read.layers) == 1 else read
    assert repr(layer).replace("\n    ", " ").replace("( ", "(").replace(",\n)", ")") == BECOMES[name]


def test_gradients_of_what_was_read(tmp_path):
    rng, dtype = seeded(), np.float64
    net = nn.Sequential(
        nn.Conv2D(2, 4, 3, rng=rng, dtype=dtype),
        nn.BatchNorm(4, dtype=dtype),
        nn.GELU(),
        nn.Residual(nn.Conv2D(4, 4, 3, groups=2, rng=rng, dtype=dtype)),
        nn.Concat(nn.Identity(), nn.Conv2DTranspose(4, 2, 3, rng=rng, dtype=dtype)),
        nn.Flatten(),
        nn.Dense(6 * 4 * 4, 3, rng=rng, dtype=dtype),
    )
    read = nn.onnx.from_model(nn.onnx.to_model(drawn_arrays(net), (4, 4, 2)))
    x = rng.standard_normal((2, 4, 4, 2))
    nn.gradcheck(read, x, max_elements=3)
    dy = rng.standard_normal((2, 3))
    for one in (net, read):
        one.forward(x, training=True)
    np.testing.assert_allclose(read.backward(dy), net.backward(dy), rtol=1e-9)
    for (name, gradient), other in zip(net.grads.items(), read.grads.values(), strict=True):
        np.testing.assert_allclose(other, gradient, rtol=1e-9, atol=1e-12, err_msg=name)


def test_it_trains_is_saved_and_explored(rng, tmp_path):
    nn.onnx.save(nn.models.simple_cnn(rng=seeded()), tmp_path / "net.onnx", (16, 16, 3))
    net = nn.onnx.load(tmp_path / "net.onnx")
    x, labels = rng.standard_normal((16, 16, 16, 3)).astype(np.float32), rng.integers(0, 10, 16)
    optimizer, losses = nn.Adam(net, lr=0.003), []
    for _ in range(8):
        loss, dlogits = nn.functional.softmax_cross_entropy(net.forward(x, training=True), labels)
        net.backward(dlogits)
        optimizer.step()
        losses.append(loss)
    assert losses[-1] < losses[0]
    net.save(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(nn.load(tmp_path / "net.safetensors")(x), net(x))
    page = nn.explain.picture(net, x[0])
    np.testing.assert_allclose(page.steps[-1].y.ravel(), net(x[:1])[0], rtol=1e-4, atol=1e-4)


def test_classes_and_pictures_are_remembered(tmp_path):
    net = nn.models.simple_cnn(classes=2)
    net.classes, net.picture_shape, net.input_steps = ("cat", "dog"), (16, 16, 3), [{"step": "standardize"}]
    nn.onnx.save(net, tmp_path / "net.onnx", (16, 16, 3))
    read = nn.onnx.load(tmp_path / "net.onnx")
    assert (read.classes, read.picture_shape, read.input_steps) == (
        ("cat", "dog"),
        (16, 16, 3),
        [{"step": "standardize"}],
    )


# ------------------------------------------------------------------------------------- PyTorch


def torch_networks():
    """Return networks as they are written in PyTorch, by name."""
    torch = pytest.importorskip("torch")
    from torch import nn as of

    class View(of.Module):
        def forward(self, x):
            return x.view(x.size(0), -1)

    class Mean(of.Module):
        def forward(self, x):
            return x.mean((2, 3))

    class SideBySide(of.Module):
        def __init__(self, *branches):
            super().__init__()
            self.branches = of.ModuleList(branches)

        def forward(self, x):
            return torch.cat([branch(x) for branch in self.branches], 1)

    class Block(of.Module):
        def __init__(self, before, channels, stride):
            super().__init__()
            self.first, self.second = (
                of.Sequential(of.Conv2d(a, channels, 3, s, 1, bias=False), of.BatchNorm2d(channels))
                for a, s in ((before, stride), (channels, 1))
            )
            self.shortcut = of.Identity() if stride == 1 else of.Conv2d(before, channels, 1, stride)

        def forward(self, x):
            return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))

    return {
        "residual": [of.Conv2d(3, 8, 3, padding=1), of.ReLU(), Block(8, 8, 1), Block(8, 16, 2),
                     of.AdaptiveAvgPool2d(1), of.Flatten(), of.Linear(16, 10)],
        "a picture as a vector": [of.Conv2d(3, 8, 3), of.LeakyReLU(0.1), of.MaxPool2d(2), View(), of.Linear(392, 20),
                                  of.BatchNorm1d(20), of.GELU(), of.Dropout(0.3), of.Linear(20, 10),
                                  of.LogSoftmax(1)],
        "depthwise, and a mean": [of.Conv2d(3, 8, 3, 2, 1), of.SiLU(), of.Conv2d(8, 8, 5, groups=8, padding=2),
                                  of.Conv2d(8, 8, 1, groups=2), of.GELU("tanh"), Mean(),
                                  of.Linear(8, 4), of.Softmax(1)],
        "side by side": [SideBySide(of.Conv2d(3, 4, 1), of.Conv2d(3, 5, 3, padding=1)), of.ReLU(),
                         of.AvgPool2d(2, 2, 1),
                         of.ConvTranspose2d(9, 4, 3, 2, 1, 1), of.Tanh(), of.ZeroPad2d((1, 2, 3, 0)),
                         of.Upsample(scale_factor=2, mode="bilinear"), of.Sigmoid()],
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # the exporter says what it will be one day
@pytest.mark.parametrize("open_batch", [False, True])
@pytest.mark.parametrize("name", ["residual", "a picture as a vector", "depthwise, and a mean", "side by side"])
def test_networks_of_pytorch(name, open_batch, tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(*torch_networks()[name])
    for one in net.modules():
        if isinstance(one, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            one.running_mean.normal_()
            one.running_var.uniform_(0.5, 2)
    net.eval()
    x = torch.randn(2, 3, 16, 16)
    axes = {"dynamic_axes": {"x": {0: "N"}}} if open_batch else {}
    torch.onnx.export(net, (x,), tmp_path / "net.onnx", dynamo=False, input_names=["x"], **axes)
    y = nn.onnx.load(tmp_path / "net.onnx")(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)))
    expected = net(x).detach().numpy()
    assert_close(y.transpose(0, 3, 1, 2) if y.ndim == 4 else y, expected)


# ------------------------------------------------------------------------------------- ways to say it

CONVOLUTION = "y = Conv <pads = [1, 1, 1, 1]> (x, w, b)"


def test_weights_may_be_nodes():
    found = model("w = Constant <value = float[2, 3] {1, 2, 3, 4, 5, 6}> ()  t = Transpose (w)  y = MatMul (x, t)",
                  x="float[N, 3] x", y=OF_TWO_AXES)  # fmt: skip
    net = assert_read(found, (3,))
    np.testing.assert_array_equal(net.layers[0].params["w"], [[1, 4], [2, 5], [3, 6]])


def test_a_bias_may_be_added_behind():
    found = model("a = Conv (x, w)  y = Add (a, b)", w=(4, 3, 3, 3), b=(4, 1, 1))
    assert assert_read(found).layers[0].bias
    found = model("a = MatMul (x, w)  y = Add (b, a)", x=VECTORS, y=OF_TWO_AXES, w=(6, 2), b=(2,))
    assert kinds(assert_read(found, (6,))) == ["Dense"]


def test_nodes_that_do_nothing_or_are_not_needed_are_left_out():
    found = model(f"i = Identity (x)  unused = Foo (i)  a = Relu (i)  {CONVOLUTION.replace('x,', 'a,')}",
                  w=(4, 3, 3, 3), b=(4,))  # fmt: skip
    found.graph.node[1].op_type = "Sin"
    assert kinds(assert_read(found)) == ["ReLU", "Conv2D"]


def test_functions_are_put_in_the_place_of_their_calls():
    found = model("y = own.twice (x)", functions='<domain: "own", opset_import: ["" : 18]> twice (a) => (c) '
                  "{ b = Sigmoid (a)  c = Tanh (b) }")  # fmt: skip
    assert kinds(assert_read(found)) == ["Sigmoid", "Tanh"]


SPELT_OUT = {
    "SiLU": ["s = Sigmoid (x)  y = Mul (s, x)", "s = Sigmoid (x)  y = Mul (x, s)"],
    "GELU": [
        "d = Div (x, root)  e = Erf (d)  p = Add (e, one)  m = Mul (x, p)  y = Mul (m, half)",
        "d = Mul (x, inverse)  e = Erf (d)  p = Add (one, e)  m = Mul (half, x)  y = Mul (m, p)",
        "c = Pow (x, three)  k = Mul (c, small)  a = Add (x, k)  f = Mul (a, factor)  t = Tanh (f)  p = Add (t, one)"
        "  h = Mul (half, p)  y = Mul (x, h)",
    ],
}


@pytest.mark.parametrize(("kind", "nodes"), [(kind, one) for kind, several in SPELT_OUT.items() for one in several])
def test_activations_spelt_out(kind, nodes):
    numbers = {"root": np.sqrt(2), "inverse": np.sqrt(0.5), "one": 1, "half": 0.5, "three": 3, "small": 0.044715,
               "factor": np.sqrt(2 / np.pi)}  # fmt: skip
    used = {name: np.float32(value) for name, value in numbers.items() if f"{name})" in nodes or f"({name}," in nodes}
    assert kinds(assert_read(model(nodes, **used))) == [kind]


def test_half_of_an_expression_used_elsewhere_is_not_taken_for_one():
    found = model("s = Sigmoid (x)  [product] m = Mul (x, s)  y = Add (m, s)")
    with pytest.raises(nn.OnnxError, match=r"node 'product' \(Mul\): npcnn multiplies by a constant only"):
        nn.onnx.from_model(found)


# Of these operators ONNX has no case that npcnn could have; see test_onnx_cases.py.
@pytest.mark.parametrize(
    ("nodes", "y", "expected"),
    [
        ("y = ReduceMean <axes = [2, 3], keepdims = 0> (x)", OF_TWO_AXES, "GlobalAvgPool2D"),
        ("y = ReduceMean <axes = [-1, 2]> (x)", OF_FOUR_AXES, "AvgPool2D"),
        ("m = ReduceMean <axes = [2, 3]> (x)  y = Squeeze (m, pixels)", OF_TWO_AXES, "GlobalAvgPool2D"),
        ("y = Mul (half, x)", OF_FOUR_AXES, "Rescale"),
        ("y = Div (x, half)", OF_FOUR_AXES, "Rescale"),
        ("m = GlobalMaxPool (x)  y = Reshape (m, vector)", OF_TWO_AXES, "MaxPool2D"),
    ],
)
def test_operators_without_a_case(nodes, y, expected):
    constants = {"half": np.float32(0.5), "pixels": np.array([2, 3]), "vector": np.array([0, -1])}
    used = {name: value for name, value in constants.items() if name in nodes}
    assert kinds(assert_read(model(nodes, y=y, opset=17, **used)))[0] == expected


def test_pictures_that_come_in_as_npcnn_has_them():
    """As converters from TensorFlow write them: the channels are put first, and last again."""
    found = model(
        "a = Transpose <perm = [0, 3, 1, 2]> (x)  b = Conv (a, w)  c = Relu (b)"
        "  t = Transpose <perm = [0, 2, 3, 1]> (c)  f = Flatten (t)  y = MatMul (f, v)",
        x="float[N, 8, 8, 3] x", y=OF_TWO_AXES, w=(4, 3, 3, 3), v=(144, 5),
    )  # fmt: skip
    net = nn.onnx.from_model(found)
    x = seeded().standard_normal((2, 8, 8, 3)).astype(np.float32)
    assert_close(net(x), run(found, x.transpose(0, 2, 3, 1)))  # `run` puts the channels first
    assert kinds(net) == ["Conv2D", "Flatten", "Dense"]


@pytest.mark.parametrize("after", ["MatMul", "another"])
def test_a_vector_has_the_order_of_the_file_where_its_weights_cannot_follow(after):
    nodes = "f = Flatten (x)  y = MatMul (f, v)" if after == "MatMul" else "y = Flatten (x)"
    constants = {"v": (192, 4)} if after == "MatMul" else {}
    net = assert_read(model(nodes, y=OF_TWO_AXES, **constants))
    assert net.layers[0].channels_first == (after != "MatMul")


def test_weights_used_twice_become_two():
    net = assert_read(model("a = Conv <pads = [1, 1, 1, 1]> (x, w)  y = Conv <pads = [1, 1, 1, 1]> (a, w)",
                            w=(3, 3, 3, 3)))  # fmt: skip
    first, second = (layer.params["w"] for layer in net.layers)
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)


# ------------------------------------------------------------------------------------- branches


def test_branches_in_branches():
    found = model("a = Relu (x)  b = Tanh (a)  c = Sigmoid (a)  d = Add (b, c)  e = Concat <axis = 1> (a, d)"
                  "  f = Concat <axis = 1> (x, x)  y = Add (e, f)")  # fmt: skip
    net = assert_read(found)
    assert kinds(net) == ["Residual"]
    assert kinds(net.layers[0].branch) == ["ReLU", "Concat"]


def test_a_sum_of_three_and_of_a_thing_with_itself():
    assert kinds(assert_read(model("a = Relu (x)  b = Tanh (x)  y = Sum (a, x, b)"))) == ["Add"]
    assert kinds(assert_read(model("y = Add (x, x)"))) == ["Add"]


def test_arrays_that_cross_are_refused():
    found = model("a = Relu (x)  [shared] b = Tanh (a)  c = Add (a, b)  y = Add (c, b)")
    with pytest.raises(nn.OnnxError, match=r"node '(shared|a)' .*used in several branches"):
        nn.onnx.from_model(found)


# ------------------------------------------------------------------------------------- sizes

OPEN = "float[N, 3, H, W] x"


def test_pictures_of_any_size():
    found = model("c = Conv <pads = [1, 1, 1, 1]> (x, w)  p = GlobalAveragePool (c)  y = Flatten (p)",
                  x=OPEN, y=OF_TWO_AXES, w=(4, 3, 3, 3))  # fmt: skip
    assert kinds(assert_read(found)) == ["Conv2D", "GlobalAvgPool2D"]
    assert_read(found, (5, 9, 3))


def test_what_depends_on_the_size_asks_for_it():
    found = model("y = GlobalMaxPool (x)", x=OPEN)
    with pytest.raises(nn.OnnxError, match=r"as large as the pictures, .* give input_shape"):
        nn.onnx.from_model(found)
    assert repr(assert_read(found, input_shape=(8, 8, 3)).layers[0]) == "MaxPool2D(8)"


@pytest.mark.parametrize(
    ("input_shape", "error", "message"),
    [
        ((8, 8, 4), nn.OnnxError, r"\(8, 8, 4\) is \(4, 8, 8\) in the model's order, whose input 'x' is \[3, "),
        ((8,), nn.OnnxError, "input_shape"),
        ((8, 8), nn.ShapeError, r"must be \(H, W, C\) or \(features,\)"),
        ((8, 0, 3), ValueError, r"input_shape\[1\] must be an integer of at least 1"),
    ],
)  # fmt: skip
def test_a_wrong_size(input_shape, error, message):
    with pytest.raises(error, match=message):
        nn.onnx.from_model(model("y = GlobalMaxPool (x)", x=OPEN), input_shape)


# ------------------------------------------------------------------------------------- refusals


REFUSED = {
    r"2 of the nodes, and built nothing: node 'sine' \(Sin\): .*; node 'again' \(Cos\): npcnn has no such operator": (
        "[sine] a = Sin (x)  [again] y = Cos (a)",
        {},
    ),
    r"node 'up' \(ConvTranspose\): npcnn has no transposed convolution in groups, got group 3": (
        "[up] y = ConvTranspose <group = 3> (x, w)",
        {"w": (3, 2, 2, 2)},
    ),
    r"node 'six' \(Clip\): npcnn has it from 0 to infinity, a ReLU, got \[0.0\] to \[6.0\]": (
        "[six] y = Clip (x, low, high)",
        {"low": np.float32(0), "high": np.float32(6)},
    ),
    r"node 'pad' \(Pad\): npcnn pads with zeros, got mode edge": (
        '[pad] y = Pad <mode = "edge"> (x, sides)',
        {"sides": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
    ),
    r"node 'batch' \(Softmax\): npcnn has it along the channels, or the last axis, got axis 0": (
        "[batch] y = Softmax <axis = 0> (x)",
        {},
    ),
    r"node 'join' \(Concat\): npcnn joins along the channels, got axis 2": ("[join] y = Concat <axis = 2> (x, x)", {}),
    r"node 'shift' \(Add\): npcnn adds a constant as the bias of a layer only": (
        "[shift] y = Add (x, b)",
        {"b": (3, 1, 1)},
    ),
    r"node 'picture' \(Add\): npcnn adds one number for each channel": (
        "[picture] y = Add (x, b)",
        {"b": (1, 3, 8, 8)},
    ),
    r"node 'size' \(Resize\): npcnn makes pictures larger by whole numbers": (
        "[size] y = Resize (x, , scales)",
        {"scales": np.array([1, 1, 1.5, 2], np.float32)},
    ),
    r"node 'rows' \(MatMul\): its matrix must have a row for each of 192 numbers, got shape \(4, 5\)": (
        "f = Flatten (x)  [rows] y = MatMul (f, w)",
        {"w": (4, 5)},
    ),
    r"node 'groups' \(Conv\): .* four axes": ("[groups] y = Conv (x, w)", {"w": (4, 3, 3)}),
    "its output 'i' is used, which npcnn does not have": (
        "y, i = MaxPool <kernel_shape = [2, 2]> (x)  j = Cast <to = 1> (i)  z = Add (y, j)",
        {},
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_npcnn_does_not_have_is_named(message):
    nodes, constants = REFUSED[message]
    y = "float[A, B, C, D] z" if "z =" in nodes else OF_TWO_AXES if "MatMul" in nodes else OF_FOUR_AXES
    with pytest.raises(nn.OnnxError, match=message):
        nn.onnx.from_model(model(nodes, y=y, **constants))


def test_an_operator_of_another_domain_is_not_taken_for_onnx_s():
    found = model("[mine] y = own.Relu (x)", functions="")
    found.opset_import.add(domain="own", version=1)
    with pytest.raises(nn.OnnxError, match=r"node 'mine' \(own.Relu\): npcnn has no such operator"):
        nn.onnx.from_model(found)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            model("y = Add (x, z)", x=f"{PICTURES}, float[N, 3, 8, 8] z"),
            "one input and one output, got inputs 'x', 'z'",
        ),
        (model("y = Relu (x)", x="float16[N, 3, 8, 8] x", y="float16[N, 3, 8, 8] y"), "'x' must be of FLOAT or DOUBLE"),
        (model("y = Relu (x)", opset=5), "opset 5, expected at least 6; onnx.version_converter"),
        (model("y = Relu (z)"), "not a valid ONNX model"),
        (model("y = Conv (x, w)", w=(4, 5, 3, 3)), "(do not fit together|takes 5 channels)"),
        (model("y = Conv (x, w)", w=np.zeros((4, 3, 3, 3))), "(W must be float32|not a valid|do not fit)"),
    ],
)
def test_models_that_are_not_right(found, message):
    with pytest.raises(nn.OnnxError, match=message):
        nn.onnx.from_model(found)


def test_a_model_is_not_changed():
    found = model("i = Identity (x)  y = GlobalMaxPool (i)", x=OPEN)
    before = found.SerializeToString()
    nn.onnx.from_model(found, (8, 8, 3))
    assert found.SerializeToString() == before


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a", None])
def test_damaged_files(content, tmp_path):
    path = tmp_path / "net.onnx"
    nn.onnx.save(nn.Conv2D(3, 4, 3), path, (8, 8, 3))
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(nn.OnnxError, match=r"net\.onnx"):
        nn.onnx.load(path)
    with pytest.raises(FileNotFoundError):
        nn.onnx.load(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    "said", ["no JSON", "{}", json.dumps({"classes": 3, "picture_shape": None, "input_steps": None})]
)
def test_what_a_file_says_of_the_network_is_checked(said):
    found = nn.onnx.to_model(nn.ReLU(), (3,))
    found.metadata_props[0].value = said
    with pytest.raises(nn.OnnxError, match="what the file says of the network itself is damaged"):
        nn.onnx.from_model(found)


def test_a_file_with_wrong_bytes_is_refused_or_a_network(tmp_path):
    """Nothing else comes out of it: no error of another kind, no memory that the file does not have."""
    rng, path = np.random.default_rng(0), tmp_path / "net.onnx"
    net = nn.Sequential(
        nn.Conv2D(3, 4, 3, activation="relu"), nn.BatchNorm(4), nn.Concat(nn.Identity(), nn.DepthwiseConv2D(4, 3)),
        nn.UpSample2D(2), nn.Conv2DTranspose(8, 2, 2), nn.LayerNorm(2), nn.ZeroPad2D(1), nn.AvgPool2D(2),
        nn.Rescale(2.0), nn.Flatten(), nn.Dense(162, 5), nn.Softmax(),
    )  # fmt: skip
    content = nn.onnx.to_model(net, (8, 8, 3)).SerializeToString()
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            nn.onnx.load(path)
        except nn.OnnxError:
            refused += 1
    assert 0 < refused < 300


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (lambda: nn.onnx.load(tmp_path / "net.onnx"), lambda: nn.onnx.save(nn.ReLU(), tmp_path / "a", (3,))):
        with pytest.raises(ImportError, match=r'npcnn.onnx needs the package onnx .*pip install "\.\[onnx\]"'):
            call()
