"""The gradients of convolution by Toom-Cook along both axes (toom_cook_2d.pyx).

That of the input is the same thing again, dy convolved with the flipped kernel.  That of the weights sums its
products over all tiles before it leaves the points:

    g[p, tile] = gradient dY gradient'
    du[p]     += v[p]^T @ g[p]              and at the very end dw = output' du output'

There the threads share dw out among themselves, so that each sum is formed in the order of the pictures, however many
threads there are.  A thread computes by itself all that its part of dw needs, some of it for the second time: it takes
longer to fetch a number from another core than to make it again.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memchr, memset

from npcnn.kernels.core cimport (
    Factor, Sizes, Team, active, add_parts, csrc, dismiss, gather, hand_out, room_for, take, threads, whole_cache_lines,
    whole_vectors, zero_run,
)
from npcnn.kernels.pooling cimport any_outside, before_max_pooling
from npcnn.kernels.tiles cimport (
    POINTS, SIDE, Band, Layout, Picture, Run, Tiling, band_of, channels_of, layout_of, numbers_of, picture_of, place,
    row_of, run_of, size_of, start_of, tiles_of, tiles_with, tiling_of,
)
from npcnn.kernels.toom_cook_2d cimport (
    Convolution, Pictures, convolution_of, convolve_batch, convolve_pictures, copy_lines, inputs_at_points,
    panel_width, room_of,
)
from npcnn.kernels.windows cimport Windows, output_size, picture_size

cdef enum:
    GRADIENT_TILES = 64                 # tiles whose share of the weight gradient is summed together
    GRADIENT_BYTES = 2400000            # of the sums at the points, those of all parts of the batch together


cdef inline Pictures from_channel(const Pictures* pictures, Py_ssize_t channel) noexcept nogil:
    """The same pictures, whose channels are those from this one on."""
    cdef Pictures others = pictures[0]
    others.numbers += channel
    if others.relu_output != NULL:
        others.relu_output += channel
    return others


cdef inline Py_ssize_t gradient_rows() noexcept nogil:
    """The rows of du[p] that a thread takes at a time: so many columns of v[p] stay in the L1 cache."""
    return max(3 * active().vector_bytes // <Py_ssize_t>sizeof(float), 6)


cdef struct Share:
    # What a thread computes of dw: a piece of it for a part of the batch, that is, of the pictures x and of dy the
    # channels from `x_first` and `y_first` on, which are those of its tiling; their values at the points, and the size
    # of its buffers for lines and for these.
    Py_ssize_t part, piece, x_first, y_first, lines_size, size
    Tiling t
    Layout v, g


cdef struct BackwardPlan:
    # One backward pass: the convolution, and the one of dy with the flipped kernel that gives dx.
    Tiling forward
    Convolution flipped
    Windows pooling
    bint pooled
    # For dw the batch is cut into so many parts, and dw into so many pieces along its rows and its columns, each so
    # many channels.  The tiles of so many bands are summed together.  du has so many numbers from point to point.
    Py_ssize_t parts, row_pieces, column_pieces, rows, columns, bands, du_point
    # For dx a thread takes so many pictures at a time if there is a pooling.
    Py_ssize_t group
    # The room of a thread, the part of it that `convolve` uses, and that of a picture's gradient before the pooling.
    Py_ssize_t room_size, dx_room, unpooled_size


cdef struct Sums:
    # What the threads share: the sums of the products at the points, db of each band, and for each piece of dw which
    # pictures of the batch have, in its channels, numbers that the transforms cannot carry.
    float* du
    float* db
    uint8_t* not_carried


cdef inline Py_ssize_t pieces_of(const BackwardPlan* plan) noexcept nogil:
    """The pieces of dw."""
    return plan.row_pieces * plan.column_pieces


cdef Share share_of(const BackwardPlan* plan, Py_ssize_t number) noexcept nogil:
    cdef Share share
    cdef const Tiling* t = &plan.forward
    cdef Py_ssize_t tiles = plan.bands * tiles_of(&t.across)
    share.t = t[0]
    share.part, share.piece = number // pieces_of(plan), number % pieces_of(plan)
    share.x_first = share.piece // plan.column_pieces * plan.rows
    share.y_first = share.piece % plan.column_pieces * plan.columns
    share.t.x = channels_of(&t.x, share.x_first, share.x_first + plan.rows)
    share.t.y = channels_of(&t.y, share.y_first, share.y_first + plan.columns)
    share.v = layout_of(share.t.x.pixel, gradient_rows(), tiles)
    share.g = layout_of(share.t.y.pixel, panel_width(), tiles)
    share.lines_size = whole_cache_lines(SIDE * t.columns * max(share.t.x.pixel, share.t.y.pixel))
    share.size = share.lines_size + POINTS * (share.v.step + share.g.step)
    return share


cdef void share_out(BackwardPlan* plan, int team) noexcept nogil:
    """Cut dw into pieces for so many threads, so that the slowest is done as soon as can be.

    A piece of so many rows and columns costs a product of each row with each column at every point, and to get there:
    a vector of x as long as eight products of vectors, one of dy, which may have a pooling to go back through, twice
    that.
    """
    cdef Py_ssize_t vector = whole_vectors(1, sizeof(float))
    cdef Py_ssize_t all_rows = plan.forward.x.pixel // vector, all_columns = plan.forward.y.pixel // vector
    cdef Py_ssize_t i, j, rows, columns, time, shortest = -1
    plan.rows, plan.columns = plan.forward.x.pixel, plan.forward.y.pixel
    for i in range(1, min(all_rows, team) + 1):
        for j in range(1, min(all_columns, team) + 1):
            rows, columns = (all_rows + i - 1) // i, (all_columns + j - 1) // j
            time = (plan.parts * i * j + team - 1) // team * (rows * columns * vector + 8 * rows + 16 * columns)
            if shortest < 0 or time < shortest:
                shortest, plan.rows, plan.columns = time, rows * vector, columns * vector
    plan.row_pieces = (plan.forward.x.pixel + plan.rows - 1) // plan.rows
    plan.column_pieces = (plan.forward.y.pixel + plan.columns - 1) // plan.columns


cdef BackwardPlan backward_plan(const Tiling* t, const Pictures* dy, const float* u_flipped, const Windows* pooling,
                                bint pooled, Py_ssize_t N, int team) noexcept nogil:
    cdef BackwardPlan plan
    cdef Share largest
    cdef Tiling flipped = tiling_of(&t.y, &t.x, 2 - t.pad_top, 2 - t.pad_left)
    plan.forward = t[0]
    plan.flipped = convolution_of(&flipped, dy, u_flipped, NULL, False, pooled, N, team)
    plan.pooling, plan.pooled = pooling[0], pooled
    plan.bands = max(1, min(N * tiles_of(&t.down), GRADIENT_TILES // tiles_of(&t.across)))
    plan.du_point = t.x.channels * t.y.pixel
    plan.parts = max(1, min(N, GRADIENT_BYTES // (POINTS * plan.du_point * <Py_ssize_t>sizeof(float))))
    share_out(&plan, team)
    largest = share_of(&plan, 0)
    plan.unpooled_size = pooled * whole_cache_lines(picture_size(pooling) + output_size(pooling))
    plan.group = max(1, plan.flipped.together // tiles_of(&flipped.down))
    plan.dx_room = room_of(&flipped, plan.flipped.together)
    plan.room_size = max(largest.size + plan.unpooled_size, plan.dx_room + plan.group * plan.unpooled_size)
    return plan


cdef inline void take_back(const BackwardPlan* plan, const Pictures* dy, const int32_t* argmax, Py_ssize_t n,
                           Py_ssize_t first, Py_ssize_t count, float* unpooled) noexcept nogil:
    """Write the gradient of picture n before the pooling, so many channels from `first` on."""
    cdef Py_ssize_t at = n * dy.step
    before_max_pooling(&plan.pooling, first, count, dy.numbers + at,
                       dy.relu_output + at if dy.relu_output != NULL else NULL, argmax + at, unpooled)


cdef Py_ssize_t wrong_pictures(const BackwardPlan* plan, Py_ssize_t N, const int32_t* argmax,
                               int team) noexcept nogil:
    """In how many pictures an argmax is not a tap."""
    cdef Py_ssize_t n, wrong = 0, size = output_size(&plan.pooling)
    for n in prange(N, schedule="static", num_threads=team):
        wrong += any_outside(argmax + n * size, &plan.pooling)
    return wrong


cdef bint gradients_at_points(const Share* share, const Run* run, Py_ssize_t band, const Pictures* dy, float* lines,
                              float* g, float* db) noexcept nogil:
    """The tiles of one band of dy, and their sum, unless `db` is NULL; `lines` is a buffer for the band.

    Returns whether the transforms carry its numbers.
    """
    cdef const Tiling* t = &share.t
    cdef Py_ssize_t n = band // tiles_of(&t.down), i = band % tiles_of(&t.down), j, row, chunk, c
    cdef Py_ssize_t columns = t.columns - 2
    cdef Band tiles = band_of(t, run, band)
    cdef bint carried = copy_lines(dy, &t.y, n, start_of(&t.down, i), 0, size_of(&t.down, i), columns, lines)
    for j in range(tiles_of(&t.across)):
        row = row_of(t, &tiles, j)
        for chunk in range(share.g.chunks):
            c = chunk * share.g.width
            csrc(lines).toom_cook_2d_gradient(size_of(&t.down, i), size_of(&t.across, j),
                                              lines + start_of(&t.across, j) * t.y.pixel + c, columns * t.y.pixel,
                                              t.y.pixel, min(share.g.width, t.y.pixel - c),
                                              g + place(&share.g, chunk, row), share.g.step)
    if db != NULL:
        zero_run(db, t.y.pixel)
        csrc(lines).add_rows(lines, size_of(&t.down, i) * columns, t.y.pixel, t.y.pixel, db)
    return carried


cdef void add_products(const BackwardPlan* plan, const Share* share, const Run* run, const float* v, const float* g,
                       float* du, bint accumulate) noexcept nogil:
    """du[p] (+)= v[p]^T @ g[p] over the tiles of a run, for the rows and columns of a share."""
    cdef const Tiling* t = &share.t
    cdef Py_ssize_t p, i, j, row, column, first, count
    du += share.part * POINTS * plan.du_point + share.x_first * plan.forward.y.pixel + share.y_first
    for p in range(POINTS):
        tiles_with(t, run, p, &first, &count)
        for i in range(share.v.chunks):
            row = i * share.v.width
            for j in range(share.g.chunks):
                column = j * share.g.width
                csrc(du).gemm(Sizes(min(share.v.width, t.x.channels - row), min(share.g.width, t.y.pixel - column),
                                    count, 1),
                              Factor(v + p * share.v.step + place(&share.v, i, first), 1, share.v.width, 0),
                              Factor(g + p * share.g.step + place(&share.g, j, first), 0, share.g.width, 0),
                              du + p * plan.du_point + row * plan.forward.y.pixel + column, plan.forward.y.pixel,
                              accumulate, NULL, False)


cdef void weight_gradient(const BackwardPlan* plan, const Share* share, Py_ssize_t N, const Pictures* x,
                          const Pictures* dy, const int32_t* argmax, const uint8_t* skipped, float* room,
                          const Sums* sums) noexcept nogil:
    """One thread's share of the sums at the points, and of db; `room` is its buffer."""
    cdef const Tiling* t = &share.t
    cdef float* v = room + share.lines_size
    cdef float* g = v + POINTS * share.v.step
    cdef float* unpooled = g + POINTS * share.g.step
    cdef float* db
    cdef Py_ssize_t bands = tiles_of(&t.down), band, n, before = -1
    cdef Py_ssize_t first = share.part * N // plan.parts * bands, last = (share.part + 1) * N // plan.parts * bands
    cdef bint begun = False
    cdef uint8_t* not_carried = sums.not_carried + share.piece * N
    cdef Pictures blank = Pictures(NULL, NULL, 0, 0)
    cdef Pictures of_x = from_channel(x, share.x_first), of_dy = from_channel(dy, share.y_first)
    cdef Run run
    while first < last:
        run = run_of(t, first, min(first + plan.bands, last))
        for band in range(run.first, run.last):
            n = band // bands
            if plan.pooled and n != before and not skipped[n]:
                take_back(plan, dy, argmax, n, share.y_first, t.y.channels, unpooled)
                of_dy = Pictures(unpooled + share.y_first, NULL, n, 0)
                before = n
            not_carried[n] |= not inputs_at_points(t, &run, band, &blank if skipped[n] else &of_x, room, v, &share.v)
            db = sums.db + band * plan.forward.y.pixel + share.y_first if share.x_first == 0 else NULL
            not_carried[n] |= not gradients_at_points(share, &run, band, &blank if skipped[n] else &of_dy, room, g, db)
        add_products(plan, share, &run, v, g, sums.du, begun)
        begun = True
        first += plan.bands


