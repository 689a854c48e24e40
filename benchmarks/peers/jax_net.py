"""The network in JAX, the step under jit."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from peers.batch import random_batch


def build(batch):
    """Return (step, forward, versions)."""
    pictures, classes = random_batch(batch)
    x, labels = jnp.asarray(pictures), jnp.asarray(classes)
    rng = np.random.default_rng(0)
    shapes = [(5, 5, 3, 64), (5, 1, 64, 64), (1, 5, 64, 64), (5, 5, 64, 10)]
    params = [(jnp.asarray(0.1 * rng.standard_normal(s), jnp.float32), jnp.full(s[-1], 0.1)) for s in shapes]
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = [params, zeros, zeros, jnp.zeros(())]

    def convolution(y, layer):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.nn.relu(lax.conv_general_dilated(y, layer[0], (1, 1), "SAME", dimension_numbers=dims) + layer[1])

    def max_pool(y):
        return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")

    def logits(params):
        y = max_pool(convolution(x, params[0]))
        y = max_pool(convolution(convolution(y, params[1]), params[2]))
        return convolution(y, params[3]).mean(axis=(1, 2))

    def loss_of(params):
        return -jax.nn.log_softmax(logits(params))[jnp.arange(batch), labels].mean()

    @jax.jit
    def train(params, m, v, t):
        loss, grads = jax.value_and_grad(loss_of)(params)
        t += 1
        size = 1e-4 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), m, grads)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, grads)
        params = jax.tree.map(lambda p, m, v: p - size * m / (jnp.sqrt(v) + 1e-8), params, m, v)
        return loss, params, m, v, t

    def step():
        loss, *state[:] = train(*state)
        return float(loss)

    jitted = jax.jit(logits)
    return step, lambda: np.asarray(jitted(state[0])), f"JAX {jax.__version__}"
