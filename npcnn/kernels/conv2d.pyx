"""Two-dimensional convolution: im2col tile by tile, then a matrix product.

Write the receptive field of every output pixel as one row of a matrix, in the order of the weights,
and convolution becomes a matrix product:

    columns[pixel, (kh*KW + kw)*Cin + c] = x[i*s + kh*d - p, j*s + kw*d - p, c]         (im2col)
    y = columns @ w            (pixels, K) @ (K, Cout),   K = KH*KW*Cin

The gradients are two more products and the transpose of im2col, which adds overlapping fields up:

    dw = columns^T @ dy        (K, pixels) @ (pixels, Cout)
    dcolumns = dy @ w^T        (pixels, Cout) @ (Cout, K)
    dx = col2im(dcolumns)

The matrix of a whole batch would be KH*KW times as large as x.  It never exists: a thread fills a tile of
it, the rows of a few lines of output pixels, uses it while it is in the cache, and overwrites it.
"""
from cython.parallel cimport prange, threadid

from npcnn.kernels.core cimport (
    BATCH_PARTS, Windows, add_parts, add_rows, col2im_row, copy_pixels, gemm, im2col_row, real,
    release_workspace, relu_gradient, threads, whole_lines, whole_vectors, workspace, zero_run,
)

# Bytes of a tile: half of a small L2 cache, so that the weights have room beside it.
cdef enum:
    TILE_BYTES = 128 * 1024


