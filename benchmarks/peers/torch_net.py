"""The network in PyTorch; the three ways of running it are modules of their own."""

import os

import torch
from torch import nn

from peers import picture_size
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


def airbench():
    """Return `npcnn.models.airbench`."""

    def half(before, channels, *pooling):
        normalisation = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
        normalisation.weight.requires_grad_(False)
        convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        return [convolution, *pooling, normalisation, nn.GELU()]

    first = nn.Conv2d(3, 24, 2)
    first.weight.requires_grad_(False)
    layers, before = [first, nn.GELU()], 24
    for channels in (64, 256, 256):
        layers += [*half(before, channels, nn.MaxPool2d(2)), *half(channels, channels)]
        before = channels
    return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False))


def built(network):
    """Return the network."""
    if network == "airbench":
        return airbench()
    return resnet(network) if isinstance(network, int) else article(network)


def build(batch, network, *, memory_format, compiled, half_precision=False):
    """Return (step, forward, versions)."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    torch.manual_seed(0)
    pictures, classes = random_batch(batch, picture_size(network))
    x = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).to(memory_format=memory_format)
    labels = torch.from_numpy(classes)
    net = built(network).to(memory_format=memory_format)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-4, fused=True)
    model = torch.compile(net) if compiled else net

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=half_precision)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def forward():
        with torch.inference_mode(), autocast():
            return model(x)

    return step, forward, f"PyTorch {torch.__version__}{', bfloat16' if half_precision else ''}"
