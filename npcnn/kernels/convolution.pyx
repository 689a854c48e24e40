"""Exact convolution: im2col, of which no matrix is ever written, and a matrix product; for 1-D kernels without a copy.

Write the receptive field of every output pixel as one row of a matrix, in the order of the weights,
and convolution becomes a matrix product:

    columns[pixel, (kh*KW + kw)*Cin + c] = x[i*s + kh*d - p, j*s + kw*d - p, c]         (im2col)
    y = columns @ w            (pixels, K) @ (K, Cout),   K = KH*KW*Cin

The matrix of a batch would be KH*KW times as large as x.  But in NHWC the KW*Cin numbers under one row of the
kernel lie side by side, and those of the next output pixel begin stride*Cin further on.  With zeros to the left and
right of every line of the picture, the part of `columns` that belongs to kernel row kh and output line i *is* that
line, read with rows that overlap:

    columns[j, kh, :] = lines[i*s + kh*d - p][j*s*Cin : j*s*Cin + KW*Cin]

The matrix product takes its left factor by strides, so it reads that straight from the line, and sums over the
kernel rows that fall inside the picture.  (With a dilation along the width the KW taps are runs of their own.)

The gradients are two more products.  What col2im would add up, dx gets tap by tap, where no two rows overlap:

    dw[kh] = sum_i columns_i[kh]^T @ dy[i]               (KW*Cin, Wout) @ (Wout, Cout)
    dx[i*s + kh*d - p, j*s + kw*d - p] += dy[i, j] @ w[kh, kw]^T

A kernel with a side of 1 that moves along the other only, by steps of 1 across it, needs no zeros and no copy.  A
picture is then taken as lines *across* the axis of the convolution: its rows when that is the height, its columns when
it is the width.  A tap outside the picture is left out of the sum, which is what padding with zeros means:

    y[i] = b + sum_t x[i*s + t*d - p] @ w[t]             x[.] a line of pixels (pixels, Cin), w[t] (Cin, Cout)
    dw[t] = sum_i x[i*s + t*d - p]^T @ dy[i]
    dx[i*s + t*d - p] += dy[i] @ w[t]^T
"""
from cython.parallel cimport prange, threadid

from npcnn.kernels.core cimport (
    BATCH_PARTS, Windows, add_parts, add_rows, copy_pixels, gemm, real, release_workspace, relu_gradient, threads,
    whole_lines, whole_vectors, workspace, zero_run,
)

# Bytes of the lines a thread copies at a time: half of a small L2 cache, so that the weights have room beside them.
cdef enum:
    LINES_BYTES = 128 * 1024
    # Pixels over which a product sums up for dw before the sum is added to the others: a longer one rounds too much.
    SUM_PIXELS = 1024


cdef struct Lines:
    # One axis of a 1-D convolution: lengths in lines or pixels, the two strides of each picture in elements.
    Py_ssize_t length, out_length, pixels
    Py_ssize_t taps, stride, dilation, pad
    Py_ssize_t x_along, x_across, y_along, y_across


cdef inline Lines lines_of(bint along_height, const Windows* g, Py_ssize_t y_pixel) noexcept nogil:
    """The two ways through a picture; `y_pixel` is the distance of two output pixels.

    axis        along    across
    "height"    W * C    C
    "width"     C        W * C
    """
    cdef Lines lines
    cdef Py_ssize_t C = g.channels
    if along_height:
        lines.length, lines.out_length, lines.pixels = g.height, g.out_height, g.width
        lines.taps, lines.stride, lines.dilation, lines.pad = g.size_h, g.stride_h, g.dilation_h, g.pad_top
        lines.x_along, lines.x_across = g.width * C, C
        lines.y_along, lines.y_across = g.out_width * y_pixel, y_pixel
    else:
        lines.length, lines.out_length, lines.pixels = g.width, g.out_width, g.height
        lines.taps, lines.stride, lines.dilation, lines.pad = g.size_w, g.stride_w, g.dilation_w, g.pad_left
        lines.x_along, lines.x_across = C, g.width * C
        lines.y_along, lines.y_across = y_pixel, g.out_width * y_pixel
    return lines


