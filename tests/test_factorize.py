"""Cut kernels: held against the definition of the best rank-r matrix, and against the convolution they replace."""

import numpy as np
import pytest

import npcnn as nn
from npcnn import reference


def product(vertical, horizontal):
    """The k x k kernel that a pair of 1-D kernels makes, as its definition."""
    return np.einsum("hcm,wmo->hwco", vertical, horizontal)


@pytest.mark.parametrize("shape", [(3, 3, 1, 1), (5, 5, 3, 8), (3, 5, 4, 2), (1, 3, 2, 2), (2, 1, 3, 3)])
def test_full_rank_gives_the_kernel(shape, rng):
    w = rng.standard_normal(shape)
    KH, KW, C_in, C_out = shape
    full = min(KH * C_in, KW * C_out)
    np.testing.assert_allclose(product(*nn.factorize.cut_kernel(w, full)), w, atol=1e-12)
    assert nn.factorize.relative_error(w, full) == 0
    assert len(nn.factorize.singular_values(w)) == full


@pytest.mark.parametrize("rank", range(1, 6))
def test_the_error_is_that_of_the_pair(rank, rng):
    w = rng.standard_normal((3, 3, 2, 4))
    lost = w - product(*nn.factorize.cut_kernel(w, rank))
    said = nn.factorize.relative_error(w, rank)
    np.testing.assert_allclose(np.linalg.norm(lost) / np.linalg.norm(w), said, rtol=1e-12)


def test_no_pair_found_by_alternating_least_squares_is_closer(rng):
    w = rng.standard_normal((3, 3, 2, 4))
    matrix = w.transpose(0, 2, 1, 3).reshape(6, 12)
    best = nn.factorize.relative_error(w, 2) * np.linalg.norm(w)
    for _ in range(5):
        right = rng.standard_normal((2, 12))
        for _ in range(200):
            left = np.linalg.lstsq(right.T, matrix.T, rcond=None)[0].T
            right = np.linalg.lstsq(left, matrix, rcond=None)[0]
        found = np.linalg.norm(matrix - left @ right)
        assert found >= best * (1 - 1e-12)
    np.testing.assert_allclose(found, best, rtol=1e-3)  # and it is reached


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": (2, 1), "padding": "valid"},
        {"padding": ((1, 0), (0, 2))},
        {"padding": 2, "dilation": (2, 1)},
        {"bias": False},
        {"activation": "relu"},
    ],
)
def test_a_layer_cut_at_full_rank_is_the_layer(options, rng):
    layer = nn.Conv2D(2, 3, (3, 5), rng=rng, dtype=np.float64, **options)
    x = rng.standard_normal((2, 9, 8, 2))
    cut = nn.factorize.cut_convolution(layer, 6)
    np.testing.assert_allclose(cut.forward(x), layer.forward(x), atol=1e-12)


def test_a_cut_layer_is_the_convolution_by_the_closest_kernel(rng):
    layer = nn.Conv2D(3, 4, 5, rng=rng, dtype=np.float64)
    x = rng.standard_normal((2, 7, 6, 3))
    closest = product(*nn.factorize.cut_kernel(layer.params["w"], 3))
    expected = reference.conv2d(x, closest, layer.params["b"])
    np.testing.assert_allclose(nn.factorize.cut_convolution(layer, 3).forward(x), expected, atol=1e-12)


def test_a_network_keeps_what_is_not_cut_and_is_not_changed(rng):
    net = nn.models.cifar_multichannel(rng=rng)
    before = {name: array.copy() for name, array in net.params.items()}
    cut, cuts = nn.factorize.cut_network(net, {"2_concat.3_conv2d": 16, "4_conv2d": 8})
    assert [(kernel.name, kernel.rank, kernel.full_rank) for kernel in cuts] == [
        ("2_concat.3_conv2d", 16, 448),
        ("4_conv2d", 8, 50),
    ]
    for kernel in cuts:
        assert kernel.error == nn.factorize.relative_error(before[f"{kernel.name}.w"], kernel.rank)
    for name in ("0_conv2d.w", "2_concat.0_conv2d.w", "2_concat.2_conv2d.b"):
        np.testing.assert_array_equal(cut.params[name], before[name])
    for array in cut.params.values():
        array += 1
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])
    assert cut.output_shape((24, 24, 3)) == (10,)


