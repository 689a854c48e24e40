"""What a trained classifier gets right and wrong: probabilities, confusion matrix, the worst mistakes.

And `Views`, which lets it look at a picture more than once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npcnn.errors import DTypeError, ShapeError
from npcnn.functional import softmax
from npcnn.functional.checks import class_labels, float_array, integer, number, shown
from npcnn.functional.exchange import as_array
from npcnn.functional.outputs import addressable
from npcnn.layers import Layer

Array = NDArray[Any]


class ClassScore(NamedTuple):
    """How well one class is recognised.

    Attributes
    ----------
    pictures : int
        Pictures of the class.
    recall : float
        Share of them that were recognised; NaN if there are none.
    precision : float
        Share of the pictures taken for the class that belong to it; NaN if there are none.
    """

    pictures: int
    recall: float
    precision: float


class Views(Layer):
    """A classifier that looks at a picture six times, and takes the mean of what it sees (test-time augmentation).

    logits = half of (plain + mirrored) / 2, and a quarter each of the same for the picture shifted by a pixel up and
    left, and by one down and right.  What comes in at the border is the picture mirrored at its border pixels.

    It stands wherever a network is only asked for its answers: in `predict`, `npcnn.train.evaluate`, and as the `views`
    of `npcnn.train.Run.fit` and `npcnn.report.write`.  It has no `backward`.

    Parameters
    ----------
    net : Layer
        Gives logits, shape (N, classes), for pictures (N, H, W, C).
    sure : float, optional
        From which probability on, of the likeliest class, one look at a picture is enough: its logits are the plain
        ones then.  The others get all six views, and what they would get without `sure`, which saves most of the time
        where a network is mostly sure.  By default none is enough.

    Raises
    ------
    TypeError, ValueError
        If `net` is no layer, or `sure` not from 0 to 1.

    References
    ----------
    Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section
    4.1; these six views are those of Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.5.

    Examples
    --------
    A network that gives the pixel at the left and twice the one at the right; the rows of the picture are alike:

    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, bias=False))
    >>> net.params["1_dense.w"] = np.array([[1, 0], [0, 2], [0, 0], [0, 0]], np.float32)
    >>> x = np.array([8.0, 0.0] * 2, np.float32).reshape(1, 2, 2, 1)
    >>> net(x), nn.evaluation.Views(net)(x)
    (array([[8., 0.]], dtype=float32), array([[4., 8.]], dtype=float32))
    """

    def __init__(self, net: Layer, *, sure: float | None = None) -> None:
        super().__init__()
        if not isinstance(net, Layer):
            raise TypeError(f"net must be a layer that gives logits, got {shown(net)}")
        self.sure = None if sure is None else number(sure, "sure", minimum=0, below=np.nextafter(1, 2))
        self.children = {"net": net}

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return the logits of the pictures `x`; ValueError with ``training=True``."""
        if training:
            raise ValueError("training must be False: Views is for a trained network; train the network itself")
        x = float_array(x, "x", "N, H, W, C")
        net = self.children["net"]
        logits = np.array(net.forward(x))
        unsure = np.arange(len(x)) if self.sure is None else np.flatnonzero(softmax(logits).max(axis=1) < self.sure)
        if len(unsure):
            x, (H, W) = x[unsure], x.shape[1:3]
            larger = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
            shifted = [net.forward(view) for one in (larger[:, :H, :W], larger[:, 2:, 2:]) for view in _sides(one)]
            both = logits[unsure] + net.forward(_sides(x)[1])
            logits[unsure] = both / 4 + sum(shifted) / 8
        return logits


def _sides(x: Array) -> tuple[Array, Array]:
    """Return pictures, and the same with left and right swapped."""
    return np.ascontiguousarray(x), np.ascontiguousarray(x[:, :, ::-1])


def predict(net: Layer, batches: Iterable[tuple[Array, Array]]) -> tuple[Array, NDArray[np.int64]]:
    """Return the probabilities of the classes for every picture, and the true classes.

    Parameters
    ----------
    net : Layer
        Gives logits, shape (N, classes).
    batches : iterable of (x, labels)
        As `npcnn.datasets.evaluation_batches` gives them; at least one.

    Returns
    -------
    probabilities : ndarray, shape (pictures, classes)
    labels : ndarray, shape (pictures,), int64

    Raises
    ------
    ValueError
        If there is no batch.
    TypeError
        If a batch is not a pair (x, labels).
    DTypeError, ShapeError, ValueError
        If labels are not integers, not one for each row of the logits, or none of their columns.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2, weight_init=nn.initializers.constant(0.0)))
    >>> x, labels = np.zeros((3, 2, 2, 1), np.float32), np.array([0, 1, 1])
    >>> nn.evaluation.predict(net, [(x, labels)])[0][0].tolist()
    [0.5, 0.5]
    """
    parts = []
    for x, labels in map(checked_batch, batches):
        probabilities = softmax(net.forward(x))
        parts.append((probabilities, class_labels(labels, probabilities, "logits")))
    if not parts:
        raise ValueError("batches must hold at least one batch, got none")
    return np.concatenate([p for p, _ in parts]), np.concatenate([labels for _, labels in parts]).astype(np.int64)


