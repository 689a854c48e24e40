"""examples/train_cifar94.py in small: what it prints and leaves, the same bits again, wrong input.

The test pictures of CIFAR-10 are ten thousand, and this network takes a while for them; so the example is called with a
few pictures in their place.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.train.command_line import exit_status

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_cifar94.py"


@pytest.fixture
def data():
    """Return 40 training and 8 test pictures."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (48, 32, 32, 3), np.uint8), rng.integers(0, 10, 48)
    return nn.datasets.from_arrays(
        images[:40], labels[:40], images[40:], labels[40:], classes=nn.datasets.cifar.CLASS_NAMES
    )


@pytest.fixture
def example(data, monkeypatch, tmp_path):
    """Return the example as a function of its command line, with the pictures above and in an empty folder."""
    spec = importlib.util.spec_from_file_location("train_cifar94", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(nn.datasets, "load", lambda name, folder: data)
    monkeypatch.chdir(tmp_path)
    before = nn.get_num_threads()
    yield lambda *arguments: exit_status("train_cifar94.py", module.train, [*map(str, arguments)])
    nn.set_num_threads(before)


def test_a_run_leaves_what_it_promises(example, data, capsys):
    assert example("--batch-size", 16, "--epochs", 5.5, "--seed", 3, "--out", "results") == 0
    printed = capsys.readouterr().out
    assert "40 training and 8 test pictures" in printed
    assert "11 steps, 2 in an epoch" in printed  # 2 batches of 16 an epoch, 8 pictures left over
    told = json.loads(Path("results/result.json").read_text())
    assert told["steps"] == 11
    assert f"plain accuracy    {told['plain_test_accuracy']:.4f} (all 8 pictures, each seen once)" in printed
    assert f"test accuracy     {told['test_accuracy']:.4f} (all 8 pictures, in six views)" in printed
    assert "--epochs 5.5 --batch-size 16 --seed 3" in Path("results/report.html").read_text()

    net = nn.load("results/weights.safetensors")
    pictures = data.with_steps(nn.datasets.steps.from_description(net.input_steps))
    _, accuracy = nn.train.evaluate(net, nn.datasets.evaluation_batches(pictures))
    assert accuracy == told["plain_test_accuracy"]
    # The filters that whiten the pictures are frozen; their bias has learnt.
    first = nn.initializers.whitening(pictures.inputs(pictures.train_images))((2, 2, 3, 24), None, np.float32)
    np.testing.assert_array_equal(net.params["0_conv2d.w"], first)
    assert (net.params["0_conv2d.b"] != 0).any()


def test_same_bits_on_one_thread_and_two_and_after_a_resume(example, capsys):
    for out, threads in (("one", 1), ("two", 2)):
        assert example("--batch-size", 16, "--epochs", 3, "--threads", threads, "--out", out) == 0
    weights = [Path(out, "weights.safetensors").read_bytes() for out in ("one", "two")]
    assert weights[0] == weights[1]
    # As after a power cut: the last checkpoint and all that came after it are gone.
    for path in (
        *Path("two/checkpoints").glob("step-00000006*"),
        Path("two/weights.safetensors"),
        Path("two/result.json"),
    ):
        path.unlink()
    capsys.readouterr()
    assert example("--resume", "two") == 0
    assert "going on after step 4" in capsys.readouterr().out
    assert Path("two/weights.safetensors").read_bytes() == weights[0]


def test_pictures_too_few_for_a_batch(example, capsys):
    assert example("--batch-size", 41) == 2
    assert "batch_size must be at most 40" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize("arguments", [("--epochs", 0), ("--seed", -1), ("--batch-size", 1)])
def test_wrong_options(example, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        example(*arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]
