"""The matrix product of dense layers, cut into blocks of the result that the threads share.

Each number of the result is one sum, formed by one thread from its first term to its last: the bits don't depend on
how many threads there are.
"""
from cython.parallel cimport prange

from npcnn.kernels.core cimport Factor, Sizes, csrc, real, threads_for

# Rows and columns of the result in a block: a multiple of what gemm.inc.c takes at a time, for every instruction set.
cdef enum:
    ROWS = 48
    COLUMNS = 64


def product(const real[:, ::1] a, bint transposed, const real[:, ::1] b, const real[::1] bias, real[:, ::1] c):
    """c = a @ b + bias, or with the transposed a.

    The rows of `b` are longer than those of `c`, as whole vectors need it; `bias` may be None.
    """
    cdef:
        Py_ssize_t rows = c.shape[0], columns = c.shape[1], depth = b.shape[0], block, i, j
        Py_ssize_t across = (columns + COLUMNS - 1) // COLUMNS, blocks = (rows + ROWS - 1) // ROWS * across
        Py_ssize_t row_step = 1 if transposed else a.shape[1], depth_step = a.shape[1] if transposed else 1
        const real* plus = &bias[0] if bias is not None else NULL
    for block in prange(blocks, nogil=True, schedule="static", num_threads=threads_for(blocks)):
        i = block // across * ROWS
        j = block % across * COLUMNS
        csrc(&c[0, 0]).gemm(Sizes(min(ROWS, rows - i), min(COLUMNS, columns - j), depth, 1),
                            Factor(&a[0, 0] + i * row_step, row_step, depth_step, 0),
                            Factor(&b[0, 0] + j, 0, b.shape[1], 0), &c[i, j], columns, False,
                            plus + j if plus != NULL else NULL, False)
