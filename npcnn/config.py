"""What this build uses on this machine: instruction set, threads, compiler.

==========================  ====================================================
environment variable        meaning
==========================  ====================================================
``NPCNN_ISA``               instruction set to use instead of the best one
``NPCNN_NUM_THREADS``       threads to use, as `set_num_threads`
``OMP_NUM_THREADS``         the same for every OpenMP library of the process
==========================  ====================================================

They are read once, when npcnn is imported.
"""

from __future__ import annotations

import os
import platform
import re
import reprlib

import numpy as np

from npcnn.functional.checks import integer
from npcnn.kernels import core
from npcnn.version import __version__


def set_num_threads(n: int) -> None:
    """Use `n` threads in every kernel from now on.

    The result does not depend on it: sums over a batch are cut into a fixed number of parts.  A limit set by
    threadpoolctl or ``OMP_NUM_THREADS`` afterwards still holds.  A build without OpenMP (`show_config` tells)
    and a process forked after threads were used compute in one thread, whatever is set.

    Parameters
    ----------
    n : int
        From 1 to 1024.  More than the machine has cores is allowed, and slower.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer from 1 to 1024.

    Examples
    --------
    >>> before = nn.get_num_threads()
    >>> nn.set_num_threads(1)
    >>> nn.get_num_threads()
    1
    >>> nn.set_num_threads(before)
    """
    core.set_num_threads(integer(n, "n", minimum=1, maximum=core.MOST_THREADS))


def get_num_threads() -> int:
    """Return the number of threads the next kernel will use.

    Examples
    --------
    >>> nn.get_num_threads() >= 1
    True
    """
    return core.num_threads()


def current() -> dict[str, str | int | bool | list[str]]:
    """Return what `show_config` prints, as a dictionary.

    Examples
    --------
    >>> nn.config.current()["isa"] in nn.config.current()["isa_supported"]
    True
    """
    return {
        "npcnn": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "isa": core.isa(),
        "isa_supported": core.supported_isas(),
        "threads": core.num_threads(),
        "cache_bytes": core.cache_bytes(),
        "core_cache_bytes": core.core_cache_bytes(),
        "openmp": core.has_openmp(),
        "compiler": core.compiler(),
    }


def show_config() -> None:
    """Print versions, the instruction set in use, the number of threads, and the compiler.

    Examples
    --------
    >>> nn.show_config()                                 # doctest: +ELLIPSIS
    npcnn          ...
    isa            ...
    """
    for name, value in current().items():
        print(f"{name:<16} {', '.join(value) if isinstance(value, list) else value}")
    if not core.has_openmp():
        print(
            "hint: built without OpenMP, npcnn computes in one thread; README.md, "
            '"Install", says how to build it for all cores'
        )


def _read_environment() -> None:
    isa, threads = os.environ.get("NPCNN_ISA"), os.environ.get("NPCNN_NUM_THREADS")
    if isa:
        if isa not in core.supported_isas():
            raise _bad_variable("NPCNN_ISA", isa, f"one of {', '.join(core.supported_isas())} (on this build and CPU)")
        core.use_isa(isa)
    if threads:
        # Only ASCII digits, and few of them: int() would take "1_0" for 10, and refuses thousands of digits.
        number = int(threads) if re.fullmatch("[0-9]{1,9}", threads) else 0
        if not 1 <= number <= core.MOST_THREADS:
            raise _bad_variable("NPCNN_NUM_THREADS", threads, f"an integer from 1 to {core.MOST_THREADS}")
        core.set_num_threads(number)


def _bad_variable(name: str, value: str, allowed: str) -> ValueError:
    return ValueError(
        f"the environment variable {name} must be {allowed}, got {reprlib.repr(value)}; correct or unset it"
    )


_read_environment()
