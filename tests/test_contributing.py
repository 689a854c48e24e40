"""The changes of CONTRIBUTING.md fit the code as it stands, and touch the files listed; quick ones pass their tests."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHANGES = sorted((ROOT / "docs" / "changes").glob("*.diff"))
# Those of Python alone; the others need the kernels compiled anew.
QUICK = {"a-layer.diff": "tests/test_scale.py", "a-data-set.diff": "tests/test_datasets_letters.py"}

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="applies changes with git")


def applied(change, folder):
    """Apply a change in a folder outside of any repository."""
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    subprocess.run(["git", "apply", str(change)], cwd=folder, env=environment, check=True, capture_output=True)


def files_of(change):
    return set(re.findall(r"^\+\+\+ b/(.*)$", change.read_text(), re.MULTILINE))


@pytest.fixture
def copy(tmp_path):
    """Return a folder with what the changes touch, and what their tests need."""
    for folder in ("npcnn", "csrc", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.c~"))
    for file in ("setup.py", "conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


@pytest.mark.parametrize("change", CHANGES, ids=lambda path: path.name)
def test_a_change_fits_the_code(change, copy):
    before = {file: (copy / file).read_text() for file in files_of(change) if (copy / file).exists()}
    applied(change, copy)
    assert all((copy / file).read_text() != before.get(file) for file in files_of(change))


@pytest.mark.parametrize("change", CHANGES, ids=lambda path: path.name)
def test_its_files_are_those_that_are_listed(change):
    text = (
        (ROOT / "CONTRIBUTING.md")
        .read_text()
        .replace("activations.pyx`, `.pyi`", "activations.pyx`, `npcnn/kernels/activations.pyi`")
    )
    _, section = text.split(f"(docs/changes/{change.name})")
    section = section.split("\n### ")[0].split("\n## ")[0]
    rows = "".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    listed = set(re.findall(r"`([^`]+)`", rows))
    assert listed == {file for file in files_of(change) if file != "tests/test_datasets_sources.py"}


@pytest.mark.parametrize(("name", "tests"), QUICK.items())
def test_it_passes_its_tests(name, tests, copy):
    applied(ROOT / "docs" / "changes" / name, copy)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests]
    result = subprocess.run(run, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_there_are_changes():
    assert len(CHANGES) == 4
    assert {path.name for path in CHANGES} >= set(QUICK)
