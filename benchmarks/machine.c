/* What this machine can do at best, and what a convolution written down as its definition does.
 *
 * benchmarks/machine.py compiles this file with the flags of the instruction set in use.  VECTOR_BYTES is the
 * width of its registers, ACCUMULATORS how many of them a sum may occupy.
 */
#include <stddef.h>
#include <string.h>
#ifdef _OPENMP
#  include <omp.h>
#endif

typedef float vec __attribute__((vector_size(VECTOR_BYTES)));
typedef float vec_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(1), may_alias));

/* `rounds` times: every accumulator = accumulator * a + b.  They do not depend on each other and never leave the
 * registers, so nothing but the multiply-add units limits this.  Returns the floating-point operations done. */
double multiply_add(long rounds, int threads)
{
    double operations = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : operations) schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        vec sum[ACCUMULATORS];
        const vec a = (vec){0} + 0.5f, b = (vec){0} + 1.0f;
#pragma GCC unroll 32
        for (int i = 0; i < ACCUMULATORS; i++)
            sum[i] = b * (float)i;
        for (long round = 0; round < rounds; round++) {
#pragma GCC unroll 32
            for (int i = 0; i < ACCUMULATORS; i++)
                sum[i] = sum[i] * a + b;
        }
        vec total = {0};
#pragma GCC unroll 32
        for (int i = 0; i < ACCUMULATORS; i++)
            total += sum[i];
        /* All sums have gone to 2; the comparison keeps the compiler from leaving them out. */
        operations += total[0] > 0 ? 2.0 * (double)(sizeof(vec) / sizeof(float)) * ACCUMULATORS * (double)rounds : 0;
    }
    return operations;
}

/* to = from, each thread its part. */
void copy(char *to, const char *from, size_t bytes, int threads)
{
    const size_t part = bytes / (size_t)threads / 64 * 64;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        const size_t begin = part * (size_t)thread, end = thread == threads - 1 ? bytes : begin + part;
        for (size_t i = begin; i + sizeof(vec) <= end; i += sizeof(vec))
            *(vec_unaligned *)(to + i) = *(const vec_unaligned *)(from + i);
    }
}

/* Two-dimensional SAME convolution, stride 1, odd kernel, as the definition has it: seven loops. */
void loops(const float *x, const float *w, float *y, long N, long H, long W, long C, long K, long O)
{
    for (long n = 0; n < N; n++)
        for (long i = 0; i < H; i++)
            for (long j = 0; j < W; j++)
                for (long o = 0; o < O; o++) {
                    float sum = 0;
                    for (long kh = 0; kh < K; kh++)
                        for (long kw = 0; kw < K; kw++) {
                            const long row = i + kh - K / 2, column = j + kw - K / 2;
                            if (row < 0 || row >= H || column < 0 || column >= W)
                                continue;
                            for (long c = 0; c < C; c++)
                                sum += x[((n * H + row) * W + column) * C + c] * w[((kh * K + kw) * C + c) * O + o];
                        }
                    y[((n * H + i) * W + j) * O + o] = sum;
                }
}
