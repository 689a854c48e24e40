"""One-dimensional convolution with 3 or 5 taps and stride 1, by Toom-Cook: about half the multiplications.

Four output lines, a tile, need 4*K products of a line with w[t].  Through n = K + 3 values at n points they
need n products (npcnn/toom_cook.py derives the tables):

    v[p] = sum_k input[p, k] x[4*tile + k - pad]           the pixels of a tile, at point p
    u[p] = sum_t kernel[p, t] w[t]                         the weights, at point p; the caller's
    m[p] = v[p] @ u[p]                                     the products: one matrix product a point
    y[4*tile + i] = sum_p output[i, p] m[p]

The input gradient is the same thing again, dy convolved with the flipped kernel.  The weight gradient
sums its products over tiles and pictures before it ever leaves the points:

    g[p] = sum_i gradient[p, i] dy[4*tile + i]
    du[p] += v[p]^T @ g[p]                                 and at the very end dw[t] = sum_p output'[t, p] du[p]

A picture's values at the points are kept as (point, tile, pixel of the line, channel), so that the rows of
each matrix product lie one behind the other.  Everything of one picture stays in the L2 cache.
"""
from cython.parallel cimport prange, threadid

from npcnn.kernels.core cimport (
    BATCH_PARTS, add_parts, add_rows, aligned_buffer, free_buffer, gemm, real, relu_gradient, threads,
    toom_cook_gradient, toom_cook_input, toom_cook_output, whole_lines, whole_vectors, zero_run,
)
from npcnn.kernels.lines cimport Lines, lines_of

cdef enum:
    OUTPUTS = 4                         # output lines of a tile


cdef inline Py_ssize_t points_of(const Lines* g) noexcept nogil:
    return g.taps + OUTPUTS - 1


cdef inline Py_ssize_t tiles_of(const Lines* g) noexcept nogil:
    return (g.out_length + OUTPUTS - 1) // OUTPUTS


cdef void inputs_at_points(const real* x, Py_ssize_t channels, const Lines* g, real* v) noexcept nogil:
    """v[p, tile, pixel] = sum_k input[p, k] x[4*tile + k - pad], pixels outside the picture being 0."""
    cdef Py_ssize_t tile, pixel, start, begin, end, points = points_of(g), tiles = tiles_of(g)
    cdef Py_ssize_t v_step = tiles * g.pixels * channels
    # Where the pixels of a line lie one behind the other, the whole line is one run.
    cdef Py_ssize_t runs = 1 if g.x_across == channels else g.pixels, count = g.pixels // runs * channels
    for tile in range(tiles):
        start = tile * OUTPUTS - g.pad
        begin, end = max(-start, 0), min(g.length - start, points)
        for pixel in range(runs):
            toom_cook_input(g.taps, x + start * g.x_along + pixel * g.x_across, g.x_along, begin, end,
                            count, v + (tile * g.pixels + pixel) * channels, v_step)


cdef void gradients_at_points(const real* dy, Py_ssize_t channels, const Lines* g, real* v) noexcept nogil:
    """v[p, tile, pixel] = sum_i gradient[p, i] dy[4*tile + i]."""
    cdef Py_ssize_t tile, pixel, tiles = tiles_of(g)
    cdef Py_ssize_t v_step = tiles * g.pixels * channels
    cdef Py_ssize_t runs = 1 if g.y_across == channels else g.pixels, count = g.pixels // runs * channels
    for tile in range(tiles):
        for pixel in range(runs):
            toom_cook_gradient(g.taps, dy + tile * OUTPUTS * g.y_along + pixel * g.y_across, g.y_along,
                               min(g.out_length - tile * OUTPUTS, OUTPUTS), count,
                               v + (tile * g.pixels + pixel) * channels, v_step)


cdef void outputs_from_points(const real* m, Py_ssize_t channels, const Lines* g, const real* bias, bint relu,
                              real* y) noexcept nogil:
    """y[4*tile + i] = relu(bias + sum_p output[i, p] m[p, tile])."""
    cdef Py_ssize_t tile, pixel, tiles = tiles_of(g)
    cdef Py_ssize_t m_step = tiles * g.pixels * channels
    for tile in range(tiles):
        for pixel in range(g.pixels):
            toom_cook_output(g.taps, m + (tile * g.pixels + pixel) * channels, m_step, channels,
                             y + tile * OUTPUTS * g.y_along + pixel * g.y_across, g.y_along,
                             min(g.out_length - tile * OUTPUTS, OUTPUTS), bias, relu)


cdef void picture_forward(const real* x, Py_ssize_t x_row, const real* u, Py_ssize_t u_row, const real* bias,
                          Py_ssize_t Cin, Py_ssize_t Cout, const Lines* g, bint relu,
                          real* v, real* m, real* y) noexcept nogil:
    """y of one picture, whose pixels are `x_row` >= Cin apart; `v` and `m` are room for its values at the points."""
    cdef Py_ssize_t p, rows = tiles_of(g) * g.pixels
    inputs_at_points(x, x_row, g, v)
    for p in range(points_of(g)):
        gemm(rows, Cout, Cin, 1,                                # m[p] = v[p] @ u[p]
             v + p * rows * x_row, x_row, 1, 0,
             u + p * Cin * u_row, u_row, 0,
             m + p * rows * Cout, Cout, False, <const real*>NULL, False)
    outputs_from_points(m, Cout, g, bias, relu, y)


