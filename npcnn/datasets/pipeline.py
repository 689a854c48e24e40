"""From pictures to batches: TensorFlow's two CIFAR-10 pipelines, and a thread that stays ahead.

`inputs` cuts out the middle and standardises: what the article trains and everybody evaluates on.
`distorted_inputs` first cuts out any part, mirrors, and changes brightness and contrast.

Every batch of a training is a function of (seed, number of the batch) alone.  The order of an epoch is a
permutation drawn from (seed, epoch), the distortions of a batch are drawn from (seed, batch): so the thread may run
ahead as it likes, and a training that was interrupted goes on with the batch it would have had.

Source: TensorFlow's tutorial ``models/tutorials/image/cifar10/cifar10_input.py``.
"""

from __future__ import annotations

import functools
import math
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.checks import integer

CROP = 24
MAX_BRIGHTNESS = 63.0
CONTRAST = (0.2, 1.8)

Pictures: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]
Pipeline: TypeAlias = Callable[[Pictures, np.random.Generator], Floats]


def inputs(images: Pictures, rng: np.random.Generator | None = None) -> Floats:
    """Cut out the middle 24 x 24 pixels and standardise each picture.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C), uint8, at least 24 x 24
        Pictures.
    rng : numpy.random.Generator, optional
        Not used; there so that both pipelines are called alike.

    Returns
    -------
    ndarray, shape (N, 24, 24, C), float32
        See `standardise`.

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
    _check_pictures(images)
    top, left = ((length - CROP) // 2 for length in images.shape[1:3])
    return standardise(images[:, top : top + CROP, left : left + CROP].astype(np.float32, order="C"))


def distorted_inputs(images: Pictures, rng: np.random.Generator) -> Floats:
    """Cut out 24 x 24 pixels anywhere, mirror half of them, change brightness and contrast, standardise.

    Brightness adds a number from -63 to 63 to a picture; contrast c from 0.2 to 1.8 moves each channel away
    from or towards its mean, mean + c * (x - mean).  As in TensorFlow nothing is clipped to 0 to 255.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C), uint8, at least 24 x 24
        Pictures.
    rng : numpy.random.Generator
        Source of all the choices.

    Returns
    -------
    ndarray, shape (N, 24, 24, C), float32
        See `standardise`.

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
    _check_pictures(images)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {rng!r}; make one with numpy.random.default_rng")
    N, H, W, C = images.shape
    tops = rng.integers(0, H - CROP + 1, N)
    lefts = rng.integers(0, W - CROP + 1, N)
    mirrored = rng.integers(0, 2, size=(N,))
    brightness = rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS, size=(N, 1, 1, 1)).astype(np.float32)
    contrast = rng.uniform(*CONTRAST, size=(N, 1, 1, 1)).astype(np.float32)

    x = np.empty((N, CROP, CROP, C), np.float32)
    for n in range(N):
        part = images[n, tops[n] : tops[n] + CROP, lefts[n] : lefts[n] + CROP]
        x[n] = part[:, ::-1] if mirrored[n] else part
    x += brightness
    # One axis after the other: short float32 sums are more exact than one long sum, and here ten times as fast.
    means = x.mean(axis=1, keepdims=True).mean(axis=2, keepdims=True)
    x -= means
    x *= contrast
    x += means
    return standardise(x)


