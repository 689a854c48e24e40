"""Convolution with 3 x 3 taps and stride 1, by Toom-Cook along both axes: about a quarter of the multiplications.

The result is cut into *bands* of four lines, and these into tiles of four columns; where that leaves a rest, some
bands and tiles have three, so that 7 is 4 + 3.  A tile of 4 x 4 outputs sees 6 x 6 inputs.  By way of their values at
36 points (npcnn/reference/toom_cook.py derives the tables, csrc/toom_cook_2d.inc.c applies them) it takes 36 products
of a pixel's channels with a matrix of weights, where the definition takes 144:

    v[p, tile] = input X input'             the inputs X of a tile at the points p = (row, column)
    u[p]       = kernel W kernel'           the weights at the points, once per call
    m[p, tile] = v[p, tile] @ u[p]          one matrix product a point, over the tiles of several bands
    Y          = output m output'

The weights at a point, C_in x C_out numbers, are read once for all tiles that are multiplied together; so these come
from as many bands, and as many pictures, as the cache takes.  Where there are few tiles for many weights, each thread
takes a part of the channels of y, and so of the weights, and by itself brings to the points all tiles that it needs.

The gradients are in toom_cook_2d_gradients.pyx.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memchr

from npcnn.kernels.core cimport (
    Factor, Sizes, Team, csrc, dismiss, gather, hand_out, room_for, take, threads, whole_cache_lines,
    whole_vectors, zero_run,
)
from npcnn.kernels.tiles cimport (
    POINTS, SIDE, Band, Layout, Picture, Run, Tiling, band_of, channels_of, layout_of, numbers_of, odd_cache_lines,
    picture_of, place, row_of, run_of, size_of, start_of, tiles_in, tiles_of, tiles_with, tiling_of,
)
from npcnn.kernels.windows cimport Windows, picture_size

cdef enum:
    WEIGHT_ROWS = 32                    # rows of a panel of weights that a thread brings to the points at a time


cdef bint copy_lines(const Pictures* pictures, const Picture* picture, Py_ssize_t n, Py_ssize_t top, Py_ssize_t left,
                     Py_ssize_t lines, Py_ssize_t columns, float* to) noexcept nogil:
    """Copy `lines` x `columns` pixels of picture n, from the given line and column on; zeros are all around it.

    Returns whether the transforms can carry its numbers.
    """
    cdef int too_large = 0
    cdef Py_ssize_t i, at, line = columns * picture.pixel, start = (n - pictures.first) * pictures.step
    cdef Py_ssize_t first = max(-left, 0), last = max(min(picture.width - left, columns), first)
    for i in range(lines):
        if pictures.numbers != NULL and 0 <= top + i < picture.height:
            at = start + ((top + i) * picture.width + left + first) * picture.step
            zero_run(to, first * picture.pixel)
            csrc(to).toom_cook_copy(pictures.numbers + at,
                                    pictures.relu_output + at if pictures.relu_output != NULL else NULL,
                                    last - first, picture.channels, picture.step, to + first * picture.pixel,
                                    picture.pixel, &too_large)
            zero_run(to + last * picture.pixel, (columns - last) * picture.pixel)
        else:
            zero_run(to, line)
        to += line
    return not too_large


cdef bint inputs_at_points(const Tiling* t, const Run* run, Py_ssize_t band, const Pictures* x, float* lines,
                           float* v, const Layout* values) noexcept nogil:
    """The tiles of one band; `lines` is a buffer for all that they see.  Returns whether the transforms carry that."""
    cdef Py_ssize_t n = band // tiles_of(&t.down), i = band % tiles_of(&t.down), j, row, chunk, c
    cdef Band tiles = band_of(t, run, band)
    cdef bint carried = copy_lines(x, &t.x, n, start_of(&t.down, i) - t.pad_top, -t.pad_left,
                                   size_of(&t.down, i) + 2, t.columns, lines)
    for j in range(tiles_of(&t.across)):
        row = row_of(t, &tiles, j)
        for chunk in range(values.chunks):
            c = chunk * values.width
            csrc(v).toom_cook_2d_input(size_of(&t.down, i), size_of(&t.across, j),
                                       lines + start_of(&t.across, j) * t.x.pixel + c, t.columns * t.x.pixel,
                                       t.x.pixel, min(values.width, t.x.pixel - c),
                                       v + place(values, chunk, row), values.step)
    return carried


cdef void outputs_of_band(const Convolution* conv, const Run* run, Py_ssize_t band, const float* m, Py_ssize_t m_point,
                          float* y) noexcept nogil:
    """The tiles of one band of the picture y."""
    cdef const Tiling* t = &conv.t
    cdef Py_ssize_t i = band % tiles_of(&t.down), j, line = t.y.width * t.y.step
    cdef Band tiles = band_of(t, run, band)
    y += start_of(&t.down, i) * line
    for j in range(tiles_of(&t.across)):
        csrc(m).toom_cook_2d_output(size_of(&t.down, i), size_of(&t.across, j),
                                    m + row_of(t, &tiles, j) * t.y.pixel, m_point, t.y.channels,
                                    y + start_of(&t.across, j) * t.y.step, line, t.y.step,
                                    t.y.height - start_of(&t.down, i), t.y.width - start_of(&t.across, j),
                                    conv.bias, conv.relu)


cdef void convolve(const Convolution* conv, const Run* run, float* room, float* y, Py_ssize_t y_first,
                   uint8_t* carried) noexcept nogil:
    """The bands of a run; picture n of the result begins at y + (n - y_first) * its size.

    `room` is a buffer for all that a band sees, and for the values and the products of all tiles at the points.
    `carried`, unless it is NULL, says for each band of the batch whether the transforms could carry its numbers.
    """
    cdef const Tiling* t = &conv.t
    cdef Py_ssize_t bands = tiles_of(&t.down), most = (run.last - run.first) * tiles_of(&t.across)
    cdef Py_ssize_t m_point = odd_cache_lines(most * t.y.pixel), band, j, p, first, count, cols
    cdef Layout values = layout_of(t.x.pixel, t.x.pixel, most)
    cdef float* v = room + whole_cache_lines(SIDE * t.columns * t.x.pixel)
    cdef float* m = v + POINTS * values.step
    cdef bint can_be
    for band in range(run.first, run.last):
        can_be = inputs_at_points(t, run, band, &conv.x, room, v, &values)
        if carried != NULL:
            carried[band] = can_be
    for p in range(POINTS):
        tiles_with(t, run, p, &first, &count)
        j = 0
        while j < t.y.pixel:
            cols = min(panel_width(), t.y.pixel - j)
            csrc(m).gemm(Sizes(count, cols, t.x.channels, 1),
                         Factor(v + p * values.step + place(&values, 0, first), t.x.pixel, 1, 0),
                         Factor(conv.u + p * conv.u_point + j * t.x.channels, 0, cols, 0),
                         m + p * m_point + first * t.y.pixel + j, t.y.pixel, False, NULL, False)
            j += cols
    for band in range(run.first, run.last):
        outputs_of_band(conv, run, band, m, m_point, y + (band // bands - y_first) * numbers_of(&t.y))


cdef Py_ssize_t column_pieces(const Tiling* t, Py_ssize_t N, int team) noexcept nogil:
    """Into how many pieces the channels of y are cut, so that the slowest of the threads is done as soon as can be.

    With more pieces, the inputs are brought to the points more often, but of the weights there, which other cores have
    written, a thread fetches less.  Either takes as long for a vector as some sixteen products of vectors.
    """
    cdef Py_ssize_t vector = whole_vectors(1, sizeof(float)), pieces, time, best = 1
    cdef Py_ssize_t rows = t.x.pixel // vector, columns = t.y.pixel // vector, shortest = -1
    for pieces in range(1, min(team, t.y.pixel // panel_width()) + 1):
        time = (N * tiles_in(t) * (t.x.channels * columns + 16 * rows * pieces) // team
                + 16 * t.x.channels * columns // pieces)
        if shortest < 0 or time < shortest:
            shortest, best = time, pieces
    return best


cdef Convolution convolution_of(const Tiling* t, const Pictures* x, const float* u, const float* bias, bint relu,
                                bint pooled, Py_ssize_t N, int team) noexcept nogil:
    """The convolution of N pictures by so many threads; with a pooling, they take whole pictures."""
    cdef Convolution conv
    conv.t, conv.x, conv.u, conv.bias, conv.relu = t[0], x[0], u, bias, relu
    conv.u_point = odd_cache_lines(t.x.channels * t.y.pixel)
    conv.pieces = 1 if pooled else column_pieces(t, N, team)
    conv.together = bands_at_a_time(t, N * tiles_of(&t.down), max(team // conv.pieces, 1))
    return conv


cdef void convolve_piece(const Convolution* conv, Py_ssize_t bands, Py_ssize_t number, Py_ssize_t group, float* room,
                         float* y, uint8_t* carried) noexcept nogil:
    """Of all bands of the batch those of one group, which are multiplied together, and of the channels one piece."""
    cdef Convolution piece = conv[0]
    cdef Run run = run_of(&conv.t, group * conv.together, min((group + 1) * conv.together, bands))
    cdef Py_ssize_t panels = panels_of(conv.t.y.pixel)
    cdef Py_ssize_t first = number * panels // conv.pieces * panel_width()
    piece.t.y = channels_of(&conv.t.y, first, (number + 1) * panels // conv.pieces * panel_width())
    piece.u += first * conv.t.x.channels
    if conv.bias != NULL:
        piece.bias += first
    convolve(&piece, &run, room, y + first, 0, carried if number == 0 else NULL)


cdef void convolve_batch(const Convolution* conv, Py_ssize_t N, const Team* team, float* y,
                         uint8_t* carried) noexcept nogil:
    """N pictures, by all threads, into the pictures at y."""
    cdef Py_ssize_t bands = N * tiles_of(&conv.t.down), groups = (bands + conv.together - 1) // conv.together, item
    cdef int thread
    hand_out(team, conv.pieces * groups)
    for thread in prange(team.threads, schedule="static", num_threads=team.threads):
        item = take(team, thread)
        while item >= 0:
            convolve_piece(conv, bands, item // groups, item % groups, <float*>room_for(team, thread), y, carried)
            item = take(team, thread)


cdef void convolve_pictures(const Convolution* conv, Py_ssize_t first, Py_ssize_t last, float* room, float* y,
                            uint8_t* carried) noexcept nogil:
    """The pictures from `first` to before `last` by one thread, into the pictures at y, the first of which is that."""
    cdef Py_ssize_t bands = tiles_of(&conv.t.down), at = first * bands
    cdef Run run
    while at < last * bands:
        run = run_of(&conv.t, at, min(at + conv.together, last * bands))
        convolve(conv, &run, room, y, first, carried)
        at += conv.together


cdef void convolve_and_pool(const Convolution* conv, const Windows* pooling, Py_ssize_t first, Py_ssize_t last,
                            float* room, float* convolved, float* y, int32_t* argmax,
                            uint8_t* carried) noexcept nogil:
    """The pictures from `first` to before `last` by one thread; `convolved` is a buffer for them before the pooling."""
    cdef Py_ssize_t n, i, row = pooling.out_width * pooling.channels
    convolve_pictures(conv, first, last, room, convolved, carried)
    for n in range(first, last):
        for i in range(pooling.out_height):
            csrc(convolved).max_pool2d_row(convolved + (n - first) * picture_size(pooling), pooling, i,
                                           y + (n * pooling.out_height + i) * row,
                                           argmax + (n * pooling.out_height + i) * row if argmax != NULL else NULL)


def conv2d(const float[:, :, :, ::1] x, const float[:, ::1] u, const float[::1] b, Windows windows, bint relu,
           Windows pooling, bint pooled, float[:, :, :, ::1] y, int32_t[:, :, :, ::1] argmax, uint8_t[::1] skipped):
    """y = x convolved with w, plus b, and then the ReLU if there is one; and then max pooled if asked for.

    `u` are the weights as `weights_at_points` lays them out; `b` may be None, and so may `argmax`, see pooling.pyx.
    Pictures with a number that the transforms cannot carry are marked with 1 in `skipped`; their results are arbitrary.
    """
    cdef:
        Py_ssize_t N = x.shape[0], item, n
        Picture px = picture_of(x.shape[1], x.shape[2], x.shape[3])
        Picture py = picture_of(pooling.height, pooling.width, pooling.channels)
        Tiling t = tiling_of(&px, &py, windows.pad_top, windows.pad_left)
        Pictures pictures
        Convolution conv
        Py_ssize_t bands = tiles_of(&t.down), room, group
        Team team
        int thread
        int32_t* taps = &argmax[0, 0, 0, 0] if argmax is not None and N else NULL
        const float* bias = &b[0] if b is not None else NULL
        float* convolved
        uint8_t* carried
    if N == 0:
        return
    pictures = Pictures(&x[0, 0, 0, 0], NULL, 0, numbers_of(&px))
    conv = convolution_of(&t, &pictures, &u[0, 0], bias, relu, pooled, N, threads())
    room, group = room_of(&t, conv.together), max(1, conv.together // bands)
    team = gather(threads(), room + pooled * group * picture_size(&pooling), whole_cache_lines(N * bands),
                  sizeof(float))
    carried = <uint8_t*>team.shared
    with nogil:
        if not pooled:
            convolve_batch(&conv, N, &team, &y[0, 0, 0, 0], carried)
        else:
            hand_out(&team, (N + group - 1) // group)
            for thread in prange(team.threads, schedule="static", num_threads=team.threads):
                convolved = <float*>room_for(&team, thread) + room
                item = take(&team, thread)
                while item >= 0:
                    convolve_and_pool(&conv, &pooling, item * group, min((item + 1) * group, N), convolved - room,
                                      convolved, &y[0, 0, 0, 0], taps, carried)
                    item = take(&team, thread)
        for n in range(N):
            skipped[n] = memchr(carried + n * bands, 0, bands) != NULL
    dismiss(&team)


def point_size(Py_ssize_t C_in, Py_ssize_t C_out):
    """The numbers from one point to the next in `u`."""
    return odd_cache_lines(C_in * whole_vectors(C_out, sizeof(float)))


cdef int rows_at_points(const float[:, :, :, :] w, Py_ssize_t first, Py_ssize_t last, Py_ssize_t column,
                        Py_ssize_t columns, float* block, float* u, Py_ssize_t u_point) noexcept nogil:
    """Rows of one panel of weights at the points; `block` is a buffer.  Returns whether the transforms carry them."""
    cdef int too_large = 0
    cdef Py_ssize_t tap, k, j, real_columns = min(columns, w.shape[3] - column), size = (last - first) * columns
    zero_run(block, 9 * size)
    for tap in range(9):
        for k in range(first, last):
            for j in range(real_columns):
                block[tap * size + (k - first) * columns + j] = w[tap // 3, tap % 3, k, column + j]
    csrc(block).toom_cook_look(block, 9 * size, &too_large)
    csrc(block).toom_cook_2d_weights(block, size, size, u + first * columns, u_point)
    return not too_large


def weights_at_points(const float[:, :, :, :] w, float[:, ::1] u):
    """u[p] = kernel w kernel', from (3, 3, C_in, C_out), however that lies in memory, to (36, `point_size`).

    The columns of a point are laid out in panels, two vectors wide, as `gemm` reads them; the last may be one vector.
    Returns whether the transforms can carry w.
    """
    cdef Py_ssize_t item, j, first, rows = w.shape[2], columns = whole_vectors(w.shape[3], sizeof(float))
    cdef Py_ssize_t panel = panel_width(), pieces = (rows + WEIGHT_ROWS - 1) // WEIGHT_ROWS, not_carried = 0
    cdef Team team = gather(threads(), 9 * WEIGHT_ROWS * panel, 0, sizeof(float))
    cdef int thread
    hand_out(&team, panels_of(columns) * pieces)
    for thread in prange(team.threads, nogil=True, schedule="static", num_threads=team.threads):
        item = take(&team, thread)
        while item >= 0:
            j = item // pieces * panel
            first = item % pieces * WEIGHT_ROWS
            not_carried += not rows_at_points(w, first, min(first + WEIGHT_ROWS, rows), j, min(panel, columns - j),
                                              <float*>room_for(&team, thread), &u[0, j * rows], u.shape[1])
            item = take(&team, thread)
    dismiss(&team)
    return not not_carried
