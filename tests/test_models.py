"""The named networks: their size by hand, how they start, their gradients, and what they refuse."""

import numpy as np
import pytest

import npcnn as nn


def test_models_by_hand():
    # conv1 24*24*75*64, then 5x5 at 12x12, then 5x5,10 at 6x6
    first, last = 24 * 24 * 75 * 64, 6 * 6 * 25 * 64 * 10
    assert nn.models.cifar_plain().multiplications((24, 24, 3)) == first + 144 * 1600 * 64 + last
    assert nn.models.cifar_separable().multiplications((24, 24, 3)) == first + 2 * 144 * 320 * 64 + last
    assert (
        nn.models.cifar_multichannel().multiplications((24, 24, 3))
        == first + 144 * (1 + 9 + 25 + 49) * 64 * 64 + 4 * last
    )
    parameters = sum(p.size for p in nn.models.cifar_separable().params.values())
    assert parameters == 75 * 64 + 64 + 2 * (320 * 64 + 64) + 1600 * 10 + 10


@pytest.mark.parametrize("model", nn.models.MODELS.values())
def test_models_start_as_the_article_says(model):
    for name, param in model(rng=np.random.default_rng(0)).params.items():
        if name.endswith(".b"):
            np.testing.assert_array_equal(param, np.float32(0.1))
        else:
            assert np.abs(param).max() <= np.float32(0.2)
            assert abs(param.std() - 0.088) < 0.004  # sd of a normal cut off at 2 sd: 0.8796


def test_float32_and_float64_nets_of_one_seed_start_alike():
    for one, other in zip(
        nn.models.cifar_plain(rng=np.random.default_rng(5)).params.values(),
        nn.models.cifar_plain(rng=np.random.default_rng(5), dtype="f8").params.values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other.astype(np.float32))


def test_multiplications_spent_follow_the_algorithm():
    shape = (24, 24, 3)
    auto, exact = nn.models.cifar_separable(), nn.models.cifar_separable(algorithm="im2col")
    assert exact.multiplications(shape, spent=True) == exact.multiplications(shape) == auto.multiplications(shape)
    assert auto.multiplications(shape, spent=True) == (
        24 * 24 * 2 * 15 * 64  # 5 x 5: F(4, 5) along the height, 5 taps x 3 channels across it
        + 2 * 144 * 2 * 64 * 64  # 5 x 1 and 1 x 5
        + 6 * 2 * 8 * 5 * 64 * 10  # 5 x 5 on 6 lines: two tiles of 4
    )
    float64 = nn.models.cifar_separable(dtype=np.float64)
    assert float64.multiplications(shape, spent=True) == float64.multiplications(shape)


@pytest.mark.parametrize("model", nn.models.MODELS)
def test_gradients_pass_gradcheck(model, rng):
    net = nn.models.MODELS[model](rng=rng, dtype=np.float64)
    x = rng.standard_normal((1, 24, 24, 3))
    report = nn.gradcheck(net, x, tolerance=1e-6, max_elements=12 if model == "separable" else 3)
    assert report.ok, report


def test_wrong_dtype_is_refused(rng):
    net = nn.models.cifar_plain(rng=rng)
    with pytest.raises(nn.DTypeError, match="float32"):
        net.forward(np.zeros((1, 24, 24, 3)))
    with pytest.raises(nn.DTypeError, match="astype"):
        net.forward(np.zeros((1, 24, 24, 3), np.uint8))
