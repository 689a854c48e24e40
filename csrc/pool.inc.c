/* Max and average pooling, one row of output pixels at a time.
 *
 * NHWC puts the channels of a pixel side by side, so every loop over c below is one the compiler
 * turns into vectors: a window is a handful of pixels that are compared or added channel by channel.
 * Pixels of the padding take no part.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

/* Position of the first tap inside the picture, and of the first behind it, for a window that starts at `first`. */
#undef WINDOW
#define WINDOW(first, size, length, begin, end)                                                       \
    const ptrdiff_t begin = (first) < 0 ? -(first) : 0;                                               \
    const ptrdiff_t end = (length) - (first) < (size) ? (length) - (first) : (size)

static void NAME(max_pool2d_row)(const REAL *x, const npcnn_windows *g, ptrdiff_t out_row,
                                 REAL *restrict y, int32_t *restrict argmax)
{
    const ptrdiff_t C = g->channels, top = out_row * g->stride_h - g->pad_top;
    WINDOW(top, g->size_h, g->height, kh_begin, kh_end);
    for (ptrdiff_t j = 0; j < g->out_width; j++, y += C, argmax += C) {
        const ptrdiff_t left = j * g->stride_w - g->pad_left;
        WINDOW(left, g->size_w, g->width, kw_begin, kw_end);
        const int32_t first_tap = (int32_t)(kh_begin * g->size_w + kw_begin);
        const REAL *first = x + ((top + kh_begin) * g->width + left + kw_begin) * C;
        for (ptrdiff_t c = 0; c < C; c++) {
            y[c] = first[c];
            argmax[c] = first_tap;
        }
        for (ptrdiff_t kh = kh_begin; kh < kh_end; kh++)
            for (ptrdiff_t kw = kw_begin; kw < kw_end; kw++) {
                const int32_t tap = (int32_t)(kh * g->size_w + kw);
                const REAL *pixel = x + ((top + kh) * g->width + left + kw) * C;
                for (ptrdiff_t c = 0; c < C; c++) {
                    /* Strictly greater: of equal values the first stays.  The first NaN (v != v) wins. */
                    const REAL v = pixel[c], best = y[c];
                    const int wins = (v > best) | ((v != v) & (best == best));
                    y[c] = wins ? v : best;
                    argmax[c] = wins ? tap : argmax[c];
                }
            }
    }
}

/* The gradients go to pixels of dx that other windows may add to as well; `alone` says that none does, and then
 * every pixel is written here for the first and only time. */
static void NAME(max_pool2d_backward_row)(const REAL *restrict dy, const int32_t *restrict argmax,
                                          const npcnn_windows *g, ptrdiff_t out_row, int alone, REAL *restrict dx)
{
    const ptrdiff_t C = g->channels, top = out_row * g->stride_h - g->pad_top;
    WINDOW(top, g->size_h, g->height, kh_begin, kh_end);
    for (ptrdiff_t j = 0; j < g->out_width; j++, dy += C, argmax += C) {
        const ptrdiff_t left = j * g->stride_w - g->pad_left;
        WINDOW(left, g->size_w, g->width, kw_begin, kw_end);
        for (ptrdiff_t kh = kh_begin; kh < kh_end; kh++)
            for (ptrdiff_t kw = kw_begin; kw < kw_end; kw++) {
                const int32_t tap = (int32_t)(kh * g->size_w + kw);
                REAL *pixel = dx + ((top + kh) * g->width + left + kw) * C;
                if (alone)
                    for (ptrdiff_t c = 0; c < C; c++)
                        pixel[c] = argmax[c] == tap ? dy[c] : 0;
                else
                    for (ptrdiff_t c = 0; c < C; c++)
                        pixel[c] += argmax[c] == tap ? dy[c] : 0;
            }
    }
}

static void NAME(avg_pool2d_row)(const REAL *x, const npcnn_windows *g, ptrdiff_t out_row,
                                 int count_include_pad, REAL *restrict y)
{
    const ptrdiff_t C = g->channels, top = out_row * g->stride_h - g->pad_top;
    WINDOW(top, g->size_h, g->height, kh_begin, kh_end);
    for (ptrdiff_t j = 0; j < g->out_width; j++, y += C) {
        const ptrdiff_t left = j * g->stride_w - g->pad_left;
        WINDOW(left, g->size_w, g->width, kw_begin, kw_end);
        const REAL count = (REAL)(count_include_pad ? g->size_h * g->size_w
                                                    : (kh_end - kh_begin) * (kw_end - kw_begin));
        for (ptrdiff_t c = 0; c < C; c++)
            y[c] = 0;
        for (ptrdiff_t kh = kh_begin; kh < kh_end; kh++)
            for (ptrdiff_t kw = kw_begin; kw < kw_end; kw++) {
                const REAL *pixel = x + ((top + kh) * g->width + left + kw) * C;
                for (ptrdiff_t c = 0; c < C; c++)
                    y[c] += pixel[c];
            }
        for (ptrdiff_t c = 0; c < C; c++)
            y[c] /= count;
    }
}

static void NAME(avg_pool2d_backward_row)(const REAL *restrict dy, const npcnn_windows *g, ptrdiff_t out_row,
                                          int count_include_pad, int alone, REAL *restrict dx)
{
    const ptrdiff_t C = g->channels, top = out_row * g->stride_h - g->pad_top;
    WINDOW(top, g->size_h, g->height, kh_begin, kh_end);
    for (ptrdiff_t j = 0; j < g->out_width; j++, dy += C) {
        const ptrdiff_t left = j * g->stride_w - g->pad_left;
        WINDOW(left, g->size_w, g->width, kw_begin, kw_end);
        const REAL count = (REAL)(count_include_pad ? g->size_h * g->size_w
                                                    : (kh_end - kh_begin) * (kw_end - kw_begin));
        for (ptrdiff_t kh = kh_begin; kh < kh_end; kh++)
            for (ptrdiff_t kw = kw_begin; kw < kw_end; kw++) {
                REAL *pixel = dx + ((top + kh) * g->width + left + kw) * C;
                if (alone)
                    for (ptrdiff_t c = 0; c < C; c++)
                        pixel[c] = dy[c] / count;
                else
                    for (ptrdiff_t c = 0; c < C; c++)
                        pixel[c] += dy[c] / count;
            }
    }
}
