/* Where the windows of a convolution or pooling lie on a picture. */
#ifndef NPCNN_WINDOWS_H
#define NPCNN_WINDOWS_H

#include <stddef.h>

/* NHWC, one picture. */
typedef struct {
    ptrdiff_t height, width, channels;              /* the picture */
    ptrdiff_t size_h, size_w;                       /* taps of the window */
    ptrdiff_t stride_h, stride_w;
    ptrdiff_t dilation_h, dilation_w;
    ptrdiff_t pad_top, pad_bottom, pad_left, pad_right;
    ptrdiff_t out_height, out_width;
} npcnn_windows;

/* The taps of one window along one axis: how many lie inside the picture, the first of these and the pixel it lies on;
 * and how many lie inside the picture or its padding, that is not behind it. */
typedef struct {
    ptrdiff_t inside, first, pixel, padded;
} npcnn_span;

/* How many of `size` taps, `dilation` apart from pixel `start` on, lie before pixel `end`. */
static inline ptrdiff_t npcnn_taps_before(ptrdiff_t end, ptrdiff_t start, ptrdiff_t size, ptrdiff_t dilation)
{
    const ptrdiff_t pixels = end - start;
    if (pixels <= 0)
        return 0;
    const ptrdiff_t taps = dilation == 1 ? pixels : (pixels - 1) / dilation + 1;
    return taps < size ? taps : size;
}

static inline npcnn_span npcnn_taps_from(ptrdiff_t start, ptrdiff_t size, ptrdiff_t dilation, ptrdiff_t length,
                                         ptrdiff_t pad_after)
{
    const ptrdiff_t first = npcnn_taps_before(0, start, size, dilation);
    const ptrdiff_t end = npcnn_taps_before(length, start, size, dilation);
    const ptrdiff_t padded = npcnn_taps_before(length + pad_after, start, size, dilation);
    return (npcnn_span){end - first, first, start + first * dilation, padded};
}

static inline npcnn_span npcnn_rows(const npcnn_windows *w, ptrdiff_t i)
{
    return npcnn_taps_from(i * w->stride_h - w->pad_top, w->size_h, w->dilation_h, w->height, w->pad_bottom);
}

static inline npcnn_span npcnn_columns(const npcnn_windows *w, ptrdiff_t j)
{
    return npcnn_taps_from(j * w->stride_w - w->pad_left, w->size_w, w->dilation_w, w->width, w->pad_right);
}

#endif
