"""The way from pictures to a network's input, as a list of steps.

A step is any function ``step(images, rng) -> images``: it takes a batch (N, H, W, C), uint8 or float32, and returns
one of as many pictures, of any height, width and channels.  `rng` is the generator of that batch, from which a step
draws a number for each picture, ``rng.uniform(size=len(images))``; in an evaluation it is None.  As every batch has a
generator of its own, what becomes of a picture depends on the seed and the number of the batch alone.  A choice that
is to hold from epoch to epoch cannot be drawn from it; a `Step` may ask for the `Origin` of the pictures instead.

The functions of this file make the usual steps.  Those know their name and arguments: they can be printed, compared,
and written into a file as plain data (`describe`) from which `from_description` makes them again.
"""

from __future__ import annotations

import copyreg
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from npcnn.datasets.step import Function, Images, Origin, Step, apply, name_of
from npcnn.errors import DataError, ShapeError
from npcnn.functional.checks import boolean, integer, number, pair, shown

__all__ = [
    "Function",
    "Origin",
    "Step",
    "apply",
    "brightness",
    "checked",
    "contrast",
    "crop",
    "cutout",
    "describe",
    "from_description",
    "mirror",
    "random_crop",
    "standardise",
]

PADDING_MODES = ("reflect", "edge", "constant")
LARGEST = float(np.finfo(np.float32).max)


def crop(size: int | tuple[int, int]) -> Step:
    """Cut out the middle.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of what is left.  Where the margins cannot be equal, the top and the left one are smaller by 1.

    Raises
    ------
    ShapeError
        By the step, if the pictures are smaller.

    Examples
    --------
    >>> nn.datasets.steps.crop(2)(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)).ravel()
    array([ 5,  6,  9, 10], dtype=uint8)
    """
    height, width = pair(size, "size", minimum=1)

    def cut(images: Images, rng: object) -> Images:
        _, H, W, _ = images.shape
        _check_size(step, height, width, H, W)
        top, left = (H - height) // 2, (W - width) // 2
        return images[:, top : top + height, left : left + width]

    step = Step("crop", {"size": _one_or_two(height, width)}, cut)
    return step


def random_crop(size: int | tuple[int, int], *, padding: int = 0, mode: str = "reflect") -> Step:
    """Cut out a part from anywhere, after making the pictures larger on all four sides.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of what is cut out.
    padding : int
        By how many pixels the pictures are made larger on each side.
    mode : "reflect", "edge" or "constant"
        What these pixels are: the picture mirrored at its border pixels, the border pixels repeated, or 0.

    Raises
    ------
    ShapeError
        By the step, if the padded pictures are smaller than `size`, or there is too little to mirror.

    Examples
    --------
    >>> step = nn.datasets.steps.random_crop(32, padding=4)
    >>> step(np.zeros((2, 32, 32, 3), np.uint8), np.random.default_rng(0)).shape
    (2, 32, 32, 3)
    """
    height, width = pair(size, "size", minimum=1)
    p = integer(padding, "padding", minimum=0)
    if mode not in PADDING_MODES:
        raise ValueError(f"mode must be one of {', '.join(PADDING_MODES)}, got {shown(mode)}")

    def cut(images: Images, rng: Any) -> Images:
        N, H, W, C = images.shape
        _check_size(step, height, width, H + 2 * p, W + 2 * p)
        if p >= min(H, W) and mode == "reflect":
            raise ShapeError(
                f"{step!r} mirrors up to {min(H, W) - 1} pixels of pictures of {H} x {W}; use less padding"
            )
        if p:
            images = np.pad(images, ((0, 0), (p, p), (p, p), (0, 0)), mode=mode)  # type: ignore[call-overload]
        tops = rng.integers(0, H + 2 * p - height + 1, N)
        lefts = rng.integers(0, W + 2 * p - width + 1, N)
        parts = np.empty((N, height, width, C), images.dtype)
        for n in range(N):
            parts[n] = images[n, tops[n] : tops[n] + height, lefts[n] : lefts[n] + width]
        return parts

    arguments = {"size": _one_or_two(height, width), "padding": p, "mode": mode}
    step = Step("random_crop", arguments, cut, random=True)
    return step


