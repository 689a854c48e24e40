"""What looks at trained weights looks at the data they were trained on, or says that it cannot."""

import dataclasses
import functools
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from cifar_files import contents, write

import npcnn as nn
from npcnn.datasets import cifar, sources, synthetic
from npcnn.explain import __main__ as explain

pytest.importorskip("matplotlib")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
from evaluate import evaluate
from train_cifar import train

from npcnn.train.command_line import exit_status

RECORDS, NAMES = 20, ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of its own: no data, an empty cache, no network, small files; the user is in an empty folder."""
    monkeypatch.delenv("NPCNN_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    dead = dataclasses.replace(cifar.ARCHIVE, url="http://127.0.0.1:9/none")
    read = functools.partial(cifar.read_dataset, records_per_file=RECORDS)
    monkeypatch.setitem(sources.SOURCES, "cifar10", (dead, read))
    monkeypatch.setattr(synthetic, "RECORDS_PER_FILE", RECORDS)
    monkeypatch.setattr(synthetic, "write", functools.partial(synthetic.write, records_per_file=RECORDS))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def data(tmp_path):
    """A folder of data."""
    return write(tmp_path / "here" / "my data", contents(RECORDS)[0])


def run(*arguments):
    """Train for two steps; return the weights."""
    assert train(["--steps", "2", "--batch-size", "8", *map(str, arguments)]) == 0
    (weights,) = Path("runs").resolve().glob("*/weights.safetensors")
    return weights


def elsewhere(tmp_path, monkeypatch):
    """Go to another folder, without NPCNN_DATA."""
    monkeypatch.delenv("NPCNN_DATA", raising=False)
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")


@pytest.mark.parametrize("told", ["--data-dir", "NPCNN_DATA", "cache", "synthetic", "auto, which was synthetic"])
def test_weights_are_judged_by_what_they_were_trained_on(tmp_path, monkeypatch, capsys, data, told):
    """Wherever the training had it from, and wherever the user is now."""
    if told == "NPCNN_DATA":
        monkeypatch.setenv("NPCNN_DATA", "my data")
    elif told == "cache":
        shutil.move(data, tmp_path / "cache/npcnn/cifar-10-batches-bin")
    weights = run(*{"--data-dir": ["--data-dir", "my data"], "synthetic": ["--data", "synthetic"]}.get(told, []))
    name = "synthetic" if "synthetic" in told else "CIFAR-10"
    capsys.readouterr()
    elsewhere(tmp_path, monkeypatch)
    assert evaluate([str(weights), "--out", "seen"]) == 0
    shown = capsys.readouterr()
    accuracy = json.loads((weights.parent / "result.json").read_text())["test_accuracy"]
    assert f"test accuracy {accuracy:.4f} " in shown.out
    assert f"({RECORDS} pictures) on {name}" in re.sub(r"\(\d+ of ", "(", shown.out)
    assert shown.err == ""
    assert explain.main([str(weights), "3", "-o", "page.html"]) == 0
    label = re.search(r'"label": (null|\d+), "steps"', Path("page.html").read_text())[1]
    assert int(label) == nn.train.data_of(weights).test_labels[3]
    assert nn.train.class_names_of(weights) == tuple(synthetic.FIGURES if name == "synthetic" else NAMES)
    assert capsys.readouterr().err == ""


def refused(capsys, *arguments):
    """Let evaluate and explain refuse, in one line each; return what they say.  Nothing is drawn."""
    said = []
    for command in (functools.partial(exit_status, "evaluate.py", evaluate), explain.main):
        number = ["3"] if command is explain.main else []
        assert command([str(arguments[0]), *number, *map(str, arguments[1:])]) == 2
        said.append(capsys.readouterr().err)
        assert said[-1].count("\n") == 1
    assert not [*arguments[0].parent.glob("confusion.png"), *Path().glob("explorer.html")]
    return "".join(said)


def test_data_that_is_gone_or_has_changed_is_refused(tmp_path, monkeypatch, capsys, data):
    weights = run("--data-dir", data)
    capsys.readouterr()
    batch = bytearray((data / "data_batch_1.bin").read_bytes())
    batch[5] ^= 1
    (data / "data_batch_1.bin").write_bytes(batch)
    message = f"the data in {data} is not what {weights} was trained on any more; say where it is with --data-dir"
    assert refused(capsys, weights).count(message) == 2
    batch[5] ^= 1
    (data / "data_batch_1.bin").write_bytes(batch)
    moved = shutil.move(data, tmp_path / "moved")
    message = f"the data that {weights} was trained on cannot be had: no data_batch_1.bin in {data} or"
    assert refused(capsys, weights).count(message) == 2
    assert evaluate([str(weights), "--data-dir", str(moved)]) == 0
    assert capsys.readouterr().err == ""


def test_other_data_is_taken_when_it_is_asked_for_and_a_notice_says_so(capsys, data):
    weights = run("--data-dir", data)
    capsys.readouterr()
    assert evaluate([str(weights), "--data", "synthetic"]) == 0
    assert capsys.readouterr().err == f"note: {weights} was not trained on this synthetic data\n"
    assert nn.train.data_of(weights, "synthetic").name == "synthetic"


def test_without_settings_it_is_cifar10_and_never_the_drawn_pictures(tmp_path, monkeypatch, capsys, data):
    nn.models.cifar_separable(rng=np.random.default_rng(0)).save("weights.safetensors")
    weights = Path("weights.safetensors").resolve()
    assert refused(capsys, weights).count("cannot be had: http://127.0.0.1:9/none cannot be reached") == 2
    monkeypatch.setenv("NPCNN_DATA", str(data))
    assert nn.train.data_of(weights).name == "CIFAR-10"
    assert nn.train.class_names_of(weights) is None


def test_the_settings_of_older_runs_and_of_data_of_ones_own(tmp_path, monkeypatch, capsys, data):
    """They say "auto", which may be other data by now: the checksum tells."""
    weights = run("--data-dir", data)
    path = weights.with_name("settings.json")
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"data": "auto", "data_dir": None}))
    capsys.readouterr()
    with pytest.raises(nn.DataError, match=r"is not what .* was trained on any more"):
        nn.train.data_of(weights)
    path.write_text(json.dumps(settings | {"data": "auto"}))
    assert nn.train.data_of(weights).checksum() == settings["data_sha256"]
    path.write_text(json.dumps(settings | {"data": "my own"}))
    with pytest.raises(nn.DataError, match=r"cannot be had: .*my data has 0 sub-folders, .*; say where it is"):
        nn.train.data_of(weights)


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        "5",
        "{}",
        {"class_names": 5},
        {"class_names": [1, 2]},
        {"class_names": "ab"},
        {"data_dir": 5},
        {"data": 7},
    ],
)
def test_damaged_settings_are_named(tmp_path, capsys, data, damage):
    nn.models.cifar_separable().save("weights.safetensors")
    whole = {"class_names": list("abcdefghij"), "data": "cifar10", "data_dir": str(data)}
    Path("settings.json").write_text(damage if isinstance(damage, str) else json.dumps(whole | damage))
    with pytest.raises(nn.DataError, match=r"settings\.json is damaged|cannot be had: .*my data has 0 sub-folders"):
        nn.train.data_of("weights.safetensors")
    assert refused(capsys, Path("weights.safetensors"))


@pytest.mark.parametrize("told", ["--data-dir", "NPCNN_DATA", "auto, which was synthetic"])
def test_a_run_goes_on_with_the_data_it_had(tmp_path, monkeypatch, capsys, data, told):
    """Resumed from another folder and without NPCNN_DATA."""
    if told == "NPCNN_DATA":
        monkeypatch.setenv("NPCNN_DATA", "my data")
    weights = run(*(["--data-dir", "my data"] if told == "--data-dir" else []))
    settings = json.loads(weights.with_name("settings.json").read_text())
    if told == "auto, which was synthetic":
        assert (settings["data"], settings["data_dir"]) == ("synthetic", None)
    else:
        assert (settings["data"], settings["data_dir"]) == ("cifar10", str(data))
    capsys.readouterr()
    elsewhere(tmp_path, monkeypatch)
    assert train(["--resume", str(weights.parent), "--steps", "3"]) == 0
    assert "SYNTHETIC" not in capsys.readouterr().err
    assert json.loads(weights.with_name("settings.json").read_text()) == settings | {
        "steps": 3,
        "out": str(weights.parent),
    }
    assert json.loads(weights.with_name("result.json").read_text())["steps"] == 3
