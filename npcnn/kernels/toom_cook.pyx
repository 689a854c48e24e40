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

A picture is first copied into lines with zeros all around, so that nothing later asks where the border is.  In
a line the pixels follow one another, and so do the pixels i, i+1, ... that the cross taps of pixel i see: a row
of the matrix product is simply a longer piece of the line.

Threads share out the pictures of a batch and, where there are too few, pieces of them (strips.pxd).

The gradients are in toom_cook_gradients.pyx.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t

from npcnn.kernels.core cimport (
    FLAT_RUN, Factor, Sizes, Team, csrc, dismiss, gather, hand_out, room_for, take, threads_for, whole_cache_lines,
    whole_vectors, zero_run,
)
from npcnn.kernels.strips cimport Cut, Piece, cut_of, piece_of, pieces_of
from npcnn.kernels.windows cimport Windows, output_size, picture_size


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
