"""PyTorch eager in half the precision: bfloat16 by autocast, with NHWC memory (channels_last) and fused Adam."""

import torch

from peers import torch_net


def build(batch, network):
    """Return (step, forward, versions)."""
    return torch_net.build(batch, network, memory_format=torch.channels_last, compiled=False, half_precision=True)
