/* Batch normalisation over rows of channels: sums over the rows, and what is computed of them, channel by channel.
 *
 * A picture is a number of rows (its pixels) of `cols` numbers side by side (its channels), and so is a batch.  For
 * each channel j a `table` holds a centre, a factor and a shift, `cols` numbers of each, one row after the other:
 *
 *     y = (x - centre[j]) * factor[j] + shift[j], and through the activation if there is one
 *
 * All this waits for memory.  So the activation is applied on the way; the backward pass computes once more what went
 * into it, by the same instructions, and need not read it; and sums that are needed together are formed together.
 * Rows are taken BLOCK_ROWS at a time: those stay in the L1 cache while one vector of channels after the other goes
 * down them.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

#undef BLOCK_ROWS
#define BLOCK_ROWS 32

/* Call block(first number of its part of x, rows, columns: a vector or less, first column, cols, ...). */
#undef EACH_BLOCK
#define EACH_BLOCK(block, ...)                                                                        \
    for (ptrdiff_t r = 0; r < rows; r += BLOCK_ROWS) {                                                \
        const ptrdiff_t here = rows - r < BLOCK_ROWS ? rows - r : BLOCK_ROWS;                         \
        ptrdiff_t j = 0;                                                                              \
        for (; cols - j >= VECTOR_LENGTH; j += VECTOR_LENGTH)                                         \
            block(r * cols + j, here, VECTOR_LENGTH, j, cols, __VA_ARGS__);                           \
        if (j < cols)                                                                                 \
            block(r * cols + j, here, cols - j, j, cols, __VA_ARGS__);                                \
    }

/* The same with the activation, a number of kernels.h, as a constant: EACH_BLOCK(block, ..., activation). */
#undef EACH_ACTIVATED_BLOCK
#define EACH_ACTIVATED_BLOCK(block, ...)                                                              \
    switch (activation) {                                                                             \
    case NPCNN_RELU:                                                                                  \
        EACH_BLOCK(block, __VA_ARGS__, NPCNN_RELU)                                                    \
        break;                                                                                        \
    case NPCNN_GELU:                                                                                  \
        EACH_BLOCK(block, __VA_ARGS__, NPCNN_GELU)                                                    \
        break;                                                                                        \
    default:                                                                                          \
        EACH_BLOCK(block, __VA_ARGS__, NPCNN_NO_ACTIVATION)                                           \
    }

ALWAYS_INLINE void NAME(add_to_doubles)(vec v, double *total, ptrdiff_t width)
{
    REAL number[VECTOR_LENGTH];
    memcpy(number, &v, sizeof v);
    for (ptrdiff_t k = 0; k < width; k++)
        total[k] += number[k];
}

ALWAYS_INLINE void NAME(block_statistics)(ptrdiff_t at, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t j, ptrdiff_t cols,
                                          const REAL *x, const REAL *centre, double *total)
{
    const vec c = NAME(load)(centre + j, width);
    vec sum = {0}, squares = {0};
    for (ptrdiff_t i = 0; i < rows; i++) {
        const vec d = NAME(load)(x + at + i * cols, width) - c;
        sum += d;
        squares += d * d;
    }
    NAME(add_to_doubles)(sum, total + j, width);
    NAME(add_to_doubles)(squares, total + cols + j, width);
}

/* With d = x[r, j] - centre[j]: total[0, j] += sum over the rows of d, total[1, j] += sum of d * d. */
static void NAME(batch_statistics)(const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols,
                                   const REAL *restrict centre, double *restrict total)
{
    EACH_BLOCK(NAME(block_statistics), x, centre, total)
}

ALWAYS_INLINE void NAME(block_norm)(ptrdiff_t at, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t j, ptrdiff_t cols,
                                    const REAL *restrict x, const REAL *table, REAL *restrict y, const int activation)
{
    const vec centre = NAME(load)(table + j, width), factor = NAME(load)(table + cols + j, width);
    const vec shift = NAME(load)(table + 2 * cols + j, width);
    for (ptrdiff_t i = 0; i < rows; i++) {
        vec v = (NAME(load)(x + at + i * cols, width) - centre) * factor + shift;
        if (activation == NPCNN_RELU)
            v = NAME(relu_vec)(v);
        else if (activation == NPCNN_GELU)
            v = NAME(gelu_vec)(v, 0);
        NAME(store)(y + at + i * cols, v, width);
    }
}

