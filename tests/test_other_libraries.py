"""What the document on other libraries says; their weights: both networks give the same; refused unless all fit."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "other-libraries.md").read_text()
PROGRAMS = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if ">>>" not in block]


@pytest.mark.parametrize("program", PROGRAMS, ids=["scikit-learn", "arrays", "weights of PyTorch", "weights of Keras"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_programs_of_the_document_run(program, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "jax"))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("torch", "keras", "sklearn"):
        if re.search(rf"^(import|from) {name}\b", program, re.MULTILINE):
            pytest.importorskip(name, exc_type=ImportError)
    exec(compile(program, "other-libraries.md", "exec"), {})
    assert capsys.readouterr().out == ("True\n" if "print" in program else "")


def test_jax_arrays_come_in():
    jax = pytest.importorskip("jax")
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype(np.float32)
    layer = nn.Conv2D(3, 4, 3)
    given = jax.numpy.asarray(x)
    expected = layer.forward(x, training=True).copy()
    np.testing.assert_array_equal(layer.forward(given, training=True), expected)
    assert layer.backward(jax.numpy.asarray(expected)).shape == x.shape


def test_from_torch_is_the_convolution_that_pytorch_defines(rng):
    # y[o] = sum over c, i, j of w[o, c, i, j] x[c, i, j]: a single window, summed as PyTorch's documentation has it.
    w, x = rng.standard_normal((4, 3, 2, 5)), rng.standard_normal((1, 3, 2, 5))
    expected = np.einsum("ocij,ncij->no", w, x)
    y = nn.functional.conv2d(x.transpose(0, 2, 3, 1).copy(), nn.weights.from_torch(w), padding="valid")
    np.testing.assert_allclose(y[:, 0, 0], expected)


def test_from_torch_of_a_layer_behind_a_flattening(rng):
    w, x = rng.standard_normal((7, 24)), rng.standard_normal((2, 3, 4, 2))  # (N, C, H, W)
    expected = x.reshape(2, 24) @ w.T
    pixels_first = x.transpose(0, 2, 3, 1).reshape(2, 24)
    np.testing.assert_allclose(pixels_first @ nn.weights.from_torch(w, flattened=(4, 2, 3)), expected)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), ()), ((5,), (5,)), ((2, 3), (3, 2)), ((2, 3, 4), (4, 3, 2)), ((2, 3, 4, 5), (4, 5, 3, 2))],
)
def test_from_torch_keeps_vectors_and_puts_kernels_in_front(shape, expected):
    got = nn.weights.from_torch(np.ones(shape, np.float32))
    assert got.shape == expected
    assert got.flags.c_contiguous
    assert got.dtype == np.float32


@pytest.mark.parametrize("shape", [(10, 23), (24,), (10, 3, 4, 2)])
def test_a_flattening_that_does_not_fit_is_refused(shape):
    with pytest.raises(nn.ShapeError, match=r"array must be \(out_features, 24\), .* 4 x 2 pixels of 3 channels, got"):
        nn.weights.from_torch(np.ones(shape), flattened=(4, 2, 3))


def network():
    return nn.Sequential(
        nn.Conv2D(3, 4, 3),
        nn.BatchNorm(4),
        nn.Residual(nn.SpatiallySeparableConv2D(4, 4, 3), nn.BatchNorm(4, shift=False)),
        nn.GlobalAvgPool2D(),
        nn.Dense(4, 2),
    )


def test_arrays_in_order_are_those_of_one_layer_after_the_other():
    net = network()
    shapes = [(3, 3, 3, 4), (4,)]  # by hand: convolution, normalisation, ...
    shapes += [(4,)] * 4
    shapes += [(3, 4, 4), (4,), (3, 4, 4), (4,)]
    shapes += [(4,)] * 3
    shapes += [(4, 2), (2,)]
    nn.weights.assign_in_order(net, (np.full(shape, i, np.float32) for i, shape in enumerate(shapes)))
    told = {name: array.flat[0] for name, array in net.arrays.items()}
    expected = {
        "0_conv2d.w": 0, "0_conv2d.b": 1,
        "1_batch_norm.scale": 2, "1_batch_norm.shift": 3, "1_batch_norm.mean": 4, "1_batch_norm.variance": 5,
        "4_dense.w": 13, "4_dense.b": 14,
    }  # fmt: skip
    assert {name: told[name] for name in expected} == expected
    inside = [name for name in told if name.startswith("2_residual")]
    assert sorted(told[name] for name in inside) == list(range(6, 13))
    assert told[next(name for name in inside if name.endswith("variance"))] == 12


def test_a_layer_with_layers_inside_may_have_arrays_of_its_own():
    class Scaled(nn.Layer):
        def __init__(self, inside):
            super().__init__()
            self.children["inside"] = inside
            self.add_parameter("s", (1,), nn.initializers.constant(1.0))

    net = nn.Sequential(nn.Dense(1, 1), Scaled(nn.Dense(1, 1)))
    ones = np.ones(1, np.float32)
    given = [ones[np.newaxis], 2 * ones, 3 * ones, 4 * ones[np.newaxis], 5 * ones]
    nn.weights.assign_in_order(net, given)
    told = {name: array.item() for name, array in net.arrays.items()}
    assert told == {"0_dense.w": 1, "0_dense.b": 2, "1_scaled.s": 3, "1_scaled.inside.w": 4, "1_scaled.inside.b": 5}


def test_a_layer_by_itself_takes_them():
    layer = nn.Dense(2, 1)
    nn.weights.assign_in_order(layer, [np.ones((2, 1), np.float32), np.ones(1, np.float32)])
    assert layer.params["b"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays[:-1], r"arrays must be 15, .*\(0_conv2d\.w, .*\), got 14; nothing was changed"),
        (lambda arrays: [*arrays, arrays[0]], "arrays must be 15, .* got 16"),
        (lambda arrays: [arrays[1], arrays[0], *arrays[2:]], r"0_conv2d\.w is float32 \(4,\), expected .*nothing was"),
        (lambda arrays: [arrays[0].astype(np.float64), *arrays[1:]], r"0_conv2d\.w is float64 .*, expected float32"),
    ],
)
def test_nothing_is_changed_unless_all_fit(change, message):
    net, other = network(), network()
    before = {name: array.copy() for name, array in net.arrays.items()}
    names = [f"{name}.{key}" for name, layer in other.walk() if not layer.children for key in layer.arrays]
    with pytest.raises(nn.WeightsError, match=message):
        nn.weights.assign_in_order(net, change([other.arrays[name] for name in names]))
    for name, array in net.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_what_is_no_array_is_refused_by_its_place():
    with pytest.raises(TypeError, match=r"arrays\[1\] must be a numpy\.ndarray, got list"):
        nn.weights.assign_in_order(nn.Dense(2, 1), [np.ones((2, 1), np.float32), [1.0]])
