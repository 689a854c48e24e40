"""The bridge to csrc: each inner loop under its own name, for float and for double.

`csrc/dispatch.c` holds one table of functions per instruction set.  The functions below pick the
entry of the table in use that has the type `real` stands for, so that the kernels can be written once.
"""
from cython.parallel cimport prange
from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memset

ctypedef fused real:
    float
    double

# Sums over the batch are cut into at most this many parts, each added up in the order of the pictures,
# and the parts in their order: the same bits whatever the number of threads.
cdef enum:
    BATCH_PARTS = 16
    ADD_RUN = 4096              # numbers of a part that a thread adds at a time
    # 2^40 as a float's bits: what Toom-Cook takes of x, of dy and of w.  A product of two such numbers is 2^80, the
    # transforms make it at most 2^10 times as large, and a sum of 2^30 of those is still below float's 2^128.
    LARGEST_BITS = 0x53800000

cdef extern from "kernels.h" nogil:
    ctypedef struct Windows "npcnn_windows":
        Py_ssize_t height, width, channels
        Py_ssize_t size_h, size_w
        Py_ssize_t stride_h, stride_w
        Py_ssize_t dilation_h, dilation_w
        Py_ssize_t pad_top, pad_left
        Py_ssize_t out_height, out_width

    ctypedef struct KernelsF32 "npcnn_kernels_f32":
        Py_ssize_t vector_length
        void (*gemm)(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t depth, Py_ssize_t taps,
                     const float* a, Py_ssize_t a_row, Py_ssize_t a_depth, Py_ssize_t a_tap,
                     const float* b, Py_ssize_t b_depth, Py_ssize_t b_tap,
                     float* c, Py_ssize_t c_row, int accumulate, const float* bias, int relu) noexcept nogil
        void (*max_pool2d_row)(const float* x, const Windows* g, Py_ssize_t out_row,
                               float* y, int32_t* argmax) noexcept nogil
        void (*max_pool2d_backward_row)(const float* dy, const int32_t* argmax, const Windows* g,
                                        Py_ssize_t out_row, int alone, float* dx) noexcept nogil
        void (*avg_pool2d_row)(const float* x, const Windows* g, Py_ssize_t out_row,
                               int count_include_pad, float* y) noexcept nogil
        void (*avg_pool2d_backward_row)(const float* dy, const Windows* g, Py_ssize_t out_row,
                                        int count_include_pad, int alone, float* dx) noexcept nogil
        void (*toom_cook_input)(int taps, const float* x, Py_ssize_t x_step, Py_ssize_t count,
                                float* v, Py_ssize_t v_step) noexcept nogil
        void (*toom_cook_gradient)(int taps, const float* dy, Py_ssize_t dy_step, Py_ssize_t count,
                                   float* v, Py_ssize_t v_step) noexcept nogil
        void (*toom_cook_weights)(int taps, const float* w, Py_ssize_t w_step, Py_ssize_t count,
                                  float* u, Py_ssize_t u_step) noexcept nogil
        void (*toom_cook_weight_gradient)(int taps, const float* du, Py_ssize_t du_step, Py_ssize_t count,
                                          float* dw, Py_ssize_t dw_step) noexcept nogil
        void (*toom_cook_output)(int taps, const float* m, Py_ssize_t m_step, Py_ssize_t m_pixel,
                                 Py_ssize_t pixels, Py_ssize_t channels,
                                 float* y, Py_ssize_t y_step, Py_ssize_t y_pixel, Py_ssize_t lines,
                                 const float* bias, int relu) noexcept nogil
        void (*relu)(const float* x, float* y, Py_ssize_t count) noexcept nogil
        void (*relu_backward)(const float* dy, const float* y, float* dx, Py_ssize_t count) noexcept nogil
        void (*copy_pixels)(const float* x, const float* relu_output, Py_ssize_t pixels, Py_ssize_t channels,
                            Py_ssize_t x_pixel, float* to, Py_ssize_t to_pixel) noexcept nogil
        void (*add)(const float* x, float* total, Py_ssize_t count) noexcept nogil
        void (*add_rows)(const float* x, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t x_row,
                         float* total) noexcept nogil
        void (*adam_step)(float* p, const float* grad, float* m, float* v, Py_ssize_t count,
                          float step_size, float new1, float new2, float eps) noexcept nogil

    ctypedef struct KernelsF64 "npcnn_kernels_f64":
        Py_ssize_t vector_length
        void (*gemm)(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t depth, Py_ssize_t taps,
                     const double* a, Py_ssize_t a_row, Py_ssize_t a_depth, Py_ssize_t a_tap,
                     const double* b, Py_ssize_t b_depth, Py_ssize_t b_tap,
                     double* c, Py_ssize_t c_row, int accumulate, const double* bias, int relu) noexcept nogil
        void (*max_pool2d_row)(const double* x, const Windows* g, Py_ssize_t out_row,
                               double* y, int32_t* argmax) noexcept nogil
        void (*max_pool2d_backward_row)(const double* dy, const int32_t* argmax, const Windows* g,
                                        Py_ssize_t out_row, int alone, double* dx) noexcept nogil
        void (*avg_pool2d_row)(const double* x, const Windows* g, Py_ssize_t out_row,
                               int count_include_pad, double* y) noexcept nogil
        void (*avg_pool2d_backward_row)(const double* dy, const Windows* g, Py_ssize_t out_row,
                                        int count_include_pad, int alone, double* dx) noexcept nogil
        void (*toom_cook_input)(int taps, const double* x, Py_ssize_t x_step, Py_ssize_t count,
                                double* v, Py_ssize_t v_step) noexcept nogil
        void (*toom_cook_gradient)(int taps, const double* dy, Py_ssize_t dy_step, Py_ssize_t count,
                                   double* v, Py_ssize_t v_step) noexcept nogil
        void (*toom_cook_weights)(int taps, const double* w, Py_ssize_t w_step, Py_ssize_t count,
                                  double* u, Py_ssize_t u_step) noexcept nogil
        void (*toom_cook_weight_gradient)(int taps, const double* du, Py_ssize_t du_step, Py_ssize_t count,
                                          double* dw, Py_ssize_t dw_step) noexcept nogil
        void (*toom_cook_output)(int taps, const double* m, Py_ssize_t m_step, Py_ssize_t m_pixel,
                                 Py_ssize_t pixels, Py_ssize_t channels,
                                 double* y, Py_ssize_t y_step, Py_ssize_t y_pixel, Py_ssize_t lines,
                                 const double* bias, int relu) noexcept nogil
        void (*relu)(const double* x, double* y, Py_ssize_t count) noexcept nogil
        void (*relu_backward)(const double* dy, const double* y, double* dx, Py_ssize_t count) noexcept nogil
        void (*copy_pixels)(const double* x, const double* relu_output, Py_ssize_t pixels, Py_ssize_t channels,
                            Py_ssize_t x_pixel, double* to, Py_ssize_t to_pixel) noexcept nogil
        void (*add)(const double* x, double* total, Py_ssize_t count) noexcept nogil
        void (*add_rows)(const double* x, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t x_row,
                         double* total) noexcept nogil
        void (*adam_step)(double* p, const double* grad, double* m, double* v, Py_ssize_t count,
                          double step_size, double new1, double new2, double eps) noexcept nogil

    ctypedef struct Kernels "npcnn_kernels":
        const char* name
        KernelsF32 f32
        KernelsF64 f64

