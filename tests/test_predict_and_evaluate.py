"""examples/predict.py and examples/evaluate.py as their user runs them, on a network trained for a few steps."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import evaluation_batches, inputs, synthetic

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def data(cache):
    return synthetic.load(cache / "npcnn")


@pytest.fixture(scope="module")
def trained(cache, tmp_path_factory):
    """The folder of a short run."""
    out = tmp_path_factory.mktemp("run") / "run"
    done = run(cache, out.parent, "train_cifar.py", "--data", "synthetic", "--steps", 60, "--lr", 1e-3, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def run(cache, cwd, example, *arguments):
    return subprocess.run(
        [sys.executable, str(EXAMPLES / example), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "NPCNN_DATA": ""},
        capture_output=True,
        text=True,
        timeout=1800,
    )


@pytest.fixture
def picture(tmp_path, data):
    path = tmp_path / "test0.png"
    Image.fromarray(data.test_images[0]).save(path)
    return path


def test_predict_says_what_the_network_says(cache, trained, data, picture, tmp_path):
    done = run(cache, tmp_path, "predict.py", trained / "weights.safetensors", picture, "--top", 10)
    assert done.returncode == 0, done.stderr
    net = nn.models.load(trained / "weights.safetensors")
    probabilities = nn.functional.softmax(net.forward(inputs(data.test_images[:1])))[0]
    told = dict(re.findall(r"^  (\S+) +(\d+\.\d)% ?#*$", done.stdout, re.MULTILINE))
    assert list(told) == [data.class_names[i] for i in np.argsort(-probabilities, kind="stable")]
    for name, share in zip(data.class_names, probabilities, strict=True):
        assert float(told[name]) == pytest.approx(100 * share, abs=0.051)
    with Image.open(tmp_path / "test0-prediction.png") as drawing:
        assert drawing.width > 300


def test_predict_overwrites_nothing(cache, trained, picture, tmp_path):
    for name in ("test0-prediction.png", "test0-prediction-2.png", "test0-prediction-3.png"):
        done = run(cache, tmp_path, "predict.py", trained / "weights.safetensors", picture)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"drawn in {name}\n")
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_predict_needs_nothing_but_the_file(cache, trained, data, picture, tmp_path):
    alone = shutil.copy(trained / "weights.safetensors", tmp_path)
    done = run(cache, tmp_path, "predict.py", alone, picture)
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in data.classes)


def test_predict_says_what_it_takes_the_classes_of_an_older_file_to_be(cache, trained, picture, tmp_path):
    nn.weights.save(nn.weights.read(trained / "weights.safetensors"), tmp_path / "old.safetensors")
    done = run(cache, tmp_path, "predict.py", "old.safetensors", picture)
    assert "old.safetensors does not name its classes: taking them to be those of CIFAR-10" in done.stdout
    assert done.returncode == 0, done.stderr


def test_predict_refuses_before_it_writes(cache, trained, picture, tmp_path):
    weights = trained / "weights.safetensors"
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "settings.json").write_text("{")
    damaged = tmp_path / "old.safetensors"
    nn.weights.save(nn.weights.read(weights), damaged)
    nn.weights.save(nn.Dense(2, 2).arrays, tmp_path / "dense.safetensors")
    (tmp_path / "alone").mkdir()
    nn.Dense(2, 2).save(tmp_path / "alone/forgetful.safetensors")
    for arguments, message in [
        ((weights, picture, tmp_path / "text.png"), "text.png is not a picture"),
        ((weights, tmp_path / "none.png"), "No such file"),
        ((tmp_path / "none.safetensors", picture), "No such file"),
        ((picture, picture), "is not a complete safetensors file"),
        (
            (tmp_path / "dense.safetensors", picture),
            "does not say what network it holds, and it is none of separable, plain, multichannel,",
        ),
        (
            (tmp_path / "alone/forgetful.safetensors", picture, "--top", 1),
            "net does not remember the size of its pictures",
        ),
        ((damaged, picture), "settings.json is damaged"),
        ((weights, picture, "--top", 0), "--top: must be a whole number of at least 1, got '0'"),
        ((weights, picture, "--top", 11), "--top must be at most 10, the classes of the network, got 11"),
    ]:
        done = run(cache, tmp_path, "predict.py", *arguments)
        assert done.returncode == 2, arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*prediction*"))


def test_evaluate_counts_what_it_says(cache, trained, data, tmp_path):
    done = run(cache, tmp_path, "evaluate.py", trained / "weights.safetensors", "--data", "synthetic", "--out", "seen")
    assert done.returncode == 0, done.stderr
    accuracy = json.loads((trained / "result.json").read_text())["test_accuracy"]
    assert f"test accuracy {accuracy:.4f} (" in done.stdout
    net = nn.models.load(trained / "weights.safetensors")
    batches = evaluation_batches(data.test_images, data.test_labels)
    predicted = np.concatenate([net.forward(x).argmax(axis=1) for x, _ in batches])
    for number, name in enumerate(data.class_names):
        recall = np.mean(predicted[data.test_labels == number] == number)
        assert re.search(rf"^{name} +{(data.test_labels == number).sum()} +{recall:.3f} ", done.stdout, re.MULTILINE)
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {"confusion.png", "mistakes.png"}


def test_evaluate_refuses_in_one_line(cache, trained, tmp_path):
    done = run(cache, tmp_path, "evaluate.py", tmp_path / "none", "--data", "synthetic")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = run(cache, tmp_path, "evaluate.py", trained / "weights.safetensors", "--data-dir", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "data_batch_1.bin" in done.stderr


def test_models_load_recognises_each(tmp_path):
    for name, model in nn.models.MODELS.items():
        for dtype in (np.float32, np.float64):
            net = model(rng=np.random.default_rng(0), dtype=dtype)
            net.save(tmp_path / f"{name}.safetensors")
            loaded = nn.models.load(tmp_path / f"{name}.safetensors")
            for key, array in net.params.items():
                assert loaded.params[key].dtype == dtype
                np.testing.assert_array_equal(loaded.params[key], array)