static void NAME(batch_norm)(const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols, const REAL *restrict table,
                             int activation, REAL *restrict y)
{
    EACH_ACTIVATED_BLOCK(NAME(block_norm), x, table, y)
}

/* dy taken back through the activation, if there is one, that was applied to what came of x; `d` becomes x - centre. */
ALWAYS_INLINE vec NAME(before_activation)(const REAL *dy, const REAL *x, ptrdiff_t width, vec centre, vec factor,
                                          vec shift, vec *d, const int activation)
{
    const vec gradient = NAME(load)(dy, width);
    *d = NAME(load)(x, width) - centre;
    if (activation == NPCNN_RELU)
        return NAME(select)(*d * factor + shift > (REAL)0, gradient, (vec){0});
    return activation == NPCNN_GELU ? gradient * NAME(gelu_slope)(*d * factor + shift, 0) : gradient;
}

ALWAYS_INLINE void NAME(block_sums)(ptrdiff_t at, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t j, ptrdiff_t cols,
                                    const REAL *dy, const REAL *x, const REAL *table, double *total, REAL *before,
                                    const int activation)
{
    const vec centre = NAME(load)(table + j, width), factor = NAME(load)(table + cols + j, width);
    const vec shift = NAME(load)(table + 2 * cols + j, width);
    vec sum = {0}, products = {0}, d;
    for (ptrdiff_t i = 0; i < rows; i++) {
        const ptrdiff_t here = at + i * cols;
        const vec gradient = NAME(before_activation)(dy + here, x + here, width, centre, factor, shift, &d, activation);
        if (activation == NPCNN_GELU)
            NAME(store)(before + here, gradient, width);
        sum += gradient;
        products += gradient * d;
    }
    NAME(add_to_doubles)(sum, total + j, width);
    NAME(add_to_doubles)(products, total + cols + j, width);
}

/* total[0, j] += sum over the rows of dy taken back through the activation; total[1, j] += sum of that times
 * x[r, j] - centre[j].  Taken back through a GELU, which is too much to compute twice, dy is written to `before`. */
static void NAME(batch_norm_sums)(const REAL *restrict dy, const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols,
                                  const REAL *restrict table, int activation, double *restrict total,
                                  REAL *restrict before)
{
    EACH_ACTIVATED_BLOCK(NAME(block_sums), dy, x, table, total, before)
}

ALWAYS_INLINE void NAME(block_backward)(ptrdiff_t at, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t j, ptrdiff_t cols,
                                        const REAL *dy, const REAL *restrict x, const REAL *table, REAL *dx,
                                        const int activation)
{
    const vec centre = NAME(load)(table + j, width), factor = NAME(load)(table + cols + j, width);
    const vec shift = NAME(load)(table + 2 * cols + j, width);
    const vec a = NAME(load)(table + 3 * cols + j, width), b = NAME(load)(table + 4 * cols + j, width);
    vec d;
    for (ptrdiff_t i = 0; i < rows; i++) {
        const ptrdiff_t here = at + i * cols;
        const vec gradient = NAME(before_activation)(dy + here, x + here, width, centre, factor, shift, &d, activation);
        NAME(store)(dx + here, factor * (gradient - a - d * b), width);
    }
}

/* dx = factor * (dy - a - (x - centre) * b), where dy is taken back through the ReLU, if there is one; a and b follow
 * in the table.  dx may be dy. */
static void NAME(batch_norm_backward)(const REAL *dy, const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols,
                                      const REAL *restrict table, int relu, REAL *dx)
{
    if (relu)
        EACH_BLOCK(NAME(block_backward), dy, x, table, dx, NPCNN_RELU)
    else
        EACH_BLOCK(NAME(block_backward), dy, x, table, dx, NPCNN_NO_ACTIVATION)
}
