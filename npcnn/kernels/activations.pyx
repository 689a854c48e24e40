"""ReLU and its gradient over flat arrays, cut into runs that the threads share."""
from cython.parallel cimport prange

from npcnn.kernels.core cimport FLAT_RUN, csrc, real, threads


def relu(const real[::1] x, real[::1] y):
    """y = max(x, 0)."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i]).relu(&x[i], &y[i], min(FLAT_RUN, count - i))


def relu_backward(const real[::1] dy, const real[::1] y, real[::1] dx):
    """dx = dy where y > 0, else 0."""
    cdef Py_ssize_t i, count = y.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&dy[i]).relu_backward(&dy[i], &y[i], &dx[i], min(FLAT_RUN, count - i))
