"""A small network with every kind of layer that sums over a batch, and a training of it on noise."""

import hashlib

import numpy as np

import npcnn as nn
from npcnn.datasets import TrainingBatches
from npcnn.datasets.steps import contrast, mirror, random_crop, standardise

BATCH, SIZE = 32, 12


def network(*, dropout=0.3, dtype=np.float32):
    rng = np.random.default_rng(1)
    options = {"rng": rng, "dtype": dtype}
    branch = nn.Sequential(
        nn.Conv2D(16, 16, 3, bias=False, **options), nn.BatchNorm(16, activation="relu", dtype=dtype)
    )
    return nn.Sequential(
        nn.Conv2D(3, 8, 3, **options),
        nn.BatchNorm(8, dtype=dtype),
        nn.GELU(),
        nn.Conv2D(8, 16, 5, activation="relu", **options),
        nn.MaxPool2D(2),
        nn.Dropout(dropout, rng=np.random.default_rng(2)),
        nn.SpatiallySeparableConv2D(16, 16, 3, activation="relu", **options),
        nn.Residual(branch),
        nn.LayerNorm(16, dtype=dtype),
        nn.DepthwiseConv2D(16, 3, **options),
        nn.Conv2DTranspose(16, 8, 3, stride=2, activation="relu", **options),
        nn.Conv2D(8, 32, 3, stride=2, groups=2, **options),
        nn.Flatten(),
        nn.Dense(SIZE * SIZE // 4 * 32, 10, **options),  # 46 kB of weights: more than travel in one piece
    )


def noise(count=64):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8), rng.integers(0, 10, count)
    return nn.datasets.from_arrays(images, labels, images[:8], labels[:8], steps=[standardise()], name="noise")


def batches(data, cut, start=0):
    augment = [random_crop(SIZE, padding=2), mirror(), mirror(alternate=True), contrast(0.5, 1.5)]
    return TrainingBatches(data, batch_size=BATCH, augment=augment, start=start, cut=cut)


def train(cut, steps=4):
    """Return a digest of what the network has learnt, and what its steps showed."""
    net, results = network(), []
    with batches(noise(), cut) as drawn:
        nn.train.fit(net, drawn, nn.Adam(net, 1e-3), steps=steps, callbacks=[results.append], cut=cut)
    return digest(net), [(result.loss, result.accuracy, result.images, result.gradient_norm) for result in results]


def digest(net):
    return hashlib.sha256(b"".join(array.tobytes() for array in net.arrays.values())).hexdigest()
