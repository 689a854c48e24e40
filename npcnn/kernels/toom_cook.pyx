"""Convolution with 3, 5 or 7 taps and stride 1 along one axis, by Toom-Cook: about half the multiplications.

One kernel serves them all: K x 1 along the height, 1 x K along the width, and KH x KW, which is Toom-Cook along
one axis and a plain sum over the taps across it.  A picture is taken as *lines across the axis*: its rows when the
axis is the height, its columns when it is the width.

A tile of T = 4 output lines (2 for 7 taps) takes T*K products of a line with w[t] by the definition.  By way of its
values at n = K + T - 1 points it takes n (npcnn/reference/toom_cook.py derives the tables):

    v[p, i] = sum_k input[p, k] x[T*tile + k - pad, i]     the pixels i of a tile's lines, at point p
    u[p, s] = sum_t kernel[p, t] w[t, s]                   the weights of cross tap s, at point p, once per call
    m[p, i] = sum_s v[p, i + s - cross_pad] @ u[p, s]      the products: one matrix product a point
    y[T*tile + l, i] = sum_p output[l, p] m[p, i]

The input gradient is the same thing again, dy convolved with the flipped kernel.  The weight gradient
sums its products over tiles and pictures before it ever leaves the points:

    g[p, i] = sum_l gradient[p, l] dy[T*tile + l, i]
    du[p, s] += sum_i v[p, i + s - cross_pad]^T @ g[p, i]  and at the very end dw[t] = sum_p output'[t, p] du[p]

A picture is first copied into lines with zeros all around, so that nothing later asks where the border is.  In
a line the pixels follow one another, and so do the pixels i, i+1, ... that the cross taps of pixel i see: a row
of the matrix product is simply a longer piece of the line.

Threads share out the pictures of a batch, and forward, where there are too few, pieces of them (strips.pxd).
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t

from npcnn.kernels.core cimport (
    BATCH_PARTS, FLAT_RUN, Factor, Sizes, Team, add_parts, csrc, dismiss, gather, hand_out, room_for, take,
    threads, threads_for, whole_cache_lines, whole_vectors, zero_run,
)
from npcnn.kernels.pooling cimport any_outside, before_max_pooling
from npcnn.kernels.strips cimport Cut, Piece, cut_of, piece_of, pieces_of
from npcnn.kernels.windows cimport Windows, output_size, picture_size

cdef enum:
    PIXELS = 24                         # pixels of a line that are multiplied at a time
    TILES_BYTES = 256 * 1024            # bytes of values at the points that the weight gradient keeps at a time
    TILES_PIXELS = 1024                 # pixels it sums in a register before it adds the sum, rounded, to the others


cdef struct Taps:
    # The kernel: which axis Toom-Cook works along, the taps along and across it, the padding before each, and the
    # output lines of a tile.
    bint along_height
    Py_ssize_t along, pad, across, cross_pad, outputs


cdef struct Picture:
    # Lines, pixels in a line, and the numbers from line to line and from pixel to pixel, in NHWC.
    Py_ssize_t lines, pixels, line_step, pixel_step, channels


cdef struct Bordered:
    # A picture copied into lines with zeros around it: how many lines, the numbers in one (whole vectors), those
    # from pixel to pixel, and where the picture's own first line and first pixel are.
    Py_ssize_t lines, line, pixel, first_line, first_pixel


cdef inline Py_ssize_t points_of(const Taps* taps) noexcept nogil:
    return taps.along + taps.outputs - 1


cdef inline Taps flipped(const Taps* taps) noexcept nogil:
    """The kernel of the input gradient: the same taps from the other end."""
    return Taps(taps.along_height, taps.along, taps.along - 1 - taps.pad, taps.across, taps.across - 1 - taps.cross_pad,
                taps.outputs)


cdef inline Picture picture_of(const Taps* taps, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C) noexcept nogil:
    if taps.along_height:
        return Picture(H, W, W * C, C, C)
    return Picture(W, H, C, W * C, C)


cdef inline Py_ssize_t tiles_of(const Picture* y, const Taps* taps) noexcept nogil:
    return (y.lines + taps.outputs - 1) // taps.outputs


cdef inline Bordered bordered_input(const Picture* x, const Picture* y, const Taps* taps) noexcept nogil:
    """x as the forward pass reads it: with its padding, and lines up to a whole number of tiles."""
    return Bordered(tiles_of(y, taps) * taps.outputs + taps.along - 1,
                    whole_vectors((y.pixels + taps.across - 1) * x.channels, sizeof(float)),
                    x.channels, taps.pad, taps.cross_pad)


cdef inline Bordered bordered_gradient(const Picture* x, const Picture* y, const Taps* flipped) noexcept nogil:
    """dy as both gradients read it: dx as the input of a convolution, dw in whole tiles.

    Where x was padded by more than the kernel reaches, the padding of `flipped` is negative: dx then starts
    after the first lines of dy, which see padding only.
    """
    cdef Bordered b
    b.pixel = whole_vectors(y.channels, sizeof(float))
    b.first_line, b.first_pixel = max(flipped.pad, 0), max(flipped.cross_pad, 0)
    b.lines = max(b.first_line - flipped.pad + tiles_of(x, flipped) * flipped.outputs + flipped.along - 1,
                  b.first_line + tiles_of(y, flipped) * flipped.outputs)
    b.line = whole_vectors(max(b.first_pixel - flipped.cross_pad + x.pixels + flipped.across - 1,
                               b.first_pixel + y.pixels) * b.pixel, sizeof(float))
    return b


cdef bint copy_inside(const float* x, const float* relu_output, const Picture* picture, Py_ssize_t first,
                      Py_ssize_t last, const Bordered* b, float* lines) noexcept nogil:
    """Copy the pixels from `first` to before `last` of every line of a picture to their place between the zeros.

    With `relu_output`, only what the ReLU let through.  The picture is read row by row, as it lies in memory, whichever
    way the lines go.  Returns whether the transforms can carry its numbers.
    """
    cdef int too_large = 0
    cdef Py_ssize_t i, at
    cdef bint rows_are_lines = picture.line_step > picture.pixel_step
    cdef Py_ssize_t rows = picture.lines if rows_are_lines else last - first
    cdef Py_ssize_t row_step = picture.line_step if rows_are_lines else picture.pixel_step
    cdef Py_ssize_t to_row = b.line if rows_are_lines else b.pixel
    cdef Py_ssize_t to_pixel = b.pixel if rows_are_lines else b.line
    lines += b.first_line * b.line + (b.first_pixel + first) * b.pixel
    for i in range(rows):
        at = first * picture.pixel_step + i * row_step
        csrc(x).toom_cook_copy(x + at, relu_output + at if relu_output != NULL else NULL,
                               last - first if rows_are_lines else picture.lines, picture.channels,
                               picture.channels, lines + i * to_row, to_pixel, &too_large)
    return not too_large


cdef void convolve(const float* lines, const Bordered* b, Py_ssize_t first_line, Py_ssize_t first_pixel,
                   Py_ssize_t channels, const float* u, Py_ssize_t u_row, const float* bias, const Taps* taps,
                   const Picture* to, Py_ssize_t first_tile, Py_ssize_t last_tile, bint relu, float* v, float* m,
                   float* y) noexcept nogil:
    """y of some tiles of a picture from its bordered lines, of which the windows start at the given line and pixel.

    `v` and `m` are buffers for the values and the products of a tile at the points.
    """
    cdef Py_ssize_t tile, p, i, pixels
    cdef bint one_run = b.pixel == channels        # the cross taps are then one run of the line
    cdef Py_ssize_t depth = taps.across * channels if one_run else channels
    # The run of a line that the windows see, from a cache line on: its end is then within the last vector of the line.
    cdef Py_ssize_t begin = first_pixel * b.pixel // 16 * 16
    cdef Py_ssize_t run = whole_vectors((first_pixel + to.pixels + taps.across - 1) * b.pixel - begin, sizeof(float))
    for tile in range(first_tile, last_tile):
        csrc(v).toom_cook_input(taps.along, lines + (first_line + tile * taps.outputs) * b.line + begin, b.line, run,
                                v + begin, b.line)
        i = 0
        while i < to.pixels:
            pixels = min(to.pixels - i, PIXELS)
            for p in range(points_of(taps)):                    # m[p] = sum_s v[p, i + s] @ u[p, s]
                csrc(m).gemm(Sizes(pixels, u_row, depth, 1 if one_run else taps.across),
                             Factor(v + p * b.line + (first_pixel + i) * b.pixel, b.pixel, 1, b.pixel),
                             Factor(u + p * taps.across * channels * u_row, 0, u_row, channels * u_row),
                             m + p * PIXELS * u_row, u_row, False, NULL, False)
            csrc(y).toom_cook_output(taps.along, m, PIXELS * u_row, u_row, pixels, to.channels,
                                     y + tile * taps.outputs * to.line_step + i * to.pixel_step,
                                     to.line_step, to.pixel_step,
                                     min(to.lines - tile * taps.outputs, taps.outputs), bias, relu)
            i += pixels


cdef struct ForwardPlan:
    # One forward pass: the kernel, the pictures, the lines they are copied to, the pooling if there is one, and how a
    # picture is cut.  It is small and in one piece, because the other threads have to fetch it.
    Taps taps
    Picture x, y
    Bordered lines
    Windows pooling
    Cut cut
    bint pooled, relu
    # The numbers in a picture of x, in one of y and in a row of y, and the columns of one row of u.
    Py_ssize_t x_picture, y_picture, y_row, u_row
    # The sizes of a thread's buffers, in this order: the lines of x, a tile at the points, its products, and y before
    # the pooling.
    Py_ssize_t lines_size, v_size, m_size, room_size
    const float* x_numbers
    const float* u
    const float* bias
    float* y_numbers
    int32_t* argmax
    uint8_t* skipped


cdef ForwardPlan forward_plan(const Taps* taps, const Windows* pooling, bint pooled, Py_ssize_t N, Py_ssize_t H,
                              Py_ssize_t W, Py_ssize_t C, Py_ssize_t u_row) noexcept nogil:
    """All of the plan but the pointers."""
    cdef ForwardPlan plan
    cdef Py_ssize_t points = points_of(taps)
    plan.taps, plan.pooling, plan.pooled = taps[0], pooling[0], pooled
    plan.x = picture_of(taps, H, W, C)
    plan.y = picture_of(taps, pooling.height, pooling.width, pooling.channels)
    plan.lines = bordered_input(&plan.x, &plan.y, taps)
    plan.cut = cut_of(taps.along_height, pooling, pooled, tiles_of(&plan.y, taps), N)
    plan.x_picture, plan.y_picture = H * W * C, output_size(pooling)
    plan.y_row, plan.u_row = pooling.out_width * pooling.channels, u_row
    plan.lines_size = whole_cache_lines(plan.lines.lines * plan.lines.line)
    plan.v_size = whole_cache_lines(points * plan.lines.line)
    plan.m_size = whole_cache_lines(points * PIXELS * u_row)
    plan.room_size = plan.lines_size + plan.v_size + plan.m_size + pooled * whole_cache_lines(picture_size(pooling))
    return plan


cdef void compute_piece(const ForwardPlan* plan, Py_ssize_t number, float* room) noexcept nogil:
    """Convolve what one piece sees of its picture and pool it, unless the transforms cannot carry what it sees."""
    cdef const Taps* taps = &plan.taps
    cdef Py_ssize_t i, n = number // pieces_of(&plan.cut)
    cdef Piece piece = piece_of(taps.along_height, &plan.pooling, &plan.cut, number % pieces_of(&plan.cut))
    cdef Py_ssize_t at = n * plan.y_picture + piece.row * plan.y_row + piece.column * plan.pooling.channels
    cdef Py_ssize_t first = min(max(piece.first - taps.cross_pad, 0), plan.x.pixels)
    cdef Py_ssize_t last = max(min(piece.last - 1 + taps.across - taps.cross_pad, plan.x.pixels), 0)
    cdef Picture to = picture_of(taps, piece.pooling.height, piece.pooling.width, piece.pooling.channels)
    cdef float* v = room + plan.lines_size
    cdef float* m = v + plan.v_size
    cdef float* unpooled = m + plan.m_size
    cdef float* y = unpooled if plan.pooled else plan.y_numbers + at
    if not plan.pooled:
        to.line_step, to.pixel_step = plan.y.line_step, plan.y.pixel_step
    if not copy_inside(plan.x_numbers + n * plan.x_picture, NULL, &plan.x, first, last, &plan.lines, room):
        plan.skipped[n] = True          # several threads may say so
        return
    convolve(room, &plan.lines, 0, piece.first, plan.x.channels, plan.u, plan.u_row, plan.bias, taps, &to,
             piece.first_tile, piece.last_tile, plan.relu, v, m, y)
    if plan.pooled:
        for i in range(piece.pooling.out_height):
            csrc(y).max_pool2d_row(y, &piece.pooling, i, plan.y_numbers + at + i * plan.y_row,
                                   plan.argmax + at + i * plan.y_row if plan.argmax != NULL else NULL)


cdef void compute_pieces(const ForwardPlan* plan, const Team* team, int thread) noexcept nogil:
    """What one thread takes of the pieces."""
    cdef float* lines = <float*>room_for(team, thread)
    cdef Py_ssize_t number = take(team, thread)
    zero_run(lines, plan.lines_size)
    while number >= 0:
        compute_piece(plan, number, lines)
        number = take(team, thread)


def conv2d(const float[:, :, :, ::1] x, const float[:, :, ::1] u, const float[::1] b, Taps taps, bint relu,
           Windows pooling, bint pooled, float[:, :, :, ::1] y, int32_t[:, :, :, ::1] argmax, uint8_t[::1] skipped):
    """y = x convolved with w, plus b, and then the ReLU if there is one; and then max pooled if asked for.

    `u` is (points, cross taps * Cin, Cout), the weights at the points, its rows padded to whole vectors; `b` may be
    None, and so may `argmax`, see pooling.pyx.  Pictures with a number that the transforms cannot carry are not
    computed, but marked with 1 in `skipped`, which comes in with zeros.
    """
    cdef Py_ssize_t N = x.shape[0]
    cdef ForwardPlan plan = forward_plan(&taps, &pooling, pooled, N, x.shape[1], x.shape[2], x.shape[3], u.shape[2])
    cdef Py_ssize_t pieces = N * pieces_of(&plan.cut)
    cdef Team team
    cdef int thread
    if N == 0:
        return
    plan.relu, plan.bias = relu, &b[0] if b is not None else NULL
    plan.x_numbers, plan.u, plan.y_numbers = &x[0, 0, 0, 0], &u[0, 0, 0], &y[0, 0, 0, 0]
    plan.argmax = &argmax[0, 0, 0, 0] if argmax is not None else NULL
    plan.skipped = &skipped[0]
    team = gather(threads_for(pieces), plan.room_size, 0, sizeof(float))
    hand_out(&team, pieces)
    for thread in prange(team.threads, nogil=True, schedule="static", num_threads=team.threads):
        compute_pieces(&plan, &team, thread)
    dismiss(&team)


cdef bint rows_at_points(const float* w, Py_ssize_t taps, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t first,
                         Py_ssize_t last, float* u, Py_ssize_t u_row) noexcept nogil:
    """u[p] = sum_t kernel[p, t] w[t] of the rows from `first` to before `last`, those of u in whole vectors.

    Returns whether the transforms can carry these weights.  Past the last column of a row of u comes what follows in w,
    but nothing that is past its end: no product with it is ever looked at, and to cut it off would take as long as all
    the rest.
    """
    cdef Py_ssize_t t, row
    cdef int too_large = 0
    for t in range(taps):
        csrc(w).toom_cook_look(w + (t * rows + first) * columns, (last - first) * columns, &too_large)
    if not too_large:
        for row in range(first, last):
            csrc(w).toom_cook_weights(taps, w + row * columns, rows * columns, min(u_row, (rows - row) * columns),
                                      u + row * u_row, rows * u_row)
    return not too_large


def weights_at_points(const float[:, :, ::1] w, float[:, :, ::1] u):
    """u[p] = sum_t kernel[p, t] w[t], the rows of u in whole vectors.  Returns whether the transforms can carry w."""
    cdef Py_ssize_t taps = w.shape[0], rows = w.shape[1], columns = w.shape[2], part
    cdef int team = threads_for(taps * rows * columns // FLAT_RUN), too_large = 0
    for part in prange(team, nogil=True, schedule="static", num_threads=team):
        too_large += not rows_at_points(&w[0, 0, 0], taps, rows, columns, part * rows // team,
                                        (part + 1) * rows // team, &u[0, 0, 0], u.shape[2])
    return not too_large


cdef struct BackwardPlan:
    # One backward pass: the kernel as it is for dw and flipped for dx, the pictures, and the lines they are copied to.
    Taps taps, flipped
    Picture x, y
    Bordered x_lines, dy_lines
    Windows pooling
    bint pooled
    # The rows of w for one tap, the columns of one row of dw and of u_flipped, and the tiles that dw takes at a time:
    # their values at the points, of x and of dy, stay in the L2 cache together.
    Py_ssize_t rows, dw_row, u_row, tiles
    # The sizes of a thread's buffers, in this order: lines of x and of dy, their values at the points (for dx, the
    # products of a tile and dy's values, in the same two places), and gradients before pooling and ReLU.
    Py_ssize_t x_size, dy_size, v_size, g_size, unpooled_size


cdef BackwardPlan backward_plan(const Taps* taps, const Windows* pooling, bint pooled, Py_ssize_t H, Py_ssize_t W,
                                Py_ssize_t C, Py_ssize_t u_row) noexcept nogil:
    cdef BackwardPlan plan
    cdef Py_ssize_t points = points_of(taps), tile_bytes
    plan.taps, plan.flipped = taps[0], flipped(taps)
    plan.pooling, plan.pooled = pooling[0], pooled
    plan.x = picture_of(taps, H, W, C)
    plan.y = picture_of(taps, pooling.height, pooling.width, pooling.channels)
    plan.x_lines = bordered_input(&plan.x, &plan.y, taps)
    plan.dy_lines = bordered_gradient(&plan.x, &plan.y, &plan.flipped)
    plan.rows, plan.dw_row, plan.u_row = taps.across * C, plan.dy_lines.pixel, u_row
    tile_bytes = points * (plan.x_lines.line + plan.dy_lines.line) * sizeof(float)
    plan.tiles = min(tiles_of(&plan.y, taps), max(1, min(TILES_BYTES // tile_bytes, TILES_PIXELS // plan.y.pixels)))
    plan.x_size = whole_cache_lines(plan.x_lines.lines * plan.x_lines.line)
    plan.dy_size = whole_cache_lines(plan.dy_lines.lines * plan.dy_lines.line)
    plan.v_size = whole_cache_lines(points * max(plan.tiles * plan.x_lines.line, PIXELS * u_row))
    plan.g_size = whole_cache_lines(points * plan.tiles * plan.dy_lines.line)
    plan.unpooled_size = pooled * whole_cache_lines(picture_size(pooling) + output_size(pooling))
    return plan


cdef bint copy_gradient(const BackwardPlan* plan, const float* dy, const float* relu_output, const int32_t* argmax,
                        float* unpooled, float* lines) noexcept nogil:
    """Take the gradient of one picture back through pooling and ReLU, if any, and copy it between the zeros.

    `unpooled` is a buffer for the gradient at the pooling's input.  Returns whether the transforms can carry the
    result.
    """
    if not plan.pooled:
        return copy_inside(dy, relu_output, &plan.y, 0, plan.y.pixels, &plan.dy_lines, lines)
    before_max_pooling(&plan.pooling, 0, plan.pooling.channels, dy, relu_output, argmax, unpooled)
    return copy_inside(unpooled, NULL, &plan.y, 0, plan.y.pixels, &plan.dy_lines, lines)


cdef void weight_gradient(const BackwardPlan* plan, const float* x_lines, const float* dy_lines, float* v, float* g,
                          bint accumulate, float* du) noexcept nogil:
    """du[p, s] (+)= sum_i v[p, i + s]^T @ g[p, i] of one picture; `v` and `g` take its values at the points."""
    cdef const Taps* taps = &plan.taps
    cdef const Bordered* bx = &plan.x_lines
    cdef const Bordered* bdy = &plan.dy_lines
    cdef Py_ssize_t first = 0, tile, p, tiles, v_step = plan.tiles * bx.line, g_step = plan.tiles * bdy.line
    while first < tiles_of(&plan.y, taps):
        tiles = min(plan.tiles, tiles_of(&plan.y, taps) - first)
        for tile in range(tiles):
            csrc(v).toom_cook_input(taps.along, x_lines + (first + tile) * taps.outputs * bx.line, bx.line, bx.line,
                                    v + tile * bx.line, v_step)
            csrc(g).toom_cook_gradient(taps.along,
                                       dy_lines + (bdy.first_line + (first + tile) * taps.outputs) * bdy.line,
                                       bdy.line, bdy.line, g + tile * bdy.line, g_step)
        for p in range(points_of(taps)):
            csrc(du).gemm(Sizes(plan.rows, plan.dw_row, plan.y.pixels, tiles),
                          Factor(v + p * v_step, 1, plan.x.channels, bx.line),
                          Factor(g + p * g_step + bdy.first_pixel * bdy.pixel, 0, bdy.pixel, bdy.line),
                          du + p * plan.rows * plan.dw_row, plan.dw_row, accumulate or first > 0, NULL, False)
        first += tiles


cdef bint picture_gradients(const BackwardPlan* plan, const float* x, const float* dy, const float* relu_output,
                            const int32_t* argmax, const float* u_flipped, float* room, bint accumulate,
                            float* du, float* dx) noexcept nogil:
    """Add one picture's share to db, which follows du, and to du, or write that; and write its dx unless that is NULL.

    Returns False, having done none of this, if the transforms cannot carry its x or dy.
    """
    cdef const Bordered* bdy = &plan.dy_lines
    cdef float* x_lines = room
    cdef float* dy_lines = x_lines + plan.x_size
    cdef float* v = dy_lines + plan.dy_size
    cdef float* g = v + plan.v_size
    if not (copy_inside(x, NULL, &plan.x, 0, plan.x.pixels, &plan.x_lines, x_lines)
            and copy_gradient(plan, dy, relu_output, argmax, g + plan.g_size, dy_lines)):
        return False
    csrc(du).add_rows(dy_lines, bdy.lines * bdy.line // bdy.pixel, bdy.pixel, bdy.pixel,
                      du + points_of(&plan.taps) * plan.rows * plan.dw_row)
    weight_gradient(plan, x_lines, dy_lines, v, g, accumulate, du)
    if dx != NULL:
        convolve(dy_lines, bdy, bdy.first_line - plan.flipped.pad, bdy.first_pixel - plan.flipped.cross_pad,
                 plan.y.channels, u_flipped, plan.u_row, NULL, &plan.flipped, &plan.x,
                 0, tiles_of(&plan.x, &plan.flipped), False, g, v, dx)
    return True


cdef void leave_points(const BackwardPlan* plan, const float* du, float* dw_rows, float[:, :, :, :] dw,
                       float[::1] db) noexcept nogil:
    """dw[t] = sum_p output'[t, p] du[p], and db, from their sums over the batch; `dw_rows` is a buffer for dw."""
    cdef Py_ssize_t t, s, C = plan.x.channels, row = plan.dw_row, tap = plan.rows * row
    csrc(du).toom_cook_weight_gradient(plan.taps.along, du, tap, tap, dw_rows, tap)
    for t in range(plan.taps.along):
        for s in range(plan.taps.across):
            csrc(du).copy_pixels(dw_rows + t * tap + s * C * row, NULL, C, plan.y.channels, row, &dw[t, s, 0, 0],
                                 plan.y.channels)
    csrc(du).copy_pixels(du + points_of(&plan.taps) * tap, NULL, 1, plan.y.channels, row, &db[0], plan.y.channels)