def standardise(x: Floats) -> Floats:
    """Scale each picture, in place, to mean 0 and standard deviation 1: (x - mean) / max(sd, 1 / sqrt(n)).

    n is the number of values of a picture.  The bound keeps a picture of one colour from becoming noise.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C), float32
        Pictures; changed.

    Returns
    -------
    ndarray
        `x` itself.

    Examples
    --------
    >>> from npcnn.datasets.pipeline import standardise
    >>> standardise(np.array([1.0, 3.0], np.float32).reshape(1, 1, 2, 1)).ravel()
    array([-1.,  1.], dtype=float32)
    """
    n = math.prod(x.shape[1:])
    x -= x.mean(axis=(1, 2, 3), dtype=np.float64, keepdims=True).astype(np.float32)
    # The mean is gone, so the mean square is the variance, without the cancellation of E[x^2] - E[x]^2.
    sd = np.sqrt(np.einsum("nhwc,nhwc->n", x, x) / n)
    x /= np.maximum(sd, 1 / np.sqrt(n), dtype=np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    return x


def _check_pictures(images: Any) -> None:
    if not isinstance(images, np.ndarray):
        raise TypeError(f"images must be a numpy.ndarray (N, H, W, C), got {type(images).__name__}")
    if images.dtype != np.uint8:
        raise DTypeError(f"images must be uint8, as the files hold them, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] < CROP or images.shape[2] < CROP or images.shape[3] == 0:
        raise ShapeError(f"images must be (N, H, W, C), at least {CROP} x {CROP}, got {images.shape}")


def _checked_labels(labels: Any, count: int) -> Labels:
    array: NDArray[Any] = np.asarray(labels)
    if array.shape != (count,):
        raise ShapeError(f"labels must have shape ({count},), one for each picture, got {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise DTypeError(f"labels must be integers, the numbers of the classes, got {array.dtype}")
    return array.astype(np.int64)


PIPELINES: dict[str, Pipeline] = {"inputs": inputs, "distorted": distorted_inputs}


class TrainingBatches(Iterator[tuple[Floats, Labels]]):
    """Endless shuffled batches, prepared ahead by a thread.

    Each epoch is a new permutation of all pictures.  Batches are always full: one that an epoch's end cuts
    is filled up from the next epoch, so that no picture is left out.

    Any thread may take batches.  The thread that prepares them ends with `close`, with a ``with`` block, or when
    nothing refers to the batches any more.  A process made by fork has no such thread: make new batches there.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C), uint8
        Pictures.
    labels : ndarray, shape (N,), integers
        Their classes.
    batch_size : int
        Pictures in a batch, at most N.
    pipeline : "inputs" or "distorted"
        What happens to them.
    seed : int
        Of the order and the distortions.
    start : int
        Number of the first batch: a training that goes on after k steps starts at k.
    ahead : int
        How many batches to prepare ahead.

    Attributes
    ----------
    wait_seconds : float
        How long `next` has had to wait for the thread, in all, after the first batch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above.
    RuntimeError
        By `next`, after `close` (also when it was waiting then) and in a forked process.

    Examples
    --------
    >>> images, labels = np.zeros((6, 32, 32, 3), np.uint8), np.arange(6)
    >>> with nn.datasets.TrainingBatches(images, labels, batch_size=4) as batches:
    ...     first, second, third = (next(batches)[1] for _ in range(3))
    >>> sorted([*first.tolist(), *second[:2].tolist()])  # the first epoch: each picture once
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self,
        images: Pictures,
        labels: NDArray[np.integer[Any]],
        *,
        batch_size: int,
        pipeline: str = "inputs",
        seed: int = 0,
        start: int = 0,
        ahead: int = 4,
    ) -> None:
        _check_pictures(images)
        if pipeline not in PIPELINES:
            raise ValueError(f"pipeline must be one of {', '.join(PIPELINES)}, got {pipeline!r}")
        self._images, self._labels = images, _checked_labels(labels, len(images))
        self._batch_size = integer(batch_size, "batch_size", minimum=1)
        if self._batch_size > len(images):
            raise ValueError(f"batch_size must be at most {len(images)}, the pictures there are, got {batch_size}")
        self._pipeline = PIPELINES[pipeline]
        self._seed = integer(seed, "seed", minimum=0)
        self.wait_seconds = 0.0
        self._served = 0
        self._ready = _ReadyBatches(integer(ahead, "ahead", minimum=1))
        start = integer(start, "start", minimum=0)
        # Forgotten batches could never be collected if their thread held them.
        self._thread = threading.Thread(target=_prepare, args=(weakref.ref(self), self._ready, start), daemon=True)
        self._thread.start()
        weakref.finalize(self, self._ready.close)

    def batch(self, number: int) -> tuple[Floats, Labels]:
        """Return batch `number` of the training, from 0; it depends on nothing but that and the seed."""
        first = number * self._batch_size
        places = np.arange(first, first + self._batch_size)
        epochs, offsets = np.divmod(places, len(self._images))
        index = np.empty(self._batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            index[here] = _permutation(self._seed, int(epoch), len(self._images))[offsets[here]]
        rng = np.random.default_rng([self._seed, 1, number])
        return self._pipeline(self._images[index], rng), self._labels[index]

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
    images: Pictures, labels: NDArray[np.integer[Any]], *, batch_size: int = 256
) -> Iterator[tuple[Floats, Labels]]:
    """Yield all pictures once, in their order, through `inputs`; the last batch may be smaller.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C), uint8
        Pictures.
    labels : ndarray, shape (N,), integers
        Their classes.
    batch_size : int
        Pictures in a batch.

    Yields
    ------
    x : ndarray, shape (B, 24, 24, C), float32
    labels : ndarray, shape (B,), int64

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the form above, when the first batch is asked for.

    Examples
    --------
    >>> images, labels = np.zeros((5, 32, 32, 3), np.uint8), np.arange(5)
    >>> [y.tolist() for _, y in nn.datasets.evaluation_batches(images, labels, batch_size=3)]
    [[0, 1, 2], [3, 4]]
    """
    batch_size = integer(batch_size, "batch_size", minimum=1)
    _check_pictures(images)
    labels = _checked_labels(labels, len(images))
    for first in range(0, len(images), batch_size):
        part = slice(first, first + batch_size)
        yield inputs(images[part]), labels[part]
