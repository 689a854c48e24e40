"""Time one training step, and forward alone, of a network of `npcnn.models` beside other libraries.

Each library runs in a process of its own with the same number of threads, and they take turns: a few steps of
one, a few of the next, round after round, so that whatever else the machine does falls on all of them alike.
It prints medians over the rounds, and how many times as long as npcnn each takes.

    python benchmarks/step_time.py [--net separable] [--peers npcnn numpy torch ...] [--batch 128] [--rounds 15]

Engines that only run a network, onnxruntime and OpenVINO, get it from npcnn as an ONNX model, and are timed if
their outputs are npcnn's.  One picture at a time, and many:

    pip install onnx onnxruntime openvino
    python benchmarks/step_time.py --peers onnxruntime openvino --forward-only --batch 128 1
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import cpu_name, write_json
from peers import NETWORKS, PEERS

CALLS_PER_TURN = 3  # at least
SECONDS_PER_TURN = 0.02  # at least: calls that take less than a millisecond are repeated more often
REST_SECONDS = 0.05  # between turns, until the threads of the last one have gone to sleep


def serve(peer, net, batch, forward_only):
    """Run one peer: answer each line "step" or "forward" on stdin with the milliseconds of one call."""
    try:
        step, forward, versions = importlib.import_module(f"peers.{PEERS[peer]}").build(batch, NETWORKS[net])
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    calls = {"forward": forward} if forward_only or step is None else {"step": step, "forward": forward}
    losses = [step() for _ in range(5)] if "step" in calls else []
    for _ in range(3):
        forward()
    print(json.dumps({"versions": versions, "losses": losses, "calls": list(calls)}), flush=True)
    for line in sys.stdin:
        call, times = calls[line.strip()], []
        call()  # not timed: wakes the threads and fills the caches after the others' turns
        while len(times) < CALLS_PER_TURN or sum(times) < 1e3 * SECONDS_PER_TURN:
            begin = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - begin))
        print(json.dumps(statistics.median(times)), flush=True)


def start(peer, net, batch, threads, forward_only):
    """Start the process of a peer; return it, or None when its library is missing."""
    environment = os.environ | {
        name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    }
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", peer, "--net", net, "--batch", str(batch)]
        + ["--forward-only"] * forward_only,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        stderr=subprocess.DEVNULL if peer in ("tensorflow", "jax") else None,
    )
    hello = json.loads(process.stdout.readline() or '{"missing": "the process ended"}')
    if "missing" in hello:
        print(f"{peer}: not measured ({hello['missing']})")
        process.wait()
        return None
    process.versions, process.calls = hello["versions"], hello["calls"]
    return process


def ask(process, call):
    """Let a peer take its turn; return milliseconds."""
    time.sleep(REST_SECONDS)
    process.stdin.write(call + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def measure(peers, net, batch, threads, rounds, forward_only):
    """Return {peer: {"step": [ms per round], "forward": [...], "versions": ...}}, "step" for those that train."""
    processes = {peer: start(peer, net, batch, threads, forward_only) for peer in peers}
    processes = {peer: process for peer, process in processes.items() if process}
    results = {
        peer: {"versions": process.versions} | {call: [] for call in process.calls}
        for peer, process in processes.items()
    }
    for _ in range(rounds):
        for call in ("step", "forward"):
            for peer, process in processes.items():
                if call in process.calls:
                    results[peer][call].append(ask(process, call))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return results


def table(results):
    """Return the lines of the printed table."""
    calls = [call for call in ("step", "forward") if call in results["npcnn"]]
    head = "".join(f" {call + ' ms':>11} {'x npcnn':>8}" for call in calls)
    lines = [f"{'':14}{head}   versions"]
    for peer, result in results.items():
        line = f"{peer:14}"
        for call in calls:
            if call in result:
                ms = statistics.median(result[call])
                line += f" {ms:11.2f} {ms / statistics.median(results['npcnn'][call]):8.2f}"
            else:
                line += f" {'':11} {'':8}"
        lines.append(f"{line}   {result['versions']}")
    return lines


def main():
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--net", choices=NETWORKS, default="separable")
    parser.add_argument("--batch", type=int, nargs="+", default=[128], help="one size of the batch, or several in turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--forward-only", action="store_true", help="leave the training step out, for every peer")
    parser.add_argument("--json", type=Path, help="write every measured figure to this file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.net, options.batch[0], options.forward_only)
        return
    peers = ["npcnn", *(peer for peer in options.peers if peer != "npcnn")]
    results = {}
    for batch in options.batch:
        print(
            f"{cpu_name()}, {options.threads} threads, {options.net} network, batch {batch}, float32, "
            f"median of {options.rounds} interleaved rounds\n"
        )
        results[batch] = measure(peers, options.net, batch, options.threads, options.rounds, options.forward_only)
        print("\n".join(table(results[batch])), end="\n\n")
    write_json(options.json, settings=vars(options), results=results)


if __name__ == "__main__":
    main()
