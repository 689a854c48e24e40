"""Saving and loading: bit for bit, whole or not at all, strict about what fits."""

import json
import os
import stat
import struct

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


@pytest.mark.parametrize("array", [np.array(2.5), np.ones((2, 0)), np.arange(12.0).reshape(3, 4).T])
def test_shapes_and_order_come_back(tmp_path, array):
    nn.weights.save({"a": array}, tmp_path / "w.safetensors")
    loaded = {"a": np.zeros(array.shape)}
    nn.weights.load(loaded, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(loaded["a"], array)
    assert nn.weights.read(tmp_path / "w.safetensors")["a"].shape == array.shape


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


def safetensors_file(path, dtype, shape, data):
    """Write a file of one array, "w", by the description of the format."""
    header = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


# Sign, 8 bits of exponent, 7 of fraction; the values are worked out by hand.
BFLOAT16 = {0x3F80: 1.0, 0xC000: -2.0, 0x3FC0: 1.5, 0x4049: 3.140625, 0x0001: 2.0**-133, 0x7F7F: 255 * 2.0**120,
            0xFF80: -np.inf, 0x8000: -0.0}  # fmt: skip


def test_bfloat16_is_widened_on_request(tmp_path):
    data = struct.pack(f"<{len(BFLOAT16)}H", *BFLOAT16)
    path = safetensors_file(tmp_path / "w", "BF16", [2, 4], data)
    expected = np.array(list(BFLOAT16.values())).reshape(2, 4)
    array = nn.weights.read(path, widen=True)["w"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(np.signbit(array), np.signbit(expected))
    params = {"w": np.zeros((2, 4), np.float32)}
    with pytest.raises(nn.WeightsError, match="holds BF16, which NumPy does not have; widen=True"):
        nn.weights.load(params, path)
    assert not params["w"].any()
    nn.weights.load(params, path, widen=True)
    np.testing.assert_array_equal(params["w"], expected)


def test_float16_is_widened_on_request(tmp_path):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    path = safetensors_file(tmp_path / "w", "F16", [len(every)], every.tobytes())
    assert nn.weights.read(path)["w"].dtype == np.float16
    params = {"w": np.zeros(len(every), np.float32)}
    with pytest.raises(nn.WeightsError, match=r"widen=True.*w is float16"):
        nn.weights.load(params, path)
    nn.weights.load(params, path, widen=True)
    np.testing.assert_array_equal(params["w"], every.astype(np.float64))


def test_a_layer_loads_half_the_precision_on_request(tmp_path):
    path = safetensors_file(tmp_path / "w", "BF16", [1, 2], struct.pack("<2H", 0x3FC0, 0xC000))
    layer = nn.Dense(1, 2, bias=False)
    with pytest.raises(nn.WeightsError, match="widen=True"):
        layer.load(path)
    layer.load(path, widen=True)
    np.testing.assert_array_equal(layer.forward(np.ones((1, 1), np.float32)), [[1.5, -2.0]])


@pytest.mark.parametrize("widen", [False, True])
@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_a_dtype_that_numpy_does_not_have_is_named(tmp_path, dtype, widen):
    path = safetensors_file(tmp_path / "w", dtype, [4], bytes(4))
    with pytest.raises(nn.WeightsError, match=f"holds w as {dtype}, which NumPy does not have"):
        nn.weights.read(path, widen=widen)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8"])
def test_every_dtype_of_numpy_comes_back(tmp_path, dtype):
    array = np.array([[1, 0, 1]], dtype)
    nn.weights.save({"a": array}, tmp_path / "w")
    read = nn.weights.read(tmp_path / "w")["a"]
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        network(0).load(tmp_path / "none")
    with pytest.raises(FileNotFoundError) as caught:
        network(0).save(tmp_path / "no_folder" / "w")
    assert str(caught.value).endswith(f"'{tmp_path / 'no_folder' / 'w'}'")


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    net = network(0)
    net.save(path)
    old = path.read_bytes()

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match=r"No space left on device: '.*/w\.safetensors'"):
        network(1).save(path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("target", ["w", "not yet there"])
def test_a_symbolic_link_stays_one(tmp_path, target):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "w").write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(folder / target)
    nn.weights.write_atomically(link, b"new")
    assert link.is_symlink()
    assert (folder / target).read_bytes() == b"new"
    assert {path.name for path in folder.iterdir()} == {"w", target}


def test_a_link_in_a_circle_is_an_os_error(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match=r"link'"):
        nn.weights.write_atomically(link, b"new")
    assert link.is_symlink()


@pytest.mark.parametrize("through_a_link", [False, True])
def test_what_is_no_plain_file_is_written_to(tmp_path, through_a_link):
    fifo = path = tmp_path / "fifo"
    os.mkfifo(fifo)
    if through_a_link:
        path = tmp_path / "link"
        path.symlink_to(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        nn.weights.write_atomically(path, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert path.is_symlink() == through_a_link
    with pytest.raises(IsADirectoryError):
        nn.weights.write_atomically(tmp_path, b"content")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_an_existing_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "w"
    path.write_bytes(b"old")
    path.chmod(mode)
    nn.weights.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_mode_of_any_other_and_the_umask_is_not_touched(tmp_path, monkeypatch):
    def touched(_mask):
        raise AssertionError("the umask is of the whole process")

    monkeypatch.setattr("os.umask", touched)
    nn.weights.write_atomically(tmp_path / "ours", b"")
    (tmp_path / "any").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.parametrize("length", [245, 246, 255])
def test_long_names(tmp_path, length):
    path = tmp_path / ("n" * length)
    nn.weights.write_atomically(path, b"content")
    assert path.read_bytes() == b"content"


def test_a_message_about_a_foreign_file_is_short(tmp_path):
    path = tmp_path / "w.safetensors"
    nn.weights.save({f"other{i}": np.zeros(1, np.float32) for i in range(1000)}, path)
    with pytest.raises(nn.WeightsError, match=r"w is missing; .*; and 982 more\. Build") as caught:
        nn.Dense(2, 2).load(path)
    assert len(str(caught.value)) < 2000
