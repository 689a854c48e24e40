"""Names of layers, and of what is inside them."""

from __future__ import annotations

import re


def dotted(*names: str) -> str:
    """Return the name of something inside a layer: the names on the way to it, without "", joined by dots.

    Examples
    --------
    >>> from npcnn.layers.names import dotted
    >>> dotted("2_concat", "0_conv2d"), dotted("", "w")
    ('2_concat.0_conv2d', 'w')
    """
    return ".".join(filter(None, names))


def snake_case(name: str) -> str:
    """Return a class name as part of a parameter's name.

    Examples
    --------
    >>> from npcnn.layers.names import snake_case
    >>> snake_case("SpatiallySeparableConv2D"), snake_case("MaxPool2D"), snake_case("LeakyReLU")
    ('spatially_separable_conv2d', 'max_pool2d', 'leaky_relu')
    """
    if name.isupper() or name in ("ReLU", "SiLU"):
        return name.lower()
    if name == "LeakyReLU":
        return "leaky_relu"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("2D", "2d").replace("1D", "1d")).lower()
