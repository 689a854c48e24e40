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
    """Return the module for the second convolution."""
    chains = []
    for chain in second:
        layers = []
        for kh, kw in chain:
            layers += [nn.Conv2d(64, 64, (kh, kw), padding=(kh // 2, kw // 2)), nn.ReLU()]
        chains.append(nn.Sequential(*layers))
    return chains[0] if len(chains) == 1 else Concat(chains)


def article(second):
    """Return the article's network with this second convolution."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        branches(second),
        nn.MaxPool2d(2),
        nn.Conv2d(64 * len(second), 10, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(6),
        nn.Flatten(),
    )


def normalised(before, channels, size=3, stride=1):
    """Return a convolution and a batch normalisation."""
    convolution = nn.Conv2d(before, channels, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


class ResidualBlock(nn.Module):
    """Two convolutions, added to their input."""

    def __init__(self, before, channels):
        super().__init__()
        stride = 1 if before == channels else 2
        self.first, self.second = normalised(before, channels, stride=stride), normalised(channels, channels)
        self.shortcut = nn.Identity() if stride == 1 else normalised(before, channels, size=1, stride=stride)

    def forward(self, x):
        """Return the sum, through the ReLU."""
        y = self.second(nn.functional.relu(self.first(x), inplace=True))
        return nn.functional.relu(y + self.shortcut(x), inplace=True)


def resnet(depth):
    """Return `npcnn.models.resnet`."""
    layers = [normalised(3, 16), nn.ReLU(inplace=True)]
    before = 16
    for channels in (16, 32, 64):
        for _ in range((depth - 2) // 6):
            layers.append(ResidualBlock(before, channels))
            before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def build(batch, network, *, memory_format, compiled):
    """Return (step, forward, versions)."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    torch.manual_seed(0)
    is_residual = isinstance(network, int)
    pictures, classes = random_batch(batch, 32 if is_residual else 24)
    x = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).to(memory_format=memory_format)
    labels = torch.from_numpy(classes)
    net = (resnet(network) if is_residual else article(network)).to(memory_format=memory_format)
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
