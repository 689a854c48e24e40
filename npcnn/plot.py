"""Pictures of a training, drawn with matplotlib (``pip install npcnn[plot]``).

Each function draws into the Axes it is given, or into those of a new pyplot figure (which a notebook shows by itself,
and `matplotlib.pyplot.show` in a window), and returns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npcnn import reference
from npcnn.errors import ShapeError
from npcnn.functional.checks import integer
from npcnn.functional.windows import IntOrPair, Padding, window_geometry
from npcnn.layers import Layer
from npcnn.layers.base import snake_case
from npcnn.metrics import read_metrics

# More than this many numbers, or lines of a table, cannot be read in a drawing.
MOST_NUMBERS, MOST_LABELS = 400, 40


def training_curve(metrics: str | Path, *, ax: Any = None, smooth: int = 100) -> Any:
    """Draw training and test accuracy against the step.

    Parameters
    ----------
    metrics : str or Path
        File that `npcnn.train.MetricsCSV` wrote.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    smooth : int
        Each point of the training curve is the mean of this many steps up to it, at most a fifth of all steps; the
        first points are means of the steps there are by then.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the file holds no step, or is not one that `MetricsCSV` wrote.
    """
    steps_rows, evaluations = read_metrics(metrics)
    training = [(row["step"], row["accuracy"]) for row in steps_rows]
    test = [(row["step"], row["test_accuracy"]) for row in evaluations]
    if not training:
        raise ValueError(f"metrics must hold at least one step, got none in {metrics}")
    ax = _axes(ax, (8, 4.5))
    steps, accuracy = np.array(training).T
    window = max(1, min(smooth, len(steps) // 5))
    sums = np.concatenate([[0.0], np.cumsum(accuracy)])
    ends = np.arange(1, len(steps) + 1)
    begins = np.maximum(ends - window, 0)
    means = (sums[ends] - sums[begins]) / (ends - begins)
    ax.plot(steps, means, label=f"training batch, mean of {window} steps")
    if test:
        ax.plot(*np.array(test).T, marker="o", markersize=3, label=f"test, last {test[-1][1]:.4f}")
    ax.set_xlabel("step")
    ax.set_ylabel("accuracy")
    ax.set_xlim(0, steps[-1] * 1.02)
    ax.set_ylim(0, 1)
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
    return ax


def confusion_matrix(matrix: Any, class_names: Sequence[str], *, ax: Any = None) -> Any:
    """Draw how often each class was taken for each, as a share of the true class.

    Parameters
    ----------
    matrix : ndarray, shape (classes, classes)
        Counts, as `npcnn.evaluation.confusion_matrix` returns them.
    class_names : sequence of str
        A name for each class.
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
        If there are not as many names as classes.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(class_names), len(class_names)):
        raise ShapeError(f"matrix must have shape ({len(class_names)}, {len(class_names)}), got {matrix.shape}")
    ax = _axes(ax, (7.5, 6.5))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        ax.text(j, i, f"{share:.0%}", ha="center", va="center", fontsize=8, color="white" if share > 0.5 else "black")
    ax.set_xticks(range(len(class_names)), class_names, rotation=45, ha="right")
    ax.set_yticks(range(len(class_names)), class_names)
    ax.set_xlabel("taken for")
    ax.set_ylabel("is")
    return ax


def filters(w: Any, *, ax: Any = None, columns: int = 16) -> Any:
    """Draw the kernels of a first layer as little pictures, each stretched to its own range.

    Parameters
    ----------
    w : ndarray, shape (KH, KW, 1 or 3, C_out)
        Weights of a 2-D convolution of grey or coloured pictures.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    columns : int
        Kernels side by side.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ShapeError
        If `w` is not of that shape.
    """
    w = np.asarray(w)
    if w.ndim != 4 or w.shape[2] not in (1, 3):
        raise ShapeError(f"w must have shape (KH, KW, 1 or 3, C_out), got {w.shape}")
    low, high = w.min(axis=(0, 1, 2)), w.max(axis=(0, 1, 2))
    kernels = np.moveaxis((w - low) / np.maximum(high - low, 1e-12), 3, 0)
    return _mosaic(np.broadcast_to(kernels, (*kernels.shape[:3], 3)), ax, columns)


