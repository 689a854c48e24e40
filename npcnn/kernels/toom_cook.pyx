"""Convolution with 3, 5 or 7 taps and stride 1 along one axis, by Toom-Cook: about half the multiplications.

One kernel serves them all: K x 1 along the height, 1 x K along the width, and KH x KW, which is Toom-Cook along
one axis and a plain sum over the taps across it.  A picture is taken as *lines across the axis*: its rows when the
axis is the height, its columns when it is the width.

T = 4 output lines (2 for 7 taps), a tile, need T*K products of a line with w[t].  Through n = K + T - 1 values at
n points they need n products (npcnn/toom_cook.py derives the tables):

    v[p, i] = sum_k input[p, k] x[T*tile + k - pad, i]     the pixels i of a tile's lines, at point p
    u[p, s] = sum_t kernel[p, t] w[t, s]                   the weights of cross tap s, at point p; the caller's
    m[p, i] = sum_s v[p, i + s - cross_pad] @ u[p, s]      the products: one matrix product a point
    y[T*tile + l, i] = sum_p output[l, p] m[p, i]

The input gradient is the same thing again, dy convolved with the flipped kernel.  The weight gradient
sums its products over tiles and pictures before it ever leaves the points:

    g[p, i] = sum_l gradient[p, l] dy[T*tile + l, i]
    du[p, s] += sum_i v[p, i + s - cross_pad]^T @ g[p, i]  and at the very end dw[t] = sum_p output'[t, p] du[p]

A picture is first copied into lines with zeros all around, so that nothing later asks where the border is.  In
a line the pixels follow one another, and so do the pixels i, i+1, ... that the cross taps of pixel i see: a row
of the matrix product is simply a longer piece of the line.
"""
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, uint8_t, uint32_t

from npcnn.kernels.core cimport (
    BATCH_PARTS, Windows, add_parts, add_rows, any_outside, any_too_large, copy_pixels, gemm, max_pool2d_backward_row,
    max_pool2d_row, real, release_workspace, relu_backward_run, side_by_side, threads, toom_cook_gradient,
    toom_cook_input, toom_cook_output, toom_cook_weight_gradient, toom_cook_weights, whole_lines, whole_vectors,
    workspace, zero_run,
)

cdef enum:
    PIXELS = 12                         # of a tile that are multiplied at a time: as many as the micro-kernel's rows
    TILES_BYTES = 256 * 1024            # of values at the points that the weight gradient keeps at a time


cdef struct Taps:
    # The kernel: its taps along the axis and across it, the padding before either, and the outputs of a tile.
    Py_ssize_t along, pad, across, cross_pad, outputs


cdef struct Picture:
    # Lines, pixels in a line, and the numbers from line to line and from pixel to pixel, in NHWC.
    Py_ssize_t lines, pixels, line_step, pixel_step, channels


cdef struct Bordered:
    # A picture copied into lines with zeros around it: how many lines, the numbers in one (whole vectors), those
    # from pixel to pixel, and where the picture's own first line and first pixel are.
    Py_ssize_t lines, line, pixel, first_line, first_pixel


cdef inline Taps taps_of(Py_ssize_t along, Py_ssize_t pad, Py_ssize_t across, Py_ssize_t cross_pad) noexcept nogil:
    return Taps(along, pad, across, cross_pad, 2 if along == 7 else 4)


cdef inline Picture picture_of(bint along_height, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C) noexcept nogil:
    cdef Picture picture
    picture.lines, picture.pixels = (H, W) if along_height else (W, H)
    picture.line_step, picture.pixel_step = (W * C, C) if along_height else (C, W * C)
    picture.channels = C
    return picture


cdef inline Py_ssize_t size_of(const Windows* pooling) noexcept nogil:
    return pooling.height * pooling.width * pooling.channels


cdef inline Py_ssize_t tiles_of(const Picture* y, const Taps* k) noexcept nogil:
    return (y.lines + k.outputs - 1) // k.outputs


