/* A program that tries the C core by itself, where no Python is: tests/run_on_windows.sh builds it for Windows.
 *
 * On every instruction set that this CPU has, a few inner loops are set beside the loops of their definitions, in
 * double: the matrix product, which everything comes down to, on all sides of a tile; pooling; what calls the C
 * library's functions; the update of Adam; and one of Toom-Cook's.  Then the product of many matrices in threads.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "aligned_memory.h"
#include "dispatch.h"

static int failed;
static const char *isa = "no instruction set";

static void expect(const char *what, double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance * (1 + fabs(wanted)))) {
        printf("%s, %s: got %.9g, expected %.9g\n", isa, what, got, wanted);
        failed = 1;
    }
}

/* The same numbers on every machine, between -1 and 1. */
static double draw(void)
{
    static unsigned state = 1;
    state = state * 1664525u + 1013904223u;
    return (state >> 8) / 8388608.0 - 1;
}

enum { MOST = 40 * 100 };

#define FOR_TYPE(REAL, TYPE, TOLERANCE)                                                                     \
    static void fill_##TYPE(REAL *x, int count)                                                            \
    {                                                                                                      \
        for (int i = 0; i < count; i++)                                                                    \
            x[i] = (REAL)draw();                                                                           \
    }                                                                                                      \
                                                                                                           \
    /* An address that is no more than a REAL's: what stands on the stack and in arrays is not aligned. */ \
    static REAL *shifted_##TYPE(REAL *memory) { return memory + 1; }                                       \
                                                                                                           \
    static void gemm_##TYPE(int rows, int cols, int depth)                                                 \
    {                                                                                                      \
        static REAL a_memory[MOST], b_memory[MOST], c_memory[MOST], bias[100];                             \
        REAL *a = shifted_##TYPE(a_memory), *b = shifted_##TYPE(b_memory), *c = shifted_##TYPE(c_memory);  \
        const int b_row = 100;      /* readable up to the next whole vector */                             \
        fill_##TYPE(a, rows * depth), fill_##TYPE(b, depth * b_row), fill_##TYPE(bias, 100);               \
        for (int i = 0; i < rows * b_row; i++)                                                             \
            c[i] = 7;                                                                                      \
        npcnn_active()->TYPE.gemm((npcnn_sizes){rows, cols, depth, 1}, (npcnn_factor){a, depth, 1, 0},     \
                                  (npcnn_factor){b, 0, b_row, 0}, c, b_row, 0, bias, 1);                   \
        for (int r = 0; r < rows; r++)                                                                     \
            for (int j = 0; j < b_row; j++) {                                                              \
                double wanted = 7;      /* behind the last column nothing is written */                    \
                if (j < cols) {                                                                            \
                    wanted = (double)bias[j];                                                              \
                    for (int k = 0; k < depth; k++)                                                        \
                        wanted += (double)a[r * depth + k] * (double)b[k * b_row + j];                     \
                    wanted = wanted > 0 ? wanted : 0;                                                      \
                }                                                                                          \
                expect("gemm of " #REAL, (double)c[r * b_row + j], wanted, TOLERANCE);                     \
            }                                                                                              \
    }                                                                                                      \
                                                                                                           \
    static void activations_##TYPE(void)                                                                   \
    {                                                                                                      \
        static REAL x[101], y[101];                                                                        \
        fill_##TYPE(x, 101);                                                                               \
        npcnn_active()->TYPE.tanh(x, y, 101);                                                              \
        for (int i = 0; i < 101; i++)                                                                      \
            expect("tanh of " #REAL, (double)y[i], tanh((double)x[i]), TOLERANCE);                         \
        npcnn_active()->TYPE.sigmoid(x, y, 101);                                                           \
        for (int i = 0; i < 101; i++)                                                                      \
            expect("sigmoid of " #REAL, (double)y[i], 1 / (1 + exp(-(double)x[i])), TOLERANCE);            \
        npcnn_active()->TYPE.gelu(x, 0, y, 101);                                                           \
        for (int i = 0; i < 101; i++)                                                                      \
            expect("gelu of " #REAL, (double)y[i],                                                         \
                   (double)x[i] * 0.5 * erfc(-(double)x[i] * 0.70710678118654752), TOLERANCE);             \
    }                                                                                                      \
                                                                                                           \
    static void pooling_##TYPE(void)                                                                       \
    {                                                                                                      \
        enum { CHANNELS = 19 };                                                                            \
        static REAL x[4 * 6 * CHANNELS], y[3 * CHANNELS];                                                  \
        static int32_t argmax[3 * CHANNELS];                                                               \
        const npcnn_windows windows = {4, 6, CHANNELS, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0, 2, 3};                \
        fill_##TYPE(x, 4 * 6 * CHANNELS);                                                                  \
        npcnn_active()->TYPE.max_pool2d_row(x, &windows, 1, y, argmax);                                    \
        for (int j = 0; j < 3; j++)                                                                        \
            for (int c = 0; c < CHANNELS; c++) {                                                           \
                double most = -2, tap = -1;                                                                \
                for (int t = 0; t < 4; t++) {                                                              \
                    const double value = (double)x[((2 + t / 2) * 6 + 2 * j + t % 2) * CHANNELS + c];      \
                    if (value > most)                                                                      \
                        most = value, tap = t;                                                             \
                }                                                                                          \
                expect("max_pool2d of " #REAL, (double)y[j * CHANNELS + c], most, 0);                      \
                expect("its argmax", argmax[j * CHANNELS + c], tap, 0);                                    \
            }                                                                                              \
    }                                                                                                      \
                                                                                                           \
    static void adam_##TYPE(void)                                                                          \
    {                                                                                                      \
        static REAL p[53], before[53], grad[53], m[53], v[53];                                             \
        fill_##TYPE(p, 53), fill_##TYPE(grad, 53);                                                         \
        memcpy(before, p, sizeof p), memset(m, 0, sizeof m), memset(v, 0, sizeof v);                       \
        npcnn_active()->TYPE.adam_step(p, grad, m, v, 53, (REAL)0.5, (REAL)0.25, (REAL)0.125, 1, 0);       \
        for (int i = 0; i < 53; i++) {                                                                     \
            const double g = (double)grad[i];                                                              \
            expect("adam_step of " #REAL, (double)p[i],                                                    \
                   (double)before[i] - 0.5 * 0.25 * g / (sqrt(0.125 * g * g) + 1), TOLERANCE);             \
        }                                                                                                  \
    }                                                                                                      \
                                                                                                           \
    static void try_##TYPE(void)                                                                           \
    {                                                                                                      \
        for (int rows = 1; rows <= 14; rows++)                                                             \
            for (int cols = 1; cols <= 80; cols += 13)                                                     \
                gemm_##TYPE(rows, cols, 37);                                                               \
        activations_##TYPE(), pooling_##TYPE(), adam_##TYPE();                                             \
    }

FOR_TYPE(float, f32, 1e-5)
FOR_TYPE(double, f64, 1e-13)

/* Toom-Cook with 3 taps: transforms, products, transform back, beside the definition. */
static void try_toom_cook(void)
{
    enum { CHANNELS = 16, POINTS = 6, OUTPUTS = 4, TAPS = 3 };
    static float x[6 * CHANNELS], w[TAPS * CHANNELS], y[OUTPUTS * CHANNELS];
    static float v[POINTS * CHANNELS], u[POINTS * CHANNELS];
    const npcnn_kernels_f32 *kernels = &npcnn_active()->f32;
    fill_f32(x, 6 * CHANNELS), fill_f32(w, TAPS * CHANNELS);
    kernels->toom_cook_input(TAPS, x, CHANNELS, CHANNELS, v, CHANNELS);
    kernels->toom_cook_weights(TAPS, w, CHANNELS, CHANNELS, u, CHANNELS);
    for (int i = 0; i < POINTS * CHANNELS; i++)
        v[i] *= u[i];
    kernels->toom_cook_output(TAPS, v, CHANNELS, CHANNELS, 1, CHANNELS, y, CHANNELS, CHANNELS, OUTPUTS, NULL, 0);
    for (int i = 0; i < OUTPUTS; i++)
        for (int c = 0; c < CHANNELS; c++) {
            double wanted = 0;
            for (int t = 0; t < TAPS; t++)
                wanted += (double)x[(i + t) * CHANNELS + c] * (double)w[t * CHANNELS + c];
            expect("toom_cook", (double)y[i * CHANNELS + c], wanted, 1e-5);
        }
}

/* Every thread gets memory of its own, multiplies in it and gives it back. */
static void try_threads(void)
{
    enum { ITEMS = 64, SIDE = 64 };
    static double first[ITEMS];
    static float a[SIDE * SIDE], b[SIDE * SIDE];
    int item, aligned = 1;
    fill_f32(a, SIDE * SIDE), fill_f32(b, SIDE * SIDE);
    npcnn_set_threads(2);
#ifdef _OPENMP
#  pragma omp parallel for schedule(dynamic) num_threads(npcnn_threads()) reduction(&:aligned)
#endif
    for (item = 0; item < ITEMS; item++) {
        float *c = npcnn_allocate(SIDE * SIDE * sizeof(float));
        aligned &= c && (uintptr_t)c % NPCNN_ALIGNMENT == 0;
        if (!c)
            continue;
        npcnn_active()->f32.gemm((npcnn_sizes){SIDE, SIDE, SIDE, 1}, (npcnn_factor){a, SIDE, 1, 0},
                                 (npcnn_factor){b, 0, SIDE, 0}, c, SIDE, 0, NULL, 0);
        first[item] = (double)c[0];
        npcnn_release(c);
    }
    expect("alignment", aligned, 1, 0);
    for (item = 1; item < ITEMS; item++)
        expect("gemm in threads", first[item], first[0], 0);
}

int main(void)
{
    printf("built by %s, %s OpenMP\n", npcnn_compiler(), npcnn_has_openmp() ? "with" : "without");
    for (int i = 0; (isa = npcnn_supported_isa(i)); i++) {
        if (npcnn_use_isa(isa) != 0 || strcmp(npcnn_active()->name, isa) != 0)
            return printf("%s is supported, but could not be chosen\n", isa), 1;
        try_f32(), try_f64(), try_toom_cook(), try_threads();
        printf("%s: %s\n", isa, failed ? "failed" : "right");
    }
    isa = "all";
    expect("an instruction set that nobody has is refused", npcnn_use_isa("mmx"), -1, 0);
    printf(failed ? "some failed\n" : "all passed\n");
    return failed;
}
