"""The gradient check itself: whether it passes what is right, catches what is wrong, says where.

A check that always says "ok" would make every other test of a gradient worthless, so most of
these tests hand it a mistake and look for the exact place and values in the report.
"""

import numpy as np
import pytest
from fake_layers import Chain, Dense, Dropout, ReusesItsBuffer

from npcnn import reference
from npcnn.gradient_check import GradientError, KinkWarning, gradcheck


def relu_backward(dy, x):
    return reference.relu_backward(dy, reference.relu(x))


def max_pool2d_backward(dy, x):
    _, argmax = reference.max_pool2d(x, 2)
    return reference.max_pool2d_backward(dy, argmax, x.shape, size=2)


# ------------------------------------------------------------------ what is right must pass


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (np.sin, np.cos),
        (np.exp, np.exp),
        (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
        (lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: 1e6 * x + 1e-3 * x**2, lambda x: 1e6 + 2e-3 * x),
        (lambda x: np.sin(300 * x), lambda x: 300 * np.cos(300 * x)),
        (lambda x: 0 * x + 7, lambda x: 0 * x),
    ],
)
def test_functions_of_known_derivative(function, derivative, rng):
    x = rng.standard_normal((3, 4))
    report = gradcheck(function, x, backward=lambda dy, x: dy * derivative(x), tolerance=1e-7)
    assert report.ok, report
    assert report.worst.checked == 12


def test_convolution_with_all_its_arguments(rng):
    x, w, b = rng.standard_normal((2, 4, 3, 2)), rng.standard_normal((3, 2, 2, 2)), np.ones(2)
    report = gradcheck(
        lambda x, w, b: reference.conv2d(x, w, b, stride=(2, 1)),
        x,
        w,
        b,
        backward=lambda dy, x, w, b: reference.conv2d_backward(dy, x, w, stride=(2, 1)),
        tolerance=1e-7,
    )
    assert report.ok, report
    assert [check.name for check in report.arrays] == ["x", "w", "b"]
    assert [check.checked for check in report.arrays] == [48, 24, 2]


def test_a_tuple_counts_by_its_first_item(rng):
    x = rng.permutation(32).astype(float).reshape(1, 4, 4, 2)
    report = gradcheck(lambda x: reference.max_pool2d(x, 2), x, backward=max_pool2d_backward, tolerance=1e-7)
    assert report.ok, report


def test_a_number_as_output(rng):
    logits, labels = 3 * rng.standard_normal((4, 5)), np.array([0, 4, 2, 2])
    report = gradcheck(
        lambda z: reference.softmax_cross_entropy(z, labels)[0],
        logits,
        backward=lambda dy, z: dy * reference.softmax_cross_entropy(z, labels)[1],
        tolerance=1e-7,
    )
    assert report.ok, report
    assert report.worst.name == "z"


def test_a_gradient_that_is_zero_by_cancellation(rng):
    # softmax always sums to one: the true gradient is 0, the differences are rounding.
    report = gradcheck(
        lambda z: reference.softmax(z).sum(axis=1),
        rng.standard_normal((3, 4)),
        backward=lambda dy, z: np.zeros_like(z),
    )
    assert report.ok, report


def test_a_step_that_leaves_the_domain_is_shortened():
    x = np.array([2e-5, 1e-3, 1.0])
    report = gradcheck(np.log, x, backward=lambda dy, x: dy / x)
    assert report.ok, report


def test_the_error_of_second_order_is_removed(rng):
    # At the default step of 1e-4 a plain central difference of exp is off by about 1e-9.
    report = gradcheck(np.exp, rng.standard_normal(50), backward=lambda dy, x: dy * np.exp(x))
    assert report.worst.relative_error < 1e-10


def test_kinks_nearby_but_not_at_the_point():
    # At a third of the step the two bends agree by chance, at 1e-7 the two central differences.
    x = np.array([1e-7, -1e-7, 3e-6, -2e-5, 1e-4, 0.7e-4, 1e-4 / 3])
    report = gradcheck(reference.relu, x, backward=relu_backward, tolerance=1e-7)
    assert report.ok, report
    assert report.kinks == ()
    assert report.worst.checked == x.size


def test_a_layer_checks_its_input_and_every_parameter(rng):
    x = rng.standard_normal((2, 4))
    x.flags.writeable = False  # it is a copy that is moved
    report = gradcheck(Dense(rng), x, tolerance=1e-7)
    assert report.ok, report
    assert [(c.name, c.elements, c.checked) for c in report.arrays] == [
        ("x", 8, 8),
        ("w", 12, 12),
        ("b", 3, 3),
    ]


