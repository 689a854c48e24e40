"""Ranks of a real mpiexec: the same bits for any number of them, and what happens when one of them fails or dies."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cut_networks import train

import npcnn as nn
from npcnn.functional.batch_parts import Cut

HERE = Path(__file__).parent
ENDS_WITHIN = 10  # seconds after one of the ranks has died


def mpiexec():
    """Return the mpiexec beside this Python, or the first on PATH; None without mpi4py too."""
    try:
        import mpi4py  # noqa: F401
    except ModuleNotFoundError:
        return None
    return shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")


pytestmark = pytest.mark.skipif(mpiexec() is None, reason="no mpiexec, or no mpi4py")


def environment():
    return os.environ | {
        "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}",
        "NPCNN_DATA": "",
        # Open MPI's, as more ranks than cores and root are to be allowed; MPICH asks nobody.
        "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }  # fmt: skip


def started(count, *command, **options):
    return subprocess.Popen(
        [mpiexec(), "-n", str(count), sys.executable, *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), **options,
    )  # fmt: skip


def ended(process, *, expected=0, timeout=600):
    """Return what the processes printed to stdout and to stderr, the progress bar left out."""
    out, errors = process.communicate(timeout=timeout)
    errors = "\n".join(line for line in errors.splitlines() if "step/s" not in line)
    if expected is not None:
        assert process.returncode == expected, out + errors
    else:
        assert process.returncode != 0, out + errors
    return out, errors


def program(count, *arguments, expected=0, **options):
    return ended(started(count, HERE / "rank_programs.py", *arguments, **options), expected=expected)


def learnt(out):
    return re.search("^learnt .*$", out, re.MULTILINE).group()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return what a training ends with that nothing happens to: here, in a single process."""
    done = subprocess.run(
        [sys.executable, HERE / "rank_programs.py", "run", tmp_path_factory.mktemp("whole") / "run"],
        capture_output=True, text=True, env=environment(), check=True, timeout=600,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_any_number_of_ranks_learns_the_same_bits(count):
    here, steps = train(Cut(8))
    assert program(count, "bits")[0] == f"{here} {steps[-1]}\n"


@pytest.mark.parametrize("count", [2, 8])
def test_sums_of_any_size_are_those_of_the_tree(count):
    assert program(count, "sums")[0] == "True True\n"


@pytest.mark.parametrize("kill", range(3))
def test_a_killed_rank_ends_all_and_the_run_goes_on_to_the_same_bits(kill, tmp_path, request):
    # Processes of a single one print as much as is needed to know it; the whole is compared at the end.
    rng = np.random.default_rng(kill)
    for _ in range(7 if request.config.getoption("--nightly") else 1):
        _kill_and_go_on(rng, tmp_path / f"{rng.integers(10**9)}", request.getfixturevalue("whole"))


def _kill_and_go_on(rng, folder, whole):
    count = int(rng.choice([2, 4]))
    process = started(count, HERE / "rank_programs.py", "run", folder)
    last = int(rng.integers(1, 12))
    for line in process.stdout:
        if line.startswith(f"after step {last} "):
            break
    saved = nn.train.read_settings(folder)["ranks"]
    victim = saved[rng.integers(count)]
    os.kill(int(re.fullmatch(r"process (\d+) on .*", victim)[1]), signal.SIGKILL)
    ended(process, expected=None, timeout=ENDS_WITHIN)
    for one in saved:
        with pytest.raises(ProcessLookupError):
            os.kill(int(one.split()[1]), 0)
    out, _ = program(int(rng.choice([1, 2, 8])), "run", folder, "resume")
    assert learnt(out) == learnt(whole)


def test_an_exception_of_one_rank_ends_all_and_says_how_to_go_on(tmp_path, whole):
    _, errors = program(2, "run", tmp_path / "run", "spoil=step", expected=None)
    assert re.search(r"rank 1 of 2: Traceback", errors)
    assert "OSError: the disk is full" in errors
    assert f"so all ranks end; to go on from the last checkpoint: --resume {tmp_path / 'run'}" in errors
    out, _ = program(4, "run", tmp_path / "run", "resume")
    assert learnt(out) == learnt(whole)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("data", "all ranks must have the same data_sha256, got"),
        ("lr", "all ranks must have the same lr, got 0.1 in rank 0 and 0.5 in rank 1"),
        ("network", "all ranks must have the same network, got"),
    ],
)
def test_what_differs_between_ranks_is_refused_by_name(spoil, message, tmp_path):
    _, errors = program(2, "run", tmp_path / "run", f"spoil={spoil}", expected=None)
    assert message in errors
    assert not (tmp_path / "run").exists()


