"""examples/train_cifar94.py as its user runs it, in small: what it prints and leaves, the same bits, wrong input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cifar_files import contents, write

import npcnn as nn

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_cifar94.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return the folder of 40 training and 8 test pictures."""
    files, _, _ = contents(records=8)
    return write(tmp_path_factory.mktemp("data") / "cifar", files)


def run(cwd, data, *arguments):
    return subprocess.run(
        [sys.executable, str(EXAMPLE), "--data-dir", str(data), "--batch-size", "16", *map(str, arguments)],
        cwd=cwd, env=os.environ | {"NPCNN_DATA": ""}, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip


def test_a_run_leaves_what_it_promises(data, tmp_path):
    result = run(tmp_path, data, "--epochs", 5.5, "--seed", 3, "--out", "results")
    assert result.returncode == 0, result.stderr
    assert "data: CIFAR-10, 40 training and 8 test pictures" in result.stdout
    assert "11 steps, 2 in an epoch" in result.stdout  # 2 batches of 16 an epoch, 8 pictures left over
    told = json.loads((tmp_path / "results" / "result.json").read_text())
    assert told["steps"] == 11
    assert f"plain accuracy    {told['plain_test_accuracy']:.4f} (all 8 pictures, each seen once)" in result.stdout
    assert f"test accuracy     {told['test_accuracy']:.4f} (all 8 pictures, in six views) on CIFAR-10" in result.stdout
    report = (tmp_path / "results" / "report.html").read_text()
    assert "--epochs 5.5 --batch-size 16 --seed 3" in report

    net = nn.load(tmp_path / "results" / "weights.safetensors")
    pictures = nn.datasets.load("cifar10", data).with_steps(nn.datasets.steps.from_description(net.input_steps))
    _, accuracy = nn.train.evaluate(net, nn.datasets.evaluation_batches(pictures))
    assert accuracy == told["plain_test_accuracy"]
    # The filters that whiten the pictures are frozen; their bias has learnt.
    first = nn.initializers.whitening(pictures.inputs(pictures.train_images))((2, 2, 3, 24), None, np.float32)
    np.testing.assert_array_equal(net.params["0_conv2d.w"], first)
    assert (net.params["0_conv2d.b"] != 0).any()


def test_same_bits_on_one_thread_and_two_and_after_a_resume(data, tmp_path):
    for out, threads in (("one", 1), ("two", 2)):
        assert run(tmp_path, data, "--epochs", 3, "--threads", threads, "--out", out).returncode == 0
    weights = [(tmp_path / out / "weights.safetensors").read_bytes() for out in ("one", "two")]
    assert weights[0] == weights[1]
    # As after a power cut: the last checkpoint and all that came after it are gone.
    checkpoints = sorted((tmp_path / "two" / "checkpoints").glob("*.safetensors"))
    checkpoints[-1].unlink()
    for name in ("weights.safetensors", "result.json"):
        (tmp_path / "two" / name).unlink()
    result = subprocess.run(
        [sys.executable, str(EXAMPLE), "--resume", "two"],
        cwd=tmp_path, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "going on after step" in result.stdout
    assert (tmp_path / "two" / "weights.safetensors").read_bytes() == weights[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 0), "--epochs"),
        (("--batch-size", 41), "batch_size must be at most 40"),
        (("--seed", -1), "--seed"),
    ],
)
def test_wrong_input_is_one_line(data, tmp_path, arguments, message):
    result = run(tmp_path, data, *arguments)
    assert result.returncode != 0
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()
