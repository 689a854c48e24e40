"""examples/cut_kernels.py as its user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import npcnn as nn

EXAMPLE = Path(__file__).parent.parent / "examples" / "cut_kernels.py"


def run(cache, cwd, *arguments):
    return subprocess.run(
        [sys.executable, str(EXAMPLE), "--data", "synthetic", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "NPCNN_DATA": ""},
        capture_output=True,
        text=True,
        timeout=1800,
    )


def test_the_table(cache, tmp_path):
    done = run(cache, tmp_path, "--steps", 2, "--fine-tune", 1, "--ranks", 16, 999, "--out", "cut.png")
    assert done.returncode == 0, done.stderr
    assert "rank 999: no convolution gets cheaper by it" in done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if re.match(r" *(16|whole) ", line)}
    # By hand, pixel by pixel: 24*24*5*5*3*64, 12*12*16*5*(64 + 64), 6*6*16*5*(64 + 10).
    assert f"{24 * 24 * 4800 + 12 * 12 * 16 * 640 + 6 * 6 * 16 * 370:,}" in lines["16"]
    assert "2_conv2d 0." in lines["16"]
    assert "0_conv2d" not in lines["16"]
    assert "18,086,400" in lines["whole"]


def test_other_weights_are_refused_in_one_line(cache, tmp_path):
    nn.models.cifar_separable().save(tmp_path / "weights.safetensors")
    done = run(cache, tmp_path, "--weights", "weights.safetensors")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--weights must be of the plain network" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ranks", 0), "must be a whole number of at least 1"),
        (("--lr", -1), "--lr: must be a finite number above 0, got '-1'"),
        (("--out", "no/such/folder.png"), "--out must be a file in a folder that exists"),
        (("--weights", "none.safetensors"), "none.safetensors"),
    ],
)
def test_wrong_input_is_named(cache, tmp_path, arguments, message):
    done = run(cache, tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
