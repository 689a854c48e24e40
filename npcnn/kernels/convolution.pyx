"""Convolution with all the multiplications of its definition, as matrix products: algorithm="im2col".

Write the receptive field of every output pixel as one row of a matrix, in the order of the weights,
and convolution becomes a matrix product:

    columns[pixel, (kh*KW + kw)*Cin + c] = x[i*s + kh*d - p, j*s + kw*d - p, c]         (im2col)
    y = columns @ w            (pixels, K) @ (K, Cout),   K = KH*KW*Cin

(s, d and p are the stride, the dilation and the padding at the top or left.) The matrix of a batch would be KH*KW times
as large as x.  But in NHWC the KW*Cin numbers under one row of the kernel lie side by side, and those of the next
output pixel begin stride*Cin further on.  With zeros to the left and right of every line of the picture, the part of
`columns` that belongs to kernel row kh and output line i *is* that line, read with rows that overlap:

    columns[j, kh, :] = lines[i*s + kh*d - p][j*s*Cin : j*s*Cin + KW*Cin]

The matrix product takes its left factor by steps, so it reads that straight from the line, and sums over the
kernel rows that fall inside the picture.  (With a dilation along the width the KW taps are runs of their own.)

The gradients are two more products.  Instead of col2im, dx is added up tap by tap, where no two rows overlap:

    dw[kh] = sum_i columns_i[kh]^T @ dy[i]               (KW*Cin, Wout) @ (Wout, Cout)
    dx[i*s + kh*d - p, j*s + kw*d - p] += dy[i, j] @ w[kh, kw]^T

A kernel with one side of 1, a K x 1 or a 1 x K, needs no copy.  Take the picture as lines *across* the axis that it
moves along, its rows or its columns; then output line i is a sum of whole lines, x[.] of (pixels, Cin), over taps t:

    y[i] = relu(b + sum_t x[i*s + t*d - p] @ w[t])
    dw[t] = sum_i x[i*s + t*d - p]^T @ dy[i]
    dx[i*s + t*d - p] += dy[i] @ w[t]^T

A tap that falls outside the picture is left out of these sums: that is what padding with zeros means.

With groups, a block of the output channels sees one block of the input channels.  The products are those of one block
after the other, each between the same steps from pixel to pixel: those of all channels.
"""
from cython.parallel cimport prange

from npcnn.kernels.core cimport (
    BATCH_PARTS, Factor, Sizes, Team, add_parts, csrc, dismiss, gather, hand_out, real, room_for, take, threads,
    threads_for, whole_cache_lines, whole_vectors, zero_run,
)
from npcnn.kernels.windows cimport (
    Axis, Windows, height_of, position, taps_inside, width_of, windows_inside,
)

# Bytes of the lines a thread copies at a time: half of a small L2 cache, so that the weights have room beside them.
cdef enum:
    LINES_BYTES = 128 * 1024
    # Pixels that one product for dw sums over before it is added to the others: longer sums round too much.
    SUM_PIXELS = 1024


cdef struct Group:
    # Channels of one group, in and out, and those of all groups: the numbers from pixel to pixel in x and in y.
    Py_ssize_t Cin, Cout, x_pixel, y_pixel


# --- One side of the kernel is 1: lines across the other axis, no copy.

cdef struct Lines:
    # The axis that the kernel moves along, the pixels of a line across it, and how many pixels further on the next
    # line and the next pixel of a line begin, in x and in y.
    Axis axis
    Py_ssize_t pixels, x_line, x_pixel, y_line, y_pixel


cdef inline bint one_sided(const Windows* w, Lines* lines) noexcept nogil:
    """Whether one side of the kernel is 1, with neither stride nor padding along that axis; if so, fill in `lines`."""
    if w.size_w == 1 and w.stride_w == 1 and w.pad_left == 0 and w.out_width == w.width:
        lines.axis = height_of(w)
        lines.pixels, lines.x_line, lines.x_pixel, lines.y_line, lines.y_pixel = w.width, w.width, 1, w.width, 1
        return True
    if w.size_h == 1 and w.stride_h == 1 and w.pad_top == 0 and w.out_height == w.height:
        lines.axis = width_of(w)
        lines.pixels, lines.x_line, lines.x_pixel, lines.y_line, lines.y_pixel = w.height, 1, w.width, 1, w.out_width
        return True
    return False


