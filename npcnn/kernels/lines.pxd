"""A picture seen along one axis: how the 1-D kernels walk through it in either direction.

A 1-D convolution along the height takes whole rows of the picture as its lines, one along the width takes
whole columns.  With one stride `along` the axis, from line to line, and one `across` it, from pixel to pixel
inside a line, the same loops serve both:

    axis        along    across
    "height"    W * C    C
    "width"     C        W * C
"""


cdef struct Lines:
    # One axis of a 1-D convolution: lengths in lines or pixels, the two strides of each picture in elements.
    Py_ssize_t length, out_length, pixels
    Py_ssize_t taps, stride, dilation, pad
    Py_ssize_t x_along, x_across, y_along, y_across


cdef inline Lines lines_of(bint along_height, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t OH, Py_ssize_t OW,
                           Py_ssize_t y_pixel, Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation,
                           Py_ssize_t pad) noexcept nogil:
    """The two ways through a picture; `y_pixel` is the distance of two output pixels."""
    cdef Lines g
    g.taps, g.stride, g.dilation, g.pad = taps, stride, dilation, pad
    if along_height:
        g.length, g.out_length, g.pixels = H, OH, W
        g.x_along, g.x_across = W * C, C
        g.y_along, g.y_across = OW * y_pixel, y_pixel
    else:
        g.length, g.out_length, g.pixels = W, OW, H
        g.x_along, g.x_across = C, W * C
        g.y_along, g.y_across = y_pixel, OW * y_pixel
    return g


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b if a > 0 else 0


cdef inline void taps_inside(const Lines* g, Py_ssize_t i, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The taps t with 0 <= i*stride + t*dilation - pad < length."""
    cdef Py_ssize_t start = i * g.stride - g.pad
    begin[0] = min(ceil_div(-start, g.dilation), g.taps)
    end[0] = max(min(ceil_div(g.length - start, g.dilation), g.taps), begin[0])


cdef inline void lines_inside(const Lines* g, Py_ssize_t t, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The output lines i with 0 <= i*stride + t*dilation - pad < length."""
    cdef Py_ssize_t start = t * g.dilation - g.pad
    begin[0] = min(ceil_div(-start, g.stride), g.out_length)
    end[0] = max(min(ceil_div(g.length - start, g.stride), g.out_length), begin[0])
