"""Every operation of npcnn and its gradient, written as its definition.

Read this package to learn what an operation *is*; read `npcnn.functional` and
the kernels to learn how to make it fast.  The names and the meaning of the
arguments are the same in both, and the tests compare the fast kernels with
these functions.  Forward and backward stand side by side, the formula is in
the docstring and the code uses its letters.

====================  ======================================================
windows.py            where sliding windows lie: padding and output size
convolution.py        conv2d, conv1d; im2col, col2im: convolution as a matrix product
transposed.py         conv2d_transpose
dense.py              linear: vectors times a matrix
pooling.py            max_pool2d, avg_pool2d
resampling.py         upsample2d
padding.py            zero_pad2d
activations.py        relu, leaky_relu, gelu, silu, sigmoid, tanh
addition.py           add
probabilities.py      softmax, log_softmax
losses.py             softmax_cross_entropy, mean_squared_error
normalization.py      batch_norm, layer_norm
updates.py            adam_step
orthogonalization.py  orthogonalize
toom_cook.py          the transforms of convolution with fewer multiplications
====================  ======================================================

These functions trust their input, and refuse only an unknown `padding` or
`axis`.  For what `npcnn.functional` refuses, their result means nothing.  They
compute in the dtype they are given; use float64 when the result is to be the
truth.  They import nothing but NumPy and the standard library.
"""

from npcnn.reference import (
    activations,
    addition,
    convolution,
    dense,
    losses,
    normalization,
    orthogonalization,
    padding,
    pooling,
    probabilities,
    resampling,
    transposed,
    updates,
)
from npcnn.reference.activations import *  # noqa: F403
from npcnn.reference.addition import *  # noqa: F403
from npcnn.reference.convolution import *  # noqa: F403
from npcnn.reference.dense import *  # noqa: F403
from npcnn.reference.losses import *  # noqa: F403
from npcnn.reference.normalization import *  # noqa: F403
from npcnn.reference.orthogonalization import *  # noqa: F403
from npcnn.reference.padding import *  # noqa: F403
from npcnn.reference.pooling import *  # noqa: F403
from npcnn.reference.probabilities import *  # noqa: F403
from npcnn.reference.resampling import *  # noqa: F403
from npcnn.reference.transposed import *  # noqa: F403
from npcnn.reference.updates import *  # noqa: F403

__all__ = [
    *activations.__all__,
    *addition.__all__,
    *convolution.__all__,
    *dense.__all__,
    *losses.__all__,
    *normalization.__all__,
    *orthogonalization.__all__,
    *padding.__all__,
    *pooling.__all__,
    *probabilities.__all__,
    *resampling.__all__,
    *transposed.__all__,
    *updates.__all__,
]
