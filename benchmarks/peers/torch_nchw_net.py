"""PyTorch eager with its default memory order (NCHW) and fused Adam."""

import torch

from peers import torch_net


def build(batch, second):
    """Return (step, forward, versions)."""
    return torch_net.build(batch, second, memory_format=torch.contiguous_format, compiled=False)
