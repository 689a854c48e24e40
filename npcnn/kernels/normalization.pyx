"""Batch normalisation: sums over all pixels of a batch, and the passes that use them.

A batch is taken as rows (its pixels) of channels; csrc/normalization.inc.c says what the rows of a `table` are.  Sums
are formed in double precision, in BATCH_PARTS parts of consecutive rows, which the threads share; the caller adds the
parts up in their order.
"""
from cython.parallel cimport prange

from npcnn.kernels.core cimport BATCH_PARTS, csrc, real, threads

PARTS = BATCH_PARTS
ACTIVATIONS = {None: NPCNN_NO_ACTIVATION, "relu": NPCNN_RELU, "gelu": NPCNN_GELU}

cdef extern from "kernels.h":
    enum:
        NPCNN_NO_ACTIVATION, NPCNN_RELU, NPCNN_GELU

# Rows that a thread takes at a time where nothing is summed.
cdef enum:
    ROWS = 256


def batch_statistics(const real[:, ::1] x, const real[::1] centre, double[:, :, ::1] parts):
    """parts[k] = the sums of d = x - centre and of d * d over the k-th part of the rows."""
    cdef Py_ssize_t k, first, last, rows = x.shape[0]
    parts[:, :, :] = 0
    for k in prange(BATCH_PARTS, nogil=True, schedule="static", num_threads=threads()):
        first = k * rows // BATCH_PARTS
        last = (k + 1) * rows // BATCH_PARTS
        if first < last:
            csrc(&x[0, 0]).batch_statistics(&x[first, 0], last - first, x.shape[1], &centre[0], &parts[k, 0, 0])


def batch_norm(const real[:, ::1] x, const real[:, ::1] table, int activation, real[:, ::1] y):
    """y = (x - centre) * factor + shift, and then the activation: a number of kernels.h, 0 for none."""
    cdef Py_ssize_t i, rows = x.shape[0]
    for i in prange(0, rows, ROWS, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i, 0]).batch_norm(&x[i, 0], min(ROWS, rows - i), x.shape[1], &table[0, 0], activation, &y[i, 0])


def batch_norm_sums(const real[:, ::1] dy, const real[:, ::1] x, const real[:, ::1] table, int activation,
                    double[:, :, ::1] parts, real[:, ::1] before):
    """parts[k] = the sums of dy taken back through the activation, and of that times x - centre, over the k-th part.

    Taken back through a GELU, dy is written to `before` as well.
    """
    cdef Py_ssize_t k, first, last, rows = x.shape[0]
    parts[:, :, :] = 0
    for k in prange(BATCH_PARTS, nogil=True, schedule="static", num_threads=threads()):
        first = k * rows // BATCH_PARTS
        last = (k + 1) * rows // BATCH_PARTS
        if first < last:
            csrc(&x[0, 0]).batch_norm_sums(&dy[first, 0], &x[first, 0], last - first, x.shape[1], &table[0, 0],
                                           activation, &parts[k, 0, 0], &before[first, 0])


def batch_norm_backward(const real[:, ::1] dy, const real[:, ::1] x, const real[:, ::1] table, bint relu,
                        real[:, ::1] dx):
    """dx = factor * (dy - a - (x - centre) * b), where dy is taken back through the ReLU if there is one.

    `dx` may be `dy`.
    """
    cdef Py_ssize_t i, rows = x.shape[0]
    for i in prange(0, rows, ROWS, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i, 0]).batch_norm_backward(&dy[i, 0], &x[i, 0], min(ROWS, rows - i), x.shape[1], &table[0, 0],
                                           relu, &dx[i, 0])
