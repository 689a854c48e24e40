"""A training with everything that has a memory goes on to the bit, whenever it ended and on any number of threads."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import TrainingBatches
from npcnn.datasets.steps import brightness, mirror, random_crop
from npcnn.functional import softmax_cross_entropy
from npcnn.train import Checkpoints, ExponentialMovingAverage, Lookahead, fit

STEPS = 9
LOSS = partial(softmax_cross_entropy, label_smoothing=0.1, class_weights=np.array([1, 2, 0.5], np.float32))


def training(averaging):
    """Return network, optimizer and average as a new process would make them."""
    rng = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Conv2D(3, 8, 3, bias=False, rng=rng),
        nn.BatchNorm(8),
        nn.ReLU(),
        nn.Residual(nn.Sequential(nn.Conv2D(8, 8, 3, rng=rng), nn.BatchNorm(8), nn.ReLU())),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Dropout(0.3, rng=np.random.default_rng(1)),
        nn.Dense(128, 3, rng=rng),
    )
    optimizer = nn.AdamW(
        net,
        nn.schedules.Warmup(nn.schedules.Cosine(0.02, steps=30), steps=3),
        weight_decay=0.5,
        groups={"*.b": {"weight_decay": 0}, "*.scale": {"weight_decay": 0}, "0_*": {"lr_factor": 0.5}},
        clip_norm=0.5,
    )
    if averaging == "lookahead":
        return net, optimizer, Lookahead(net, decay=lambda step: 0.9 * (step / STEPS) ** 3, every=2)
    return net, optimizer, ExponentialMovingAverage(net, decay=0.8)


def batches(start):
    """Yield augmented batch after batch from number `start` on; every third has soft labels, drawn from its number."""
    rng = np.random.default_rng(2)
    images, classes = rng.integers(0, 256, (40, 8, 8, 3), np.uint8), rng.integers(0, 3, 40)
    augment = [random_crop((8, 8), padding=2), mirror(), mirror(alternate=True), brightness(20.0)]
    scale = [lambda images, rng: images.astype(np.float32) / 128 - 1]
    with TrainingBatches(images, classes, batch_size=12, augment=augment, steps=scale, start=start) as drawn:
        for number, (x, labels) in enumerate(drawn, start):
            soft = np.random.default_rng(number).dirichlet(np.ones(3), 12).astype(np.float32)
            yield x, soft if number % 3 == 0 else labels


def train(folder, steps, threads, callbacks=(), averaging="moving average"):
    """Train from the last checkpoint on; return every array that the training has, and where it went on."""
    nn.set_num_threads(threads)
    net, optimizer, average = training(averaging)
    with Checkpoints(folder, net, optimizer, every=2, average=average) as checkpoints:
        at = checkpoints.resume()
        fit(
            net, batches(at.step), optimizer, steps=steps, start=at.step, loss=LOSS,
            callbacks=[average, checkpoints, *callbacks],
        )  # fmt: skip
    parts = {"net": net.arrays, "optimizer": optimizer.state(), "average": average.state()}
    return {(part, name): array.copy() for part, arrays in parts.items() for name, array in arrays.items()}, at.step


@pytest.fixture(autouse=True)
def threads_as_before():
    before = nn.get_num_threads()
    yield
    nn.set_num_threads(before)


@pytest.fixture(scope="module", params=["moving average", "lookahead"])
def whole(request, tmp_path_factory):
    """Return which average a training has, and what it ends with if nothing happens to it."""
    before = nn.get_num_threads()
    arrays, _ = train(tmp_path_factory.mktemp("whole"), STEPS, threads=1, averaging=request.param)
    nn.set_num_threads(before)
    return request.param, arrays


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("end", range(1, STEPS))
def test_it_goes_on_to_the_bit(tmp_path, whole, end, threads):
    averaging, expected = whole
    train(tmp_path, end, threads, averaging=averaging)
    arrays, start = train(tmp_path, STEPS, threads % 3 + 1, averaging=averaging)
    assert start == end - end % 2
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=str(name))


def train_until_killed(folder, steps, threads, end):
    """Train, and leave no time to tidy up in step `end`: for a process of its own."""

    def kill(result):
        if result.step == end:
            os.kill(os.getpid(), signal.SIGKILL)

    train(folder, steps, threads, [kill])


def test_killed_again_and_again_it_ends_with_the_same_bits(tmp_path, nightly):
    # Kills ever later, with 1, 2 and 3 threads in turn: after a checkpoint, and one step later.
    ends = range(2, 22) if nightly else (3, 6, 7)
    steps, tests = ends[-1] + 2, Path(__file__).parent
    for number, end in enumerate(ends):
        script = f"import test_resume; test_resume.train_until_killed('killed', {steps}, {number % 3 + 1}, {end})"
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    arrays, start = train(tmp_path / "killed", steps, threads=1)
    assert start > 0
    expected, _ = train(tmp_path / "never killed", steps, threads=2)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=str(name))


@pytest.mark.parametrize("part", ["net", "optimizer", "average"])
def test_every_part_of_it_changes_with_the_steps(tmp_path, whole, part):
    # So that the comparison above compares something.
    averaging, arrays = whole
    begun, _ = train(tmp_path, 1, threads=1, averaging=averaging)
    for name, array in arrays.items():
        if name[0] == part:
            assert (array != begun[name]).any(), name
