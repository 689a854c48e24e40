"""The reader of CIFAR-10's binary version."""

import os

import numpy as np
import pytest
from cifar_files import NAMES, contents, write

import npcnn as nn
from npcnn.datasets import read_dataset
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
    assert data.class_names == tuple(NAMES)
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


@pytest.mark.skipif(not os.environ.get("NPCNN_DATA"), reason="NPCNN_DATA does not say where CIFAR-10 is")
def test_the_real_data():
    data = nn.datasets.load("cifar10")
    assert data.train_images.shape == (5 * RECORDS_PER_FILE, 32, 32, 3)
    assert data.test_images.shape == (RECORDS_PER_FILE, 32, 32, 3)
    assert np.bincount(data.train_labels).tolist() == [5000] * 10
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    assert data.class_names == tuple(NAMES)