def conv2d_backward(const float[:, :, :, ::1] dy, const float[:, :, :, ::1] x, const float[:, :, ::1] u_flipped,
                    const float[:, :, :, ::1] relu_output, Taps taps, Windows pooling,
                    const int32_t[:, :, :, ::1] argmax, float[:, :, :, ::1] dx, float[:, :, :, :] dw, float[::1] db,
                    uint8_t[::1] skipped):
    """dw, taps first: (taps, cross taps, Cin, Cout), db, and dx unless it is None.

    `u_flipped`, which only dx needs, is (points, cross taps * Cout, Cin): the transposed weights with all their taps
    in reverse, at the points, its rows padded with zeros to whole vectors.  With `argmax`, `dy` and `relu_output`
    belong to the result of a max pooling, see pooling.pyx.  Returns in how many pictures an argmax is not a tap.
    Pictures whose x or dy the transforms cannot carry add nothing, get no dx, and are marked with 1 in `skipped`.
    """
    cdef:
        Py_ssize_t N = x.shape[0], n, part, wrong = 0, parts = min(N, BATCH_PARTS)
        BackwardPlan plan = backward_plan(&taps, &pooling, argmax is not None, x.shape[1], x.shape[2], x.shape[3],
                                          u_flipped.shape[2] if dx is not None else 0)
        Py_ssize_t room_size = plan.x_size + plan.dy_size + plan.v_size + plan.g_size + plan.unpooled_size
        Py_ssize_t dw_size = taps.along * plan.rows * plan.dw_row
        Py_ssize_t part_size = (points_of(&taps) * plan.rows + 1) * plan.dw_row
        Team team
        int thread
        bint begun
        float* partial
    dw[:, :, :, :] = 0
    db[:] = 0
    if N == 0:
        return 0
    team = gather(threads(), room_size, parts * part_size + dw_size, sizeof(float))
    partial = <float*>team.shared
    hand_out(&team, parts)
    with nogil:
        for thread in prange(team.threads, schedule="static", num_threads=team.threads):
            zero_run(<float*>room_for(&team, thread), plan.x_size + plan.dy_size)
            part = take(&team, thread)
            while part >= 0:
                begun = False                   # whether a picture has written its part of du
                zero_run(partial + (part + 1) * part_size - plan.dw_row, plan.dw_row)
                for n in range(part * N // parts, (part + 1) * N // parts):
                    wrong += plan.pooled and any_outside(&argmax[n, 0, 0, 0], &pooling)
                    skipped[n] = not picture_gradients(
                        &plan, &x[n, 0, 0, 0], &dy[n, 0, 0, 0],
                        &relu_output[n, 0, 0, 0] if relu_output is not None else NULL,
                        &argmax[n, 0, 0, 0] if plan.pooled else NULL, &u_flipped[0, 0, 0] if dx is not None else NULL,
                        <float*>room_for(&team, thread), begun, partial + part * part_size,
                        &dx[n, 0, 0, 0] if dx is not None else NULL)
                    begun = begun or not skipped[n]
                if not begun:
                    zero_run(partial + part * part_size, part_size)
                part = take(&team, thread)
        add_parts(partial, parts, part_size, team.threads)
        leave_points(&plan, partial, partial + parts * part_size, dw, db)
    dismiss(&team)
    return wrong
