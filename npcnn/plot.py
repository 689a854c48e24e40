"""Pictures of a training, drawn with matplotlib (``python -m pip install ".[plot]"`` in the clone).

Each function draws into the Axes it is given as `ax`, or into those of a new pyplot figure (which a notebook shows by
itself, and `matplotlib.pyplot.show` in a window), and returns them.  Without matplotlib it raises ImportError.  An
argument that is not as the docstring says is named in an error: `ShapeError` for shapes that are wrong or do not fit
together, else TypeError or ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn import reference
from npcnn.errors import ShapeError
from npcnn.functional.checks import integer, shown
from npcnn.functional.windows import IntOrPair, Padding, window_geometry
from npcnn.layers import Layer
from npcnn.layers.names import snake_case
from npcnn.metrics import read_metrics

Axes = Any  # matplotlib.axes.Axes; matplotlib is imported when something is drawn
# More than this many numbers, or lines of a table, cannot be read in a drawing.
MOST_NUMBERS, MOST_LABELS = 400, 40


def training_curve(metrics: Any, *, ax: Any = None, smooth: int = 100) -> Any:
    """Draw accuracy in training and at the evaluations against the step, or where there is none, the loss.

    Parameters
    ----------
    metrics : str, Path or npcnn.train.History
        File that `npcnn.train.MetricsCSV` wrote, or what was kept in memory.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    smooth : int
        Each point of the training curve is the mean of this many steps up to it, at most a fifth of all steps; the
        first points are means of the steps so far.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no step, or the file is not one that `MetricsCSV` wrote.
    """
    in_file = isinstance(metrics, str | Path)
    steps_rows, evaluations = read_metrics(metrics) if in_file else (metrics.steps, metrics.evaluations)
    if not steps_rows:
        raise ValueError(f"metrics must hold at least one step, got none{f' in {metrics}' if in_file else ''}")
    drawn = "loss" if any(math.isnan(row["accuracy"]) for row in steps_rows) else "accuracy"
    training = [(row["step"], row[drawn]) for row in steps_rows]
    test = [(row["step"], row[f"test_{drawn}"]) for row in evaluations]
    ax = _axes(ax, (8, 4.5))
    steps, values = np.array(training).T
    window = max(1, min(smooth, len(steps) // 5))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(steps) + 1)
    begins = np.maximum(ends - window, 0)
    means = (sums[ends] - sums[begins]) / (ends - begins)
    ax.plot(steps, means, label=f"training batch, mean of {window} steps")
    if test:
        ax.plot(
            *np.array(test).T,
            marker="o",
            markersize=3,
            label=f"{getattr(metrics, 'evaluated_on', 'test')}, last {test[-1][1]:.4f}",
        )
    ax.set_xlabel("step")
    ax.set_ylabel(drawn)
    ax.set_xlim(0, steps[-1] * 1.02)
    if drawn == "accuracy":
        ax.set_ylim(0, 1)
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right" if drawn == "accuracy" else "upper right")
    return ax


def learning_rates(lrs: Any, losses: Any, suggestion: float, *, ax: Axes | None = None) -> Axes:
    """Draw the loss against the learning rate, as `npcnn.train.find_lr` found it.

    Parameters
    ----------
    lrs, losses : array_like, shape (steps,)
        Learning rates above 0, and the loss at each.
    suggestion : float
        The learning rate to mark.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ShapeError
        If there are not as many losses as learning rates.
    """
    lrs, losses = np.asarray(lrs, np.float64), np.asarray(losses, np.float64)
    if lrs.ndim != 1 or lrs.shape != losses.shape or not len(lrs):
        raise ShapeError(f"lrs and losses must have one shape (steps,), got {lrs.shape} and {losses.shape}")
    ax = _axes(ax, (8, 4.5))
    ax.plot(lrs, losses)
    ax.axvline(suggestion, color="C1", linestyle="--", label=f"suggestion {suggestion:.2g}")
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss (running mean)")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def confusion_matrix(matrix: Any, class_names: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw how often each class was taken for each, as a share of the true class.

    Parameters
    ----------
    matrix : ndarray, shape (classes, classes)
        Counts, as `npcnn.evaluation.confusion_matrix` returns them.
    class_names : sequence of str
        A name for each class.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(class_names), len(class_names)):
        raise ShapeError(f"matrix must have shape ({len(class_names)}, {len(class_names)}), got {matrix.shape}")
    ax = _axes(ax, (7.5, 7))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    _write_cells(
        ax, shares, lambda i, j: f"{shares[i, j]:.0%}", lambda i, j: "white" if shares[i, j] > 0.7 else "black"
    )
    if len(class_names) <= MOST_LABELS:
        ax.set_xticks(range(len(class_names)), class_names, rotation=45, ha="right")
        ax.set_yticks(range(len(class_names)), class_names)
    ax.set_title("Confusion matrix: what the pictures of each class were taken for")
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    return ax


def filters(w: Any, *, ax: Axes | None = None, columns: int = 16) -> Axes:
    """Draw the kernels of a first layer as little pictures, each stretched to its own range.

    Parameters
    ----------
    w : ndarray, shape (KH, KW, 1 or 3, C_out)
        Weights of a 2-D convolution of grey or coloured pictures.
    columns : int
        Kernels side by side.
    """
    return _drawn(filter_sheet(w, columns=columns), np.shape(w)[3], ax, columns)


def filter_sheet(w: Any, *, columns: int = 16) -> NDArray[np.float64]:
    """Return what `filters` draws as an array, a pixel for each number.

    Parameters
    ----------
    w, columns
        As for `filters`.

    Returns
    -------
    ndarray, shape (height, width, 3), float64
        Colours from 0 to 1; between the kernels is a pixel of white.

    Raises
    ------
    ShapeError
        If `w` has another shape.

    Examples
    --------
    >>> nn.plot.filter_sheet(nn.Conv2D(3, 64, 5).params["w"]).shape
    (23, 95, 3)
    """
    w = np.asarray(w, np.float64)
    if w.ndim != 4 or w.shape[2] not in (1, 3) or 0 in w.shape:
        raise ShapeError(
            f"w must have shape (KH, KW, 1 or 3, C_out), got {w.shape}; of a deeper layer take one channel, w[:, :, :1]"
        )
    low, high = w.min(axis=(0, 1, 2)), w.max(axis=(0, 1, 2))
    return _sheet(np.moveaxis((w - low) / np.maximum(high - low, 1e-12), 3, 0), columns)


def feature_maps(y: Any, *, ax: Axes | None = None, columns: int = 16) -> Axes:
    """Draw a layer's output for one picture: a little grey picture for each channel, all on one scale.

    Parameters
    ----------
    y : ndarray, shape (H, W, C)
        One picture of a layer's output, ``layer.forward(x)[0]``.
    columns : int
        Maps side by side.
    """
    y = np.asarray(y, np.float64)
    if y.ndim != 3 or 0 in y.shape:
        raise ShapeError(f"y must have shape (H, W, C) of one picture, got {y.shape}; of a batch take one, y[0]")
    maps = np.moveaxis((y - y.min()) / max(y.max() - y.min(), 1e-12), 2, 0)[..., np.newaxis]
    return _drawn(_sheet(maps, columns), len(maps), ax, columns)


def window(
    x: Any,
    size: IntOrPair,
    pixel: tuple[int, int],
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw a small picture in its padding, and on it the window of one output pixel.

    Blue is below zero, orange above, and grey is padding.  Where there is room the numbers are written.

    Parameters
    ----------
    x : ndarray, shape (H, W)
        One channel of a picture.
    size, stride, padding, dilation
        Of the convolution, as in `npcnn.functional.conv2d`.
    pixel : (int, int)
        Row and column of the output pixel.
    """
    x = np.asarray(x)
    if x.ndim != 2 or 0 in x.shape:
        raise ShapeError(
            f"x must have shape (H, W), one channel of one picture, got {x.shape}; take one, x[0, :, :, 0]"
        )
    geometry = window_geometry(x.shape, size, stride=stride, padding=padding, dilation=dilation)
    corner = [integer(place, "pixel", minimum=0) for place in pixel]
    if len(corner) != 2 or any(place >= length for place, length in zip(corner, geometry.output, strict=True)):
        raise ValueError(f"pixel must be (row, column) in an output of {geometry.output}, got {shown(pixel)}")
    (top, _), (left, _) = geometry.padding
    padded = np.pad(x, geometry.padding)
    is_padding = np.pad(np.zeros(x.shape, bool), geometry.padding, constant_values=True)
    from matplotlib.patches import Rectangle

    ax = _axes(ax, (0.5 * padded.shape[1] + 0.6, 0.5 * padded.shape[0] + 0.6))
    _signed_image(ax, padded, is_padding)
    ax.set_aspect("equal")
    _write_cells(ax, padded, lambda i, j: f"{padded[i, j]:.4g}", lambda i, j: "grey" if is_padding[i, j] else "black")
    (row, col), (sh, sw), (dh, dw) = corner, geometry.stride, geometry.dilation
    for kh, kw in np.ndindex(*geometry.size):
        tap = (col * sw + kw * dw - 0.5, row * sh + kh * dh - 0.5)
        ax.add_patch(Rectangle(tap, 1, 1, fill=False, edgecolor="black", linewidth=2))
    ax.set_xticks(range(left, left + x.shape[1]), range(x.shape[1]), fontsize=8)
    ax.set_yticks(range(top, top + x.shape[0]), range(x.shape[0]), fontsize=8)
    ax.set_xlabel("column of the picture", fontsize=8)
    ax.set_ylabel("row of the picture", fontsize=8)
    return ax


