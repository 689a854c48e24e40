/* One instruction set: every inner loop, for float and for double.
 *
 * setup.py compiles this file once per instruction set, with -DVARIANT=<name> and the compiler flags
 * that allow it.  Only the table npcnn_kernels_<name> is visible from outside.
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
#define MATH(function) function##f          /* expf */
#include "simd.h"
#include "gemm.inc.c"
#include "pooling.inc.c"
#include "depthwise.inc.c"
#include "activations.inc.c"
#include "normalization.inc.c"
#include "updates.inc.c"
#include "copies_and_sums.inc.c"
#include "toom_cook.inc.c"
#include "toom_cook_2d.inc.c"
#undef REAL
#undef INTEGER
#undef SUFFIX
#undef MATH

#define REAL double
#define INTEGER int64_t
#define SUFFIX f64
#define MATH(function) function
#include "simd.h"
#include "gemm.inc.c"
#include "pooling.inc.c"
#include "depthwise.inc.c"
#include "activations.inc.c"
#include "normalization.inc.c"
#include "updates.inc.c"
#include "copies_and_sums.inc.c"

#define OF_FLOAT(name, arguments) .name = name##_f32,
#define OF_DOUBLE(name, arguments) .name = name##_f64,

const npcnn_kernels JOIN(npcnn_kernels, VARIANT) = {
    .name = QUOTE(VARIANT),
    .vector_bytes = VECTOR_BYTES,
    .f32 = {NPCNN_KERNELS(OF_FLOAT, float) NPCNN_KERNELS_OF_FLOAT(OF_FLOAT)},
    .f64 = {NPCNN_KERNELS(OF_DOUBLE, double)},
};
