"""MNIST's format: every pixel where it was, compressed or not; damaged files named; what is not MNIST refused."""

import gzip

import numpy as np
import pytest
from cifar_files import write
from idx_files import contents, idx

import npcnn as nn
from npcnn.datasets import from_idx, steps
from npcnn.datasets.idx import FASHION_MNIST, GARMENTS, MNIST, read_fashion_mnist, read_idx, read_mnist

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("size", [(28, 28), (3, 5)])
def test_every_pixel_and_label_arrives_where_it_was(tmp_path, compressed, size):
    files, arrays = contents(size=size, compressed=compressed)
    data = from_idx(write(tmp_path / "mine", files))
    read = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    for array, expected in zip(read, arrays, strict=True):
        np.testing.assert_array_equal(array, expected[..., None] if expected.ndim == 3 else expected)
    assert data.picture_shape == (*size, 1)
    assert data.train_images.dtype == np.uint8
    assert data.train_images.flags.writeable
    assert (data.name, data.folder, data.steps) == ("mine", tmp_path / "mine", ())
    assert data.classes == tuple(map(str, range(10)))


def test_some_compressed_and_some_not_and_names_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    files = contents()[0]
    files[TEST_IMAGES] = gzip.decompress(files.pop(f"{TEST_IMAGES}.gz"))
    write(tmp_path / "data", files)
    names = [f"digit {k}" for k in range(10)]
    data = from_idx("~/data", classes=names, name="digits", steps=[steps.crop(20)])
    assert (data.classes, data.name, data.folder) == (tuple(names), "digits", tmp_path / "data")
    assert data.input_shape == (20, 20, 1)


def test_a_missing_file_is_named_with_both_its_names(tmp_path):
    files = contents()[0]
    del files[f"{TEST_LABELS}.gz"]
    with pytest.raises(FileNotFoundError, match=rf"no {TEST_LABELS} or {TEST_LABELS}.gz in .*four IDX files"):
        from_idx(write(tmp_path / "data", files))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        from_idx(tmp_path / "nowhere")


IMAGES = idx(np.zeros((12, 4, 5), np.uint8))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "begins with nothing, expected 00 00 08 03: an IDX file of bytes in 3 dimensions"),
        (IMAGES[:3], "begins with 00 00 08, expected"),
        (b"\0\0\x0d" + IMAGES[3:], "begins with 00 00 0d 03"),
        (b"\0\1" + IMAGES[2:], "begins with 00 01 08 03"),
        (idx(np.zeros((12, 4), np.uint8)), "begins with 00 00 08 02"),
        (idx(np.zeros(12, np.uint8)), "begins with 00 00 08 01"),
        (IMAGES[:9], "truncated in its dimensions"),
        (IMAGES[:16], r"must hold 240 values, \(12, 4, 5\), got fewer"),
        (IMAGES[:-1], r"must hold 240 values, \(12, 4, 5\), got 239"),
        (IMAGES + b"\0", r"must hold 240 values, \(12, 4, 5\), got more than 240"),
        (IMAGES[:4] + b"\xff" * 12 + IMAGES[16:], r"must hold 79228162458924105385300197375 values"),
    ],
)
@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_file_is_named_and_told(tmp_path, content, told, compressed):
    path = tmp_path / (f"{TRAIN_IMAGES}.gz" if compressed else TRAIN_IMAGES)
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(nn.DataError, match=told) as caught:
        read_idx(path, dimensions=3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "changed", "no gzip"])
def test_a_damaged_gzip_file_is_named(tmp_path, rng, damage):
    content = gzip.compress(idx(rng.integers(0, 256, (12, 4, 5), dtype=np.uint8)))
    middle = len(content) // 2
    changed = {
        "cut": content[:middle],
        "changed": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "no gzip": IMAGES,
    }
    path = tmp_path / "file.gz"
    path.write_bytes(changed[damage])
    with pytest.raises(nn.DataError, match=r"file.gz cannot be uncompressed .*; get the file again"):
        read_idx(path, dimensions=3)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({TRAIN_LABELS: np.zeros(11, np.uint8)}, "has 12 pictures, but .*train-labels.* 11 labels"),
        (
            {TEST_IMAGES: np.zeros((10, 28, 27), np.uint8)},
            r"no data set: test_images must be pictures of \(28, 28, 1\)",
        ),
        ({TRAIN_IMAGES: np.zeros((0, 28, 28), np.uint8), TRAIN_LABELS: np.zeros(0, np.uint8)}, "at least one picture"),
    ],
)
def test_files_that_do_not_go_together_are_refused(tmp_path, changed, told):
    files = contents(compressed=False)[0] | {name: idx(array) for name, array in changed.items()}
    with pytest.raises(nn.DataError, match=told):
        from_idx(write(tmp_path / "data", files))


def test_wrong_arguments_are_found_before_the_files_are_read(tmp_path):
    for options, error in (({"classes": "ab"}, TypeError), ({"steps": [steps.mirror()]}, ValueError)):
        with pytest.raises(error, match=next(iter(options))):
            from_idx(tmp_path / "nowhere", **options)
    with pytest.raises(nn.DataError, match="no data set: train_labels must be 0 to 1"):
        from_idx(write(tmp_path / "data", contents()[0]), classes=("a", "b"))


@pytest.mark.parametrize(
    ("name", "other", "source", "read", "classes"),
    [
        ("mnist", "fashion-mnist", MNIST, read_mnist, tuple("0123456789")),
        ("fashion-mnist", "mnist", FASHION_MNIST, read_fashion_mnist, GARMENTS),
    ],
)
def test_the_two_known_ones_are_told_apart(tmp_path, name, other, source, read, classes):
    for folder in (name, other):
        write(tmp_path / folder, contents(folder)[0])
    assert read(tmp_path).folder == read(tmp_path / name).folder == tmp_path / name
    data = read(tmp_path)
    assert (data.name, data.classes, data.picture_shape) == (source.name, classes, (28, 28, 1))
    with pytest.raises(nn.DataError, match=f"{other} are not {source.name}: the first test labels are"):
        read(tmp_path / other)
    assert [file.name for file in source.files] == list(contents()[0])