def im2col(
    x: Any,
    size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw the im2col matrix of one picture: a row for each output pixel, a column for each weight of a kernel.

    Blue is below zero, orange above, and grey with a cross is padding.  Where there is room the numbers are written.

    Parameters
    ----------
    x : ndarray, shape (H, W, C)
        The picture; a small one.
    size, stride, padding, dilation
        Of the convolution, as in `npcnn.functional.conv2d`.
    """
    x = np.asarray(x)
    if x.ndim != 3 or 0 in x.shape:
        raise ShapeError(f"x must have shape (H, W, C) of one picture, got {x.shape}; of a batch take one, x[0]")
    geometry = window_geometry(x.shape[:2], size, stride=stride, padding=padding, dilation=dilation)
    (KH, KW), C = geometry.size, x.shape[2]
    window: Any = {"stride": geometry.stride, "padding": geometry.padding, "dilation": geometry.dilation}
    matrix = reference.im2col(x[np.newaxis], geometry.size, **window)
    is_padding = reference.im2col(np.ones((1, *x.shape)), geometry.size, **window) == 0
    ax = _axes(ax, (min(12, 2 + 0.45 * matrix.shape[1]), min(10, 1.5 + 0.3 * matrix.shape[0])))
    _signed_image(ax, matrix, is_padding)
    _write_cells(ax, matrix, lambda i, j: "x" if is_padding[i, j] else f"{matrix[i, j]:.4g}")
    positions = [f"{i},{j}" for i, j in np.ndindex(*geometry.output)]
    taps = [f"{kh},{kw}" + (f",{c}" if C > 1 else "") for kh, kw, c in np.ndindex(KH, KW, C)]
    if len(positions) <= MOST_LABELS:
        ax.set_yticks(range(len(positions)), positions, fontsize=8)
    if len(taps) <= MOST_LABELS:
        ax.set_xticks(range(len(taps)), taps, fontsize=8, rotation=0 if C == 1 else 90)
    ax.set_xlabel("weight: row, column" + (", channel" if C > 1 else "") + " of the kernel")
    ax.set_ylabel("output pixel: row, column")
    return ax


def multiplications(net: Layer, input_shape: tuple[int, ...], *, ax: Axes | None = None) -> Axes:
    """Draw how many multiplications each layer takes for one picture: by the definition, and what is spent.

    Layers that take none are left out.

    Parameters
    ----------
    net : Layer
        The network.
    input_shape : tuple of int
        Shape of its input without the batch axis.
    """
    net.output_shape(input_shape)  # first, because its error says which layer refuses the input
    counted = [
        (
            name or snake_case(type(layer).__name__),
            layer.multiplications(shape),
            layer.multiplications(shape, spent=True),
        )
        for name, layer, shape in net.input_shapes(input_shape)
        if not layer.children
    ]
    names = [name for name, definition, _ in counted if definition]
    millions = np.array([(definition, spent) for _, definition, spent in counted if definition]).reshape(-1, 2) / 1e6
    ax = _axes(ax, (8, 1.2 + 0.55 * max(len(names), 1)))
    places = np.arange(len(names))
    for offset, column, label in ((-0.2, 0, "by the definition"), (0.2, 1, "spent")):
        bars = ax.barh(places + offset, millions[:, column], height=0.38, label=label)
        ax.bar_label(bars, [f"{count:.3g}" for count in millions[:, column]], padding=3, fontsize=8)
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlabel("million multiplications for one picture")
    ax.margins(x=0.12)
    ax.legend()
    return ax


def pictures(images: Any, titles: Sequence[str], *, ax: Axes | None = None, columns: int = 6) -> Axes:
    """Draw pictures as a contact sheet, a title of up to two lines under each.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, 3), or for grey ones (N, H, W, 1) or (N, H, W); uint8 or floats from 0 to 1
        At least one.
    titles : sequence of str
        One for each.
    columns : int
        Pictures side by side.
    """
    images = _rgb(images, "images", "N, ")
    if len(titles) != len(images):
        raise ShapeError(f"there must be as many titles as pictures, got {len(titles)} for {len(images)}")
    H, W = images.shape[1:3]
    columns = min(integer(columns, "columns", minimum=1), len(images))
    rows = -(-len(images) // columns)
    ax = _axes(ax, (1.55 * columns, 1.9 * rows))
    pitch_x, pitch_y = 1.25 * W, 1.55 * H
    for i, (image, title) in enumerate(zip(images, titles, strict=True)):
        left, top = i % columns * pitch_x, i // columns * pitch_y
        ax.imshow(image, extent=(left, left + W, top + H, top), interpolation="nearest")
        ax.text(left + W / 2, top + 1.04 * H, title, ha="center", va="top", fontsize=8)
    ax.set_xlim(-0.13 * W, columns * pitch_x - 0.12 * W)
    ax.set_ylim(rows * pitch_y, -0.05 * H)
    ax.set_axis_off()
    return ax


def prediction(
    picture: Any, probabilities: Any, class_names: Sequence[str], *, ax: Axes | None = None, top: int = 3
) -> Axes:
    """Draw a picture, and beside it the likeliest classes as bars.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), or for a grey one (H, W, 1) or (H, W); uint8 or floats from 0 to 1
    probabilities : ndarray, shape (classes,)
        Of its classes.
    class_names : sequence of str
        A name for each class.
    top : int
        How many classes.
    """
    picture, probabilities = _rgb(picture, "picture"), np.asarray(probabilities)
    if probabilities.shape != (len(class_names),):
        raise ShapeError(f"probabilities must have shape ({len(class_names)},), got {probabilities.shape}")
    ax = _axes(ax, (7, 2.6))
    likeliest = np.argsort(-probabilities, kind="stable")[: integer(top, "top", minimum=1)]
    ax.imshow(picture, extent=(0, 1, 0, 1), interpolation="nearest")
    row = 1 / max(len(likeliest), 3)
    for place, i in enumerate(likeliest):
        y = 1 - (place + 0.5) * row
        ax.barh(y, 1.6, left=1.1, height=0.8 * row, color="#e6e6e6")  # a probability of 1
        ax.barh(y, 1.6 * probabilities[i], left=1.1, height=0.8 * row, color="#7fb4d9")
        ax.text(1.14, y, f"{class_names[i]}  {probabilities[i]:.1%}", va="center", fontsize=min(11, 90 * row))
    ax.set_xlim(0, 2.7)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def _rgb(pictures: Any, argument: str, batch: str = "") -> Any:
    """Return pictures with three channels, equal ones for grey, since matplotlib would not draw one channel as grey."""
    x = np.asarray(pictures)
    axes = 4 if batch else 3
    if x.ndim == axes - 1:
        x = x[..., np.newaxis]
    if x.ndim != axes or x.shape[-1] not in (1, 3) or 0 in x.shape:
        raise ShapeError(
            f"{argument} must have shape ({batch}H, W, 3), or ({batch}H, W, 1) or ({batch}H, W) for grey, "
            f"got {np.shape(pictures)}"
        )
    return np.broadcast_to(x, (*x.shape[:-1], 3))


def _write_cells(
    ax: Axes,
    values: Any,
    text: Callable[[int, int], str],
    colour: Callable[[int, int], str] = lambda i, j: "black",
) -> None:
    """Write a text into each cell of a drawn table, where there is room for all of them."""
    if values.size <= MOST_NUMBERS:
        for i, j in np.ndindex(values.shape):
            ax.text(j, i, text(i, j), ha="center", va="center", fontsize=8, color=colour(i, j))


def _signed_image(ax: Axes, values: Any, is_padding: Any) -> None:
    """Draw numbers as colours: blue below zero, orange above, the padding grey."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("signed", ["#0072b2", "#ffffff", "#e69f00"]).with_extremes(
        bad="#d0d0d0"
    )
    # In float64: -128 of an int8 has no absolute value.
    largest = np.abs(values, dtype=np.float64).max(initial=0, where=~is_padding) or 1
    shown = np.ma.masked_array(values, is_padding)
    ax.imshow(shown, cmap=colours, vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")


def _sheet(images: Any, columns: int) -> NDArray[np.float64]:
    """Return small pictures in a grid, a pixel of white between them."""
    count, H, W, _ = images.shape
    columns = min(integer(columns, "columns", minimum=1), count)
    rows = -(-count // columns)
    sheet = np.ones((rows * (H + 1) - 1, columns * (W + 1) - 1, 3))
    for i, image in enumerate(images):
        top, left = i // columns * (H + 1), i % columns * (W + 1)
        sheet[top : top + H, left : left + W] = image
    return sheet


def _drawn(sheet: NDArray[np.float64], count: int, ax: Axes | None, columns: int) -> Axes:
    """Draw a sheet of so many small pictures."""
    columns = min(columns, count)
    ax = _axes(ax, (0.5 * columns, 0.5 * -(-count // columns)))
    ax.imshow(sheet, interpolation="nearest")
    ax.set_axis_off()
    return ax


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]