def checked_batch(batch: Any) -> tuple[Array, Array]:
    """Return a batch if it is a pair (x, labels).

    Raises
    ------
    TypeError
        If it is not, as when (x, labels) was passed for a list of batches.
    """
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        raise TypeError(
            f"each of batches must be a pair (x, labels), got {type(batch).__name__}; "
            "pass one batch as [(x, labels)], or cut it up with npcnn.datasets.evaluation_batches(x, labels)"
        )
    x, labels = batch
    return as_array(x, "x"), as_array(labels, "labels")


def confusion_matrix(labels: Array, predicted: Array, classes: int) -> NDArray[np.int64]:
    """Count how often each class was taken for each: rows are the true classes, columns the predicted ones.

    Parameters
    ----------
    labels, predicted : ndarray, shape (N,), integers
        True and predicted classes, 0 to `classes` - 1, of any integer type.
    classes : int
        Number of classes.

    Raises
    ------
    ShapeError, DTypeError, ValueError
        If the two differ in length, are not integers, or a class is out of range.

    Examples
    --------
    >>> nn.evaluation.confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    classes = integer(classes, "classes", minimum=1)
    addressable((classes, classes), np.int64, "the matrix")
    labels, predicted = np.asarray(as_array(labels, "labels")), np.asarray(as_array(predicted, "predicted"))
    if labels.ndim != 1 or labels.shape != predicted.shape:
        raise ShapeError(f"labels and predicted must have one length, got {labels.shape} and {predicted.shape}")
    for name, values in (("labels", labels), ("predicted", predicted)):
        if values.dtype.kind not in "biu":
            raise DTypeError(f"{name} must be integers, the numbers of the classes, got {values.dtype}")
        if len(values) and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(f"{name} must be from 0 to {classes - 1}, got {values.min()} to {values.max()}")
    # The number of a cell may be larger than the type of the labels can hold.
    cells = labels.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def class_scores(matrix: Array) -> list[ClassScore]:
    """Return pictures, recall and precision of every class of a confusion matrix.

    Examples
    --------
    >>> nn.evaluation.class_scores(np.array([[3, 1], [0, 0]]))
    [ClassScore(pictures=4, recall=0.75, precision=1.0), ClassScore(pictures=0, recall=nan, precision=0.0)]
    """
    right, pictures, taken = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recall, precision = right / pictures, right / taken
    return [ClassScore(int(n), float(r), float(p)) for n, r, p in zip(pictures, recall, precision, strict=True)]


def worst_mistakes(probabilities: Array, labels: Array, count: int) -> NDArray[np.int64]:
    """Return the indices of the pictures that were misclassified with the most confidence, worst first.

    Parameters
    ----------
    probabilities : ndarray, shape (N, classes)
        As `predict` returns them.
    labels : ndarray, shape (N,), integers
        True classes.
    count : int
        How many at most.

    Raises
    ------
    TypeError, DTypeError, ShapeError, ValueError
        If `labels` are not integers, one for each row of `probabilities`, or `count` is wrong.

    Examples
    --------
    >>> nn.evaluation.worst_mistakes(np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), np.array([1, 1, 0]), 5)
    array([0, 2])
    """
    labels = class_labels(labels, probabilities, "probabilities")
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    return wrong[np.argsort(-confidence, kind="stable")][: integer(count, "count", minimum=0)]


def mistake_titles(probabilities: Array, labels: Array, class_names: Sequence[str]) -> list[str]:
    r"""Return what each picture is, what it was taken for, and with what probability, in two lines.

    Examples
    --------
    >>> nn.evaluation.mistake_titles(np.array([[0.9, 0.1]]), np.array([1]), ("cat", "dog"))
    ['dog, taken for\ncat 90%']
    """
    return [
        f"{class_names[label]}, taken for\n{class_names[row.argmax()]} {row.max():.0%}"
        for row, label in zip(probabilities, class_labels(labels, probabilities, "probabilities"), strict=True)
    ]