def test_a_layer_that_reuses_its_buffers(rng):
    report = gradcheck(ReusesItsBuffer((2, 3)), rng.standard_normal((2, 3)), tolerance=1e-7)
    assert report.ok, report


def test_dropout_anywhere_in_a_network_is_wound_back(rng):
    layer = Dense(rng)
    net = Chain(dense=layer, inner=Chain(dropout=Dropout(np.random.default_rng(5))))
    report = gradcheck(net, rng.standard_normal((2, 4)), tolerance=1e-7)
    assert report.ok, report
    assert [check.name for check in report.arrays] == ["x", "dense.w", "dense.b"]
    assert any(check.numeric != 0 for check in report.arrays)


def test_an_empty_batch(rng):
    report = gradcheck(Dense(rng), np.zeros((0, 4)))
    assert report.ok, report
    assert report.arrays[0].elements == 0


# ---------------------------------------------------- poles, flat places, outputs of many sizes


@pytest.mark.parametrize(
    ("function", "derivative"),
    [(np.log, lambda x: 1 / x), (lambda x: 1 / x, lambda x: -1 / x**2), (lambda x: x**-0.5, lambda x: -0.5 * x**-1.5)],
)
def test_a_step_that_lands_on_a_pole_is_shortened(function, derivative):
    # x - h or x - h/2 is 0, for each of the steps but the shortest.
    x = np.array([1e-4, 0.5e-4, 1e-5, 0.5e-5, 1e-6, 0.7])
    report = gradcheck(function, x, backward=lambda dy, x: dy * derivative(x))
    assert report.ok, report
    assert report.worst.checked == x.size
    report = gradcheck(function, x, backward=lambda dy, x: 1.001 * dy * derivative(x))
    assert report.worst.failed == x.size


def test_where_no_step_is_short_enough_it_says_so():
    x = np.array([1e-9, 1.0])
    report = gradcheck(np.log, x, backward=lambda dy, x: dy / x)
    assert (report.ok, report.worst.failed, report.worst.index) == (False, 1, (0,))
    assert "x: the output is not finite" in str(report)
    assert "pass a smaller eps" in str(report)
    assert gradcheck(np.log, x, backward=lambda dy, x: dy / x, eps=1e-11).ok


def test_infinite_slopes_do_not_pass():
    report = gradcheck(lambda x: 1e308 * np.sin(1e3 * x), np.zeros(2), backward=lambda dy, x: np.full(2, np.inf))
    assert report.worst.failed == 2


FLAT = {  # the slope at 0 is 0, but differences of any step are not
    "squared ReLU": (lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0)),
    "as a square root": (lambda x: np.maximum(x, 0) ** 1.5, lambda x: 1.5 * np.maximum(x, 0) ** 0.5),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "fifth power": (lambda x: x**5, lambda x: 5 * x**4),
    "odd": (lambda x: x * abs(x), lambda x: 2 * abs(x)),
}


@pytest.mark.parametrize("shift", [0.0, 1.0, 1 / 3])
@pytest.mark.parametrize(("function", "derivative"), FLAT.values(), ids=FLAT)
@pytest.mark.parametrize("z", [[0.0], [0.0, -1.0], [0.0, 2.0]])
def test_a_slope_of_zero_where_the_outputs_are_zero(function, derivative, z, shift):
    x = np.array(z) + shift
    report = gradcheck(lambda x: function(x - shift), x, backward=lambda dy, x: dy * derivative(x - shift))
    assert report.ok, report
    assert report.worst.checked == x.size
    for wrong in (1e-6, 1.0):
        report = gradcheck(lambda x: function(x - shift), x, backward=lambda dy, x, wrong=wrong: wrong + 0 * dy)
        assert report.worst.failed == x.size


def test_a_squared_hinge_at_its_hinge():
    # One output, in which the others are added up: rounding ends what shrinks with the step.
    x = np.array([0.0, 1.0, 2.0, -1.0])
    report = gradcheck(lambda x: (np.maximum(x, 0) ** 2).sum(), x, backward=lambda dy, x: dy * 2 * np.maximum(x, 0))
    assert report.ok, report
    assert report.worst.checked == 4


def test_a_bend_beside_a_kink_does_not_hide_it():
    # Slopes of -1 and 1 on either side: their mean tends to 0.
    with pytest.warns(KinkWarning):
        report = gradcheck(lambda x: abs(x) + np.maximum(x, 0) ** 2, np.zeros(1), backward=lambda dy, x: dy * 0)
    assert len(report.kinks) == 1