cdef const Kernels* active() noexcept nogil
cdef int threads() noexcept nogil
cdef void* workspace(size_t count, size_t itemsize) except NULL
cdef void release_workspace(void* buffer) noexcept


cdef inline Py_ssize_t whole_vectors(Py_ssize_t count, Py_ssize_t itemsize) noexcept nogil:
    """`count` rounded up to a multiple of the vector length: how wide the rows of a gemm's B must be."""
    cdef Py_ssize_t length = active().f32.vector_length if itemsize == 4 else active().f64.vector_length
    return (count + length - 1) // length * length


cdef inline Py_ssize_t whole_lines(Py_ssize_t count) noexcept nogil:
    """`count` numbers rounded up to whole cache lines, so that the next buffer starts on one."""
    return (count + 15) // 16 * 16


cdef inline void gemm(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t depth, Py_ssize_t taps,
                      const real* a, Py_ssize_t a_row, Py_ssize_t a_depth, Py_ssize_t a_tap,
                      const real* b, Py_ssize_t b_depth, Py_ssize_t b_tap,
                      real* c, Py_ssize_t c_row,
                      bint accumulate, const real* bias, bint relu) noexcept nogil:
    """c[r, j] (+)= bias[j] + sum over t, k of a[r*a_row + k*a_depth + t*a_tap] * b[k*b_depth + j + t*b_tap]."""
    if real is float:
        active().f32.gemm(rows, cols, depth, taps, a, a_row, a_depth, a_tap, b, b_depth, b_tap,
                          c, c_row, accumulate, bias, relu)
    else:
        active().f64.gemm(rows, cols, depth, taps, a, a_row, a_depth, a_tap, b, b_depth, b_tap,
                          c, c_row, accumulate, bias, relu)


