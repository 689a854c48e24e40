"""``python -m npcnn.train`` and examples/train_your_pictures.py as their user runs them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import synthetic
from npcnn.train.__main__ import augmentation, load_data, make_optimizer, parse_arguments, train

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parent.parent / "examples"
# Everything that has a memory, or draws.
ALL = (
    "--augment", "random_crop:2,mirror,brightness:20,contrast:0.8:1.2,cutout:3", "--optimizer", "sgd", "--lr", 0.05,
    "--warmup", 0.5, "--ema", 0.9, "--label-smoothing", 0.1, "--clip-norm", 1, "--weight-decay", 1e-3,
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with the bright and the dark."""
    folder = tmp_path_factory.mktemp("own") / "pictures"
    rng = np.random.default_rng(0)
    for name, low in (("bright", 150), ("dark", 0)):
        (folder / name).mkdir(parents=True)
        for number in range(24):
            picture = rng.integers(low, low + 100, (20, 24, 3), np.uint8)
            Image.fromarray(picture).save(folder / name / f"{number}.png")
    return folder


def run(cwd, *command, expected=0, **environment):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=os.environ | {"XDG_CACHE_HOME": str(cwd / "cache"), "NPCNN_DATA": ""} | environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == expected, done.stderr
    return done


def options(*arguments):
    return parse_arguments([str(argument) for argument in arguments])[0]


def test_a_folder_of_pictures_from_nothing_to_a_prediction(pictures, tmp_path):
    done = run(
        tmp_path, "-m", "npcnn.train", "--data", pictures, "--size", 16, "--epochs", 4, "--batch-size", 10, *ALL,
        "--out", "run",
    )  # fmt: skip
    assert "data: pictures, 38 training and 10 test pictures of 16 x 16 x 3, 2 classes" in done.stdout
    assert (tmp_path / "run/report.html").exists()
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["steps"] == 4 * 3
    net = nn.load(tmp_path / "run/weights.safetensors")
    assert (net.classes, net.picture_shape) == (("bright", "dark"), (16, 16, 3))
    picture = pictures / "dark/0.png"
    done = run(tmp_path, EXAMPLES / "predict.py", "run/weights.safetensors", picture, "--top", 2)
    assert "bright" in done.stdout
    done = run(tmp_path, EXAMPLES / "evaluate.py", "run/weights.safetensors")
    assert f"test accuracy {result['test_accuracy']:.4f} (" in done.stdout
    for shown in (3, picture):
        run(tmp_path, "-m", "npcnn.explain", "run/weights.safetensors", shown, "-o", "page.html")
    assert (tmp_path / "page.html").exists()


