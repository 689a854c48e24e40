/* Copies and sums that the kernels share; the compiler turns most loops into vectors.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

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

static void NAME(add)(const REAL *restrict x, REAL *restrict total, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        total[i] += x[i];
}

/* total[j] += sum over the rows r of x[r, j]: the gradient of a bias. */
static void NAME(add_rows)(const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t x_row,
                           REAL *restrict total)
{
    for (ptrdiff_t j = 0; j < cols; j += VECTOR_LENGTH) {
        const ptrdiff_t count = cols - j < VECTOR_LENGTH ? cols - j : VECTOR_LENGTH;
        vec sum = {0}, lost = {0};
        for (ptrdiff_t r = 0; r < rows; r += SUM_PIECE) {
            const ptrdiff_t end = rows - r < SUM_PIECE ? rows : r + SUM_PIECE;
            vec piece = {0};
            for (ptrdiff_t i = r; i < end; i++)
                piece += NAME(load)(x + i * x_row + j, count);
            NAME(add_exactly)(&sum, &lost, piece);
        }
        NAME(store)(total + j, NAME(load)(total + j, count) + sum, count);
    }
}
