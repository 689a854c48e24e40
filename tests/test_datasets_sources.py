"""Which data set is used, and where it is looked for."""

import dataclasses
import functools
import pwd

import numpy as np
import pytest
from cifar_files import contents, write

import npcnn as nn
from npcnn.datasets import DownloadError, cifar, download, load, sources, synthetic

FOLDER = "cifar-10-batches-bin"
NOTICE = "SYNTHETIC"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of its own: no data, an empty cache, no network, small files."""
    monkeypatch.delenv("NPCNN_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "download", functools.partial(download.download, timeout=5.0))
    dead = dataclasses.replace(cifar.ARCHIVE, url="http://127.0.0.1:9/none")
    read = functools.partial(cifar.read_dataset, records_per_file=2)
    monkeypatch.setitem(sources.SOURCES, "cifar10", (dead, read))
    monkeypatch.setattr(synthetic, "RECORDS_PER_FILE", 3)
    monkeypatch.setattr(synthetic, "write", functools.partial(synthetic.write, records_per_file=3))


def data_in(folder, seed=0):
    """Write a small CIFAR-10 with pictures of its own."""
    return write(folder, contents(2, seed)[0])


def test_a_folder_given_goes_before_the_environment_before_the_cache(tmp_path, monkeypatch):
    folders = {
        name: data_in(tmp_path / name / FOLDER, seed)
        for seed, name in enumerate(["given", "environment", "cache/npcnn"])
    }
    assert load("cifar10").folder == folders["cache/npcnn"]
    monkeypatch.setenv("NPCNN_DATA", str(tmp_path / "environment"))
    assert load("cifar10").folder == folders["environment"]
    assert load("auto", tmp_path / "given").folder == folders["given"]
    assert len({load("cifar10", folder).checksum() for folder in folders.values()}) == 3


def test_without_xdg_the_cache_is_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = data_in(tmp_path / "home/.cache/npcnn" / FOLDER)
    assert load().folder == folder


def test_without_a_home_folder_it_says_what_to_set(tmp_path, monkeypatch):
    def no_entry(_):
        raise KeyError("uid not found")

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    for name in sources.NAMES:
        with pytest.raises(FileNotFoundError, match=r"no home folder .*set NPCNN_DATA .*XDG_CACHE_HOME or HOME"):
            load(name)
    folder = data_in(tmp_path / "elsewhere")
    monkeypatch.setenv("NPCNN_DATA", str(folder))
    assert load().folder == folder


@pytest.mark.parametrize("name", ["auto", "cifar10"])
def test_a_folder_given_without_the_files_is_an_error(tmp_path, monkeypatch, capsys, name):
    data_in(tmp_path / "cache/npcnn" / FOLDER)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(name, tmp_path / "nowhere")
    monkeypatch.setenv("NPCNN_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        load(name)
    assert NOTICE not in capsys.readouterr().err


def test_auto_takes_cifar10_without_a_notice(tmp_path, capsys):
    data_in(tmp_path / "cache/npcnn" / FOLDER)
    assert load().name == "CIFAR-10"
    assert capsys.readouterr().err == ""


def test_auto_without_data_and_network_is_synthetic_and_says_so(tmp_path, capsys):
    data = load()
    assert data.name == "synthetic"
    assert len(data.train_images) == 15
    assert data.folder.is_relative_to(tmp_path / "cache/npcnn")
    notice = capsys.readouterr().err
    assert NOTICE in notice
    assert "127.0.0.1:9" in notice  # why
    assert notice.count("\n") >= 5


def test_cifar10_without_data_and_network_is_an_error(capsys):
    with pytest.raises(DownloadError, match="cannot be reached"):
        load("cifar10")
    assert NOTICE not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["auto", "cifar10"])
@pytest.mark.parametrize("where", ["cache/npcnn", "given"])
def test_damaged_data_is_an_error_not_a_reason_for_other_data(tmp_path, capsys, name, where):
    folder = data_in(tmp_path / where / FOLDER)
    (folder / "data_batch_2.bin").write_bytes(b"damaged")
    with pytest.raises(nn.DataError, match=r"data_batch_2.bin"):
        load(name, folder if where == "given" else None)
    assert NOTICE not in capsys.readouterr().err


def test_a_wrong_archive_is_an_error_not_a_reason_for_other_data(monkeypatch, capsys):
    def wrong_archive(archive, folder):
        raise nn.DataError("the downloaded archive has another MD5")

    monkeypatch.setattr(download, "download", wrong_archive)
    with pytest.raises(nn.DataError, match="another MD5"):
        load("auto")
    assert NOTICE not in capsys.readouterr().err


def test_synthetic_is_drawn_once_and_asks_no_network(monkeypatch, capsys):
    monkeypatch.setattr(download, "download", None)
    first = load("synthetic")
    files = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    second = load("synthetic")
    assert first.name == second.name == "synthetic"
    np.testing.assert_array_equal(first.train_images, second.train_images)
    assert {path: path.stat().st_mtime_ns for path in second.folder.iterdir()} == files
    assert capsys.readouterr().err == ""


def test_synthetic_takes_no_folder(tmp_path):
    with pytest.raises(ValueError, match="data_dir"):
        load("synthetic", tmp_path)


def test_another_name_is_refused_with_those_there_are():
    names = ("auto", "cifar10", "cifar100", "cifar100-coarse", "mnist", "fashion-mnist", "synthetic")
    with pytest.raises(ValueError, match=f"{', '.join(names)}, got 'imagenet'"):
        load("imagenet")
    assert names == sources.NAMES


@pytest.mark.parametrize(("name", "folder"), [("cifar10", FOLDER), ("synthetic", f"{synthetic.VERSION}/{FOLDER}")])
def test_a_damaged_cache_says_how_to_get_new_files(tmp_path, name, folder):
    data_in(tmp_path / "cache/npcnn" / FOLDER)
    load(name)
    (tmp_path / "cache/npcnn" / folder / "test_batch.bin").write_bytes(b"short")
    with pytest.raises(nn.DataError, match=r"test_batch.bin.*delete its folder and run again"):
        load(name)


@pytest.mark.parametrize("name", ["cifar10", "synthetic"])
def test_the_arguments_that_bring_it_again(tmp_path, monkeypatch, name):
    data_in(tmp_path / "elsewhere" / FOLDER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPCNN_DATA", "elsewhere")
    data = load(name)
    arguments = sources.arguments(data)
    monkeypatch.delenv("NPCNN_DATA")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert load(arguments["data"], arguments["data_dir"]).checksum() == data.checksum()