def test_what_was_cut_off_goes_on_to_the_bit(pictures, tmp_path):
    command = ("-m", "npcnn.train", "--data", pictures, "--size", 12, "--epochs", 3, "--batch-size", 8, *ALL)
    run(tmp_path, *command, "--out", "whole")
    script = """
import os, signal, sys
from npcnn.train import checkpoints, loop
from npcnn.train.__main__ import train
step = loop.fit.__globals__["_stops"]
def stops(callbacks, result):
    ended = step(callbacks, result)
    if result.step == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return ended
loop.fit.__globals__["_stops"] = stops
sys.exit(train(sys.argv[2:]))
"""
    parts = ["--checkpoint-every", "2", "--out", "cut"]
    for number, at in enumerate((3, 6, 9)):
        again = ["--resume", "cut"] if number else [*map(str, command[2:]), *parts]
        run(tmp_path, "-c", script, at, *again, expected=-signal.SIGKILL, NPCNN_NUM_THREADS=str(number + 1))
    run(tmp_path, "-m", "npcnn.train", "--resume", "cut")
    whole, cut = (nn.weights.read(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    for name, array in whole.items():
        np.testing.assert_array_equal(cut[name], array)


def test_your_pictures(pictures, tmp_path):
    done = run(tmp_path, EXAMPLES / "train_your_pictures.py", pictures)
    assert "test accuracy 1.000 (all 10 pictures put aside), classes ('bright', 'dark')" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} >= {"weights.safetensors", "history.png", "explorer.html"}
    done = run(tmp_path, EXAMPLES / "train_your_pictures.py", expected=2)
    assert done.stderr == ("train_your_pictures.py: error: name one folder, with a sub-folder for each class, got 0\n")
    done = run(tmp_path, EXAMPLES / "train_your_pictures.py", "nowhere", expected=2)
    assert done.stderr == "train_your_pictures.py: error: there is no folder nowhere\n"
    assert len((EXAMPLES / "train_your_pictures.py").read_text().splitlines()) <= 40


def test_the_options_make_what_they_say():
    net = nn.models.resnet(8)
    chosen = options(*ALL, "--epochs", 10)
    optimizer = make_optimizer(net, chosen, steps_of_epoch=100)
    assert isinstance(optimizer, nn.SGD)
    assert [optimizer.schedule(step) for step in (0, 25, 50, 1000)] == pytest.approx([0, 0.025, 0.05, 0])
    assert augmentation("random_crop:4,mirror", (32, 30, 3)) == [
        nn.datasets.steps.random_crop((32, 30), padding=4), nn.datasets.steps.mirror(),
    ]  # fmt: skip
    assert isinstance(make_optimizer(net, options(), 100), nn.AdamW)
    assert type(make_optimizer(net, options("--optimizer", "adam", "--weight-decay", 0), 100)) is nn.Adam
    muon = make_optimizer(net, options("--optimizer", "muon", "--lr", 0.2, "--schedule", "linear", "--epochs", 1), 100)
    assert isinstance(muon, nn.Muon)
    assert [muon.schedule(step) for step in (0, 50)] == pytest.approx([0.2, 0.1])
    assert [muon.sgd_schedule(step) for step in (0, 50)] == pytest.approx([0.04, 0.02])


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_weights_decay_and_nothing_else(optimizer):
    net = nn.Sequential(nn.Conv2D(1, 2, 3), nn.BatchNorm(2), nn.GlobalAvgPool2D(), nn.Dense(2, 2))
    for array in net.params.values():
        array[...] = 1
    make_optimizer(net, options("--optimizer", optimizer, "--lr", 0.5, "--weight-decay", 0.1), 10).step()
    for name, array in net.params.items():
        np.testing.assert_allclose(array, 0.9 if name.endswith(".w") else 1, rtol=0.06)
        assert (array == 1).all() == (not name.endswith(".w"))


def test_standardised_by_the_training_pictures(cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    data = load_data(options("--data", "synthetic"))
    x = data.inputs(data.train_images)
    np.testing.assert_allclose(x.mean((0, 1, 2), dtype=np.float64), 0, atol=1e-4)
    np.testing.assert_allclose(x.std((0, 1, 2), dtype=np.float64), 1, atol=1e-4)
    one = load_data(options("--data", "synthetic", "--standardise", "picture"))
    np.testing.assert_allclose(one.inputs(one.test_images[:5]).mean((1, 2, 3)), 0, atol=1e-5)
    assert load_data(options("--data", "synthetic", "--standardise", "no")).steps == ()
    assert synthetic.load(cache / "npcnn").name == "synthetic"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "nowhere"), "there is no folder nowhere"),
        (("--data", "synthetic", "--size", 32), "--size is for a folder of pictures"),
        (("--data", "synthetic", "--augment", "blur"), "--augment must name steps of random_crop, mirror, "),
        (("--data", "synthetic", "--augment", "mirror:1"), "--augment 'mirror:1': "),
        (("--data", "synthetic", "--augment", "cutout:x"), "--augment 'cutout:x': "),
        (("--data", "synthetic", "--optimizer", "adam"), "--weight-decay is for adamw, muon and sgd"),
        (("--data", "synthetic", "--epochs", 2, "--warmup", 2), "--warmup must be below the 2 epochs"),
        (("--data", "synthetic", "--label-smoothing", 1.5), "label_smoothing"),
        (("--data", "synthetic", "--ema", 2), "decay must be"),
    ],
)
def test_wrong_options_are_found_before_a_folder_is_made(arguments, message, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with pytest.raises((ValueError, OSError)) as caught:
        train([str(argument) for argument in arguments])
    assert message in str(caught.value)
    assert not (tmp_path / "runs").exists()
