/* Which instruction set is in use, and how many threads. */
#ifndef NPCNN_DISPATCH_H
#define NPCNN_DISPATCH_H

#include "kernels.h"

/* The table in use; never NULL. */
const npcnn_kernels *npcnn_active(void);

/* The name of the i-th instruction set that was built and that this CPU has, fastest first; NULL after the last. */
const char *npcnn_supported_isa(int i);

/* Use the named instruction set; 0 when it was chosen, -1 when this build or CPU does not have it. */
int npcnn_use_isa(const char *name);

/* The OpenMP runtime ends the process when the system refuses it a thread or a stack, as it does at tens of thousands
 * of threads. */
enum { NPCNN_MOST_THREADS = 1024 };

/* Threads the next kernel called from this thread will use; from 1 to NPCNN_MOST_THREADS. */
int npcnn_threads(void);

/* Use at most this many threads from now on; from 1 to NPCNN_MOST_THREADS. */
void npcnn_set_threads(int threads);

/* 1 when built with OpenMP. */
int npcnn_has_openmp(void);

/* Bytes of the largest cache that a core reads through; where the CPU does not say, a guess. */
size_t npcnn_cache_bytes(void);

/* The same of the first two levels, which a core mostly has for itself. */
size_t npcnn_core_cache_bytes(void);

/* Name and version of the compiler. */
const char *npcnn_compiler(void);

#endif
