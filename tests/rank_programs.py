"""Programs for mpiexec, by name: ``mpiexec -n 2 python tests/rank_programs.py train``; rank 0 prints what it found."""

import importlib.util
import os
import sys
import time
from pathlib import Path

import numpy as np
from cut_networks import batches, digest, network, noise, train

import npcnn as nn
from npcnn.functional.batch_parts import in_tree
from npcnn.train.command_line import exit_status

HERE = Path(__file__).parent

nn.set_num_threads(1)
STEPS = 12


def bits():
    """Train; the digest and the last step."""
    learnt, steps = train(nn.parallel.Cut(8, nn.parallel.join("auto")))
    print(learnt, steps[-1])


def sums():
    """Let sums of many sizes overtake one another, and compare each with the tree over all ranks' arrays."""
    ranks = nn.parallel.join()
    rng = np.random.default_rng(ranks.number)
    made = [
        tuple(rng.standard_normal(size).astype(dtype) for size in sizes)
        for sizes in ((1,), (5, 7), (20_001,), (3, 100_000), (300, 300))
        for dtype in (np.float32, np.float64)
    ]
    whole = []
    for arrays in made:
        theirs = ranks.gather(arrays)
        whole.append([in_tree([arrays[k] for arrays in theirs], np.add) for k in range(len(arrays))])
    for arrays in made:
        ranks.begin(arrays)
        time.sleep(0.001 * ranks.number)
        largest = ranks.combined(np.array([float(ranks.number)]), np.maximum)
        assert largest[0] == ranks.count - 1
    ranks.complete()
    right = all(
        (array == sums).all() for both in zip(made, whole, strict=True) for array, sums in zip(*both, strict=True)
    )
    sent, size = ranks.sums.bytes_sent, sum(array.nbytes for arrays in made for array in arrays)
    print(right and ranks.gather(right) == [True] * ranks.count, sent <= 2 * size + 2000 * ranks.count)


def run(folder, resume=False, steps=STEPS, spoil=""):
    """Train in a folder, slowly enough to be killed; rank 0 prints a line for each step, and the digest at the end."""
    ranks = nn.parallel.join()
    cut = nn.parallel.Cut(8, ranks)
    data, net = noise(), network()
    if ranks.number == 1 and spoil == "data":
        data = noise(65)
    if ranks.number == 1 and spoil == "network":
        net = nn.Sequential(*net.layers[:-1], nn.Dense(SIZE_OF_LAST, 10, bias=False))
    optimizer = nn.Adam(net, 1e-3)
    average = nn.train.ExponentialMovingAverage(net, 0.9)

    def watch(result):
        print("after step", result.step, "process", os.getpid(), flush=True)
        if ranks.number == 1 and result.step == 3 and spoil == "step":
            raise OSError("the disk is full")
        time.sleep(0.01)

    settings = {"steps": steps, "lr": 0.5 if ranks.number == 1 and spoil == "lr" else 0.1}
    with nn.train.Run(
        folder, net, optimizer, data, settings=settings, fixed=["lr"], resume=resume, checkpoint_every=2,
        average=average, cut=cut,
    ) as training, batches(data, cut, start=training.step) as drawn:  # fmt: skip
        print("processes", *nn.train.read_settings(folder)["ranks"] if resume else [], flush=True)
        training.fit(
            drawn, lambda: nn.datasets.evaluation_batches(data), steps=steps, evaluate_every=4, callbacks=[watch]
        )
    everything = digest(net), sum(float(array.sum()) for array in average.mean.values())
    assert ranks.gather(everything) == [everything] * ranks.count
    print("learnt", *everything)


SIZE_OF_LAST = 36 * 32


def cifar94(*arguments):
    """Run the example of that name on a few pictures."""
    spec = importlib.util.spec_from_file_location("train_cifar94", HERE.parent / "examples" / "train_cifar94.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (48, 32, 32, 3), np.uint8), rng.integers(0, 10, 48)
    data = nn.datasets.from_arrays(images[:40], labels[:40], images[40:], labels[40:], classes=list("abcdefghij"))
    nn.datasets.load = lambda name, folder: data
    sys.exit(exit_status("train_cifar94.py", example.train, [*arguments]))


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    if name == "run":
        folder = Path(arguments[0])
        run(folder, resume="resume" in arguments, spoil=next((a[6:] for a in arguments if a.startswith("spoil=")), ""))
    else:
        {"bits": bits, "sums": sums, "cifar94": cifar94}[name](*arguments)
