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
    ptrdiff_t pad_top, pad_left;
    ptrdiff_t out_height, out_width;
} npcnn_windows;

/* Declare `begin` and `end`, the first tap inside the picture and the one after the last, along an axis of `length`
 * pixels, for a window of `size` taps, side by side, that starts at pixel `first`. */
#define TAPS_INSIDE(first, size, length, begin, end)                                                   \
    const ptrdiff_t begin = (first) < 0 ? -(first) : 0;                                                \
    const ptrdiff_t end = (length) - (first) < (size) ? (length) - (first) : (size)

#endif
