"""Train a small network in PyTorch and write it as ONNX: the one "made elsewhere" that chapter 17 opens.

    python docs/tour/pytorch_network.py

Needs torch and onnx.  It was run once; docs/tour/pytorch.onnx is what came out.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn as torch_nn

import npcnn as nn
from npcnn.datasets import TrainingBatches, evaluation_batches


def pictures_first(x):
    """Return pictures as PyTorch takes them: the channels before the pixels."""
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


torch.manual_seed(0)
net = torch_nn.Sequential(
    torch_nn.Conv2d(3, 16, 5, padding=2), torch_nn.ReLU(), torch_nn.MaxPool2d(2),
    torch_nn.Conv2d(16, 24, 3, padding=1), torch_nn.BatchNorm2d(24), torch_nn.ReLU(), torch_nn.MaxPool2d(2),
    torch_nn.Conv2d(24, 32, 3, padding=1), torch_nn.ReLU(), torch_nn.AdaptiveAvgPool2d(1), torch_nn.Flatten(),
    torch_nn.Linear(32, 10),
)  # fmt: skip
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
data = nn.datasets.load("synthetic")
with TrainingBatches(data, batch_size=64) as batches:
    for _, (x, labels) in zip(range(500), batches, strict=False):
        optimizer.zero_grad()
        torch_nn.functional.cross_entropy(net(pictures_first(x)), torch.from_numpy(labels.astype(np.int64))).backward()
        optimizer.step()
net.eval()
with torch.no_grad():
    right = [(net(pictures_first(x)).numpy().argmax(1) == labels) for x, labels in evaluation_batches(data)]
print(f"test accuracy {np.concatenate(right).mean():.3f}")
path = Path(__file__).with_name("pytorch.onnx")
torch.onnx.export(net, (torch.zeros(1, 3, 24, 24),), str(path), dynamo=False, input_names=["x"],
                  dynamic_axes={"x": {0: "N"}})  # fmt: skip
