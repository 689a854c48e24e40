"""Training on a data set: so many epochs, an evaluation after each, on pictures held back from the training."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from npcnn import prediction
from npcnn.datasets import Dataset, TrainingBatches, evaluation_batches
from npcnn.datasets.steps import Function
from npcnn.functional import softmax_cross_entropy
from npcnn.functional.checks import integer, number, shown
from npcnn.layers import Layer
from npcnn.train import loop
from npcnn.train.callbacks import Evaluation, Progress
from npcnn.train.history import History
from npcnn.train.logs import Log
from npcnn.train.loop import Batch, Callback, Loss, Network, Optimizer


@overload
def fit(
    net: Network,
    data: Iterator[Batch],
    optimizer: Optimizer,
    *,
    steps: int,
    loss: Loss = ...,
    callbacks: Iterable[Callback] = ...,
    start: int = ...,
    seconds: float = ...,
    save_batch: str | Path | None = ...,
) -> int: ...


@overload
def fit(
    net: Layer,
    data: Dataset,
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int = ...,
    augment: Sequence[Function] = ...,
    validation: float = ...,
    seed: int = ...,
    loss: Loss = ...,
    callbacks: Iterable[Callback] = ...,
    save_batch: str | Path | None = ...,
) -> History: ...


def fit(
    net: Any, data: Any, optimizer: Any, *, steps: int | None = None, epochs: int | None = None, **options: Any
) -> Any:
    """Train a network: for some epochs on a data set, or for some steps on batches.

    ``fit(net, data, optimizer, epochs=20)`` draws the batches itself, evaluates after each epoch, and lets the network
    remember what it was trained on, for `npcnn.prediction.classify`.  ``fit(net, batches, optimizer, steps=15_000)``
    takes them from an iterator, for full control; `npcnn.train.Run` does the same in a folder, with checkpoints.

    Parameters
    ----------
    net : Layer
        Gives logits, shape (N, classes), or whatever else the loss takes.
    data : Dataset, or iterator of (x, labels)
        What to train on; batches as `npcnn.datasets.TrainingBatches` gives them.
    optimizer : Optimizer
        Made for `net`, or for a part of it.
    steps, epochs : int
        Number of the last step, for batches; or how often to go through the data set.
    batch_size : int
        Pictures in a batch, 128 by default (or all there are).  This and the next three are for a data set only.
    augment : list of functions
        What happens to the pictures in training only; see `npcnn.datasets.steps`.
    validation : float
        Share of the training pictures of each class to hold back for the evaluations, from 0, the default, to below 1.
        With 0 they are of the test pictures.
    seed : int
        Of the order of the pictures, of what `augment` draws, and of which are held back; 0 by default.
    loss : callable
        Takes the outputs of the network and the labels of a batch, and returns the value and the gradient with respect
        to the outputs: by default `npcnn.functional.softmax_cross_entropy`; with options, use ``functools.partial``.
    callbacks : iterable of callable
        Each is called with the `StepResult` of every step, in order; one that raises `StopTraining` ends the training
        after all have been called.  With a data set, those that are a `Log` are told of the evaluations, and closed.
    start, seconds : int, float
        Steps done before this call, and the time they took, for a training on batches that is resumed.
    save_batch : str or Path, optional
        Safetensors file for the batch that makes the loss or a gradient NaN or infinite.

    Returns
    -------
    History or int
        With a data set every step and evaluation, which ``.plot()`` draws.  With batches the number of the last step
        done; less than `steps` when a callback stopped the training or the batches ran out.

    Raises
    ------
    NonFiniteError
        If the loss or a gradient is NaN or infinite; it says in which layer that began.
    TypeError, ValueError
        If an argument is not of the form above or does not belong to what `data` is, or `optimizer` was made for
        another network.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.integers(0, 128, (60, 4, 4, 1), np.uint8), np.arange(60) % 2
    >>> x[y == 1] += 128                                 # the pictures of one class are bright
    >>> data = nn.datasets.from_arrays(x, y, x, y, steps=[nn.datasets.steps.standardise(mean=128, deviation=64)])
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(16, 2, rng=rng))
    >>> history = nn.train.fit(net, data, nn.Adam(net, 0.1), epochs=10, batch_size=20, validation=0.2)
    >>> history.evaluations[-1]["test_accuracy"]
    1.0

    The same on batches:

    >>> batches = iter([(data.inputs(x), y)] * 30)
    >>> nn.train.fit(net, batches, nn.Adam(net, 1e-2), steps=30)
    30
    """
    if isinstance(data, Dataset):
        if epochs is None or steps is not None:
            raise TypeError("with a Dataset say epochs=, how often to go through it; steps= is for batches")
        return _fit_epochs(net, data, optimizer, epochs=epochs, **options)
    if steps is None or epochs is not None:
        hint = "" if hasattr(data, "__next__") else f"; got {shown(data)} in place of either"
        raise TypeError(f"with batches say steps=, the number of the last one; epochs= is for a Dataset{hint}")
    return loop.fit(net, data, optimizer, steps=steps, **options)


def _fit_epochs(
    net: Layer,
    data: Dataset,
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int | None = None,
    augment: Sequence[Function] = (),
    validation: float = 0.0,
    seed: int = 0,
    loss: Loss = softmax_cross_entropy,
    callbacks: Iterable[Callback] = (),
    save_batch: str | Path | None = None,
) -> History:
    epochs, seed = integer(epochs, "epochs", minimum=1), integer(seed, "seed", minimum=0)
    training, held_back = hold_back(data.train_labels, number(validation, "validation", minimum=0, below=1), seed)
    if batch_size is None:
        batch_size = min(128, len(training))
    evaluated = functools.partial(evaluation_batches, data)
    if len(held_back):
        evaluated = functools.partial(
            evaluation_batches, data.train_images, data.train_labels, steps=data.steps, only=held_back
        )
    elif not len(data.test_labels):
        raise ValueError("validation must be above 0 for data without test pictures, got 0")
    with ExitStack() as stack:
        batches = stack.enter_context(
            TrainingBatches(data, batch_size=batch_size, augment=augment, only=training, seed=seed)
        )
        steps_of_epoch = max(len(training) // batch_size, 1)
        callbacks = tuple(callbacks)
        history = History()
        logs = [history, *(stack.enter_context(log) for log in callbacks if isinstance(log, Log))]
        for log in logs:
            log.evaluated_on = "validation" if len(held_back) else "test"
            if isinstance(log, Progress) and log.steps is None:
                log.steps = epochs * steps_of_epoch
        evaluation = Evaluation(net, evaluated, every=steps_of_epoch, logs=logs, loss=loss)
        prediction.remember(net, data)
        loop.fit(
            net,
            batches,
            optimizer,
            steps=epochs * steps_of_epoch,
            loss=loss,
            callbacks=[history, evaluation, *callbacks],
            save_batch=save_batch,
        )
    return history


def hold_back(labels: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the pictures to train on, and of those to hold back: the share of each class, drawn.

    Raises
    ------
    ValueError
        If a class would have no picture to train on, or with a share above 0 nothing is held back.

    Examples
    --------
    >>> from npcnn.train.epochs import hold_back
    >>> training, held_back = hold_back(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
    >>> len(training), len(held_back)
    (6, 2)
    """
    rng = np.random.default_rng([seed, 2])
    held: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        count = int(share * len(places) + 0.5)
        if count == len(places):
            raise ValueError(
                f"validation must leave pictures of each class to train on, got {share} of class {label}'s"
            )
        held.append(rng.permutation(places)[:count])
    held_back = np.sort(np.concatenate(held))
    if share and not len(held_back):
        raise ValueError(f"validation must hold back at least one picture, got {share} of {len(labels)}")
    return np.setdiff1d(np.arange(len(labels)), held_back), held_back