def mirror(*, alternate: bool = False) -> Step:
    """Swap left and right in each picture with probability 1/2.

    Parameters
    ----------
    alternate : bool
        Draw only once for each picture, for the first epoch, and let it change sides with every epoch from then on.
        Two epochs then always show both sides; drawn anew, a picture comes twice from one side as often as not.

    References
    ----------
    Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.6 (alternating flip).

    Examples
    --------
    >>> images = np.array([[0, 1]] * 5, np.uint8).reshape(5, 1, 2, 1)
    >>> nn.datasets.steps.mirror()(images, np.random.default_rng(0))[..., 0, 0].ravel()
    array([1, 1, 1, 0, 0], dtype=uint8)
    """
    if boolean(alternate, "alternate"):
        return Step("mirror", {"alternate": True}, _mirror_alternately, random=True, by_origin=True)

    def swap(images: Images, rng: Any) -> Images:
        return _mirrored(images, rng.integers(0, 2, size=(len(images),)) == 1)

    return Step("mirror", {}, swap, random=True)


def _mirror_alternately(images: Images, origin: Origin) -> Images:
    # Number n of these does not depend on how many are drawn after it, so it is that of picture n.
    drawn = np.random.default_rng([origin.seed, 3]).random(origin.numbers.max() + 1)[origin.numbers] < 0.5
    return _mirrored(images, drawn ^ (origin.epochs % 2 == 1))


def _mirrored(images: Images, chosen: NDArray[np.bool_]) -> Images:
    swapped = images.copy()
    swapped[chosen] = images[chosen, :, ::-1]
    return swapped


def brightness(most: float) -> Step:
    """Add a number from -`most` to `most` to each picture, the same to all of it; nothing is cut off at 0 or 255.

    Parameters
    ----------
    most : float
        The largest change, in the unit of the pixels.

    Examples
    --------
    >>> nn.datasets.steps.brightness(63)(np.zeros((2, 1, 1, 1), np.uint8), np.random.default_rng(0)).ravel()
    array([ 17.257174, -29.006874], dtype=float32)
    """
    most = number(most, "most", minimum=0, below=LARGEST)

    def add(images: Images, rng: Any) -> Images:
        change = rng.uniform(-most, most, size=(len(images), 1, 1, 1)).astype(np.float32)
        brighter: Images = np.add(images, change, dtype=np.float32)
        return brighter

    return Step("brightness", {"most": most}, add, random=True)


def contrast(low: float, high: float) -> Step:
    """Move each channel of a picture from or towards its mean, mean + c * (x - mean), with c from `low` to `high`.

    Nothing is cut off at 0 or 255.

    Parameters
    ----------
    low, high : float
        The range of c, which is drawn for each picture; below 1 there is less contrast, above 1 more.

    Examples
    --------
    >>> images = np.array([10, 20], np.uint8).reshape(1, 2, 1, 1)
    >>> nn.datasets.steps.contrast(0.2, 1.8)(images, np.random.default_rng(0)).ravel()
    array([ 8.904306, 21.095694], dtype=float32)
    """
    low = number(low, "low", minimum=0, below=LARGEST)
    high = number(high, "high", minimum=low, below=LARGEST)

    def stretch(images: Images, rng: Any) -> Images:
        N, H, W, C = images.shape
        c = rng.uniform(low, high, size=(N, 1, 1)).astype(np.float32)
        x = images.astype(np.float32, order="C")
        # One axis after the other: short float32 sums are more exact than one long sum, and here ten times as fast.
        means = x.mean(axis=1, keepdims=True).mean(axis=2, keepdims=True)
        # Row by row and not pixel by pixel, NumPy's inner loop is W * C long.
        rows, means = x.reshape(N, H, W * C), np.tile(means.reshape(N, 1, C), W)
        rows -= means
        rows *= c
        rows += means
        return x

    return Step("contrast", {"low": low, "high": high}, stretch, random=True)


def cutout(size: int | tuple[int, int]) -> Step:
    """Cover a rectangle of each picture with the mean of the picture's channels.

    Its middle may be any pixel, so that it can stand over the border.  The mean is what standardising makes 0.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the rectangle.

    References
    ----------
    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.

    Examples
    --------
    >>> images = np.array([0, 90, 180], np.uint8).reshape(1, 1, 3, 1)
    >>> nn.datasets.steps.cutout(1)(images, np.random.default_rng(0)).ravel()
    array([ 0, 90, 90], dtype=uint8)
    """
    height, width = pair(size, "size", minimum=1)

    def cover(images: Images, rng: Any) -> Images:
        N, H, W, _ = images.shape
        rows, columns = rng.integers(0, H, N), rng.integers(0, W, N)
        covered = images.copy()
        means = images.mean(axis=(1, 2), dtype=np.float64)
        if images.dtype == np.uint8:
            means = np.rint(means)
        for n in range(N):
            top, left = rows[n] - height // 2, columns[n] - width // 2
            covered[n, max(top, 0) : top + height, max(left, 0) : left + width] = means[n]
        return covered

    return Step("cutout", {"size": _one_or_two(height, width)}, cover, random=True)


