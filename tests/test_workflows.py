"""What the workflows of .github run is there, and the lowest versions are those of pyproject.toml."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="only a clone has the workflows")


def test_their_targets_and_files_are_there():
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    (targets,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"run: make ([a-z-]+)", text))
    named |= {name for names in re.findall(r"target: \[(.+)\]", text) for name in names.split(", ")}
    assert {"nightly", "sanitize", "test-arm", "test-windows", "docs"} <= named
    assert named <= set(targets.split())
    files = set(re.findall(r"[\w./-]*\.ci/[\w.-]+|\.github/workflows/[\w.-]+", text))
    assert files
    assert all((ROOT / name).is_file() for name in files)


def test_the_lowest_versions_are_those_of_pyproject():
    lowest = subprocess.run(
        [sys.executable, ROOT / ".ci" / "lowest_versions.py"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"numpy==2.0", "pytest==8"} <= set(lowest)
    project = (ROOT / "pyproject.toml").read_text()
    assert all(f'"{line.replace("==", ">=")}"' in project for line in lowest)
