"""The gradients of convolution by Toom-Cook along one axis (toom_cook.pyx).

That of the input is the same thing again, dy convolved with the flipped kernel.  That of the weights sums its
products over tiles and pictures before it ever leaves the points:

    g[p, i] = sum_l gradient[p, l] dy[T*tile + l, i]
    du[p, s] += sum_i v[p, i + s - cross_pad]^T @ g[p, i]  and at the very end dw[t] = sum_p output'[t, p] du[p]

Threads share out parts of the batch.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint8_t

from npcnn.kernels.core cimport (
    BATCH_PARTS, Factor, Sizes, Team, add_parts, csrc, dismiss, gather, hand_out, room_for, take, threads,
    whole_cache_lines, whole_vectors, zero_run,
)
from npcnn.kernels.pooling cimport any_outside, before_max_pooling
from npcnn.kernels.toom_cook cimport (
    PIXELS, Bordered, Picture, Taps, bordered_input, convolve, copy_inside, picture_of, points_of, tiles_of,
)
from npcnn.kernels.windows cimport Windows, output_size, picture_size

cdef enum:
    TILES_BYTES = 256 * 1024            # bytes of values at the points that the weight gradient keeps at a time
    TILES_PIXELS = 1024                 # pixels it sums in a register before it adds the sum, rounded, to the others


cdef inline Taps flipped(const Taps* taps) noexcept nogil:
    """The kernel of the input gradient: the same taps from the other end."""
    return Taps(taps.along_height, taps.along, taps.along - 1 - taps.pad, taps.across, taps.across - 1 - taps.cross_pad,
                taps.outputs)


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
