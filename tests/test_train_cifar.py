"""examples/train_cifar.py as its user runs it: results, wrong input, Ctrl-C."""

import csv
import html
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

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_cifar.py"


def command(*arguments):
    return [sys.executable, str(EXAMPLE), *map(str, arguments)]


def environment(cache):
    return os.environ | {"XDG_CACHE_HOME": str(cache), "NPCNN_DATA": ""}


def run(cache, cwd, *arguments):
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(cache), capture_output=True, text=True, timeout=1800
    )


def test_a_run_leaves_what_it_promises(cache, tmp_path):
    result = run(
        cache, tmp_path, "--data", "synthetic", "--steps", 4, "--display-step", 2, "--seed", 3, "--out", "results"
    )
    assert result.returncode == 0, result.stderr
    assert "data: synthetic, 20000 training and 4000 test pictures of 32 x 32 x 3" in result.stdout
    assert result.stdout.count("training accuracy") == 3
    assert "(mean over the whole run, while it learnt)" in result.stdout
    assert "spent: by the algorithm the layer runs on" in result.stdout
    assert "every 2 steps below: the 128 training pictures of that step" in result.stdout
    assert "every 156 steps (an epoch) and at the end: all test pictures" in result.stdout
    assert "network is dead" not in result.stdout
    assert "(all 4000 pictures) on synthetic" in result.stdout
    out = tmp_path / "results"
    net = nn.models.cifar_separable()
    net.load(out / "weights.safetensors")
    data = synthetic.load(cache / "npcnn")
    _, accuracy = nn.train.evaluate(net, nn.datasets.evaluation_batches(data.test_images, data.test_labels))
    told = json.loads((out / "result.json").read_text())
    assert told["test_accuracy"] == accuracy
    assert told["data_name"] == "synthetic"
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "4"]
    assert float(rows[-1]["test_accuracy"]) == pytest.approx(accuracy, abs=1e-6)
    settings = json.loads((out / "settings.json").read_text())
    assert settings["seed"] == 3
    assert settings["data_sha256"] == data.checksum()
    report = html.unescape((out / "report.html").read_text())
    assert (
        "python examples/train_cifar.py --net separable --algorithm auto --data synthetic --pipeline inputs --steps 4 "
        "--batch-size 128 --lr 0.0001 --seed 3 --parts 1<"
    ) in report
    assert "separable network on synthetic, seed 3" in report


def test_same_seed_same_weights(cache, tmp_path):
    weights = []
    for i, threads in enumerate((1, 2)):
        arguments = ("--steps", 3, "--batch-size", 32, "--threads", threads, "--pipeline", "distorted", "--out", i)
        assert run(cache, tmp_path, "--data", "synthetic", *arguments).returncode == 0
        weights.append((tmp_path / str(i) / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_asked_again_a_finished_run_says_that_nothing_was_left_to_do(cache, tmp_path):
    arguments = ("--data", "synthetic", "--batch-size", 8, "--steps", 1, "--out", "my run")
    assert run(cache, tmp_path, *arguments).returncode == 0
    again = run(cache, tmp_path, "--resume", "my run")
    assert again.returncode == 0, again.stderr
    assert "nothing was left to do: the run was at step 1 already" in again.stdout
    assert "images/s" not in again.stdout


def test_a_learning_rate_that_kills_the_network_is_not_passed_over(cache, tmp_path):
    arguments = ("--data", "synthetic", "--batch-size", 8, "--steps", 40, "--lr", 1000, "--out", "out")
    result = run(cache, tmp_path, *arguments)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.startswith("the network is dead: "))
    assert lines[at - 1].startswith("step     40  test accuracy")
    assert lines[at].endswith("start again with a smaller learning rate")


def test_default_folders_are_numbered(cache, tmp_path):
    for _ in range(2):
        arguments = ("--data", "synthetic", "--net", "plain", "--steps", 1, "--batch-size", 8)
        assert run(cache, tmp_path, *arguments).returncode == 0
    name = "plain-synthetic-inputs-seed0"
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [name, f"{name}-2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--net", "resnet"], "--net"),
        (["--data", "imagenet"], "--data"),
        (["--pipeline", "none"], "--pipeline"),
        (["--steps", "0"], "--steps: must be a whole number of at least 1, got '0'"),
        (["--steps", "ten"], "--steps"),
        (["--batch-size", "-1"], "--batch-size"),
        (["--batch-size", "1000000", "--data", "synthetic"], "batch_size must be at most 20000"),
        (["--lr", "0"], "--lr: must be a finite number above 0, got '0'"),
        (["--lr", "nan"], "--lr"),
        (["--lr", "fast"], "--lr"),
        (["--display-step", "0"], "--display-step"),
        (["--seed", "-1"], "--seed"),
        (["--threads", "0"], "--threads"),
        (["--data-dir", "no_such_folder"], "no data_batch_1.bin in no_such_folder"),
        (["--data", "synthetic", "--data-dir", "."], "data_dir is for data in files"),
        (["--data", "synthetic", "--out", "file"], "file exists and is not an empty folder"),
        (["--data", "synthetic", "--out", "/proc/no"], "/proc/no"),
        (["--unknown"], "--unknown"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(cache, tmp_path, arguments, words):
    (tmp_path / "file").write_text("kept")
    result = run(cache, tmp_path, "--steps", "1", *arguments)
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("train_cifar.py: error:")
    assert words in last
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_damaged_data_is_one_line_and_status_2(cache, tmp_path):
    folder = synthetic.write(tmp_path / "data", records_per_file=2)
    (folder / "data_batch_3.bin").write_bytes(b"\x00" * 5000)
    result = run(cache, tmp_path, "--data-dir", folder)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_saves_what_was_learnt(cache, tmp_path):
    arguments = command("--data", "synthetic", "--batch-size", 16, "--display-step", 1, "--out", "out")
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=environment(cache), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        for line in process.stdout:
            if line.startswith("step      3"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "ended by Ctrl-C after" in rest
    net, first = nn.models.cifar_separable(), nn.models.cifar_separable(rng=np.random.default_rng(0))
    net.load(tmp_path / "out" / "weights.safetensors")
    assert any(not np.array_equal(net.params[name], first.params[name]) for name in net.params)
    done = json.loads((tmp_path / "out" / "result.json").read_text())["steps"]
    assert 3 <= done < 15_000