@pytest.mark.parametrize("constant", [1e11, 1e16, 1e300])
def test_a_large_output_that_stays_hides_nothing(constant):
    def function(x):
        return np.array([constant, x[0]])

    assert gradcheck(function, np.array([1.0]), backward=lambda dy, x: dy[1:]).ok
    for factor in (2, 1.0001, 0):
        report = gradcheck(function, np.array([1.0]), backward=lambda dy, x, factor=factor: factor * dy[1:])
        assert report.worst.failed == 1


def test_nor_does_a_large_slope_of_another_output():
    scale = np.array([1e11, 1.0, 1e-11])
    assert gradcheck(lambda x: scale * x, np.ones(3), backward=lambda dy, x: scale * dy).ok
    report = gradcheck(lambda x: scale * x, np.ones(3), backward=lambda dy, x: scale * dy * [1, 1.001, 1.001])
    assert report.worst.failed == 2


def test_saturated_outputs_do_not_fail():
    # The slopes, 1e-13 to 1e-18, are less than the rounding of an output of 1; that of exp(-35) is not.
    x = np.array([0.0, 30.0, 33.0, 40.0])
    signs = np.array([[1.0], [-1.0]])

    def backward(dy, x):
        return (dy * signs * np.exp(-x) / (1 + np.exp(-x)) ** 2).sum(axis=0)

    report = gradcheck(lambda x: 1 / (1 + np.exp(-signs * x)), x, backward=backward)
    assert report.ok, report
    assert gradcheck(lambda x: 1 / (1 + np.exp(-x)), x[3:], backward=lambda dy, x: dy * np.exp(-x)).ok


def test_a_function_that_refuses_values_far_away():
    def function(x):
        if abs(x).max() > 2:
            raise ValueError("between -2 and 2, please")
        return np.array([5.0, x[0]])

    assert gradcheck(function, np.ones(2), backward=lambda dy, x: dy[::-1] * [1, 0]).ok
    assert gradcheck(function, np.ones(2), backward=lambda dy, x: dy[::-1]).worst.failed == 1


# --------------------------------------------------------------- what is wrong must be caught


@pytest.mark.parametrize(("name", "index"), [("x", (1, 2)), ("w", (3, 0)), ("b", (2,))])
@pytest.mark.parametrize("factor", [-1.0, 0.0, 2.0, 1.0001])
def test_one_wrong_number_is_found_and_shown(name, index, factor, rng):
    layer = Dense(rng, mistake=(name, index, factor))
    report = gradcheck(layer, rng.standard_normal((2, 4)))
    assert not report.ok
    worst = report.worst
    assert (worst.name, worst.index, worst.failed) == (name, index, 1)
    assert worst.verdict == "FAILED"
    assert [check.name for check in report.arrays if not check.ok] == [name]
    assert worst.analytic == pytest.approx(factor * worst.numeric, rel=1e-8)
    expected = abs(factor - 1) / (abs(factor) + 1)
    assert worst.relative_error == pytest.approx(expected, rel=1e-3)


def test_the_values_in_the_report_are_those_of_the_definition():
    # y = 3 x at x = [1, 2]; L = sum(y * dy) with dy drawn first from the seeded generator.
    dy = np.random.default_rng(4).standard_normal(2)
    report = gradcheck(lambda x: 3 * x, np.array([1.0, 2.0]), backward=lambda dy, x: [0, 1] * (3 * dy), seed=4)
    assert report.worst.index == (0,)
    assert report.worst.analytic == 0
    assert report.worst.numeric == pytest.approx(3 * dy[0], rel=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_fails(value):
    def backward(dy, x):
        dx = dy.copy()
        dx[1] = value
        return dx

    report = gradcheck(lambda x: x + 0, np.ones(3), backward=backward)
    assert not report.ok
    assert (report.worst.index, report.worst.failed) == ((1,), 1)
    assert report.worst.relative_error in (1.0, np.inf)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda dy, x, w: reference.conv2d_backward(dy, x, w)[1::-1],  # exchanged
        lambda dy, x, w: [g[::-1] for g in reference.conv2d_backward(dy, x, w)[:2]],
        lambda dy, x, w: (
            reference.conv2d_backward(dy, x, w[::-1, ::-1])[0],
            reference.conv2d_backward(dy, x, w)[1],
        ),
    ],
)
def test_popular_mistakes_of_a_convolution(wrong, rng):
    # x and w have one shape here, so that not even exchanging their gradients is caught by it.
    x, w = rng.standard_normal((3, 3, 3, 3)), rng.standard_normal((3, 3, 3, 3))
    assert not gradcheck(reference.conv2d, x, w, backward=wrong, max_elements=20).ok


