"""The state of the C core: which instruction set, how many threads, aligned memory."""
from libc.stdint cimport SIZE_MAX
from libc.string cimport memcmp

cdef extern from "dispatch.h" nogil:
    const Kernels* npcnn_active()
    const char* npcnn_supported_isa(int i)
    int npcnn_use_isa(const char* name)
    const int NPCNN_MOST_THREADS
    int npcnn_threads()
    void npcnn_set_threads(int threads)
    int npcnn_has_openmp()
    const char* npcnn_compiler()
    size_t npcnn_cache_bytes()
    size_t npcnn_core_cache_bytes()

cdef extern from *:
    """
    /* Under AddressSanitizer every workspace is new memory of exactly its size, so that a step past its end shows. */
    #ifdef __SANITIZE_ADDRESS__
    #define KEEPS_WORKSPACE 0
    #else
    #define KEEPS_WORKSPACE 1
    #endif
    """
    const bint KEEPS_WORKSPACE

cdef extern from "aligned_memory.h" nogil:
    void* npcnn_allocate(size_t size)
    void npcnn_release(void* memory)


cdef const Kernels* active "npcnn_in_use"() noexcept nogil:
    return npcnn_active()


cdef int threads() noexcept nogil:
    return npcnn_threads()


cdef bint past_caches(size_t size) noexcept nogil:
    """Whether a result of `size` bytes is written past the caches: it would not stay in them until it is read."""
    return size > npcnn_cache_bytes() // 2


cpdef size_t core_cache_bytes() noexcept nogil:
    """Bytes of the cache that a core mostly has for itself; a guess where the CPU does not say."""
    return npcnn_core_cache_bytes()


MOST_THREADS = NPCNN_MOST_THREADS

# The workspace of the last kernel, kept for the next one; NULL while a kernel uses it.  Both functions below
# run under the GIL, so that one of two kernels that run at the same time gets it and the other memory of its own.
# In front of every workspace stands its size, on a cache line of its own.
cdef void* spare = NULL
cdef size_t spare_size = 0


cdef void* workspace(size_t count, size_t itemsize) except NULL:
    """Memory for `count` items, aligned to a cache line; MemoryError when there is none.  Its contents are arbitrary.

    It is the memory the last kernel used if that is large enough, so a network soon computes in one workspace, that
    of its largest layer, and asks the system for no more.
    """
    global spare, spare_size
    cdef void* buffer = spare
    if count > (SIZE_MAX - 2 * CACHE_LINE) // itemsize:
        raise MemoryError(f"no memory for {count} numbers of {itemsize} bytes")
    if buffer == NULL or spare_size < count * itemsize:
        buffer = npcnn_allocate(CACHE_LINE + count * itemsize)
        if buffer == NULL:
            raise MemoryError(f"no memory for {count} numbers of {itemsize} bytes")
        (<size_t*>buffer)[0] = count * itemsize
    else:
        spare = NULL
    return <char*>buffer + CACHE_LINE


cdef void release_workspace(void* buffer) noexcept:
    """Keep a workspace for the next kernel, or the spare one if that is larger."""
    global spare, spare_size
    cdef void* block = <char*>buffer - CACHE_LINE
    cdef size_t size = (<size_t*>block)[0]
    if not KEEPS_WORKSPACE or (spare != NULL and spare_size >= size):
        npcnn_release(block)
        return
    npcnn_release(spare)
    spare, spare_size = block, size


# The last team, whose memory is kept for the next one, as the workspace is.
cdef Team spare_team
spare_team.memory, spare_team.step, spare_team.places = NULL, 0, 0


