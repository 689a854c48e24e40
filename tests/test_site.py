"""The site: its reference has every public name, and docstrings that Sphinx reads without a warning."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import npcnn

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# What stands directly in npcnn/, but for the kernels, which check nothing and are called by npcnn.functional only.
ROOMS = {
    f"npcnn.{path.stem}"
    for path in (ROOT / "npcnn").iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("_")
} - {"npcnn.kernels", "npcnn.version", "npcnn.file_lock"}
NAMED = re.compile(r"^\.\. public-names:: (\S+)$", re.MULTILINE)
PAGES = {
    NAMED.search(path.read_text())[1]: path for path in sorted((DOCS / "api").glob("*.rst")) if path.stem != "index"
}
BUILD = """
import json, sys
from sphinx.application import Sphinx

source, settings, out = sys.argv[1:]
app = Sphinx(source, settings, out, out + "/doctrees", "dummy", status=None, freshenv=True, exception_on_warning=True)
app.build()
print(json.dumps(sorted(app.env.get_domain("py").objects)))
"""


def names_of(module):
    """Return what a module offers: its __all__, or else the functions and classes that its file defines."""
    if hasattr(module, "__all__"):
        return {name for name in module.__all__ if not inspect.ismodule(getattr(module, name))}
    tree = ast.parse(Path(module.__file__).read_text())
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return {node.name for node in found if not node.name.startswith("_")}


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """Return the full names that the reference documents; any warning of Sphinx on the way is an error."""
    for package in ("sphinx", "numpydoc", "myst_nb", "furo", "matplotlib", "latex2mathml", "sklearn"):
        pytest.importorskip(package)
    arguments = [DOCS / "api", DOCS, tmp_path_factory.mktemp("api")]
    run = subprocess.run([sys.executable, "-c", BUILD, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_every_room_has_a_page():
    assert {"npcnn", *ROOMS} - PAGES.keys() == set(), "add a page to docs/api, and its name to docs/api/index.rst"


def test_every_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"^   ([\w-]+)$", (DOCS / "api" / "index.rst").read_text(), re.MULTILINE))
    assert listed == {path.stem for path in PAGES.values()}


@pytest.mark.parametrize("name", PAGES)
def test_every_public_name_is_documented(name, documented):
    public = {public for public in names_of(importlib.import_module(name)) if not public.startswith("__")}
    assert public
    assert {f"{name}.{public}" for public in public} - documented == set()


def test_the_methods_of_a_layer_are_documented(documented):
    methods = {name for name, thing in vars(npcnn.Layer).items() if inspect.isfunction(thing) and name[0] != "_"}
    assert {"forward", "backward", "save"} <= methods
    assert {f"npcnn.layers.Layer.{name}" for name in methods} <= documented


def test_nothing_private_is_documented(documented):
    assert {name for name in documented if any(part.startswith("_") for part in name.split("."))} == set()