def test_what_a_network_of_ones_own_adds_is_kept(rng):
    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2D(2, 8, 3, rng=rng), Residual())

    class Residual(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2D(8, 8, 3, rng=rng))

        def forward(self, x, training=False):
            return x + super().forward(x, training)

    net, x = Net(), rng.standard_normal((2, 5, 5, 2)).astype(np.float32)
    cut, cuts = nn.factorize.cut_network(net, 6)
    assert [kernel.name for kernel in cuts] == []
    np.testing.assert_array_equal(cut.forward(x), net.forward(x))
    cut, cuts = nn.factorize.cut_network(net, {"0_conv2d": 6})
    assert [kernel.name for kernel in cuts] == ["0_conv2d"]
    np.testing.assert_allclose(cut.forward(x), net.forward(x), atol=1e-5)
    with pytest.raises(ValueError, match=r"'1_residual\.0_conv2d', which is no Conv2D of the network"):
        nn.factorize.cut_network(net, {"1_residual.0_conv2d": 6})


def test_one_rank_cuts_only_where_it_saves(rng):
    net = nn.models.cifar_plain(rng=rng)
    counted = {}
    for rank in (8, 14, 15, 43, 44, 159, 160):
        cut, cuts = nn.factorize.cut_network(net, rank)
        counted[rank] = [kernel.name for kernel in cuts]
        assert (cut.multiplications((24, 24, 3)) < net.multiplications((24, 24, 3))) == bool(cuts)
    every = ["0_conv2d", "2_conv2d", "4_conv2d"]
    assert counted == {8: every, 14: every, 15: every[1:], 43: every[1:], 44: every[1:2], 159: every[1:2], 160: []}


def test_a_cut_network_learns(rng):
    net, _ = nn.factorize.cut_network(nn.Sequential(nn.Conv2D(2, 3, 3, activation="relu", dtype=np.float64)), 2)
    assert nn.gradcheck(net, rng.standard_normal((1, 5, 4, 2))).ok


def test_nothing_but_zeros():
    w = np.zeros((3, 3, 1, 1), np.float32)
    assert nn.factorize.relative_error(w, 1) == 0
    vertical, horizontal = nn.factorize.cut_kernel(w, 1)
    assert vertical.dtype == horizontal.dtype == np.float32
    assert not product(vertical, horizontal).any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.factorize.cut_kernel(np.zeros((3, 3, 1, 1)), 4), ValueError, "at most 3, which gives this kernel"),
        (
            lambda: nn.factorize.cut_kernel(np.zeros((3, 3, 1, 1)), 0),
            ValueError,
            "rank must be an integer of at least 1",
        ),
        (lambda: nn.factorize.cut_kernel(np.zeros((3, 3, 1)), 1), nn.ShapeError, "KH, KW, C_in, C_out"),
        (lambda: nn.factorize.cut_kernel(np.full((3, 3, 1, 1), np.nan), 1), ValueError, "finite"),
        (lambda: nn.factorize.cut_kernel(np.zeros((0, 3, 1, 1)), 1), nn.ShapeError, "no axis of length 0"),
        (lambda: nn.factorize.singular_values([[1.0]]), TypeError, "numpy.ndarray"),
        (lambda: nn.factorize.cut_convolution(nn.ReLU(), 1), TypeError, r"must be a Conv2D, got ReLU\(\)"),
        (lambda: nn.factorize.cut_network(nn.models.cifar_plain(), {"3_conv2d": 1}), ValueError, "'3_conv2d'"),
        (lambda: nn.factorize.cut_network(nn.models.cifar_plain(), {"0_conv2d": 16}), ValueError, "at most 15"),
        (lambda: nn.factorize.cut_network(nn.models.cifar_plain(), 0), ValueError, "at least 1"),
        (lambda: nn.factorize.cut_network(nn.models.cifar_plain(), 2.5), TypeError, "rank"),
        (lambda: nn.factorize.cut_network("net", 2), TypeError, "net must be a Layer"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
