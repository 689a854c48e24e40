/* Max and average pooling, one row of output pixels at a time.
 *
 * NHWC puts the channels of a pixel side by side, so every loop over c below takes a vector of them: a window is a
 * handful of pixels that are compared or added channel by channel, and the maximum or the sum stays in a register.
 * Taps in the padding are skipped.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

/* Call `function(rows, columns, ...)` on a window; for the usual size, 2 x 2, with constants, so that the compiler can
 * unroll its loops. */
#undef FOR_WINDOW
#define FOR_WINDOW(function, rows, columns, ...)                                                      \
    do {                                                                                              \
        if ((rows) == 2 && (columns) == 2)                                                            \
            NAME(function)(2, 2, __VA_ARGS__);                                                        \
        else                                                                                          \
            NAME(function)(rows, columns, __VA_ARGS__);                                               \
    } while (0)

/* Windows of up to this many pixels are simply added up. */
#undef SHORT_SUM
#define SHORT_SUM 64

/* Tap numbers are int32_t in memory; the integers of a mask have that size for float only. */
ALWAYS_INLINE mask NAME(load_taps)(const int32_t *from, ptrdiff_t count)
{
#if VECTOR_BYTES
    mask taps = {0};
    for (ptrdiff_t i = 0; i < count; i++)
        taps[i] = from[i];
    return taps;
#else
    (void)count;
    return *from;
#endif
}

ALWAYS_INLINE void NAME(store_taps)(int32_t *to, mask taps, ptrdiff_t count)
{
#if VECTOR_BYTES
    for (ptrdiff_t i = 0; i < count; i++)
        to[i] = (int32_t)taps[i];
#else
    (void)count;
    *to = (int32_t)taps;
#endif
}

/* The largest of rows x columns pixels, and, if asked for, its tap: taps count from `first_tap`, and by `tap_row` from
 * row to row. */
ALWAYS_INLINE void NAME(max_vector)(ptrdiff_t rows, ptrdiff_t columns, const REAL *x, ptrdiff_t row, ptrdiff_t pixel,
                                    ptrdiff_t first_tap, ptrdiff_t tap_row, ptrdiff_t count, REAL *y, int32_t *argmax)
{
    vec best = NAME(load)(x, count);
    mask best_tap = (mask){0} + (INTEGER)first_tap;
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = i == 0; j < columns; j++) {
            const vec v = NAME(load)(x + i * row + j * pixel, count);
            const mask tap = (mask){0} + (INTEGER)(first_tap + i * tap_row + j);
            /* Strictly greater: of equal values the first stays.  The first NaN (v != v) wins. */
            const mask wins = (v > best) | ((v != v) & (best == best));
            best = NAME(select)(wins, v, best);
            if (argmax)
                best_tap = NAME(select_integer)(wins, tap, best_tap);
        }
    NAME(store)(y, best, count);
    if (argmax)
        NAME(store_taps)(argmax, best_tap, count);
}

ALWAYS_INLINE void NAME(max_row)(const REAL *x, const npcnn_windows *windows, ptrdiff_t out_row, REAL *y,
                                 int32_t *argmax)
{
    const ptrdiff_t C = windows->channels, row = windows->dilation_h * windows->width * C;
    const ptrdiff_t pixel = windows->dilation_w * C;
    const npcnn_span rows = npcnn_rows(windows, out_row);
    for (ptrdiff_t j = 0; j < windows->out_width; j++, y += C) {
        const npcnn_span columns = npcnn_columns(windows, j);
        const REAL *window = x + (rows.pixel * windows->width + columns.pixel) * C;
        const ptrdiff_t first_tap = rows.first * windows->size_w + columns.first;
        FOR_VECTORS(C, FOR_WINDOW(max_vector, rows.inside, columns.inside, window + c, row, pixel,
                                  first_tap, windows->size_w, count, y + c, argmax ? argmax + c : NULL));
        if (argmax)
            argmax += C;
    }
}

/* `argmax` may be NULL, and is then known to be: without it a window takes half the instructions. */
static void NAME(max_pool2d_row)(const REAL *x, const npcnn_windows *windows, ptrdiff_t out_row,
                                 REAL *y, int32_t *argmax)
{
    if (argmax)
        NAME(max_row)(x, windows, out_row, y, argmax);
    else
        NAME(max_row)(x, windows, out_row, y, NULL);
}

/* Set *outside if an argmax is not one of so many taps.  Taken as unsigned, negative numbers are large. */
static void NAME(max_pool2d_look)(const int32_t *argmax, ptrdiff_t count, ptrdiff_t taps, int *outside)
{
    int32_t found = 0;
    for (ptrdiff_t i = 0; i < count; i++)
        found |= (uint32_t)argmax[i] >= (uint32_t)taps;
    *outside |= found;
}

/* Add `gradient` to dx, or, where windows are `disjoint`, write it over what was there. */
ALWAYS_INLINE void NAME(give)(REAL *dx, vec gradient, ptrdiff_t count, int disjoint)
{
    NAME(store)(dx, disjoint ? gradient : gradient + NAME(load)(dx, count), count);
}

