"""What the command lines share: checked numbers, the options of a run, errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from npcnn import config, parallel
from npcnn.errors import to_install
from npcnn.functional.batch_parts import ALONE, Cut, Ranks
from npcnn.parallel.mpi import PARTS
from npcnn.schedules import positive
from npcnn.train.loop import NonFiniteError
from npcnn.train.run import numbered_folder, read_settings

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
) -> tuple[argparse.Namespace, Cut]:
    """Parse the options of a run, --resume among them: with it, those that are not given are the run's own.

    What all runs have is added to them: --parts, --ranks and --threads.  The ranks are joined, and the threads set.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Has --out and --resume; every other option is among the settings of the run.
    arguments : list of str or None
        What to parse; None for the command line.
    fixed : iterable of str
        The options that cannot change when a run goes on.

    Returns
    -------
    options : argparse.Namespace
        The settings of the run, and `resume`.
    cut : Cut
        How its batches are cut, and the ranks that share them.

    Raises
    ------
    ValueError, OSError
        If the folder has no readable settings, or an option was given that cannot change; or if these ranks
        cannot share a batch in so many parts.
    ModuleNotFoundError
        If mpi4py is needed and not installed.
    """
    _add_ranks(parser)
    # All ranks are given the same options, so what is wrong with them is said once.
    with contextlib.nullcontext() if parallel.is_first() else contextlib.redirect_stderr(io.StringIO()):
        options = parser.parse_args(arguments)
    ranks = parallel.join(options.ranks)
    if options.resume is not None:
        options = _as_saved(parser, arguments, options, fixed, ranks)
    del options.ranks
    if options.parts is None:
        options.parts = 1 if ranks is ALONE else PARTS
    cut = Cut(options.parts, ranks)
    if options.threads:
        config.set_num_threads(options.threads)
    elif isinstance(ranks, parallel.MPIRanks):
        config.set_num_threads(ranks.threads)
    return options, cut


def results_folder(options: argparse.Namespace, name: str, ranks: Ranks) -> Path:
    """Return the folder of --out, or else a new one of this name in runs/, which rank 0 makes."""
    if options.out is not None:
        return Path(options.out)
    return Path(ranks.share(numbered_folder(Path("runs", name)) if ranks.number == 0 else None))


def _add_ranks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("processes").add_argument
    text = f"parts of a batch, a power of two, which ranks share; default: 1, or {PARTS} with mpiexec"
    group("--parts", type=at_least(1), help=text)
    text = "whether this is one of the ranks of mpiexec; auto: if mpiexec started it; default: %(default)s"
    group("--ranks", choices=("auto", "mpi", "one"), default="auto", help=text)
    group("--threads", type=at_least(1), help="default: all cores, with mpiexec dealt out to the ranks of a machine")


def _as_saved(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    options: argparse.Namespace,
    fixed: Iterable[str],
    ranks: Ranks,
) -> argparse.Namespace:
    """Return the options of the run in a folder, with what may change as it was given."""
    folder = options.resume
    if options.out is not None:
        raise ValueError(f"--out {options.out} and --resume exclude each other: the results go to {folder}")
    # Rank 0 has the folder; a run from before there were parts had one.
    saved = {"parts": 1} | (ranks.share(read_settings(folder) if ranks.number == 0 else None))
    try:
        saved = {name: saved[name] for name in vars(options) if name not in ("resume", "ranks")} | {"out": str(folder)}
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
        parallel.failed(f"{program}: nobody reads its output any more", READER_GONE)
        return READER_GONE
    except USER_ERRORS as error:
        missing = isinstance(error, ModuleNotFoundError) and str(error.name).startswith(("PIL", "matplotlib"))
        install = f"; install what pictures need: {to_install('plot')}" if missing else ""
        message = f"{program}: error: {' '.join(str(error).split())}{install}"
        parallel.failed(message, 2)
        print(message, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        message = f"{program}: interrupted"
        parallel.failed(message, 130)
        print(f"\n{message}", file=sys.stderr)
        return 130
