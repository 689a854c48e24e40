"""PyTorch through torch.compile, channels_last."""

import torch

from peers import torch_net


def build(batch, second):
    """Return (step, forward, versions)."""
    return torch_net.build(batch, second, memory_format=torch.channels_last, compiled=True)
