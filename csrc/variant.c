/* One instruction set: every inner loop, for float and for double.
 *
 * setup.py compiles this file once per instruction set, with -DVARIANT=<name> and the compiler flags
 * that allow it.  Nothing here is visible to the outside but the table npcnn_kernels_<name>.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"
#include "toom_cook_tables.h"

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define QUOTE_(a) #a
#define QUOTE(a) QUOTE_(a)
#define NAME(function) JOIN(function, SUFFIX)

#define REAL float
#define INTEGER int32_t
#define SUFFIX f32
#include "simd.h"
#include "gemm.inc.c"
#include "pooling.inc.c"
#include "toom_cook.inc.c"
#include "elementwise.inc.c"
enum { VECTOR_LENGTH_F32 = VECTOR_LENGTH };
#undef REAL
#undef INTEGER
#undef SUFFIX

#define REAL double
#define INTEGER int64_t
#define SUFFIX f64
#include "simd.h"
#include "gemm.inc.c"
#include "pooling.inc.c"
#include "toom_cook.inc.c"
#include "elementwise.inc.c"
enum { VECTOR_LENGTH_F64 = VECTOR_LENGTH };

#define TABLE(suffix, length)                                                                          \
    {                                                                                                  \
        .vector_length = length,                                                                       \
        .gemm = gemm_##suffix,                                                                         \
        .max_pool2d_row = max_pool2d_row_##suffix,                                                     \
        .max_pool2d_backward_row = max_pool2d_backward_row_##suffix,                                   \
        .avg_pool2d_row = avg_pool2d_row_##suffix,                                                     \
        .avg_pool2d_backward_row = avg_pool2d_backward_row_##suffix,                                   \
        .toom_cook_input = toom_cook_input_##suffix,                                                   \
        .toom_cook_gradient = toom_cook_gradient_##suffix,                                             \
        .toom_cook_weights = toom_cook_weights_##suffix,                                               \
        .toom_cook_weight_gradient = toom_cook_weight_gradient_##suffix,                               \
        .toom_cook_output = toom_cook_output_##suffix,                                                 \
        .relu = relu_##suffix,                                                                         \
        .relu_backward = relu_backward_##suffix,                                                       \
        .copy_pixels = copy_pixels_##suffix,                                                           \
        .add = add_##suffix,                                                                           \
        .add_rows = add_rows_##suffix,                                                                 \
        .adam_step = adam_step_##suffix,                                                               \
    }

const npcnn_kernels JOIN(npcnn_kernels, VARIANT) = {
    .name = QUOTE(VARIANT),
    .f32 = TABLE(f32, VECTOR_LENGTH_F32),
    .f64 = TABLE(f64, VECTOR_LENGTH_F64),
};
