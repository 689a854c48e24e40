"""The report of a training: one HTML file that holds everything, and opens without a network.

It is made from what `npcnn.train.Run` left in its folder (settings.json, result.json, metrics.csv), the network and the
data.  Pictures are drawn by matplotlib and put into the page; without matplotlib the tables remain.  The page's
Content-Security-Policy forbids the browser to fetch anything.
"""

from __future__ import annotations

import base64
import html
import importlib.util
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from npcnn import evaluation, weights
from npcnn.datasets import Dataset
from npcnn.errors import to_install
from npcnn.layers import Layer

MISTAKES = 24

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.figures { display: flex; flex-wrap: wrap; gap: 0.8rem; padding: 0; }
.figures li { list-style: none; background: var(--soft); border-radius: 0.5rem; padding: 0.6rem 1rem; }
.figures b { display: block; font-size: 1.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 0.25rem 0.7rem; text-align: right; }
th:first-child, td.text, th.text { text-align: left; } td.text { overflow-wrap: anywhere; }
.confusion td { min-width: 2.6rem; }
.confusion thead th { font-size: 0.85rem; padding: 0.25rem 0.4rem; text-align: center; }
pre { background: var(--soft); border-radius: 0.5rem; padding: 0.8rem 1rem; overflow-x: auto; }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; background: white; border-radius: 0.5rem; }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: 0.8rem; }
.mistakes figure { margin: 0; font-size: 0.8rem; line-height: 1.3; }
.mistakes img { width: 100%; image-rendering: pixelated; }
@media (max-width: 40rem) {
  th, td { padding: 0.2rem 0.35rem; font-size: 0.9rem; }
  .confusion th, .confusion td { min-width: 0; padding: 0.2rem 0.16rem; font-size: 0.66rem; }
  .confusion thead th { writing-mode: vertical-rl; padding: 0.1rem; font-size: 0.66rem; text-align: left; }
}
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def write(
    folder: str | Path,
    net: Layer,
    data: Dataset,
    test_batches: Callable[[], Iterable[tuple[Any, Any]]],
    *,
    title: str,
    settings: Iterable[str],
    command: str,
    views: evaluation.Views | None = None,
) -> Path:
    """Write report.html into the folder of a run; return its path.

    Parameters
    ----------
    folder : str or Path
        Folder with settings.json, result.json and metrics.csv, as `npcnn.train.Run` leaves it.
    net : Layer
        The trained network.
    data : Dataset
        What it was trained on.
    test_batches : callable
        Returns the pictures of ``data.test_images``, in their order, as an iterable of (x, labels).
    title : str
        Title of the page.
    settings : iterable of str
        The settings to show, by their names in settings.json.
    command : str
        The command that repeats the run.
    views : npcnn.evaluation.Views, optional
        Of `net`, if the test accuracy of the run is with them.

    Raises
    ------
    OSError
        If a file is missing or the report cannot be written.
    """
    folder = Path(folder)
    saved = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    probabilities, labels = evaluation.predict(net if views is None else views, test_batches())
    matrix = evaluation.confusion_matrix(labels, probabilities.argmax(axis=1), len(data.classes))
    figures = _drawings(folder, net, data, probabilities, labels)
    x, _ = next(iter(test_batches()))
    sections = [
        _key_figures(result),
        _section("How it learnt", figures["curve"]),
        _section("What it takes for what", _confusion(matrix, data.classes)),
        _section("Class by class", _classes(matrix, data.classes)),
        _section("What the first layer looks for", figures["filters"]),
        _section("The worst mistakes", figures["mistakes"]),
        _section("Data", _table(_about_data(data, saved))),
        _section("Network", _network(net, x.shape[1:])),
        _section("Settings", _table({name: saved.get(name) for name in settings})),
        _section("Machine", _table(saved["config"])),
        _section("Do it again", f"<pre class='command'>{html.escape(command)}</pre>"),
    ]
    page = PAGE.substitute(title=html.escape(title), body="\n".join(sections))
    weights.write_atomically(folder / "report.html", page.encode())
    return folder / "report.html"


def _section(heading: str, content: str) -> str:
    return f"<h2>{html.escape(heading)}</h2>\n<div class='wide'>{content}</div>"


def _key_figures(result: Mapping[str, Any]) -> str:
    steps, averaged = result["steps"], result["training_accuracy_steps"]
    span = "over the whole run, while it learnt" if averaged == steps else f"of the last {averaged} steps"
    figures = {
        "test accuracy": f"{result['test_accuracy']:.4f}",
        f"training accuracy, mean {span}": f"{result['training_accuracy']:.4f}",
        "steps": f"{steps:,}",
        "seconds": f"{result['seconds']:,.0f}",
    }
    items = "".join(f"<li><b>{value}</b>{html.escape(name)}</li>" for name, value in figures.items())
    return f"<ul class='figures'>{items}</ul>"


def _table(rows: Mapping[str, Any]) -> str:
    def cell(value: Any) -> str:
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        return html.escape(text)

    lines = (
        f"<tr><th>{html.escape(name)}</th><td class='text'>{cell(value)}</td></tr>" for name, value in rows.items()
    )
    return f"<table>{''.join(lines)}</table>"


