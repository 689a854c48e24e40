"""How a picture is cut for several threads that convolve it along one axis, if there are fewer pictures than threads.

A picture is taken as lines across the axis.  It is cut along the lines into strips: some pixels of every line.  A strip
is cut in the result, after the pooling if there is one, so that a thread pools what it convolved itself; where windows
of the pooling overlap, two threads convolve the pixels that both of their strips see.  Lines that are too short stay
whole, and without pooling the tiles of lines are shared out instead.  No two threads ever add to one sum, so the bits
do not depend on how many there are.
"""
from npcnn.kernels.core cimport threads
from npcnn.kernels.windows cimport Axis, Windows, height_of, position, width_of

cdef enum:
    STRIP_PIXELS = 6                    # with fewer, the multiplications wait for one another: not worth a thread


cdef struct Cut:
    # Pieces of a picture: strips times bands of tiles, one of which is 1; and its tiles.
    Py_ssize_t strips, bands, tiles


cdef struct Piece:
    # The windows of the pooling from this row and column on, which lie on the pixels from `first` to before `last` of
    # every line of the convolution; `pooling` takes these pixels for a picture.  Of these, the tiles from `first_tile`
    # to before `last_tile`.
    Py_ssize_t row, column, first, last, first_tile, last_tile
    Windows pooling


cdef inline Axis along_line(bint lines_are_rows, const Windows* pooling) noexcept nogil:
    return width_of(pooling) if lines_are_rows else height_of(pooling)


cdef inline Cut cut_of(bint lines_are_rows, const Windows* pooling, bint pooled, Py_ssize_t tiles,
                       Py_ssize_t N) noexcept nogil:
    """Cut each of N pictures so that every thread has a piece."""
    cdef Axis windows = along_line(lines_are_rows, pooling)
    cdef Py_ssize_t for_all = (threads() + N - 1) // max(N, 1)
    cdef Py_ssize_t strips = max(min(for_all, windows.length // STRIP_PIXELS, windows.windows), 1)
    return Cut(strips, min(for_all, tiles) if strips == 1 and N and not pooled else 1, tiles)


cdef inline Py_ssize_t pieces_of(const Cut* cut) noexcept nogil:
    return cut.strips * cut.bands


cdef inline Piece piece_of(bint lines_are_rows, const Windows* pooling, const Cut* cut,
                           Py_ssize_t number) noexcept nogil:
    cdef Axis axis = along_line(lines_are_rows, pooling)
    cdef Py_ssize_t strip = number // cut.bands, band = number % cut.bands
    cdef Py_ssize_t begin = strip * axis.windows // cut.strips, end = (strip + 1) * axis.windows // cut.strips
    cdef Py_ssize_t start = position(&axis, begin, 0)
    cdef Piece piece
    piece.first_tile, piece.last_tile = band * cut.tiles // cut.bands, (band + 1) * cut.tiles // cut.bands
    piece.first, piece.last = max(start, 0), min(position(&axis, end - 1, axis.taps - 1) + 1, axis.length)
    piece.pooling = pooling[0]
    if lines_are_rows:
        piece.pooling.width, piece.pooling.pad_left = piece.last - piece.first, piece.first - start
        piece.pooling.out_width, piece.row, piece.column = end - begin, 0, begin
    else:
        piece.pooling.height, piece.pooling.pad_top = piece.last - piece.first, piece.first - start
        piece.pooling.out_height, piece.row, piece.column = end - begin, begin, 0
    return piece
