"""Activations: by hand, far from 0, their precision, their gradients, their layers, and what they refuse."""

import math

import numpy as np
import pytest
from cases import assert_refused, either

import npcnn as nn
from npcnn import functional as F

REAL_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# The functions of one number: name, options, and what the gradient needs of the forward pass.
ACTIVATIONS = {
    "relu": ("relu", {}, "y"),
    "leaky_relu": ("leaky_relu", {}, "y"),
    "steep leaky_relu": ("leaky_relu", {"slope": 1.5}, "y"),
    "leaky_relu of slope 0": ("leaky_relu", {"slope": 0}, "y"),
    "gelu": ("gelu", {}, "x"),
    "gelu by tanh": ("gelu", {"approximate": "tanh"}, "x"),
    "silu": ("silu", {}, "x"),
    "sigmoid": ("sigmoid", {}, "y"),
    "tanh": ("tanh", {}, "y"),
}
each_activation = pytest.mark.parametrize(("name", "options", "kept"), ACTIVATIONS.values(), ids=ACTIVATIONS)


def forward_and_backward(ops, name, options, kept, x, dy):
    """Return y and dx."""
    y = getattr(ops, name)(x, **options)
    return y, getattr(ops, f"{name}_backward")(dy, x if kept == "x" else y, **options)


@either
@REAL_TYPES
def test_relu_and_its_gradient_worked_by_hand(dtype, ops):
    x = np.array([[-2.0, 0.0, 3.0], [np.nan, -np.inf, np.inf]], dtype)
    y = ops.relu(x)
    np.testing.assert_array_equal(y, [[0, 0, 3], [np.nan, 0, np.inf]])
    dy = np.array([[5.0, 6.0, 7.0], [8.0, 9.0, 10.0]], dtype)
    np.testing.assert_array_equal(ops.relu_backward(dy, y), [[0, 0, 7], [0, 0, 10]])


@either
@REAL_TYPES
def test_leaky_relu_and_its_gradient_worked_by_hand(dtype, ops):
    x = np.array([[-2.0, 0.0, 3.0], [np.nan, -np.inf, np.inf]], dtype)
    y = ops.leaky_relu(x, slope=0.25)
    np.testing.assert_array_equal(y, [[-0.5, 0, 3], [np.nan, -np.inf, np.inf]])
    dy = np.array([[4.0, 8.0, 7.0], [12.0, 16.0, 10.0]], dtype)
    np.testing.assert_array_equal(ops.leaky_relu_backward(dy, y, slope=0.25), [[1, 2, 7], [3, 4, 10]])
    np.testing.assert_array_equal(ops.leaky_relu(x), ops.leaky_relu(x, slope=0.01))


LOG3 = math.log(3)
# From a table of the normal distribution: what lies below 1, and the density there.
BELOW_1, DENSITY_AT_1 = 0.841344746068543, 0.241970724519143
# Of the tanh form: u = sqrt(2 / pi) 1.044715, tanh(u) = 0.682383981216552, du = sqrt(2 / pi) (1 + 3 * 0.044715).
TANH_BELOW_1 = (1 + 0.682383981216552) / 2
TANH_DENSITY_AT_1 = (1 - 0.682383981216552**2) / 2 * math.sqrt(2 / math.pi) * 1.134145


