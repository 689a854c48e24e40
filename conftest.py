"""What every test and doctest may use."""

import importlib.util

import numpy as np
import pytest

import npcnn
from npcnn.kernels import core

# A module that cannot be imported without its extra has no doctests where that is missing.
collect_ignore = [] if importlib.util.find_spec("sklearn") else ["npcnn/sklearn.py"]


@pytest.fixture(autouse=True)
def doctest_names(request, doctest_namespace):
    """Let every doctest say ``np`` and ``nn``; skip those of an extra that is not installed."""
    if request.node.name.startswith("npcnn.onnx."):
        pytest.importorskip("onnx")
    doctest_namespace["np"] = np
    doctest_namespace["nn"] = npcnn


@pytest.fixture
def rng():
    """Return a seeded generator."""
    return np.random.default_rng(1)


@pytest.fixture
def settings_restored():
    """Put threads and instruction set back after the test."""
    threads, isa = npcnn.get_num_threads(), core.isa()
    yield
    npcnn.set_num_threads(threads)
    core.use_isa(isa)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Return a folder for XDG_CACHE_HOME in which the synthetic pictures are drawn already: that takes ten seconds."""
    folder = tmp_path_factory.mktemp("cache")
    npcnn.datasets.synthetic.load(folder / "npcnn")
    return folder


@pytest.fixture(scope="module")
def browser():
    """Return Chromium; skip the test where it or Playwright is missing."""
    from explorer_page import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser, explanation, tmp_path):
    """Return the explorer's page of the module's `explanation`, opened, as `explorer_page.quiet_page` does."""
    from explorer_page import DESK, quiet_page

    with quiet_page(browser, explanation, tmp_path / "explorer.html", viewport=DESK) as opened:
        yield opened


def pytest_addoption(parser):
    """Let the long tests run in full."""
    parser.addoption("--nightly", action="store_true", help="run the long tests in full; about half an hour")


@pytest.fixture(scope="session")
def nightly(pytestconfig):
    """Return whether the long tests are to run in full."""
    return pytestconfig.getoption("--nightly")
