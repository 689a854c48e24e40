"""A trained network as a page to point at: every number of one picture's way through it, forward and backward.

    python -m npcnn.explain weights.safetensors cat.jpg -o explorer.html

=================  ===========================================================
`trace`            what the network computes for the picture
page.html, .css    the frame of the page
arithmetic.js      the numbers: patches, products, sums, gradients
drawing.js         pictures and tables of numbers, to be pointed at
forward.js         how a number of a layer comes about
backward.js        how a gradient goes back through it
explorer.js        which layer is open, and where the reader points
=================  ===========================================================

The page is one file.  Its Content-Security-Policy lets it run the scripts of this folder and nothing else, and fetch
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn import weights
from npcnn.errors import ShapeError
from npcnn.explain.trace import Step, trace
from npcnn.functional import softmax
from npcnn.functional.checks import float_array
from npcnn.layers import Layer

__all__ = ["Explanation", "Step", "explain", "trace"]

Array = NDArray[Any]
NOTEBOOK_HEIGHT = 900  # pixels of the frame in a notebook
SCRIPTS = ("arithmetic.js", "drawing.js", "forward.js", "backward.js", "explorer.js")  # each uses those before it


class Explanation:
    """One picture's way through a network, ready to be looked at.

    A notebook shows it as the page; `save` writes the page into a file.

    Attributes
    ----------
    steps : list of Step
        What was computed, in order; the input is the first, the logits are the last.
    probabilities : ndarray, shape (classes,)
        Softmax of the logits.
    predicted : int
        The likeliest class.
    class_names : tuple of str
    title : str
    """

    def __init__(self, steps: list[Step], class_names: Sequence[str] | None, title: str) -> None:
        logits = steps[-1].y
        if logits.shape[:2] != (1, 1):
            raise ShapeError(f"net must give logits of shape (N, classes), got pictures of {logits.shape}")
        classes = logits.shape[2]
        names = tuple(map(str, range(classes) if class_names is None else class_names))
        if len(names) != classes:
            raise ShapeError(f"class_names must be {classes}, one for each logit, got {len(names)}")
        self.steps, self.class_names, self.title = steps, names, title
        self.probabilities: Array = softmax(np.ascontiguousarray(logits.reshape(1, -1)))[0]
        self.predicted = int(self.probabilities.argmax())

    def html(self) -> str:
        """Return the page."""
        scripts = [_source(name) for name in SCRIPTS]
        return Template(_source("page.html")).substitute(
            title=html.escape(self.title),
            script_hashes=" ".join(map(_csp_hash, scripts)),
            styles=_source("page.css"),
            # No text of the user's can end the element it stands in.
            data=json.dumps(self._data()).replace("<", "\\u003c"),
            scripts="\n".join(f"<script>{script}</script>" for script in scripts),
        )

    def save(self, path: str | Path) -> Path:
        """Write the page into a file, whole or not at all; return its path."""
        path = Path(path)
        weights.write_atomically(path, self.html().encode())
        return path

    def _repr_html_(self) -> str:
        page, title = html.escape(self.html()), html.escape(self.title)
        style = f"width:100%;height:{NOTEBOOK_HEIGHT}px;border:0"
        return f'<iframe sandbox="allow-scripts" title="{title}" style="{style}" srcdoc="{page}"></iframe>'

    def _data(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "class_names": self.class_names,
            "probabilities": self.probabilities.tolist(),
            "predicted": self.predicted,
            "steps": [_step_data(step) for step in self.steps],
        }


def explain(net: Layer, x: Array, *, class_names: Sequence[str] | None = None, title: str = "explorer") -> Explanation:
    """Follow one picture through a network, forward and backward.

    Parameters
    ----------
    net : Layer
        Gives logits, (N, classes); it stays as it is.
    x : ndarray, shape (H, W, C) or (1, H, W, C)
        The picture as the network takes it, standardised.
    class_names : sequence of str, optional
        A name for each class; by default their numbers.
    title : str
        Of the page.

    Returns
    -------
    Explanation
        Shown as the page by a notebook; ``.save(path)`` writes it.

    Raises
    ------
    ShapeError, TypeError
        If `x` is not one picture that the network takes, or the names are not as many as the classes.

    Examples
    --------
    >>> net = nn.models.cifar_separable(rng=np.random.default_rng(0))
    >>> explanation = nn.explain.explain(net, np.zeros((24, 24, 3), np.float32))
    >>> [step.kind for step in explanation.steps][:4]
    ['input', 'convolution', 'max_pool', 'convolution']
    """
    if not isinstance(net, Layer):
        raise TypeError(f"net must be a Layer, got {net!r}")
    if isinstance(x, np.ndarray) and x.ndim == 4 and len(x) == 1:
        x = x[0]
    return Explanation(trace(net, float_array(x, "x", "H, W, C")), class_names, title)


def _step_data(step: Step) -> dict[str, Any]:
    window = step.window
    return {
        "name": step.name,
        "title": step.title,
        "label": step.label,
        "kind": step.kind,
        "inputs": step.inputs,
        "shape": step.y.shape,
        "y": _encoded(step.y),
        "dy": _encoded(step.dy),
        "multiplications": step.multiplications,
        "window": None if window is None else window._asdict(),
        "w": None if step.w is None else _encoded(step.w),
        "b": None if step.b is None else _encoded(step.b),
        "relu": step.relu,
        "count_include_pad": step.count_include_pad,
        "pair": step.pair,
        "branch": step.branch,
    }


def _encoded(array: Array) -> str:
    """Return the numbers as base64 of little-endian float32, what the page computes with."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def _source(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