cdef Py_ssize_t rows_of_tile(const Windows* g, Py_ssize_t itemsize) noexcept nogil:
    """Lines of output pixels whose columns fill a tile; at least one."""
    cdef Py_ssize_t line = g.out_width * g.size_h * g.size_w * g.channels * itemsize
    return min(max(TILE_BYTES // line, 1), g.out_height)


cdef void im2col(const real* x, const Windows* g, Py_ssize_t first, Py_ssize_t last, real* columns) noexcept nogil:
    """The rows of the im2col matrix for the output lines `first` to `last` of one picture."""
    cdef Py_ssize_t i, line = g.out_width * g.size_h * g.size_w * g.channels
    for i in range(first, last):
        im2col_row(x, g, i, columns + (i - first) * line)


cdef void col2im(const real* columns, const Windows* g, Py_ssize_t first, Py_ssize_t last, real* dx) noexcept nogil:
    """Add the rows of a tile back to the pixels they were taken from."""
    cdef Py_ssize_t i, line = g.out_width * g.size_h * g.size_w * g.channels
    for i in range(first, last):
        col2im_row(columns + (i - first) * line, g, i, dx)


def conv2d(const real[:, :, :, ::1] x, const real[:, ::1] w, const real[::1] b, Windows g, bint relu,
           real[:, :, :, ::1] y):
    """y = relu(im2col(x) @ w + b).

    `w` is (K, Cout), its rows padded with zeros to whole vectors; `b` may be None.
    """
    cdef:
        Py_ssize_t N = x.shape[0], Cout = y.shape[3], w_row = w.shape[1]
        Py_ssize_t tile_rows = rows_of_tile(&g, sizeof(real))
        Py_ssize_t tiles = (g.out_height + tile_rows - 1) // tile_rows
        Py_ssize_t tile_size = whole_lines(tile_rows * g.out_width * w.shape[0])
        Py_ssize_t item, n, first
        int team = threads()
        const real* bias = &b[0] if b is not None else NULL
        real* scratch
    if N == 0:
        return
    scratch = <real*>workspace(team * tile_size, sizeof(real))
    for item in prange(N * tiles, nogil=True, schedule="guided", num_threads=team):
        n = item // tiles
        first = item % tiles * tile_rows
        tile_forward(&x[n, 0, 0, 0], &w[0, 0], w_row, bias, Cout, &g, first, min(first + tile_rows, g.out_height),
                     relu, scratch + threadid() * tile_size, &y[n, 0, 0, 0])
    release_workspace(scratch)


cdef void tile_forward(const real* x, const real* w, Py_ssize_t w_row, const real* bias, Py_ssize_t Cout,
                       const Windows* g, Py_ssize_t first, Py_ssize_t last, bint relu,
                       real* columns, real* y) noexcept nogil:
    """The output lines `first` to `last` of one picture."""
    cdef Py_ssize_t K = g.size_h * g.size_w * g.channels, Wout = g.out_width
    im2col(x, g, first, last, columns)
    gemm((last - first) * Wout, Cout, K, 1,                     # y = columns @ w
         columns, K, 1, 0,
         w, w_row, 0,
         y + first * Wout * Cout, Cout, False, bias, relu)


cdef void backward_picture(const real* dy, Py_ssize_t dy_row, const real* x, const real* w_transposed,
                           Py_ssize_t w_row, Py_ssize_t Cout, const Windows* g,
                           real* columns, real* dx, real* dw) noexcept nogil:
    """Add one picture's share to dw, whose rows are as long as those of dy; and to dx unless that is NULL."""
    cdef Py_ssize_t K = g.size_h * g.size_w * g.channels, Wout = g.out_width
    cdef Py_ssize_t tile_rows = rows_of_tile(g, sizeof(real)), first = 0, last, pixels
    cdef const real* dy_tile
    while first < g.out_height:
        last = min(first + tile_rows, g.out_height)
        pixels = (last - first) * Wout
        dy_tile = dy + first * Wout * dy_row
        im2col(x, g, first, last, columns)
        gemm(K, dy_row, pixels, 1,                              # dw += columns^T @ dy
             columns, 1, K, 0,
             dy_tile, dy_row, 0,
             dw, dy_row, True, <const real*>NULL, False)
        if dx != NULL:
            gemm(pixels, K, Cout, 1,                            # dcolumns = dy @ w^T, in place of columns
                 dy_tile, dy_row, 1, 0,
                 w_transposed, w_row, 0,
                 columns, K, False, <const real*>NULL, False)
            col2im(columns, g, first, last, dx)
        first = last


def conv2d_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, ::1] w_transposed,
                    const real[:, :, :, ::1] relu_output, Windows g,
                    real[:, :, :, ::1] dx, real[:, ::1] dw, real[::1] db):
    """Gradients of `conv2d`: dw and db summed over the batch, and dx unless it is None.

    `w_transposed` is (Cout, K), its rows padded with zeros to whole vectors.  With `relu_output`, the result
    of the forward pass, dy counts only where that is positive.
    """
    cdef:
        Py_ssize_t N = x.shape[0], Cout = dy.shape[3], K = dw.shape[0]
        Py_ssize_t pixels = g.out_height * g.out_width, dy_row = whole_vectors(Cout, sizeof(real))
        Py_ssize_t tile_size = whole_lines(rows_of_tile(&g, sizeof(real)) * g.out_width * K)
        Py_ssize_t picture_size = g.height * g.width * g.channels
        Py_ssize_t parts = min(N, BATCH_PARTS), part, n
        Py_ssize_t thread_size = tile_size + whole_lines(pixels * dy_row), part_size = (K + 1) * dy_row
        int team = threads()
        bint need_dx = dx is not None
        real* scratch
        real* partial
        real* columns
        real* dw_part
        real* dx_picture
        const real* dy_picture
    dw[:, :] = 0
    db[:] = 0
    if N == 0:
        return
    scratch = <real*>workspace(team * thread_size + parts * part_size, sizeof(real))
    partial = scratch + team * thread_size
    with nogil:
        for part in prange(parts, schedule="dynamic", num_threads=team):
            columns = scratch + threadid() * thread_size
            dw_part = partial + part * part_size
            zero_run(dw_part, part_size)
            for n in range(part * N // parts, (part + 1) * N // parts):
                dy_picture = relu_gradient(
                    &dy[n, 0, 0, 0], &relu_output[n, 0, 0, 0] if relu_output is not None else NULL,
                    pixels, Cout, dy_row, columns + tile_size)
                add_rows(dy_picture, pixels, Cout, dy_row, dw_part + K * dy_row)
                dx_picture = &dx[n, 0, 0, 0] if need_dx else NULL
                if need_dx:
                    zero_run(dx_picture, picture_size)
                backward_picture(dy_picture, dy_row, &x[n, 0, 0, 0], &w_transposed[0, 0],
                                 w_transposed.shape[1], Cout, &g, columns, dx_picture, dw_part)
        add_parts(partial, parts, part_size, team)
        copy_pixels(partial, <const real*>NULL, K, Cout, dy_row, &dw[0, 0], Cout)
        copy_pixels(partial + K * dy_row, <const real*>NULL, 1, Cout, dy_row, &db[0], Cout)
    release_workspace(scratch)
