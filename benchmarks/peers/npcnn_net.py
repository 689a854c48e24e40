"""The network of `npcnn.models.cifar_separable`, as a user trains it."""

import numpy as np

import npcnn as nn
from peers.batch import random_batch


def build(batch):
    """Return (step, forward, versions)."""
    x, labels = random_batch(batch)
    net = nn.models.cifar_separable(rng=np.random.default_rng(0))
    optimizer = nn.Adam(net, lr=1e-4)

    def step():
        loss, dlogits = nn.functional.softmax_cross_entropy(net.forward(x, training=True), labels)
        net.backward(dlogits, need_dx=False)
        optimizer.step()
        return loss

    def forward():
        return net.forward(x)

    config = nn.config.config()
    return step, forward, f"npcnn {config['npcnn']} ({config['isa']}, {config['compiler']})"
