"""The article's networks as ONNX models, for engines that run a network and do not train it.

The model has the weights of npcnn's own network and takes NCHW, the order of ONNX; what an engine makes of it is
compared with what npcnn computes before anything is timed.
"""

import numpy as np

import npcnn as nn
from peers import NETWORKS, of_the_article
from peers.batch import random_batch

LARGEST_ERROR = 1e-4  # of the largest output


def serialized(net, shape):
    """Return a network of npcnn, for batches (N, H, W, C) of just that N, as the bytes of an ONNX file."""
    model = nn.onnx.to_model(net, shape[1:])
    # An engine may plan for a batch whose size it knows.
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = shape[0]
    return model.SerializeToString()


def build(batch, network, load):
    """Return (None, forward, versions) of an engine.

    `load(model)` takes the bytes of the model and returns what computes the logits of (N, C, H, W), and the versions.
    """
    of_the_article(network)
    pictures, _ = random_batch(batch)
    name = next(name for name, known in NETWORKS.items() if known == network)
    net = nn.models.MODELS[name](rng=np.random.default_rng(0))
    run, versions = load(serialized(net, pictures.shape))
    x, expected = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)), net.forward(pictures)
    error = np.abs(run(x) - expected).max() / np.abs(expected).max()
    if not error <= LARGEST_ERROR:
        raise SystemExit(f"{versions}: its outputs are not npcnn's, but up to {error:.1e} of the largest off")
    return None, lambda: run(x), versions
