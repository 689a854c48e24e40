"""How the files of the library stand to one another: who may import whom, and that no name hides another."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "npcnn").rglob("*.py"))
CORE = {"numpy", "tqdm", "safetensors"}
# Rooms at the top: what runs a network or looks into one.  Only they may import one another.
TOP = {"explain", "onnx", "parallel", "plot", "report", "sklearn", "train"}
# Modules that cannot be imported without their extra: a classifier of scikit-learn derives from that library's classes.
MADE_OF_AN_EXTRA = {"npcnn.sklearn": "sklearn"}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}
COMPILED = {module_name(path) for path in (ROOT / "npcnn").rglob("*.pyx")}


def nodes(tree, *, inside_functions=True):
    """Yield the nodes of a syntax tree, without what only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not inside_functions:
            continue
        yield node
        yield from nodes(node, inside_functions=inside_functions)


def imports(path, **which):
    """Return the full names of the modules that a file imports, or takes names from."""
    found = set()
    for node in nodes(ast.parse(path.read_text()), **which):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relative to itself"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & (MODULES.keys() | COMPILED)
            found |= submodules
            if len(submodules) < len(node.names):
                found.add(node.module)
    return found


def with_packages(name, importer):
    """Return a module and the packages around it that its import runs, but not those that the importer is in."""
    parts = name.split(".")
    around = {".".join(parts[:length]) for length in range(1, len(parts))}
    return {name} | {package for package in around if not f"{importer}.".startswith(f"{package}.")}


def reached(graph, starts):
    """Return the modules that are imported by some, directly or by those they import."""
    seen, waiting = set(), set(starts)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= graph.get(name, set()) - seen
    return seen


def room(name):
    """Return what stands directly under npcnn: plot for npcnn.plot, train for npcnn.train.logs."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("name", sorted((MODULES.keys() | COMPILED) - {"npcnn", "npcnn.explain.__main__"}))
def test_no_module_is_hidden(name):
    if name in MADE_OF_AN_EXTRA:
        pytest.importorskip(MADE_OF_AN_EXTRA[name])
    module = importlib.import_module(name)
    package, _, own = name.rpartition(".")
    assert getattr(importlib.import_module(package), own) is module


def test_imports_run_in_no_circle():
    graph = {
        name: set().union(*(with_packages(other, name) for other in imports(path) if other.split(".")[0] == "npcnn"))
        for name, path in MODULES.items()
    }
    circles = {name: [other for other in graph[name] if name in reached(graph, {other})] for name in graph}
    assert {name: others for name, others in circles.items() if others} == {}


def test_the_definitions_import_numpy_only():
    allowed = {"numpy", *sys.stdlib_module_names}
    for name, path in MODULES.items():
        if room(name) == "reference":
            foreign = {other for other in imports(path) if other.split(".")[0] not in allowed}
            assert all(room(other) == "reference" for other in foreign), f"{name} imports {foreign}"


def test_nothing_below_imports_what_stands_at_the_top():
    upwards = {
        (name, other)
        for name, path in MODULES.items()
        if room(name) not in TOP
        for other in imports(path)
        if other.startswith("npcnn.") and room(other) in TOP
    }
    assert upwards == set()


def test_extras_are_imported_where_they_are_used():
    # So that every module can be imported with what pip installs by default.
    for name, path in MODULES.items():
        packages = {other.split(".")[0] for other in imports(path, inside_functions=False)}
        assert packages - CORE - {"npcnn", MADE_OF_AN_EXTRA.get(name)} <= sys.stdlib_module_names, name


def test_all_that_is_public_comes_without_the_extras():
    extras = ["matplotlib", "onnx", "PIL", "sklearn", "tensorboardX"]
    program = f"import sys; sys.modules |= dict.fromkeys({extras}); from npcnn import *; print(train.__name__)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout == "npcnn.train\n", run.stderr


@pytest.mark.parametrize("folder", ["npcnn", "csrc"])
def test_files_can_be_read_in_one_sitting(folder):
    suffixes = {".py", ".pyx", ".pxd", ".c", ".h", ".js", ".css", ".html"}
    generated = {path.with_suffix(".c") for path in (ROOT / folder).rglob("*.pyx")}
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and path not in generated
    }
    assert lines
    assert {path: count for path, count in lines.items() if count > 500} == {}