def feature_maps(y: Any, *, ax: Any = None, columns: int = 16) -> Any:
    """Draw what a layer puts out for one picture: a little grey picture for each channel, on one scale for all.

    Parameters
    ----------
    y : ndarray, shape (H, W, C)
        One picture of a layer's output, ``layer.forward(x)[0]``.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    columns : int
        Maps side by side.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ShapeError
        If `y` is not of that shape.
    """
    y = np.asarray(y)
    if y.ndim != 3 or 0 in y.shape:
        raise ShapeError(f"y must have shape (H, W, C) of one picture, got {y.shape}; of a batch take one, y[0]")
    maps = np.moveaxis((y - y.min()) / max(y.max() - y.min(), 1e-12), 2, 0)[..., np.newaxis]
    return _mosaic(np.broadcast_to(maps, (*maps.shape[:3], 3)), ax, columns)


def window(
    x: Any,
    size: IntOrPair,
    pixel: tuple[int, int],
    *,
    stride: IntOrPair = 1,
    padding: Padding = "same",
    dilation: IntOrPair = 1,
    ax: Any = None,
) -> Any:
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
        If `x` is not of that shape, or the window does not fit it.
    TypeError, ValueError
        If an argument is not of the form above, or the output has no such pixel.
    """
    x = np.asarray(x)
    if x.ndim != 2 or 0 in x.shape:
        raise ShapeError(
            f"x must have shape (H, W), one channel of one picture, got {x.shape}; take one, x[0, :, :, 0]"
        )
    geometry = window_geometry(x.shape, size, stride=stride, padding=padding, dilation=dilation)
    corner = [integer(place, "pixel", minimum=0) for place in pixel]
    if len(corner) != 2 or any(place >= length for place, length in zip(corner, geometry.output, strict=True)):
        raise ValueError(f"pixel must be (row, column) in an output of {geometry.output}, got {pixel}")
    (top, _), (left, _) = geometry.padding
    padded = np.pad(x, geometry.padding)
    is_padding = np.pad(np.zeros(x.shape, bool), geometry.padding, constant_values=True)
    from matplotlib.patches import Rectangle

    ax = _axes(ax, (0.5 * padded.shape[1] + 0.6, 0.5 * padded.shape[0] + 0.6))
    _signed_image(ax, np.ma.masked_array(padded, is_padding))
    ax.set_aspect("equal")
    if padded.size <= MOST_NUMBERS:
        for (i, j), value in np.ndenumerate(padded):
            ax.text(
                j,
                i,
                f"{value:.4g}",
                ha="center",
                va="center",
                fontsize=8,
                color="grey" if is_padding[i, j] else "black",
            )
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
    ax: Any = None,
) -> Any:
    """Draw the im2col matrix of one picture: a row for each output pixel, a column for each weight of a kernel.

    Blue is below zero, orange above, and grey with a cross is padding.  Where there is room the numbers are written.

    Parameters
    ----------
    x : ndarray, shape (H, W, C)
        The picture; a small one.
    size, stride, padding, dilation
        Of the convolution, as in `npcnn.functional.conv2d`.
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
        If `x` is not of that shape, or the window does not fit it.
    TypeError, ValueError
        If an argument is not of the form above.
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
    _signed_image(ax, np.ma.masked_array(matrix, is_padding))
    if matrix.size <= MOST_NUMBERS:
        for (i, j), value in np.ndenumerate(matrix):
            ax.text(j, i, "x" if is_padding[i, j] else f"{value:.4g}", ha="center", va="center", fontsize=8)
    positions = [f"{i},{j}" for i, j in np.ndindex(*geometry.output)]
    taps = [f"{kh},{kw}" + (f",{c}" if C > 1 else "") for kh, kw, c in np.ndindex(KH, KW, C)]
    if len(positions) <= MOST_LABELS:
        ax.set_yticks(range(len(positions)), positions, fontsize=8)
    if len(taps) <= MOST_LABELS:
        ax.set_xticks(range(len(taps)), taps, fontsize=8, rotation=0 if C == 1 else 90)
    ax.set_xlabel("weight: row, column" + (", channel" if C > 1 else "") + " of the kernel")
    ax.set_ylabel("output pixel: row, column")
    return ax


