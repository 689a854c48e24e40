"""Where a NaN or an infinity began: the batch that produced it, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn.functional import softmax_cross_entropy
from npcnn.layers import Layer
from npcnn.layers.names import dotted

Array = NDArray[Any]


def first_not_finite(
    net: Any, x: Array, labels: Array, loss: Callable[[Array, Array], tuple[float, Array]] = softmax_cross_entropy
) -> str:
    """Return in words where the first NaN or infinity of a training step is.

    It looks, in this order, at the pictures, the parameters, the output of every layer, the loss, and on the way back
    the gradients of every layer.

    Parameters
    ----------
    net : Layer
        A `Sequential` is examined layer by layer, anything else as a whole.
    x, labels : ndarray
        The batch.
    loss : callable
        As for `npcnn.train.fit`.

    Examples
    --------
    >>> from npcnn.train.diagnosis import first_not_finite
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(4, 2), nn.ReLU())
    >>> net.params["1_dense.w"][0, 0] = np.inf
    >>> first_not_finite(net, np.ones((1, 2, 2, 1), np.float32), np.array([0]))
    'the parameter 1_dense.w'
    """
    if not _finite(x):
        return "the pictures of the batch"
    for name, param in getattr(net, "params", {}).items():
        if not _finite(param):
            return f"the parameter {name}"
    layers = _layers(net)
    for name, layer in layers:
        x = layer.forward(x, training=True)
        if not _finite(x):
            return f"the output of {_place(name, layer)}"
    value, gradient = loss(x, labels)
    if not np.isfinite(value):
        return "the loss"
    for i, (name, layer) in reversed(list(enumerate(layers))):
        gradient = layer.backward(gradient, need_dx=i > 0)
        for parameter, grad in layer.grads.items():
            if not _finite(grad):
                return f"the gradient of {dotted(name, parameter)}"
        if gradient is not None and not _finite(gradient):
            return f"the gradient with respect to the input of {_place(name, layer)}"
    return "a sum of gradients that are all finite by themselves"


def _layers(net: Any) -> list[tuple[str, Any]]:
    layers = net.walk(into={"sequential"}) if isinstance(net, Layer) else [("", net)]
    return [(name, layer) for name, layer in layers if getattr(layer, "kind", "other") != "sequential"]


def _finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())


def _place(name: str, layer: Any) -> str:
    return f"{name or type(layer).__name__}, {' '.join(repr(layer).split())}"
