"""Every operation of npcnn and its gradient, written as its definition.

Read this package to learn what an operation *is*; read `npcnn.functional` and
the kernels to learn how to make it fast.  The names and the meaning of the
arguments are the same in both, and the tests of the fast kernels hold them
against these functions.  Forward and backward stand side by side, the formula
is in the docstring and the code uses its letters.

=================  =========================================================
windows.py         where sliding windows lie: padding and output size
convolution.py     conv2d, conv1d; im2col, col2im: convolution as a matrix product
pooling.py         max_pool2d, avg_pool2d
activations.py     relu, softmax, log_softmax, softmax_cross_entropy
=================  =========================================================

A definition is not a door: these functions trust their input, apart from
strings that mean nothing (an unknown `padding` or `axis`).  What
`npcnn.functional` refuses has no meaning here.  They compute in
the dtype they are given; use float64 when the result is to be the truth.
NumPy is the only import.
"""

from npcnn.reference.activations import (
    log_softmax,
    relu,
    relu_backward,
    softmax,
    softmax_cross_entropy,
)
from npcnn.reference.convolution import col2im, conv1d, conv1d_backward, conv2d, conv2d_backward, im2col
from npcnn.reference.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "col2im",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "im2col",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
    "softmax",
    "softmax_cross_entropy",
]
