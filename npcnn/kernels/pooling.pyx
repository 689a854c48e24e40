"""Max and average pooling: a window slides over each channel by itself.

    max_pool2d:  y[i, j, c] = max  of x[i*sh + kh - top, j*sw + kw - left, c] over the taps (kh, kw) inside the picture
    avg_pool2d:  y[i, j, c] = mean of the same

The gradient of a maximum goes to the one pixel that held it: `argmax` remembers which tap, kh*KW + kw.  The
gradient of a mean is shared out equally.  Where windows overlap, a pixel's gradients add up.  Threads take rows
of output pixels forward, and whole pictures backward, so that no two of them ever add to one pixel.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t

from npcnn.kernels.core cimport csrc, real, threads, threads_for, zero_run
from npcnn.kernels.windows cimport Windows, are_disjoint, need_zeros, picture_size


def max_pool2d(const real[:, :, :, ::1] x, Windows windows, real[:, :, :, ::1] y, int32_t[:, :, :, ::1] argmax):
    """The largest value of each window and, unless `argmax` is None, its tap; the first of equal ones, row by row."""
    cdef Py_ssize_t item, n, i, N = x.shape[0], row = windows.out_width * windows.channels
    cdef int32_t* taps = &argmax[0, 0, 0, 0] if argmax is not None and N else NULL
    for item in prange(N * windows.out_height, nogil=True, schedule="static",
                       num_threads=threads_for(N * windows.out_height)):
        n = item // windows.out_height
        i = item % windows.out_height
        csrc(&x[n, 0, 0, 0]).max_pool2d_row(&x[n, 0, 0, 0], &windows, i, &y[n, i, 0, 0],
                                            taps + item * row if taps != NULL else NULL)


def max_pool2d_backward(const real[:, :, :, ::1] dy, const int32_t[:, :, :, ::1] argmax, Windows windows,
                        real[:, :, :, ::1] dx):
    """dx: each dy added to the pixel that was the largest of its window.

    Returns in how many pictures an argmax is not a tap.  A picture's are checked just before they are used, so that
    they are read from memory only once.
    """
    cdef Py_ssize_t n, i, N = dx.shape[0], wrong = 0
    cdef bint disjoint = are_disjoint(&windows), zeros_first = need_zeros(&windows)
    for n in prange(N, nogil=True, schedule="static", num_threads=threads()):
        wrong += any_outside(&argmax[n, 0, 0, 0], &windows)
        if zeros_first:
            zero_run(&dx[n, 0, 0, 0], picture_size(&windows))
        for i in range(windows.out_height):
            csrc(&dy[n, i, 0, 0]).max_pool2d_backward_row(
                &dy[n, i, 0, 0], &argmax[n, i, 0, 0], &windows, windows.channels, i, disjoint, &dx[n, 0, 0, 0])
    return wrong


def avg_pool2d(const real[:, :, :, ::1] x, Windows windows, bint count_include_pad, real[:, :, :, ::1] y):
    """The mean of each window."""
    cdef Py_ssize_t item, n, i, N = x.shape[0]
    for item in prange(N * windows.out_height, nogil=True, schedule="static",
                       num_threads=threads_for(N * windows.out_height)):
        n = item // windows.out_height
        i = item % windows.out_height
        csrc(&x[n, 0, 0, 0]).avg_pool2d_row(&x[n, 0, 0, 0], &windows, i, count_include_pad, &y[n, i, 0, 0])


def avg_pool2d_backward(const real[:, :, :, ::1] dy, Windows windows, bint count_include_pad, real[:, :, :, ::1] dx):
    """dx: each dy shared out equally over its window."""
    cdef Py_ssize_t n, i, N = dx.shape[0]
    cdef bint disjoint = are_disjoint(&windows), zeros_first = need_zeros(&windows)
    for n in prange(N, nogil=True, schedule="static", num_threads=threads()):
        if zeros_first:
            zero_run(&dx[n, 0, 0, 0], picture_size(&windows))
        for i in range(windows.out_height):
            csrc(&dy[n, i, 0, 0]).avg_pool2d_backward_row(
                &dy[n, i, 0, 0], &windows, i, count_include_pad, disjoint, &dx[n, 0, 0, 0])