def test_a_forgotten_mean(rng):
    # The gradient of the sum instead of the mean: right direction, wrong length.
    logits, labels = rng.standard_normal((4, 5)), np.array([0, 4, 2, 2])
    report = gradcheck(
        lambda z: reference.softmax_cross_entropy(z, labels)[0],
        logits,
        backward=lambda dy, z: 4 * dy * reference.softmax_cross_entropy(z, labels)[1],
    )
    assert report.arrays[0].failed == 20
    assert report.worst.relative_error == pytest.approx(0.6, rel=1e-6)


def test_float32_inside_the_function_does_not_pass():
    report = gradcheck(
        lambda x: np.sin(x.astype(np.float32)).astype(np.float64),
        np.linspace(0.3, 2, 5),
        backward=lambda dy, x: dy * np.cos(x),
    )
    assert not report.ok


def test_raise_if_failed(rng):
    x = rng.standard_normal((2, 4))
    assert gradcheck(Dense(rng), x).raise_if_failed() is None
    report = gradcheck(Dense(rng, mistake=("w", (1, 2), 3.0)), x)
    with pytest.raises(GradientError, match=r"w +12 +12 +0 +5\.0e-01 +\(1, 2\).* FAILED"):
        report.raise_if_failed()


# ------------------------------------------------------------------------------------- kinks


def test_a_relu_at_zero_is_reported_not_judged():
    x = np.array([-1.0, 0.0, 2.0])
    dy = np.random.default_rng(0).standard_normal(3)
    with pytest.warns(KinkWarning, match=r"1 element.*kink at x\[1\]: slope"):
        report = gradcheck(reference.relu, x, backward=relu_backward)
    assert report.ok, report
    assert report.worst.checked == 2
    (kink,) = report.kinks
    assert (kink.array, kink.index, kink.analytic) == ("x", (1,), 0.0)
    assert kink.left == pytest.approx(0, abs=1e-9)
    assert kink.right == pytest.approx(dy[1], rel=1e-6)
    assert "kink at x[1]" in str(report)


def test_a_kink_hides_no_mistake_elsewhere():
    with pytest.warns(KinkWarning):
        report = gradcheck(
            reference.relu,
            np.array([0.0, 2.0, 3.0]),
            backward=lambda dy, x: 1.5 * relu_backward(dy, x),
        )
    assert not report.ok
    assert report.worst.failed == 2


def test_ties_in_max_pooling():
    x = np.array([[1.0, 5.0, 7.0, 0.0], [5.0, 2.0, 6.0, 3.0]]).reshape(1, 2, 4, 1)
    with pytest.warns(KinkWarning, match="2 element"):
        report = gradcheck(lambda x: reference.max_pool2d(x, 2), x, backward=max_pool2d_backward)
    assert report.ok, report
    assert [kink.index for kink in report.kinks] == [(0, 0, 1, 0), (0, 1, 0, 0)]


def test_a_bias_at_which_many_relus_kink(rng):
    # The first bias moves six ReLUs that sit at 0, the second six that do not.
    x = rng.standard_normal((6, 2))
    with pytest.warns(KinkWarning):
        report = gradcheck(
            lambda b: reference.relu(x * 0 + b),
            np.array([0.0, 1.0]),
            backward=lambda dy, b: (dy * (b > 0)).sum(axis=0),
        )
    assert [kink.index for kink in report.kinks] == [(0,)]
    assert report.ok, report


def test_only_kinks_proves_nothing():
    with pytest.warns(KinkWarning):
        report = gradcheck(reference.relu, np.zeros((2, 2)), backward=relu_backward)
    assert not report.ok
    assert report.arrays[0].verdict == "only kinks"
    assert (report.arrays[0].checked, report.arrays[0].failed) == (0, 0)


def test_noise_is_no_kink(rng):
    # A ripple too fine for every step looks like the rounding of a long computation.
    report = gradcheck(lambda x: x + 1e-10 * np.sin(1e12 * x), rng.standard_normal(300), backward=lambda dy, x: dy)
    assert report.kinks == ()


def test_curvature_is_no_kink():
    # The slope turns from -1 to 1 within 1e-4 of zero: quickly, yet smoothly.
    report = gradcheck(
        lambda x: np.sqrt(x * x + 1e-8),
        np.array([1e-5, 0.0, 3e-4, 1.0]),
        backward=lambda dy, x: dy * x / np.sqrt(x * x + 1e-8),
    )
    assert report.ok, report
    assert report.kinks == ()


