"""PyTorch eager with NHWC memory (channels_last) and fused Adam: its fastest eager form on a CPU."""

import torch

from peers import torch_net


def build(batch, network):
    """Return (step, forward, versions)."""
    return torch_net.build(batch, network, memory_format=torch.channels_last, compiled=False)
