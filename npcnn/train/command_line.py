"""What the command lines share: checked numbers, the options of a run, errors in one line."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from npcnn.errors import to_install
from npcnn.schedules import positive
from npcnn.train.loop import NonFiniteError
from npcnn.train.run import read_settings

# What the user gives may be wrong in these ways; anything else is a fault of the program and shows its traceback.
USER_ERRORS = (ValueError, OSError, ImportError, NonFiniteError)
READER_GONE = 141  # what shells report of a program that SIGPIPE ended; Windows has no such signal


def at_least(minimum: int) -> Callable[[str], int]:
    """Return a converter for argparse: a whole number of at least `minimum`."""

    def convert(text: str) -> int:
        if not text.isdecimal() or len(text) > 18 or int(text) < minimum:  # no more digits than 64 bits have
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}, got {text!r:.80}")
        return int(text)

    return convert


def above_zero(text: str) -> float:
    """Convert for argparse: a finite number above 0."""
    try:
        return positive(float(text), "it")
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, got {text!r}") from None


def number_from(minimum: float) -> Callable[[str], float]:
    """Return a converter for argparse: a finite number of at least `minimum`."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not minimum <= value < math.inf:
            raise argparse.ArgumentTypeError(f"must be a finite number of at least {minimum:g}, got {text!r:.80}")
        return value

    return convert


def parse_run(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, fixed: Iterable[str]
) -> argparse.Namespace:
    """Parse the options of a run, --resume among them: with it, those that are not given are the run's own.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Has --out and --resume; every other option is among the settings of the run.
    arguments : list of str or None
        What to parse; None for the command line.
    fixed : iterable of str
        The options that cannot change when a run goes on.

    Raises
    ------
    ValueError, OSError
        If the folder has no readable settings, or an option was given that cannot change.
    """
    options = parser.parse_args(arguments)
    folder = options.resume
    if folder is None:
        return options
    if options.out is not None:
        raise ValueError(f"--out {options.out} and --resume exclude each other: the results go to {folder}")
    saved = read_settings(folder)
    try:
        saved = {name: saved[name] for name in vars(options) if name != "resume"} | {"out": str(folder)}
    except KeyError as error:
        raise ValueError(f"{folder / 'settings.json'} is damaged (it has no {error}); start a new run") from error
    parser.set_defaults(**saved)
    options = parser.parse_args(arguments)
    for name in fixed:
        if getattr(options, name) != saved[name]:
            raise ValueError(
                f"--{name.replace('_', '-')} of the run in {folder} is {saved[name]}, got {getattr(options, name)}; "
                "it cannot change when a run goes on: leave it out, or start a new run"
            )
    return options


def command(program: str, options: Mapping[str, Any]) -> str:
    """Return a command as a shell takes it: the program, then each option that has a value."""
    words = program.split()
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def exit_status(
    program: str, main: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None = None
) -> int:
    """Return what `main` returns; on an error of the user's print it in one line on stderr and return 2."""
    try:
        status = main(arguments)
        sys.stdout.flush()  # whether its reader has gone shows here, and not when Python ends
        return status
    except BrokenPipeError:  # of `... | head -1`, for example
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except USER_ERRORS as error:
        missing = isinstance(error, ModuleNotFoundError) and str(error.name).startswith(("PIL", "matplotlib"))
        install = f"; install what pictures need: {to_install('plot')}" if missing else ""
        print(f"{program}: error: {' '.join(str(error).split())}{install}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        return 130