cdef inline void max_pool2d_row(const real* x, const Windows* g, Py_ssize_t out_row,
                                real* y, int32_t* argmax) noexcept nogil:
    if real is float:
        active().f32.max_pool2d_row(x, g, out_row, y, argmax)
    else:
        active().f64.max_pool2d_row(x, g, out_row, y, argmax)


cdef inline void max_pool2d_backward_row(const real* dy, const int32_t* argmax, const Windows* g,
                                         Py_ssize_t out_row, bint alone, real* dx) noexcept nogil:
    if real is float:
        active().f32.max_pool2d_backward_row(dy, argmax, g, out_row, alone, dx)
    else:
        active().f64.max_pool2d_backward_row(dy, argmax, g, out_row, alone, dx)


cdef inline void avg_pool2d_row(const real* x, const Windows* g, Py_ssize_t out_row,
                                bint count_include_pad, real* y) noexcept nogil:
    if real is float:
        active().f32.avg_pool2d_row(x, g, out_row, count_include_pad, y)
    else:
        active().f64.avg_pool2d_row(x, g, out_row, count_include_pad, y)


cdef inline void avg_pool2d_backward_row(const real* dy, const Windows* g, Py_ssize_t out_row,
                                         bint count_include_pad, bint alone, real* dx) noexcept nogil:
    if real is float:
        active().f32.avg_pool2d_backward_row(dy, g, out_row, count_include_pad, alone, dx)
    else:
        active().f64.avg_pool2d_backward_row(dy, g, out_row, count_include_pad, alone, dx)


cdef inline void toom_cook_input(int taps, const real* x, Py_ssize_t x_step, Py_ssize_t count,
                                 real* v, Py_ssize_t v_step) noexcept nogil:
    if real is float:
        active().f32.toom_cook_input(taps, x, x_step, count, v, v_step)
    else:
        active().f64.toom_cook_input(taps, x, x_step, count, v, v_step)


cdef inline void toom_cook_gradient(int taps, const real* dy, Py_ssize_t dy_step, Py_ssize_t count,
                                    real* v, Py_ssize_t v_step) noexcept nogil:
    if real is float:
        active().f32.toom_cook_gradient(taps, dy, dy_step, count, v, v_step)
    else:
        active().f64.toom_cook_gradient(taps, dy, dy_step, count, v, v_step)


cdef inline void toom_cook_weights(int taps, const real* w, Py_ssize_t w_step, Py_ssize_t count,
                                   real* u, Py_ssize_t u_step) noexcept nogil:
    if real is float:
        active().f32.toom_cook_weights(taps, w, w_step, count, u, u_step)
    else:
        active().f64.toom_cook_weights(taps, w, w_step, count, u, u_step)


cdef inline void toom_cook_weight_gradient(int taps, const real* du, Py_ssize_t du_step, Py_ssize_t count,
                                           real* dw, Py_ssize_t dw_step) noexcept nogil:
    if real is float:
        active().f32.toom_cook_weight_gradient(taps, du, du_step, count, dw, dw_step)
    else:
        active().f64.toom_cook_weight_gradient(taps, du, du_step, count, dw, dw_step)


cdef inline void toom_cook_output(int taps, const real* m, Py_ssize_t m_step, Py_ssize_t m_pixel, Py_ssize_t pixels,
                                  Py_ssize_t channels, real* y, Py_ssize_t y_step, Py_ssize_t y_pixel,
                                  Py_ssize_t lines, const real* bias, bint relu) noexcept nogil:
    if real is float:
        active().f32.toom_cook_output(taps, m, m_step, m_pixel, pixels, channels, y, y_step, y_pixel, lines,
                                      bias, relu)
    else:
        active().f64.toom_cook_output(taps, m, m_step, m_pixel, pixels, channels, y, y_step, y_pixel, lines,
                                      bias, relu)


