"""The networks of `npcnn.models`, as a user trains them."""

import numpy as np

import npcnn as nn
from peers import NETWORKS, picture_size
from peers.batch import random_batch


def build(batch, network):
    """Return (step, forward, versions)."""
    x, labels = random_batch(batch, picture_size(network))
    name = next(name for name, known in NETWORKS.items() if known == network)
    net = nn.models.MODELS[name](rng=np.random.default_rng(0))
    optimizer = nn.Adam(net, lr=1e-4)

    def step():
        loss, dlogits = nn.functional.softmax_cross_entropy(net.forward(x, training=True), labels)
        net.backward(dlogits, need_dx=False)
        optimizer.step()
        return loss

    def forward():
        return net.forward(x)

    config = nn.config.current()
    return step, forward, f"npcnn {config['npcnn']} ({config['isa']}, {config['compiler']})"
