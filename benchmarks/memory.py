"""Memory of a training process, and the time of the import, beside NumPy alone.

Every figure comes from a fresh process: the peak of its resident memory after the import, and after ten training steps
of a network of `npcnn.models`; and the seconds its import takes, median of several.

    python benchmarks/memory.py [--net separable] [--batch 128] [--peers numpy tensorflow torch] [--json FILE]
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

from machine import versions, write_json
from peers import NETWORKS, TRAINING_PEERS

IMPORTS = {"NumPy": "numpy", "npcnn": "npcnn", "PyTorch": "torch", "TensorFlow": "tensorflow"}
TIME_IMPORT = """
import time
begin = time.perf_counter()
import {module}
print(time.perf_counter() - begin)
"""
# Linux counts in ru_maxrss what the process that started this one had, so its own count is read from /proc.
PEAK_AFTER = """
import re, resource, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
{code}
status = Path("/proc/self/status")
if status.exists():
    print(int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text())[1]) / 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024))
"""
TRAIN = """
import importlib
from peers import TRAINING_PEERS, NETWORKS
step, *_ = importlib.import_module("peers." + TRAINING_PEERS[{peer!r}]).build({batch}, NETWORKS[{net!r}])
for _ in range(10):
    step()
"""


def run(code):
    """Return the number that a fresh Python process prints last; None for a missing library or network."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if re.search(r"^(ModuleNotFound|Import)Error:", done.stderr, re.MULTILINE):
        return None
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout.split()[-1]))


def peak_mib(code):
    """Return the peak resident MiB of a process that runs `code`."""
    return run(PEAK_AFTER.format(folder=str(Path(__file__).parent), code=code))


def import_seconds(rounds):
    """Return {library: median seconds}, the libraries taking turns; those not installed are left out."""
    times = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        for name, module in IMPORTS.items():
            times[name].append(run(TIME_IMPORT.format(module=module)))
    return {name: statistics.median(values) for name, values in times.items() if values[0] is not None}


def main():
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", nargs="+", choices=TRAINING_PEERS, default=["numpy", "tensorflow", "torch"])
    parser.add_argument("--net", choices=NETWORKS, default="separable")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7, help="imports of each library")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args()
    print(f"{versions()}\n")
    seconds = import_seconds(options.rounds)
    print(f"{'import':24} {'ms':>8} {'x NumPy':>8}")
    for name, value in seconds.items():
        print(f"{name:24} {1e3 * value:8.0f} {value / seconds['NumPy']:8.2f}")
    numpy_alone = peak_mib("import numpy")
    peaks = {"npcnn, imported": peak_mib("import npcnn")}
    peaks |= {
        f"{peer}, trained": peak_mib(TRAIN.format(peer=peer, net=options.net, batch=options.batch))
        for peer in ["npcnn", *(peer for peer in options.peers if peer != "npcnn")]
    }
    print(f"\n{options.net} network, batch {options.batch}")
    print(f"{'peak resident memory':24} {'MiB':>8} {'beyond NumPy':>14}")
    print(f"{'NumPy, imported':24} {numpy_alone:8.0f} {0:14.0f}")
    for name, value in peaks.items():
        if value is not None:
            print(f"{name:24} {value:8.0f} {value - numpy_alone:14.0f}")
    write_json(options.json, settings=vars(options), import_seconds=seconds, numpy_mib=numpy_alone, peak_mib=peaks)


if __name__ == "__main__":
    main()
