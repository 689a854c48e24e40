"""Depthwise convolution: as many groups as channels, each channel convolved by itself.

    y[i, j, c] = relu(b[c] + sum of x[i*s + kh*d - p, j*s + kw*d - p, c] * w[kh, kw, c] over the taps in the picture)
    dw[kh, kw, c] = sum_i sum_j x[i*s + kh*d - p, j*s + kw*d - p, c] * dy[i, j, c]
    dx[i*s + kh*d - p, j*s + kw*d - p, c] += dy[i, j, c] * w[kh, kw, c]

With a stride of 1, dx is a depthwise convolution too, that of dy with the kernel turned by half a circle: written the
other way round, the last line says that pixel r gets dy[r + k*d - (K-1)*d + p] * w[K-1 - k].

A row of output pixels is one run in the middle, where all taps of a row lie inside the picture, and single pixels at
both ends.  Threads take output rows forward.  A result that is larger than the caches goes past them, row by row.
Backward, threads take pictures, so that a picture, and dy without what the ReLU stopped, are in the cache for dw and
again for dx.
"""
from cython.parallel cimport prange

from npcnn.kernels.core cimport (
    BATCH_PARTS, Taps, Team, active, add_parts, csrc, dismiss, gather, hand_out, past_caches, real, room_for,
    take, threads, whole_cache_lines, zero_run,
)
from npcnn.kernels.windows cimport (
    Axis, Windows, height_of, picture_size, position, taps_inside, width_of, windows_inside,
)

# Pixels that one product for dw sums over before it is added to the others: longer sums round too much.
cdef enum:
    SUM_PIXELS = 256


# Whether a kernel of three columns lies on every pixel of a row, as the inner loops for such rows need it, and which
# taps the first and the last pixel lack.
cdef struct ThreeColumns:
    bint fits
    int lacks_left, lacks_right


