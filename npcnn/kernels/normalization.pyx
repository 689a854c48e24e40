"""Batch normalisation: sums over all pixels of a batch, and the passes that use them.

A batch is taken as rows (its pixels) of channels.  Sums are formed in BATCH_PARTS parts of consecutive rows, which the
threads share; the caller adds the parts up in double precision, in their order.
"""
from cython.parallel cimport prange

from npcnn.kernels.core cimport BATCH_PARTS, csrc, real, threads

PARTS = BATCH_PARTS

# Rows that a thread takes at a time where nothing is summed.
cdef enum:
    ROWS = 256


def centred_sums(const real[:, ::1] x, const real[::1] centre, bint squared, real[:, ::1] parts):
    """parts[k] = sum of x - centre, or of its square, over the k-th part of the rows."""
    cdef Py_ssize_t k, first, last, rows = x.shape[0]
    parts[:, :] = 0
    for k in prange(BATCH_PARTS, nogil=True, schedule="static", num_threads=threads()):
        first = k * rows // BATCH_PARTS
        last = (k + 1) * rows // BATCH_PARTS
        if first < last:
            csrc(&x[0, 0]).add_centred_rows(&x[first, 0], last - first, x.shape[1], &centre[0], squared, &parts[k, 0])


def centred_products(const real[:, ::1] dy, const real[:, ::1] x, const real[::1] centre, real[:, ::1] parts):
    """parts[k] = sum of dy * (x - centre) over the k-th part of the rows."""
    cdef Py_ssize_t k, first, last, rows = x.shape[0]
    parts[:, :] = 0
    for k in prange(BATCH_PARTS, nogil=True, schedule="static", num_threads=threads()):
        first = k * rows // BATCH_PARTS
        last = (k + 1) * rows // BATCH_PARTS
        if first < last:
            csrc(&x[0, 0]).add_centred_products(&dy[first, 0], &x[first, 0], last - first, x.shape[1], &centre[0],
                                                &parts[k, 0])


def scale_rows(const real[:, ::1] x, const real[::1] centre, const real[::1] factor, const real[::1] shift,
               real[:, ::1] y):
    """y = (x - centre) * factor + shift."""
    cdef Py_ssize_t i, rows = x.shape[0]
    for i in prange(0, rows, ROWS, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i, 0]).scale_rows(&x[i, 0], min(ROWS, rows - i), x.shape[1], &centre[0], &factor[0], &shift[0],
                                  &y[i, 0])


def scale_rows_backward(const real[:, ::1] dy, const real[:, ::1] x, const real[::1] centre, const real[::1] factor,
                        const real[::1] a, const real[::1] b, real[:, ::1] dx):
    """dx = factor * (dy - a - (x - centre) * b)."""
    cdef Py_ssize_t i, rows = x.shape[0]
    for i in prange(0, rows, ROWS, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i, 0]).scale_rows_backward(&dy[i, 0], &x[i, 0], min(ROWS, rows - i), x.shape[1], &centre[0], &factor[0],
                                           &a[0], &b[0], &dx[i, 0])
