"""Sums of arrays: by hand, against NumPy, into other arrays, in threads, and what they refuse."""

import numpy as np
import pytest

import npcnn as nn
from npcnn import functional, reference


@pytest.mark.parametrize("ops", [functional, reference])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_worked_by_hand(dtype, ops):
    a, b, c = (np.array(terms, dtype) for terms in ([1, -5, np.nan, -0.5], [2, 3, 1, np.inf], [0.5, 1, 2, 3]))
    np.testing.assert_array_equal(ops.add(a), a)
    np.testing.assert_array_equal(ops.add(a, relu=True), [1, 0, np.nan, 0])
    np.testing.assert_array_equal(ops.add(a, b), [3, -2, np.nan, np.inf])
    np.testing.assert_array_equal(ops.add(a, b, c, relu=True), [3.5, 0, np.nan, np.inf])
    assert ops.add(a, b).dtype == dtype


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 41, 101)])
def test_the_bits_of_numpy_in_any_number_of_threads(shape, count, relu, rng):
    terms = [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]
    terms = [np.asarray(term) for term in terms]
    for threads in (1, 2, 3, 8):
        nn.set_num_threads(threads)
        np.testing.assert_array_equal(functional.add(*terms, relu=relu), reference.add(*terms, relu=relu))


def test_into_an_array(rng):
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    expected, out = a + b, np.empty((2, 3, 4))
    assert functional.add(a, b, out=out) is out
    np.testing.assert_array_equal(out, expected)
    functional.add(a, b, out=a)
    np.testing.assert_array_equal(a, expected)
    functional.add(a, relu=True, out=a)
    np.testing.assert_array_equal(a, np.maximum(expected, 0))
    np.testing.assert_array_equal(functional.add(b.T, b.T), 2 * b.T)


A = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("terms", "options", "error", "message"),
    [
        ((), {}, TypeError, "add must be given at least one array, got none"),
        ((A, A[:1]), {}, nn.errors.ShapeError, r"terms\[1\] must have shape \(2, 3\) .*, got \(1, 3\)"),
        ((A, A.astype(np.float32)), {}, nn.errors.DTypeError, r"terms\[1\].*float32"),
        ((A, 1.0), {}, TypeError, r"terms\[1\]"),
        ((A.astype(int),), {}, nn.errors.DTypeError, r"terms\[0\]"),
        ((A, A), {"relu": "yes"}, TypeError, "relu must be True or False, got 'yes'"),
    ],
)
def test_what_it_refuses(terms, options, error, message):
    with pytest.raises(error, match=message):
        functional.add(*terms, **options)


def test_the_result_may_not_overlap_what_is_still_read():
    a, b = np.zeros((2, 3)), np.zeros((2, 3))
    with pytest.raises(ValueError, match="out must not share memory"):
        functional.add(a, b, out=b)
