"""How the result of a 3 x 3 convolution is cut for Toom-Cook along both axes, and how its tiles are ordered.

A picture is cut into bands of four lines, then of three, and a band into tiles of four columns, then of three.  The
tiles of several bands, a run, are multiplied together.
"""
from npcnn.kernels.core cimport whole_cache_lines, whole_vectors

cdef enum:
    SIDE = 6                            # points along an axis
    POINTS = SIDE * SIDE


cdef struct Cut:
    # One axis of a result: so many outputs, in tiles of four and after them tiles of three.
    Py_ssize_t outputs, fours, threes


cdef struct Picture:
    # Height, width and channels; the numbers from one pixel to the next in memory, and in buffers, where the channels
    # are whole vectors.
    Py_ssize_t height, width, channels, step, pixel


cdef struct Tiling:
    # A convolution of pictures x to pictures y, how y is cut, the padding before x, and how many columns of inputs,
    # with their padding, the tiles of a band see.
    Picture x, y
    Cut down, across
    Py_ssize_t pad_top, pad_left, columns


cdef struct Run:
    # Bands whose tiles are multiplied together: from `first` to before `last`, counted through all pictures; of these,
    # so many have four lines, and so many three.
    Py_ssize_t first, last, fours, threes


cdef inline Cut cut(Py_ssize_t outputs) noexcept nogil:
    cdef Py_ssize_t threes = (4 - outputs % 4) % 4
    if 3 * threes > outputs:                    # 1, 2 and 5 leave a rest whichever way
        return Cut(outputs, 0, (outputs + 2) // 3)
    return Cut(outputs, (outputs - 3 * threes) // 4, threes)


cdef inline Py_ssize_t tiles_of(const Cut* axis) noexcept nogil:
    return axis.fours + axis.threes


cdef inline int size_of(const Cut* axis, Py_ssize_t tile) noexcept nogil:
    return 4 if tile < axis.fours else 3


cdef inline Py_ssize_t start_of(const Cut* axis, Py_ssize_t tile) noexcept nogil:
    return 3 * tile + min(tile, axis.fours)


cdef inline Tiling tiling_of(const Picture* x, const Picture* y, Py_ssize_t pad_top,
                             Py_ssize_t pad_left) noexcept nogil:
    cdef Tiling t
    t.x, t.y = x[0], y[0]
    t.down, t.across = cut(y.height), cut(y.width)
    t.pad_top, t.pad_left = pad_top, pad_left
    t.columns = start_of(&t.across, tiles_of(&t.across)) + 2
    return t


cdef inline Picture picture_of(Py_ssize_t H, Py_ssize_t W, Py_ssize_t C) noexcept nogil:
    return Picture(H, W, C, C, whole_vectors(C, sizeof(float)))


cdef inline Picture channels_of(const Picture* picture, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """The same picture with only some of its channels, the numbers of which are where they were."""
    cdef Py_ssize_t count = min(last, picture.channels) - first
    return Picture(picture.height, picture.width, count, picture.step, whole_vectors(count, sizeof(float)))


cdef inline Py_ssize_t tiles_in(const Tiling* t) noexcept nogil:
    """The tiles of a picture."""
    return tiles_of(&t.down) * tiles_of(&t.across)


cdef inline Py_ssize_t numbers_of(const Picture* picture) noexcept nogil:
    return picture.height * picture.width * picture.step


cdef inline Py_ssize_t fours_before(const Tiling* t, Py_ssize_t band) noexcept nogil:
    """How many bands before this one, counted through all pictures, have four lines."""
    cdef Py_ssize_t bands = tiles_of(&t.down)
    return band // bands * t.down.fours + min(band % bands, t.down.fours)


cdef inline Run run_of(const Tiling* t, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t fours = fours_before(t, last) - fours_before(t, first)
    return Run(first, last, fours, last - first - fours)


cdef struct Band:
    # Which rows of v[p] belong to its first tile of four columns, and to its first of three.
    Py_ssize_t first_four, first_three


cdef inline Band band_of(const Tiling* t, const Run* run, Py_ssize_t number) noexcept nogil:
    """The places of the tiles of a band of the run, whose bands are counted through all pictures.

    Tiles of one size stand together: 4 x 3, 4 x 4, 3 x 4, 3 x 3.  So those that have a point (all, or without the
    3 x n, or without the n x 3, or the 4 x 4 alone) are neighbours, whichever point it is.
    """
    cdef Py_ssize_t fours = t.across.fours, threes = t.across.threes
    cdef Py_ssize_t nth = fours_before(t, number) - fours_before(t, run.first)      # of the bands of four lines
    cdef Py_ssize_t whole = run.fours * (fours + threes)                            # tiles of four lines
    if number % tiles_of(&t.down) < t.down.fours:
        return Band(run.fours * threes + nth * fours, nth * threes)
    nth = number - run.first - nth
    return Band(whole + nth * fours, whole + run.threes * fours + nth * threes)


cdef inline Py_ssize_t row_of(const Tiling* t, const Band* band, Py_ssize_t tile) noexcept nogil:
    """Which row of v[p] belongs to a tile of a band."""
    return band.first_four + tile if tile < t.across.fours else band.first_three + tile - t.across.fours


cdef inline void tiles_with(const Tiling* t, const Run* run, Py_ssize_t point, Py_ssize_t* first,
                            Py_ssize_t* count) noexcept nogil:
    """The rows of v[point] that are there: tiles of three lines leave out the first row of points, and so on."""
    cdef Py_ssize_t bands = run.fours if point < SIDE else run.fours + run.threes
    first[0] = 0 if point % SIDE else run.fours * t.across.threes
    count[0] = bands * (tiles_of(&t.across) if point % SIDE else t.across.fours)


cdef inline Py_ssize_t odd_cache_lines(Py_ssize_t numbers) noexcept nogil:
    """So many numbers in an odd number of cache lines: rows so far apart don't fall into the same few cache sets."""
    return whole_cache_lines(numbers) | 16


cdef struct Layout:
    # Values at the points, `step` numbers from point to point.  At a point the channels are cut into `chunks` of
    # `width`, and a chunk has all `tiles` one after the other: `gemm` reads memory in the order in which it lies.
    Py_ssize_t width, chunks, tiles, step


cdef inline Layout layout_of(Py_ssize_t channels, Py_ssize_t width, Py_ssize_t tiles) noexcept nogil:
    cdef Py_ssize_t chunks = (channels + width - 1) // width
    return Layout(width, chunks, tiles, odd_cache_lines(chunks * tiles * width))


cdef inline Py_ssize_t place(const Layout* values, Py_ssize_t chunk, Py_ssize_t tile) noexcept nogil:
    """Where a tile has the channels of a chunk, at the first point."""
    return (chunk * values.tiles + tile) * values.width
