/* Work that threads share out among themselves.
 *
 * Every thread has a queue of items with numbers that follow one another, and takes from it the next one; when its own
 * is empty, it takes from another's.  So the same thread mostly gets the same part of a batch, layer after layer, and
 * finds it in its own caches, where a loop of OpenMP gives the next item to whoever asks first; and yet a thread that
 * is slower than the others, or disturbed, does not keep them waiting.
 */
#ifndef NPCNN_QUEUE_H
#define NPCNN_QUEUE_H

#include <stddef.h>

typedef struct {
    ptrdiff_t next, last;           /* items from `next` to before `last` are left */
} npcnn_queue;

/* The next item of a queue, or -1 if none is left. */
static inline ptrdiff_t npcnn_take(npcnn_queue *queue)
{
    if (__atomic_load_n(&queue->next, __ATOMIC_RELAXED) >= queue->last)
        return -1;
    const ptrdiff_t item = __atomic_fetch_add(&queue->next, 1, __ATOMIC_RELAXED);
    return item < queue->last ? item : -1;
}

#endif
