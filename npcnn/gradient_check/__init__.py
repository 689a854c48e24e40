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
is worth nothing.  A kink shows in how far apart D(h) and D(h/2) are, and in
whether the two one-sided slopes approach each other as they should.  While they
do not, or while a step lands where the output is not finite, h is cut to a
tenth, up to four times.  If the one-sided slopes still keep their distance, the
point sits on a kink, or so close to one (some 1e-8) that rounding hides what
lies before it: there is no gradient to compare with, and the element is
reported, not judged.  If both shrink with h instead, as those of max(x, 0)^2 at
0 do, the slope is 0.

*Relative error.*  ``|a - n| / max(|a| + |n|, floor)``, for the analytic value a
and the numeric value n.  The floor is set by the outputs that move with the
element, however large the others are: 1e-4 of the largest ``|output * dy|`` among
them, because below that we would measure the rounding of the differences
themselves, and at least a thousandth of the largest numeric gradient of any
element of the same array that moves one of them.  A correct operation stays
below 1e-7, a network with many ReLUs below 1e-6 (the step must shrink until it
crosses no kink, and then rounding is felt); a wrong gradient is usually off by
a per cent or more.

*What numbers do not show.*  A layer may compute the right gradient and still
train wrongly.  So backward runs twice, with `grads` full of zeros and then of
NaN: what it adds to instead of writing it, what it leaves as it was, and what
depends on earlier calls differs between the two, so it fails, with a remark.  A
forward or backward that changes `x`, `dy` or a parameter raises ValueError:
another layer still needs that array, and there is no fixed point to check at.

Check at a small point: a batch of one or two pictures, random numbers,
`max_elements` for a large network.

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

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.functional.checks import integer
from npcnn.gradient_check.differences import Array, Differences
from npcnn.gradient_check.report import (
    ArrayCheck,
    GradcheckReport,
    GradientError,
    Kink,
    KinkWarning,
)
from npcnn.gradient_check.subjects import subject_of
from npcnn.schedules import positive

__all__ = [
    "ArrayCheck",
    "GradcheckReport",
    "GradientError",
    "Kink",
    "KinkWarning",
    "gradcheck",
]


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
    random generators of the layers (which are rewound before each evaluation, so that dropout
    drops the same units each time).

    Parameters
    ----------
    target : layer or callable
        What to check.
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
        4 to 22 evaluations of the target.
    seed : int
        For `dy` and for the choice of elements; the same seed gives the same report.

    Returns
    -------
    GradcheckReport
        Whether the gradients are right is in its `ok`; nothing is raised for one that is wrong, adds
        to what was there before or is never set.  Call `raise_if_failed()` in a test.

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
        If an input or the output is not finite, if a number is out of range, if the target returns
        something else each time it is called, or if it changes `x`, `dy` or a parameter.

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
    eps, tolerance = positive(eps, "eps"), positive(tolerance, "tolerance")
    if max_elements is not None:
        max_elements = integer(max_elements, "max_elements", minimum=1)
    rng = np.random.default_rng(seed)
    subject = subject_of(target, inputs, backward)
    try:
        y = subject.output()
        dy = rng.standard_normal(y.shape)
        gradients = subject.gradients(dy)
        _refuse_randomness(y, subject.output())
        second = subject.gradients(dy, stale=np.nan)
        checks = []
        for name, array, gradient, again in zip(subject.names, subject.arrays, gradients, second, strict=True):
            if gradient is not None and again is not None:
                differences = Differences(array, subject.output, y, dy, eps, tolerance)
                remark = _remark(name, gradient, again, subject.writes_grads and array is not subject.arrays[0])
                checks.append(_check_array(name, gradient, differences, max_elements, rng, remark))
        # What the last forward kept belongs to a moved element, or is used up.
        subject.output()
        subject.gradients(dy)
    finally:
        subject.restore()
    report = GradcheckReport(_title(target), tolerance, tuple(checks))
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
    gradient: Array,
    differences: Differences,
    max_elements: int | None,
    rng: np.random.Generator,
    remark: str,
) -> ArrayCheck:
    """Compare the gradient of one array with its differences."""
    chosen = np.arange(gradient.size)
    if max_elements is not None and max_elements < gradient.size:
        chosen = np.sort(rng.choice(gradient.size, max_elements, replace=False))
    indices, slopes, kinks = [], [], []
    for flat in chosen:
        index = tuple(int(i) for i in np.unravel_index(flat, gradient.shape))
        slope = differences.slope(index)
        if slope.on_kink:
            kinks.append(Kink(name, index, slope.left, slope.right, float(gradient[index])))
        else:
            indices.append(index)
            slopes.append(slope)
    if not slopes:
        return ArrayCheck(name, gradient.size, 0, 0, tuple(kinks), 0.0, None, 0.0, 0.0, remark)

    numeric = np.array([slope.numeric for slope in slopes])
    analytic = np.array([gradient[index] for index in indices])
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf; NaN is as wrong as can be
        size = np.maximum(np.abs(analytic) + np.abs(numeric), [differences.floor(slope.moved) for slope in slopes])
        gap = np.abs(analytic - numeric)
        errors = np.divide(gap, size, out=np.zeros_like(gap), where=gap != 0)
    errors[np.isnan(errors)] = np.inf
    if not np.isfinite(numeric).all():
        remark = remark or "the output is not finite so near to an element; pass a smaller eps, or another point"
    worst = int(errors.argmax())
    return ArrayCheck(
        name,
        gradient.size,
        len(indices),
        int((errors > differences.tolerance).sum()),
        tuple(kinks),
        float(errors[worst]),
        indices[worst],
        float(analytic[worst]),
        float(numeric[worst]),
        remark,
    )


def _remark(name: str, first: Array, second: Array, in_grads: bool) -> str:
    """Say what is wrong if two backward passes differ; the first began with grads full of 0, the second of NaN."""
    largest = float(np.abs(first).max(where=np.isfinite(first), initial=0.0))
    if np.allclose(first, second, rtol=0, atol=1e-10 * largest, equal_nan=True):
        return ""
    stale = np.isnan(second) & ~np.isnan(first)
    if not (in_grads and stale.any()):
        return (
            "backward gave another gradient the second time, after the same forward and with the same dy; compute it "
            "from these two alone, and keep no sums of earlier calls"
        )
    if first[stale].any():
        return (
            f"backward adds to grads[{name!r}] instead of writing it, so the gradient grows from step to step; "
            "write it with [...] = instead of +="
        )
    return (
        f"backward leaves {np.count_nonzero(stale)} of the {stale.size} elements of grads[{name!r}] as they were; "
        "write all of them, and 0 where the output does not depend on a parameter"
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


def _title(target: Any) -> str:
    """Name the target in a few words."""
    text = getattr(target, "__name__", None) or repr(target)
    return text if len(text) <= 60 and "\n" not in text else type(target).__name__