@either
@pytest.mark.parametrize(
    ("activation", "x", "y", "slope"),
    [
        ("sigmoid", [0, LOG3, -LOG3], [1 / 2, 3 / 4, 1 / 4], [1 / 4, 3 / 16, 3 / 16]),
        ("tanh", [0, LOG3, -math.log(2)], [0, 4 / 5, -3 / 5], [1, 9 / 25, 16 / 25]),
        ("silu", [0, LOG3, -LOG3], [0, 3 / 4 * LOG3, -LOG3 / 4],
         [1 / 2, 3 / 4 + LOG3 * 3 / 16, 1 / 4 - LOG3 * 3 / 16]),
        ("gelu", [0, 1, -1], [0, BELOW_1, BELOW_1 - 1],
         [1 / 2, BELOW_1 + DENSITY_AT_1, 1 - BELOW_1 - DENSITY_AT_1]),
        ("gelu by tanh", [0, 1, -1], [0, TANH_BELOW_1, TANH_BELOW_1 - 1],
         [1 / 2, TANH_BELOW_1 + TANH_DENSITY_AT_1, 1 - TANH_BELOW_1 - TANH_DENSITY_AT_1]),
    ],
)  # fmt: skip
def test_exponentials_worked_by_hand(activation, x, y, slope, ops):
    x = np.array(x, np.float64)
    got, gradient = forward_and_backward(ops, *ACTIVATIONS[activation], x, np.full(3, 2.0))
    np.testing.assert_allclose(got, y, rtol=0, atol=1e-14)
    np.testing.assert_allclose(gradient, 2 * np.array(slope), rtol=0, atol=2e-14)


@either
@REAL_TYPES
@each_activation
def test_far_from_0_each_has_its_limit_and_nan_stays_nan(name, options, kept, dtype, ops):
    largest = np.finfo(dtype).max
    x = np.array([-np.inf, -largest, -1e30, -1000, 1000, 1e30, largest, np.inf, np.nan], dtype)
    left = options.get("slope", 0.01) if name == "leaky_relu" else 0
    with np.errstate(over="ignore"):  # of 1.5 times the largest
        far = {"sigmoid": [0, 1], "tanh": [-1, 1]}.get(name, [dtype(left) * x[:4] if left else 0, x[4:8]])
        y, dx = forward_and_backward(ops, name, options, kept, x, np.full_like(x, 2))
    np.testing.assert_allclose(y[:4], np.broadcast_to(far[0], 4), rtol=1e-6)
    np.testing.assert_allclose(y[4:8], np.broadcast_to(far[1], 4), rtol=1e-6)
    np.testing.assert_allclose(dx[:4], np.full(4, 2 * left), rtol=1e-6)
    np.testing.assert_allclose(dx[4:8], np.full(4, 0 if name in ("sigmoid", "tanh") else 2), rtol=1e-6)
    assert np.isnan(y[8])
    if "relu" not in name:  # whose two slopes hold no number
        assert np.isnan(dx[8])


@REAL_TYPES
@pytest.mark.parametrize(
    ("activation", "truth"),
    {
        "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
        "tanh": math.tanh,
        "silu": lambda x: x / (1 + math.exp(-x)),
        "gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
        "gelu by tanh": lambda x: x / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    }.items(),
)
def test_small_results_keep_their_digits(activation, truth, dtype):
    """Not only in proportion to the largest: 1 + erf(x) and 1 + tanh(u) would lose all of them before x = -6."""
    name, options, _ = ACTIVATIONS[activation]
    x = np.linspace(-9, 9, 2001).astype(dtype)
    expected = np.array([truth(float(number)) for number in x])
    np.testing.assert_allclose(getattr(F, name)(x, **options), expected, rtol=3e-5 if dtype == np.float32 else 1e-13)


@either
def test_the_two_forms_of_gelu_differ_by_less_than_they_say(ops):
    x = np.linspace(-9, 9, 2001)
    assert 4e-4 < np.abs(ops.gelu(x) - ops.gelu(x, approximate="tanh")).max() < 5e-4


@each_activation
def test_gradients_pass_gradcheck(name, options, kept, rng):
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    report = nn.gradcheck(
        lambda x: forward(x, **options),
        3 * rng.standard_normal((4, 5)),
        backward=lambda dy, x: backward(dy, x if kept == "x" else forward(x, **options), **options),
        tolerance=1e-7,
    )
    assert report.ok, report


