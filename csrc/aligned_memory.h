/* Memory that begins on a cache line, or on a large page: POSIX and Windows name it differently. */
#ifndef NPCNN_ALIGNED_MEMORY_H
#define NPCNN_ALIGNED_MEMORY_H

#include <stdlib.h>
#if defined(_WIN32)
#  include <malloc.h>
#elif defined(__linux__)
#  include <sys/mman.h>
#endif

enum { NPCNN_ALIGNMENT = 64 };      /* bytes of a cache line, and of the longest vector */
enum { NPCNN_LARGE_PAGE = 2 << 20 };

/* `bytes` of memory, whose contents are arbitrary; NULL when there is none.
 *
 * Large pages where the system has them: the workspace of a Toom-Cook convolution is read and written in many places
 * far from each other, each on a page of its own.  A large piece of memory begins with a page, and takes it. */
static inline void *npcnn_allocate(size_t bytes)
{
    const size_t alignment = bytes >= NPCNN_LARGE_PAGE ? NPCNN_LARGE_PAGE : NPCNN_ALIGNMENT;
#ifdef _WIN32
    return _aligned_malloc(bytes, alignment);
#else
    void *memory;
    if (posix_memalign(&memory, alignment, bytes))
        return NULL;
#  ifdef MADV_HUGEPAGE
    if (alignment == NPCNN_LARGE_PAGE)
        (void)madvise(memory, bytes, MADV_HUGEPAGE);        /* a wish: without large pages it is slower, no more */
#  endif
    return memory;
#endif
}

/* What npcnn_allocate gave, or NULL. */
static inline void npcnn_release(void *memory)
{
#ifdef _WIN32
    _aligned_free(memory);
#else
    free(memory);
#endif
}

#endif
