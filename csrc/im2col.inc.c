/* im2col and its transpose col2im, one row of output pixels at a time.
 *
 * Row j of `columns` is the receptive field of output pixel (out_row, j), flattened in the order of
 * the weights: columns[j, (kh*KW + kw)*C + c] = x[out_row*stride_h + kh*dilation_h - pad_top,
 *                                                 j*stride_w + kw*dilation_w - pad_left, c],
 * and 0 where that pixel lies outside the picture.  With it, convolution is columns @ w.
 *
 * In NHWC the KW x C numbers under one kernel row lie side by side when the dilation is 1: they are
 * copied as one run.  With a dilation the runs are one tap (C numbers) long.
 *
 * variant.c includes this file twice, with REAL = float and REAL = double; NAME(f) is f_f32 or f_f64.
 */

/* The part of `taps` runs, the first at pixel `first`, that lies inside a line of `length` pixels. */
ALWAYS_INLINE void NAME(inside)(ptrdiff_t first, ptrdiff_t taps, ptrdiff_t dilation, ptrdiff_t length,
                                ptrdiff_t *begin, ptrdiff_t *end)
{
    const ptrdiff_t before = first < 0 ? (-first + dilation - 1) / dilation : 0;
    const ptrdiff_t until = first < length ? (length - first + dilation - 1) / dilation : 0;
    *begin = before < taps ? before : taps;
    *end = until > taps ? taps : until;
    if (*end < *begin)
        *end = *begin;
}

ALWAYS_INLINE void NAME(copy)(REAL *to, const REAL *from, ptrdiff_t count)
{
    for (ptrdiff_t c = 0; c < count; c++)
        to[c] = from[c];
}

ALWAYS_INLINE void NAME(zero)(REAL *to, ptrdiff_t count)
{
    for (ptrdiff_t c = 0; c < count; c++)
        to[c] = 0;
}

static void NAME(im2col_row)(const REAL *x, const npcnn_windows *g, ptrdiff_t out_row, REAL *columns)
{
    const ptrdiff_t C = g->channels, KW = g->size_w, run = KW * C;
    for (ptrdiff_t j = 0; j < g->out_width; j++) {
        const ptrdiff_t left = j * g->stride_w - g->pad_left;
        ptrdiff_t kw_begin, kw_end;
        NAME(inside)(left, KW, g->dilation_w, g->width, &kw_begin, &kw_end);
        for (ptrdiff_t kh = 0; kh < g->size_h; kh++, columns += run) {
            const ptrdiff_t i = out_row * g->stride_h + kh * g->dilation_h - g->pad_top;
            if (i < 0 || i >= g->height) {
                NAME(zero)(columns, run);
                continue;
            }
            const REAL *line = x + i * g->width * C;
            if (g->dilation_w == 1 && kw_end - kw_begin == KW) {
                NAME(copy)(columns, line + left * C, run);
                continue;
            }
            NAME(zero)(columns, kw_begin * C);
            for (ptrdiff_t kw = kw_begin; kw < kw_end; kw++)
                NAME(copy)(columns + kw * C, line + (left + kw * g->dilation_w) * C, C);
            NAME(zero)(columns + kw_end * C, (KW - kw_end) * C);
        }
    }
}

static void NAME(col2im_row)(const REAL *columns, const npcnn_windows *g, ptrdiff_t out_row, REAL *dx)
{
    const ptrdiff_t C = g->channels, KW = g->size_w, run = KW * C;
    for (ptrdiff_t j = 0; j < g->out_width; j++) {
        const ptrdiff_t left = j * g->stride_w - g->pad_left;
        ptrdiff_t kw_begin, kw_end;
        NAME(inside)(left, KW, g->dilation_w, g->width, &kw_begin, &kw_end);
        for (ptrdiff_t kh = 0; kh < g->size_h; kh++, columns += run) {
            const ptrdiff_t i = out_row * g->stride_h + kh * g->dilation_h - g->pad_top;
            if (i < 0 || i >= g->height)
                continue;
            REAL *line = dx + i * g->width * C;
            for (ptrdiff_t kw = kw_begin; kw < kw_end; kw++) {
                REAL *pixel = line + (left + kw * g->dilation_w) * C;
                for (ptrdiff_t c = 0; c < C; c++)
                    pixel[c] += columns[kw * C + c];
            }
        }
    }
}
