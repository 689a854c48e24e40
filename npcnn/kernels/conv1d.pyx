"""One-dimensional convolution along the height or the width: k taps, and no im2col.

    y[i] = relu(b + sum_t x[i*s + t*d - p] @ w[t])         x[.] a line of pixels (pixels, Cin), w[t] (Cin, Cout)

Here x[i] is the i-th line *across* the axis of the convolution: a row of the picture when it runs along
the height, a column when it runs along the width (see lines.pxd).

(t, s, d and p here are k, stride, dilation and before in npcnn.reference: the matrix product below has a k of its own.)

A tap that falls outside the picture is left out of the sum: that is what padding with zeros means.  The
gradients follow term by term:

    dw[t] = sum_i x[i*s + t*d - p]^T @ dy[i]
    dx[i*s + t*d - p] += dy[i] @ w[t]^T
"""
from cython.parallel cimport prange, threadid

from npcnn.kernels.core cimport (
    BATCH_PARTS, add_parts, add_rows, copy_pixels, gemm, real, release_workspace, relu_gradient, threads,
    whole_lines, whole_vectors, workspace, zero_run,
)
from npcnn.kernels.lines cimport Lines, lines_inside, lines_of, taps_inside


def conv1d(const real[:, :, :, ::1] x, const real[:, :, ::1] w, const real[::1] b, bint along_height,
           Py_ssize_t stride, Py_ssize_t dilation, Py_ssize_t pad, bint relu, real[:, :, :, ::1] y):
    """y[i] = relu(b + sum_t x[i*s + t*d - p] @ w[t]).

    `w` is (K, Cin, Cout), its rows padded with zeros to whole vectors; `b` may be None.
    """
    cdef:
        Py_ssize_t N = x.shape[0], Cin = x.shape[3], Cout = y.shape[3]
        Py_ssize_t w_row = w.shape[2]
        Lines g = lines_of(along_height, x.shape[1], x.shape[2], Cin, y.shape[1], y.shape[2], Cout,
                           w.shape[0], stride, dilation, pad)
        Py_ssize_t item, n, i
        const real* bias = &b[0] if b is not None else NULL
    for item in prange(N * g.out_length, nogil=True, schedule="guided", num_threads=threads()):
        n = item // g.out_length
        i = item % g.out_length
        line_forward(&x[n, 0, 0, 0], &w[0, 0, 0], w_row, bias, Cin, Cout, &g, i, relu, &y[n, 0, 0, 0])


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
    cdef Py_ssize_t i, i_end, line
    lines_inside(g, t, &i, &i_end)
    line = i * g.stride + t * g.dilation - g.pad
    gemm(Cin, dy_row, i_end - i, g.pixels,
         x + line * g.x_along, 1, g.stride * g.x_along, g.x_across,
         dy + i * g.y_along, g.y_along, g.y_across,
         dw + t * Cin * dy_row, dy_row, True, <const real*>NULL, False)


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


def conv1d_backward(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, const real[:, :, ::1] w_transposed,
                    const real[:, :, :, ::1] relu_output, bint along_height,
                    Py_ssize_t stride, Py_ssize_t dilation, Py_ssize_t pad,
                    real[:, :, :, ::1] dx, real[:, :, ::1] dw, real[::1] db):
    """Gradients of `conv1d`: dw and db summed over the batch, and dx unless it is None.

    `w_transposed` is (K, Cout, Cin), its rows padded with zeros to whole vectors.  With `relu_output`, the
    result of the forward pass, dy counts only where that is positive.
    """
    cdef:
        Py_ssize_t N = x.shape[0], Cin = x.shape[3], Cout = dy.shape[3], K = dw.shape[0]
        Py_ssize_t pixels = dy.shape[1] * dy.shape[2], dy_row = whole_vectors(Cout, sizeof(real))
        Py_ssize_t picture_size = x.shape[1] * x.shape[2] * Cin
        Py_ssize_t parts = min(N, BATCH_PARTS), part, n, t
        Py_ssize_t thread_size = whole_lines(pixels * dy_row), part_size = (K * Cin + 1) * dy_row
        Lines g = lines_of(along_height, x.shape[1], x.shape[2], Cin, dy.shape[1], dy.shape[2], dy_row,
                           K, stride, dilation, pad)
        int team = threads()
        bint need_dx = dx is not None
        real* scratch
        real* partial
        real* dw_part
        const real* dy_picture
    dw[:, :, :] = 0
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
        copy_pixels(partial, <const real*>NULL, K * Cin, Cout, dy_row, &dw[0, 0, 0], Cout)
        copy_pixels(partial + K * Cin * dy_row, <const real*>NULL, 1, Cout, dy_row, &db[0], Cout)
    release_workspace(scratch)
