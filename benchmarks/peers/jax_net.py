"""The network in JAX, the step under jit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from peers import of_the_article
from peers.batch import random_batch


def build(batch, network):
    """Return (step, forward, versions)."""
    second = of_the_article(network)
    pictures, classes = random_batch(batch)
    x, labels = jnp.asarray(pictures), jnp.asarray(classes)
    rng = np.random.default_rng(0)

    def weights(*shape):
        return jnp.asarray(0.1 * rng.standard_normal(shape), jnp.float32), jnp.full(shape[-1], 0.1)

    branches = [[weights(*kernel, 64, 64) for kernel in chain] for chain in second]
    params = [weights(5, 5, 3, 64), branches, weights(5, 5, 64 * len(second), 10)]
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = [params, zeros, zeros, jnp.zeros(())]

    def convolution(y, layer):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.nn.relu(lax.conv_general_dilated(y, layer[0], (1, 1), "SAME", dimension_numbers=dims) + layer[1])

    def max_pool(y):
        return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")

    def logits(params):
        first, branches, last = params
        y = max_pool(convolution(x, first))
        y = jnp.concatenate([functools.reduce(convolution, chain, y) for chain in branches], axis=-1)
        return convolution(max_pool(y), last).mean(axis=(1, 2))

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