cdef ThreeColumns three_columns(const Windows* w, Py_ssize_t itemsize) noexcept nogil:
    cdef:
        Py_ssize_t right = w.out_width - w.pad_left + 2 - w.width
        Py_ssize_t vector = max(active().vector_bytes // itemsize, 1)
        bint usual = w.size_w == 3 and w.stride_w == w.dilation_w == 1
    return ThreeColumns(usual and 0 <= w.pad_left <= 1 and right <= 1 and 6 <= w.out_width <= SUM_PIXELS
                        and w.channels % vector == 0, w.pad_left == 1, right == 1)


cdef void output_row(const real* x, const real* w, Py_ssize_t w_row, Py_ssize_t w_col, const real* bias,
                     const Windows* windows, Py_ssize_t i, bint relu, real* y) noexcept nogil:
    """Row i of y.  The weights of a tap are `w_row` and `w_col` numbers from those below and right of it."""
    cdef:
        Py_ssize_t j = 0, count, kh, kh_end, kw, kw_end, inner, inner_end, unused, C = windows.channels
        Axis vertical = height_of(windows), horizontal = width_of(windows)
        Taps taps = Taps(0, 0, windows.dilation_h * windows.width * C, windows.dilation_w * C, w_row, w_col)
        ThreeColumns three = three_columns(windows, sizeof(real))
    taps_inside(&vertical, i, &kh, &kh_end)
    taps.rows = kh_end - kh
    if three.fits and taps.rows:
        csrc(y).depthwise_three_columns(
            x + (position(&vertical, i, kh) * windows.width + three.lacks_left - windows.pad_left) * C, taps,
            w + kh * w_row, bias, relu, three.lacks_left, three.lacks_right, windows.out_width, C, y)
        return
    windows_inside(&horizontal, 0, &inner, &unused)
    windows_inside(&horizontal, windows.size_w - 1, &unused, &inner_end)
    while j < windows.out_width:
        count = inner_end - inner if j == inner and inner < inner_end else 1
        taps_inside(&horizontal, j, &kw, &kw_end)
        taps.cols = kw_end - kw
        csrc(y).depthwise(
            x + (position(&vertical, i, kh) * windows.width + position(&horizontal, j, kw)) * C,
            windows.stride_w * C, taps, w + kh * w_row + kw * w_col, bias, relu, count, C, y + j * C)
        j += count


cdef void weight_gradient_row(const real* dy, const real* x, const Windows* windows, Py_ssize_t i,
                              real* dw) noexcept nogil:
    """dw += the products of row i of `dy`, a picture."""
    cdef:
        Py_ssize_t j, j_end, count, kh, kh_end, kw, C = windows.channels
        Axis vertical = height_of(windows), horizontal = width_of(windows)
        ThreeColumns three = three_columns(windows, sizeof(real))
    taps_inside(&vertical, i, &kh, &kh_end)
    if three.fits and windows.size_h == kh_end - kh == 3:
        csrc(dw).depthwise_3x3_weights(
            x + (position(&vertical, i, 0) * windows.width + three.lacks_left - windows.pad_left) * C,
            Taps(3, 3, windows.dilation_h * windows.width * C, C, 3 * C, C), dy + i * windows.out_width * C,
            three.lacks_left, three.lacks_right, windows.out_width, C, dw)
        return
    while kh < kh_end:
        for kw in range(windows.size_w):
            windows_inside(&horizontal, kw, &j, &j_end)
            while j < j_end:
                count = min(j_end - j, SUM_PIXELS)
                csrc(dw).depthwise_weights(
                    x + (position(&vertical, i, kh) * windows.width + position(&horizontal, j, kw)) * C,
                    windows.stride_w * C, dy + (i * windows.out_width + j) * C, count, C,
                    dw + (kh * windows.size_w + kw) * C)
                j += count
        kh += 1


cdef void spread(const real* dy, const real* w, const Windows* windows, real* dx) noexcept nogil:
    """dx of one picture, tap by tap."""
    cdef:
        Py_ssize_t i, j, j_end, kh, kh_end, kw, C = windows.channels
        Axis vertical = height_of(windows), horizontal = width_of(windows)
    zero_run(dx, picture_size(windows))
    for i in range(windows.out_height):
        taps_inside(&vertical, i, &kh, &kh_end)
        while kh < kh_end:
            for kw in range(windows.size_w):
                windows_inside(&horizontal, kw, &j, &j_end)
                if j < j_end:
                    csrc(dx).depthwise_spread(
                        dy + (i * windows.out_width + j) * C, w + (kh * windows.size_w + kw) * C, j_end - j, C,
                        dx + (position(&vertical, i, kh) * windows.width + position(&horizontal, j, kw)) * C,
                        windows.stride_w * C)
            kh += 1


cdef inline void write_row(const real* x, const real* w, Py_ssize_t w_row, Py_ssize_t w_col, const real* bias,
                           const Windows* windows, Py_ssize_t i, bint relu, real* room, bint streamed,
                           real* y) noexcept nogil:
    """Row i of y at `y`: at once, or by way of `room`, which is in the cache, past the caches."""
    output_row(x, w, w_row, w_col, bias, windows, i, relu, room if streamed else y)
    if streamed:
        csrc(y).copy_past_caches(room, y, windows.out_width * windows.channels)


cdef inline Windows turned(const Windows* w) noexcept nogil:
    """Where the turned kernel lies on dy, for a stride of 1."""
    return Windows(w.out_height, w.out_width, w.channels, w.size_h, w.size_w, 1, 1, w.dilation_h, w.dilation_w,
                   (w.size_h - 1) * w.dilation_h - w.pad_top, 0, (w.size_w - 1) * w.dilation_w - w.pad_left, 0,
                   w.height, w.width)


def conv2d(const real[:, :, :, ::1] x, const real[:, ::1] w, const real[::1] b, Windows windows, bint relu,
           real[:, :, :, ::1] y):
    """y = each channel of x convolved with its column of w, (KH*KW, C), plus b, which may be None; then the ReLU."""
    cdef:
        const real* bias = &b[0] if b is not None else NULL
        Py_ssize_t item, n, i, C = x.shape[3], row = whole_cache_lines(windows.out_width * C)
        bint streamed = past_caches(x.shape[0] * windows.out_height * windows.out_width * C * sizeof(real))
        Team team = gather(threads(), row, 0, sizeof(real))
        int thread
    hand_out(&team, x.shape[0] * windows.out_height)
    for thread in prange(team.threads, nogil=True, schedule="static", num_threads=team.threads):
        item = take(&team, thread)
        while item >= 0:
            n = item // windows.out_height
            i = item % windows.out_height
            write_row(&x[n, 0, 0, 0], &w[0, 0], windows.size_w * C, C, bias, &windows, i, relu,
                      <real*>room_for(&team, thread), streamed, &y[n, i, 0, 0])
            item = take(&team, thread)
    dismiss(&team)


cdef void picture_backward(const real* dy, const real* x, const real* w, const Windows* windows, real* row_of_dx,
                           real* dx, bint streamed, real* dw) noexcept nogil:
    """Gradients of one picture: dw and below it db grow, dx is written unless it is NULL."""
    cdef:
        Py_ssize_t i, C = windows.channels, K = windows.size_h * windows.size_w
        Windows back = turned(windows)
    for i in range(windows.out_height):
        weight_gradient_row(dy, x, windows, i, dw)
    csrc(dw).add_rows(dy, windows.out_height * windows.out_width, C, C, dw + K * C)
    if dx == NULL:
        return
    if windows.stride_h == windows.stride_w == 1:
        for i in range(windows.height):
            write_row(dy, w + (K - 1) * C, -windows.size_w * C, -C, <const real*>NULL, &back, i, False, row_of_dx,
                      streamed, dx + i * windows.width * C)
    else:
        spread(dy, w, windows, dx)


def conv2d_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, ::1] w,
                    const real[:, :, :, ::1] relu_output, Windows windows,
                    real[:, :, :, ::1] dx, real[:, ::1] dw, real[::1] db):
    """Gradients of `conv2d`: dw (KH*KW, C) and db summed over the batch, and dx unless it is None.

    With `relu_output`, the result of the forward pass, dy counts only where that is positive.
    """
    cdef:
        Py_ssize_t N = x.shape[0], C = x.shape[3], K = w.shape[0], pixels = windows.out_height * windows.out_width
        # The room of one thread: a row of dx, and dy of a picture without what the ReLU stopped.
        Py_ssize_t row = whole_cache_lines(windows.width * C)
        Py_ssize_t room = row + (whole_cache_lines(pixels * C) if relu_output is not None else 0)
        # What a part sums: dw and below it db.
        Py_ssize_t part_size = whole_cache_lines((K + 1) * C), parts = min(N, BATCH_PARTS), part, n
        bint streamed = dx is not None and past_caches(N * picture_size(&windows) * sizeof(real))
        Team team
        int thread
        real* partial
        real* dw_part
        real* row_of_dx
        const real* dy_picture
    dw[:, :] = 0
    db[:] = 0
    if N == 0:
        return
    team = gather(threads(), room, parts * part_size, sizeof(real))
    partial = <real*>team.shared
    hand_out(&team, parts)
    with nogil:
        for thread in prange(team.threads, schedule="static", num_threads=team.threads):
            row_of_dx = <real*>room_for(&team, thread)
            part = take(&team, thread)
            while part >= 0:
                dw_part = partial + part * part_size
                zero_run(dw_part, part_size)
                for n in range(part * N // parts, (part + 1) * N // parts):
                    dy_picture = &dy[n, 0, 0, 0]
                    if relu_output is not None:
                        csrc(partial).relu_backward(dy_picture, &relu_output[n, 0, 0, 0], row_of_dx + row, pixels * C)
                        dy_picture = row_of_dx + row
                    picture_backward(dy_picture, &x[n, 0, 0, 0], &w[0, 0], &windows, row_of_dx,
                                     &dx[n, 0, 0, 0] if dx is not None else NULL, streamed, dw_part)
                part = take(&team, thread)
        add_parts(partial, parts, part_size, team.threads)
        csrc(partial).copy_pixels(partial, NULL, K, C, C, &dw[0, 0], C)
        csrc(partial).copy_pixels(partial + K * C, NULL, 1, C, C, &db[0], C)
    dismiss(&team)
