"""The networks of `npcnn.models` in several libraries, each behind the same two calls.

A peer is a module with ``build(batch, network) -> (step, forward, versions)``:
`network` is one of NETWORKS; `step` runs one whole training step (forward, loss,
backward, Adam) on a fixed batch and returns the loss, `forward` gives the logits,
`versions` names what was measured.  What only runs networks, and does not train
them, has None for `step`.  A module whose library is not installed, or that does
not have the network, raises ImportError.
"""

# Of the article's networks the second convolution: branches side by side, each a chain of kernels with 64 channels.
# Of a residual network the depth; airbench94 is one of its own.
NETWORKS = {
    "separable": (((5, 1), (1, 5)),),
    "plain": (((5, 5),),),
    "multichannel": (((1, 1),), ((3, 3),), ((5, 5),), ((7, 7),)),
    "resnet20": 20,
    "airbench": "airbench",
}

TRAINING_PEERS = {
    "npcnn": "npcnn_net",
    "numpy": "numpy_net",
    "tensorflow": "tensorflow_net",
    "torch": "torch_channels_last_net",
    "torch-nchw": "torch_nchw_net",
    "torch-compile": "torch_compile_net",
    "torch-bfloat16": "torch_bfloat16_net",
    "jax": "jax_net",
}
PEERS = TRAINING_PEERS | {"onnxruntime": "onnxruntime_net", "openvino": "openvino_net"}


def picture_size(network):
    """Return height and width of a network's pictures."""
    return 24 if isinstance(network, tuple) else 32


def of_the_article(network):
    """Return a network's second convolution; ImportError for another network, which not every peer has."""
    if not isinstance(network, tuple):
        raise ImportError("this peer has the article's networks only")
    return network
