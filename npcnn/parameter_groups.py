"""Settings for some parameters of a network, chosen by patterns over their names.

An optimizer's argument `groups` maps a pattern to what is to hold for the parameters it matches:

    {"*.scale": {"weight_decay": 0}, "0_*": {"lr_factor": 0.1}}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

from npcnn.functional.checks import number, shown

MOST_NAMES = 20  # that a message shows


def settings_by_parameter(groups: Any, parameters: Collection[str], settings: Collection[str]) -> dict[str, Any]:
    """Return what `groups` sets for each parameter, by the parameter's name.

    Parameters
    ----------
    groups : dict of dict
        Numbers of at least 0 by the name of the setting, by pattern; for "lr_factor" also a function of the step that
        gives them, as those of `npcnn.schedules` are.  In a pattern, ``*`` stands for any characters,
        dots among them, ``?`` for one, ``[12]`` for one of several; it has to match the whole name.  Where several
        patterns match a parameter, the last one that sets something decides it.
    parameters : collection of str
        The names of the parameters.
    settings : collection of str
        The names of the settings that may be made.

    Raises
    ------
    TypeError
        If `groups` is not of this form.
    ValueError
        If a pattern matches no parameter, there is no such setting, or a number is out of range.

    Examples
    --------
    >>> from npcnn.parameter_groups import settings_by_parameter
    >>> groups = {"*.b": {"weight_decay": 0}, "0_*": {"lr_factor": 0.5}}
    >>> settings_by_parameter(groups, ["0_conv2d.w", "0_conv2d.b", "3_dense.w"], ["lr_factor", "weight_decay"])
    {'0_conv2d.w': {'lr_factor': 0.5}, '0_conv2d.b': {'weight_decay': 0.0, 'lr_factor': 0.5}, '3_dense.w': {}}
    """
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups must be a dictionary of patterns, such as {{'*.b': {{...}}}}, got {shown(groups)}")
    found: dict[str, dict[str, Any]] = {name: {} for name in parameters}
    for pattern, options in groups.items():
        if not isinstance(pattern, str) or not isinstance(options, Mapping):
            raise TypeError(
                f"groups must map patterns, which are strings, to dictionaries of settings, "
                f"got {shown(pattern)}: {shown(options)}"
            )
        matched = [name for name in parameters if fnmatchcase(name, pattern)]
        if not matched:
            raise ValueError(f"groups[{shown(pattern)}] matches no parameter; there are {_listed(parameters)}")
        for setting, value in options.items():
            if setting not in settings:
                raise ValueError(f"groups[{shown(pattern)}] may set {', '.join(settings)}, got {shown(setting)}")
            a_schedule = setting == "lr_factor" and callable(value)
            checked = value if a_schedule else number(value, f"groups[{shown(pattern)}][{setting!r}]", minimum=0)
            for name in matched:
                found[name][setting] = checked
    return found


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(list(names)[:MOST_NAMES]) + more
