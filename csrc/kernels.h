/* The inner loops that csrc offers, as one table of functions per type.
 *
 * The same declarations serve float and double: KERNEL_TABLE is expanded once for each.  Every
 * instruction set fills one npcnn_kernels; dispatch.c chooses among them when the library is loaded.
 * All sizes and strides count elements, not bytes.
 */
#ifndef NPCNN_KERNELS_H
#define NPCNN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Where the windows of a convolution or pooling lie on a picture (NHWC, one picture). */
typedef struct {
    ptrdiff_t height, width, channels;              /* the picture */
    ptrdiff_t size_h, size_w;                       /* taps of the window */
    ptrdiff_t stride_h, stride_w;
    ptrdiff_t dilation_h, dilation_w;
    ptrdiff_t pad_top, pad_left;
    ptrdiff_t out_height, out_width;
} npcnn_windows;

#define KERNEL_TABLE(REAL)                                                                             \
    ptrdiff_t vector_length;                                                                           \
    /* gemm.inc.c */                                                                                   \
    void (*gemm)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t depth, ptrdiff_t taps,                      \
                 const REAL *a, ptrdiff_t a_row, ptrdiff_t a_depth, ptrdiff_t a_tap,                   \
                 const REAL *b, ptrdiff_t b_depth, ptrdiff_t b_tap,                                    \
                 REAL *c, ptrdiff_t c_row, int accumulate, const REAL *bias, int relu);                \
    /* pooling.inc.c */                                                                                   \
    void (*max_pool2d_row)(const REAL *x, const npcnn_windows *g, ptrdiff_t out_row,                   \
                           REAL *y, int32_t *argmax);                                                  \
    void (*max_pool2d_backward_row)(const REAL *dy, const int32_t *argmax, const npcnn_windows *g,     \
                                    ptrdiff_t out_row, int alone, REAL *dx);                           \
    void (*avg_pool2d_row)(const REAL *x, const npcnn_windows *g, ptrdiff_t out_row,                   \
                           int count_include_pad, REAL *y);                                            \
    void (*avg_pool2d_backward_row)(const REAL *dy, const npcnn_windows *g, ptrdiff_t out_row,         \
                                    int count_include_pad, int alone, REAL *dx);                       \
    /* toom_cook.inc.c */                                                                              \
    void (*toom_cook_input)(int taps, const REAL *x, ptrdiff_t x_step, ptrdiff_t count,                \
                            REAL *v, ptrdiff_t v_step);                                                \
    void (*toom_cook_gradient)(int taps, const REAL *dy, ptrdiff_t dy_step, ptrdiff_t count,           \
                               REAL *v, ptrdiff_t v_step);                                             \
    void (*toom_cook_weights)(int taps, const REAL *w, ptrdiff_t w_step, ptrdiff_t count,              \
                              REAL *u, ptrdiff_t u_step);                                              \
    void (*toom_cook_weight_gradient)(int taps, const REAL *du, ptrdiff_t du_step, ptrdiff_t count,    \
                                      REAL *dw, ptrdiff_t dw_step);                                    \
    void (*toom_cook_output)(int taps, const REAL *m, ptrdiff_t m_step, ptrdiff_t m_pixel,             \
                             ptrdiff_t pixels, ptrdiff_t channels,                                     \
                             REAL *y, ptrdiff_t y_step, ptrdiff_t y_pixel, ptrdiff_t lines,            \
                             const REAL *bias, int relu);                                              \
    /* elementwise.inc.c */                                                                            \
    void (*relu)(const REAL *x, REAL *y, ptrdiff_t count);                                             \
    void (*relu_backward)(const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count);                   \
    void (*copy_pixels)(const REAL *x, const REAL *relu_output, ptrdiff_t pixels, ptrdiff_t channels,  \
                        ptrdiff_t x_pixel, REAL *to, ptrdiff_t to_pixel);                              \
    void (*add)(const REAL *x, REAL *total, ptrdiff_t count);                                          \
    void (*add_rows)(const REAL *x, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t x_row, REAL *total);     \
    void (*adam_step)(REAL *p, const REAL *grad, REAL *m, REAL *v, ptrdiff_t count,                    \
                      REAL step_size, REAL new1, REAL new2, REAL eps);

typedef struct { KERNEL_TABLE(float) } npcnn_kernels_f32;
typedef struct { KERNEL_TABLE(double) } npcnn_kernels_f64;

typedef struct {
    const char *name;               /* the instruction set: "avx512", "avx2", "sse2", "neon", "plain" */
    npcnn_kernels_f32 f32;
    npcnn_kernels_f64 f64;
} npcnn_kernels;

#endif
