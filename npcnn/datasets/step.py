"""What a step from pictures to a network's input is, and how pictures go through one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets import checks
from npcnn.errors import DTypeError, ShapeError
from npcnn.functional.checks import shown
from npcnn.functional.exchange import as_array

Images: TypeAlias = NDArray[Any]
# In quotes, because looking at numpy.random imports it.
Function: TypeAlias = "Callable[[Images, np.random.Generator | None], Images]"


@dataclass(frozen=True)
class Origin:
    """Where the pictures of a training batch come from.

    Attributes
    ----------
    numbers : ndarray, shape (N,), int64
        Their places in the data.
    epochs : ndarray, shape (N,), int64
        The epoch, from 0, in which each is being seen; one batch may hold the end of an epoch and the next one's start.
    seed : int
        That of the training.
    """

    numbers: NDArray[np.int64]
    epochs: NDArray[np.int64]
    seed: int


@dataclass(frozen=True)
class Step:
    """A function from pictures to pictures that knows its name and arguments; the functions below make them.

    Attributes
    ----------
    name : str
        Name of the function that makes it.
    arguments : mapping
        The arguments for that.
    function : callable
        What it does: ``function(images, rng) -> images``; it never changes the pictures it is given.
    random : bool
        Whether it draws at random, so that it is for training only.
    by_origin : bool
        Whether `function` gets the `Origin` of the pictures in the place of `rng`.

    Examples
    --------
    >>> step = nn.datasets.steps.crop(24)
    >>> step, step(np.zeros((1, 32, 32, 3), np.uint8)).shape
    (crop(size=24), (1, 24, 24, 3))
    """

    name: str
    arguments: Mapping[str, Any]
    function: Callable[[Images, Any], Images] = field(compare=False)
    random: bool = False
    by_origin: bool = False

    def __call__(self, images: Images, rng: np.random.Generator | None = None, origin: Origin | None = None) -> Images:
        """Return the pictures after this step."""
        images = as_array(images, "images")
        if self.by_origin:
            if not isinstance(origin, Origin):
                raise TypeError(
                    f"origin must say which pictures these are, got {shown(origin)}; {self!r} depends on it: "
                    "draw the batches with npcnn.datasets.TrainingBatches"
                )
            return self.function(images, origin)
        if self.random and not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"rng must be a numpy.random.Generator, got {shown(rng)}; {self!r} draws at random: "
                "make one with numpy.random.default_rng"
            )
        return self.function(images, rng)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


def apply(
    steps: Iterable[Function],
    images: Images,
    rng: np.random.Generator | None = None,
    origin: Origin | None = None,
) -> NDArray[np.float32]:
    """Return pictures as a network takes them, after all the steps.

    Parameters
    ----------
    steps : iterable of functions
        See the top of `npcnn.datasets.steps`.
    images : ndarray, shape (N, H, W, C), uint8 or float32
        Pictures.
    rng : numpy.random.Generator, optional
        What the steps draw from; None in an evaluation.
    origin : Origin, optional
        Which pictures these are, for the steps that ask for it; None in an evaluation.

    Returns
    -------
    ndarray, shape (N, H', W', C'), float32
        In memory of its own.  Nothing is scaled but by the steps: without any, bytes become the same floats.

    Raises
    ------
    TypeError, DTypeError, ShapeError
        If a step cannot take the pictures, or does not return as many; it is named.

    Examples
    --------
    >>> from npcnn.datasets.steps import apply, crop
    >>> apply([crop(24), lambda images, rng: images / 255], np.full((1, 32, 32, 3), 51, np.uint8))[0, 0, 0]
    array([0.2, 0.2, 0.2], dtype=float32)
    """
    # A copy: a step that changes what it is given must not change the data.
    x = np.array(checks.pictures(images, "images"), order="C", subok=False)
    for step in steps:
        y = step(x, rng, origin) if isinstance(step, Step) else step(x, rng)
        x = _checked_result(y, step, len(images))
    return np.ascontiguousarray(x, dtype=np.float32)


def _checked_result(x: Any, step: Function, count: int) -> Images:
    name = name_of(step)
    if not isinstance(x, np.ndarray):
        raise TypeError(f"the step {name} must return the pictures as a numpy.ndarray, got {type(x).__name__}")
    # What uint8 / 255 gives is float64, and a network takes float32.
    images: Images = x.astype(np.float32) if x.dtype == np.float64 else x
    if images.dtype not in (np.uint8, np.float32):
        raise DTypeError(f"the step {name} must return uint8 or float32, got {x.dtype}; use .astype(numpy.float32)")
    if images.ndim != 4 or len(images) != count or 0 in images.shape[1:]:
        raise ShapeError(f"the step {name} must return {count} pictures (N, H, W, C), got shape {x.shape}")
    return images


def name_of(step: object) -> str:
    """Return a step as messages show it: the name of a function of your own."""
    return shown(step) if isinstance(step, Step) else str(getattr(step, "__name__", shown(step)))
