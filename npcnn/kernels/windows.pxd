"""Where windows lie on a picture: the struct that every kernel is handed, and the arithmetic of one of its axes.

Along an axis, tap t of window i lies on the pixel `position` = i*stride + t*dilation - pad, unless that is outside the
picture (npcnn/reference/windows.py says the same in Python).
"""
cdef extern from "windows.h" nogil:
    ctypedef struct Windows "npcnn_windows":
        Py_ssize_t height, width, channels
        Py_ssize_t size_h, size_w
        Py_ssize_t stride_h, stride_w
        Py_ssize_t dilation_h, dilation_w
        Py_ssize_t pad_top, pad_bottom, pad_left, pad_right
        Py_ssize_t out_height, out_width


cdef struct Axis:
    # Windows along one axis: pixels of the picture, taps of a window, and how many windows there are.
    Py_ssize_t length, taps, stride, dilation, pad, windows


cdef inline Axis height_of(const Windows* w) noexcept nogil:
    return Axis(w.height, w.size_h, w.stride_h, w.dilation_h, w.pad_top, w.out_height)


cdef inline Axis width_of(const Windows* w) noexcept nogil:
    return Axis(w.width, w.size_w, w.stride_w, w.dilation_w, w.pad_left, w.out_width)


cdef inline Py_ssize_t position(const Axis* axis, Py_ssize_t i, Py_ssize_t t) noexcept nogil:
    return i * axis.stride + t * axis.dilation - axis.pad


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b if a > 0 else 0


cdef inline void taps_inside(const Axis* axis, Py_ssize_t i, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The taps of window i that lie inside the picture."""
    cdef Py_ssize_t start = position(axis, i, 0)
    begin[0] = min(ceil_div(-start, axis.dilation), axis.taps)
    end[0] = max(min(ceil_div(axis.length - start, axis.dilation), axis.taps), begin[0])


cdef inline void windows_inside(const Axis* axis, Py_ssize_t t, Py_ssize_t* begin, Py_ssize_t* end) noexcept nogil:
    """The windows whose tap t lies inside the picture."""
    cdef Py_ssize_t start = position(axis, 0, t)
    begin[0] = min(ceil_div(-start, axis.stride), axis.windows)
    end[0] = max(min(ceil_div(axis.length - start, axis.stride), axis.windows), begin[0])


cdef inline Py_ssize_t picture_size(const Windows* w) noexcept nogil:
    return w.height * w.width * w.channels


cdef inline Py_ssize_t output_size(const Windows* w) noexcept nogil:
    return w.out_height * w.out_width * w.channels


cdef inline bint are_disjoint(const Windows* w) noexcept nogil:
    """Whether no pixel lies in two windows, so that nothing needs adding up."""
    return (w.stride_h >= w.size_h and w.dilation_h == 1 and w.stride_w >= w.size_w and w.dilation_w == 1)


cdef inline bint need_zeros(const Windows* w) noexcept nogil:
    """Whether a gradient must begin as zeros: some pixels lie in two windows, where theirs add up, or in none."""
    return not (are_disjoint(w)
                and w.stride_h == w.size_h and w.out_height * w.stride_h - w.pad_top >= w.height
                and w.stride_w == w.size_w and w.out_width * w.stride_w - w.pad_left >= w.width)
