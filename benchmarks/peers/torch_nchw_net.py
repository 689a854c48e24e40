"""PyTorch eager with its default memory order (NCHW) and fused Adam."""

import torch

from peers import torch_net


def build(batch, network):
    """Return (step, forward, versions)."""
    return torch_net.build(batch, network, memory_format=torch.contiguous_format, compiled=False)
