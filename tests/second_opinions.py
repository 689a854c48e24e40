"""Truths that share no code with npcnn, for the tests to hold its functions against.

Central differences, the padding rule in the form TensorFlow's documentation gives it, windows by
np.pad and sliding views.
"""

import numpy as np


def central_difference(loss, array, step=1e-5):
    """Gradient of the number `loss()` with respect to every element of `array`."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = loss()
        array[index] = kept - step
        below = loss()
        array[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


def tensorflow_same(length, size, stride, dilation):
    """Return SAME padding as the guide of tf.nn writes it, by cases on length % stride."""
    span = (size - 1) * dilation + 1
    rest = length % stride
    total = max(span - stride, 0) if rest == 0 else max(span - rest, 0)
    return total // 2, total - total // 2


def second_opinion_windows(x, size, stride, padding, dilation, fill=0.0, ceil_mode=False, beyond=None):
    """Every window of the padded pictures, shape (N, OH, OW, C, KH, KW).

    The padding is `fill`; what the last windows reach beyond it in ceil mode is `beyond`, by default the same.
    """
    if padding == "same":
        padding = [tensorflow_same(x.shape[1 + a], size[a], stride[a], dilation[a]) for a in (0, 1)]
    elif padding == "valid":
        padding = [(0, 0), (0, 0)]
    elif isinstance(padding, int):
        padding = [(padding, padding)] * 2
    padded = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)
    starts = [range(0, x.shape[1 + axis] + padding[axis][0], stride[axis]) for axis in (0, 1)]
    if ceil_mode:
        more = [(0, 0), *((0, step - 1) for step in stride), (0, 0)]
        padded = np.pad(padded, more, constant_values=fill if beyond is None else beyond)
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(1, 2))
    windows = windows[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return windows[:, : len(starts[0]), : len(starts[1])] if ceil_mode else windows
