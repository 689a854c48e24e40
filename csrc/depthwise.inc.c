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
    /* The row below the window, which the next output row sees first, is sent for while this one is computed. */
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int bytes = 0; bytes < (vectors * VECTOR_BYTES); bytes += CACHE_LINE)
            __builtin_prefetch((const char *)(x + taps.rows * taps.x_row + p * x_pixel) + bytes);

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

/* All channels of a block. */
ALWAYS_INLINE void NAME(depthwise_pixels)(const int pixels, const REAL *x, ptrdiff_t x_pixel, npcnn_taps taps,
                                          const REAL *w, const REAL *bias, int relu, ptrdiff_t channels, REAL *y)
{
#define BLOCK(vectors, count)                                                                         \
    NAME(depthwise_block)(pixels, vectors, count, x + c, x_pixel, taps, w + c, bias ? bias + c : NULL, relu, \
                          y + c, channels)
    ptrdiff_t c = 0;
    for (; channels - c >= 2 * VECTOR_LENGTH; c += 2 * VECTOR_LENGTH)
        BLOCK(2, VECTOR_LENGTH);
    if (channels - c >= VECTOR_LENGTH) {
        BLOCK(1, VECTOR_LENGTH);
        c += VECTOR_LENGTH;
    }
    if (c < channels)
        BLOCK(1, channels - c);
#undef BLOCK
}

/* Output pixels side by side, all of whose `taps` lie inside the picture; x is what the first tap of the first sees. */
static void NAME(depthwise)(const REAL *x, ptrdiff_t x_pixel, npcnn_taps taps, const REAL *w, const REAL *bias,
                            int relu, ptrdiff_t pixels, ptrdiff_t channels, REAL *y)
{
#define BLOCKS_OF(height)                                                                             \
    for (; pixels - p >= (height); p += (height))                                                     \
        NAME(depthwise_pixels)(height, x + p * x_pixel, x_pixel, taps, w, bias, relu, channels,       \
                               y + p * channels)
    ptrdiff_t p = 0;
    BLOCKS_OF(PIXELS);
    BLOCKS_OF(PIXELS / 2);
    BLOCKS_OF(1);
#undef BLOCKS_OF
}

/* Sums that the weight gradient forms at the same time, so that their additions need not wait for each other. */
#undef SUMS
#define SUMS 8

/* dw[c] += sum over the pixels of x[c] * dy[c], the gradient of one tap; x is what it sees at the first pixel. */
static void NAME(depthwise_weights)(const REAL *x, ptrdiff_t x_pixel, const REAL *dy, ptrdiff_t pixels,
                                    ptrdiff_t channels, REAL *dw)
{
    for (ptrdiff_t c = 0; c < channels; c += VECTOR_LENGTH) {
        const ptrdiff_t count = channels - c < VECTOR_LENGTH ? channels - c : VECTOR_LENGTH;
        vec sum[SUMS], total = NAME(load)(dw + c, count);
        UNROLL for (int i = 0; i < SUMS; i++)
            sum[i] = (vec){0};
        ptrdiff_t p = 0;
        for (; pixels - p >= SUMS; p += SUMS)
            UNROLL for (int i = 0; i < SUMS; i++)
                sum[i] += NAME(load)(x + (p + i) * x_pixel + c, count) * NAME(load)(dy + (p + i) * channels + c, count);
        for (; p < pixels; p++)
            sum[p % SUMS] += NAME(load)(x + p * x_pixel + c, count) * NAME(load)(dy + p * channels + c, count);
        UNROLL for (int i = SUMS / 2; i > 0; i /= 2)
            UNROLL for (int k = 0; k < i; k++)
                sum[k] += sum[k + i];
        NAME(store)(dw + c, total + sum[0], count);
    }
}

/* dx[c] += dy[c] * w[c] for the pixels that one tap sees; dx is the first of them. */
static void NAME(depthwise_spread)(const REAL *restrict dy, const REAL *restrict w, ptrdiff_t pixels,
                                   ptrdiff_t channels, REAL *restrict dx, ptrdiff_t dx_pixel)
{
    for (ptrdiff_t p = 0; p < pixels; p++, dy += channels, dx += dx_pixel)
        for (ptrdiff_t c = 0; c < channels; c++)
            dx[c] += dy[c] * w[c];
}
