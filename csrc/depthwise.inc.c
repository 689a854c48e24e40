/* Depthwise convolution: every channel is convolved by itself, with a kernel of its own.
 *
 * A tap costs one multiplication for a number of x, where a convolution over all channels spends C_out on it: what
 * takes the time is memory.  So nothing is copied or laid out anew.  The channels of a pixel lie side by side, a vector
 * of them is multiplied by the same vector of weights, and the sums of several pixels stay in registers.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

/* Pixels of a block: the sums of so many pixels by two vectors of channels are in registers at the same time. */
#undef PIXELS
#define PIXELS 4
/* The same where one vector of channels goes along a row. */
#undef ROW_PIXELS
#define ROW_PIXELS 8

/* Run `call` for two `vectors` of channels at a time, from channel c on, then for what is left: two vectors side by
 * side are whole cache lines.  In all but the last, `count` is a constant, the vector length. */
#undef FOR_VECTOR_PAIRS
#define FOR_VECTOR_PAIRS(channels, call)                                                              \
    do {                                                                                              \
        ptrdiff_t c = 0;                                                                              \
        for (; (channels) - c >= 2 * VECTOR_LENGTH; c += 2 * VECTOR_LENGTH) {                         \
            const int vectors = 2;                                                                    \
            const ptrdiff_t count = VECTOR_LENGTH;                                                    \
            call;                                                                                     \
        }                                                                                             \
        const int vectors = 1;                                                                        \
        if ((channels) - c >= VECTOR_LENGTH) {                                                        \
            const ptrdiff_t count = VECTOR_LENGTH;                                                    \
            call;                                                                                     \
            c += VECTOR_LENGTH;                                                                       \
        }                                                                                             \
        const ptrdiff_t count = (channels) - c;                                                       \
        if (count > 0)                                                                                \
            call;                                                                                     \
    } while (0)

/* Have the numbers of some pixels brought from memory: those of the row below the window, which the next output row is
 * the first to see, while this one is computed. */
ALWAYS_INLINE void NAME(send_for)(const int pixels, const int vectors, const REAL *x, ptrdiff_t x_pixel)
{
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int bytes = 0; bytes < vectors * VECTOR_BYTES; bytes += CACHE_LINE)
            __builtin_prefetch((const char *)(x + p * x_pixel) + bytes);
}

/* A block of output pixels, by one or two vectors of channels: y = relu(bias + sum over the taps of x * w). */
ALWAYS_INLINE void NAME(depthwise_block)(const int pixels, const int vectors, ptrdiff_t count,
                                         const REAL *x, ptrdiff_t x_pixel, npcnn_taps taps, const REAL *w,
                                         const REAL *bias, int relu, REAL *y, ptrdiff_t y_pixel)
{
    vec sum[PIXELS][2];
    UNROLL for (int v = 0; v < vectors; v++) {
        const vec start = bias ? NAME(load)(bias + v * VECTOR_LENGTH, count) : (vec){0};
        UNROLL for (int p = 0; p < pixels; p++)
            sum[p][v] = start;
    }
    NAME(send_for)(pixels, vectors, x + taps.rows * taps.x_row, x_pixel);
    for (ptrdiff_t i = 0; i < taps.rows; i++) {
        const REAL *w_tap = w + i * taps.w_row;
        /* Every third pixel has a pointer of its own, as in gemm.inc.c. */
        const REAL *x_third[(PIXELS + 2) / 3];
        UNROLL for (int p = 0; p < pixels; p += 3)
            x_third[p / 3] = x + i * taps.x_row + p * x_pixel;

        for (ptrdiff_t j = 0; j < taps.cols; j++) {
            vec weight[2];
            UNROLL for (int v = 0; v < vectors; v++)
                weight[v] = NAME(load)(w_tap + v * VECTOR_LENGTH, count);
            w_tap += taps.w_col;
            UNROLL for (int p = 0; p < pixels; p++) {
                const REAL *x_tap = x_third[p / 3] + (p % 3) * x_pixel;
                UNROLL for (int v = 0; v < vectors; v++)
                    sum[p][v] += NAME(load)(x_tap + v * VECTOR_LENGTH, count) * weight[v];
            }
            UNROLL for (int p = 0; p < pixels; p += 3)
                x_third[p / 3] += taps.x_col;
        }
    }
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int v = 0; v < vectors; v++)
            NAME(store)(y + p * y_pixel + v * VECTOR_LENGTH, relu ? NAME(relu_vec)(sum[p][v]) : sum[p][v], count);
}

