"""What every test and doctest may use."""

import numpy as np
import pytest

import npcnn


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    """Let every doctest say ``np`` and ``nn``."""
    doctest_namespace["np"] = np
    doctest_namespace["nn"] = npcnn


@pytest.fixture
def rng():
    """Return a seeded generator."""
    return np.random.default_rng(1)


def pytest_addoption(parser):
    """Let the long tests run in full."""
    parser.addoption("--nightly", action="store_true", help="run the long tests in full; about half an hour")


@pytest.fixture(scope="session")
def nightly(pytestconfig):
    """Return whether the long tests are to run in full."""
    return pytestconfig.getoption("--nightly")
