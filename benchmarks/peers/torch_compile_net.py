"""PyTorch through torch.compile, channels_last."""

import torch

from peers import torch_net


def build(batch, network):
    """Return (step, forward, versions)."""
    return torch_net.build(batch, network, memory_format=torch.channels_last, compiled=True)