/* Output pixels side by side, all of whose `taps` lie inside the picture; x is what the first tap of the first sees. */
static void NAME(depthwise)(const REAL *x, ptrdiff_t x_pixel, npcnn_taps taps, const REAL *w, const REAL *bias,
                            int relu, ptrdiff_t pixels, ptrdiff_t channels, REAL *y)
{
#define BLOCKS_OF(height)                                                                             \
    for (; pixels - p >= (height); p += (height))                                                     \
        FOR_VECTOR_PAIRS(channels, NAME(depthwise_block)(                                             \
            height, vectors, count, x + p * x_pixel + c, x_pixel, taps, w + c, bias ? bias + c : NULL, relu, \
            y + p * channels + c, channels))
    ptrdiff_t p = 0;
    BLOCKS_OF(PIXELS);
    BLOCKS_OF(PIXELS / 2);
    BLOCKS_OF(1);
#undef BLOCKS_OF
}

/* The usual kernels have three columns, and are laid over every pixel: there a vector of x serves three pixels, one for
 * each tap.  The first pixel of a row may lack its left tap, the last its right one. */

/* Some pixels side by side that lack nothing, by one vector of channels. */
ALWAYS_INLINE void NAME(three_columns_block)(const int pixels, const REAL *x, ptrdiff_t pixel, npcnn_taps taps,
                                             const REAL *w, vec start, int relu, REAL *y, ptrdiff_t y_pixel)
{
    vec sum[ROW_PIXELS];
    UNROLL for (int q = 0; q < pixels; q++)
        sum[q] = start;
    ptrdiff_t rows = taps.rows;
    do {
        vec weight[3];
        UNROLL for (int j = 0; j < 3; j++)
            weight[j] = NAME(load)(w + j * taps.w_col, VECTOR_LENGTH);
        const REAL *x_third = x;                    /* every third pixel has a pointer of its own, as in gemm.inc.c */
        UNROLL for (int q = 0; q < pixels + 2; q++) {
            vec v = NAME(load)(x_third + q % 3 * pixel, VECTOR_LENGTH);
            IN_REGISTER(v);
            UNROLL for (int j = 0; j < 3; j++)
                if (q - j >= 0 && q - j < pixels)
                    sum[q - j] += v * weight[j];
            if (q % 3 == 2)
                x_third += 3 * pixel;
        }
        x += taps.x_row;
        w += taps.w_row;
    } while (--rows);
    NAME(send_for)(pixels, 1, x, pixel);
    UNROLL for (int q = 0; q < pixels; q++)
        NAME(store)(y + q * y_pixel, relu ? NAME(relu_vec)(sum[q]) : sum[q], VECTOR_LENGTH);
}

/* A function of its own, so that the compiler keeps nothing else at hand. */
NEVER_INLINE void NAME(three_columns_long)(const REAL *x, ptrdiff_t pixel, npcnn_taps taps, const REAL *w, vec start,
                                           int relu, REAL *y, ptrdiff_t y_pixel)
{
    NAME(three_columns_block)(ROW_PIXELS, x, pixel, taps, w, start, relu, y, y_pixel);
}

/* A row of `pixels`, at least PIXELS + 2 of them, by whole vectors of channels; x is under the upper left tap of the
 * first pixel, or the one right of it where `lacks_left`. */
