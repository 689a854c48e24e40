"""What the gradient check refuses, and whether it says why."""

import numpy as np
import pytest
from fake_layers import Dense

from npcnn.errors import DTypeError, ShapeError
from npcnn.gradient_check import gradcheck


def test_float32_is_refused_with_the_reason(rng):
    with pytest.raises(DTypeError, match=r"x must be float64, got float32.*drowns"):
        gradcheck(np.sin, np.ones(2, np.float32), backward=lambda dy, x: dy)
    layer = Dense(rng, dtype=np.float32)
    with pytest.raises(DTypeError, match=r"w must be float64, got float32.*dtype=numpy.float64"):
        gradcheck(layer, np.ones((2, 4)))
    with pytest.raises(DTypeError, match="labels must be float64, got int64"):
        gradcheck(lambda z, labels: z, np.ones(2), np.array([1]), backward=lambda dy, *a: dy)
    with pytest.raises(DTypeError, match="its output is float32"):
        gradcheck(lambda x: np.float32(x), np.ones(2), backward=lambda dy, x: dy)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_infinite_points_are_refused(value, rng):
    with pytest.raises(ValueError, match="x must be finite"):
        gradcheck(np.sin, np.array([1.0, value]), backward=lambda dy, x: dy)
    layer = Dense(rng)
    layer.params["b"][1] = value
    with pytest.raises(ValueError, match="b must be finite"):
        gradcheck(layer, np.ones((2, 4)))
    with pytest.raises(ValueError, match="output of the target must be finite"):
        gradcheck(lambda x: x * value, np.ones(2), backward=lambda dy, x: dy)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d, x: gradcheck(d, [[1.0] * 4]), TypeError, "x must be a numpy.ndarray, got list"),
        (lambda d, x: gradcheck(Dense, x), TypeError, "is the class Dense; pass an instance"),
        (lambda d, x: gradcheck(7, x), TypeError, "must be a layer .* or a function, got int"),
        (lambda d, x: gradcheck(d), TypeError, "at one input, got 0"),
        (lambda d, x: gradcheck(d, x, x), TypeError, "at one input, got 2"),
        (lambda d, x: gradcheck(d, x, backward=d.backward), TypeError, "backward= is for func"),
        (lambda d, x: gradcheck(np.sin, x), TypeError, "a function needs backward=g"),
        (lambda d, x: gradcheck(np.sin, backward=np.cos), TypeError, "at least one input"),
        (lambda d, x: gradcheck(d, x, eps=0), ValueError, "eps must be a finite number above 0, got 0"),
        (lambda d, x: gradcheck(d, x, eps=-1e-5), ValueError, "eps must be a finite number above 0"),
        (lambda d, x: gradcheck(d, x, eps=np.nan), ValueError, "eps must be a finite number above 0"),
        (lambda d, x: gradcheck(d, x, tolerance=0), ValueError, "tolerance must be a finite number above 0"),
        (
            lambda d, x: gradcheck(d, x, max_elements=0),
            ValueError,
            "max_elements must be an integer of at least 1, got 0",
        ),
        (lambda d, x: gradcheck(d, x, eps="1e-4"), TypeError, "eps must be a number above 0, got '1e-4'"),
        (lambda d, x: gradcheck(d, x, max_elements=2.5), TypeError, "max_elements must be an integer .*got 2.5"),
        (
            lambda d, x: gradcheck(np.matmul, x, x.T, backward=lambda dy, a, b: dy),
            TypeError,
            "one gradient for each of the 2 inputs",
        ),
        (
            lambda d, x: gradcheck(np.sin, x, backward=lambda dy, x: None),
            TypeError,
            "None for every input",
        ),
        (
            lambda d, x: gradcheck(np.sin, x, backward=lambda dy, x: dy[:1]),
            ShapeError,
            r"gradient of x must have the shape of x, \(2, 4\), got \(1, 4\)",
        ),
    ],
)
def test_wrong_arguments_are_named(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(Dense(rng), np.ones((2, 4)))


def test_half_a_layer_is_refused(rng):
    class OnlyForward:
        def forward(self, x, training=False):
            return x

    with pytest.raises(TypeError, match="OnlyForward has forward but no backward, params, grads"):
        gradcheck(OnlyForward(), np.ones(2))

    layer = Dense(rng)
    del layer.grads["b"]
    layer.backward = lambda dy: np.zeros((2, 4))
    with pytest.raises(TypeError, match="grads has no 'b' but params has"):
        gradcheck(layer, np.ones((2, 4)))
    layer.backward = lambda dy: None
    with pytest.raises(TypeError, match="must return the gradient of x"):
        gradcheck(layer, np.ones((2, 4)))


def test_a_function_that_draws_numbers_is_refused(rng):
    with pytest.raises(ValueError, match="something else the second time"):
        gradcheck(lambda x: x * rng.random(x.shape), np.ones(3), backward=lambda dy, x: dy)