def multiplications(net: Layer, input_shape: tuple[int, ...], *, ax: Any = None) -> Any:
    """Draw how many multiplications each layer takes for one picture: by the definition, and what is spent.

    Layers that take none are left out.

    Parameters
    ----------
    net : Layer
        The network.
    input_shape : tuple of int
        Shape of its input without the batch axis.
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
        If the network cannot take such an input.
    """
    net.output_shape(input_shape)  # an error names the layer's place
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


def pictures(images: Any, titles: Sequence[str], *, ax: Any = None, columns: int = 6) -> Any:
    """Draw pictures as a contact sheet, a title of up to two lines under each.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, 3), uint8 or floats from 0 to 1
        At least one.
    titles : sequence of str
        One for each.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    columns : int
        Pictures side by side.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ShapeError
        If there is no picture, or not as many titles as pictures.
    """
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0 or len(titles) != len(images):
        raise ShapeError(f"images must have shape (N, H, W, 3), N from 1 and as many titles, got {images.shape}")
    H, W = images.shape[1:3]
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


def prediction(picture: Any, probabilities: Any, class_names: Sequence[str], *, ax: Any = None, top: int = 3) -> Any:
    """Draw a picture, and beside it the likeliest classes as bars.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8 or floats from 0 to 1
    probabilities : ndarray, shape (classes,)
        Of its classes.
    class_names : sequence of str
        A name for each class.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    top : int
        How many classes.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ShapeError
        If there are not as many names as probabilities, or `picture` is not of that shape.
    """
    picture, probabilities = np.asarray(picture), np.asarray(probabilities)
    if probabilities.shape != (len(class_names),):
        raise ShapeError(f"probabilities must have shape ({len(class_names)},), got {probabilities.shape}")
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ShapeError(f"picture must have shape (H, W, 3), got {picture.shape}")
    ax = _axes(ax, (7, 2.6))
    likeliest = np.argsort(-probabilities, kind="stable")[:top]
    ax.imshow(picture, extent=(0, 1, 0, 1), interpolation="nearest")
    row = 1 / max(top, 3)
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


def _signed_image(ax: Any, values: Any) -> None:
    """Draw numbers as colours: blue below zero, orange above, the padding (what is masked) grey."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("signed", ["#0072b2", "#ffffff", "#e69f00"]).with_extremes(
        bad="#d0d0d0"
    )
    largest = float(np.abs(values).max()) if np.ma.count(values) else 0.0
    ax.imshow(values, cmap=colours, vmin=-(largest or 1), vmax=largest or 1, aspect="auto", interpolation="nearest")


def _mosaic(images: Any, ax: Any, columns: int) -> Any:
    """Draw small pictures in a grid, a pixel of white between them."""
    count, H, W, _ = images.shape
    rows = -(-count // columns)
    sheet = np.ones((rows * (H + 1) - 1, columns * (W + 1) - 1, 3))
    for i, image in enumerate(images):
        top, left = i // columns * (H + 1), i % columns * (W + 1)
        sheet[top : top + H, left : left + W] = image
    ax = _axes(ax, (0.5 * columns, 0.5 * rows))
    ax.imshow(sheet, interpolation="nearest")
    ax.set_axis_off()
    return ax


def _axes(ax: Any, size: tuple[float, float]) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]
