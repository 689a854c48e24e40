"""The operations of a convolutional network as pure functions, gradients beside what they are gradients of.

NumPy arrays in, NumPy arrays out: pictures are (N, H, W, C), float32 or
float64, and nothing here has a state.  Every function checks its arguments,
works out the padding, and hands over to the kernel of the same name in
`npcnn.kernels`; `npcnn.reference` defines the same functions by their formulas.

============================  =====================================================
module                        functions
============================  =====================================================
`convolution_2d`              conv2d
`convolution_1d`              conv1d
`pooling`                     max_pool2d, avg_pool2d
`convolution_pooling`         conv2d_max_pool2d: the two in one go, for speed
`activations`                 relu, softmax, log_softmax
`losses`                      softmax_cross_entropy
`updates`                     adam_step
`geometry`                    window_geometry: padding and output sizes
`algorithms`                  what algorithm="auto" means
============================  =====================================================

Arguments named `out` take arrays to write the result into, as in NumPy; they
save the allocation in a training loop and nothing else.
"""

from npcnn.functional.activations import log_softmax, relu, relu_backward, softmax
from npcnn.functional.convolution_1d import conv1d, conv1d_backward
from npcnn.functional.convolution_2d import conv2d, conv2d_backward
from npcnn.functional.convolution_pooling import conv2d_max_pool2d, conv2d_max_pool2d_backward
from npcnn.functional.geometry import WindowGeometry, window_geometry
from npcnn.functional.losses import softmax_cross_entropy
from npcnn.functional.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from npcnn.functional.updates import adam_step

__all__ = [
    "WindowGeometry",
    "adam_step",
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_max_pool2d",
    "conv2d_max_pool2d_backward",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
    "softmax",
    "softmax_cross_entropy",
    "window_geometry",
]