def test_a_kink_too_close_to_see_past_it():
    # Steps short enough not to reach the kink are drowned by rounding, for 1e4 is added.
    x = np.array([1.0, 3e-8])
    with pytest.warns(KinkWarning, match=r"kink at x\[1\]"):
        report = gradcheck(
            lambda x: 1e4 * x[:1] + reference.relu(x[1:]),
            x,
            backward=lambda dy, x: np.concatenate([1e4 * dy, relu_backward(dy, x[1:])]),
        )
    assert report.ok, report


# ---------------------------------------------------------------------- nothing is left moved


def test_everything_is_left_as_it_was(rng):
    generator = np.random.default_rng(7)
    layer = Dense(rng)
    net = Chain(dense=layer, dropout=Dropout(generator))
    layer.grads["w"][...] = 9
    x = rng.standard_normal((2, 4))
    before = [array.tobytes() for array in (x, *net.params.values(), *net.grads.values())]
    state = generator.bit_generator.state

    assert gradcheck(net, x).ok
    assert before == [array.tobytes() for array in (x, *net.params.values(), *net.grads.values())]
    assert generator.bit_generator.state == state
    with pytest.raises(RuntimeError):  # nothing is kept for a backward
        layer.backward(np.ones((2, 3)))


def test_parameters_are_put_back_when_forward_fails(rng):
    layer = Dense(rng)
    before = layer.params["w"].tobytes()
    forward, calls = layer.forward, []

    def fails_at_last(x, training=False):
        calls.append(1)
        if len(calls) == 50:
            raise FloatingPointError("the fiftieth call")
        return forward(x, training=training)

    layer.forward = fails_at_last
    with pytest.raises(FloatingPointError, match="fiftieth"):
        gradcheck(layer, rng.standard_normal((2, 4)))
    assert len(calls) == 50
    assert layer.params["w"].tobytes() == before


def test_the_arrays_of_a_function_are_not_touched():
    x = np.array([0.1, -0.0, 1e300])
    x.flags.writeable = False
    report = gradcheck(lambda x: x + 0, x[:2], backward=lambda dy, x: dy)
    assert report.ok, report


# ----------------------------------------------------------------------------------- sampling


def test_sampling_is_limited_and_repeats(rng):
    x = rng.standard_normal((3, 20))
    layer = Dense(rng, inputs=20, outputs=5)
    first = gradcheck(layer, x, max_elements=7, seed=1)
    assert [check.checked for check in first.arrays] == [7, 7, 5]
    assert [check.elements for check in first.arrays] == [60, 100, 5]
    assert gradcheck(layer, x, max_elements=7, seed=1) == first
    assert gradcheck(layer, x, max_elements=7, seed=2) != first


def test_sampling_reaches_every_element(rng):
    layer = Dense(rng, mistake=("w", (2, 1), 2.0))
    x = rng.standard_normal((2, 4))
    found = [gradcheck(layer, x, max_elements=6, seed=seed).ok for seed in range(20)]
    assert 2 <= sum(found) <= 18  # 6 of 12 elements: the wrong one is met about half the time


# -------------------------------------------------------------------------------- the table


def test_the_table(rng):
    report = gradcheck(Dense(rng, mistake=("b", (1,), 2.0)), rng.standard_normal((2, 4)))
    title, head, x, w, b = str(report).splitlines()
    assert title.endswith("FAILED (tolerance 1e-06)")
    assert head.split() == [
        "array", "elements", "checked", "kinks", "relative", "error", "worst", "at", "backward",
        "differences", "verdict",
    ]  # fmt: skip
    assert x.split()[:4] == ["x", "8", "8", "0"]
    assert w.endswith("ok")
    assert b.split()[:6] == ["b", "3", "3", "0", "3.3e-01", "(1,)"]
    assert b.endswith("FAILED")


def test_a_long_list_of_kinks_is_cut():
    with pytest.warns(KinkWarning):
        report = gradcheck(reference.relu, np.zeros(8), backward=relu_backward)
    assert str(report).endswith("... and 3 more kinks")
    assert len(report.kinks) == 8


def test_names_of_arguments(rng):
    def affine(pictures, weights):
        return pictures @ weights

    def backward(dy, *arrays):
        return dy @ arrays[1].T, None

    report = gradcheck(affine, np.ones((2, 2)), np.ones((2, 2)), backward=backward)
    assert [check.name for check in report.arrays] == ["pictures"]
    report = gradcheck(lambda *a: a[0] * 2, np.ones(2), backward=lambda dy, x: 2 * dy)
    assert report.worst.name == "input 0"
