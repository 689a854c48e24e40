"""Saving and loading: bit for bit, whole or not at all, strict about what fits."""

import numpy as np
import pytest

import npcnn as nn


def network(seed, channels=4):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2D(1, channels, 3, activation="relu", rng=rng),
        nn.SpatiallySeparableConv2D(channels, 2, 3, rng=rng),
        nn.GlobalAvgPool2D(),
    )


def values(net):
    return {name: array.copy() for name, array in net.params.items()}


def assert_same(net, expected):
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, expected[name])


def test_roundtrip_is_exact(tmp_path):
    net, other = network(0), network(1)
    net.save(tmp_path / "w.safetensors")
    other.load(tmp_path / "w.safetensors")
    assert_same(other, net.params)
    x = np.random.default_rng(2).standard_normal((2, 5, 5, 1)).astype(np.float32)
    np.testing.assert_array_equal(other.forward(x), net.forward(x))
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_another_network_is_refused_and_nothing_changed(tmp_path):
    network(0, channels=5).save(tmp_path / "w.safetensors")
    net = network(1)
    before = values(net)
    with pytest.raises(nn.WeightsError, match=r"0_conv2d.w is float32 \(3, 3, 1, 5\), expected"):
        net.load(tmp_path / "w.safetensors")
    assert_same(net, before)
    with pytest.raises(nn.WeightsError, match=r"missing.*not a parameter"):
        nn.Dense(2, 2).load(tmp_path / "w.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_file_is_refused_and_nothing_changed(tmp_path, keep):
    path = tmp_path / "w.safetensors"
    network(0).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    net = network(1)
    before = values(net)
    with pytest.raises(nn.WeightsError, match="not a complete safetensors file"):
        net.load(path)
    assert_same(net, before)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        network(0).load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        network(0).save(tmp_path / "no_folder" / "w")


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    net = network(0)
    net.save(path)
    old = path.read_bytes()

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        network(1).save(path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
