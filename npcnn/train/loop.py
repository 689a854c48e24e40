"""The training loop: where data meets a network.

`fit` takes batches from an iterator and does one step after another:
forward, loss, backward, optimizer.  Everything that only watches - progress
bars, logs, checkpoints, evaluation - is a callback that is handed each `StepResult`.
"""

from __future__ import annotations

import functools
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn import weights
from npcnn.clipping import gradient_length
from npcnn.evaluation import checked_batch
from npcnn.functional import batch_parts, softmax_cross_entropy
from npcnn.functional.batch_parts import WHOLE, Cut
from npcnn.functional.checks import exact_shape, integer, number, shown
from npcnn.layers import Layer
from npcnn.train.diagnosis import first_not_finite
from npcnn.train.generators import generator_states, set_generator_states

Array: TypeAlias = NDArray[Any]
Batch: TypeAlias = tuple[Array, Array]
# From outputs and targets to the value and its gradient with respect to the outputs.
Loss: TypeAlias = Callable[[Array, Array], tuple[float, Array]]


class Network(Protocol):
    """What `fit` and `evaluate` need of a network."""

    @property
    def params(self) -> dict[str, Array]:
        """The parameters by name."""

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients by name."""

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the logits."""

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients."""


class Optimizer(Protocol):
    """What `fit` needs of an optimizer."""

    def step(self) -> None:
        """Change the parameters by their gradients."""


@dataclass(frozen=True)
class StepResult:
    """What one training step showed.

    Attributes
    ----------
    step : int
        Number of the step, from 1.
    loss : float
        Loss of the batch, before the step changed the weights.
    accuracy : float
        Share of the batch classified correctly, also before the step; NaN if the loss knows no classes.
    images : int
        Pictures in the batch.
    seconds : float
        Time since the training began.
    gradient_norm : float
        Euclidean length of all gradients together, before the optimizer clips them.
    images_per_second : float
        Pictures of this step divided by the time since the one before, callbacks and waiting for data included.
    """

    step: int
    loss: float
    accuracy: float
    images: int
    seconds: float
    gradient_norm: float
    images_per_second: float


Callback: TypeAlias = Callable[[StepResult], None]


class StopTraining(Exception):
    """Raised by a callback to end `fit` after this step, with everything learnt kept."""


class NonFiniteError(ArithmeticError):
    """The loss or a gradient became NaN or infinite; the weights are those from before the step.

    Attributes
    ----------
    step : int
        The step that failed.
    where : str
        Where the first NaN or infinity is, such as the output of a layer or a gradient.
    x, labels : ndarray
        The batch.
    """

    def __init__(self, message: str, *, step: int, where: str, x: Array, labels: Array) -> None:
        super().__init__(message)
        self.step, self.where, self.x, self.labels = step, where, x, labels


def fit(
    net: Network,
    batches: Iterator[Batch],
    optimizer: Optimizer,
    *,
    steps: int,
    loss: Loss = softmax_cross_entropy,
    callbacks: Iterable[Callback] = (),
    start: int = 0,
    seconds: float = 0.0,
    save_batch: str | Path | None = None,
    cut: Cut = WHOLE,
) -> int:
    """Train a network, by default a classifier with softmax cross-entropy.

    Parameters
    ----------
    net : Network
        Gives logits, shape (N, classes), or whatever else the loss takes.
    batches : iterator of (x, labels)
        As `npcnn.datasets.TrainingBatches` gives them; in place of the labels, whatever else the loss takes.
    optimizer : Optimizer
        Made for `net`, or for a part of it.
    steps : int
        Number of the last step, counting the `start` steps done before.
    loss : callable
        Takes the outputs of the network and the labels of a batch, and returns the value and the gradient with respect
        to the outputs: `npcnn.functional.softmax_cross_entropy` or `mean_squared_error`, with their options by
        ``functools.partial(softmax_cross_entropy, label_smoothing=0.1)``, or a function of your own.
    callbacks : iterable of callable
        Each is called with the `StepResult` of every step, in order; one that raises
        `StopTraining` ends the training after all have been called.
    start, seconds : int, float
        Steps done before this call, and the time they took, for a training that is resumed.
    save_batch : str or Path, optional
        Safetensors file for the batch that makes the loss or a gradient NaN or infinite.
    cut : Cut
        How each batch is cut into parts, which other ranks may share; by default not at all.  `batches` are to be cut
        like this too.  The loss is then the mean of those of the parts, which must be what the loss of a batch is.  The
        training ends as soon as a callback of any rank wants it to.

    Returns
    -------
    int
        Number of the last step done; less than `steps` when a callback stopped the training or the batches ran out.

    Raises
    ------
    NonFiniteError
        If the loss or a gradient is NaN or infinite; it says in which layer that began.
    TypeError, ValueError
        If `steps` or `start` is not an integer of at least 0, `net` is no network, `batches` is no iterator of
        pairs, a batch is empty, `optimizer` was made for another network, or `loss` is no such function; with a
        batch in parts also if a layer does not sum by parts, the loss is no mean over the pictures, or the ranks do not
        begin with the same weights.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, rng=rng))
    >>> x = rng.standard_normal((8, 2, 2, 1)).astype(np.float32)
    >>> labels = (x[:, 0, 0, 0] > 0).astype(np.int64)
    >>> losses = []
    >>> nn.train.fit(net, iter([(x, labels)] * 50), nn.SGD(net, lr=1.0), steps=50,
    ...              callbacks=[lambda result: losses.append(result.loss)])
    50
    >>> losses[-1] < losses[0]
    True
    """
    start, steps = integer(start, "start", minimum=0), integer(steps, "steps", minimum=0)
    _check_parts(net, batches, optimizer)
    _check_loss(loss)
    _check_cut(cut, net)
    callbacks = tuple(callbacks)
    begin = last = time.perf_counter() - number(seconds, "seconds", minimum=0)
    if seconds:
        last = time.perf_counter()
    for step in range(start + 1, steps + 1):
        batch = next(batches, None)
        if batch is None:
            return step - 1
        x, labels = checked_batch(batch)
        if not len(labels):
            raise ValueError(f"the batch of step {step} must hold at least one picture, got none")
        states = generator_states(net)
        with batch_parts.used(cut):
            outputs = net.forward(x, training=True)
            if step == start + 1:
                _check_mean(cut, loss, outputs, labels)
            value, accuracy, gradient = _by_parts(cut, loss, outputs, labels)
            gradient_norm = math.nan
            if math.isfinite(value):
                net.backward(gradient, need_dx=False)
                cut.complete()
                gradient_norm = gradient_length(net.grads)
        if not math.isfinite(gradient_norm):
            set_generator_states(net, states)
            # All pictures in one place: the same bits again, without the others.
            x, labels = (np.concatenate(shares) for shares in zip(*cut.ranks.gather((x, labels)), strict=True))
            with batch_parts.used(Cut(cut.parts)):
                where = first_not_finite(net, x, labels, loss)
            raise _not_finite(where, step, value, x, labels, save_batch if cut.ranks.number == 0 else None)
        optimizer.step()
        now, images = time.perf_counter(), len(labels) * cut.ranks.count
        speed, last = images / max(now - last, 1e-9), now
        result = StepResult(step, value, accuracy, images, now - begin, gradient_norm, speed)
        stop = np.array([_stops(callbacks, result)], np.float64)
        if cut.ranks.combined(stop, np.maximum)[0]:
            return step
    return max(start, steps)


def _check_parts(net: Any, batches: Any, optimizer: Any) -> None:
    missing = [name for name in ("params", "grads", "forward", "backward") if not hasattr(net, name)]
    if missing:
        raise TypeError(f"net must be a network; {type(net).__name__} has no {', no '.join(missing)}")
    if not hasattr(batches, "__next__"):
        raise TypeError(
            f"batches must be an iterator of (x, labels), got {type(batches).__name__}; draw them with "
            "npcnn.datasets.TrainingBatches, or pass iter(batches) for a list of batches and "
            "itertools.repeat((x, labels)) for the same batch at every step"
        )
    trained = getattr(optimizer, "net", net)
    # An optimizer of one layer may be intended: the rest of the network is kept as it is.
    if trained is not net and not any(
        np.may_share_memory(theirs, ours) for theirs in trained.params.values() for ours in net.params.values()
    ):
        raise ValueError(
            f"optimizer was made for another network, and would leave net as it is; "
            f"make one for it: {type(optimizer).__name__}(net)"
        )


def _check_cut(cut: Cut, net: Any) -> None:
    """Raise an error if a network cannot be trained on batches in parts, or not by these ranks."""
    if cut.is_whole:
        return
    layers = list(net.walk()) if isinstance(net, Layer) else [("", net)]
    for name, layer in layers:
        arrays = [*getattr(layer, "_params", ()), *getattr(layer, "_state", ())]
        if (arrays or hasattr(layer, "rng") or not isinstance(layer, Layer)) and not getattr(
            layer, "sums_by_parts", False
        ):
            raise TypeError(
                f"parts={cut.parts} needs layers that sum by parts, and {name or 'net'}, {type(layer).__name__}, does "
                "not say that it does; see docs/many-machines.md, or train with parts=1"
            )
    weights_of = {name: array.tobytes() for name, array in getattr(net, "arrays", net.params).items()}
    digest = hashlib.sha256(b"".join(weights_of.values())).hexdigest()
    others = cut.ranks.gather(digest)
    if other := next((number for number, theirs in enumerate(others) if theirs != others[0]), None):
        raise ValueError(
            f"the weights of rank {other} are not those of rank 0; make the network with the same rng in all of them"
        )


def _check_mean(cut: Cut, loss: Loss, outputs: Array, labels: Array) -> None:
    """Raise an error if a loss is no mean: that of the pictures of one part, taken twice, is then another."""
    if cut.is_whole:
        return
    part = cut.pictures(len(labels))[0]
    once, _ = _value_and_gradient(loss, outputs[part], labels[part])
    twice, _ = _value_and_gradient(loss, *(np.concatenate([array[part]] * 2) for array in (outputs, labels)))
    if math.isfinite(once) and not math.isclose(once, twice, rel_tol=1e-3, abs_tol=1e-6):
        raise ValueError(
            f"with parts={cut.parts} the loss must be a mean over the pictures; for pictures taken twice it is "
            f"{twice:g} instead of {once:g}: divide by their number, or train with parts=1"
        )


def _by_parts(cut: Cut, loss: Loss, outputs: Array, labels: Array) -> tuple[float, float, Array]:
    """Return loss and accuracy of the whole batch, and the gradient of the pictures that are here."""
    if cut.is_whole:
        value, gradient = _value_and_gradient(loss, outputs, labels)
        return value, _accuracy(loss, outputs, labels), gradient
    gradients = []

    def of_part(pictures: slice) -> Array:
        value, gradient = _value_and_gradient(loss, outputs[pictures], labels[pictures])
        gradients.append(gradient / gradient.dtype.type(cut.parts))
        return np.array([value, _accuracy(loss, outputs[pictures], labels[pictures])])

    value, accuracy = cut.total(of_part, len(labels)) / cut.parts
    return float(value), float(accuracy), np.concatenate(gradients)


def _stops(callbacks: tuple[Callback, ...], result: StepResult) -> bool:
    """Call all callbacks; return whether one wants the training to end."""
    stop = False
    for callback in callbacks:
        try:
            callback(result)
        except StopTraining:
            stop = True
    return stop


def _not_finite(
    where: str, step: int, loss: float, x: Array, labels: Array, save_batch: str | Path | None
) -> NonFiniteError:
    """Return the error that says where the NaN or infinity of this batch began; save the batch."""
    what = f"the loss is {loss}" if not math.isfinite(loss) else "a gradient is not finite"
    in_data = not np.isfinite(x).all()
    advice = "correct the data" if in_data else "a smaller learning rate usually helps"
    message = (
        f"{what} at step {step}: the first NaN or infinity is in {where}; {advice}. "
        "The weights are those from before this step"
    )
    if save_batch is not None:
        weights.save({"x": x, "labels": labels}, save_batch)
        message += f", its batch is in {save_batch}"
    return NonFiniteError(message, step=step, where=where, x=x, labels=labels)


def evaluate(net: Network, batches: Iterable[Batch], *, loss: Loss = softmax_cross_entropy) -> tuple[float, float]:
    """Return mean loss and accuracy of a network over all batches.

    Parameters
    ----------
    net : Network
        Gives logits, shape (N, classes), or whatever else the loss takes.
    batches : iterable of (x, labels)
        As `npcnn.datasets.evaluation_batches` gives them; together at least one picture.  An empty batch is skipped.
    loss : callable
        As for `fit`.

    Returns
    -------
    loss, accuracy : float
        Means over the pictures, not over the batches.  The accuracy is NaN if the loss knows no classes, as
        `mean_squared_error` does not; a soft label counts as its likeliest class.

    Raises
    ------
    ValueError
        If there is no picture.
    TypeError
        If a batch is not a pair (x, labels), or `loss` is no loss.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, weight_init=nn.initializers.constant(0.0)))
    >>> x = np.zeros((3, 2, 2, 1), np.float32)
    >>> loss, accuracy = nn.train.evaluate(net, [(x, np.array([0, 0, 1]))])
    >>> round(loss, 4), round(accuracy, 4)               # log 2; the first class is right twice
    (0.6931, 0.6667)
    """
    _check_loss(loss)
    images, loss_sum, right = 0, 0.0, 0.0
    for x, labels in map(checked_batch, batches):
        if not len(labels):
            continue
        outputs = net.forward(x)
        value, _ = _value_and_gradient(loss, outputs, labels)
        images += len(labels)
        loss_sum += value * len(labels)
        right += _accuracy(loss, outputs, labels) * len(labels)
    if images == 0:
        raise ValueError("batches must hold at least one picture, got none")
    return loss_sum / images, right / images


def _check_loss(loss: Any) -> None:
    if not callable(loss):
        raise TypeError(
            f"loss must be a function (outputs, labels) -> (value, gradient), got {shown(loss)}; "
            "pass npcnn.functional.softmax_cross_entropy or one of your own"
        )


def _value_and_gradient(loss: Loss, outputs: Array, labels: Array) -> tuple[float, Array]:
    """Return what the loss gives, checked: it may be the user's."""
    both = loss(outputs, labels)
    if not (isinstance(both, tuple | list) and len(both) == 2 and isinstance(both[1], np.ndarray)):
        raise TypeError(
            "loss must return two things, its value and an array, the gradient with respect to the outputs; "
            f"got {shown(both)}"
        )
    value, gradient = both
    exact_shape(gradient, "the gradient that loss returns", outputs.shape, "the shape of the outputs")
    return float(value), gradient


def _accuracy(loss: Any, outputs: Array, labels: Array) -> float:
    """Return the share of the rows that are classified correctly; NaN if there are no classes."""
    while isinstance(loss, functools.partial):
        loss = loss.func
    labels = np.asarray(labels)
    numbered = labels.dtype.kind in "iu" and labels.ndim == 1 and outputs.ndim == 2 and outputs.shape[1] > 1
    # Rows of floats are probabilities of classes only if the loss takes them for that.
    if not (numbered or loss is softmax_cross_entropy):
        return math.nan
    right = labels if labels.ndim == 1 else labels.argmax(axis=1)
    return float((outputs.argmax(axis=1) == right).mean())
