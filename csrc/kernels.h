/* The inner loops that csrc/ offers: one list, from which everything else about them is made.
 *
 * KERNEL(name, arguments) declares one.  The structs below turn the list into a table of pointers for float and one
 * for double, variant.c fills them once for every instruction set, and dispatch.c chooses among those when the library
 * is loaded.  All sizes and steps count numbers, not bytes.
 */
#ifndef NPCNN_KERNELS_H
#define NPCNN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "windows.h"

/* A matrix product: its sizes, and each factor as the address where it begins and its steps from row to row, along the
 * depth (the index that is summed over) and from tap to tap.  gemm.inc.c explains them. */
typedef struct {
    ptrdiff_t rows, cols, depth, taps;
} npcnn_sizes;

typedef struct {
    const void *numbers;                            /* of the type of the result */
    ptrdiff_t row, depth, tap;
} npcnn_factor;

/* The taps of a window that lie inside the picture: rows and columns of them, and the steps from row to row and from
 * column to column, in the picture and in the weights. */
typedef struct {
    ptrdiff_t rows, cols;
    ptrdiff_t x_row, x_col, w_row, w_col;
} npcnn_taps;

/* What is applied to a result on its way to memory, where there is a choice. */
enum { NPCNN_NO_ACTIVATION, NPCNN_RELU, NPCNN_GELU };

#define NPCNN_KERNELS(KERNEL, REAL)                                                                    \
    /* gemm.inc.c */                                                                                   \
    KERNEL(gemm, (npcnn_sizes sizes, npcnn_factor a, npcnn_factor b, REAL *c, ptrdiff_t c_row,         \
                  int accumulate, const REAL *bias, int relu))                                         \
    /* depthwise.inc.c */                                                                              \
    KERNEL(depthwise, (const REAL *x, ptrdiff_t x_pixel, npcnn_taps taps, const REAL *w,               \
                       const REAL *bias, int relu, ptrdiff_t pixels, ptrdiff_t channels, REAL *y))     \
    KERNEL(depthwise_three_columns, (const REAL *x, npcnn_taps taps, const REAL *w, const REAL *bias,  \
                                     int relu, int lacks_left, int lacks_right, ptrdiff_t pixels,      \
                                     ptrdiff_t channels, REAL *y))                                     \
    KERNEL(depthwise_3x3_weights, (const REAL *x, npcnn_taps taps, const REAL *dy, int lacks_left,     \
                                   int lacks_right, ptrdiff_t pixels, ptrdiff_t channels,              \
                                   REAL *dw))                                                          \
    KERNEL(depthwise_weights, (const REAL *x, ptrdiff_t x_pixel, const REAL *dy, ptrdiff_t pixels,     \
                               ptrdiff_t channels, REAL *dw))                                          \
    KERNEL(depthwise_spread, (const REAL *dy, const REAL *w, ptrdiff_t pixels, ptrdiff_t channels,     \
                              REAL *dx, ptrdiff_t dx_pixel))                                           \
    /* pooling.inc.c */                                                                                \
    KERNEL(max_pool2d_row, (const REAL *x, const npcnn_windows *windows, ptrdiff_t out_row,            \
                            REAL *y, int32_t *argmax))                                                 \
    KERNEL(max_pool2d_look, (const int32_t *argmax, ptrdiff_t count, ptrdiff_t taps, int *outside))    \
    KERNEL(max_pool2d_backward_row, (const REAL *dy, const int32_t *argmax,                            \
                                     const npcnn_windows *windows, ptrdiff_t channels,                 \
                                     ptrdiff_t out_row, int disjoint, REAL *dx))                                          \
    KERNEL(avg_pool2d_row, (const REAL *x, const npcnn_windows *windows, ptrdiff_t out_row,            \
                            int count_include_pad, REAL *y))                                           \
    KERNEL(avg_pool2d_backward_row, (const REAL *dy, const npcnn_windows *windows, ptrdiff_t out_row,  \
                                     int count_include_pad, int disjoint, REAL *dx))                   \
    /* activations.inc.c */                                                                            \
    KERNEL(relu, (const REAL *x, REAL *y, ptrdiff_t count))                                            \
    KERNEL(relu_backward, (const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count))                  \
    KERNEL(leaky_relu, (const REAL *x, REAL slope, REAL *y, ptrdiff_t count))                          \
    KERNEL(leaky_relu_backward, (const REAL *dy, const REAL *y, REAL slope, REAL *dx,                  \
                                 ptrdiff_t count))                                                     \
    KERNEL(gelu, (const REAL *x, int tanh_form, REAL *y, ptrdiff_t count))                             \
    KERNEL(gelu_backward, (const REAL *dy, const REAL *x, int tanh_form, REAL *dx, ptrdiff_t count))   \
    KERNEL(silu, (const REAL *x, REAL *y, ptrdiff_t count))                                            \
    KERNEL(silu_backward, (const REAL *dy, const REAL *x, REAL *dx, ptrdiff_t count))                  \
    KERNEL(sigmoid, (const REAL *x, REAL *y, ptrdiff_t count))                                         \
    KERNEL(sigmoid_backward, (const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count))               \
    KERNEL(tanh, (const REAL *x, REAL *y, ptrdiff_t count))                                            \
    KERNEL(tanh_backward, (const REAL *dy, const REAL *y, REAL *dx, ptrdiff_t count))                  \
    /* normalization.inc.c */                                                                          \
    KERNEL(batch_statistics, (const REAL *x, ptrdiff_t rows, ptrdiff_t cols, const REAL *centre,       \
                              double *total))                                                          \
    KERNEL(batch_norm, (const REAL *x, ptrdiff_t rows, ptrdiff_t cols, const REAL *table,              \
                        int activation, REAL *y))                                                      \
    KERNEL(batch_norm_sums, (const REAL *dy, const REAL *x, ptrdiff_t rows, ptrdiff_t cols,            \
                             const REAL *table, int activation, double *total, REAL *before))          \
    KERNEL(batch_norm_backward, (const REAL *dy, const REAL *x, ptrdiff_t rows, ptrdiff_t cols,        \
                                 const REAL *table, int relu, REAL *dx))                               \
    /* updates.inc.c */                                                                                \
    KERNEL(adam_step, (REAL *p, const REAL *grad, REAL *m, REAL *v, ptrdiff_t count,                   \
                       REAL step_size, REAL new1, REAL new2, REAL eps, REAL decay))                    \
    /* copies_and_sums.inc.c */                                                                        \
    KERNEL(copy_pixels, (const REAL *x, const REAL *relu_output, ptrdiff_t pixels,                     \
                         ptrdiff_t channels, ptrdiff_t x_pixel, REAL *to, ptrdiff_t to_pixel))         \
    KERNEL(copy_past_caches, (const REAL *x, REAL *to, ptrdiff_t count))                               \
    KERNEL(add, (const REAL *a, const REAL *b, REAL *y, ptrdiff_t count))                              \
    KERNEL(add_rows, (const REAL *x, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t x_row, REAL *total))

