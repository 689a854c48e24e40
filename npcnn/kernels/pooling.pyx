"""Max and average pooling: a window slides over each channel by itself.

    max_pool2d:  y[i, j, c] = max  of x[i*sh + kh - top, j*sw + kw - left, c] over the taps (kh, kw) inside the picture
    avg_pool2d:  y[i, j, c] = mean of the same

The gradient of a maximum goes to the one pixel that was it: `argmax` remembers which tap, kh*KW + kw.  The
gradient of a mean is shared out equally.  Where windows overlap, a pixel's gradients add up.  Threads take rows
of output pixels forward, and whole pictures backward, so that no two of them ever add to one pixel.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint32_t

from npcnn.kernels.core cimport (
    Windows, any_outside, avg_pool2d_backward_row, avg_pool2d_row, max_pool2d_backward_row, max_pool2d_row, real,
    side_by_side, threads, zero_run,
)


def max_pool2d(const real[:, :, :, ::1] x, Windows g, real[:, :, :, ::1] y, int32_t[:, :, :, ::1] argmax):
    """The largest value of each window and the tap it was at; the first of equals in row-major order."""
    cdef Py_ssize_t item, n, i, N = x.shape[0]
    for item in prange(N * g.out_height, nogil=True, schedule="static", num_threads=threads()):
        n = item // g.out_height
        i = item % g.out_height
        max_pool2d_row(&x[n, 0, 0, 0], &g, i, &y[n, i, 0, 0], &argmax[n, i, 0, 0])


def max_pool2d_backward(const real[:, :, :, ::1] dy, const int32_t[:, :, :, ::1] argmax, Windows g,
                        real[:, :, :, ::1] dx):
    """dx: each dy added to the pixel that was the largest of its window.  Returns in how many pictures an
    argmax is not a tap.

    They are looked at picture by picture, just before they are used, so that they come from memory once.
    """
    cdef Py_ssize_t n, i, N = dx.shape[0], picture_size = g.height * g.width * g.channels, wrong = 0
    cdef Py_ssize_t windows = g.out_height * g.out_width * g.channels
    cdef uint32_t taps = <uint32_t>(g.size_h * g.size_w)
    cdef bint alone = side_by_side(&g)
    for n in prange(N, nogil=True, schedule="static", num_threads=threads()):
        wrong += any_outside(&argmax[n, 0, 0, 0], windows, taps)
        if not alone:
            zero_run(&dx[n, 0, 0, 0], picture_size)
        for i in range(g.out_height):
            max_pool2d_backward_row(&dy[n, i, 0, 0], &argmax[n, i, 0, 0], &g, i, alone, &dx[n, 0, 0, 0])
    return wrong


def avg_pool2d(const real[:, :, :, ::1] x, Windows g, bint count_include_pad, real[:, :, :, ::1] y):
    """The mean of each window."""
    cdef Py_ssize_t item, n, i, N = x.shape[0]
    for item in prange(N * g.out_height, nogil=True, schedule="static", num_threads=threads()):
        n = item // g.out_height
        i = item % g.out_height
        avg_pool2d_row(&x[n, 0, 0, 0], &g, i, count_include_pad, &y[n, i, 0, 0])


def avg_pool2d_backward(const real[:, :, :, ::1] dy, Windows g, bint count_include_pad, real[:, :, :, ::1] dx):
    """dx: each dy shared out equally over its window."""
    cdef Py_ssize_t n, i, N = dx.shape[0], picture_size = g.height * g.width * g.channels
    cdef bint alone = side_by_side(&g)
    for n in prange(N, nogil=True, schedule="static", num_threads=threads()):
        if not alone:
            zero_run(&dx[n, 0, 0, 0], picture_size)
        for i in range(g.out_height):
            avg_pool2d_backward_row(&dy[n, i, 0, 0], &g, i, count_include_pad, alone, &dx[n, 0, 0, 0])