cdef void one_sided_forward(const real* x, const real* w, Py_ssize_t w_row, const real* bias, Group group,
                            const Lines* lines, Py_ssize_t i, bint relu, real* y) noexcept nogil:
    """y[i] = relu(b + sum_t x[i*s + t*d - p] @ w[t]) over the taps inside the picture."""
    cdef Py_ssize_t t, t_end, x_line = lines.x_line * group.x_pixel
    taps_inside(&lines.axis, i, &t, &t_end)
    csrc(y).gemm(Sizes(lines.pixels, group.Cout, group.Cin, t_end - t),
                 Factor(x + position(&lines.axis, i, t) * x_line,
                        lines.x_pixel * group.x_pixel, 1, lines.axis.dilation * x_line),
                 Factor(w + t * group.Cin * w_row, 0, w_row, group.Cin * w_row),
                 y + i * lines.y_line * group.y_pixel, lines.y_pixel * group.y_pixel, False, bias, relu)


cdef void one_sided_weight_gradient(const real* dy, Py_ssize_t dy_row, const real* x, Group group,
                                    const Lines* lines, real* dw) noexcept nogil:
    """dw[t] += sum_i x[i*s + t*d - p]^T @ dy[i] of one picture; the rows of dw are as long as those of dy."""
    cdef Py_ssize_t i, i_end, count, t, at_once = max(SUM_PIXELS // lines.pixels, 1)
    cdef Py_ssize_t x_line = lines.x_line * group.x_pixel
    for t in range(lines.axis.taps):
        windows_inside(&lines.axis, t, &i, &i_end)
        while i < i_end:
            count = min(i_end - i, at_once)
            csrc(dw).gemm(Sizes(group.Cin, dy_row, count, lines.pixels),
                          Factor(x + position(&lines.axis, i, t) * x_line,
                                 1, lines.axis.stride * x_line, lines.x_pixel * group.x_pixel),
                          Factor(dy + i * lines.y_line * dy_row, 0, lines.y_line * dy_row, lines.y_pixel * dy_row),
                          dw + t * group.Cin * dy_row, dy_row, True, NULL, False)
            i += count


cdef void one_sided_input_gradient(const real* dy, Py_ssize_t dy_row, const real* w_transposed, Py_ssize_t w_row,
                                   Group group, const Lines* lines, real* dx) noexcept nogil:
    """dx[i*s + t*d - p] += dy[i] @ w[t]^T of one picture."""
    cdef Py_ssize_t i, i_end, t
    for t in range(lines.axis.taps):
        windows_inside(&lines.axis, t, &i, &i_end)
        while i < i_end:
            csrc(dx).gemm(Sizes(lines.pixels, group.Cin, group.Cout, 1),
                          Factor(dy + i * lines.y_line * dy_row, lines.y_pixel * dy_row, 1, 0),
                          Factor(w_transposed + t * group.Cout * w_row, 0, w_row, 0),
                          dx + position(&lines.axis, i, t) * lines.x_line * group.x_pixel,
                          lines.x_pixel * group.x_pixel, True, NULL, False)
            i += 1


# --- Any kernel: the rows of the picture as lines, with zeros at both ends, read as rows of `columns`.

cdef inline Py_ssize_t pixels_of_line(const Windows* w) noexcept nogil:
    """Pixels of a line with its zeros, from the first to the last that a window sees."""
    return (w.out_width - 1) * w.stride_w + (w.size_w - 1) * w.dilation_w + 1


cdef inline Py_ssize_t pixels_inside(const Windows* w) noexcept nogil:
    """How many of them are the picture's own; these begin at pad_left."""
    return max(min(w.width, pixels_of_line(w) - w.pad_left), 0)


cdef inline Py_ssize_t lines_of_block(const Windows* w, Py_ssize_t itemsize, Py_ssize_t pictures) noexcept nogil:
    """Output lines whose input lines a thread copies at a time: at least one, and so few that no thread gets none."""
    cdef Py_ssize_t line = pixels_of_line(w) * w.channels * itemsize
    cdef Py_ssize_t in_cache = (LINES_BYTES // line - (w.size_h - 1) * w.dilation_h) // w.stride_h
    return max(min(in_cache, w.out_height, pictures * w.out_height // threads()), 1)


cdef void copy_lines(const real* x, Py_ssize_t x_pixel, const Windows* w, Py_ssize_t first, Py_ssize_t last,
                     real* lines) noexcept nogil:
    """Copy the input lines from `first` to before `last` between their zeros, leaving out those outside the picture."""
    cdef Py_ssize_t i, C = w.channels, line = pixels_of_line(w) * C
    for i in range(max(first, 0), min(last, w.height)):
        csrc(x).copy_pixels(x + i * w.width * x_pixel, NULL, pixels_inside(w), C, x_pixel,
                            lines + (i - first) * line + w.pad_left * C, C)


cdef void im2col_forward(const real* lines, Py_ssize_t first_line, const real* w, Py_ssize_t w_row, const real* bias,
                         Group group, const Windows* windows, Py_ssize_t first, Py_ssize_t last, bint relu,
                         real* y) noexcept nogil:
    """y of the output lines from `first` to before `last`; `lines` begins with the input line `first_line`."""
    cdef Py_ssize_t i, kh, kh_end, run, C = windows.channels, line = pixels_of_line(windows) * C
    cdef Py_ssize_t runs = 1 if windows.dilation_w == 1 else windows.size_w, tap_row = windows.size_w * C
    cdef Axis vertical = height_of(windows)
    for i in range(first, last):
        taps_inside(&vertical, i, &kh, &kh_end)
        for run in range(runs):                                 # y[i] = sum_kh columns[kh] @ w[kh]
            csrc(y).gemm(Sizes(windows.out_width, group.Cout, tap_row // runs, kh_end - kh),
                         Factor(lines + (position(&vertical, i, kh) - first_line) * line + run * windows.dilation_w * C,
                                windows.stride_w * C, 1, windows.dilation_h * line),
                         Factor(w + (kh * tap_row + run * C) * w_row, 0, w_row, tap_row * w_row),
                         y + i * windows.out_width * group.y_pixel, group.y_pixel, run > 0,
                         bias if run == 0 else NULL, relu and run == runs - 1)


cdef void im2col_weight_gradient(const real* dy, Py_ssize_t dy_row, const real* lines, const Windows* windows,
                                 real* dw) noexcept nogil:
    """dw[kh] += sum_i columns_i[kh]^T @ dy[i] of one picture; the rows of dw are as long as those of dy."""
    cdef Py_ssize_t i, i_end, count, kh, run, C = windows.channels, line = pixels_of_line(windows) * C
    cdef Py_ssize_t runs = 1 if windows.dilation_w == 1 else windows.size_w, tap_row = windows.size_w * C
    cdef Py_ssize_t at_once = max(SUM_PIXELS // windows.out_width, 1)
    cdef Axis vertical = height_of(windows)
    for kh in range(windows.size_h):
        windows_inside(&vertical, kh, &i, &i_end)
        while i < i_end:
            count = min(i_end - i, at_once)
            for run in range(runs):
                csrc(dw).gemm(Sizes(tap_row // runs, dy_row, windows.out_width, count),
                              Factor(lines + position(&vertical, i, kh) * line + run * windows.dilation_w * C,
                                     1, windows.stride_w * C, windows.stride_h * line),
                              Factor(dy + i * windows.out_width * dy_row, 0, dy_row, windows.out_width * dy_row),
                              dw + (kh * tap_row + run * C) * dy_row, dy_row, True, NULL, False)
            i += count


cdef void im2col_input_gradient(const real* dy, Py_ssize_t dy_row, const real* w_transposed, Py_ssize_t w_row,
                                Py_ssize_t Cout, const Windows* windows, real* lines) noexcept nogil:
    """Add dy[i] @ w[kh, kw]^T of one picture to the pixels that tap sees; a pixel of `lines` is `w_row` numbers."""
    cdef Py_ssize_t i, i_end, kh, kw, line = pixels_of_line(windows) * w_row
    cdef Axis vertical = height_of(windows)
    for kh in range(windows.size_h):
        windows_inside(&vertical, kh, &i, &i_end)
        while i < i_end:
            for kw in range(windows.size_w):
                csrc(lines).gemm(Sizes(windows.out_width, w_row, Cout, 1),
                                 Factor(dy + i * windows.out_width * dy_row, dy_row, 1, 0),
                                 Factor(w_transposed + (kh * windows.size_w + kw) * Cout * w_row, 0, w_row, 0),
                                 lines + position(&vertical, i, kh) * line + kw * windows.dilation_w * w_row,
                                 windows.stride_w * w_row, True, NULL, False)
            i += 1


cdef void zero_pixels(real* x, Py_ssize_t pixels, Py_ssize_t channels, Py_ssize_t pixel) noexcept nogil:
    """Set the first `channels` of pixels that lie `pixel` numbers apart to 0."""
    cdef Py_ssize_t i
    if channels == pixel:
        zero_run(x, pixels * channels)
        return
    for i in range(pixels):
        zero_run(x + i * pixel, channels)


cdef void copy_out(const real* lines, Py_ssize_t pixel, const Windows* windows, real* dx,
                   Py_ssize_t dx_pixel) noexcept nogil:
    """Copy dx of one picture from between its zeros; pixels right of the last window get 0."""
    cdef Py_ssize_t i, C = windows.channels, inside = pixels_inside(windows)
    for i in range(windows.height):
        csrc(dx).copy_pixels(lines + (i * pixels_of_line(windows) + windows.pad_left) * pixel, NULL, inside, C, pixel,
                             dx + i * windows.width * dx_pixel, dx_pixel)
        zero_pixels(dx + (i * windows.width + inside) * dx_pixel, windows.width - inside, C, dx_pixel)


# --- Batches of pictures.

cdef one_sided_batch(const real[:, :, :, ::1] x, const real[:, :, ::1] w, const real* bias, Group group,
                     const Lines* lines, bint relu, real[:, :, :, ::1] y):
    cdef Py_ssize_t item, n, i, g, groups = w.shape[0], windows = lines.axis.windows
    cdef Py_ssize_t pieces = x.shape[0] * windows * groups
    cdef Team team = gather(threads_for(pieces), 0, 0, sizeof(real))
    cdef int thread
    hand_out(&team, pieces)
    for thread in prange(team.threads, nogil=True, schedule="static", num_threads=team.threads):
        item = take(&team, thread)
        while item >= 0:
            g = item % groups
            i = item // groups % windows
            n = item // groups // windows
            one_sided_forward(&x[n, 0, 0, g * group.Cin], &w[g, 0, 0], w.shape[2], of_group(bias, g * group.Cout),
                              group, lines, i, relu, &y[n, 0, 0, g * group.Cout])
            item = take(&team, thread)
    dismiss(&team)


cdef im2col_batch(const real[:, :, :, ::1] x, const real[:, :, ::1] w, const real* bias, Group group, Windows windows,
                  bint relu, real[:, :, :, ::1] y):
    cdef:
        Py_ssize_t item, n, g, first, last, first_line, groups = w.shape[0]
        Py_ssize_t block = lines_of_block(&windows, sizeof(real), x.shape[0] * groups)
        Py_ssize_t blocks = (windows.out_height + block - 1) // block, pieces = x.shape[0] * blocks * groups
        Py_ssize_t reach = (windows.size_h - 1) * windows.dilation_h + 1
        Py_ssize_t room = whole_cache_lines(
            ((block - 1) * windows.stride_h + reach) * pixels_of_line(&windows) * windows.channels)
        Team team = gather(threads_for(pieces), room, 0, sizeof(real))
        int thread
        real* lines
    hand_out(&team, pieces)
    for thread in prange(team.threads, nogil=True, schedule="static", num_threads=team.threads):
        lines = <real*>room_for(&team, thread)
        zero_run(lines, room)
        item = take(&team, thread)
        while item >= 0:
            g = item % groups
            n = item // groups // blocks
            first = item // groups % blocks * block
            last = min(first + block, windows.out_height)
            first_line = first * windows.stride_h - windows.pad_top
            copy_lines(&x[n, 0, 0, g * group.Cin], group.x_pixel, &windows, first_line,
                       (last - 1) * windows.stride_h - windows.pad_top + reach, lines)
            im2col_forward(lines, first_line, &w[g, 0, 0], w.shape[2], of_group(bias, g * group.Cout), group, &windows,
                           first, last, relu, &y[n, 0, 0, g * group.Cout])
            item = take(&team, thread)
    dismiss(&team)


cdef inline const real* of_group(const real* bias, Py_ssize_t channel) noexcept nogil:
    """The bias from a channel on, NULL if there is none."""
    return bias + channel if bias != NULL else NULL


cdef inline Group one_of(Py_ssize_t groups, Py_ssize_t x_pixel, Py_ssize_t y_pixel) noexcept nogil:
    return Group(x_pixel // groups, y_pixel // groups, x_pixel, y_pixel)


def conv2d(const real[:, :, :, ::1] x, const real[:, :, ::1] w, const real[::1] b, Windows windows, bint relu,
           real[:, :, :, ::1] y):
    """y = x convolved with w, plus b, and then the ReLU if there is one.

    `w` is (groups, KH*KW*Cin, Cout) with the channels of one group, its rows padded with zeros to whole vectors; `b`
    may be None.
    """
    cdef const real* bias = &b[0] if b is not None else NULL
    cdef Lines lines
    cdef Group group = one_of(w.shape[0], x.shape[3], y.shape[3])
    windows.channels = group.Cin
    if one_sided(&windows, &lines):
        one_sided_batch(x, w, bias, group, &lines, relu, y)
    elif x.shape[0]:
        im2col_batch(x, w, bias, group, windows, relu, y)


cdef inline const real* relu_gradient(const real* dy, const real* relu_output, Py_ssize_t pixels, Py_ssize_t channels,
                                      Py_ssize_t dy_pixel, Py_ssize_t row, real* buffer) noexcept nogil:
    """The gradient before the ReLU, in rows that a gemm can read as its B: `row` numbers, whole vectors.

    That is `dy` itself when there was no ReLU and its rows are whole vectors already, else `buffer`.
    """
    cdef Py_ssize_t i
    if row == channels == dy_pixel and relu_output == NULL:
        return dy
    csrc(dy).copy_pixels(dy, relu_output, pixels, channels, dy_pixel, buffer, row)
    if row > channels:
        for i in range(pixels):
            zero_run(buffer + i * row + channels, row - channels)
    return buffer


def conv2d_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, :, :, ::1] w_transposed,
                    const real[:, :, :, ::1] relu_output, Windows windows,
                    real[:, :, :, ::1] dx, real[:, ::1] dw, real[::1] db):
    """Gradients of `conv2d`: dw (KH*KW*Cin, Cout of all groups) and db summed over the batch, and dx unless it is None.

    `w_transposed` is (groups, KH*KW, Cout, Cin) with the channels of one group, its rows padded with zeros to whole
    vectors.  With `relu_output`, the result of the forward pass, dy counts only where that is positive.
    """
    cdef:
        Py_ssize_t N = x.shape[0], groups = w_transposed.shape[0], K = dw.shape[0], w_row = w_transposed.shape[3]
        Group group = one_of(groups, x.shape[3], dy.shape[3])
        Py_ssize_t Cin = group.Cin, Cout = group.Cout
        Py_ssize_t pixels = windows.out_height * windows.out_width, dy_row = whole_vectors(Cout, sizeof(real))
        Lines lines
        bint by_lines = one_sided(&windows, &lines), need_dx = dx is not None
        # The room of one thread: dy in whole vectors, and for im2col the lines of x and of dx.
        Py_ssize_t dy_size = whole_cache_lines(pixels * dy_row), line = pixels_of_line(&windows)
        Py_ssize_t x_size = 0 if by_lines else whole_cache_lines(windows.height * line * Cin)
        Py_ssize_t dx_size = windows.height * line * w_row if need_dx and not by_lines else 0
        Py_ssize_t room = dy_size + x_size + whole_cache_lines(dx_size)
        # What a part sums: for each group, dw and below it db.
        Py_ssize_t group_size = (K + 1) * dy_row, part_size = groups * group_size
        Py_ssize_t parts = min(N, BATCH_PARTS), part, n, g
        Team team
        int thread
        real* partial
        real* dw_part
        real* x_lines
        real* dx_lines
        const real* dy_picture
    dw[:, :] = 0
    db[:] = 0
    if N == 0:
        return
    windows.channels = Cin
    team = gather(threads(), room, parts * part_size, sizeof(real))
    partial = <real*>team.shared
    hand_out(&team, parts)
    with nogil:
        for thread in prange(team.threads, schedule="static", num_threads=team.threads):
            x_lines = <real*>room_for(&team, thread) + dy_size
            dx_lines = x_lines + x_size
            if not by_lines:
                zero_run(x_lines - dy_size, room)
            part = take(&team, thread)
            while part >= 0:
                zero_run(partial + part * part_size, part_size)
                for n in range(part * N // parts, (part + 1) * N // parts):
                    for g in range(groups):
                        dw_part = partial + part * part_size + g * group_size
                        dy_picture = relu_gradient(
                            &dy[n, 0, 0, g * Cout],
                            &relu_output[n, 0, 0, g * Cout] if relu_output is not None else NULL, pixels, Cout,
                            group.y_pixel, dy_row, x_lines - dy_size)
                        csrc(dw_part).add_rows(dy_picture, pixels, Cout, dy_row, dw_part + K * dy_row)
                        if by_lines:
                            one_sided_weight_gradient(dy_picture, dy_row, &x[n, 0, 0, g * Cin], group, &lines, dw_part)
                            if need_dx:
                                zero_pixels(&dx[n, 0, 0, g * Cin], windows.height * windows.width, Cin, group.x_pixel)
                                one_sided_input_gradient(dy_picture, dy_row, &w_transposed[g, 0, 0, 0], w_row, group,
                                                         &lines, &dx[n, 0, 0, g * Cin])
                        else:
                            copy_lines(&x[n, 0, 0, g * Cin], group.x_pixel, &windows, 0, windows.height, x_lines)
                            im2col_weight_gradient(dy_picture, dy_row, x_lines, &windows, dw_part)
                            if need_dx:
                                zero_run(dx_lines, dx_size)
                                im2col_input_gradient(dy_picture, dy_row, &w_transposed[g, 0, 0, 0], w_row, Cout,
                                                      &windows, dx_lines)
                                copy_out(dx_lines, w_row, &windows, &dx[n, 0, 0, g * Cin], group.x_pixel)
                part = take(&team, thread)
        add_parts(partial, parts, part_size, team.threads)
        for g in range(groups):
            dw_part = partial + g * group_size
            csrc(partial).copy_pixels(dw_part, NULL, K, Cout, dy_row, &dw[0, g * Cout], group.y_pixel)
            csrc(partial).copy_pixels(dw_part + K * dy_row, NULL, 1, Cout, dy_row, &db[g * Cout], Cout)
    dismiss(&team)


def conv2d_input_gradient(const real[:, :, :, ::1] dy, const real[:, :, ::1] w_transposed, Windows windows,
                          real[:, :, :, ::1] dx):
    """dx of `conv2d` alone: what a transposed convolution computes.  `w_transposed` is as for `conv2d_backward`."""
    cdef:
        Py_ssize_t n, N = dy.shape[0], Cin = dx.shape[3], Cout = dy.shape[3], w_row = w_transposed.shape[2]
        Group group = one_of(1, Cin, Cout)
        Lines lines
        bint by_lines = one_sided(&windows, &lines)
        Py_ssize_t dx_size = 0 if by_lines else windows.height * pixels_of_line(&windows) * w_row
        Py_ssize_t room = whole_cache_lines(dx_size)
        Team team = gather(threads(), room, 0, sizeof(real))
        int thread
        real* dx_lines
    hand_out(&team, N)
    for thread in prange(team.threads, nogil=True, schedule="static", num_threads=team.threads):
        dx_lines = <real*>room_for(&team, thread)
        n = take(&team, thread)
        while n >= 0:
            if by_lines:
                zero_run(&dx[n, 0, 0, 0], windows.height * windows.width * Cin)
                one_sided_input_gradient(&dy[n, 0, 0, 0], Cout, &w_transposed[0, 0, 0], w_row, group, &lines,
                                         &dx[n, 0, 0, 0])
            else:
                zero_run(dx_lines, dx_size)
                im2col_input_gradient(&dy[n, 0, 0, 0], Cout, &w_transposed[0, 0, 0], w_row, Cout, &windows, dx_lines)
                copy_out(dx_lines, w_row, &windows, &dx[n, 0, 0, 0], Cin)
            n = take(&team, thread)
    dismiss(&team)