cdef void sum_at_points(const BackwardPlan* plan, Py_ssize_t N, const Pictures* x, const Pictures* dy,
                        const int32_t* argmax, const Team* team, const uint8_t* skipped,
                        const Sums* sums) noexcept nogil:
    """All shares of the sums at the points, by all threads."""
    cdef Py_ssize_t number
    cdef int thread
    cdef Share share
    hand_out(team, plan.parts * pieces_of(plan))
    for thread in prange(team.threads, schedule="static", num_threads=team.threads):
        number = take(team, thread)
        while number >= 0:
            share = share_of(plan, number)
            weight_gradient(plan, &share, N, x, dy, argmax, skipped, <float*>room_for(team, thread), sums)
            number = take(team, thread)


cdef void leave_points(const BackwardPlan* plan, const float* du, Py_ssize_t row, float* taps,
                       float* dw) noexcept nogil:
    """dw = output' du output' of one row, the weights of an input channel; `taps` is a buffer for nine."""
    cdef const Tiling* t = &plan.forward
    cdef Py_ssize_t tap
    csrc(du).toom_cook_2d_weight_gradient(du + row * t.y.pixel, plan.du_point, t.y.pixel, taps, t.y.pixel)
    for tap in range(9):
        csrc(du).copy_pixels(taps + tap * t.y.pixel, NULL, 1, t.y.channels, t.y.pixel,
                             dw + (tap * t.x.channels + row) * t.y.channels, t.y.channels)


