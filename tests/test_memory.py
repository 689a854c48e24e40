"""A long training takes no more memory than a short one."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

PROGRAM = """
import resource, sys
import numpy as np
import npcnn as nn
from npcnn.datasets import TrainingBatches

folder, batch = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (512, 32, 32, 3), dtype=np.uint8)
labels = rng.integers(0, 10, 512)
net = nn.models.cifar_separable(rng=rng)
optimizer = nn.Adam(net, lr=1e-4)
at = {}

def measure(result):
    if result.step in (300, 2300):
        at[result.step] = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

checkpoints = nn.train.Checkpoints(folder + "/checkpoints", net, optimizer, every=100)
with (
    checkpoints,
    nn.train.MetricsCSV(folder + "/metrics.csv") as csv,
    nn.train.MetricsJSONL(folder + "/metrics.jsonl") as jsonl,
    TrainingBatches(images, labels, batch_size=batch, pipeline="distorted") as batches,
):
    nn.train.fit(net, batches, optimizer, steps=2300, callbacks=[csv, jsonl, checkpoints, measure])
print((at[2300] - at[300]) / 2**20)
"""


def test_two_thousand_steps_grow_by_less_than_2_mib(tmp_path, nightly):
    batch = 128 if nightly else 8
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)  # it only ends what would never end
    assert done.returncode == 0, done.stderr
    growth = float(done.stdout)
    print(f"{growth:.2f} MiB")
    assert growth < 2
