"""Is this gradient right?  Compare it with differences of the function itself.

Backward passes are where the mistakes of a network library hide: a wrong one
still trains, only worse.  `gradcheck` takes a layer, a whole network or any
function with a gradient, multiplies its output by a fixed random `dy`, and
compares what the backward pass says with what the function does when one
number at a time is moved a little.  It is the tool to reach for after writing
a layer of your own.

How the differences are taken, and what is claimed for them:

*Accuracy.*  Everything is float64.  For each element the central difference
D(h) = (L(x + h) - L(x - h)) / 2h is taken at h and at h/2, and Richardson's
(4 D(h/2) - D(h)) / 3 removes the error of order h^2; at h = 1e-4 about eleven
digits are left.  Outputs are subtracted one by one before they are summed, so
outputs that do not depend on the element cancel exactly.

*Kinks.*  ReLU and max pooling are not smooth, and a difference across a kink
is worth nothing.  How far D(h) and D(h/2) lie apart, and whether the two
one-sided slopes approach each other as they should, tells; while they do not,
h is cut to a tenth, four times.  If the one-sided slopes still keep their
distance, the point sits on a kink, or so close to one (some 1e-8) that
rounding hides what lies before it: there is no gradient to compare with, and
the element is reported, not judged.

*Relative error.*  |a - n| / max(|a| + |n|, floor), for the analytic value a
and the numeric value n.  The floor is a thousandth of the largest numeric
gradient of the same array, and at least 1e-4 of the largest |output * dy|:
below that, the rounding of the differences themselves would be measured.  A
correct operation stays below 1e-7, a network with many ReLUs below 1e-6 (the
step must shrink until it crosses no kink, and then rounding is felt); a wrong
gradient is usually off by a per cent or more.

The point of a check is a small one: a batch of one or two pictures, random
numbers, `max_elements` for a large network.

==============  =====================================================
subjects.py     what is checked: a layer with its parameters, a function
differences.py  the slope at one element, and whether it is one
report.py       the findings as a table
==============  =====================================================

References: Griewank & Walther, "Evaluating Derivatives", 2008, chapter 1 (why
differences are only a check); Stanford's CS231n notes, "Gradient checks"
(double precision, relative error, kinks); Press et al., "Numerical Recipes",
2007, section 5.7 (choosing the step by watching the differences converge).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.gradient_check.differences import Array, Differences
from npcnn.gradient_check.report import (
    ArrayCheck,
    GradcheckReport,
    GradientError,
    Kink,
    KinkWarning,
)
from npcnn.gradient_check.subjects import subject_of

__all__ = [
    "ArrayCheck",
    "GradcheckReport",
    "GradientError",
    "Kink",
    "KinkWarning",
    "gradcheck",
]

_FLOOR_OF_ARRAY = 1e-3
_FLOOR_OF_OUTPUT = 1e-4


def gradcheck(
    target: Any,
    *inputs: NDArray[Any],
    backward: Callable[..., Any] | None = None,
    eps: float = 1e-4,
    tolerance: float = 1e-6,
    max_elements: int | None = None,
    seed: int = 0,
) -> GradcheckReport:
    """Compare a gradient with central differences, element by element.

    Two kinds of target:

    ``gradcheck(layer, x)`` takes a layer or a whole network, anything with ``forward(x,
    training=True)``, ``backward(dy)``, ``params`` and ``grads``, and checks the gradient of the
    input and of every parameter.

    ``gradcheck(f, *arrays, backward=g)`` takes a function: ``f(*arrays)`` returns an array (or a
    tuple that begins with one), ``g(dy, *arrays)`` returns the gradient of each array, None for
    one that is not to be checked.

    Everything is left as it was found: inputs and parameters to the last bit, gradients, and the
    random generators of the layers (which are wound back before each evaluation, so that dropout
    drops the same units each time).

    Parameters
    ----------
    target : layer or callable
        What is checked.
    *inputs : ndarray of float64
        The point at which it is checked; exactly one array for a layer.
    backward : callable, optional
        The gradient of a function; not for layers, which bring their own.
    eps : float
        The largest step, times max(1, abs(element)).  Where the differences do not settle, smaller
        ones down to eps / 10**4 are tried.  Lower it for a function that changes faster still.
    tolerance : float
        The largest relative error that passes; the module's first paragraphs define it.
    max_elements : int, optional
        Check that many elements of every array, drawn at random; by default all.  Each costs from
        4 to 20 evaluations of the target.
    seed : int
        For `dy` and for the choice of elements; the same seed gives the same report.

    Returns
    -------
    GradcheckReport
        Whether the gradients are right is in its `ok`; nothing is raised for a wrong one.  Call
        `raise_if_failed()` in a test.

    Raises
    ------
    TypeError
        If `target` is neither a layer nor a function, or `inputs` and `backward` do not fit it.
    DTypeError
        If an array is not float64.  A float32 carries seven digits, of which a difference over a
        step of 1e-4 leaves three; build the layer with dtype=numpy.float64.
    ShapeError
        If a gradient has another shape than its array.
    ValueError
        If an input or the output is not finite, if a number is out of range, or if the target
        returns something else each time it is called.

    Warns
    -----
    KinkWarning
        If elements sit on a kink.  They are listed in the report and not counted as failures.

    References
    ----------
    Griewank & Walther, "Evaluating Derivatives", 2nd edition, 2008, chapter 1.

    Examples
    --------
    >>> from npcnn.gradient_check import gradcheck
    >>> def product(x, w):
    ...     return x @ w
    >>> def product_backward(dy, x, w):
    ...     return dy @ w.T, x.T @ dy
    >>> x, w = np.arange(6.0).reshape(2, 3), np.ones((3, 4))
    >>> gradcheck(product, x, w, backward=product_backward).ok
    True
    >>> def twice_too_much(dy, x, w):
    ...     return dy @ w.T, 2 * x.T @ dy
    >>> report = gradcheck(product, x, w, backward=twice_too_much)
    >>> report.ok, report.worst.name, round(report.worst.relative_error, 3)
    (False, 'w', 0.333)
    """
    _positive(eps, "eps")
    _positive(tolerance, "tolerance")
    if max_elements is not None and max_elements < 1:
        raise ValueError(f"max_elements must be None (all) or at least 1, got {max_elements}")
    rng = np.random.default_rng(seed)
    subject = subject_of(target, inputs, backward)
    try:
        y = subject.output()
        dy = rng.standard_normal(y.shape)
        gradients = subject.gradients(dy.copy())
        _refuse_randomness(y, subject.output())
        differences = Differences(subject.output, y, dy, eps, tolerance)
        checks = [
            _check_array(name, array, gradient, differences, tolerance, max_elements, rng)
            for name, array, gradient in zip(subject.names, subject.arrays, gradients, strict=True)
            if gradient is not None
        ]
        # What the last forward kept belongs to a moved parameter; a backward uses it up.
        subject.gradients(dy.copy())
    finally:
        subject.restore()
    report = GradcheckReport(_title(target), float(tolerance), tuple(checks))
    if report.kinks:
        warnings.warn(
            f"{len(report.kinks)} element(s) were not judged, the first: {report.kinks[0]}; "
            "move the point off the kink, for example by random numbers without ties",
            KinkWarning,
            stacklevel=2,
        )
    return report


def _check_array(
    name: str,
    array: Array,
    gradient: Array,
    differences: Differences,
    tolerance: float,
    max_elements: int | None,
    rng: np.random.Generator,
) -> ArrayCheck:
    """Compare the gradient of one array with its differences."""
    chosen = np.arange(array.size)
    if max_elements is not None and max_elements < array.size:
        chosen = np.sort(rng.choice(array.size, max_elements, replace=False))
    indices, numbers, kinks = [], [], []
    floor = _FLOOR_OF_OUTPUT * differences.scale
    for flat in chosen:
        index = tuple(int(i) for i in np.unravel_index(flat, array.shape))
        slope = differences.slope(array, index, floor)
        if slope.on_kink:
            kinks.append(Kink(name, index, slope.left, slope.right, float(gradient[index])))
            continue
        indices.append(index)
        numbers.append(slope.numeric)
        if math.isfinite(slope.numeric):
            floor = max(floor, _FLOOR_OF_ARRAY * abs(slope.numeric))
    if not indices:
        return ArrayCheck(name, array.size, 0, 0, tuple(kinks), 0.0, None, 0.0, 0.0)

    numeric = np.array(numbers)
    analytic = np.array([gradient[index] for index in indices])
    size = np.maximum(np.abs(analytic) + np.abs(numeric), floor)
    gap = np.abs(analytic - numeric)
    with np.errstate(invalid="ignore"):  # inf / inf; NaN is as wrong as can be
        errors = np.divide(gap, size, out=np.zeros_like(gap), where=gap != 0)
    errors[np.isnan(errors)] = np.inf
    worst = int(errors.argmax())
    return ArrayCheck(
        name,
        array.size,
        len(indices),
        int((errors > tolerance).sum()),
        tuple(kinks),
        float(errors[worst]),
        indices[worst],
        float(analytic[worst]),
        float(numeric[worst]),
    )


def _refuse_randomness(first: Array, second: Array) -> None:
    """Raise unless two evaluations at one point agree."""
    if not np.isfinite(first).all():
        raise ValueError("the output of the target must be finite, but holds NaN or infinity")
    gap = float(np.abs(first - second).max(initial=0.0))
    if not gap <= 1e-10 * float(np.abs(first).max(initial=0.0)):
        raise ValueError(
            f"the target returned something else the second time (by {gap:.3g}); differences need "
            "a fixed function: keep random generators as attributes of the layer "
            "(numpy.random.Generator), where gradcheck can wind them back"
        )


def _positive(value: float, name: str) -> None:
    """Raise unless `value` is a positive, finite number."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a positive number, got {value!r}")


def _title(target: Any) -> str:
    """Name the target in a few words."""
    text = getattr(target, "__name__", None) or repr(target)
    return text if len(text) <= 60 and "\n" not in text else type(target).__name__
