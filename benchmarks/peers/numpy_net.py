"""The network in plain NumPy: im2col of the whole batch, then matrix products by NumPy's BLAS.

This is how convolution is usually taught: `sliding_window_view` gives the windows, one copy turns them
into the im2col matrix, `@` does the rest.
"""

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from peers import of_the_article
from peers.batch import random_batch


class Conv2D:
    """SAME convolution with stride 1, then ReLU."""

    def __init__(self, kernel, c_in, c_out, rng):
        self.kernel = kernel
        self.w = (0.1 * rng.standard_normal((kernel[0] * kernel[1] * c_in, c_out))).astype(np.float32)
        self.b = np.full(c_out, 0.1, np.float32)
        self.params = [self.w, self.b]

    def forward(self, x):
        kh, kw = self.kernel
        self.x_shape = x.shape
        padded = np.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
        windows = sliding_window_view(padded, (kh, kw), axis=(1, 2))  # (N, H, W, C, KH, KW)
        self.columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, self.w.shape[0])
        y = self.columns @ self.w
        y += self.b
        self.y = np.maximum(y, 0, out=y)
        return self.y.reshape(*x.shape[:3], -1)

    def backward(self, dy, need_dx=True):
        dy = dy.reshape(self.y.shape) * (self.y > 0)
        self.grads = [self.columns.T @ dy, dy.sum(axis=0)]
        if not need_dx:
            return None
        n, h, w, c = self.x_shape
        kh, kw = self.kernel
        columns = (dy @ self.w.T).reshape(n, h, w, kh, kw, c)
        padded = np.zeros((n, h + kh - 1, w + kw - 1, c), np.float32)
        for i in range(kh):
            for j in range(kw):
                padded[:, i : i + h, j : j + w] += columns[:, :, :, i, j]
        return padded[:, kh // 2 : kh // 2 + h, kw // 2 : kw // 2 + w]


class MaxPool2x2:
    """Largest of 2 x 2."""

    params = grads = ()

    def forward(self, x):
        n, h, w, c = x.shape
        windows = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4)
        windows = windows.reshape(n, h // 2, w // 2, c, 4)
        self.argmax = windows.argmax(axis=-1)
        return np.take_along_axis(windows, self.argmax[..., None], -1)[..., 0]

    def backward(self, dy):
        n, h, w, c = dy.shape
        windows = np.zeros((*dy.shape, 4), np.float32)
        np.put_along_axis(windows, self.argmax[..., None], dy[..., None], -1)
        windows = windows.reshape(n, h, w, c, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        return windows.reshape(n, 2 * h, 2 * w, c)


class GlobalAvgPool:
    """Mean over the picture."""

    params = grads = ()

    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=(1, 2))

    def backward(self, dy):
        _, h, w, _ = self.shape
        return np.broadcast_to(dy[:, None, None] / (h * w), self.shape)


class Branches:
    """Chains of convolutions side by side, their channels concatenated."""

    def __init__(self, chains):
        self.chains = chains
        self.params = [p for chain in chains for layer in chain for p in layer.params]

    def forward(self, x):
        return np.concatenate([functools.reduce(lambda y, layer: layer.forward(y), c, x) for c in self.chains], -1)

    def backward(self, dy):
        parts = np.split(dy, len(self.chains), axis=-1)
        dx = sum(
            functools.reduce(lambda d, layer: layer.backward(d), chain[::-1], part)
            for chain, part in zip(self.chains, parts, strict=True)
        )
        self.grads = [grad for chain in self.chains for layer in chain for grad in layer.grads]
        return dx


class Adam:
    """Kingma & Ba, with NumPy expressions."""

    def __init__(self, layers, lr):
        self.layers, self.lr, self.t = layers, lr, 0
        self.moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in layer.params] for layer in layers]

    def step(self):
        self.t += 1
        size = self.lr * np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        for layer, moments in zip(self.layers, self.moments, strict=True):
            for p, grad, (m, v) in zip(layer.params, layer.grads, moments, strict=True):
                m += 0.1 * (grad - m)
                v += 0.001 * (grad * grad - v)
                p -= np.float32(size) * m / (np.sqrt(v) + 1e-8)


def build(batch, network):
    """Return (step, forward, versions)."""
    second = of_the_article(network)
    x, labels = random_batch(batch)
    rng = np.random.default_rng(0)
    layers = [
        Conv2D((5, 5), 3, 64, rng),
        MaxPool2x2(),
        Branches([[Conv2D(kernel, 64, 64, rng) for kernel in chain] for chain in second]),
        MaxPool2x2(),
        Conv2D((5, 5), 64 * len(second), 10, rng),
        GlobalAvgPool(),
    ]
    optimizer = Adam(layers, 1e-4)

    def forward():
        y = x
        for layer in layers:
            y = layer.forward(y)
        return y

    def step():
        logits = forward()
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        dy = np.exp(log_probabilities)
        dy[np.arange(batch), labels] -= 1
        dy /= batch
        for layer in layers[:0:-1]:
            dy = layer.backward(dy)
        layers[0].backward(dy, need_dx=False)
        optimizer.step()
        return -float(log_probabilities[np.arange(batch), labels].mean())

    return step, forward, f"NumPy {np.__version__}"
