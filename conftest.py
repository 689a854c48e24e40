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
