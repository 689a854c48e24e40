"""A gradient taken back through ReLU and max pooling, for kernels that do a convolution and its pooling in one go."""
from libc.stdint cimport int32_t

from npcnn.kernels.core cimport csrc, zero_run
from npcnn.kernels.windows cimport Windows, are_disjoint, output_size, picture_size


cdef inline void before_max_pooling(const Windows* pooling, const float* dy, const float* relu_output,
                                    const int32_t* argmax, float* unpooled) noexcept nogil:
    """Write the gradient of one picture at the input of its pooling, and of the ReLU before it if there was one.

    The ReLU is undone first: what matters of a window is only whether its largest came through, and there are fewer
    windows than pixels.  `unpooled` has room for the result, and after it for the gradient with the ReLU undone.
    """
    cdef Py_ssize_t i, row = pooling.out_width * pooling.channels
    cdef float* before_relu = unpooled + picture_size(pooling)
    if relu_output != NULL:
        csrc(dy).relu_backward(dy, relu_output, before_relu, output_size(pooling))
        dy = before_relu
    if not are_disjoint(pooling):
        zero_run(unpooled, picture_size(pooling))
    for i in range(pooling.out_height):
        csrc(dy).max_pool2d_backward_row(dy + i * row, argmax + i * row, pooling, i, are_disjoint(pooling), unpooled)
