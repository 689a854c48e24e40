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


def test_airbench_by_hand():
    net = nn.models.airbench()
    taps = {31: 9 * 24 * 64, 15: 9 * (64 * 64 + 64 * 256), 7: 2 * 9 * 256 * 256, 3: 9 * 256 * 256}
    assert (
        sum(p.size for name, p in net.params.items() if name.endswith(".w")) == 4 * 3 * 24 + sum(taps.values()) + 2560
    )
    products = 31 * 31 * 12 * 24 + sum(size * size * weights for size, weights in taps.items()) + 2560
    others = 31 * 31 * 24 + 2 * (2 * 15 * 15 * 64 + 2 * 7 * 7 * 256 + 2 * 3 * 3 * 256) + 10  # GELU, normalisation, 1/9
    assert net.multiplications((32, 32, 3)) == products + others
    assert round(products / 1e6, 1) == 118.1


@pytest.mark.parametrize("model", nn.models.ARTICLE.values())
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


@pytest.mark.parametrize("model", nn.models.ARTICLE)
def test_gradients_pass_gradcheck(model, rng):
    net = nn.models.MODELS[model](rng=rng, dtype=np.float64)
    x = rng.standard_normal((1, 24, 24, 3))
    report = nn.gradcheck(net, x, tolerance=1e-6, max_elements=12 if model == "separable" else 3)
    assert report.ok, report


@pytest.mark.parametrize("make", [nn.models.simple_cnn, lambda **options: nn.models.resnet(8, **options)])
def test_gradients_of_networks_with_batch_norm(make, rng):
    net = make(classes=3, input_channels=2, dtype=np.float64, rng=rng)
    report = nn.gradcheck(net, rng.standard_normal((3, 8, 8, 2)), tolerance=1e-5, max_elements=4)
    assert report.ok, report


def test_resnet_by_hand():
    # Layers with weights on the longest way: 1 + 3 stages * 3 blocks * 2 + 1; the two shortcuts are not counted.
    net = nn.models.resnet(20)
    weights = {name: array for name, array in net.params.items() if name.endswith(".w")}
    assert sum("shortcut" not in name for name in weights) == 20
    first, stages = 27 * 16, 6 * 9 * 16**2 + 9 * (16 * 32 + 32 * 64) + 5 * 9 * (32**2 + 64**2)
    assert sum(array.size for array in weights.values()) == first + stages + 16 * 32 + 32 * 64 + 64 * 10
    pixels = (32 * 32, 16 * 16, 8 * 8)
    blocks = (6 * 9 * 16**2, 9 * 16 * 32 + 5 * 9 * 32**2 + 16 * 32, 9 * 32 * 64 + 5 * 9 * 64**2 + 32 * 64)
    products = pixels[0] * first + sum(map(int.__mul__, pixels, blocks)) + 64 * 10
    normalised = pixels[0] * 7 * 16 + pixels[1] * 7 * 32 + pixels[2] * 7 * 64
    assert net.multiplications((32, 32, 3)) == products + normalised
    with pytest.raises(ValueError, match=r"depth must be 6 n \+ 2, .*got 21"):
        nn.models.resnet(21)


@pytest.mark.parametrize("model", nn.models.MODELS)
def test_any_number_of_classes_and_channels(model, rng):
    net = nn.models.MODELS[model](classes=4, input_channels=1, rng=rng)
    assert net.forward(np.zeros((2, 28, 28, 1), np.float32)).shape == (2, 4)


def test_wrong_dtype_is_refused(rng):
    net = nn.models.cifar_plain(rng=rng)
    with pytest.raises(nn.DTypeError, match="float32"):
        net.forward(np.zeros((1, 24, 24, 3)))
    with pytest.raises(nn.DTypeError, match="astype"):
        net.forward(np.zeros((1, 24, 24, 3), np.uint8))
