"""Convolution by Toom-Cook along one axis, for whoever convolves: its gradients do, too; see toom_cook.pyx."""
from npcnn.kernels.core cimport whole_vectors

cdef enum:
    PIXELS = 24                         # pixels of a line that are multiplied at a time


cdef struct Taps:
    # The kernel: which axis Toom-Cook works along, the taps along and across it, the padding before each, and the
    # output lines of a tile.
    bint along_height
    Py_ssize_t along, pad, across, cross_pad, outputs


cdef struct Picture:
    # Lines, pixels in a line, and the numbers from line to line and from pixel to pixel, in NHWC.
    Py_ssize_t lines, pixels, line_step, pixel_step, channels


cdef struct Bordered:
    # A picture copied into lines with zeros around it: how many lines, the numbers in one (whole vectors), those
    # from pixel to pixel, and where the picture's own first line and first pixel are.
    Py_ssize_t lines, line, pixel, first_line, first_pixel


cdef inline Py_ssize_t points_of(const Taps* taps) noexcept nogil:
    return taps.along + taps.outputs - 1


cdef inline Picture picture_of(const Taps* taps, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C) noexcept nogil:
    if taps.along_height:
        return Picture(H, W, W * C, C, C)
    return Picture(W, H, C, W * C, C)


cdef inline Py_ssize_t tiles_of(const Picture* y, const Taps* taps) noexcept nogil:
    return (y.lines + taps.outputs - 1) // taps.outputs


cdef inline Bordered bordered_input(const Picture* x, const Picture* y, const Taps* taps) noexcept nogil:
    """x as the forward pass reads it: with its padding, and lines up to a whole number of tiles."""
    return Bordered(tiles_of(y, taps) * taps.outputs + taps.along - 1,
                    whole_vectors((y.pixels + taps.across - 1) * x.channels, sizeof(float)),
                    x.channels, taps.pad, taps.cross_pad)


cdef bint copy_inside(const float* x, const float* relu_output, const Picture* picture, Py_ssize_t first,
                      Py_ssize_t last, const Bordered* b, float* lines) noexcept nogil


cdef void convolve(const float* lines, const Bordered* b, Py_ssize_t first_line, Py_ssize_t first_pixel,
                   Py_ssize_t channels, const float* u, Py_ssize_t u_row, const float* bias, const Taps* taps,
                   const Picture* to, Py_ssize_t first_tile, Py_ssize_t last_tile, bint relu, float* v, float* m,
                   float* y) noexcept nogil
