"""From pictures to batches, and a thread that stays ahead; TensorFlow's two CIFAR-10 pipelines as lists of steps.

`INPUTS` cuts out the middle and standardises: what the article trains and everybody evaluates on.
`DISTORTED_INPUTS` first cuts out any part, mirrors, and changes brightness and contrast.

Every batch of a training is a function of (seed, number of the batch) alone.  The order of an epoch is a
permutation drawn from (seed, epoch), the distortions of a batch are drawn from (seed, batch), or those of each of its
parts from (seed, batch, part): so the thread may run ahead as it likes, and a training that was interrupted goes on
with the batch it would have had.

Source: TensorFlow's tutorial ``models/tutorials/image/cifar10/cifar10_input.py``.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npcnn.datasets import checks
from npcnn.datasets.dataset import Dataset
from npcnn.datasets.steps import (
    Function,
    Origin,
    apply,
    brightness,
    checked,
    contrast,
    crop,
    mirror,
    random_crop,
    standardise,
)
from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.batch_parts import WHOLE, Cut
from npcnn.functional.checks import boolean, integer, shown
from npcnn.functional.exchange import as_array

CROP = 24
INPUTS = (crop(CROP), standardise())
DISTORTED_INPUTS = (random_crop(CROP), mirror(), brightness(63), contrast(0.2, 1.8), standardise())
PIPELINES: dict[str, tuple[Function, ...]] = {"inputs": INPUTS, "distorted": DISTORTED_INPUTS}

Pictures: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]


def inputs(images: NDArray[np.uint8], rng: np.random.Generator | None = None) -> Floats:
    """Cut out the middle 24 x 24 pixels and standardise each picture: the steps of `INPUTS`.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C), uint8, at least 24 x 24
        Pictures.
    rng : numpy.random.Generator, optional
        Not used; there so that both pipelines are called alike.

    Returns
    -------
    ndarray, shape (N, 24, 24, C), float32
        See `npcnn.datasets.steps.standardise`.

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `images` is not such an array.

    Examples
    --------
    >>> x = nn.datasets.inputs(np.arange(3072, dtype=np.uint8).reshape(1, 32, 32, 3))
    >>> x.shape, abs(float(x.mean())) < 1e-6, round(float(x.std()), 4)
    ((1, 24, 24, 3), True, 1.0)
    """
    return apply(INPUTS, _cifar_pictures(images))


def distorted_inputs(images: NDArray[np.uint8], rng: np.random.Generator) -> Floats:
    """Cut out 24 x 24 pixels anywhere, mirror half of them, change brightness and contrast, standardise.

    Brightness adds a number from -63 to 63 to a picture; contrast c from 0.2 to 1.8 moves each channel away
    from or towards its mean, mean + c * (x - mean).  As in TensorFlow nothing is clipped to 0 to 255.  These are the
    steps of `DISTORTED_INPUTS`.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C), uint8, at least 24 x 24
        Pictures.
    rng : numpy.random.Generator
        Source of all the choices.

    Returns
    -------
    ndarray, shape (N, 24, 24, C), float32
        See `npcnn.datasets.steps.standardise`.

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If `images` is not such an array, or `rng` not a generator.

    Examples
    --------
    >>> images = np.arange(6144, dtype=np.uint8).reshape(2, 32, 32, 3)
    >>> nn.datasets.distorted_inputs(images, np.random.default_rng(0)).shape
    (2, 24, 24, 3)
    """
    return apply(DISTORTED_INPUTS, _cifar_pictures(images), rng)


def _cifar_pictures(images: Any) -> NDArray[np.uint8]:
    images = as_array(images, "images")
    if not isinstance(images, np.ndarray):
        raise TypeError(f"images must be a numpy.ndarray (N, H, W, C), got {type(images).__name__}")
    if images.dtype != np.uint8:
        raise DTypeError(f"images must be uint8, as the files hold them, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] < CROP or images.shape[2] < CROP or images.shape[3] == 0:
        raise ShapeError(f"images must be (N, H, W, C), at least {CROP} x {CROP}, got {images.shape}")
    return images


def _resolved(
    images: Dataset | Pictures, labels: ArrayLike | None, steps: Sequence[Function] | None, *, training: bool
) -> tuple[Pictures, Labels, tuple[Function, ...]]:
    """Return the pictures of a data set or an array, their labels, and the steps of both training and evaluation."""
    chosen = None if steps is None else checked(steps, "steps", random=False)
    if isinstance(images, Dataset):
        if labels is not None:
            raise TypeError("labels must be left out with a Dataset, which has its own")
        data = images
        of_training, of_test = (data.train_images, data.train_labels), (data.test_images, data.test_labels)
        return *(of_training if training else of_test), data.steps if chosen is None else chosen
    pictures = checks.pictures(images, "images")
    checks.finite(pictures, "images")
    return pictures, checks.labels(labels, "labels", len(pictures)), INPUTS if chosen is None else chosen


def _chosen(only: Any, count: int) -> NDArray[np.int64]:
    """Return the numbers of the pictures to take."""
    if only is None:
        return np.arange(count)
    chosen = np.asarray(as_array(only, "only"))
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
        raise ValueError(f"only must be one or more numbers of pictures, got {shown(only)}")
    if chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(f"only must be numbers from 0 to {count - 1}, got {chosen.min()} to {chosen.max()}")
    return chosen.astype(np.int64)


class TrainingBatches(Iterator[tuple[Floats, Labels]]):
    """Endless shuffled batches, prepared ahead by a thread.

    Each epoch is a new permutation of all pictures.  Batches are always full: one that an epoch's end cuts
    is filled up from the next epoch, so that no picture is left out, unless `drop_last` says otherwise.

    Any thread may take batches.  The thread that prepares them ends with `close`, with a ``with`` block, or when
    nothing refers to the batches any more.  A process made by fork has no such thread: make new batches there.

    Parameters
    ----------
    images : Dataset, or ndarray, shape (N, H, W, C), uint8 or float32
        A data set, whose training pictures and labels are taken; or pictures.
    labels : array_like, shape (N,), integers
        The classes of the pictures; to be left out with a data set.
    batch_size : int
        Pictures in a batch, at most N.
    augment : list of functions
        What happens to the pictures in training only, such as ``[random_crop(32, padding=4), mirror()]``; see
        `npcnn.datasets.steps`.
    steps : list of functions, optional
        What happens to them after that, in evaluation as well.  By default the steps of the data set, which has none
        unless it was given some; for an array of pictures those of the article, `INPUTS`.
    pipeline : "inputs" or "distorted", optional
        One of the article's two pipelines, in the place of `augment` and `steps`.
    only : ndarray of int, optional
        Numbers of the pictures to take; by default all.
    drop_last : bool
        Whether an epoch ends with its last full batch: the pictures left over are not seen in it.
    seed : int
        Of the order and of what the steps draw.
    start : int
        Number of the first batch: a training that goes on after k steps starts at k.
    ahead : int
        How many batches to prepare ahead.
    cut : Cut
        How a batch is cut into parts, by default not at all; see `npcnn.functional.batch_parts`.  Each part has a
        generator of its own, and where other ranks have parts of the batch, this one's are all that is read and given.

    Attributes
    ----------
    wait_seconds : float
        How long `next` has had to wait for the thread, in all, after the first batch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above, or the steps cannot take the pictures.
    RuntimeError
        By `next`, after `close` (also when it was waiting then) and in a forked process.

    Examples
    --------
    >>> images, labels = np.zeros((6, 28, 28, 1), np.uint8), np.arange(6)
    >>> data = nn.datasets.from_arrays(images, labels, images, labels)
    >>> augment = [nn.datasets.steps.random_crop(28, padding=2), nn.datasets.steps.mirror()]
    >>> with nn.datasets.TrainingBatches(data, batch_size=4, augment=augment) as batches:
    ...     first, second, third = (next(batches)[1] for _ in range(3))
    >>> sorted([*first.tolist(), *second[:2].tolist()])  # the first epoch: each picture once
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self,
        images: Dataset | Pictures,
        labels: ArrayLike | None = None,
        *,
        batch_size: int,
        augment: Sequence[Function] = (),
        steps: Sequence[Function] | None = None,
        pipeline: str | None = None,
        only: NDArray[np.int64] | None = None,
        drop_last: bool = False,
        seed: int = 0,
        start: int = 0,
        ahead: int = 4,
        cut: Cut = WHOLE,
    ) -> None:
        if pipeline is not None and pipeline not in tuple(PIPELINES):
            raise ValueError(f"pipeline must be one of {', '.join(PIPELINES)}, got {shown(pipeline)}")
        if pipeline is not None and (augment or steps is not None):
            raise ValueError("pipeline is given in the place of augment and steps, got all of them")
        self._images, self._labels, for_both = _resolved(images, labels, steps, training=True)
        for_training = checked(augment, "augment", random=True)
        self._steps = PIPELINES[pipeline] if pipeline is not None else (*for_training, *for_both)
        self._batch_size = integer(batch_size, "batch_size", minimum=1)
        self._only = _chosen(only, len(self._images))
        if self._batch_size > (count := len(self._only)):
            raise ValueError(f"batch_size must be at most {count}, the pictures there are, got {batch_size}")
        self._cut, self._places = cut, cut.places(self._batch_size)
        self._of_epoch = count - count % self._batch_size if boolean(drop_last, "drop_last") else count
        self._seed = integer(seed, "seed", minimum=0)
        self.wait_seconds = 0.0
        self._served = 0
        self._ready = _ReadyBatches(integer(ahead, "ahead", minimum=1))
        start = integer(start, "start", minimum=0)
        # Steps that cannot take these pictures are found here, not in the thread.
        nowhere = np.zeros(1, np.int64)
        apply(self._steps, self._images[:1], np.random.default_rng(0), Origin(nowhere, nowhere, self._seed))
        # Forgotten batches could never be collected if their thread held them.
        self._thread = threading.Thread(target=_prepare, args=(weakref.ref(self), self._ready, start), daemon=True)
        self._thread.start()
        weakref.finalize(self, self._ready.close)

    def batch(self, number: int) -> tuple[Floats, Labels]:
        """Return batch `number` of the training, from 0; it depends on nothing but that, the seed, and the parts."""
        parts = [self._part(number, part, places) for part, places in zip(self._cut.own, self._places, strict=True)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([x for x, _ in parts]), np.concatenate([labels for _, labels in parts])

    def _part(self, number: int, part: int, of_batch: range) -> tuple[Floats, Labels]:
        places = number * self._batch_size + np.array(of_batch)
        epochs, offsets = np.divmod(places, self._of_epoch)
        index = np.empty(len(places), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            index[here] = self._only[_permutation(self._seed, int(epoch), len(self._only))[offsets[here]]]
        rng = np.random.default_rng([self._seed, 1, number, *([] if self._cut.is_whole else [part])])
        x = apply(self._steps, self._images[index], rng, Origin(index, epochs, self._seed))
        return x, self._labels[index]

    def __next__(self) -> tuple[Floats, Labels]:
        begin = time.perf_counter()
        item = self._ready.take()
        if self._served:
            self.wait_seconds += time.perf_counter() - begin
        self._served += 1
        if isinstance(item, BaseException):
            self.close()
            raise item
        return item

    def close(self) -> None:
        """Stop the thread; whoever is waiting in `next` gets a RuntimeError."""
        self._ready.close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


# An epoch's order is drawn once, not for every batch; a batch needs at most two of them.
@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


class _ReadyBatches:
    """The batches that the thread has prepared and nobody has taken yet, or the exception that one failed with."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[tuple[Floats, Labels] | BaseException] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._process = os.getpid()

    def put(self, item: tuple[Floats, Labels] | BaseException) -> bool:
        """Wait until there is room, and add a batch; return False when no more are wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._most)
            self._items.append(item)
            self._changed.notify_all()
            return not self._closed

    def take(self) -> tuple[Floats, Labels] | BaseException:
        """Wait for the next batch."""
        if os.getpid() != self._process:
            raise RuntimeError("the thread of these batches is not in this forked process; make new batches here")
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if self._closed:
                raise RuntimeError("these batches are closed; make new ones with start=")
            self._changed.notify_all()
            return self._items.popleft()

    def close(self) -> None:
        """Wake all that wait; nothing is taken or kept from now on."""
        if os.getpid() == self._process:  # after a fork the lock may be held by a thread that is not there
            with self._changed:
                self._closed = True
                self._changed.notify_all()


def _prepare(reference: weakref.ref[TrainingBatches], ready: _ReadyBatches, number: int) -> None:
    """Prepare batches from `number` on, until no more are wanted or one fails."""
    try:
        while (batches := reference()) is not None:
            item = batches.batch(number)
            del batches  # not to be held while waiting
            if not ready.put(item):
                return
            number += 1
    except BaseException as error:
        ready.put(error)  # raised again where the batch is asked for


def evaluation_batches(
    images: Dataset | Pictures,
    labels: ArrayLike | None = None,
    *,
    batch_size: int = 256,
    steps: Sequence[Function] | None = None,
    only: NDArray[np.int64] | None = None,
) -> Iterator[tuple[Floats, Labels]]:
    """Yield all pictures once, in their order, as a network takes them; the last batch may be smaller.

    Parameters
    ----------
    images : Dataset, or ndarray, shape (N, H, W, C), uint8 or float32
        A data set, whose test pictures and labels are taken; or pictures.
    labels : array_like, shape (N,), integers
        The classes of the pictures; to be left out with a data set.
    batch_size : int
        Pictures in a batch.
    steps : list of functions, optional
        What happens to the pictures.  By default the steps of the data set; for an array of pictures those of the
        article, `INPUTS`.
    only : ndarray of int, optional
        Numbers of the pictures to take; by default all.

    Yields
    ------
    x : ndarray, shape (B, H', W', C'), float32
    labels : ndarray, shape (B,), int64

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above, or a step cannot take the pictures, when the first batch is asked for.

    Examples
    --------
    >>> images, labels = np.zeros((5, 28, 28, 1), np.uint8), np.arange(5)
    >>> data = nn.datasets.from_arrays(images, labels, images, labels)
    >>> [y.tolist() for _, y in nn.datasets.evaluation_batches(data, batch_size=3)]
    [[0, 1, 2], [3, 4]]
    """
    batch_size = integer(batch_size, "batch_size", minimum=1)
    pictures, numbers, chosen = _resolved(images, labels, steps, training=False)
    taken = None if only is None else _chosen(only, len(pictures))
    for first in range(0, len(pictures if taken is None else taken), batch_size):
        batch = slice(first, first + batch_size)
        part: Any = batch if taken is None else taken[batch]
        yield apply(chosen, pictures[part]), numbers[part]
