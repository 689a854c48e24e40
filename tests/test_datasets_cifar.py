"""The readers of the binary versions of CIFAR-10 and CIFAR-100."""

import os

import numpy as np
import pytest
from cifar_files import NAMES, NAMES_100, contents, contents_100, write

import npcnn as nn
from npcnn.datasets import read_cifar100, read_dataset
from npcnn.datasets.cifar import RECORDS_PER_FILE, read_class_names, read_records

RECORD = 3073
FOLDER = "cifar-10-batches-bin"


def read(folder):
    return read_dataset(folder, records_per_file=2)


def test_every_pixel_and_label_arrives_where_it_was(tmp_path):
    files, pictures, labels = contents(2)
    data = read(write(tmp_path / "data", files))
    np.testing.assert_array_equal(data.train_images, np.concatenate(pictures[:5]))
    np.testing.assert_array_equal(data.train_labels, np.concatenate(labels[:5]))
    np.testing.assert_array_equal(data.test_images, pictures[5])
    np.testing.assert_array_equal(data.test_labels, labels[5])
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert data.train_images.flags.c_contiguous
    assert data.classes == tuple(NAMES)
    assert (data.name, data.folder) == ("CIFAR-10", tmp_path / "data")
    assert data.picture_shape == (32, 32, 3)


def test_the_folder_or_the_one_it_lies_in(tmp_path):
    files, pictures, _ = contents(2)
    write(tmp_path / FOLDER, files)
    for folder in (tmp_path, str(tmp_path), tmp_path / FOLDER):
        data = read(folder)
        assert data.folder == tmp_path / FOLDER
        np.testing.assert_array_equal(data.test_images, pictures[5])


def test_a_missing_folder_is_named_with_both_places(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        read(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere" / FOLDER) in str(error.value)


@pytest.mark.parametrize("missing", ["data_batch_3.bin", "test_batch.bin", "batches.meta.txt"])
def test_a_missing_file_is_named(tmp_path, missing):
    files, _, _ = contents(2)
    del files[missing]
    with pytest.raises(FileNotFoundError, match=missing):
        read(write(tmp_path / "data", files))


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (0, ["truncated in record 0 at byte 0", "got 0 bytes"]),
        (1, ["truncated in record 0 at byte 1"]),
        (RECORD, ["truncated in record 1 at byte 3073", "expected 2 records, 6146 bytes"]),
        (2 * RECORD - 1, ["truncated in record 1 at byte 6145"]),
        (2 * RECORD + 1, ["too long", "record 2 at byte 6146", "got 6147 bytes"]),
        (3 * RECORD, ["too long", "record 2 at byte 6146", "got 9219 bytes"]),
    ],
)
@pytest.mark.parametrize("name", ["data_batch_4.bin", "test_batch.bin"])
def test_a_file_of_another_length_is_refused(tmp_path, name, length, told):
    files, _, _ = contents(2)
    files[name] = (files[name] * 2)[:length]
    with pytest.raises(nn.DataError) as error:
        read(write(tmp_path / "data", files))
    for part in [name, *told]:
        assert part in str(error.value)


def test_a_label_above_9_is_refused_with_its_place(tmp_path):
    files, _, _ = contents(2)
    content = bytearray(files["data_batch_5.bin"])
    content[RECORD] = 10
    files["data_batch_5.bin"] = bytes(content)
    with pytest.raises(nn.DataError, match=r"data_batch_5.bin: record 1 \(byte 3073\) has label 10, expected 0 to 9"):
        read(write(tmp_path / "data", files))


def test_labels_0_and_9_and_any_pixel_are_fine(tmp_path):
    (tmp_path / "file.bin").write_bytes(bytes([0]) + bytes([255]) * 3072 + bytes([9]) + bytes(3072))
    pictures, labels = read_records(tmp_path / "file.bin")
    assert labels.tolist() == [0, 9]
    assert (pictures[0] == 255).all()
    assert (pictures[1] == 0).all()


@pytest.mark.parametrize("records", [1, 3])
def test_any_whole_number_of_records_unless_one_is_asked_for(tmp_path, records):
    files, _, _ = contents(records)
    (tmp_path / "file.bin").write_bytes(files["test_batch.bin"])
    assert len(read_records(tmp_path / "file.bin")[1]) == records
    with pytest.raises(nn.DataError, match="expected 2 records"):
        read_records(tmp_path / "file.bin", 2)


@pytest.mark.parametrize("length", [0, 3072, RECORD + 7])
def test_no_record_and_part_of_one_are_refused_by_all(tmp_path, length):
    (tmp_path / "file.bin").write_bytes(bytes(length))
    with pytest.raises(nn.DataError, match=f"truncated in record {length // RECORD} at byte {length};"):
        read_records(tmp_path / "file.bin")


def test_a_huge_file_is_refused_unread(tmp_path):
    with (tmp_path / "file.bin").open("wb") as file:
        file.truncate(1 << 42)  # a hole: takes no space, but no machine could read it in
    with pytest.raises(nn.DataError, match="too long"):
        read_records(tmp_path / "file.bin", 2)