def _about_data(data: Dataset, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": data.name,
        "training pictures": f"{len(data.train_images):,}",
        "test pictures": f"{len(data.test_images):,}",
        "classes": data.classes,
        "SHA-256 of pictures and labels": settings["data_sha256"],
    }


def _network(net: Any, input_shape: tuple[int, ...]) -> str:
    return (
        f"<pre>{html.escape(net.summary(input_shape))}</pre>"
        "<p>Multiplications: for one picture, forward, by the definition. Spent: by the algorithm that each layer "
        "runs on.</p>"
    )


def _confusion(matrix: Any, names: tuple[str, ...]) -> str:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    rows = []
    for name, counts, row in zip(names, matrix, shares, strict=True):
        cells = "".join(
            # Half transparent blue on the page's own colour: readable on light and on dark.
            f"<td style='background:rgba(0,114,178,{0.75 * share:.3f})' title='{share:.1%}'>{count}</td>"
            for count, share in zip(counts, row, strict=True)
        )
        rows.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
    return (
        "<p>Of the test pictures: a row for each true class, a column for each class it was taken for.</p>"
        f"<table class='confusion'><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _classes(matrix: Any, names: tuple[str, ...]) -> str:
    def share(value: float) -> str:
        return "-" if math.isnan(value) else f"{value:.3f}"

    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{score.pictures}</td><td>{share(score.recall)}</td>"
        f"<td>{share(score.precision)}</td></tr>"
        for name, score in zip(names, evaluation.class_scores(matrix), strict=True)
    )
    return (
        "<table><thead><tr><th>class</th><th>pictures</th><th>recall</th><th>precision</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        "<p>Recall: share of the class's pictures that were recognised. Precision: share of the pictures taken for "
        "the class that were of it; - where there are none.</p>"
    )


def _drawings(folder: Path, net: Layer, data: Dataset, probabilities: Any, labels: Any) -> dict[str, str]:
    """Return the pictures of the report as HTML, or what to install to get them."""
    if importlib.util.find_spec("matplotlib") is None:
        text = f"<p>Not drawn: matplotlib is not installed ({html.escape(to_install('plot'))}).</p>"
        return dict.fromkeys(("curve", "filters", "mistakes"), text)
    from matplotlib.figure import Figure

    from npcnn import plot

    # Not pyplot figures: pyplot would keep them forever.
    small = Figure(figsize=(5.2, 3.6), layout="constrained").subplots()  # its letters can still be read on a phone
    broad = Figure(figsize=(8, 2), layout="constrained").subplots()
    worst = evaluation.worst_mistakes(probabilities, labels, MISTAKES)
    titles = evaluation.mistake_titles(probabilities[worst], labels[worst], data.classes)
    first = next(iter(net.params.values()), np.empty(0))
    filters = "<p>Not drawn: its weights are not kernels of grey or coloured pictures.</p>"
    if first.ndim == 4 and first.shape[2] in (1, 3):
        filters = (
            _img(plot.filters(first, ax=broad), "the kernels of the first layer")
            + "<p>Each kernel as a small picture, stretched to its own range. They begin as coloured noise; edges and "
            "patches of colour come out of it in the course of some thousand steps.</p>"
        )
    mistakes = "<p>None: every test picture was classified correctly.</p>"
    if len(worst) and data.picture_shape[2] not in (1, 3):
        mistakes = f"<p>Not drawn: pictures of {data.picture_shape[2]} channels are neither grey nor coloured.</p>"
    elif len(worst):
        mistakes = _contact_sheet(_as_bytes(data.test_images[worst]), titles)
    return {
        "curve": _img(plot.training_curve(folder / "metrics.csv", ax=small), "training and test accuracy"),
        "filters": filters,
        "mistakes": mistakes,
    }


def _as_bytes(images: Any) -> Any:
    """Return grey or coloured pictures as red, green and blue bytes; floats are stretched, each to its own range."""
    if images.dtype != np.uint8:
        low, high = (limit(axis=(1, 2, 3), keepdims=True) for limit in (images.min, images.max))
        images = np.rint(255 * (images - low) / np.where(high > low, high - low, 1)).astype(np.uint8)
    return np.repeat(images, 3 // images.shape[3], axis=3)


def _img(ax: Any, alt: str) -> str:
    png = io.BytesIO()
    ax.figure.savefig(png, dpi=150, format="png")
    return _img_of_png(png.getvalue(), alt)


def _img_of_png(png: bytes, alt: str) -> str:
    return f"<img alt='{html.escape(alt)}' src='data:image/png;base64,{base64.b64encode(png).decode()}'>"


def _contact_sheet(images: Any, titles: list[str]) -> str:
    """Return pictures with their titles below, as many side by side as there is room for."""
    from matplotlib.image import imsave

    figures = []
    for image, title in zip(images, titles, strict=True):
        png = io.BytesIO()
        imsave(png, image, format="png")
        figures.append(f"<figure>{_img_of_png(png.getvalue(), title)}{html.escape(title)}</figure>")
    return f"<div class='mistakes'>{''.join(figures)}</div>"