ALWAYS_INLINE void NAME(max_backward_vector)(ptrdiff_t rows, ptrdiff_t columns, const REAL *dy, const int32_t *argmax,
                                             ptrdiff_t first_tap, ptrdiff_t tap_row, ptrdiff_t count, int disjoint,
                                             REAL *dx, ptrdiff_t row, ptrdiff_t pixel)
{
    const vec gradient = NAME(load)(dy, count);
    const mask best_tap = NAME(load_taps)(argmax, count);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++) {
            const mask tap = (mask){0} + (INTEGER)(first_tap + i * tap_row + j);
            NAME(give)(dx + i * row + j * pixel, NAME(select)(best_tap == tap, gradient, (vec){0}), count, disjoint);
        }
}

/* For so many channels, from those on that the pointers say. */
static void NAME(max_pool2d_backward_row)(const REAL *dy, const int32_t *argmax, const npcnn_windows *windows,
                                          ptrdiff_t channels, ptrdiff_t out_row, int disjoint, REAL *dx)
{
    const ptrdiff_t C = windows->channels, row = windows->dilation_h * windows->width * C;
    const ptrdiff_t pixel = windows->dilation_w * C;
    const npcnn_span rows = npcnn_rows(windows, out_row);
    for (ptrdiff_t j = 0; j < windows->out_width; j++, dy += C, argmax += C) {
        const npcnn_span columns = npcnn_columns(windows, j);
        REAL *window = dx + (rows.pixel * windows->width + columns.pixel) * C;
        const ptrdiff_t first_tap = rows.first * windows->size_w + columns.first;
        FOR_VECTORS(channels, FOR_WINDOW(max_backward_vector, rows.inside, columns.inside, dy + c, argmax + c,
                                  first_tap, windows->size_w, count, disjoint, window + c, row, pixel));
    }
}

ALWAYS_INLINE void NAME(avg_vector)(ptrdiff_t rows, ptrdiff_t columns, const REAL *x, ptrdiff_t row, ptrdiff_t pixel,
                                    REAL divisor, ptrdiff_t count, REAL *y)
{
    vec sum = {0}, lost = {0};
    if (rows * columns <= SHORT_SUM)
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < columns; j++)
                sum += NAME(load)(x + i * row + j * pixel, count);
    else
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < columns; j += SUM_PIECE) {
                const ptrdiff_t end = columns - j < SUM_PIECE ? columns : j + SUM_PIECE;
                vec piece = {0};
                for (ptrdiff_t k = j; k < end; k++)
                    piece += NAME(load)(x + i * row + k * pixel, count);
                NAME(add_exactly)(&sum, &lost, piece);
            }
    NAME(store)(y, sum / divisor, count);
}

/* What the mean is divided by: the taps inside the picture, or those inside the padded picture. */
ALWAYS_INLINE REAL NAME(divisor)(npcnn_span rows, npcnn_span columns, int count_include_pad)
{
    return (REAL)(count_include_pad ? rows.padded * columns.padded : rows.inside * columns.inside);
}

static void NAME(avg_pool2d_row)(const REAL *x, const npcnn_windows *windows, ptrdiff_t out_row,
                                 int count_include_pad, REAL *y)
{
    const ptrdiff_t C = windows->channels, row = windows->dilation_h * windows->width * C;
    const ptrdiff_t pixel = windows->dilation_w * C;
    const npcnn_span rows = npcnn_rows(windows, out_row);
    for (ptrdiff_t j = 0; j < windows->out_width; j++, y += C) {
        const npcnn_span columns = npcnn_columns(windows, j);
        const REAL *window = x + (rows.pixel * windows->width + columns.pixel) * C;
        const REAL divisor = NAME(divisor)(rows, columns, count_include_pad);
        FOR_VECTORS(C, FOR_WINDOW(avg_vector, rows.inside, columns.inside, window + c, row, pixel,
                                  divisor, count, y + c));
    }
}

ALWAYS_INLINE void NAME(avg_backward_vector)(ptrdiff_t rows, ptrdiff_t columns, const REAL *dy, REAL divisor,
                                             ptrdiff_t count, int disjoint, REAL *dx, ptrdiff_t row, ptrdiff_t pixel)
{
    const vec share = NAME(load)(dy, count) / divisor;
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++)
            NAME(give)(dx + i * row + j * pixel, share, count, disjoint);
}

static void NAME(avg_pool2d_backward_row)(const REAL *dy, const npcnn_windows *windows, ptrdiff_t out_row,
                                          int count_include_pad, int disjoint, REAL *dx)
{
    const ptrdiff_t C = windows->channels, row = windows->dilation_h * windows->width * C;
    const ptrdiff_t pixel = windows->dilation_w * C;
    const npcnn_span rows = npcnn_rows(windows, out_row);
    for (ptrdiff_t j = 0; j < windows->out_width; j++, dy += C) {
        const npcnn_span columns = npcnn_columns(windows, j);
        REAL *window = dx + (rows.pixel * windows->width + columns.pixel) * C;
        const REAL divisor = NAME(divisor)(rows, columns, count_include_pad);
        FOR_VECTORS(C, FOR_WINDOW(avg_backward_vector, rows.inside, columns.inside, dy + c,
                                  divisor, count, disjoint, window + c, row, pixel));
    }
}
