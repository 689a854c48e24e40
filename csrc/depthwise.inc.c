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

/* Run `call` for two `vectors` of channels at a time, from channel c on, which begins as `first`, then for what is left:
 * two vectors side by side are whole cache lines.  In all but the last, `count` is a constant, the vector length. */
#undef FOR_VECTOR_PAIRS
#define FOR_VECTOR_PAIRS(first, channels, call)                                                       \
    do {                                                                                              \
        ptrdiff_t c = (first);                                                                        \
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

/* The same for PIXELS pixels and all channels, whole pairs of vectors, where three taps lie side by side and a tap sees
 * the pixel next to that of the tap before it: the rows of the usual kernels.  Nothing is asked in the inner loop, and
 * little in front of it; a function of its own, because the compiler keeps too much at hand otherwise. */
NEVER_INLINE void NAME(depthwise_threes)(const REAL *x, ptrdiff_t pixel, npcnn_taps taps, const REAL *w,
                                         const REAL *bias, int relu, ptrdiff_t channels, REAL *y, ptrdiff_t y_pixel)
{
    for (ptrdiff_t c = 0; c < channels; c += 2 * VECTOR_LENGTH) {
        vec sum[PIXELS][2];
        UNROLL for (int v = 0; v < 2; v++) {
            const vec start = bias ? NAME(load)(bias + c + v * VECTOR_LENGTH, VECTOR_LENGTH) : (vec){0};
            UNROLL for (int p = 0; p < PIXELS; p++)
                sum[p][v] = start;
        }
        const REAL *x_row = x + c, *w_row = w + c;
        ptrdiff_t rows = taps.rows;
        do {
            const REAL *x_third[2] = {x_row, x_row + 3 * pixel};
            UNROLL for (int j = 0; j < 3; j++)
                UNROLL for (int v = 0; v < 2; v++) {
                    const vec weight = NAME(load)(w_row + j * taps.w_col + v * VECTOR_LENGTH, VECTOR_LENGTH);
                    UNROLL for (int p = 0; p < PIXELS; p++)
                        sum[p][v] += NAME(load)(x_third[(p + j) / 3] + (p + j) % 3 * pixel + v * VECTOR_LENGTH,
                                                VECTOR_LENGTH) * weight;
                }
            x_row += taps.x_row;
            w_row += taps.w_row;
        } while (--rows);
        NAME(send_for)(PIXELS, 2, x_row, pixel);
        UNROLL for (int p = 0; p < PIXELS; p++)
            UNROLL for (int v = 0; v < 2; v++)
                NAME(store)(y + c + p * y_pixel + v * VECTOR_LENGTH, relu ? NAME(relu_vec)(sum[p][v]) : sum[p][v],
                            VECTOR_LENGTH);
    }
}

/* Output pixels side by side, all of whose `taps` lie inside the picture; x is what the first tap of the first sees. */
static void NAME(depthwise)(const REAL *x, ptrdiff_t x_pixel, npcnn_taps taps, const REAL *w, const REAL *bias,
                            int relu, ptrdiff_t pixels, ptrdiff_t channels, REAL *y)
{
    const int threes = taps.rows > 0 && taps.cols == 3 && taps.x_col == x_pixel && pixels >= PIXELS;
    const ptrdiff_t whole = threes ? channels - channels % (2 * VECTOR_LENGTH) : 0;
    for (ptrdiff_t p = 0; whole && p < pixels; p += PIXELS) {
        const ptrdiff_t at = p < pixels - PIXELS ? p : pixels - PIXELS;     /* the last may do some pixels again */
        NAME(depthwise_threes)(x + at * x_pixel, x_pixel, taps, w, bias, relu, whole, y + at * channels, channels);
    }
    if (whole == channels)
        return;
#define BLOCKS_OF(height)                                                                             \
    for (; pixels - p >= (height); p += (height))                                                     \
        FOR_VECTOR_PAIRS(whole, channels, NAME(depthwise_block)(                                      \
            height, vectors, count, x + p * x_pixel + c, x_pixel, taps, w + c, bias ? bias + c : NULL, relu, \
            y + p * channels + c, channels))
    ptrdiff_t p = 0;
    BLOCKS_OF(PIXELS);
    BLOCKS_OF(PIXELS / 2);
    BLOCKS_OF(1);
#undef BLOCKS_OF
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
    FOR_VECTOR_PAIRS(0, channels, NAME(depthwise_weights_vectors)(vectors, count, x + c, x_pixel, dy + c, pixels,
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
