"""Sums of flat arrays, cut into runs that the threads share."""
from cython.parallel cimport prange

from npcnn.kernels.core cimport FLAT_RUN, csrc, real, threads


def add(const real[::1] a, const real[::1] b, bint relu, real[::1] y):
    """y = a + b, and then the ReLU if there is one, of a run while it is in the L1 cache."""
    cdef Py_ssize_t i, count = y.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&y[i]).add(&a[i], &b[i], &y[i], min(FLAT_RUN, count - i))
        if relu:
            csrc(&y[i]).relu(&y[i], &y[i], min(FLAT_RUN, count - i))
