"""A network as a classifier of scikit-learn, for all that library offers: pipelines, searches, cross-validation.

    >>> from npcnn.sklearn import ConvClassifier
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()                           # 1,797 grey pictures of 8 x 8
    >>> x, y = digits.images[..., np.newaxis], digits.target
    >>> classifier = ConvClassifier(epochs=2, random_state=0).fit(x[:1000], y[:1000])
    >>> classifier.score(x[1000:], y[1000:]) > 0.8
    True

The training is that of `npcnn.train`; this module only speaks scikit-learn's language.  It is the extra ``sklearn``.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npcnn.config import get_num_threads, set_num_threads
from npcnn.datasets import Dataset, TrainingBatches, from_arrays
from npcnn.datasets.steps import Function, apply, standardise
from npcnn.errors import ShapeError, to_install
from npcnn.functional import softmax
from npcnn.functional.checks import integer, pair, shown
from npcnn.functional.exchange import as_array
from npcnn.layers import Dense, Flatten, Layer, ReLU, Sequential
from npcnn.models import MODELS, simple_cnn
from npcnn.optimizers import SGD, Adam, AdamW, Optimizer
from npcnn.prediction import remember
from npcnn.schedules import Constant, Cosine, Schedule, positive
from npcnn.train import Callback, History, Progress, fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(f"{error}; install scikit-learn, 1.6 or newer, with {to_install('sklearn')}") from error

__all__ = ["ConvClassifier"]

Array: TypeAlias = NDArray[Any]

OPTIMIZERS: dict[str, Callable[[Layer, Schedule], Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": functools.partial(SGD, momentum=0.9, nesterov=True),
}
AT_A_TIME = 256  # pictures, in a prediction


class ConvClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A convolutional network as a classifier of scikit-learn.

    Parameters
    ----------
    net : str, callable or Layer, optional
        The network: a name of `npcnn.models.MODELS`; a function that makes one, called with ``classes``,
        ``input_channels`` and ``rng``, such as ``functools.partial(nn.models.resnet, 14)``; or a network that is there
        already, of which every `fit` trains a copy, from the weights it has.  By default `npcnn.models.simple_cnn` for
        pictures, and for rows of numbers that are no pictures one hidden layer of 64.
    picture_shape : (int, int, int), optional
        Height, width and channels of the pictures, when `X` holds each as a row of H * W * C numbers.  Without it a row
        is a picture of one pixel, with as many channels as there are numbers.
    steps : list of functions, optional
        What happens to the pictures, in training and in predictions; see `npcnn.datasets.steps`.  By default every
        channel is scaled by its mean and deviation in the training pictures, which for rows are those of each number.
    augment : list of functions
        What happens to the pictures before that, in training only.
    optimizer : "adamw", "adam", "sgd", or callable
        "sgd" has Nesterov's momentum of 0.9.  A function is called with the network and `lr`, and returns the
        optimizer: ``functools.partial(nn.AdamW, weight_decay=0.05)``.
    lr : float or schedule
        Learning rate.  In `fit` a number falls to 0 along half a cosine; in `partial_fit`, which knows of no end, it
        stays as it is.  A schedule of `npcnn.schedules` is followed in both.
    epochs : int
        How often `fit` goes through the pictures; `partial_fit` does once.
    batch_size : int
        Pictures in a step; all of them, where there are fewer.
    n_jobs : int, optional
        Threads of the kernels during a call, after which there are as many as before: -1 for one on each core, -2 for
        one less.  By default, as many as before.  The classifier is the same with any number.
    random_state : int, RandomState instance or None
        Source of the first weights, the order of the pictures and what `augment` draws.  With an int, every `fit` on
        the same data gives the same bits.
    verbose : bool
        Whether to show a progress bar.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels; a column of `predict_proba` for each.
    net_ : Layer
        The trained network, for everything in this library: ``net_.save(path)``, `npcnn.explain`, `npcnn.prediction`.
    optimizer_ : Optimizer
        The optimizer, with its state.
    steps_ : tuple of functions
        What happens to the pictures, as `steps`.
    history_ : npcnn.train.History
        Every step since the last `fit`; ``history_.plot()`` draws the curve.
    picture_shape_ : tuple of int
        Height, width and channels of a picture.
    n_features_in_ : int
        Their product.
    feature_names_in_ : ndarray
        The names of the columns, where `X` was a table whose columns have names.

    See Also
    --------
    npcnn.train.fit : the same training without scikit-learn, with an evaluation after each epoch.

    Notes
    -----
    `X` is an array of pictures (n, H, W, C), or of rows (n, n_features), as everything in scikit-learn takes them.
    Bytes are kept as such; all else becomes float32.  Arrays of other libraries are read by DLPack or the array
    interface.  While a call has threads of its own number, other threads of the process compute with that, too.

    Examples
    --------
    >>> from npcnn.sklearn import ConvClassifier
    >>> from sklearn.model_selection import GridSearchCV
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.integers(0, 128, (60, 8, 8, 1), np.uint8), np.repeat(["dark", "bright"], 30)
    >>> x[30:] += 128
    >>> search = GridSearchCV(ConvClassifier(epochs=3, random_state=0), {"lr": [1e-2, 1e-9]}, cv=2)
    >>> search.fit(x, y).best_params_, search.predict(x[[0, -1]]).tolist()
    ({'lr': 0.01}, ['dark', 'bright'])
    """

    def __init__(
        self,
        net: str | Callable[..., Layer] | Layer | None = None,
        *,
        picture_shape: tuple[int, int, int] | None = None,
        steps: Sequence[Function] | None = None,
        augment: Sequence[Function] = (),
        optimizer: str | Callable[[Layer, Any], Optimizer] = "adamw",
        lr: float | Schedule = 1e-3,
        epochs: int = 20,
        batch_size: int = 64,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.net = net
        self.picture_shape = picture_shape
        self.steps = steps
        self.augment = augment
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array_like, shape (n, H, W, C) or (n, n_features)
            Pictures, or rows.
        y : array_like, shape (n,)
            Their labels: numbers, strings, whatever can be sorted.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If `X` or `y` is not of this form or not finite, there are less than two classes, or a parameter of the
            constructor is wrong; it is named.
        NonFiniteError
            If the loss or a gradient becomes NaN or infinite, as with a learning rate that is too large.
        """
        self.__dict__.pop("net_", None)  # should this fail, no earlier network is left to answer
        epochs = integer(self.epochs, "epochs", minimum=1)
        pictures, y = self._pictures_and_labels(X, y, reset=True)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._start(pictures, labels)
        batch_size = self._batch_size(len(labels))
        count = epochs * max(len(labels) // batch_size, 1)
        if not callable(self.lr):
            self.optimizer_.schedule = Cosine(positive(self.lr, "lr"), steps=count)
        return self._train(pictures, labels, count)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Go on training, once through these pictures; the first call makes the network, unless `fit` has done so.

        Parameters
        ----------
        X, y
            As for `fit`.
        classes : array_like, shape (n_classes,), optional
            All labels that there will be; needed in the first call only.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, NonFiniteError
            As `fit`; also if the first call has no `classes`, a later one has others, or a label is none of them.
        """
        first = not hasattr(self, "net_")
        if first and classes is None:
            raise ValueError("classes must be all labels that there will be in the first call of partial_fit, got None")
        pictures, y = self._pictures_and_labels(X, y, reset=first)
        known = np.unique(np.asarray(classes)) if classes is not None else self.classes_
        if not first and not np.array_equal(known, self.classes_):
            before = shown(self.classes_.tolist())
            raise ValueError(f"classes must be those of the first call, {before}, got {shown(known.tolist())}")
        unknown = np.setdiff1d(y, known)
        if len(unknown):
            raise ValueError(f"y must be among classes, {shown(known.tolist())}, got {shown(unknown.tolist()[0])}")
        labels = np.searchsorted(known, y)
        if first:
            self.classes_ = known
            self._start(pictures, labels)
        self.optimizer_.schedule = self.lr if callable(self.lr) else Constant(positive(self.lr, "lr"))
        return self._train(pictures, labels, max(len(labels) // self._batch_size(len(labels)), 1))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array_like, shape (n, H, W, C) or (n, n_features)
            Pictures or rows, like those of the training.

        Returns
        -------
        ndarray, shape (n, n_classes), float32
            A column for each of `classes_`; each row sums to 1.

        Raises
        ------
        ValueError, TypeError
            If `X` is not of this form, or not like what the network was trained on.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        check_is_fitted(self, "net_")
        rows, shape = _rows(X)
        rows = validate_data(self, rows, reset=False, dtype=(np.float32, np.uint8))
        if shape not in (None, self.picture_shape_):
            raise ShapeError(f"X must be pictures of shape {self.picture_shape_}, as in fit, got {shape}")
        pictures = rows.reshape(-1, *self.picture_shape_)
        parts = (pictures[first : first + AT_A_TIME] for first in range(0, len(pictures), AT_A_TIME))
        with threads(self.n_jobs):
            return np.concatenate([softmax(self.net_.forward(apply(self.steps_, part))) for part in parts])

    def predict(self, X: ArrayLike) -> Array:
        """Return the likeliest label of each picture.

        Parameters
        ----------
        X, and what is raised
            As for `predict_proba`.

        Returns
        -------
        ndarray, shape (n,)
            Among `classes_`.
        """
        likeliest: Array = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[likeliest]
        return labels

    def _pictures_and_labels(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        """Return what to train on, checked; with `reset`, note what pictures these are."""
        rows, shape = _rows(X)
        rows, y = validate_data(self, rows, as_array(y, "y"), reset=reset, dtype=(np.float32, np.uint8))
        check_classification_targets(y)
        if reset:
            self.picture_shape_ = self._shape(shape, self.n_features_in_)
        if shape not in (None, self.picture_shape_):
            raise ShapeError(f"X must be pictures of shape {self.picture_shape_}, as before, got {shape}")
        return rows.reshape(-1, *self.picture_shape_), y

    def _shape(self, shape: tuple[int, ...] | None, features: int) -> tuple[int, int, int]:
        """Return height, width and channels of the pictures: what they have, what was said, or one pixel."""
        if self.picture_shape is None:
            H, W, C = (1, 1, features) if shape is None else shape
            return H, W, C
        if not isinstance(self.picture_shape, tuple | list) or len(self.picture_shape) != 3:
            raise ValueError(f"picture_shape must be (H, W, C), got {shown(self.picture_shape)}")
        H, W = pair(self.picture_shape[:2], "picture_shape", minimum=1)
        C = integer(self.picture_shape[2], "picture_shape[2]", minimum=1)
        if shape not in (None, (H, W, C)) or features != H * W * C:
            came = f"rows of {features} numbers" if shape is None else f"pictures of {shape}"
            raise ShapeError(f"X must be pictures or rows of picture_shape, {(H, W, C)}, got {came}")
        return H, W, C

    def _start(self, pictures: Array, labels: Array) -> None:
        """Make the network and its optimizer for these pictures and `classes_`."""
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got one class, {shown(self.classes_.tolist()[0])}")
        self._random = np.random.default_rng(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        data = self._data(pictures, labels, () if self.steps is None else self.steps)
        if self.steps is None:
            mean, deviation = data.statistics()
            data = data.with_steps([standardise(mean, [one if one > 0 else 1.0 for one in deviation])])
        self.steps_ = data.steps
        H, W, C = data.input_shape
        net = self._network(C)
        if (shape := net.output_shape((H, W, C))) != (len(self.classes_),):
            raise ShapeError(
                f"net must give a number for each of the {len(self.classes_)} classes in y, but makes {shape} of a "
                f"picture of {(H, W, C)}"
            )
        remember(net, data)
        self.optimizer_ = self._new_optimizer(net)
        self.history_ = History()
        self.net_ = net

    def _data(self, pictures: Array, labels: Array, steps: Sequence[Function]) -> Dataset:
        names = list(map(str, self.classes_.tolist()))
        return from_arrays(pictures, labels, pictures[:0], labels[:0], classes=names, steps=steps)

    def _network(self, channels: int) -> Layer:
        if isinstance(self.net, Layer):
            return copy.deepcopy(self.net)
        if isinstance(self.net, str) and self.net not in MODELS:
            raise ValueError(f"net must be one of {', '.join(MODELS)}, got {shown(self.net)}")
        make = MODELS[self.net] if isinstance(self.net, str) else self.net
        if make is None:
            make = _of_rows if self.picture_shape_[:2] == (1, 1) else simple_cnn
        if not callable(make):
            raise TypeError(f"net must be a name, a function that makes a network, or a network, got {shown(make)}")
        made = make(classes=len(self.classes_), input_channels=channels, rng=self._random)
        if not isinstance(made, Layer):
            raise TypeError(f"net must return a network, an npcnn.Layer, got {shown(made)}")
        return made

    def _new_optimizer(self, net: Layer) -> Optimizer:
        if isinstance(self.optimizer, str) and self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {shown(self.optimizer)}")
        make = OPTIMIZERS[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer
        if not callable(make):
            raise TypeError(f"optimizer must be a name or a function (net, lr) -> optimizer, got {shown(make)}")
        made = make(net, self.lr if callable(self.lr) else Constant(positive(self.lr, "lr")))
        if not isinstance(made, Optimizer):
            raise TypeError(f"optimizer must return an optimizer of npcnn, got {shown(made)}")
        return made

    def _batch_size(self, count: int) -> int:
        return min(integer(self.batch_size, "batch_size", minimum=1), count)

    def _train(self, pictures: Array, labels: Array, count: int) -> Self:
        """Do so many steps."""
        data = self._data(pictures, labels, self.steps_)
        done = self.optimizer_.steps
        callbacks: list[Callback] = [self.history_]
        with contextlib.ExitStack() as stack:
            stack.enter_context(threads(self.n_jobs))
            if self.verbose:
                callbacks.append(stack.enter_context(Progress(done + count)))
            batches = stack.enter_context(
                TrainingBatches(
                    data,
                    batch_size=self._batch_size(len(labels)),
                    augment=self.augment,
                    seed=int(self._random.integers(1 << 31)),
                )
            )
            fit(self.net_, batches, self.optimizer_, steps=done + count, start=done, callbacks=callbacks)
        return self


@contextlib.contextmanager
def threads(n_jobs: int | None) -> Iterator[None]:
    """Compute with so many threads inside the ``with`` block, counted as scikit-learn does.

    Parameters
    ----------
    n_jobs : int or None
        1 or more; -1 for one on each core, -2 for one less, and so on; None for as many as there are.

    Raises
    ------
    TypeError, ValueError
        If it is no integer, or 0.

    Examples
    --------
    >>> from npcnn.sklearn import threads
    >>> before = nn.get_num_threads()
    >>> with threads(1):
    ...     nn.get_num_threads()
    1
    >>> nn.get_num_threads() == before
    True
    """
    before = get_num_threads()
    count = before if n_jobs is None else integer(n_jobs, "n_jobs", minimum=-(1 << 10), maximum=1 << 10)
    if count == 0:
        raise ValueError("n_jobs must be at least 1, or below 0 to count from the number of cores, got 0")
    if count < 0:
        count = max(_cores() + 1 + count, 1)
    if count == before:
        yield
        return
    set_num_threads(count)
    try:
        yield
    finally:
        set_num_threads(before)


def _cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    else:  # without it mypy sees no way here
        return os.cpu_count() or 1


def _rows(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Return pictures as the rows of numbers that scikit-learn checks, and their shape; what else came, and None."""
    X = as_array(X, "X")
    axes = getattr(X, "ndim", 2)
    if axes == 3:
        raise ShapeError(
            f"X must be pictures (n, H, W, C) or rows (n, n_features), got shape {tuple(X.shape)}; grey pictures have "
            "one channel: add it with X[..., None]"
        )
    if axes != 4:
        return X, None
    X = np.asarray(X)
    return X.reshape(len(X), math.prod(X.shape[1:])), X.shape[1:]


def _of_rows(*, classes: int, input_channels: int, rng: np.random.Generator) -> Sequential:
    """Return the network for rows of numbers, pictures of one pixel."""
    return Sequential(Flatten(), Dense(input_channels, 64, rng=rng), ReLU(), Dense(64, classes, rng=rng))