def standardise(mean: float | Sequence[float] | None = None, deviation: float | Sequence[float] | None = None) -> Step:
    """Shift and scale the pictures: (x - mean) / deviation.

    Parameters
    ----------
    mean, deviation : float or sequence of float, optional
        Fixed numbers: one, or one for each channel, as `npcnn.datasets.Dataset.statistics` gives them for the training
        pictures.  Without them each picture is scaled to mean 0 and standard deviation 1 by its own: (x - mean) /
        max(sd, 1 / sqrt(n)).  n is the number of values of a picture; the bound keeps a picture of one colour from
        becoming noise.

    Raises
    ------
    ValueError
        If one of them is given without the other, or a deviation is not above 0.
    ShapeError
        By the step, if the pictures have another number of channels.

    Examples
    --------
    >>> images = np.array([1, 3], np.uint8).reshape(1, 1, 2, 1)
    >>> nn.datasets.steps.standardise()(images).ravel()
    array([-1.,  1.], dtype=float32)
    >>> nn.datasets.steps.standardise(mean=0, deviation=255)(images).ravel()  # from 0 to 255 to from 0 to 1
    array([0.00392157, 0.01176471], dtype=float32)
    """
    if mean is None and deviation is None:
        return Step("standardise", {}, _standardise_each)
    if mean is None or deviation is None:
        raise ValueError(f"mean and deviation go together, got mean={shown(mean)}, deviation={shown(deviation)}")
    means, deviations = _numbers(mean, "mean"), _numbers(deviation, "deviation")
    if not (deviations > 0).all():
        raise ValueError(f"deviation must be above 0, got {shown(deviation)}; leave out a channel that never changes")
    if len({len(means), len(deviations)} - {1}) > 1:
        raise ShapeError(f"mean and deviation must be of one length, got {len(means)} and {len(deviations)} numbers")
    channels = max(len(means), len(deviations))

    def scale(images: Images, rng: object) -> Images:
        if channels not in (1, images.shape[3]):
            raise ShapeError(f"{step!r:.200} is for {channels} channels, got pictures {images.shape}")
        x: Images = np.subtract(images, means, dtype=np.float32)
        x /= deviations
        return x

    arguments = {"mean": _one_or_many(means), "deviation": _one_or_many(deviations)}
    step = Step("standardise", arguments, scale)
    return step


