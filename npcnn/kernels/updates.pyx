"""The Adam update over flat arrays, cut into runs that the threads share."""
from cython.parallel cimport prange

from npcnn.kernels.core cimport FLAT_RUN, csrc, real, threads


def adam_step(real[::1] p, const real[::1] grad, real[::1] m, real[::1] v,
              real step_size, real new1, real new2, real eps, real decay):
    """m += new1 (grad - m);  v += new2 (grad^2 - v);  p -= step_size * m / (sqrt(v) + eps) + decay * p."""
    cdef Py_ssize_t i, count = p.shape[0]
    for i in prange(0, count, FLAT_RUN, nogil=True, schedule="static", num_threads=threads()):
        csrc(&p[i]).adam_step(
            &p[i], &grad[i], &m[i], &v[i], min(FLAT_RUN, count - i), step_size, new1, new2, eps, decay
        )
