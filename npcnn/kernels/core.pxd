"""The bridge to csrc: `csrc(x).relu(x, y, count)` calls the inner loop `relu` for the type of the numbers at x.

`csrc/kernels.h` declares every inner loop once.  Only their names are repeated here: Cython copies a call into the C
code as it stands, and the C compiler checks it against that declaration.  `csrc` is a macro that picks, by the type of
the pointer it is given, the table for float or the one for double of the instruction set in use; so the algorithms are
written once for both types.
"""
from cython.parallel cimport prange
from libc.string cimport memset

ctypedef fused real:
    float
    double

# Sums over the batch are cut into at most this many parts, each added up in the order of the pictures,
# and the parts in their order: the same bits whatever the number of threads.
cdef enum:
    BATCH_PARTS = 16

# Numbers of a flat array that a thread takes at a time: enough to be worth starting, few enough for its L1 cache.
cdef enum:
    FLAT_RUN = 4096

cdef extern from "kernels.h" nogil:
    """
    #define NPCNN_OF_TYPE(pointer) _Generic((pointer),                                  \
        float *: &npcnn_in_use()->f32, const float *: &npcnn_in_use()->f32,             \
        double *: &npcnn_in_use()->f64, const double *: &npcnn_in_use()->f64)
    """
    ctypedef struct Sizes "npcnn_sizes":
        Py_ssize_t rows, cols, depth, taps

    ctypedef struct Factor "npcnn_factor":
        const void* numbers
        Py_ssize_t row, depth, tap

    ctypedef struct Taps "npcnn_taps":
        Py_ssize_t rows, cols
        Py_ssize_t x_row, x_col, w_row, w_col

    ctypedef struct InnerLoops "npcnn_kernels_of_type":
        void (*gemm)(...) noexcept nogil
        void (*depthwise)(...) noexcept nogil
        void (*depthwise_three_columns)(...) noexcept nogil
        void (*depthwise_3x3_weights)(...) noexcept nogil
        void (*depthwise_weights)(...) noexcept nogil
        void (*depthwise_spread)(...) noexcept nogil
        void (*max_pool2d_row)(...) noexcept nogil
        void (*max_pool2d_look)(...) noexcept nogil
        void (*max_pool2d_backward_row)(...) noexcept nogil
        void (*avg_pool2d_row)(...) noexcept nogil
        void (*avg_pool2d_backward_row)(...) noexcept nogil
        void (*relu)(...) noexcept nogil
        void (*relu_backward)(...) noexcept nogil
        void (*leaky_relu)(...) noexcept nogil
        void (*leaky_relu_backward)(...) noexcept nogil
        void (*gelu)(...) noexcept nogil
        void (*gelu_backward)(...) noexcept nogil
        void (*silu)(...) noexcept nogil
        void (*silu_backward)(...) noexcept nogil
        void (*sigmoid)(...) noexcept nogil
        void (*sigmoid_backward)(...) noexcept nogil
        void (*tanh)(...) noexcept nogil
        void (*tanh_backward)(...) noexcept nogil
        void (*batch_statistics)(...) noexcept nogil
        void (*batch_norm_sums)(...) noexcept nogil
        void (*batch_norm)(...) noexcept nogil
        void (*batch_norm_backward)(...) noexcept nogil
        void (*adam_step)(...) noexcept nogil
        void (*copy_pixels)(...) noexcept nogil
        void (*copy_past_caches)(...) noexcept nogil
        void (*add)(...) noexcept nogil
        void (*add_rows)(...) noexcept nogil
        void (*toom_cook_look)(...) noexcept nogil
        void (*toom_cook_copy)(...) noexcept nogil
        void (*toom_cook_input)(...) noexcept nogil
        void (*toom_cook_gradient)(...) noexcept nogil
        void (*toom_cook_weights)(...) noexcept nogil
        void (*toom_cook_weight_gradient)(...) noexcept nogil
        void (*toom_cook_output)(...) noexcept nogil
        void (*toom_cook_2d_input)(...) noexcept nogil
        void (*toom_cook_2d_gradient)(...) noexcept nogil
        void (*toom_cook_2d_weights)(...) noexcept nogil
        void (*toom_cook_2d_weight_gradient)(...) noexcept nogil
        void (*toom_cook_2d_output)(...) noexcept nogil

    ctypedef struct Kernels "npcnn_kernels":
        const char* name
        Py_ssize_t vector_bytes

    const InnerLoops* csrc "NPCNN_OF_TYPE"(const void* pointer)

cdef extern from "aligned_memory.h" nogil:
    const size_t CACHE_LINE "NPCNN_ALIGNMENT"   # bytes

cdef extern from "queue.h" nogil:
    ctypedef struct Queue "npcnn_queue":
        Py_ssize_t next, last

    Py_ssize_t take_from "npcnn_take"(Queue* queue)

# The table in use, under the name that NPCNN_OF_TYPE calls.
cdef const Kernels* active "npcnn_in_use"() noexcept nogil
cdef int threads() noexcept nogil


cdef struct Team:
    # Threads that work together, and memory for all of them, or NULL.  In `memory` there are places for as many threads
    # or more, so many bytes each: a place begins with the thread's queue, and then comes the thread's room.
    int threads, places
    void* shared
    char* memory
    size_t step


cdef Team gather(int threads, size_t count, size_t shared, size_t itemsize) except *
cdef void dismiss(const Team* team) noexcept
cdef void hand_out(const Team* team, Py_ssize_t items) noexcept nogil
cdef Py_ssize_t take(const Team* team, int thread) noexcept nogil


cdef inline void* room_for(const Team* team, int thread) noexcept nogil:
    """The memory that a thread has to itself."""
    return team.memory + thread * team.step + CACHE_LINE


cdef bint past_caches(size_t size) noexcept nogil
cpdef size_t core_cache_bytes() noexcept nogil


cdef inline Py_ssize_t whole_vectors(Py_ssize_t count, Py_ssize_t itemsize) noexcept nogil:
    """`count` rounded up to a multiple of the vector length: how wide the rows of a gemm's B must be."""
    cdef Py_ssize_t length = max(active().vector_bytes // itemsize, 1)
    return (count + length - 1) // length * length


cdef inline Py_ssize_t whole_cache_lines(Py_ssize_t count) noexcept nogil:
    """`count` numbers rounded up to whole cache lines, so that the next buffer begins on one."""
    return (count + 15) // 16 * 16


cdef inline int threads_for(Py_ssize_t pieces) noexcept nogil:
    """How many threads share out so many pieces of work: one piece wakes no second thread.

    It is one or all.  GNU's OpenMP lets threads go that a smaller team leaves out, and must start them again for the
    next one.
    """
    return threads() if pieces > 1 else 1


cdef inline void zero_run(real* x, Py_ssize_t count) noexcept nogil:
    memset(x, 0, count * sizeof(real))


cdef inline void add_parts(real* partial, Py_ssize_t parts, Py_ssize_t part_size, int team) noexcept nogil:
    """Add all parts, in their order, to the first."""
    cdef Py_ssize_t start, part
    for start in prange(0, part_size, FLAT_RUN, schedule="static", num_threads=team):
        for part in range(1, parts):
            csrc(partial).add(partial + start, partial + part * part_size + start, partial + start,
                              min(FLAT_RUN, part_size - start))
