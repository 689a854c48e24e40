"""examples/compare_kernels.py as its user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "compare_kernels.py"


def run(cache, *arguments):
    return subprocess.run(
        [sys.executable, str(EXAMPLE), "--data", "synthetic", *map(str, arguments)],
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "NPCNN_DATA": ""},
        capture_output=True,
        text=True,
        timeout=1800,
    )


def test_the_table(cache):
    done = run(cache, "--steps", 0)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^separable +9,239,040 +61,962 +\d+\.\d  0\.\d{4} after 0 steps$", done.stdout, re.MULTILINE)
    assert re.search(r"^plain +18,086,400 ", done.stdout, re.MULTILINE)
    assert re.search(r"^multichannel ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lr", "nan"), "--lr: must be a finite number above 0, got 'nan'"),
        (("--data-dir", "."), "data_dir is for data in files"),
        (("--lr", 1e30, "--steps", 20), "the first NaN or infinity is in"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(cache, arguments, message):
    done = run(cache, *arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
