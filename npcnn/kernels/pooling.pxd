"""A gradient taken back through ReLU and max pooling, for kernels that do a convolution and its pooling in one go."""
from libc.stdint cimport int32_t

from npcnn.kernels.core cimport csrc, zero_run
from npcnn.kernels.windows cimport Windows, are_disjoint, need_zeros, output_size, picture_size


cdef inline bint any_outside(const int32_t* argmax, const Windows* w) noexcept nogil:
    """Whether an `argmax` of one picture is not a tap of the window."""
    cdef int found = 0
    csrc(<const float*>NULL).max_pool2d_look(argmax, output_size(w), w.size_h * w.size_w, &found)
    return found


cdef inline void before_max_pooling(const Windows* pooling, Py_ssize_t first, Py_ssize_t count, const float* dy,
                                    const float* relu_output, const int32_t* argmax, float* unpooled) noexcept nogil:
    """Write the gradient of one picture at the input of its pooling, and of the ReLU before it if there was one.

    It is written for `count` channels from `first` on; the others are not touched.  The ReLU is undone first: what
    matters of a window is only whether its largest came through, and there are fewer windows than pixels.  `unpooled`
    has room for the result, and after it for the gradient with the ReLU undone.
    """
    cdef Py_ssize_t i, C = pooling.channels, row = pooling.out_width * C
    cdef float* before_relu = unpooled + picture_size(pooling)
    if relu_output != NULL:
        csrc(dy).copy_pixels(dy + first, relu_output + first, pooling.out_height * pooling.out_width, count, C,
                             before_relu + first, C)
        dy = before_relu
    if need_zeros(pooling):
        if count == C:
            zero_run(unpooled, picture_size(pooling))
        else:
            for i in range(pooling.height * pooling.width):
                zero_run(unpooled + i * C + first, count)
    for i in range(pooling.out_height):
        csrc(dy).max_pool2d_backward_row(dy + i * row + first, argmax + i * row + first, pooling, count, i,
                                         are_disjoint(pooling), unpooled + first)
