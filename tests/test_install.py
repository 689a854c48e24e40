"""Building and installing: what a compiler, its absence and an editable install lead to."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn

pytest.importorskip("setuptools", minversion="77")
pytest.importorskip("Cython")

ROOT = Path(__file__).parent.parent
HANG = 1800  # seconds; it only ends what would never end


@pytest.fixture
def clone(tmp_path):
    """Return a copy of the project with the kernels compiled, in a folder named npcnn."""
    copy = tmp_path / "holder" / "npcnn"
    copy.mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    for name in ("csrc", "npcnn"):  # copied with their times, so that Cython finds nothing to do
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def pretender(tmp_path):
    """Return a compiler that has no OpenMP, and whose output is empty: compiling in earnest takes a minute."""
    return compiler(
        tmp_path / "pretender",
        """
        case " $* " in *" -fopenmp "*) exit 1;; esac
        while [ $# -gt 1 ]; do [ "$1" = -o ] && : > "$2"; shift; done
        """,
    )


def run(*command, cwd, **environment):
    """Run a command without this process's PYTHONPATH, so that it does not find the npcnn under test by that."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=HANG,
    )


def build(clone, **environment):
    """Run `setup.py build_ext`, as `make` does."""
    return run(sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", cwd=clone, **environment)


def compiler(path, script):
    """Write a compiler that is a shell script, and return its path as CC takes it."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_an_editable_install_is_found_from_the_folder_that_holds_the_clone(clone, tmp_path, pretender):
    backend = "import sys; from setuptools import build_meta; print(build_meta.build_editable(sys.argv[1]))"
    built = run(sys.executable, "-c", backend, tmp_path, cwd=clone, CC=pretender)
    assert built.returncode == 0, built.stderr
    for module in (ROOT / "npcnn" / "kernels").glob("*.so"):
        shutil.copy2(module, clone / "npcnn" / "kernels")
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"npcnn-{nn.__version__}-")
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "numpy_is_here.pth").write_text(f"{Path(np.__file__).parent.parent}\n")

    python = tmp_path / "venv" / "bin" / "python"
    found = run(python, "-c", "import npcnn; npcnn.functional; print(npcnn.__file__)", cwd=clone.parent)
    assert found.stdout.strip() == str(clone / "npcnn" / "__init__.py"), found.stderr


@pytest.mark.parametrize("command", [("-m", "npcnn.explain", "--help"), ("-c", "import npcnn")], ids=["-m", "import"])
def test_a_source_folder_without_kernels_says_what_to_do(clone, tmp_path, command):
    shutil.copytree(clone / "npcnn", tmp_path / "npcnn", ignore=shutil.ignore_patterns("*.so"))
    result = run(sys.executable, *command, cwd=tmp_path)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert f"npcnn's compiled kernels for Python 3.{sys.version_info.minor} (" in last
    assert f"are not in {tmp_path / 'npcnn' / 'kernels'}: run `make` or `python -m pip install -e .` in" in last
    assert "or, if npcnn is installed elsewhere, start Python in another folder" in last


def test_without_a_compiler_the_build_says_what_to_install(clone, tmp_path):
    for environment in ({"CC": "no-such-compiler"}, {"CC": "gcc", "PATH": str(tmp_path)}):
        result = build(clone, **environment)
        assert result.returncode == 1
        last = result.stderr.splitlines()[-1]
        assert last.startswith(f"error: npcnn needs a C compiler, and there is no '{environment['CC']}': install one")
        assert "apt install gcc python3-dev" in last
        assert "No such file" not in result.stderr
        assert "OpenMP" not in result.stderr


def test_without_python_headers_the_build_says_what_to_install(clone, tmp_path):
    result = build(clone, CC=compiler(tmp_path / "cc", "echo 'Python.h: No such file' >&2; exit 1"))
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert "could not compile a file that includes Python.h (its message is above): install one" in last


def test_a_build_without_openmp_says_so(clone, pretender):
    result = build(clone, CC=pretender)
    assert result.returncode == 0, result.stderr
    assert f"no OpenMP: npcnn will compute in one thread, because {pretender} does not build" in result.stderr
    assert "no OpenMP" not in build(clone, CC=pretender, NPCNN_OPENMP="0").stderr  # as asked
