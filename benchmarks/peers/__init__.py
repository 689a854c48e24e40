"""The article's network in several libraries, each behind the same two calls.

A peer is a module with ``build(batch) -> (step, forward, versions)``: `step`
runs one whole training step (forward, loss, backward, Adam) on a fixed batch
and returns the loss, `forward` gives the logits, `versions` names what was
measured.  A module whose library is not installed raises ImportError.
"""

PEERS = {
    "npcnn": "npcnn_net",
    "numpy": "numpy_net",
    "tensorflow": "tensorflow_net",
    "torch": "torch_channels_last_net",
    "torch-nchw": "torch_nchw_net",
    "torch-compile": "torch_compile_net",
    "jax": "jax_net",
}
