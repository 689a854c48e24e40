"""What the tables of cases have in common, and how results are held to the truth."""

import numpy as np
import pytest

from npcnn import functional, reference

# What is worked out by hand holds for the definition and for the fast functions alike.
either = pytest.mark.parametrize("ops", [reference, functional], ids=["reference", "functional"])

# What Toom-Cook's transforms would spread over a tile or let overflow: with these, it leaves a picture alone.
NOT_CARRIED = [np.inf, -np.inf, np.nan, 1e37, 2.0**41]


def assert_equal_arrays(got, expected, dtype, *, summed=1e-30):
    """Hold `got` to `expected`, computed in float64, relative to its largest number: 1e-12, in float32 1e-5.

    Where sums may cancel out, `summed` is the size of their terms, and the result is held relative to that.
    """
    assert got.shape == expected.shape
    assert got.dtype == dtype
    if expected.size:
        largest = max(np.abs(expected).max(), summed)
        assert np.abs(got - expected).max() <= (1e-12 if dtype == np.float64 else 1e-5) * largest


def assert_refused(call, error, message):
    """Hold a call with wrong arguments to exactly this class of error, and a message that matches."""
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error