def test_a_signal_ends_all_after_the_same_step(tmp_path, whole):
    process = started(2, HERE / "rank_programs.py", "run", tmp_path / "run")
    for line in process.stdout:
        if line.startswith("after step 3 "):
            break
    pid = int(nn.train.read_settings(tmp_path / "run")["ranks"][1].split()[1])
    os.kill(pid, signal.SIGTERM)  # to one of them, and not the one that has the folder
    ended(process)
    out, _ = program(2, "run", tmp_path / "run", "resume")
    assert re.search("going on after step [3-9]$", out, re.MULTILINE)
    assert learnt(out) == learnt(whole)


@pytest.fixture(scope="module")
def command(cache, tmp_path_factory):
    """Return a function that runs an example on drawn pictures, in as many ranks as are asked for."""
    folder = tmp_path_factory.mktemp("commands")

    def run(count, example, *arguments, expected=0):
        words = [example, *arguments] if example.startswith("-") else [HERE.parent / "examples" / example, *arguments]
        launcher = [mpiexec(), "-n", str(count)] if count else []
        done = subprocess.run(
            [*launcher, sys.executable, *map(str, words)],
            cwd=folder, capture_output=True, text=True, timeout=600,
            env=environment() | {"XDG_CACHE_HOME": str(cache)},
        )  # fmt: skip
        if expected is None:  # mpiexec has a status of its own for ranks that it ends
            assert done.returncode, done.stdout + done.stderr
        else:
            assert done.returncode == expected, done.stdout + done.stderr
        return done

    run.folder = folder
    return run


CIFAR = ("train_cifar.py", "--data", "synthetic", "--batch-size", 16, "--checkpoint-every", 2, "--threads", 1)


def test_the_example_trains_in_ranks_and_another_number_of_them_goes_on(command):
    done = command(2, *CIFAR, "--steps", 4, "--out", "ranks")
    assert "\n2 ranks of 1 thread, 4 of the 8 parts of a batch each; " in done.stdout
    assert done.stdout.count("network: separable") == 1
    command(0, *CIFAR, "--steps", 6, "--parts", 8, "--out", "alone")
    done = command(4, "train_cifar.py", "--resume", "ranks", "--steps", 6)
    assert "\n4 ranks of 1 thread, 2 of the 8 parts of a batch each; " in done.stdout
    assert "going on after step 4" in done.stdout
    ours, theirs = (command.folder / name / "weights.safetensors" for name in ("ranks", "alone"))
    assert ours.read_bytes() == theirs.read_bytes()
    command(0, "train_cifar.py", "--resume", "ranks", "--steps", 7)  # and one process alone


def test_the_training_to_94_percent_too(tmp_path):
    words = ("cifar94", "--batch-size", 16, "--epochs", 1.5, "--out")
    out, _ = program(4, *words, tmp_path / "ranks")
    assert re.search("^4 ranks of . threads?, 2 of the 8 parts of a batch each", out, re.MULTILINE)
    program(1, *words, tmp_path / "alone")
    ours, theirs = (tmp_path / name / "weights.safetensors" for name in ("ranks", "alone"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_command_trains_in_ranks(command):
    words = (
        "-m", "npcnn.train", "--data", "synthetic", "--net", "simple_cnn", "--batch-size", 4096, "--epochs", 1,
        "--augment", "mirror",
    )  # fmt: skip
    done = command(2, *words)
    assert "of the 8 parts of a batch each" in done.stdout
    (folder,) = (command.folder / "runs").iterdir()  # made once, and not by each of them
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("count", "arguments", "message"),
    [
        (2, ("--lr", "x"), "error: argument --lr: must be a finite number above 0, got 'x'"),
        (2, ("--batch-size", "20"), "batch_size must be a multiple of the 8 parts"),
        (3, (), "the number of ranks must be a power of two, got 3; use mpiexec -n 2"),
        (4, ("--parts", "2"), "the 4 ranks must divide the parts of a batch, got parts=2"),
        (2, ("--parts", "6"), "parts must be a power of two, got 6; use 4"),
    ],
)
def test_wrong_options_are_refused_once(count, arguments, message, command):
    done = command(count, *CIFAR, *arguments, expected=None)
    assert done.stderr.count(message) == 1
    assert "Traceback" not in done.stderr
