"""Convolution by Toom-Cook along both axes, for whoever convolves: its gradients do, too; see toom_cook_2d.pyx."""
from libc.stdint cimport uint8_t

from npcnn.kernels.core cimport active, whole_cache_lines
from npcnn.kernels.tiles cimport POINTS, SIDE, Layout, Picture, Run, Tiling, odd_cache_lines, tiles_of

cdef enum:
    FORWARD_TILES = 32                  # tiles that are multiplied together, at most


cdef struct Pictures:
    # Pictures one after the other: number n begins at `numbers` + (n - first) * step.  Unless `relu_output`, laid out
    # like them, is NULL, they are gradients, of which only what this ReLU let through is meant.  Where `numbers` is
    # NULL, all are zeros.
    const float* numbers
    const float* relu_output
    Py_ssize_t first, step


cdef inline Py_ssize_t panel_width() noexcept nogil:
    """The columns that `gemm` multiplies at a time: two vectors."""
    return max(2 * active().vector_bytes // <Py_ssize_t>sizeof(float), 2)


cdef inline Py_ssize_t bands_at_a_time(const Tiling* t, Py_ssize_t bands, int team) noexcept nogil:
    """How many of so many bands are multiplied together: as the cache takes, but something for every thread."""
    return max(1, min(FORWARD_TILES // tiles_of(&t.across), (bands + team - 1) // team))


cdef inline Py_ssize_t room_of(const Tiling* t, Py_ssize_t bands) noexcept nogil:
    """The numbers of `room` for so many bands at a time."""
    cdef Py_ssize_t tiles = bands * tiles_of(&t.across)
    return (whole_cache_lines(SIDE * t.columns * t.x.pixel)
            + POINTS * (odd_cache_lines(tiles * t.x.pixel) + odd_cache_lines(tiles * t.y.pixel)))


cdef bint copy_lines(const Pictures* pictures, const Picture* picture, Py_ssize_t n, Py_ssize_t top, Py_ssize_t left,
                     Py_ssize_t lines, Py_ssize_t columns, float* to) noexcept nogil


cdef bint inputs_at_points(const Tiling* t, const Run* run, Py_ssize_t band, const Pictures* x, float* lines,
                           float* v, const Layout* values) noexcept nogil


cdef void convolve_bands(const Tiling* t, Py_ssize_t first, Py_ssize_t last, Py_ssize_t together, const Pictures* x,
                         const float* u, const float* bias, bint relu, float* scratch, Py_ssize_t thread_size, int team,
                         float* y, uint8_t* carried) noexcept nogil


cdef void convolve_pictures(const Tiling* t, Py_ssize_t first, Py_ssize_t last, Py_ssize_t together, const Pictures* x,
                            const float* u, const float* bias, bint relu, float* room, float* y, Py_ssize_t y_first,
                            uint8_t* carried) noexcept nogil