def test_cifar10_proper_has_ten_thousand_records_a_file(tmp_path):
    files, _, _ = contents(2)
    folder = write(tmp_path / "data", files)
    with pytest.raises(nn.DataError, match="expected 10000 records, 30730000 bytes, got 6146 bytes"):
        read_dataset(folder)
    assert len(read_dataset(folder, records_per_file=None).train_images) == 10


@pytest.mark.parametrize("text", [b"cat\ndog\n", b"\n".join([b"name"] * 11), b"\xff\xfe" * 10])
def test_class_names_must_be_ten_lines_of_text(tmp_path, text):
    (tmp_path / "batches.meta.txt").write_bytes(text)
    with pytest.raises(nn.DataError, match=r"batches\.meta\.txt"):
        read_class_names(tmp_path / "batches.meta.txt")


def test_checksum_tells_data_apart(tmp_path):
    files, _, _ = contents(2)
    data = read(write(tmp_path / "one", files))
    assert read(write(tmp_path / "same", files)).checksum() == data.checksum()
    assert len(bytes.fromhex(data.checksum())) == 32
    for place in (0, 1, 2 * RECORD - 1):  # a label, the first pixel, the last
        content = bytearray(files["test_batch.bin"])
        content[place] = (content[place] + 1) % 10
        other = read(write(tmp_path / f"changed{place}", files | {"test_batch.bin": bytes(content)}))
        assert other.checksum() != data.checksum()


def test_data_sets_can_be_compared_and_hashed(tmp_path):
    folder = write(tmp_path / "data", contents(2)[0])
    one, other = read(folder), read(folder)
    assert one != other  # two readings, told apart as objects
    assert len({one, other}) == 2


def read_100(folder, labels="fine"):
    return read_cifar100(folder, labels=labels, records=(3, 3))


@pytest.mark.parametrize(("labels", "column", "name"), [("coarse", 0, "CIFAR-100 coarse"), ("fine", 1, "CIFAR-100")])
def test_cifar100_has_two_labels_a_picture(tmp_path, labels, column, name):
    files, pictures, numbers = contents_100(3)
    folder = write(tmp_path / "cifar-100-binary", files)
    for given in (folder, tmp_path):
        data = read_100(given, labels)
        np.testing.assert_array_equal(data.train_images, pictures[0])
        np.testing.assert_array_equal(data.test_images, pictures[1])
        np.testing.assert_array_equal(data.train_labels, numbers[0][:, column])
        np.testing.assert_array_equal(data.test_labels, numbers[1][:, column])
        assert data.classes == tuple(NAMES_100[labels])
        assert (data.name, data.folder, data.picture_shape) == (name, folder, (32, 32, 3))


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("train.bin", lambda content: content[:-1], "train.bin: truncated in record 2 at byte 9221"),
        ("test.bin", lambda content: content + b"0", "test.bin: too long.*9222 bytes, got 9223"),
        (
            "train.bin",
            lambda content: b"\x14" + content[1:],
            r"record 0 \(byte 0\) has coarse label 20, expected 0 to 19",
        ),
        (
            "test.bin",
            lambda content: content[:3075] + b"d" + content[3076:],
            r"1 \(byte 3074\) has fine label 100, .*99;",
        ),
        ("fine_label_names.txt", lambda content: content[:-10], "expected 100 names, one a line, got 99"),
        ("train.bin", None, "no train.bin in .*CIFAR-100"),
        ("test.bin", None, "no test.bin in .*incomplete"),
        ("fine_label_names.txt", None, "no fine_label_names.txt in .*incomplete"),
    ],
)
def test_damaged_files_of_cifar100_are_named(tmp_path, file, change, told):
    files, _, _ = contents_100(3)
    content = files.pop(file)
    if change is not None:
        files[file] = change(content)
    with pytest.raises(FileNotFoundError if change is None else nn.DataError, match=told):
        read_100(write(tmp_path / "data", files))


def test_cifar100_proper_has_so_many_records(tmp_path):
    folder = write(tmp_path / "data", contents_100(3)[0])
    with pytest.raises(nn.DataError, match="expected 50000 records, 153700000 bytes, got 9222 bytes"):
        read_cifar100(folder)
    assert len(read_cifar100(folder, records=(None, None)).test_images) == 3


def test_other_labels_of_cifar100_are_refused(tmp_path):
    with pytest.raises(ValueError, match="labels must be one of coarse, fine, got 'superclass'"):
        read_100(tmp_path, "superclass")


@pytest.mark.parametrize("read", [read, read_100])
def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, read):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "data", contents(2)[0] if read is not read_100 else contents_100(3)[0])
    assert read("~/data").folder == tmp_path / "data"
    with pytest.raises(FileNotFoundError, match=r"no home folder for '~nobody\.there/data'"):
        read("~nobody.there/data")


@pytest.mark.skipif(not os.environ.get("NPCNN_DATA"), reason="NPCNN_DATA does not say where CIFAR-10 is")
def test_the_real_data():
    data = nn.datasets.load("cifar10")
    assert data.train_images.shape == (5 * RECORDS_PER_FILE, 32, 32, 3)
    assert data.test_images.shape == (RECORDS_PER_FILE, 32, 32, 3)
    assert np.bincount(data.train_labels).tolist() == [5000] * 10
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    assert data.classes == tuple(NAMES)
