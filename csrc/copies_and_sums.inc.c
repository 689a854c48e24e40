/* Copies and sums that the kernels share; the compiler turns most loops into vectors.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

#undef SUM_COLUMNS
#define SUM_COLUMNS 4

/* Copy pixels that lie x_pixel numbers apart to places to_pixel apart.  With relu_output, laid out like x, numbers
 * that the ReLU stopped become 0. */
static void NAME(copy_pixels)(const REAL *restrict x, const REAL *restrict relu_output, ptrdiff_t pixels,
                              ptrdiff_t channels, ptrdiff_t x_pixel, REAL *restrict to, ptrdiff_t to_pixel)
{
    if (x_pixel == channels && to_pixel == channels) {      /* no gaps: one run */
        channels *= pixels;
        pixels = 1;
    }
    for (ptrdiff_t i = 0; i < pixels; i++, x += x_pixel, to += to_pixel)
        if (relu_output) {
            NAME(relu_backward)(x, relu_output, to, channels);
            relu_output += x_pixel;
        } else {
            for (ptrdiff_t c = 0; c < channels; c++)
                to[c] = x[c];
        }
}

/* Copy `count` numbers to memory past the caches: the way for results that would be pushed out before anyone reads
 * them.  An ordinary store brings a line in before it changes it, so that memory moves it twice; whole lines that are
 * written this way are not read before.  What is not a whole line, at either end, is stored as usual.  Other threads
 * see what was written once the threads of a kernel have met at its end. */
static void NAME(copy_past_caches)(const REAL *restrict x, REAL *restrict to, ptrdiff_t count)
{
#ifdef STREAMED_BYTES
    ptrdiff_t i = 0;
    while (i < count && (uintptr_t)(to + i) % CACHE_LINE) {
        to[i] = x[i];
        i++;
    }
    const ptrdiff_t line = CACHE_LINE / (ptrdiff_t)sizeof(REAL);
    for (; i + line <= count; i += line)
        UNROLL for (int bytes = 0; bytes < CACHE_LINE; bytes += STREAMED_BYTES)
            STREAM((char *)(to + i) + bytes, (const char *)(x + i) + bytes);
    for (; i < count; i++)
        to[i] = x[i];
#else
    memcpy(to, x, (size_t)count * sizeof(REAL));
#endif
}

/* y = a + b; y may be a or b. */
static void NAME(add)(const REAL *a, const REAL *b, REAL *y, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

/* total[j] += sum over the rows r of x[r, j], for some vectors of columns at once: their additions need not wait for
 * each other. */
ALWAYS_INLINE void NAME(add_columns)(const int vectors, const REAL *x, ptrdiff_t rows, ptrdiff_t count, ptrdiff_t x_row,
                                     REAL *total)
{
    vec sum[SUM_COLUMNS], lost[SUM_COLUMNS];
    UNROLL for (int v = 0; v < vectors; v++)
        sum[v] = lost[v] = (vec){0};
    for (ptrdiff_t r = 0; r < rows; r += SUM_PIECE) {
        const ptrdiff_t end = rows - r < SUM_PIECE ? rows : r + SUM_PIECE;
        vec piece[SUM_COLUMNS];
        UNROLL for (int v = 0; v < vectors; v++)
            piece[v] = (vec){0};
        for (ptrdiff_t i = r; i < end; i++)
            UNROLL for (int v = 0; v < vectors; v++)
                piece[v] += NAME(load)(x + i * x_row + v * VECTOR_LENGTH, count);
        UNROLL for (int v = 0; v < vectors; v++)
            NAME(add_exactly)(&sum[v], &lost[v], piece[v]);
    }
    UNROLL for (int v = 0; v < vectors; v++) {
        REAL *to = total + v * VECTOR_LENGTH;
        NAME(store)(to, NAME(load)(to, count) + sum[v], count);
    }
}

/* total[j] += sum over the rows r of x[r, j]: the gradient of a bias. */
static void NAME(add_rows)(const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t x_row,
                           REAL *restrict total)
{
    ptrdiff_t j = 0;
    for (; cols - j >= SUM_COLUMNS * VECTOR_LENGTH; j += SUM_COLUMNS * VECTOR_LENGTH)
        NAME(add_columns)(SUM_COLUMNS, x + j, rows, VECTOR_LENGTH, x_row, total + j);
    for (; j < cols; j += VECTOR_LENGTH)
        NAME(add_columns)(1, x + j, rows, cols - j < VECTOR_LENGTH ? cols - j : VECTOR_LENGTH, x_row, total + j);
}
