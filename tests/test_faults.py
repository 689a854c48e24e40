"""What may happen to a training that is left alone: killed at any moment, terminated, a full disk, changed data.

`pytest --nightly` kills it fifty times instead of a few.
"""

import csv
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_cifar.py"
SETTINGS = (
    "--data",
    "synthetic",
    "--batch-size",
    "8",
    "--checkpoint-every",
    "10",
    "--display-step",
    "10",
    "--seed",
    "3",
)


def start(cache, *arguments, **options):
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "NPCNN_DATA": "", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(cache, *arguments, status=0, **options):
    """Run to the end; return (stdout, stderr)."""
    with start(cache, *arguments, **options) as process:
        out, err = process.communicate(timeout=1800)
    assert process.returncode == status, err
    assert "Traceback" not in err
    return out, err


def newest(folder):
    """Return the step of the last checkpoint in the folder of a run; 0 if there is none."""
    return max((int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.json")), default=0)


def rows(folder):
    """Return the lines of the steps without those columns that tell the time; Ctrl-C adds an evaluation of its own."""
    with (folder / "metrics.csv").open() as file:
        return [
            {name: text for name, text in row.items() if name not in ("seconds", "images_per_second")}
            for row in csv.DictReader(file)
            if row["loss"]
        ]


def assert_same_run(folder, whole):
    assert (folder / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert rows(folder) == rows(whole)
    results = [json.loads((one / "result.json").read_text()) for one in (folder, whole)]
    for name in ("steps", "test_accuracy", "training_accuracy"):
        assert results[0][name] == results[1][name]


def test_killed_at_any_moment_it_ends_with_the_same_bits(cache, tmp_path, nightly):
    kills, draw = (50 if nightly else 6), random.Random(1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reached = 0
    for number in range(kills):
        begun = (killed / "settings.json").exists()
        arguments = ("--resume", killed, "--threads", number % 3 + 1)
        with start(cache, *(arguments if begun else (*SETTINGS, "--steps", "1000000", "--out", killed))) as process:
            if number % 2:  # in the middle of training and writing, else wherever it is: in its imports, its data
                lines = (line for line in process.stdout if line.startswith("step"))
                for _ in range(draw.randint(2, 4)):  # by the second, a checkpoint has been written
                    next(lines, None)
                time.sleep(draw.uniform(0.0, 0.05))
            else:
                time.sleep(draw.uniform(0.0, 1.5))
            assert process.poll() is None, process.stderr.read()
            process.send_signal(signal.SIGKILL)
            process.communicate()
        if not (killed / "settings.json").exists():
            shutil.rmtree(killed, ignore_errors=True)  # killed before it began
            continue
        assert newest(killed) >= reached
        reached = newest(killed)
    assert reached > 0
    steps = reached + 20
    finish(cache, *SETTINGS, "--steps", steps, "--out", whole)
    out, _ = finish(cache, "--resume", killed, "--steps", steps)
    assert f"going on after step {reached}" in out
    assert_same_run(killed, whole)


@pytest.mark.parametrize(
    ("number", "status", "words"), [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 0, "ended by Ctrl-C")]
)
def test_terminated_it_says_how_to_go_on_and_does(cache, tmp_path, number, status, words):
    whole, ended = tmp_path / "whole", tmp_path / "it's ended; by $HOME"  # the command is quoted for a shell
    finish(cache, *SETTINGS, "--steps", "60", "--out", whole)
    with start(cache, *SETTINGS, "--steps", "1000000", "--out", ended) as process:
        for line in process.stdout:
            if line.startswith("step     20"):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=1800)
    assert process.returncode == status, err
    assert words in out
    told = re.search(r"to go on: (.*)$", out, re.MULTILINE)[1]
    assert shlex.split(told) == ["python", "examples/train_cifar.py", "--resume", str(ended)]
    done = int(re.search(rf"{words} after (\d+) steps", out)[1])
    assert newest(ended) == done >= 20
    # On to where the other run ended, or, if the signal came late, one of that length for both.
    steps = max(60, done)
    if steps > 60:
        finish(cache, "--resume", whole, "--steps", steps)
    finish(cache, "--resume", ended, "--steps", steps)
    assert_same_run(ended, whole)


def test_a_finished_run_may_go_on_and_nothing_is_lost_by_asking_twice(cache, tmp_path):
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    finish(cache, *SETTINGS, "--steps", "30", "--out", whole)
    finish(cache, *SETTINGS, "--steps", "17", "--out", longer)
    finish(cache, "--resume", longer, "--steps", "17")
    finish(cache, "--resume", longer, "--steps", "30", "--threads", 2)
    assert (longer / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_a_full_disk_ends_it_with_a_line_and_loses_nothing(cache, tmp_path):
    def with_little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    out = tmp_path / "run"
    _, err = finish(cache, *SETTINGS, "--steps", "30", "--out", out, status=2, preexec_fn=with_little_room)
    assert "File too large" in err.splitlines()[-1]
    assert newest(out) == 0
    assert not list((out / "checkpoints").glob(".*"))
    finish(cache, "--resume", out)
    finish(cache, *SETTINGS, "--steps", "30", "--out", tmp_path / "whole")
    assert_same_run(out, tmp_path / "whole")


def test_changed_data_are_refused(cache, tmp_path):
    out = tmp_path / "run"
    finish(cache, *SETTINGS, "--steps", "10", "--out", out)
    other = tmp_path / "other"
    shutil.copytree(cache, other)
    file = next(other.rglob("data_batch_2.bin"))
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    _, err = finish(other, "--resume", out, "--steps", "20", status=2)
    assert "data_sha256" in err
    assert "set what was set then" in err
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before


def test_two_runs_in_one_folder(cache, tmp_path):
    out = tmp_path / "run"
    with start(cache, *SETTINGS, "--steps", "1000000", "--out", out) as process:
        for line in process.stdout:
            if line.startswith("step     10"):
                break
        _, err = finish(cache, "--resume", out, status=2)
        assert "another process is training in" in err
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(cache, "--resume", out, "--steps", newest(out))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr", "0.5"], "--lr of the run in {out} is 0.0001, got 0.5"),
        (["--batch-size", "9"], "--batch-size of the run"),
        (["--net", "plain"], "--net of the run"),
        (["--seed", "4"], "--seed of the run"),
        (["--pipeline", "distorted"], "--pipeline of the run"),
        (["--algorithm", "im2col"], "--algorithm of the run"),
        (["--out", "elsewhere"], "--out elsewhere and --resume exclude each other"),
        (["--steps", "4"], "steps must be at least 5"),
    ],
)
def test_what_cannot_change_is_refused(finished, cache, arguments, words):
    _, err = finish(cache, "--resume", finished, *arguments, status=2)
    assert words.format(out=finished) in err


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    finish(cache, *SETTINGS, "--steps", "5", "--out", out)
    return out


@pytest.mark.parametrize("text", ["{", "[]", '{"net": "separable"}', "\x00"])
def test_damaged_settings_are_refused(cache, tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    _, err = finish(cache, "--resume", tmp_path, status=2)
    assert "settings.json is damaged" in err


def test_a_folder_that_is_no_run_is_refused(cache, tmp_path):
    _, err = finish(cache, "--resume", tmp_path / "none", status=2)
    assert "is not the folder of a run" in err
    assert not (tmp_path / "none").exists()


def test_a_loss_that_is_not_finite_ends_it_with_the_place_and_the_batch(cache, tmp_path):
    out = tmp_path / "run"
    arguments = ("--data", "synthetic", "--batch-size", "8", "--lr", "1e30", "--steps", "50", "--out", out)
    _, err = finish(cache, *arguments, status=2)
    first = "2_spatially_separable_conv2d"
    assert re.search(rf"at step \d+: the first NaN or infinity is in the output of {first}", err), err
    assert (out / "non_finite_batch.safetensors").exists()
    assert str(out / "non_finite_batch.safetensors") in err