static void NAME(depthwise_three_columns)(const REAL *x, npcnn_taps taps, const REAL *w, const REAL *bias, int relu,
                                          int lacks_left, int lacks_right, ptrdiff_t pixels, ptrdiff_t channels,
                                          REAL *y)
{
    const ptrdiff_t pixel = taps.x_col, end = pixels - lacks_right;
    npcnn_taps two = taps;
    two.cols = 2;
    for (ptrdiff_t c = 0; c < channels;
         c += VECTOR_LENGTH, x += VECTOR_LENGTH, w += VECTOR_LENGTH, y += VECTOR_LENGTH) {
        const REAL *b = bias ? bias + c : NULL;
        const vec start = b ? NAME(load)(b, VECTOR_LENGTH) : (vec){0};
        if (lacks_left)
            NAME(depthwise_block)(1, 1, VECTOR_LENGTH, x, pixel, two, w + taps.w_col, b, relu, y, channels);
        if (lacks_right)
            NAME(depthwise_block)(1, 1, VECTOR_LENGTH, x + (end - lacks_left) * pixel, pixel, two, w, b, relu,
                                  y + end * channels, channels);
        ptrdiff_t p = lacks_left;
        for (; end - p >= ROW_PIXELS; p += ROW_PIXELS)
            NAME(three_columns_long)(x + (p - lacks_left) * pixel, pixel, taps, w, start, relu, y + p * channels,
                                     channels);
        for (; p < end; p += PIXELS) {
            const ptrdiff_t at = p < end - PIXELS ? p : end - PIXELS;       /* the last may do some pixels again */
            NAME(three_columns_block)(PIXELS, x + (at - lacks_left) * pixel, pixel, taps, w, start, relu,
                                      y + at * channels, channels);
        }
    }
}

/* sum[i][j] += x under row i of the taps, in one column of x, times dy of the pixel whose tap j lies there; `dy` is
 * that of the pixel whose tap `last` does. */
ALWAYS_INLINE void NAME(add_column)(const int first, const int last, const REAL *x, ptrdiff_t row, const REAL *dy,
                                    ptrdiff_t channels, vec sum[3][3])
{
    vec dy_of_tap[3];
    UNROLL for (int j = first; j <= last; j++) {
        dy_of_tap[j] = NAME(load)(dy + (last - j) * channels, VECTOR_LENGTH);
        IN_REGISTER(dy_of_tap[j]);
    }
    UNROLL for (int i = 0; i < 3; i++) {
        vec v = NAME(load)(x + i * row, VECTOR_LENGTH);
        IN_REGISTER(v);
        UNROLL for (int j = first; j <= last; j++)
            sum[i][j] += v * dy_of_tap[j];
    }
}

/* The same for columns side by side that lie under all taps.  A function of its own, as above. */
NEVER_INLINE void NAME(add_whole_columns)(const REAL *x, ptrdiff_t pixel, ptrdiff_t row, const REAL *dy,
                                          ptrdiff_t channels, ptrdiff_t columns, ptrdiff_t next_dy, vec total[3][3])
{
    vec sum[3][3];
    memcpy(sum, total, sizeof sum);
    for (; columns > 0; columns--, x += pixel, dy += channels) {
        /* The next row of dy, and what it is the first to see. */
        NAME(send_for)(1, 1, x + 3 * row, pixel);
        NAME(send_for)(1, 1, dy + next_dy, channels);
        NAME(add_column)(0, 2, x, row, dy, channels, sum);
    }
    memcpy(total, sum, sizeof sum);
}

/* dw of nine taps, w_row and w_col numbers apart, += the products of a row of dy with the three rows of x under it,
 * where all are inside the picture; else as above. */
