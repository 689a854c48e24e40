"""Convolution by Toom-Cook along both axes, for whoever convolves: its gradients do, too; see toom_cook_2d.pyx."""
from libc.stdint cimport uint8_t

from npcnn.kernels.core cimport Team, active, core_cache_bytes, whole_cache_lines
from npcnn.kernels.tiles cimport POINTS, SIDE, Layout, Picture, Run, Tiling, odd_cache_lines, tiles_of

cdef enum:
    POINTS_IN_CACHE = 16                # so many of the 36, of all tiles that are multiplied together
    FEWEST_TILES = 32                   # for fewer, the weights at the points are read too often
    PIECES = 8                          # for each thread, so that all are done at about the same time


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


cdef inline Py_ssize_t panels_of(Py_ssize_t columns) noexcept nogil:
    """So many columns in panels; the last may be one vector."""
    return (columns + panel_width() - 1) // panel_width()


cdef struct Convolution:
    # Pictures x convolved with weights u, which have so many numbers from point to point, plus a bias unless that is
    # NULL, and then the ReLU if there is one.  The tiles of so many bands are multiplied together; the channels of y
    # are cut into so many pieces.
    Tiling t
    Pictures x
    const float* u
    const float* bias
    bint relu
    Py_ssize_t u_point, together, pieces


cdef inline Py_ssize_t bands_at_a_time(const Tiling* t, Py_ssize_t bands, int team) noexcept nogil:
    """How many of so many bands are multiplied together: as a core's cache takes, but something for every thread."""
    cdef Py_ssize_t across = tiles_of(&t.across), few = FEWEST_TILES // across
    cdef Py_ssize_t tile = POINTS_IN_CACHE * (t.x.pixel + t.y.pixel) * <Py_ssize_t>sizeof(float)
    cdef Py_ssize_t most = max(<Py_ssize_t>core_cache_bytes() // tile // across, few)
    return max(1, min(most, max(bands // (PIECES * team), few), (bands + team - 1) // team))


cdef inline Py_ssize_t room_of(const Tiling* t, Py_ssize_t bands) noexcept nogil:
    """The numbers of `room` for so many bands at a time."""
    cdef Py_ssize_t tiles = bands * tiles_of(&t.across)
    return (whole_cache_lines(SIDE * t.columns * t.x.pixel)
            + POINTS * (odd_cache_lines(tiles * t.x.pixel) + odd_cache_lines(tiles * t.y.pixel)))


cdef bint copy_lines(const Pictures* pictures, const Picture* picture, Py_ssize_t n, Py_ssize_t top, Py_ssize_t left,
                     Py_ssize_t lines, Py_ssize_t columns, float* to) noexcept nogil


cdef bint inputs_at_points(const Tiling* t, const Run* run, Py_ssize_t band, const Pictures* x, float* lines,
                           float* v, const Layout* values) noexcept nogil


cdef Convolution convolution_of(const Tiling* t, const Pictures* x, const float* u, const float* bias, bint relu,
                                bint pooled, Py_ssize_t N, int team) noexcept nogil


cdef void convolve_batch(const Convolution* conv, Py_ssize_t N, const Team* team, float* y,
                         uint8_t* carried) noexcept nogil


cdef void convolve_pictures(const Convolution* conv, Py_ssize_t first, Py_ssize_t last, float* room, float* y,
                            uint8_t* carried) noexcept nogil
