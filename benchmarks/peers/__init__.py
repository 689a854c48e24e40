"""The networks of `npcnn.models` in several libraries, each behind the same two calls.

A peer is a module with ``build(batch, second) -> (step, forward, versions)``:
`second` is one of SECOND, what comes between the two max poolings; `step`
runs one whole training step (forward, loss, backward, Adam) on a fixed batch
and returns the loss, `forward` gives the logits, `versions` names what was
measured.  A module whose library is not installed raises ImportError.
"""

# The second convolution of each network: branches side by side, each a chain of kernels with 64 channels.
SECOND = {
    "separable": (((5, 1), (1, 5)),),
    "plain": (((5, 5),),),
    "multichannel": (((1, 1),), ((3, 3),), ((5, 5),), ((7, 7),)),
}

PEERS = {
    "npcnn": "npcnn_net",
    "numpy": "numpy_net",
    "tensorflow": "tensorflow_net",
    "torch": "torch_channels_last_net",
    "torch-nchw": "torch_nchw_net",
    "torch-compile": "torch_compile_net",
    "jax": "jax_net",
}