cdef Team gather(int threads, size_t count, size_t shared, size_t itemsize) except *:
    """A team of so many threads, each with room for `count` items, all with a workspace for `shared` items.

    MemoryError when there is no memory for them.

    A thread has its room in the same place in one kernel after the other: what it wrote there is in its own caches.
    With rooms of another size in each kernel, it would fetch from another core what that wrote there; a forward pass
    of the article's network took 4.4 ms then, not 3.3, on a virtual machine at the times when its cores lay far apart.
    """
    global spare_team
    cdef Team team = spare_team
    cdef size_t step
    if count > (SIZE_MAX // 2 - 2 * CACHE_LINE) // itemsize // threads:
        raise MemoryError(f"no memory for {count} numbers of {itemsize} bytes in each of {threads} threads")
    step = CACHE_LINE + (count * itemsize + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    team.threads = threads
    team.shared = workspace(shared, itemsize) if shared else NULL
    if team.memory != NULL and team.step >= step and team.places >= threads:
        spare_team.memory = NULL
        return team
    team.step, team.places = max(step, team.step), threads
    team.memory = <char*>npcnn_allocate(team.places * team.step)
    if team.memory == NULL:
        if team.shared != NULL:
            release_workspace(team.shared)
        raise MemoryError(f"no memory for {team.places} threads with {team.step} bytes each")
    return team


cdef void dismiss(const Team* team) noexcept:
    """Keep the memory of a team for the next one, or the spare one if there is one that is no smaller."""
    global spare_team
    if team.shared != NULL:
        release_workspace(team.shared)
    if not KEEPS_WORKSPACE or (spare_team.memory != NULL and spare_team.step >= team.step
                               and spare_team.places >= team.places):
        npcnn_release(team.memory)
        return
    npcnn_release(spare_team.memory)
    spare_team = team[0]


cdef void hand_out(const Team* team, Py_ssize_t items) noexcept nogil:
    """Put so many items into the queues of the threads, to each a part of those that follow one another."""
    cdef int thread
    cdef Queue* queue
    for thread in range(team.threads):
        queue = <Queue*>(team.memory + thread * team.step)
        queue.next, queue.last = thread * items // team.threads, (thread + 1) * items // team.threads


cdef Py_ssize_t take(const Team* team, int thread) noexcept nogil:
    """The next item for a thread, its own as long as there are some, or -1 if none is left."""
    cdef Py_ssize_t item = -1
    cdef int i = 0
    while item < 0 and i < team.threads:
        item = take_from(<Queue*>(team.memory + (thread + i) % team.threads * team.step))
        i += 1
    return item


def supported_isas():
    """Names of the instruction sets that this build has and this CPU can run, fastest first."""
    names = []
    while npcnn_supported_isa(len(names)) != NULL:
        names.append(npcnn_supported_isa(len(names)).decode())
    return names


def isa():
    """Name of the instruction set in use."""
    return npcnn_active().name.decode()


def use_isa(name):
    """Use the named instruction set from the next kernel on; ValueError if this build or CPU does not have it."""
    if name not in supported_isas():
        raise ValueError(
            f"instruction set must be one that this build and this CPU have, {', '.join(supported_isas())}; "
            f"got {name!r}"
        )
    npcnn_use_isa(name.encode())


def vector_columns(Py_ssize_t columns, Py_ssize_t itemsize):
    """`columns` rounded up to whole vectors: how wide a matrix of weights must be."""
    return whole_vectors(columns, itemsize)


def same_bits(const float[:, :, :, ::1] a, const float[:, :, :, ::1] b):
    """Whether two arrays have the same shape and the same bits."""
    cdef Py_ssize_t axis, count = 1
    for axis in range(4):
        if a.shape[axis] != b.shape[axis]:
            return False
        count *= a.shape[axis]
    return count == 0 or memcmp(&a[0, 0, 0, 0], &b[0, 0, 0, 0], count * sizeof(float)) == 0


def num_threads():
    """Number of threads the next kernel will use."""
    return npcnn_threads()


def set_num_threads(int n):
    """Use at most `n` threads."""
    npcnn_set_threads(n)


def has_openmp():
    """Whether this build can use more than one thread."""
    return bool(npcnn_has_openmp())


def cache_bytes():
    """Bytes of the largest cache: kernels write larger results past it.  A guess where the CPU does not say."""
    return npcnn_cache_bytes()


def compiler():
    """Name and version of the compiler of this build."""
    return npcnn_compiler().decode()
