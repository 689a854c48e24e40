"""ReLU and the Adam update: one number at a time, cut into runs that the threads share."""
from cython.parallel cimport prange

from npcnn.kernels.core cimport adam_step_run, real, relu_backward_run, relu_run, threads

# Numbers a thread takes at a time: enough to be worth it, few enough to stay in its L1 cache.
cdef enum:
    RUN = 4096


def relu(const real[::1] x, real[::1] y):
    """y = max(x, 0)."""
    cdef Py_ssize_t i, count = x.shape[0]
    for i in prange(0, count, RUN, nogil=True, schedule="static", num_threads=threads()):
        relu_run(&x[i], &y[i], min(RUN, count - i))


def relu_backward(const real[::1] dy, const real[::1] y, real[::1] dx):
    """dx = dy where y > 0, else 0."""
    cdef Py_ssize_t i, count = y.shape[0]
    for i in prange(0, count, RUN, nogil=True, schedule="static", num_threads=threads()):
        relu_backward_run(&dy[i], &y[i], &dx[i], min(RUN, count - i))


def adam_step(real[::1] p, const real[::1] grad, real[::1] m, real[::1] v,
              real step_size, real new1, real new2, real eps):
    """m += new1 (grad - m);  v += new2 (grad^2 - v);  p -= step_size * m / (sqrt(v) + eps)."""
    cdef Py_ssize_t i, count = p.shape[0]
    for i in prange(0, count, RUN, nogil=True, schedule="static", num_threads=threads()):
        adam_step_run(&p[i], &grad[i], &m[i], &v[i], min(RUN, count - i), step_size, new1, new2, eps)
