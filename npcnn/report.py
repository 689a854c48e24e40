"""The report of a training: one HTML file that holds everything, and opens without a network.

It is made of what the run left in its folder (settings.json, result.json, metrics.csv), the network and the data.
Pictures are drawn by matplotlib and put into the page; without matplotlib the tables remain.  The page's
Content-Security-Policy forbids the browser to fetch anything.
"""

from __future__ import annotations

import base64
import html
import importlib.util
import io
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from npcnn import evaluation, weights
from npcnn.datasets import evaluation_batches
from npcnn.datasets.cifar10 import Dataset
from npcnn.layers import Layer

MISTAKES = 24
COMMAND = "python examples/train_cifar.py"
# Options of the command that decide the result, by their name in settings.json.
OPTIONS = ("net", "algorithm", "data", "data_dir", "pipeline", "steps", "batch_size", "lr", "seed")

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


def write(folder: str | Path, net: Layer, data: Dataset) -> Path:
    """Write report.html into the folder of a run; return its path.

    Parameters
    ----------
    folder : str or Path
        Folder with settings.json, result.json and metrics.csv, as examples/train_cifar.py leaves it.
    net : Layer
        The trained network.
    data : Dataset
        What it was trained on.

    Raises
    ------
    OSError
        If a file is missing or the report cannot be written.
    """
    folder = Path(folder)
    settings = json.loads((folder / "settings.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    batches = evaluation_batches(data.test_images, data.test_labels)
    probabilities, labels = evaluation.predict(net, batches)
    matrix = evaluation.confusion_matrix(labels, probabilities.argmax(axis=1), len(data.class_names))
    figures = _drawings(folder, net, data, probabilities, labels)
    sections = [
        _key_figures(result),
        _section("How it learnt", figures["curve"]),
        _section("What it takes for what", _confusion(matrix, data.class_names)),
        _section("Class by class", _classes(matrix, data.class_names)),
        _section("What the first layer looks for", figures["filters"]),
        _section("The worst mistakes", figures["mistakes"]),
        _section("Data", _table(_about_data(data, settings))),
        _section("Network", f"<pre>{html.escape(_summary(net, data))}</pre>"),
        _section("Settings", _table({name: settings.get(name) for name in (*OPTIONS, "threads", "checkpoint_every")})),
        _section("Machine", _table(settings["config"])),
        _section("Do it again", f"<pre class='command'>{html.escape(command(settings))}</pre>"),
    ]
    title = f"{settings['net']} network on {data.name}, seed {settings['seed']}"
    page = PAGE.substitute(title=html.escape(title), body="\n".join(sections))
    weights.write_atomically(folder / "report.html", page.encode())
    return folder / "report.html"


def command(settings: Mapping[str, Any]) -> str:
    """Return the command that repeats a run, from its settings.

    Examples
    --------
    >>> nn.report.command({"net": "plain", "lr": 0.001, "data_dir": "my data"})
    "python examples/train_cifar.py --net plain --data-dir 'my data' --lr 0.001"
    """
    import shlex

    words = [COMMAND]
    for name in OPTIONS:
        if settings.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", shlex.quote(str(settings[name]))]
    return " ".join(words)


def _section(heading: str, content: str) -> str:
    return f"<h2>{html.escape(heading)}</h2>\n<div class='wide'>{content}</div>"


def _key_figures(result: Mapping[str, Any]) -> str:
    figures = {
        "test accuracy": f"{result['test_accuracy']:.4f}",
        f"training accuracy, mean of the last {result['training_accuracy_steps']} steps": (
            f"{result['training_accuracy']:.4f}"
        ),
        "steps": f"{result['steps']:,}",
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
        "classes": data.class_names,
        "SHA-256 of pictures and labels": settings["data_sha256"],
    }


def _summary(net: Any, data: Dataset) -> str:
    x, _ = next(iter(evaluation_batches(data.test_images[:1], data.test_labels[:1])))
    text: str = net.summary(x.shape[1:])
    return text


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
        "<p>A row for each true class, a column for what it was taken for; test pictures.</p>"
        f"<table class='confusion'><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _classes(matrix: Any, names: tuple[str, ...]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{score.pictures}</td><td>{score.recall:.3f}</td>"
        f"<td>{score.precision:.3f}</td></tr>"
        for name, score in zip(names, evaluation.class_scores(matrix), strict=True)
    )
    return (
        "<table><thead><tr><th>class</th><th>pictures</th><th>recall</th><th>precision</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        "<p>Recall: share of the class's pictures that were recognised. Precision: share of what was taken for the "
        "class that was of it.</p>"
    )


def _drawings(folder: Path, net: Layer, data: Dataset, probabilities: Any, labels: Any) -> dict[str, str]:
    """Return the pictures of the report as HTML, or what to install to get them."""
    if importlib.util.find_spec("matplotlib") is None:
        text = "<p>Not drawn: matplotlib is not installed (pip install npcnn[plot]).</p>"
        return dict.fromkeys(("curve", "filters", "mistakes"), text)
    from matplotlib.figure import Figure

    from npcnn import plot

    # Figures of our own: pyplot would keep them for ever.
    small = Figure(figsize=(5.2, 3.6), layout="constrained").subplots()  # its letters are still read on a phone
    broad = Figure(figsize=(8, 2), layout="constrained").subplots()
    worst = evaluation.worst_mistakes(probabilities, labels, MISTAKES)
    titles = evaluation.mistake_titles(probabilities[worst], labels[worst], data.class_names)
    first = next(array for array in net.params.values() if array.ndim == 4)
    mistakes = "<p>None: every test picture was classified correctly.</p>"
    if len(worst):
        mistakes = _contact_sheet(data.test_images[worst], titles)
    return {
        "curve": _img(plot.training_curve(folder / "metrics.csv", ax=small), "training and test accuracy"),
        "filters": _img(plot.filters(first, ax=broad), "the kernels of the first layer"),
        "mistakes": mistakes,
    }


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