@REAL_TYPES
@each_activation
def test_in_place_and_into_an_array(name, options, kept, dtype, rng):
    x, dy = rng.standard_normal((2, 3, 5)).astype(dtype)
    y, dx = forward_and_backward(F, name, options, kept, x, dy)
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    copy, new = x.copy(), np.empty_like(x)
    assert forward(copy, out=copy, **options) is copy
    assert forward(x, out=new, **options) is new
    np.testing.assert_array_equal(copy, y)
    np.testing.assert_array_equal(new, y)
    for over in (0, 1):
        arrays = [dy.copy(), (x if kept == "x" else y).copy()]
        assert backward(*arrays, out=arrays[over], **options) is arrays[over]
        np.testing.assert_array_equal(arrays[over], dx)


@each_activation
def test_results_may_not_overlap_what_is_still_read(name, options, kept, rng):
    memory = rng.standard_normal(40)
    x, shifted = memory[:20], memory[1:21]
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    for call in (lambda: forward(x, out=shifted, **options), lambda: backward(x, x, out=shifted, **options)):
        before = memory.copy()
        with pytest.raises(ValueError, match="out must not share memory"):
            call()
        np.testing.assert_array_equal(memory, before)


@pytest.fixture
def threads_as_before():
    threads = nn.get_num_threads()
    yield
    nn.set_num_threads(threads)


@REAL_TYPES
@each_activation
def test_the_same_bits_in_any_number_of_threads(name, options, kept, dtype, rng, threads_as_before):
    x, dy = rng.standard_normal((2, 3, 10_001)).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        nn.set_num_threads(threads)
        results.append(forward_and_backward(F, name, options, kept, x, dy))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


# ------------------------------------------------------------------------------------- layers

LAYERS = {
    "ReLU()": (nn.ReLU, "relu", 0),
    "LeakyReLU()": (nn.LeakyReLU, "leaky_relu", 1),
    "LeakyReLU(slope=0.3)": (lambda: nn.LeakyReLU(0.3), "leaky_relu", 1),
    "LeakyReLU(slope=0.0)": (lambda: nn.LeakyReLU(0), "leaky_relu", 1),
    "GELU()": (nn.GELU, "gelu", 1),
    "GELU(approximate='tanh')": (lambda: nn.GELU("tanh"), "gelu", 5),
    "SiLU()": (nn.SiLU, "silu", 1),
    "Sigmoid()": (nn.Sigmoid, "sigmoid", 0),
    "Tanh()": (nn.Tanh, "tanh", 0),
    "Softmax()": (nn.Softmax, "softmax", 0),
    "LogSoftmax()": (nn.LogSoftmax, "log_softmax", 0),
    "Identity()": (nn.Identity, "identity", 0),
    "Rescale(0.25)": (lambda: nn.Rescale(0.25), "rescale", 1),
}
each_layer = pytest.mark.parametrize("shown", LAYERS)


@each_layer
@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4, 3), (2, 2, 1, 3, 2)])
def test_gradients_of_layers(shown, shape, rng):
    report = nn.gradcheck(LAYERS[shown][0](), 2 * rng.standard_normal(shape), tolerance=1e-7)
    assert report.ok, report


@each_layer
def test_a_layer_says_what_it_is(shown):
    make, kind, multiplications = LAYERS[shown]
    layer = make()
    assert repr(layer) == shown
    assert layer.kind == kind
    assert layer.multiplications((5, 6, 2)) == 60 * multiplications
    assert layer.output_shape((5, 6, 2)) == (5, 6, 2)
    assert layer.channels_after(7) == 7
    assert not layer.params


def test_the_algorithm_of_gelu_multiplies_once_more():
    assert nn.GELU().multiplications((5, 6, 2), spent=True) == 120
    assert nn.GELU("tanh").multiplications((5, 6, 2), spent=True) == 300


