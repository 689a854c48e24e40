/* Memory that begins on a cache line: POSIX and Windows name it differently. */
#ifndef NPCNN_ALIGNED_MEMORY_H
#define NPCNN_ALIGNED_MEMORY_H

#include <stdlib.h>
#ifdef _WIN32
#  include <malloc.h>
#endif

enum { NPCNN_ALIGNMENT = 64 };      /* bytes of a cache line, and of the longest vector */

/* `bytes` of memory, whose contents are arbitrary; NULL when there is none. */
static inline void *npcnn_allocate(size_t bytes)
{
#ifdef _WIN32
    return _aligned_malloc(bytes, NPCNN_ALIGNMENT);
#else
    void *memory;
    return posix_memalign(&memory, NPCNN_ALIGNMENT, bytes) ? NULL : memory;
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
