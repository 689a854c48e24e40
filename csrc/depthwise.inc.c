/* Depthwise convolution: every channel is convolved by itself, with a kernel of its own.
 *
 * A tap costs one multiplication for a number of x, where a convolution over all channels spends C_out on it: what
 * takes the time is memory.  So nothing is copied or laid out anew.  The channels of a pixel lie side by side, a vector
 * of them is multiplied by the same vector of weights, and the sums of several pixels stay in registers.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

/* Pixels whose sums are in registers at the same time: a vector of weights is loaded once for all of them, and their
 * additions need not wait for each other. */
#undef PIXELS
#define PIXELS 8

/* A vector of channels of `pixels` output pixels: y = relu(bias + sum over the taps of x * w). */
ALWAYS_INLINE void NAME(depthwise_vector)(const int pixels, ptrdiff_t count, const REAL *x, ptrdiff_t x_pixel,
                                          npcnn_taps taps, const REAL *w, const REAL *bias, int relu,
                                          REAL *y, ptrdiff_t y_pixel)
{
    vec sum[PIXELS];
    const vec start = bias ? NAME(load)(bias, count) : (vec){0};
    UNROLL for (int p = 0; p < pixels; p++)
        sum[p] = start;
    for (ptrdiff_t i = 0; i < taps.rows; i++)
        for (ptrdiff_t j = 0; j < taps.cols; j++) {
            const vec weight = NAME(load)(w + i * taps.w_row + j * taps.w_col, count);
            const REAL *x_tap = x + i * taps.x_row + j * taps.x_col;
            UNROLL for (int p = 0; p < pixels; p++)
                sum[p] += NAME(load)(x_tap + p * x_pixel, count) * weight;
        }
    UNROLL for (int p = 0; p < pixels; p++)
        NAME(store)(y + p * y_pixel, relu ? NAME(relu_vec)(sum[p]) : sum[p], count);
}

/* Output pixels side by side, all of whose `taps` lie inside the picture; x is what the first tap of the first sees. */
static void NAME(depthwise)(const REAL *x, ptrdiff_t x_pixel, npcnn_taps taps, const REAL *w, const REAL *bias,
                            int relu, ptrdiff_t pixels, ptrdiff_t channels, REAL *y)
{
    ptrdiff_t p = 0;
#define BLOCKS_OF(height)                                                                             \
    for (; pixels - p >= (height); p += (height))                                                     \
        FOR_VECTORS(channels, NAME(depthwise_vector)(height, count, x + p * x_pixel + c, x_pixel,     \
                                                     taps, w + c, bias ? bias + c : NULL, relu,       \
                                                     y + p * channels + c, channels))
    BLOCKS_OF(PIXELS);
    BLOCKS_OF(PIXELS / 2);
    BLOCKS_OF(PIXELS / 4);
    BLOCKS_OF(1);
#undef BLOCKS_OF
}

/* dw[c] += sum over the pixels of x[c] * dy[c], the gradient of one tap; x is what it sees at the first pixel. */
static void NAME(depthwise_weights)(const REAL *x, ptrdiff_t x_pixel, const REAL *dy, ptrdiff_t pixels,
                                    ptrdiff_t channels, REAL *dw)
{
    for (ptrdiff_t c = 0; c < channels; c += VECTOR_LENGTH) {
        const ptrdiff_t count = channels - c < VECTOR_LENGTH ? channels - c : VECTOR_LENGTH;
        vec sum[PIXELS], total = NAME(load)(dw + c, count);
        UNROLL for (int i = 0; i < PIXELS; i++)
            sum[i] = (vec){0};
        ptrdiff_t p = 0;
        for (; pixels - p >= PIXELS; p += PIXELS)
            UNROLL for (int i = 0; i < PIXELS; i++)
                sum[i] += NAME(load)(x + (p + i) * x_pixel + c, count) * NAME(load)(dy + (p + i) * channels + c, count);
        for (; p < pixels; p++)
            sum[p % PIXELS] += NAME(load)(x + p * x_pixel + c, count) * NAME(load)(dy + p * channels + c, count);
        UNROLL for (int i = PIXELS / 2; i > 0; i /= 2)
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
