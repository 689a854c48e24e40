"""Activations and their gradients over flat arrays, cut into runs that the threads share."""
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


def leaky_relu(const real[::1] x, double slope, real[::1] y):
    """y = x where x > 0, else slope * x."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i]).leaky_relu(&x[i], slope, &y[i], min(FLAT_RUN, count - i))


def leaky_relu_backward(const real[::1] dy, const real[::1] y, double slope, real[::1] dx):
    """dx = dy where y > 0, else slope * dy."""
    cdef Py_ssize_t i, count = y.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&dy[i]).leaky_relu_backward(&dy[i], &y[i], slope, &dx[i], min(FLAT_RUN, count - i))


def gelu(const real[::1] x, bint tanh_form, real[::1] y):
    """y = x times the normal distribution function of x, or its tanh form."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i]).gelu(&x[i], tanh_form, &y[i], min(FLAT_RUN, count - i))


def gelu_backward(const real[::1] dy, const real[::1] x, bint tanh_form, real[::1] dx):
    """dx = dy times the derivative of gelu at x."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&dy[i]).gelu_backward(&dy[i], &x[i], tanh_form, &dx[i], min(FLAT_RUN, count - i))


def silu(const real[::1] x, real[::1] y):
    """y = x / (1 + exp(-x))."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i]).silu(&x[i], &y[i], min(FLAT_RUN, count - i))


def silu_backward(const real[::1] dy, const real[::1] x, real[::1] dx):
    """dx = dy times the derivative of silu at x."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&dy[i]).silu_backward(&dy[i], &x[i], &dx[i], min(FLAT_RUN, count - i))


def sigmoid(const real[::1] x, real[::1] y):
    """y = 1 / (1 + exp(-x))."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i]).sigmoid(&x[i], &y[i], min(FLAT_RUN, count - i))


def sigmoid_backward(const real[::1] dy, const real[::1] y, real[::1] dx):
    """dx = dy * y * (1 - y)."""
    cdef Py_ssize_t i, count = y.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&dy[i]).sigmoid_backward(&dy[i], &y[i], &dx[i], min(FLAT_RUN, count - i))


def tanh(const real[::1] x, real[::1] y):
    """y = tanh(x)."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&x[i]).tanh(&x[i], &y[i], min(FLAT_RUN, count - i))


def tanh_backward(const real[::1] dy, const real[::1] y, real[::1] dx):
    """dx = dy * (1 - y^2)."""
    cdef Py_ssize_t i, count = y.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&dy[i]).tanh_backward(&dy[i], &y[i], &dx[i], min(FLAT_RUN, count - i))