static void NAME(depthwise_3x3_weights)(const REAL *x, npcnn_taps taps, const REAL *dy, int lacks_left,
                                        int lacks_right, ptrdiff_t pixels, ptrdiff_t channels, REAL *dw)
{
    const ptrdiff_t pixel = taps.x_col, row = taps.x_row;
#define ADD_COLUMN(first, last, column)                                                               \
    NAME(add_column)(first, last, x + ((column) - lacks_left) * pixel + c, row,                       \
                     dy + ((column) - (last)) * channels + c, channels, sum)
    for (ptrdiff_t c = 0; c < channels; c += VECTOR_LENGTH) {
        vec sum[3][3];
        UNROLL for (int i = 0; i < 3; i++)
            UNROLL for (int j = 0; j < 3; j++)
                sum[i][j] = (vec){0};
        if (!lacks_left)
            ADD_COLUMN(0, 0, 0);
        ADD_COLUMN(0, 1, 1);
        NAME(add_whole_columns)(x + (2 - lacks_left) * pixel + c, pixel, row, dy + c, channels,
                                pixels - 2, pixels * channels, sum);
        ADD_COLUMN(1, 2, pixels);
        if (!lacks_right)
            ADD_COLUMN(2, 2, pixels + 1);
        UNROLL for (int i = 0; i < 3; i++)
            UNROLL for (int j = 0; j < 3; j++) {
                REAL *to = dw + i * taps.w_row + j * taps.w_col + c;
                NAME(store)(to, NAME(load)(to, VECTOR_LENGTH) + sum[i][j], VECTOR_LENGTH);
            }
    }
#undef ADD_COLUMN
}

/* The weight gradient of one tap, by one or two vectors of channels.  Several sums grow at the same time, so that their
 * additions need not wait for each other. */
ALWAYS_INLINE void NAME(depthwise_weights_vectors)(const int vectors, ptrdiff_t count, const REAL *x, ptrdiff_t x_pixel,
                                                   const REAL *dy, ptrdiff_t pixels, ptrdiff_t channels, REAL *dw)
{
#define ADD_PRODUCTS(sum_of, pixel)                                                                   \
    UNROLL for (int v = 0; v < vectors; v++)                                                          \
        sum[sum_of][v] += NAME(load)(x + (pixel) * x_pixel + v * VECTOR_LENGTH, count)                \
                          * NAME(load)(dy + (pixel) * channels + v * VECTOR_LENGTH, count)
    vec sum[PIXELS][2];
    UNROLL for (int i = 0; i < PIXELS; i++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[i][v] = (vec){0};
    ptrdiff_t p = 0;
    for (; pixels - p >= PIXELS; p += PIXELS)
        UNROLL for (int i = 0; i < PIXELS; i++)
            ADD_PRODUCTS(i, p + i);
    for (; p < pixels; p++)
        ADD_PRODUCTS(0, p);
    UNROLL for (int v = 0; v < vectors; v++) {
        REAL *to = dw + v * VECTOR_LENGTH;
        NAME(store)(to, NAME(load)(to, count) + ((sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v])), count);
    }
#undef ADD_PRODUCTS
}

/* dw[c] += sum over the pixels of x[c] * dy[c], the gradient of one tap; x is what it sees at the first pixel. */
static void NAME(depthwise_weights)(const REAL *x, ptrdiff_t x_pixel, const REAL *dy, ptrdiff_t pixels,
                                    ptrdiff_t channels, REAL *dw)
{
    FOR_VECTOR_PAIRS(channels, NAME(depthwise_weights_vectors)(vectors, count, x + c, x_pixel, dy + c, pixels,
                                                                  channels, dw + c));
}

/* dx[c] += dy[c] * w[c] for the pixels that one tap sees; dx is the first of them. */
static void NAME(depthwise_spread)(const REAL *restrict dy, const REAL *restrict w, ptrdiff_t pixels,
                                   ptrdiff_t channels, REAL *restrict dx, ptrdiff_t dx_pixel)
{
    for (ptrdiff_t p = 0; p < pixels; p++, dy += channels, dx += dx_pixel)
        for (ptrdiff_t c = 0; c < channels; c++)
            dx[c] += dy[c] * w[c];
}
