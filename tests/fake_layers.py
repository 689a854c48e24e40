"""Little layers in plain NumPy, for the tests of what works with any layer.

They know nothing of npcnn: forward, backward, params and grads is all there is to a layer.
"""

import numpy as np


class Dense:
    """The smallest layer with parameters; `mistake` spoils one number of one gradient."""

    def __init__(self, rng, inputs=4, outputs=3, dtype=np.float64, mistake=None):
        w = rng.standard_normal((inputs, outputs)).astype(dtype)
        self.params = {"w": w, "b": np.full(outputs, 0.1, dtype)}
        self.grads = {name: np.zeros_like(array) for name, array in self.params.items()}
        self.mistake = mistake
        self._x = None

    def forward(self, x, training=False):
        if training:
            self._x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        if self._x is None:
            raise RuntimeError("forward(training=True) first")
        x, self._x = self._x, None
        self.grads["w"][...] = x.T @ dy
        self.grads["b"][...] = dy.sum(axis=0)
        dx = dy @ self.params["w"].T
        if self.mistake:
            name, index, factor = self.mistake
            (dx if name == "x" else self.grads[name])[index] *= factor
        return dx


class ReusesItsBuffer:
    """Squares; forward and backward all return one and the same array."""

    def __init__(self, shape):
        self.params, self.grads = {}, {}
        self.buffer = np.empty(shape)

    def forward(self, x, training=False):
        self.x = x
        return np.multiply(x, x, out=self.buffer)

    def backward(self, dy):
        np.multiply(dy, self.x, out=self.buffer)
        return np.multiply(2, self.buffer, out=self.buffer)


class Dropout:
    def __init__(self, rng):
        self.params, self.grads, self.rng = {}, {}, rng

    def forward(self, x, training=False):
        self.mask = self.rng.random(x.shape) < 0.5
        return np.where(self.mask, 2 * x, 0)

    def backward(self, dy):
        return np.where(self.mask, 2 * dy, 0)


class Chain:
    """A container that keeps its children in a dict."""

    def __init__(self, **children):
        self.children = children

    def _merged(self, what):
        return {
            f"{name}.{key}": array
            for name, child in self.children.items()
            for key, array in getattr(child, what).items()
        }

    params = property(lambda self: self._merged("params"))
    grads = property(lambda self: self._merged("grads"))

    def forward(self, x, training=False):
        for child in self.children.values():
            x = child.forward(x, training=training)
        return x

    def backward(self, dy):
        for child in reversed(self.children.values()):
            dy = child.backward(dy)
        return dy