cdef inline Bordered bordered_input(const Picture* x, const Picture* y, const Taps* k,
                                    Py_ssize_t itemsize) noexcept nogil:
    """x as the forward pass reads it: its padding, and lines up to a whole tile."""
    cdef Bordered b
    b.pixel = x.channels
    b.first_line, b.first_pixel = k.pad, k.cross_pad
    b.lines = tiles_of(y, k) * k.outputs + k.along - 1
    b.line = whole_vectors((y.pixels + k.across - 1) * b.pixel, itemsize)
    return b


cdef inline Bordered bordered_gradient(const Picture* x, const Picture* y, const Taps* flipped,
                                       Py_ssize_t itemsize) noexcept nogil:
    """dy as both gradients read it: dx as the input of a convolution, dw as whole tiles.

    Where x was padded by more than the kernel reaches, the padding `flipped` is negative: dx then starts
    behind the first lines of dy, which see padding only.
    """
    cdef Bordered b
    b.pixel = whole_vectors(y.channels, itemsize)
    b.first_line, b.first_pixel = max(flipped.pad, 0), max(flipped.cross_pad, 0)
    b.lines = max(b.first_line - flipped.pad + tiles_of(x, flipped) * flipped.outputs + flipped.along - 1,
                  b.first_line + tiles_of(y, flipped) * flipped.outputs)
    b.line = whole_vectors(max(b.first_pixel - flipped.cross_pad + x.pixels + flipped.across - 1,
                               b.first_pixel + y.pixels) * b.pixel, itemsize)
    return b


cdef void copy_inside(const real* x, const real* relu_output, const Picture* picture, const Bordered* b,
                      real* lines) noexcept nogil:
    """Copy a picture to its place between the zeros; with `relu_output`, only what the ReLU let through.

    It is read row by row, as it lies in memory, whichever way the lines go.
    """
    cdef Py_ssize_t i, at
    cdef bint rows_are_lines = picture.line_step > picture.pixel_step
    cdef Py_ssize_t rows = picture.lines if rows_are_lines else picture.pixels
    cdef Py_ssize_t row_step = picture.line_step if rows_are_lines else picture.pixel_step
    cdef Py_ssize_t to_row = b.line if rows_are_lines else b.pixel
    cdef Py_ssize_t to_pixel = b.pixel if rows_are_lines else b.line
    lines += b.first_line * b.line + b.first_pixel * b.pixel
    for i in range(rows):
        at = i * row_step
        copy_pixels(x + at, relu_output + at if relu_output != NULL else NULL,
                    picture.pixels if rows_are_lines else picture.lines, picture.channels, picture.channels,
                    lines + i * to_row, to_pixel)


cdef void convolve(const real* lines, const Bordered* b, Py_ssize_t first_line, Py_ssize_t first_pixel,
                   Py_ssize_t channels, const real* u, Py_ssize_t u_row, const real* bias, const Taps* k,
                   const Picture* to, bint relu, real* v, real* m, real* y) noexcept nogil:
    """y of one picture from its bordered lines, of which the windows start at the given line and pixel.

    `v` and `m` are room for the values and the products of a tile at the points.
    """
    cdef Py_ssize_t tile, p, i, pixels, points = k.along + k.outputs - 1
    cdef bint one_run = b.pixel == channels        # then all cross taps are one run of the line
    cdef Py_ssize_t depth = k.across * channels if one_run else channels
    for tile in range(tiles_of(to, k)):
        toom_cook_input(k.along, lines + (first_line + tile * k.outputs) * b.line, b.line, b.line, v, b.line)
        i = 0
        while i < to.pixels:
            pixels = min(to.pixels - i, PIXELS)
            for p in range(points):                             # m[p] = sum_s v[p, i + s] @ u[p, s]
                gemm(pixels, u_row, depth, 1 if one_run else k.across,
                     v + p * b.line + (first_pixel + i) * b.pixel, b.pixel, 1, b.pixel,
                     u + p * k.across * channels * u_row, u_row, channels * u_row,
                     m + p * PIXELS * u_row, u_row, False, <const real*>NULL, False)
            toom_cook_output(k.along, m, PIXELS * u_row, u_row, pixels, to.channels,
                             y + tile * k.outputs * to.line_step + i * to.pixel_step, to.line_step, to.pixel_step,
                             min(to.lines - tile * k.outputs, k.outputs), bias, relu)
            i += pixels