cdef inline void relu_run(const real* x, real* y, Py_ssize_t count) noexcept nogil:
    if real is float:
        active().f32.relu(x, y, count)
    else:
        active().f64.relu(x, y, count)


cdef inline void relu_backward_run(const real* dy, const real* y, real* dx, Py_ssize_t count) noexcept nogil:
    if real is float:
        active().f32.relu_backward(dy, y, dx, count)
    else:
        active().f64.relu_backward(dy, y, dx, count)


cdef inline void copy_pixels(const real* x, const real* relu_output, Py_ssize_t pixels, Py_ssize_t channels,
                             Py_ssize_t x_pixel, real* to, Py_ssize_t to_pixel) noexcept nogil:
    """Copy pixels `x_pixel` apart to places `to_pixel` apart; 0 where `relu_output`, unless NULL, is not positive."""
    if real is float:
        active().f32.copy_pixels(x, relu_output, pixels, channels, x_pixel, to, to_pixel)
    else:
        active().f64.copy_pixels(x, relu_output, pixels, channels, x_pixel, to, to_pixel)


cdef inline void add_run(const real* x, real* total, Py_ssize_t count) noexcept nogil:
    if real is float:
        active().f32.add(x, total, count)
    else:
        active().f64.add(x, total, count)


cdef inline void add_rows(const real* x, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t x_row,
                          real* total) noexcept nogil:
    if real is float:
        active().f32.add_rows(x, rows, cols, x_row, total)
    else:
        active().f64.add_rows(x, rows, cols, x_row, total)


cdef inline void adam_step_run(real* p, const real* grad, real* m, real* v, Py_ssize_t count,
                               real step_size, real new1, real new2, real eps) noexcept nogil:
    if real is float:
        active().f32.adam_step(p, grad, m, v, count, step_size, new1, new2, eps)
    else:
        active().f64.adam_step(p, grad, m, v, count, step_size, new1, new2, eps)


cdef inline void zero_run(real* x, Py_ssize_t count) noexcept nogil:
    memset(x, 0, count * sizeof(real))


cdef inline const real* relu_gradient(const real* dy, const real* relu_output, Py_ssize_t pixels,
                                      Py_ssize_t channels, Py_ssize_t row, real* buffer) noexcept nogil:
    """The gradient before the ReLU, in rows that a gemm can read as its B: `row` numbers, whole vectors.

    That is `dy` itself when there was no ReLU and its rows are whole vectors already, else `buffer`.
    """
    cdef Py_ssize_t i
    if row == channels and relu_output == NULL:
        return dy
    copy_pixels(dy, relu_output, pixels, channels, channels, buffer, row)
    if row > channels:
        for i in range(pixels):
            zero_run(buffer + i * row + channels, row - channels)
    return buffer


cdef inline void add_parts(real* partial, Py_ssize_t parts, Py_ssize_t part_size, int team) noexcept nogil:
    """Add all parts, in their order, to the first."""
    cdef Py_ssize_t start, part
    for start in prange(0, part_size, ADD_RUN, schedule="static", num_threads=team):
        for part in range(1, parts):
            add_run(partial + part * part_size + start, partial + start, min(ADD_RUN, part_size - start))


cdef inline bint side_by_side(const Windows* g) noexcept nogil:
    """Whether every pixel lies in exactly one window, so that nothing needs adding up."""
    return (g.stride_h == g.size_h and g.out_height * g.stride_h - g.pad_top >= g.height
            and g.stride_w == g.size_w and g.out_width * g.stride_w - g.pad_left >= g.width)


cdef inline bint any_too_large(const real* x, Py_ssize_t count) noexcept nogil:
    """Whether a float32 is larger than LARGEST in size, infinite or NaN.

    Without their sign, the bits of floats are ordered as the floats are, and infinity and NaN stand above all others.
    """
    cdef Py_ssize_t i
    cdef int32_t wrong = 0
    cdef const int32_t* bits = <const int32_t*>x
    for i in range(count):
        wrong |= (bits[i] & 0x7fffffff) > LARGEST_BITS
    return wrong


cdef inline bint any_outside(const int32_t* argmax, Py_ssize_t count, uint32_t taps) noexcept nogil:
    """Whether a number is not a tap, 0 <= tap < taps.  (What is less than 0 is more than 2^31 without its sign.)"""
    cdef Py_ssize_t i
    cdef int32_t wrong = 0
    for i in range(count):
        wrong |= <uint32_t>argmax[i] >= taps
    return wrong
