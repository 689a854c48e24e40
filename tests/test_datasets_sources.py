"""Which data set is used, and where it is looked for."""

import dataclasses
import functools
import pwd

import idx_files
import numpy as np
import pytest
from archive_server import pack, serving
from cifar_files import contents, contents_100, write

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


@pytest.fixture
def small_downloads(monkeypatch):
    """A server on this machine with small data sets, at which all sources but CIFAR-10 are told to look."""
    coarse = sources.SOURCES["cifar100-coarse"][0].name
    read_100 = functools.partial(cifar.read_cifar100, records=(3, 3))
    with serving(pack(contents_100(3)[0], folder="cifar-100-binary")) as server:
        archive = server.archive(name="CIFAR-100", folder="cifar-100-binary")
        monkeypatch.setitem(sources.SOURCES, "cifar100", (archive, read_100))
        read_coarse = functools.partial(read_100, labels="coarse")
        monkeypatch.setitem(
            sources.SOURCES, "cifar100-coarse", (dataclasses.replace(archive, name=coarse), read_coarse)
        )
        for name in ("mnist", "fashion-mnist"):
            title, read = sources.SOURCES[name][0].name, sources.SOURCES[name][1]
            server.files = idx_files.contents(name)[0]
            files = server.described_files(title, name)
            files = tuple(
                dataclasses.replace(file, url=file.url.replace(file.name, f"{name}/{file.name}"))
                for file in files.files
            )
            monkeypatch.setitem(sources.SOURCES, name, (download.Files(title, name, files), read))
        server.files = {
            f"{name}/{file}": content
            for name in ("mnist", "fashion-mnist")
            for file, content in idx_files.contents(name)[0].items()
        }
        yield server


CALLS = {
    "cifar100": nn.datasets.cifar100,
    "cifar100-coarse": functools.partial(nn.datasets.cifar100, labels="coarse"),
    "mnist": nn.datasets.mnist,
    "fashion-mnist": nn.datasets.fashion_mnist,
}


@pytest.mark.parametrize("name", CALLS)
def test_each_is_downloaded_once_and_found_by_function_and_by_name(tmp_path, small_downloads, name):
    data = CALLS[name]()
    asked = len(small_downloads.paths)
    assert asked == (4 if "mnist" in name else 1)
    assert data.folder.parent == tmp_path / "cache/npcnn"
    assert data.steps == ()
    assert load(name).checksum() == CALLS[name]().checksum() == data.checksum()
    assert len(small_downloads.paths) == asked
    assert CALLS[name](data.folder).checksum() == data.checksum()
    assert sources.arguments(data) == {"data": name, "data_dir": str(data.folder)}
    others = [load(other).name for other in CALLS if other != name]
    assert len({data.name, *others}) == 4


def test_both_kinds_of_labels_come_from_one_download(small_downloads):
    fine, coarse = nn.datasets.cifar100(), nn.datasets.cifar100(labels="coarse")
    assert len(small_downloads.paths) == 1
    np.testing.assert_array_equal(fine.train_images, coarse.train_images)
    assert (len(fine.classes), len(coarse.classes)) == (100, 20)
    with pytest.raises(ValueError, match="labels must be one of coarse, fine, got 'both'"):
        nn.datasets.cifar100(labels="both")


def test_one_folder_can_hold_all_of_them(tmp_path, small_downloads, monkeypatch):
    data_in(tmp_path / "cache/npcnn" / FOLDER)
    names = ("cifar10", *CALLS)
    sums = {name: load(name).checksum() for name in names}
    monkeypatch.setenv("NPCNN_DATA", str(tmp_path / "cache/npcnn"))
    assert {name: load(name).checksum() for name in names} == sums
    assert nn.datasets.cifar10().checksum() == sums["cifar10"]


def test_none_of_them_is_replaced_by_other_data(capsys):
    for name, (source, read) in sources.SOURCES.items():
        if isinstance(source, download.Archive):
            dead = dataclasses.replace(source, url="http://127.0.0.1:9/none")
        else:
            files = tuple(dataclasses.replace(file, url="http://127.0.0.1:9/none") for file in source.files)
            dead = dataclasses.replace(source, files=files)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sources.SOURCES, name, (dead, read))
            with pytest.raises(DownloadError, match="cannot be reached"):
                load(name)
    assert NOTICE not in capsys.readouterr().err


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = data_in(tmp_path / "data")
    assert load("cifar10", "~/data").folder == folder
    monkeypatch.setenv("NPCNN_DATA", "~/data")
    assert load("cifar10").folder == folder