cdef inline Py_ssize_t tiles_at_once(const Picture* y, const Bordered* bx, const Bordered* bdy, const Taps* k,
                                     Py_ssize_t itemsize) noexcept nogil:
    """Tiles whose values at the points, of x and of dy, stay in the L2 cache together; at least one."""
    return min(tiles_of(y, k), max(1, TILES_BYTES // ((k.along + k.outputs - 1) * (bx.line + bdy.line) * itemsize)))


cdef void weight_gradient(const real* x_lines, const Bordered* bx, const real* dy_lines, const Bordered* bdy,
                          const Taps* k, const Picture* x, const Picture* y, Py_ssize_t at_once,
                          real* v, real* g, real* du) noexcept nogil:
    """du[p, s] += sum_i v[p, i + s]^T @ g[p, i] of one picture; `v` and `g` are room for its values at the points."""
    cdef Py_ssize_t first = 0, tile, p, tiles, rows = k.across * x.channels
    cdef Py_ssize_t v_step = at_once * bx.line, g_step = at_once * bdy.line
    while first < tiles_of(y, k):
        tiles = min(at_once, tiles_of(y, k) - first)
        for tile in range(tiles):
            toom_cook_input(k.along, x_lines + (first + tile) * k.outputs * bx.line, bx.line, bx.line,
                            v + tile * bx.line, v_step)
            toom_cook_gradient(k.along, dy_lines + (bdy.first_line + (first + tile) * k.outputs) * bdy.line,
                               bdy.line, bdy.line, g + tile * bdy.line, g_step)
        for p in range(k.along + k.outputs - 1):
            gemm(rows, bdy.pixel, y.pixels, tiles,
                 v + p * v_step, 1, x.channels, bx.line,
                 g + p * g_step + bdy.first_pixel * bdy.pixel, bdy.pixel, bdy.line,
                 du + p * rows * bdy.pixel, bdy.pixel, True, <const real*>NULL, False)
        first += tiles


def conv(const real[:, :, :, ::1] x, const real[:, :, ::1] u, const real[::1] b, bint along_height, Py_ssize_t taps,
         Py_ssize_t cross_taps, Py_ssize_t pad, Py_ssize_t cross_pad, bint relu, Windows pooling,
         real[:, :, :, ::1] y, int32_t[:, :, :, ::1] argmax, uint8_t[::1] skipped):
    """y = relu(b + x convolved with w), along the height or the width.

    Pictures with a number that the transforms cannot carry are not computed, and 1 in `skipped`.

    `u` is (points, cross_taps * Cin, Cout), the weights at the points, its rows padded with zeros to whole
    vectors; `b` may be None.  With `argmax`, y is what max pooling leaves of that, see pooling.pyx.
    """
    cdef:
        Py_ssize_t N = x.shape[0], u_row = u.shape[2], points = u.shape[0], n, i
        Picture px = picture_of(along_height, x.shape[1], x.shape[2], x.shape[3])
        Picture py = picture_of(along_height, pooling.height, pooling.width, pooling.channels)
        Taps k = taps_of(taps, pad, cross_taps, cross_pad)
        Bordered bx = bordered_input(&px, &py, &k, sizeof(real))
        bint pooled = argmax is not None
        # One thread: the lines of x, a tile at the points, its products, and what is pooled.
        Py_ssize_t lines_size = whole_lines(bx.lines * bx.line), v_size = whole_lines(points * bx.line)
        Py_ssize_t m_size = whole_lines(points * PIXELS * u_row)
        Py_ssize_t thread_size = lines_size + v_size + m_size + pooled * whole_lines(size_of(&pooling))
        int team = threads()
        const real* bias = &b[0] if b is not None else NULL
        real* scratch
        real* lines
        real* m
        real* picture
    if N == 0:
        return
    scratch = <real*>workspace(team * thread_size, sizeof(real))
    for n in range(team):
        zero_run(scratch + n * thread_size, lines_size)
    for n in prange(N, nogil=True, schedule="dynamic", num_threads=team):
        lines = scratch + threadid() * thread_size
        m = lines + lines_size + v_size
        picture = m + m_size if pooled else &y[n, 0, 0, 0]
        skipped[n] = any_too_large(&x[n, 0, 0, 0], px.lines * px.pixels * px.channels)
        if skipped[n]:
            continue
        copy_inside(&x[n, 0, 0, 0], <const real*>NULL, &px, &bx, lines)
        convolve(lines, &bx, 0, 0, px.channels, &u[0, 0, 0], u_row, bias, &k, &py, relu, lines + lines_size, m, picture)
        if pooled:
            for i in range(pooling.out_height):
                max_pool2d_row(picture, &pooling, i, &y[n, i, 0, 0], &argmax[n, i, 0, 0])
    release_workspace(scratch)


def weights_at_points(const real[:, :, ::1] w, real[:, :, ::1] u):
    """u[p] = sum_t kernel[p, t] w[t]; the rows of both are whole vectors.  Returns whether the transforms carry w."""
    cdef Py_ssize_t row, row_size = w.shape[2], step = w.shape[1] * row_size
    if any_too_large(&w[0, 0, 0], w.shape[0] * step):
        return False
    for row in prange(w.shape[1], nogil=True, schedule="static", num_threads=threads()):
        toom_cook_weights(w.shape[0], &w[0, row, 0], step, row_size, &u[0, row, 0], step)
    return True


cdef void copy_gradient(const real* dy, const real* relu_output, const int32_t* argmax, const Windows* pooling,
                        const Picture* picture, const Bordered* b, real* room, real* lines) noexcept nogil:
    """Copy the gradient of one picture to its place between the zeros, back through ReLU and pooling if there were any.

    Behind a pooling the ReLU is undone first: of a window it only matters whether the largest came through, and there
    are fewer of those.  `room` is for the gradient before the pooling and, behind that, the one before the ReLU.
    """
    cdef Py_ssize_t i, row = pooling.out_width * pooling.channels
    cdef real* before_relu = room + size_of(pooling)
    if argmax == NULL:
        copy_inside(dy, relu_output, picture, b, lines)
        return
    if relu_output != NULL:
        relu_backward_run(dy, relu_output, before_relu, pooling.out_height * row)
        dy = before_relu
    if not side_by_side(pooling):
        zero_run(room, size_of(pooling))
    for i in range(pooling.out_height):
        max_pool2d_backward_row(dy + i * row, argmax + i * row, pooling, i, side_by_side(pooling), room)
    copy_inside(room, <const real*>NULL, picture, b, lines)


def conv_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, :, ::1] u_flipped,
                  const real[:, :, :, ::1] relu_output, bint along_height,
                  Py_ssize_t taps, Py_ssize_t cross_taps, Py_ssize_t pad, Py_ssize_t cross_pad,
                  Windows pooling, const int32_t[:, :, :, ::1] argmax,
                  real[:, :, :, ::1] dx, real[:, :, :, :] dw, real[::1] db, uint8_t[::1] skipped):
    """dw, taps first: (taps, cross_taps, Cin, Cout), db, and dx unless it is None.

    `u_flipped`, which only dx needs, is (points, cross_taps * Cout, Cin): the transposed weights with all their taps
    in reverse, at the points, its rows padded with zeros to whole vectors.  With `argmax`, `dy` and `relu_output` lie
    behind a max pooling, see pooling.pyx.  Returns in how many pictures an argmax is not a tap.  Pictures of which the
    transforms cannot carry x or dy add nothing, get no dx, and are 1 in `skipped`.
    """
    cdef:
        Py_ssize_t N = x.shape[0], n, part, t, s, wrong = 0
        bint need_dx = dx is not None, pooled = argmax is not None
        Picture px = picture_of(along_height, x.shape[1], x.shape[2], x.shape[3])
        Picture py = picture_of(along_height, pooling.height, pooling.width, pooling.channels)
        Taps k = taps_of(taps, pad, cross_taps, cross_pad)
        Taps flipped = taps_of(taps, taps - 1 - pad, cross_taps, cross_taps - 1 - cross_pad)
        Py_ssize_t points = taps + k.outputs - 1, u_row = u_flipped.shape[2] if need_dx else 0
        Bordered bx = bordered_input(&px, &py, &k, sizeof(real))
        Bordered bdy = bordered_gradient(&px, &py, &flipped, sizeof(real))
        # One thread: the lines of x and of dy, and room at the points for either; for dx, dy's values at the points
        # of one tile and their products go where the others were.
        Py_ssize_t x_size = whole_lines(bx.lines * bx.line), dy_size = whole_lines(bdy.lines * bdy.line)
        Py_ssize_t at_once = tiles_at_once(&py, &bx, &bdy, &k, sizeof(real))
        Py_ssize_t v_size = whole_lines(points * max(at_once * bx.line, PIXELS * u_row))
        Py_ssize_t g_size = whole_lines(points * at_once * bdy.line)
        Py_ssize_t dy_picture = dy.shape[1] * dy.shape[2] * dy.shape[3]
        Py_ssize_t room_size = pooled * whole_lines(size_of(&pooling) + dy_picture)
        Py_ssize_t thread_size = x_size + dy_size + v_size + g_size + room_size, dy_row = bdy.pixel
        uint32_t pool_taps = <uint32_t>(pooling.size_h * pooling.size_w)
        Py_ssize_t rows = cross_taps * px.channels, dw_size = k.along * rows * dy_row
        Py_ssize_t parts = min(N, BATCH_PARTS), part_size = (points * rows + 1) * dy_row
        int team = threads()
        real* scratch
        real* partial
        real* du_part
        real* dw_rows
        real* x_lines
        real* dy_lines
        real* v
        real* g
        const int32_t* argmax_n
    dw[:, :, :, :] = 0
    db[:] = 0
    if N == 0:
        return 0
    scratch = <real*>workspace(team * thread_size + parts * part_size + dw_size, sizeof(real))
    partial = scratch + team * thread_size
    for n in range(team):
        zero_run(scratch + n * thread_size, x_size + dy_size)
    with nogil:
        for part in prange(parts, schedule="dynamic", num_threads=team):
            du_part = partial + part * part_size
            zero_run(du_part, part_size)
            x_lines = scratch + threadid() * thread_size
            dy_lines = x_lines + x_size
            v = dy_lines + dy_size
            g = v + v_size
            for n in range(part * N // parts, (part + 1) * N // parts):
                argmax_n = &argmax[n, 0, 0, 0] if pooled else NULL
                wrong += pooled and any_outside(argmax_n, dy_picture, pool_taps)
                skipped[n] = (any_too_large(&x[n, 0, 0, 0], px.lines * px.pixels * px.channels)
                              or any_too_large(&dy[n, 0, 0, 0], dy_picture))
                if skipped[n]:
                    continue
                copy_inside(&x[n, 0, 0, 0], <const real*>NULL, &px, &bx, x_lines)
                copy_gradient(&dy[n, 0, 0, 0], &relu_output[n, 0, 0, 0] if relu_output is not None else NULL, argmax_n,
                              &pooling, &py, &bdy, g + g_size, dy_lines)
                add_rows(dy_lines, bdy.lines * bdy.line // dy_row, dy_row, dy_row, du_part + points * rows * dy_row)
                weight_gradient(x_lines, &bx, dy_lines, &bdy, &k, &px, &py, at_once, v, g, du_part)
                if need_dx:
                    convolve(dy_lines, &bdy, bdy.first_line - flipped.pad, bdy.first_pixel - flipped.cross_pad,
                             py.channels, &u_flipped[0, 0, 0], u_row, <const real*>NULL, &flipped, &px, False,
                             g, v, &dx[n, 0, 0, 0])
        add_parts(partial, parts, part_size, team)
        toom_cook_weight_gradient(k.along, partial, rows * dy_row, rows * dy_row,
                                  partial + parts * part_size, rows * dy_row)
        copy_pixels(partial + points * rows * dy_row, <const real*>NULL, 1, py.channels, dy_row, &db[0], py.channels)
    dw_rows = partial + parts * part_size
    for t in range(k.along):
        for s in range(cross_taps):
            copy_pixels(dw_rows + (t * cross_taps + s) * px.channels * dy_row, <const real*>NULL,
                        px.channels, py.channels, dy_row, &dw[t, s, 0, 0], py.channels)
    release_workspace(scratch)
    return wrong