@each_layer
def test_inside_a_network(shown, rng, tmp_path):
    def network(seed):
        options = {"rng": np.random.default_rng(seed)}
        layers = nn.Conv2D(2, 4, 3, **options), LAYERS[shown][0](), nn.Flatten(), nn.Dense(64, 3, **options)
        return nn.Sequential(*layers)

    net, x = network(0), rng.standard_normal((6, 4, 4, 2)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2])
    history = []
    for _ in range(150):
        loss, dlogits = F.softmax_cross_entropy(net.forward(x, training=True), labels)
        assert net.backward(dlogits, need_dx=False) is None
        history.append(loss)
        for name, parameter in net.params.items():
            parameter -= np.float32(0.3) * net.grads[name]
    assert history[-1] < history[0] / 3
    assert list(net.children)[1] == f"1_{LAYERS[shown][1]}"
    net.save(tmp_path / "w.safetensors")
    again = network(1)
    again.load(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(again(x), net(x))
    np.testing.assert_allclose(net.astype(np.float64)(x.astype(np.float64)), net(x), rtol=1e-4, atol=1e-4)


def test_a_layer_keeps_its_input_unharmed_while_the_one_before_goes_on(rng):
    """GELU and SiLU need the input in backward, which is the buffer of the layer before."""
    before, after = nn.Tanh(), nn.GELU()
    x, dy = rng.standard_normal((2, 4, 5))
    after.forward(before.forward(x, training=True), training=True)
    before.forward(-x)
    np.testing.assert_array_equal(after.backward(dy), F.gelu_backward(dy, F.tanh(x)))


# ------------------------------------------------------------------------------------- softmax


@either
def test_softmax_worked_by_hand(ops):
    logits = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    expected = [[0.125, 0.25, 0.625], [0.25, 0.25, 0.5]]
    np.testing.assert_allclose(ops.softmax(logits), expected, rtol=1e-14)
    np.testing.assert_allclose(ops.log_softmax(logits), np.log(expected), rtol=1e-14)


@either
def test_the_gradient_of_softmax_worked_by_hand(ops):
    # dy_l / dz_k = y_l ((l == k) - y_k): for y = 1/4, 3/4 it is 3/16, -3/16; -3/16, 3/16.
    y, dy = np.array([[0.25, 0.75], [0.25, 0.75]]), np.array([[16.0, 0.0], [16.0, 16.0]])
    np.testing.assert_array_equal(ops.softmax_backward(dy, y), [[3, -3], [0, 0]])


@either
@REAL_TYPES
def test_softmax_of_huge_logits(dtype, ops):
    logits = np.array([[10000.0, 0.0], [-10000.0, -10000.0]], dtype)
    np.testing.assert_array_equal(ops.softmax(logits), [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(ops.log_softmax(logits), [[0, -10000], [-np.log(2), -np.log(2)]], rtol=1e-3)


@either
def test_softmax_is_stable_and_sums_to_one(ops):
    logits = np.array([[1e4, -1e4, 0.0], [1.0, 2.0, 3.0]])
    p = ops.softmax(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-15)
    np.testing.assert_array_equal(p[0], [1, 0, 0])
    np.testing.assert_allclose(ops.log_softmax(logits)[1], np.log(p[1]), atol=1e-15)


@either
@REAL_TYPES
@pytest.mark.parametrize("shape", [(7,), (4, 7), (2, 3, 7), (2, 1, 3, 7), (0, 3, 7)])
def test_softmax_runs_along_the_last_axis_of_any_array(shape, dtype, ops, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    y = ops.softmax(x)
    rows = x.reshape(-1, 7)
    np.testing.assert_array_equal(y, ops.softmax(rows).reshape(shape))
    np.testing.assert_array_equal(ops.log_softmax(x), ops.log_softmax(rows).reshape(shape))
    dx = ops.softmax_backward(dy, y)
    np.testing.assert_array_equal(dx, ops.softmax_backward(dy.reshape(-1, 7), y.reshape(-1, 7)).reshape(shape))
    assert {y.dtype, dx.dtype} == {np.dtype(dtype)}
    np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-6)  # the probabilities always add up to 1


# ------------------------------------------------------------------------------------- refusals

X = np.zeros((2, 6, 6, 3), np.float32)
Y = np.zeros((2, 6, 6, 4), np.float32)
LOGITS = np.zeros((2, 3), np.float32)
NUMBER = np.zeros((), np.float32)


@pytest.mark.parametrize("name", sorted({name for name, _, _ in ACTIVATIONS.values()}))
def test_wrong_arrays_are_named(name):
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    kept = {name: kept for name, _, kept in ACTIVATIONS.values()}[name]
    assert_refused(lambda: forward(X.astype(int)), nn.DTypeError, "x must be float32")
    assert_refused(lambda: forward([1.0]), TypeError, "x must be a numpy.ndarray, got list")
    assert_refused(lambda: forward(X, out=X[:1]), nn.ShapeError, "out must have shape")
    assert_refused(lambda: forward(X, out=X.astype(float)), nn.DTypeError, "out must have dtype float32")
    assert_refused(lambda: backward(Y, X), nn.ShapeError, f"{kept} must have shape")
    assert_refused(lambda: backward(X, X.astype(float)), nn.DTypeError, f"{kept} must have the dtype of dy")
    assert_refused(lambda: backward(X, X, out=X[:1]), nn.ShapeError, "out must have shape")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.ReLU().forward([1.0]), TypeError, "x must be a numpy.ndarray"),
        (lambda: nn.GELU().forward(X.astype(int)), nn.DTypeError, "x must be float32"),
        (lambda: nn.Tanh().forward(NUMBER), nn.ShapeError, "x must have a batch axis"),
        (lambda: nn.Softmax().forward(LOGITS[0]), nn.ShapeError, "an axis beside that of the batch"),
        (lambda: nn.LogSoftmax().forward(LOGITS[0]), nn.ShapeError, r"LogSoftmax\(\) needs an axis beside"),
        (lambda: F.log_softmax_backward(LOGITS, LOGITS[:1]), nn.ShapeError, r"y must have shape \(2, 3\)"),
        (lambda: nn.Softmax().output_shape(()), nn.ShapeError, "an axis beside that of the batch"),
        (lambda: nn.LeakyReLU(-0.1), ValueError, "slope must be a finite number of at least 0, got -0.1"),
        (lambda: nn.LeakyReLU(np.inf), ValueError, "slope must be a finite number"),
        (lambda: nn.LeakyReLU("little"), TypeError, "slope must be a finite number"),
        (lambda: F.leaky_relu(X, slope=-1), ValueError, "slope must be a finite number of at least 0, got -1"),
        (lambda: F.leaky_relu_backward(X, X, slope=None), TypeError, "slope must be a finite number"),
        (lambda: nn.GELU("erf"), ValueError, "approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: nn.GELU(True), ValueError, "approximate must be 'none' or 'tanh', got True"),
        (lambda: F.gelu(X, approximate=None), ValueError, "approximate must be 'none' or 'tanh', got None"),
        (lambda: F.gelu_backward(X, X, approximate="no"), ValueError, "approximate must be"),
        (lambda: F.softmax(NUMBER), nn.ShapeError, r"logits must have shape \(\.\.\., classes\)"),
        (lambda: F.log_softmax(NUMBER), nn.ShapeError, r"logits must have shape \(\.\.\., classes\)"),
        (lambda: F.softmax(LOGITS[:, :0]), nn.ShapeError, "at least one class"),
        (lambda: F.softmax(LOGITS.astype(int)), nn.DTypeError, "logits must be float32"),
        (lambda: F.softmax_backward(NUMBER, NUMBER), nn.ShapeError, r"dy must have shape \(\.\.\., classes\)"),
        (lambda: F.softmax_backward(LOGITS, LOGITS[:1]), nn.ShapeError, r"y must have shape \(2, 3\)"),
        (lambda: F.softmax_backward(LOGITS, LOGITS.astype(float)), nn.DTypeError, "y must have the dtype of dy"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    assert_refused(call, error, message)