cdef void take_back_and_convolve(const BackwardPlan* plan, Py_ssize_t first, Py_ssize_t last, const Pictures* dy,
                                 const int32_t* argmax, float* room, float* dx) noexcept nogil:
    """dx of the pictures from `first` to before `last` of a pooling's dy, by one thread; `room` has room for them."""
    cdef Py_ssize_t n
    cdef float* unpooled = room + plan.dx_room
    cdef Convolution flipped = plan.flipped
    flipped.x = Pictures(unpooled, NULL, first, plan.unpooled_size)
    for n in range(first, last):
        take_back(plan, dy, argmax, n, 0, plan.pooling.channels, unpooled + (n - first) * plan.unpooled_size)
    convolve_pictures(&flipped, first, last, room, dx + first * numbers_of(&flipped.t.y), NULL)


cdef void input_gradient(const BackwardPlan* plan, Py_ssize_t N, const Pictures* dy, const int32_t* argmax,
                         const Team* team, float* dx) noexcept nogil:
    cdef Py_ssize_t item
    cdef int thread
    if not plan.pooled:
        convolve_batch(&plan.flipped, N, team, dx, NULL)
        return
    hand_out(team, (N + plan.group - 1) // plan.group)
    for thread in prange(team.threads, schedule="static", num_threads=team.threads):
        item = take(team, thread)
        while item >= 0:
            take_back_and_convolve(plan, item * plan.group, min((item + 1) * plan.group, N), dy, argmax,
                                   <float*>room_for(team, thread), dx)
            item = take(team, thread)


def conv2d_backward(const float[:, :, :, ::1] dy, const float[:, :, :, ::1] x, const float[:, ::1] u_flipped,
                    const float[:, :, :, ::1] relu_output, Windows windows, Windows pooling,
                    const int32_t[:, :, :, ::1] argmax, float[:, :, :, ::1] dx, float[:, :, :, ::1] dw, float[::1] db,
                    uint8_t[::1] skipped):
    """dw, (3, 3, C_in, C_out), db, and dx unless it is None.

    `u_flipped`, which only dx needs, are the transposed weights with all their taps in reverse, as `weights_at_points`
    lays them out.  With `argmax`, `dy` and `relu_output` belong to the result of a max pooling, see pooling.pyx.
    Returns in how many pictures an argmax is not a tap.  Pictures whose x or dy the transforms cannot carry add
    nothing, get an arbitrary dx, and are marked with 1 in `skipped`.
    """
    cdef:
        Py_ssize_t N = x.shape[0], row, number, wrong = 0
        Team team
        int thread
        Picture px = picture_of(x.shape[1], x.shape[2], x.shape[3])
        Picture py = picture_of(pooling.height, pooling.width, pooling.channels)
        Tiling t = tiling_of(&px, &py, windows.pad_top, windows.pad_left)
        Py_ssize_t bands = N * tiles_of(&t.down)
        const float* mask = &relu_output[0, 0, 0, 0] if relu_output is not None and N else NULL
        const float* u = &u_flipped[0, 0] if dx is not None else NULL
        const int32_t* taps = &argmax[0, 0, 0, 0] if argmax is not None and N else NULL
        Pictures pictures, gradients
        BackwardPlan plan
        Sums sums
    dw[:, :, :, :] = 0
    db[:] = 0
    skipped[:] = 0
    if N == 0:
        return 0
    pictures = Pictures(&x[0, 0, 0, 0], NULL, 0, numbers_of(&px))
    gradients = Pictures(&dy[0, 0, 0, 0], mask, 0, output_size(&pooling))
    plan = backward_plan(&t, &gradients, u, &pooling, argmax is not None, N, threads())
    team = gather(threads(), plan.room_size,
                  plan.parts * POINTS * plan.du_point + bands * py.pixel + whole_cache_lines(pieces_of(&plan) * N),
                  sizeof(float))
    sums.du = <float*>team.shared
    sums.db = sums.du + plan.parts * POINTS * plan.du_point
    sums.not_carried = <uint8_t*>(sums.db + bands * py.pixel)
    with nogil:
        if plan.pooled:
            wrong = wrong_pictures(&plan, N, taps, team.threads)
        memset(sums.not_carried, 0, pieces_of(&plan) * N)
        sum_at_points(&plan, N, &pictures, &gradients, taps, &team, &skipped[0], &sums)
        for number in range(pieces_of(&plan) * N):
            skipped[number % N] |= sums.not_carried[number]
        # Numbers that the transforms cannot carry are rare: they are met on the way, and then all begins once more.
        if memchr(&skipped[0], True, N) != NULL:
            sum_at_points(&plan, N, &pictures, &gradients, taps, &team, &skipped[0], &sums)
        if dx is not None:
            input_gradient(&plan, N, &gradients, taps, &team, &dx[0, 0, 0, 0])
        add_parts(sums.du, plan.parts, POINTS * plan.du_point, team.threads)
        hand_out(&team, px.channels)
        for thread in prange(team.threads, schedule="static", num_threads=team.threads):
            row = take(&team, thread)
            while row >= 0:
                leave_points(&plan, sums.du, row, <float*>room_for(&team, thread), &dw[0, 0, 0, 0])
                row = take(&team, thread)
        csrc(sums.db).add_rows(sums.db, bands, py.channels, py.pixel, &db[0])
    dismiss(&team)
    return wrong
