"""Building and installing: what a compiler, its absence and an editable install lead to."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn

pytest.importorskip("setuptools", minversion="77")
pytest.importorskip("Cython")

ROOT = Path(__file__).parent.parent
HANG = 1800  # seconds; it only ends what would never end
# With these, setuptools on any system builds as on Windows with the compiler of Visual Studio.
AS_ON_WINDOWS = {"_PYTHON_HOST_PLATFORM": "win-amd64", "DISTUTILS_USE_SDK": "1", "MSSdk": "1"}


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


def build(clone, *options, **environment):
    """Run `setup.py build_ext`, as `make` does."""
    return run(sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", *options, cwd=clone, **environment)


def metadata(clone, folder, **environment):
    """Return what a wheel says about itself, as pip asks for it."""
    backend = "import sys; from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel(sys.argv[1])"
    folder.mkdir()
    asked = run(sys.executable, "-c", backend, folder, cwd=clone, **environment)
    assert asked.returncode == 0, asked.stderr
    (found,) = folder.glob("*.dist-info")
    return (found / "METADATA").read_text(encoding="utf-8")


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


def test_openmp_as_apple_s_clang_takes_it(clone, tmp_path):
    seen = tmp_path / "seen"
    apple = compiler(
        tmp_path / "apple",
        f"""
        echo "$*" >> {seen}
        case " $* " in *" -Xpreprocessor -fopenmp "*) ;; *" -fopenmp "*) exit 1;; esac
        while [ $# -gt 1 ]; do [ "$1" = -o ] && : > "$2"; shift; done
        """,
    )
    result = build(clone, CC=apple)
    assert result.returncode == 0, result.stderr
    assert "no OpenMP" not in result.stderr
    linked = [line for line in seen.read_text().splitlines() if "abi3" in line]
    assert linked
    assert all("-lomp" in line.split() for line in linked)


def test_a_new_module_takes_the_place_of_those_that_python_would_find_first(clone, pretender):
    kernels = clone / "npcnn" / "kernels"
    older = {kernels / f"core{suffix}" for suffix in EXTENSION_SUFFIXES}
    for path in older:
        path.touch()
    result = build(clone, CC=pretender)
    assert result.returncode == 0, result.stderr
    assert {path for path in older if path.exists()} == {kernels / "core.abi3.so"}


@pytest.mark.parametrize("environment", [{}, {"CC": "cl"}], ids=["none named", "CC=cl"])
def test_microsofts_compiler_is_refused_with_what_to_take(clone, tmp_path, environment):
    (tmp_path / "cl").touch(mode=0o755)
    result = build(clone, "--compiler=msvc", **AS_ON_WINDOWS, PATH=str(tmp_path), **environment)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(
        "error: npcnn's C core is written with vector extensions, which Microsoft's cl does not have"
    )
    assert "clang-cl is used when it is on PATH" in last
    assert "--compiler=mingw32" in last


def test_clang_cl_compiles_in_the_place_of_microsofts_compiler(clone, tmp_path):
    seen, programs = tmp_path / "seen", tmp_path / "LLVM" / "bin"
    programs.mkdir(parents=True)
    writes = f"""
        echo "$0 $*" >> {seen}
        for argument; do
            case "$argument" in /Fo*) : > "${{argument#/Fo}}";; /OUT:*) : > "${{argument#/OUT:}}";; esac
        done
        """
    for program in ("clang-cl", "link.exe"):
        compiler(programs / program, writes)
    result = build(clone, "--compiler=msvc", **AS_ON_WINDOWS, PATH=f"{programs}:{os.environ['PATH']}")
    assert result.returncode == 0, result.stderr
    assert "no OpenMP" not in result.stderr
    lines = [line.split() for line in seen.read_text().splitlines()]
    (avx2,) = [line for line in lines if "-DVARIANT=avx2" in line or "/DVARIANT=avx2" in line]
    assert avx2[0] == str(programs / "clang-cl")
    assert {"/clang:-std=c11", "/clang:-O3", "/clang:-mavx2", "/clang:-fopenmp"} <= set(avx2)
    linked = [line for line in lines if any(word.startswith("/OUT:") and "kernels" in word for word in line)]
    assert len(linked) == len(list((clone / "npcnn" / "kernels").glob("*.pyx")))
    assert all(f"/LIBPATH:{programs.parent / 'lib'}" in line and "m.lib" not in line for line in linked)


def test_what_a_build_cannot_be_for_is_refused(clone):
    without_gil = (
        "import runpy, sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1; runpy.run_path('setup.py')"
    )
    result = run(sys.executable, "-c", without_gil, cwd=clone)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: npcnn does not run on free-threaded Python yet")
    result = build(clone, ARCHFLAGS="-arch arm64 -arch x86_64")
    assert result.returncode == 1
    assert "ARCHFLAGS names several (-arch arm64 -arch x86_64): build once with" in result.stderr.splitlines()[-1]


def test_the_page_of_a_package_index_has_no_link_that_leads_nowhere(clone, tmp_path):
    page = metadata(clone, tmp_path / "no repository")
    assert "Project-URL" not in page
    assert not re.search(r"\]\((?!https?:)", page)
    assert "| read how it is done | The house; one convolution" in page  # the text of links, and that around them

    page = metadata(clone, tmp_path / "repository", NPCNN_REPOSITORY="https://forge.example/us/npcnn/")
    inside = f"https://forge.example/us/npcnn/{{}}/v{nn.__version__}/"
    assert "Project-URL: Source, https://forge.example/us/npcnn\n" in page
    assert f"[The house]({inside.format('blob')}docs/the-house.md)" in page
    assert f"]({inside.format('raw')}docs/training-curve.png)" in page
    relative = {target for target in re.findall(r"\]\(([^)\s]+)\)", page) if not target.startswith("https://")}
    assert relative == set()