cdef void weight_gradient(const real* v, const real* dy, Py_ssize_t dy_row, Py_ssize_t Cin, const Lines* g,
                          real* at_points, real* du) noexcept nogil:
    """du[p] += v[p]^T @ g[p] of one picture, whose inputs at the points are `v`."""
    cdef Py_ssize_t p, rows = tiles_of(g) * g.pixels
    gradients_at_points(dy, dy_row, g, at_points)
    for p in range(points_of(g)):
        gemm(Cin, dy_row, rows, 1,
             v + p * rows * Cin, 1, Cin, 0,
             at_points + p * rows * dy_row, dy_row, 0,
             du + p * Cin * dy_row, dy_row, True, <const real*>NULL, False)


def conv1d(const real[:, :, :, ::1] x, const real[:, :, ::1] u, const real[::1] b, bint along_height,
           Py_ssize_t pad, bint relu, real[:, :, :, ::1] y):
    """y[i] = relu(b + sum_t x[i + t - pad] @ w[t]).

    `u` is (points, Cin, Cout), the weights at the points, its rows padded with zeros to whole vectors;
    `b` may be None.
    """
    cdef:
        Py_ssize_t N = x.shape[0], Cin = x.shape[3], Cout = y.shape[3], u_row = u.shape[2], n
        Lines g = lines_of(along_height, x.shape[1], x.shape[2], Cin, y.shape[1], y.shape[2], Cout,
                           u.shape[0] - OUTPUTS + 1, 1, 1, pad)
        Py_ssize_t rows = u.shape[0] * tiles_of(&g) * g.pixels
        Py_ssize_t v_size = whole_lines(rows * Cin), thread_size = v_size + whole_lines(rows * Cout)
        int team = threads()
        const real* bias = &b[0] if b is not None else NULL
        real* scratch
        real* v
    if N == 0:
        return
    scratch = <real*>aligned_buffer(team * thread_size, sizeof(real))
    for n in prange(N, nogil=True, schedule="static", num_threads=team):
        v = scratch + threadid() * thread_size
        picture_forward(&x[n, 0, 0, 0], Cin, &u[0, 0, 0], u_row, bias, Cin, Cout, &g, relu, v, v + v_size,
                        &y[n, 0, 0, 0])
    free_buffer(scratch)


def conv1d_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, :, ::1] u_flipped,
                    const real[:, :, :, ::1] relu_output, bint along_height, Py_ssize_t pad,
                    real[:, :, :, ::1] dx, real[:, :, ::1] du, real[::1] db):
    """du, the gradient of the weights at the points, db, and dx unless it is None.

    `u_flipped` is (points, Cout, Cin): the transposed weights with their taps in reverse, at the points, its
    rows padded with zeros to whole vectors.
    """
    cdef:
        Py_ssize_t N = x.shape[0], Cin = x.shape[3], Cout = dy.shape[3], points = du.shape[0], n, part
        Py_ssize_t taps = points - OUTPUTS + 1, pixels = dy.shape[1] * dy.shape[2]
        Py_ssize_t dy_row = whole_vectors(Cout, sizeof(real)), u_row = u_flipped.shape[2]
        Lines g = lines_of(along_height, x.shape[1], x.shape[2], Cin, dy.shape[1], dy.shape[2], dy_row,
                           taps, 1, 1, pad)
        Lines flipped = lines_of(along_height, dy.shape[1], dy.shape[2], dy_row, x.shape[1], x.shape[2], Cin,
                                 taps, 1, 1, taps - 1 - pad)
        Py_ssize_t rows = points * max(tiles_of(&g), tiles_of(&flipped)) * g.pixels
        Py_ssize_t dy_size = whole_lines(pixels * dy_row)
        Py_ssize_t x_size = whole_lines(rows * Cin), thread_size = dy_size + x_size + whole_lines(rows * dy_row)
        Py_ssize_t parts = min(N, BATCH_PARTS), part_size = (points * Cin + 1) * dy_row
        int team = threads()
        bint need_dx = dx is not None
        real* scratch
        real* partial
        real* du_part
        real* x_points
        real* dy_points
        const real* dy_picture
    du[:, :, :] = 0
    db[:] = 0
    if N == 0:
        return
    scratch = <real*>aligned_buffer(team * thread_size + parts * part_size, sizeof(real))
    partial = scratch + team * thread_size
    with nogil:
        for part in prange(parts, schedule="dynamic", num_threads=team):
            du_part = partial + part * part_size
            zero_run(du_part, part_size)
            x_points = scratch + threadid() * thread_size + dy_size
            dy_points = x_points + x_size
            for n in range(part * N // parts, (part + 1) * N // parts):
                dy_picture = relu_gradient(
                    &dy[n, 0, 0, 0], &relu_output[n, 0, 0, 0] if relu_output is not None else NULL,
                    pixels, Cout, dy_row, x_points - dy_size)
                add_rows(dy_picture, pixels, Cout, dy_row, du_part + points * Cin * dy_row)
                inputs_at_points(&x[n, 0, 0, 0], Cin, &g, x_points)
                weight_gradient(x_points, dy_picture, dy_row, Cin, &g, dy_points, du_part)
                if need_dx:                                     # the room of x's points serves the products
                    picture_forward(dy_picture, dy_row, &u_flipped[0, 0, 0], u_row, <const real*>NULL,
                                    Cout, Cin, &flipped, False, dy_points, x_points, &dx[n, 0, 0, 0])
        add_parts(partial, parts, part_size, dy_row, points * Cin, Cout, &du[0, 0, 0])
        add_parts(partial + points * Cin * dy_row, parts, part_size, dy_row, 1, Cout, &db[0])
    free_buffer(scratch)
