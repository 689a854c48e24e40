"""A training step of many ranks: what it takes on this machine, and what follows for others.

Measured, each in processes of its own, in turns: the training of one process, with a batch in one piece and in parts;
and that of as many ranks of one thread as there are cores.  Then, for the formula of docs/many-machines.md, one rank of
R without the others, by itself on all cores: the time of its share of the pictures, and for how long backward goes on
after the first gradients are there.  What it would send is counted.

    python benchmarks/ranks.py [--net airbench --batch 1024] [--rounds 5] [--json FILE]

Needs mpi4py and mpiexec, `pip install ".[mpi]" mpich`.
"""

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from machine import versions, write_json
from peers import NETWORKS, picture_size
from peers.batch import random_batch

import npcnn as nn

RANKS = (16, 64, 256)
# Bits in a second, and seconds of the shortest message: TCP, and an adapter that bypasses the kernel.  Both assumed.
NETWORKS_BETWEEN = {"10 Gbit/s": (10e9, 30e-6), "100 Gbit/s": (100e9, 5e-6)}
WARM, STEPS = 3, 9


class WithoutOthers(nn.parallel.Alone):
    """Rank 0 of many whose others are missing; counts what it would say to them, and notes when."""

    def __init__(self, count):
        self.count = count
        self.begun, self.waited_for, self.hidden = [], [], []
        self._first = None

    def combined(self, array, combine):
        """Return the array, as if it were everybody's."""
        self.waited_for.append(array.nbytes)
        return array

    def begin(self, arrays):
        """Note that sums would set out now."""
        self._first = self._first or time.perf_counter()
        self.begun.append(sum(array.nbytes for array in arrays))

    def complete(self):
        """Note that they would have to be there now."""
        self.hidden.append(time.perf_counter() - self._first)
        self._first = None

    def gather(self, value):
        """Return the value, once for every rank."""
        return [value] * self.count


def step_times(net, batch, cut):
    """Train on one drawn batch; return the seconds of each step after the first ones."""
    x, labels = random_batch(batch, picture_size(NETWORKS[net]))
    own = [place for places in cut.places(batch) for place in places]
    network = nn.models.MODELS[net](rng=np.random.default_rng(0))
    ends = []

    def end(result):
        ends.append(result.seconds)

    shares = iter(lambda: (x[own], labels[own]), None)
    nn.train.fit(network, shares, nn.Adam(network, 1e-4), steps=WARM + STEPS, callbacks=[end], cut=cut)
    return np.diff(ends)[WARM - 1 :].tolist()


def serve(net, batch, parts, threads, ranks):
    """Measure in this process, one of `ranks` (0: of those that mpiexec started), and let rank 0 print it as JSON."""
    nn.set_num_threads(threads)
    if ranks:
        alone = WithoutOthers(ranks) if ranks > 1 else nn.parallel.Alone()
        measured = {"seconds": step_times(net, batch, nn.parallel.Cut(parts, alone))}
        if ranks > 1:
            steps = WARM + STEPS
            measured["hidden"] = statistics.median(alone.hidden)
            for name in ("begun", "waited_for"):
                sizes = getattr(alone, name)
                measured[name] = [len(sizes) // steps, sum(sizes) // steps]
        print(json.dumps(measured))
        return
    ranks = nn.parallel.join("mpi")
    seconds = step_times(net, batch, nn.parallel.Cut(parts, ranks))
    print(json.dumps({"seconds": seconds, "sent": ranks.sums.bytes_sent // (WARM + STEPS)}))


def measured(net, batch, parts, threads, ranks, processes=1):
    """Return what new processes measured."""
    command = [sys.executable, __file__, "--serve", net, *map(str, (batch, parts, threads, ranks))]
    if processes > 1:
        command = [_mpiexec(), "-n", str(processes), *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def _mpiexec():
    found = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if found is None:
        raise SystemExit('this benchmark needs mpiexec: pip install ".[mpi]" mpich')
    return found


def here(net, batch, cores, rounds):
    """Return {what: (median milliseconds, median of how many times as fast as the first in the same round)}."""
    configurations = {
        f"1 process, {cores} threads": (1, cores, 1),
        f"1 process, {cores} threads, --parts 8": (8, cores, 1),
        f"{cores} ranks, 1 thread each, --parts {cores}": (cores, 1, 0, cores),
        f"{cores} ranks, 1 thread each, --parts 8": (8, 1, 0, cores),
    }
    times, sent = {name: [] for name in configurations}, 0
    for _ in range(rounds):
        for name, arguments in configurations.items():
            result = measured(net, batch, *arguments)
            times[name].append(1e3 * statistics.median(result["seconds"]))
            sent = result.get("sent", sent)
    first, *_ = times.values()
    ratios = {name: statistics.median(np.divide(first, of_rounds)) for name, of_rounds in times.items()}
    return {name: (statistics.median(of_rounds), ratios[name]) for name, of_rounds in times.items()}, sent


def elsewhere(net, batch, cores, rounds):
    """Return rows (ranks, pictures in all, its share, E, G, S, bytes of these, h, the step alone and by network)."""
    rows = []
    for ranks in RANKS:
        whole = max(batch, ranks)
        results = [measured(net, whole, ranks, cores, ranks) for _ in range(rounds)]
        step = statistics.median(statistics.median(result["seconds"]) for result in results)
        hidden = statistics.median(result["hidden"] for result in results)
        (sums, gradients), (waited_for, bytes_of_these) = results[0]["begun"], results[0]["waited_for"]
        rounds_of_tree, steps = math.log2(ranks), []
        for bits, latency in NETWORKS_BETWEEN.values():
            exchange = 2 * (ranks - 1) / ranks * gradients * 8 / bits + 2 * sums * rounds_of_tree * latency
            steps.append(step + waited_for * rounds_of_tree * latency + max(0, exchange - hidden))
        counted = (sums, gradients, waited_for, bytes_of_these)
        rows.append((ranks, whole, whole // ranks, *counted, 1e3 * hidden, 1e3 * step, *(1e3 * step for step in steps)))
    return rows


def main():
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=NETWORKS, default="separable")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.add_argument("--serve", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], *map(int, options.serve[1:]))
        return
    cores = 1 << nn.get_num_threads().bit_length() - 1  # ranks are a power of two
    nn.set_num_threads(cores)
    print(versions(), f"\n\n{options.net}, batch of {options.batch}:", sep="")
    times, sent = here(options.net, options.batch, cores, options.rounds)
    for name, (ms, ratio) in times.items():
        print(f"{name:<40}{ms:9.2f} ms {ratio:6.2f} times as fast as the first")
    print(f"a rank sends {sent:,} bytes a step\n\nOne rank of R, times in ms:")
    rows = elsewhere(options.net, options.batch, cores, options.rounds)
    head = ("ranks", "batch", "share", "E", "G", "S", "bytes", "h", "alone", *NETWORKS_BETWEEN)
    print(*(f"{word:>10}" for word in head))
    for row in rows:
        print(*(f"{value:>10,}" if isinstance(value, int) else f"{value:>10.2f}" for value in row))
    write_json(options.json, here=times, bytes_sent=sent, head=head, elsewhere=rows)


if __name__ == "__main__":
    main()
