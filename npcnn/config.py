"""What this build uses on this machine: instruction set, threads, compiler.

==========================  ====================================================
environment variable        meaning
==========================  ====================================================
``NPCNN_ISA``               instruction set to use instead of the best one
``NPCNN_NUM_THREADS``       threads to use, as `set_num_threads`
``OMP_NUM_THREADS``         the same for every OpenMP library of the process
==========================  ====================================================
"""

from __future__ import annotations

import os
import platform

import numpy as np

from npcnn.functional.checks import integer
from npcnn.kernels import core
from npcnn.version import __version__

# The OpenMP runtime ends the process when the system refuses it a thread, which tens of thousands bring about.
MOST_THREADS = 1024


def set_num_threads(n: int) -> None:
    """Use `n` threads in every kernel from now on.

    The result does not depend on it: sums over a batch are cut into a fixed number of parts.  A limit set by
    threadpoolctl or ``OMP_NUM_THREADS`` afterwards still holds.  A process forked after threads were used
    computes in one thread, whatever is set.

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
    core.set_num_threads(integer(n, "n", minimum=1, maximum=MOST_THREADS))


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
        print(f"{name:<14} {', '.join(value) if isinstance(value, list) else value}")


def _threads_from_environment() -> None:
    value = os.environ.get("NPCNN_NUM_THREADS")
    if not value:
        return
    if not value.isdecimal():
        raise ValueError(f"NPCNN_NUM_THREADS must be an integer, got {value!r}; correct or unset it")
    core.set_num_threads(integer(int(value), "NPCNN_NUM_THREADS", minimum=1, maximum=MOST_THREADS))


_threads_from_environment()
