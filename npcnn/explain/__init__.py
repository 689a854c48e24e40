"""A trained network as a page to explore: every number of one picture's way through it, forward and backward.

    python -m npcnn.explain weights.safetensors cat.jpg -o explorer.html

=================  ===========================================================
`steps`            what the network computes for the picture
page.html, .css    the frame of the page
arithmetic.js      the numbers: patches, products, sums, gradients
drawing.js         elements, colours, pictures and tables of numbers
maps.js            the channels of a layer, to point at
convolution.js     how a number of a convolution is computed
activations.js     an activation and its slope; softmax
normalization.js   batch and layer normalisation, forward and backward
enlarging.js       padding, upsampling and transposed convolution, likewise
branches.js        where branches meet: side by side, or added up
forward.js         how a number of any layer is computed
backward.js        how a gradient goes back through it
overview.js        the row of layers, to choose from
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
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn import weights
from npcnn.errors import ShapeError
from npcnn.explain.steps import Step, trace
from npcnn.functional import softmax
from npcnn.functional.checks import float_array, integer, shown
from npcnn.functional.exchange import as_array
from npcnn.layers import Layer

__all__ = ["Explanation", "Step", "picture", "trace"]

Array = NDArray[Any]
NOTEBOOK_HEIGHT = 900  # pixels of the frame in a notebook
# Each uses those before it.
SCRIPTS = (
    "arithmetic.js",
    "drawing.js",
    "maps.js",
    "convolution.js",
    "activations.js",
    "normalization.js",
    "enlarging.js",
    "branches.js",
    "forward.js",
    "backward.js",
    "overview.js",
    "explorer.js",
)


class Explanation:
    """One picture's way through a network, ready to be looked at.

    A notebook shows it as the page; `save` writes the page into a file.

    Attributes
    ----------
    steps : list of Step
        What was computed, in order; the input is the first, the logits (or probabilities) are the last.
    probabilities : ndarray, shape (classes,)
        Softmax of the logits, unless the network ends with a softmax of its own.
    predicted : int
        The likeliest class.
    class_names : tuple of str
    label : int, optional
        The true class.
    title : str
    """

    def __init__(self, steps: list[Step], class_names: Sequence[str] | None, label: int | None, title: str) -> None:
        logits = steps[-1].y
        if logits.shape[:2] != (1, 1):
            raise ShapeError(f"net must give logits of shape (N, classes), got pictures of {logits.shape}")
        classes = logits.shape[2]
        names = tuple(map(str, range(classes) if class_names is None else class_names))
        if len(names) != classes:
            raise ShapeError(f"class_names must be {classes}, one for each logit, got {len(names)}")
        if not np.isfinite(logits).all():
            raise ValueError(
                "the logits must be finite, got NaN or infinity; is the picture finite, and did the training go well?"
            )
        self.label = None if label is None else integer(label, "label", minimum=0)
        if self.label is not None and self.label >= classes:
            raise ValueError(f"label must be a class below {classes}, got {label}")
        self.steps, self.class_names, self.title = steps, names, title
        rows = np.ascontiguousarray(logits.reshape(1, -1))
        self.probabilities: Array = (rows if self._ends_with_softmax else softmax(rows))[0]
        self.predicted = int(self.probabilities.argmax())

    @property
    def _ends_with_softmax(self) -> bool:
        return self.steps[-1].kind == "softmax"

    def html(self) -> str:
        """Return the page."""
        scripts = [_source(name) for name in SCRIPTS]
        return Template(_source("page.html")).substitute(
            title=html.escape(self.title),
            script_hashes=" ".join(map(_csp_hash, scripts)),
            styles=_source("page.css"),
            # Without "<", no text of the user's can close the element it stands in.
            data=json.dumps(self._data(), allow_nan=False).replace("<", "\\u003c"),
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
        arrays: dict[str, int] = {}  # each once: the branches of a sum get one gradient
        steps = [_step_data(step, arrays) for step in self.steps]
        return {
            "title": self.title,
            "class_names": self.class_names,
            "probabilities": self.probabilities.tolist(),
            "predicted": self.predicted,
            "output": "probability" if self._ends_with_softmax else "logit",
            "label": self.label,
            "steps": steps,
            "arrays": list(arrays),
        }


def picture(
    net: Layer,
    x: Array,
    *,
    class_names: Sequence[str] | None = None,
    label: int | None = None,
    title: str = "explorer",
) -> Explanation:
    """Follow one picture through a network, forward and backward.

    Parameters
    ----------
    net : Layer
        Gives logits, (N, classes); it stays as it is.
    x : ndarray, shape (H, W, C) or (1, H, W, C)
        The picture as the network takes it, standardised.
    class_names : sequence of str, optional
        A name for each class; by default their numbers.
    label : int, optional
        The true class, if it is known.
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
    ValueError
        If the logits are not finite, or `label` is not a class.

    Examples
    --------
    >>> net = nn.models.cifar_separable(rng=np.random.default_rng(0))
    >>> explanation = nn.explain.picture(net, np.zeros((24, 24, 3), np.float32))
    >>> [step.kind for step in explanation.steps][:4]
    ['input', 'convolution', 'max_pool', 'convolution']
    """
    if not isinstance(net, Layer):
        raise TypeError(f"net must be a Layer, got {shown(net)}")
    x = as_array(x, "x")
    if isinstance(x, np.ndarray) and x.ndim == 4 and len(x) == 1:
        x = x[0]
    return Explanation(trace(net, float_array(x, "x", "H, W, C")), class_names, label, title)


def explain(net: Layer, x: Array, **options: Any) -> Explanation:
    """Call `picture`, which used to have this name; the old name will be removed in the next version."""
    warnings.warn(
        "nn.explain.explain is now called nn.explain.picture; the old name will be removed in the next version",
        DeprecationWarning,
        stacklevel=2,
    )
    return picture(net, x, **options)


def _step_data(step: Step, arrays: dict[str, int]) -> dict[str, Any]:
    """Return a step for the page, with numbers of `arrays` in the place of y, dy, w and b; new ones are put there."""
    named = {name: getattr(step, name) for name in ("y", "dy", "w", "b")}
    return vars(step) | {
        "shape": step.y.shape,
        "window": None if step.window is None else step.window._asdict(),
        "constants": {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in step.constants.items()
        },
        **{
            name: None if array is None else arrays.setdefault(_encoded(array), len(arrays))
            for name, array in named.items()
        },
    }


def _encoded(array: Array) -> str:
    """Return the numbers as base64 of little-endian float32, which the page computes with."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def _source(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
