"""The random generators of a network, whose state a training needs to go on as if it had never been interrupted."""

from __future__ import annotations

from typing import Any

import numpy as np

from npcnn.errors import WeightsError
from npcnn.layers import Layer


def generator_states(net: Any) -> dict[str, dict[str, Any]]:
    """Return the state of every random generator of a network, as plain numbers that fit into JSON.

    Parameters
    ----------
    net : Layer
        Whose layers may have an `rng`, as `Dropout` has.

    Returns
    -------
    dict of dict
        By the name of the layer.

    Examples
    --------
    >>> from npcnn.train.generators import generator_states
    >>> net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5, rng=np.random.default_rng(0)))
    >>> list(generator_states(net)), generator_states(net)["1_dropout"]["bit_generator"]
    (['1_dropout'], 'PCG64')
    """
    return {name: _plain(rng.bit_generator.state) for name, rng in _generators(net).items()}


def set_generator_states(net: Any, states: dict[str, dict[str, Any]]) -> None:
    """Put every random generator of a network into the state that `generator_states` returned.

    Raises
    ------
    WeightsError
        If the network has other generators; nothing is changed then.
    """
    generators = _generators(net)
    ours = {name: type(rng.bit_generator).__name__ for name, rng in generators.items()}
    theirs = {name: state.get("bit_generator") for name, state in states.items()}
    if ours != theirs:
        raise WeightsError(
            f"the random generators do not fit: the network has {ours or 'none'}, got {theirs or 'none'}"
        )
    for name, rng in generators.items():
        rng.bit_generator.state = states[name]


def _generators(net: Any) -> dict[str, np.random.Generator]:
    layers = net.walk() if isinstance(net, Layer) else [("", net)]
    found = {name: getattr(layer, "rng", None) for name, layer in layers}
    return {name: rng for name, rng in found.items() if isinstance(rng, np.random.Generator)}


def _plain(value: Any) -> Any:
    """Return a state without NumPy arrays, in which some generators keep their numbers."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
