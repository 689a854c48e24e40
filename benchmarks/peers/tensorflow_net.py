"""The network in TensorFlow, the step inside tf.function (oneDNN on)."""

import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from peers import of_the_article
from peers.batch import random_batch


def build(batch, network):
    """Return (step, forward, versions)."""
    second = of_the_article(network)
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.random.set_seed(0)
    pictures, classes = random_batch(batch)
    x, labels = tf.constant(pictures), tf.constant(classes)

    def weights(*shape):
        return tf.Variable(tf.random.truncated_normal(shape, stddev=0.1)), tf.Variable(tf.fill([shape[-1]], 0.1))

    first, last = weights(5, 5, 3, 64), weights(5, 5, 64 * len(second), 10)
    branches = [[weights(*kernel, 64, 64) for kernel in chain] for chain in second]
    layers = [first, *(layer for chain in branches for layer in chain), last]
    variables = [variable for layer in layers for variable in layer]
    adam = tf.keras.optimizers.Adam(1e-4)
    adam.build(variables)

    def convolution(y, layer):
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(y, layer[0], 1, "SAME"), layer[1]))

    def logits(y):
        y = tf.nn.max_pool2d(convolution(y, first), 2, 2, "SAME")
        outputs = [functools.reduce(convolution, chain, y) for chain in branches]
        y = outputs[0] if len(outputs) == 1 else tf.concat(outputs, axis=-1)
        y = tf.nn.max_pool2d(y, 2, 2, "SAME")
        return tf.reshape(tf.nn.avg_pool2d(convolution(y, last), 6, 6, "SAME"), [-1, 10])

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits(x)))
        adam.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    forward = tf.function(lambda: logits(x))
    return lambda: float(train()), lambda: forward().numpy(), f"TensorFlow {tf.__version__}"