cdef inline bint along_height_only(const Windows* g) noexcept nogil:
    return g.size_w == 1 and g.stride_w == 1 and g.pad_left == 0 and g.out_width == g.width


cdef inline bint along_width_only(const Windows* g) noexcept nogil:
    return g.size_h == 1 and g.stride_h == 1 and g.pad_top == 0 and g.out_height == g.height


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b if a > 0 else 0


cdef inline void taps_inside(const Lines* g, Py_ssize_t i, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The taps t with 0 <= i*stride + t*dilation - pad < length."""
    cdef Py_ssize_t start = i * g.stride - g.pad
    begin[0] = min(ceil_div(-start, g.dilation), g.taps)
    end[0] = max(min(ceil_div(g.length - start, g.dilation), g.taps), begin[0])


cdef inline void lines_inside(const Lines* g, Py_ssize_t t, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The output lines i with 0 <= i*stride + t*dilation - pad < length."""
    cdef Py_ssize_t start = t * g.dilation - g.pad
    begin[0] = min(ceil_div(-start, g.stride), g.out_length)
    end[0] = max(min(ceil_div(g.length - start, g.stride), g.out_length), begin[0])


cdef inline Lines vertical_of(const Windows* g) noexcept nogil:
    """The windows along the height, to ask which taps and lines fall inside the picture."""
    cdef Lines vertical
    vertical.length, vertical.out_length, vertical.taps = g.height, g.out_height, g.size_h
    vertical.stride, vertical.dilation, vertical.pad = g.stride_h, g.dilation_h, g.pad_top
    return vertical


cdef inline Py_ssize_t pixels_of_line(const Windows* g) noexcept nogil:
    """Pixels of a line with its zeros, from the first to the last that a window sees."""
    return (g.out_width - 1) * g.stride_w + (g.size_w - 1) * g.dilation_w + 1


cdef inline Py_ssize_t pixels_inside(const Windows* g) noexcept nogil:
    """Those of them that are the picture's own; they begin at pad_left."""
    return max(min(g.width, pixels_of_line(g) - g.pad_left), 0)


cdef inline Py_ssize_t lines_of_block(const Windows* g, Py_ssize_t itemsize) noexcept nogil:
    """Output lines whose input lines a thread copies at a time; at least one."""
    cdef Py_ssize_t line = pixels_of_line(g) * g.channels * itemsize
    return min(max((LINES_BYTES // line - (g.size_h - 1) * g.dilation_h) // g.stride_h, 1), g.out_height)


cdef void copy_lines(const real* x, const Windows* g, Py_ssize_t first, Py_ssize_t last, real* lines) noexcept nogil:
    """Copy the input lines `first` to `last` between their zeros; those outside the picture are left alone."""
    cdef Py_ssize_t i, C = g.channels, line = pixels_of_line(g) * C
    for i in range(max(first, 0), min(last, g.height)):
        copy_pixels(x + i * g.width * C, <const real*>NULL, pixels_inside(g), C, C,
                    lines + (i - first) * line + g.pad_left * C, C)


cdef void lines_forward(const real* lines, Py_ssize_t first_line, const real* w, Py_ssize_t w_row, const real* bias,
                        Py_ssize_t Cout, const Windows* g, Py_ssize_t first, Py_ssize_t last, bint relu,
                        real* y) noexcept nogil:
    """y of the output lines `first` to `last`; `lines` begins with the input line `first_line`."""
    cdef Py_ssize_t i, kh, kh_end, run, C = g.channels, line = pixels_of_line(g) * C
    cdef Py_ssize_t runs = 1 if g.dilation_w == 1 else g.size_w, tap_row = g.size_w * C
    cdef Lines vertical = vertical_of(g)
    for i in range(first, last):
        taps_inside(&vertical, i, &kh, &kh_end)
        for run in range(runs):                                 # y[i] = sum_kh columns[kh] @ w[kh]
            gemm(g.out_width, Cout, tap_row // runs, kh_end - kh,
                 lines + (i * g.stride_h + kh * g.dilation_h - g.pad_top - first_line) * line + run * g.dilation_w * C,
                 g.stride_w * C, 1, g.dilation_h * line,
                 w + (kh * tap_row + run * C) * w_row, w_row, tap_row * w_row,
                 y + i * g.out_width * Cout, Cout, run > 0, bias if run == 0 else <const real*>NULL,
                 relu and run == runs - 1)


cdef im2col_forward(const real[:, :, :, ::1] x, const real[:, ::1] w, const real[::1] b, Windows g, bint relu,
                    real[:, :, :, ::1] y):
    """y = relu(im2col(x) @ w + b).

    `w` is (K, Cout), its rows padded with zeros to whole vectors; `b` may be None.
    """
    cdef:
        Py_ssize_t N = x.shape[0], Cout = y.shape[3], w_row = w.shape[1], item, n, first, last, first_line
        Py_ssize_t block = lines_of_block(&g, sizeof(real)), blocks = (g.out_height + block - 1) // block
        Py_ssize_t reach = (g.size_h - 1) * g.dilation_h + 1
        Py_ssize_t thread_size = whole_lines(((block - 1) * g.stride_h + reach) * pixels_of_line(&g) * g.channels)
        int team = threads()
        const real* bias = &b[0] if b is not None else NULL
        real* scratch
        real* lines
    if N == 0:
        return
    scratch = <real*>workspace(team * thread_size, sizeof(real))
    zero_run(scratch, team * thread_size)
    for item in prange(N * blocks, nogil=True, schedule="dynamic", num_threads=team):
        n = item // blocks
        first = item % blocks * block
        last = min(first + block, g.out_height)
        first_line = first * g.stride_h - g.pad_top
        lines = scratch + threadid() * thread_size
        copy_lines(&x[n, 0, 0, 0], &g, first_line, (last - 1) * g.stride_h - g.pad_top + reach, lines)
        lines_forward(lines, first_line, &w[0, 0], w_row, bias, Cout, &g, first, last, relu, &y[n, 0, 0, 0])
    release_workspace(scratch)


cdef void weight_gradient(const real* lines, const real* dy, Py_ssize_t dy_row, const Windows* g, bint accumulate,
                          real* dw) noexcept nogil:
    """dw[kh] (+)= sum_i columns_i[kh]^T @ dy[i] of one picture; the rows of dw are as long as those of dy."""
    cdef Py_ssize_t i, first, i_end, count, kh, run, C = g.channels, line = pixels_of_line(g) * C
    cdef Py_ssize_t runs = 1 if g.dilation_w == 1 else g.size_w, tap_row = g.size_w * C
    cdef Py_ssize_t at_once = max(SUM_PIXELS // g.out_width, 1)
    cdef Lines vertical = vertical_of(g)
    for kh in range(g.size_h):
        lines_inside(&vertical, kh, &first, &i_end)
        i = first
        while i < i_end or i == first:                          # at least once, so that dw is written
            count = min(i_end - i, at_once)
            for run in range(runs):
                gemm(tap_row // runs, dy_row, g.out_width, count,
                     lines + (i * g.stride_h + kh * g.dilation_h - g.pad_top) * line + run * g.dilation_w * C,
                     1, g.stride_w * C, g.stride_h * line,
                     dy + i * g.out_width * dy_row, dy_row, g.out_width * dy_row,
                     dw + (kh * tap_row + run * C) * dy_row, dy_row, accumulate or i > first, <const real*>NULL, False)
            i += max(count, 1)


cdef void input_gradient(const real* dy, Py_ssize_t dy_row, const real* w_transposed, Py_ssize_t w_row,
                         Py_ssize_t Cout, const Windows* g, real* lines) noexcept nogil:
    """Add dy[i] @ w[kh, kw]^T to the pixels of dx that tap sees; a pixel of `lines` is `w_row` numbers."""
    cdef Py_ssize_t i, i_end, kh, kw, line = pixels_of_line(g) * w_row
    cdef Lines vertical = vertical_of(g)
    for kh in range(g.size_h):
        lines_inside(&vertical, kh, &i, &i_end)
        while i < i_end:
            for kw in range(g.size_w):
                gemm(g.out_width, w_row, Cout, 1,
                     dy + i * g.out_width * dy_row, dy_row, 1, 0,
                     w_transposed + (kh * g.size_w + kw) * Cout * w_row, w_row, 0,
                     lines + (i * g.stride_h + kh * g.dilation_h - g.pad_top) * line + kw * g.dilation_w * w_row,
                     g.stride_w * w_row, True, <const real*>NULL, False)
            i += 1


cdef void copy_out(const real* lines, Py_ssize_t pixel, const Windows* g, real* dx) noexcept nogil:
    """dx of one picture from between the borders; pixels right of the last window get no gradient."""
    cdef Py_ssize_t i, C = g.channels, inside = pixels_inside(g)
    for i in range(g.height):
        copy_pixels(lines + (i * pixels_of_line(g) + g.pad_left) * pixel, <const real*>NULL, inside, C, pixel,
                    dx + i * g.width * C, C)
        zero_run(dx + (i * g.width + inside) * C, (g.width - inside) * C)


cdef im2col_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, :, ::1] w_transposed,
                     const real[:, :, :, ::1] relu_output, Windows g,
                     real[:, :, :, ::1] dx, real[:, ::1] dw, real[::1] db):
    """Gradients of `conv2d`: dw and db summed over the batch, and dx unless it is None.

    `w_transposed` is (KH*KW, Cout, Cin), its rows padded with zeros to whole vectors.  With `relu_output`, the
    result of the forward pass, dy counts only where that is positive.
    """
    cdef:
        Py_ssize_t N = x.shape[0], Cout = dy.shape[3], K = dw.shape[0], w_row = w_transposed.shape[2]
        Py_ssize_t pixels = g.out_height * g.out_width, dy_row = whole_vectors(Cout, sizeof(real))
        Py_ssize_t x_size = whole_lines(g.height * pixels_of_line(&g) * g.channels)
        Py_ssize_t dx_size = g.height * pixels_of_line(&g) * w_row if dx is not None else 0
        Py_ssize_t thread_size = x_size + dx_size + whole_lines(pixels * dy_row), part_size = (K + 1) * dy_row
        Py_ssize_t parts = min(N, BATCH_PARTS), part, n
        int team = threads()
        bint need_dx = dx is not None
        real* scratch
        real* partial
        real* dw_part
        real* x_lines
        real* dx_lines
        const real* dy_picture
    dw[:, :] = 0
    db[:] = 0
    if N == 0:
        return
    scratch = <real*>workspace(team * thread_size + parts * part_size, sizeof(real))
    partial = scratch + team * thread_size
    zero_run(scratch, team * thread_size)
    with nogil:
        for part in prange(parts, schedule="dynamic", num_threads=team):
            x_lines = scratch + threadid() * thread_size
            dx_lines = x_lines + x_size
            dw_part = partial + part * part_size
            zero_run(dw_part + K * dy_row, dy_row)
            for n in range(part * N // parts, (part + 1) * N // parts):
                copy_lines(&x[n, 0, 0, 0], &g, 0, g.height, x_lines)
                dy_picture = relu_gradient(
                    &dy[n, 0, 0, 0], &relu_output[n, 0, 0, 0] if relu_output is not None else NULL,
                    pixels, Cout, dy_row, dx_lines + dx_size)
                add_rows(dy_picture, pixels, Cout, dy_row, dw_part + K * dy_row)
                weight_gradient(x_lines, dy_picture, dy_row, &g, n > part * N // parts, dw_part)
                if need_dx:
                    zero_run(dx_lines, dx_size)
                    input_gradient(dy_picture, dy_row, &w_transposed[0, 0, 0], w_row, Cout, &g, dx_lines)
                    copy_out(dx_lines, w_row, &g, &dx[n, 0, 0, 0])
        add_parts(partial, parts, part_size, team)
        copy_pixels(partial, <const real*>NULL, K, Cout, dy_row, &dw[0, 0], Cout)
        copy_pixels(partial + K * dy_row, <const real*>NULL, 1, Cout, dy_row, &db[0], Cout)
    release_workspace(scratch)


cdef line_by_line_forward(const real[:, :, :, ::1] x, const real[:, ::1] w, const real[::1] b, Windows windows,
                          bint relu, real[:, :, :, ::1] y):
    """y[i] = relu(b + sum_t x[i*s + t*d - p] @ w[t]), line by line."""
    cdef:
        Py_ssize_t N = x.shape[0], Cin = x.shape[3], Cout = y.shape[3], w_row = w.shape[1], item, n, i
        Lines g = lines_of(along_height_only(&windows), &windows, Cout)
        const real* bias = &b[0] if b is not None else NULL
    for item in prange(N * g.out_length, nogil=True, schedule="guided", num_threads=threads()):
        n = item // g.out_length
        i = item % g.out_length
        line_forward(&x[n, 0, 0, 0], &w[0, 0], w_row, bias, Cin, Cout, &g, i, relu, &y[n, 0, 0, 0])


cdef void line_forward(const real* x, const real* w, Py_ssize_t w_row, const real* bias, Py_ssize_t Cin,
                       Py_ssize_t Cout, const Lines* g, Py_ssize_t i, bint relu, real* y) noexcept nogil:
    """y[i] = relu(b + sum_t x[i*s + t*d - p] @ w[t]) over the taps inside the picture."""
    cdef Py_ssize_t t, t_end
    taps_inside(g, i, &t, &t_end)
    gemm(g.pixels, Cout, Cin, t_end - t,
         x + (i * g.stride + t * g.dilation - g.pad) * g.x_along, g.x_across, 1, g.dilation * g.x_along,
         w + t * Cin * w_row, w_row, Cin * w_row,
         y + i * g.y_along, g.y_across, False, bias, relu)


cdef void tap_weight_gradient(const real* dy, Py_ssize_t dy_row, const real* x, Py_ssize_t Cin, const Lines* g,
                              Py_ssize_t t, real* dw) noexcept nogil:
    """dw[t] += sum_i x[i*s + t*d - p]^T @ dy[i] of one picture; the rows of dw are as long as those of dy."""
    cdef Py_ssize_t i, i_end, line, count, at_once = max(SUM_PIXELS // g.pixels, 1)
    lines_inside(g, t, &i, &i_end)
    while i < i_end:
        count = min(i_end - i, at_once)
        line = i * g.stride + t * g.dilation - g.pad
        gemm(Cin, dy_row, count, g.pixels,
             x + line * g.x_along, 1, g.stride * g.x_along, g.x_across,
             dy + i * g.y_along, g.y_along, g.y_across,
             dw + t * Cin * dy_row, dy_row, True, <const real*>NULL, False)
        i += count


cdef void tap_input_gradient(const real* dy, const real* w_transposed, Py_ssize_t w_row, Py_ssize_t Cin,
                             Py_ssize_t Cout, const Lines* g, Py_ssize_t t, real* dx) noexcept nogil:
    """dx[i*s + t*d - p] += dy[i] @ w[t]^T of one picture."""
    cdef Py_ssize_t i, i_end
    lines_inside(g, t, &i, &i_end)
    while i < i_end:
        gemm(g.pixels, Cin, Cout, 1,
             dy + i * g.y_along, g.y_across, 1, 0,
             w_transposed + t * Cout * w_row, w_row, 0,
             dx + (i * g.stride + t * g.dilation - g.pad) * g.x_along, g.x_across,
             True, <const real*>NULL, False)
        i += 1


cdef line_by_line_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, :, ::1] w_transposed,
                           const real[:, :, :, ::1] relu_output, Windows windows,
                           real[:, :, :, ::1] dx, real[:, ::1] dw, real[::1] db):
    """The same gradients, line by line."""
    cdef:
        Py_ssize_t N = x.shape[0], Cin = x.shape[3], Cout = dy.shape[3], K = dw.shape[0] // Cin
        Py_ssize_t pixels = dy.shape[1] * dy.shape[2], dy_row = whole_vectors(Cout, sizeof(real))
        Py_ssize_t picture_size = x.shape[1] * x.shape[2] * Cin
        Py_ssize_t parts = min(N, BATCH_PARTS), part, n, t
        Py_ssize_t thread_size = whole_lines(pixels * dy_row), part_size = (K * Cin + 1) * dy_row
        Lines g = lines_of(along_height_only(&windows), &windows, dy_row)
        int team = threads()
        bint need_dx = dx is not None
        real* scratch
        real* partial
        real* dw_part
        const real* dy_picture
    dw[:, :] = 0
    db[:] = 0
    if N == 0:
        return
    scratch = <real*>workspace(team * thread_size + parts * part_size, sizeof(real))
    partial = scratch + team * thread_size
    with nogil:
        for part in prange(parts, schedule="dynamic", num_threads=team):
            dw_part = partial + part * part_size
            zero_run(dw_part, part_size)
            for n in range(part * N // parts, (part + 1) * N // parts):
                dy_picture = relu_gradient(
                    &dy[n, 0, 0, 0], &relu_output[n, 0, 0, 0] if relu_output is not None else NULL,
                    pixels, Cout, dy_row, scratch + threadid() * thread_size)
                add_rows(dy_picture, pixels, Cout, dy_row, dw_part + K * Cin * dy_row)
                for t in range(K):
                    tap_weight_gradient(dy_picture, dy_row, &x[n, 0, 0, 0], Cin, &g, t, dw_part)
                if need_dx:
                    zero_run(&dx[n, 0, 0, 0], picture_size)
                    for t in range(K):
                        tap_input_gradient(dy_picture, &w_transposed[0, 0, 0], w_transposed.shape[2], Cin, Cout,
                                           &g, t, &dx[n, 0, 0, 0])
        add_parts(partial, parts, part_size, team)
        copy_pixels(partial, <const real*>NULL, K * Cin, Cout, dy_row, &dw[0, 0], Cout)
        copy_pixels(partial + K * Cin * dy_row, <const real*>NULL, 1, Cout, dy_row, &db[0], Cout)
    release_workspace(scratch)


def conv2d(const real[:, :, :, ::1] x, const real[:, ::1] w, const real[::1] b, Windows g, bint relu,
           real[:, :, :, ::1] y):
    """y = relu(x convolved with w, plus b).

    `w` is (KH*KW*Cin, Cout), its rows padded with zeros to whole vectors; `b` may be None.
    """
    if along_height_only(&g) or along_width_only(&g):
        line_by_line_forward(x, w, b, g, relu, y)
    else:
        im2col_forward(x, w, b, g, relu, y)


def conv2d_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, :, ::1] w_transposed,
                    const real[:, :, :, ::1] relu_output, Windows g,
                    real[:, :, :, ::1] dx, real[:, ::1] dw, real[::1] db):
    """Gradients of `conv2d`: dw (KH*KW*Cin, Cout) and db summed over the batch, and dx unless it is None.

    `w_transposed` is (KH*KW, Cout, Cin), its rows padded with zeros to whole vectors.  With `relu_output`, the
    result of the forward pass, dy counts only where that is positive.
    """
    if along_height_only(&g) or along_width_only(&g):
        line_by_line_backward(dy, x, w_transposed, relu_output, g, dx, dw, db)
    else:
        im2col_backward(dy, x, w_transposed, relu_output, g, dx, dw, db)
