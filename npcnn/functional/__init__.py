"""The operations of a convolutional network as pure functions, gradients beside what they are gradients of.

NumPy arrays in, NumPy arrays out: pictures are (N, H, W, C), float32 or
float64, and nothing here has a state.  Every function checks its arguments,
works out the padding, and hands over to a kernel in `npcnn.kernels`;
`npcnn.reference` defines the same functions by their formulas.

============================  ======================================================================================
module                        functions
============================  ======================================================================================
`convolution`                 conv2d, conv1d; conv2d_max_pool2d: convolution and pooling in one go, for speed
`convolution_plan`            what a convolution is given, checked and worked out, and how each algorithm is called
`transposed`                  conv2d_transpose, the input gradient of conv2d as a function of its own
`toom_cook`                   the fast algorithm, along one axis and along both
`algorithms`                  what each algorithm costs, and what algorithm="auto" means
`tap_by_tap`                  pictures that Toom-Cook must not be given
`depthwise`                   groups of one channel
`dense`                       linear: vectors times a matrix
`pooling`                     max_pool2d, avg_pool2d
`resampling`                  upsample2d
`padding`                     zero_pad2d
`activations`                 relu, leaky_relu, gelu, silu, sigmoid, tanh
`addition`                    add
`probabilities`               softmax, log_softmax
`losses`                      softmax_cross_entropy, mean_squared_error
`normalization`               batch_norm, layer_norm
`updates`                     adam_step
`orthogonalization`           orthogonalize
`windows`                     window_geometry: padding and output sizes
`batch_parts`                 how a training's sums over the batch are formed, in one process and in many
`checks`                      what every function checks before a kernel is called
`outputs`                     the arrays that results are written into
============================  ======================================================================================

Arguments named `out` take arrays to write the result into, as in NumPy; they
save the allocation in a training loop and nothing else.
"""

from npcnn.functional import (
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
    windows,
)
from npcnn.functional.activations import *  # noqa: F403
from npcnn.functional.addition import *  # noqa: F403
from npcnn.functional.convolution import *  # noqa: F403
from npcnn.functional.dense import *  # noqa: F403
from npcnn.functional.losses import *  # noqa: F403
from npcnn.functional.normalization import *  # noqa: F403
from npcnn.functional.orthogonalization import *  # noqa: F403
from npcnn.functional.padding import *  # noqa: F403
from npcnn.functional.pooling import *  # noqa: F403
from npcnn.functional.probabilities import *  # noqa: F403
from npcnn.functional.resampling import *  # noqa: F403
from npcnn.functional.transposed import *  # noqa: F403
from npcnn.functional.updates import *  # noqa: F403
from npcnn.functional.windows import *  # noqa: F403

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
    *windows.__all__,
]