/* Toom-Cook is for float only: double always takes the exact algorithm. */
#define NPCNN_KERNELS_OF_FLOAT(KERNEL)                                                                 \
    /* toom_cook.inc.c */                                                                              \
    KERNEL(toom_cook_look, (const float *x, ptrdiff_t count, int *too_large))                          \
    KERNEL(toom_cook_copy, (const float *x, const float *relu_output, ptrdiff_t pixels,                \
                            ptrdiff_t channels, ptrdiff_t x_pixel, float *to, ptrdiff_t to_pixel,      \
                            int *too_large))                                                           \
    KERNEL(toom_cook_input, (int taps, const float *x, ptrdiff_t x_step, ptrdiff_t count,              \
                             float *v, ptrdiff_t v_step))                                              \
    KERNEL(toom_cook_gradient, (int taps, const float *dy, ptrdiff_t dy_step, ptrdiff_t count,         \
                                float *v, ptrdiff_t v_step))                                           \
    KERNEL(toom_cook_weights, (int taps, const float *w, ptrdiff_t w_step, ptrdiff_t count,            \
                               float *u, ptrdiff_t u_step))                                            \
    KERNEL(toom_cook_weight_gradient, (int taps, const float *du, ptrdiff_t du_step,                   \
                                       ptrdiff_t count, float *dw, ptrdiff_t dw_step))                 \
    KERNEL(toom_cook_output, (int taps, const float *m, ptrdiff_t m_step, ptrdiff_t m_pixel,           \
                              ptrdiff_t pixels, ptrdiff_t channels,                                    \
                              float *y, ptrdiff_t y_step, ptrdiff_t y_pixel, ptrdiff_t lines,          \
                              const float *bias, int relu))                                            \
    /* toom_cook_2d.inc.c */                                                                           \
    KERNEL(toom_cook_2d_input, (int lines, int columns, const float *x, ptrdiff_t x_line,              \
                                ptrdiff_t x_pixel, ptrdiff_t count, float *v, ptrdiff_t v_point))      \
    KERNEL(toom_cook_2d_gradient, (int lines, int columns, const float *dy, ptrdiff_t dy_line,         \
                                   ptrdiff_t dy_pixel, ptrdiff_t count, float *g, ptrdiff_t g_point))  \
    KERNEL(toom_cook_2d_weights, (const float *w, ptrdiff_t w_tap, ptrdiff_t count,                    \
                                  float *u, ptrdiff_t u_point))                                        \
    KERNEL(toom_cook_2d_weight_gradient, (const float *du, ptrdiff_t du_point, ptrdiff_t count,        \
                                          float *dw, ptrdiff_t dw_tap))                                \
    KERNEL(toom_cook_2d_output, (int lines, int columns, const float *m, ptrdiff_t m_point,            \
                                 ptrdiff_t channels, float *y, ptrdiff_t y_line, ptrdiff_t y_pixel,    \
                                 ptrdiff_t height, ptrdiff_t width, const float *bias, int relu))

#define NPCNN_POINTER(name, arguments) void (*name) arguments;
typedef struct { NPCNN_KERNELS(NPCNN_POINTER, float) NPCNN_KERNELS_OF_FLOAT(NPCNN_POINTER) } npcnn_kernels_f32;
typedef struct { NPCNN_KERNELS(NPCNN_POINTER, double) } npcnn_kernels_f64;

typedef struct {
    const char *name;               /* the instruction set: "avx512", "avx2", "sse2", "neon", "plain" */
    ptrdiff_t vector_bytes;         /* 0 where there are no vectors */
    npcnn_kernels_f32 f32;
    npcnn_kernels_f64 f64;
} npcnn_kernels;

#endif
