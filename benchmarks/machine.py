"""The machine a benchmark runs on: its name, its multiply-add peak, its copy bandwidth, and fair timing.

The peaks are measured by machine.c, compiled here with the flags that npcnn's own variant of the instruction set
in use was compiled with.
"""

import ctypes
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import npcnn as nn

# Instruction set: compiler flags, bytes of a vector, accumulators (3/4 of the registers).
VARIANTS = {
    "avx512": (["-mavx512f", "-mfma", "-mprefer-vector-width=512"], 64, 24),
    "avx2": (["-mavx2", "-mfma"], 32, 12),
    "sse2": (["-msse2"], 16, 12),
    "neon": ([], 16, 24),
    "plain": (["-fno-tree-vectorize"], 4, 12),
}


def cpu_name():
    """Return the model name of the CPU where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def versions():
    """Return the machine and the versions in one line."""
    config = nn.config.current()
    return (
        f"{cpu_name()}, {config['threads']} threads, {config['isa']}, {config['compiler']}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, npcnn {nn.__version__}"
    )


def load_machine_c(isa):
    """Compile machine.c for an instruction set and return it as a ctypes library."""
    flags, vector_bytes, accumulators = VARIANTS[isa]
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("this benchmark compiles benchmarks/machine.c and found no C compiler; set CC")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "machine.so")
        command = [compiler, "-std=gnu11", "-O3", "-ffp-contract=fast", "-fopenmp", "-shared", "-fPIC", *flags]
        command += [f"-DVECTOR_BYTES={vector_bytes}", f"-DACCUMULATORS={accumulators}"]
        subprocess.run([*command, str(Path(__file__).with_name("machine.c")), "-o", str(library)], check=True)
        machine = ctypes.CDLL(str(library))
    machine.multiply_add.restype = ctypes.c_double
    machine.multiply_add.argtypes = [ctypes.c_long, ctypes.c_int]
    machine.copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    machine.loops.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 6
    return machine


def median_milliseconds(calls, rounds, repeats=3):
    """Return {name: median ms} of functions that take turns, so that other load falls on all of them alike.

    In each round every function is called once without timing, then `repeats` times.
    """
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            for _ in range(repeats):
                begin = time.perf_counter()
                call()
                times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in times.items()}


def write_json(path, **content):
    """Write the figures and what they were measured on, if there is a path."""
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps({"measured on": versions(), **content}, indent=1, default=str) + "\n")