def _standardise_each(images: Images, rng: object) -> Images:
    x = images.astype(np.float32, order="C")
    n = math.prod(x.shape[1:])
    x -= x.mean(axis=(1, 2, 3), dtype=np.float64, keepdims=True).astype(np.float32)
    # The mean is gone, so the mean square is the variance, without the cancellation of E[x^2] - E[x]^2.
    sd = np.sqrt(np.einsum("nhwc,nhwc->n", x, x) / n)
    x /= np.maximum(sd, 1 / np.sqrt(n), dtype=np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    return x


KNOWN: dict[str, Callable[..., Step]] = {
    make.__name__: make for make in (crop, random_crop, mirror, brightness, contrast, cutout, standardise)
}


def _is_known(step: Function) -> TypeGuard[Step]:
    """Whether a function of this file made the step; the name may be that of a step of one's own, too."""
    return isinstance(step, Step) and step.name in KNOWN and getattr(step.function, "__module__", None) == __name__


def _reduced(step: Step) -> Any:
    """Return how a step is copied and pickled: what it does is a function inside another, which has no name to find."""
    if _is_known(step):
        return _made_again, (step.name, dict(step.arguments))
    return object.__reduce_ex__(step, 2)


def _made_again(name: str, arguments: dict[str, Any]) -> Step:
    return KNOWN[name](**arguments)


copyreg.pickle(Step, _reduced)


def checked(steps: Any, name: str, *, random: bool) -> tuple[Function, ...]:
    """Return the steps as a tuple if they are functions and, unless `random` says that they may, none draws at random.

    Examples
    --------
    >>> from npcnn.datasets.steps import checked, crop, mirror
    >>> checked([crop(24), mirror()], "steps", random=False)
    Traceback (most recent call last):
        ...
    ValueError: steps[1], mirror(), draws at random; it is for training only: put it into augment
    """
    if callable(steps) or isinstance(steps, str | Mapping) or not isinstance(steps, Iterable):
        raise TypeError(f"{name} must be a list of steps, such as [npcnn.datasets.steps.mirror()], got {shown(steps)}")
    functions: tuple[Any, ...] = tuple(steps)
    for place, step in enumerate(functions):
        if not callable(step):
            raise TypeError(f"{name}[{place}] must be a function (images, rng) -> images, got {shown(step)}")
        if step in KNOWN.values():
            raise TypeError(
                f"{name}[{place}] must be a step, got the function {name_of(step)}; call it: {name_of(step)}()"
            )
        if isinstance(step, Step) and step.random and not random:
            raise ValueError(
                f"{name}[{place}], {step!r}, draws at random; it is for training only: put it into augment"
            )
    return functions


def describe(steps: Iterable[Function]) -> list[dict[str, Any]]:
    """Return steps as plain data, which JSON can hold.

    Parameters
    ----------
    steps : iterable of Step
        Steps made by the functions of this file.

    Returns
    -------
    list of dict
        For each step its name, under "step", and its arguments.

    Raises
    ------
    TypeError
        If one is a function of your own, which has no description; it is named.

    Examples
    --------
    >>> from npcnn.datasets.steps import crop, describe, standardise
    >>> describe([crop(24), standardise()])
    [{'step': 'crop', 'size': 24}, {'step': 'standardise'}]
    """
    described = []
    for place, step in enumerate(steps):
        if not _is_known(step):
            raise TypeError(
                f"steps[{place}], {name_of(step)}, is a function of your own and cannot be written into a file; "
                f"only those of npcnn.datasets.steps can: {', '.join(KNOWN)}"
            )
        arguments = {name: list(value) if isinstance(value, tuple) else value for name, value in step.arguments.items()}
        described.append({"step": step.name, **arguments})
    return described


def from_description(description: Any) -> tuple[Step, ...]:
    """Return the steps that `describe` described; no code comes from the description.

    Parameters
    ----------
    description : list of dict
        As `describe` gives it, or as it comes back from JSON.

    Raises
    ------
    DataError
        If it is not such a list, names a step that does not exist, or has wrong arguments.

    Examples
    --------
    >>> nn.datasets.steps.from_description([{"step": "crop", "size": 24}, {"step": "standardise"}])
    (crop(size=24), standardise())
    """
    if not isinstance(description, list):
        raise DataError(f"a description of steps must be a list, got {shown(description)}")
    steps = []
    for place, entry in enumerate(description):
        name = entry.get("step") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in KNOWN:
            raise DataError(f"step {place} must name one of {', '.join(KNOWN)} under 'step', got {shown(entry)}")
        arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
        del arguments["step"]
        try:
            steps.append(KNOWN[name](**arguments))
        except (TypeError, ValueError) as error:
            raise DataError(f"step {place}, {shown(entry)}, has wrong arguments: {error}") from error
    return tuple(steps)


def _check_size(step: Step, height: int, width: int, H: int, W: int) -> None:
    if min(H - height, W - width) < 0:
        raise ShapeError(f"{step!r} needs pictures of at least {height} x {width} pixels, got {H} x {W}")


def _numbers(value: Any, name: str) -> NDArray[np.float32]:
    values = value if isinstance(value, list | tuple | np.ndarray) else [value]
    if len(values) == 0:
        raise ValueError(f"{name} must be a number, or one for each channel, got {shown(value)}")
    limits = {"minimum": -LARGEST, "below": LARGEST}
    return np.array([number(entry, f"{name}[{place}]", **limits) for place, entry in enumerate(values)], np.float32)


def _one_or_two(height: int, width: int) -> int | tuple[int, int]:
    return height if height == width else (height, width)


def _one_or_many(values: NDArray[np.float32]) -> float | tuple[float, ...]:
    return values.item() if len(values) == 1 else tuple(values.tolist())
