"""The network in PyTorch; the three ways of running it are modules of their own."""

import os

import torch
from torch import nn

from peers.batch import random_batch


class Concat(nn.ModuleList):
    """Branches side by side, concatenated along the channels."""

    def forward(self, x):
        """Return the concatenation."""
        return torch.cat([branch(x) for branch in self], dim=1)


def branches(second):
    """Return the module for one entry of SECOND."""
    chains = []
    for chain in second:
        layers = []
        for kh, kw in chain:
            layers += [nn.Conv2d(64, 64, (kh, kw), padding=(kh // 2, kw // 2)), nn.ReLU()]
        chains.append(nn.Sequential(*layers))
    return chains[0] if len(chains) == 1 else Concat(chains)


def build(batch, second, *, memory_format, compiled):
    """Return (step, forward, versions)."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    torch.manual_seed(0)
    pictures, classes = random_batch(batch)
    x = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).to(memory_format=memory_format)
    labels = torch.from_numpy(classes)
    net = nn.Sequential(
        nn.Conv2d(3, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        branches(second),
        nn.MaxPool2d(2),
        nn.Conv2d(64 * len(second), 10, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(6),
        nn.Flatten(),
    ).to(memory_format=memory_format)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
    model = torch.compile(net) if compiled else net

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def forward():
        with torch.inference_mode():
            return model(x)

    return step, forward, f"PyTorch {torch.__version__}"
