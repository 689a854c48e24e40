/* Batch normalisation over rows of channels: sums over the rows, and what is computed of them, channel by channel.
 *
 * A picture is a number of rows (its pixels) of `cols` numbers side by side (its channels), and so is a batch.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

/* total[j] += sum over the rows r of (x[r, j] - centre[j]), or of its square. */
static void NAME(add_centred_rows)(const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols, const REAL *centre,
                                   int squared, REAL *restrict total)
{
    for (ptrdiff_t j = 0; j < cols; j += VECTOR_LENGTH) {
        const ptrdiff_t count = cols - j < VECTOR_LENGTH ? cols - j : VECTOR_LENGTH;
        const vec c = NAME(load)(centre + j, count);
        vec sum = {0}, lost = {0};
        for (ptrdiff_t r = 0; r < rows; r += SUM_PIECE) {
            const ptrdiff_t end = rows - r < SUM_PIECE ? rows : r + SUM_PIECE;
            vec piece = {0};
            for (ptrdiff_t i = r; i < end; i++) {
                const vec d = NAME(load)(x + i * cols + j, count) - c;
                piece += squared ? d * d : d;
            }
            NAME(add_exactly)(&sum, &lost, piece);
        }
        NAME(store)(total + j, NAME(load)(total + j, count) + sum, count);
    }
}

/* total[j] += sum over the rows r of dy[r, j] * (x[r, j] - centre[j]). */
static void NAME(add_centred_products)(const REAL *restrict dy, const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols,
                                       const REAL *centre, REAL *restrict total)
{
    for (ptrdiff_t j = 0; j < cols; j += VECTOR_LENGTH) {
        const ptrdiff_t count = cols - j < VECTOR_LENGTH ? cols - j : VECTOR_LENGTH;
        const vec c = NAME(load)(centre + j, count);
        vec sum = {0}, lost = {0};
        for (ptrdiff_t r = 0; r < rows; r += SUM_PIECE) {
            const ptrdiff_t end = rows - r < SUM_PIECE ? rows : r + SUM_PIECE;
            vec piece = {0};
            for (ptrdiff_t i = r; i < end; i++)
                piece += NAME(load)(dy + i * cols + j, count) * (NAME(load)(x + i * cols + j, count) - c);
            NAME(add_exactly)(&sum, &lost, piece);
        }
        NAME(store)(total + j, NAME(load)(total + j, count) + sum, count);
    }
}

/* y[r, j] = (x[r, j] - centre[j]) * factor[j] + shift[j] */
static void NAME(scale_rows)(const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols, const REAL *restrict centre,
                             const REAL *restrict factor, const REAL *restrict shift, REAL *restrict y)
{
    for (ptrdiff_t r = 0; r < rows; r++, x += cols, y += cols)
        for (ptrdiff_t j = 0; j < cols; j++)
            y[j] = (x[j] - centre[j]) * factor[j] + shift[j];
}

/* dx[r, j] = factor[j] * (dy[r, j] - a[j] - (x[r, j] - centre[j]) * b[j]) */
static void NAME(scale_rows_backward)(const REAL *restrict dy, const REAL *restrict x, ptrdiff_t rows, ptrdiff_t cols,
                                      const REAL *restrict centre, const REAL *restrict factor,
                                      const REAL *restrict a, const REAL *restrict b, REAL *restrict dx)
{
    for (ptrdiff_t r = 0; r < rows; r++, x += cols, dy += cols, dx += cols)
        for (ptrdiff_t j = 0; j < cols; j++)
            dx[j] = factor[j] * (dy[j] - a[j] - (x[j] - centre[j]) * b[j]);
}
