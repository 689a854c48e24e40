/* Chooses among the variants that setup.py compiled: one table of functions per instruction set.
 *
 * This is the only file that asks the CPU what it can do, and the only one of csrc/ that holds state: the table in
 * use, the number of threads, and how large the caches are.
 */
#include "dispatch.h"

#include <string.h>

#ifdef NPCNN_X86
#  include <cpuid.h>
#endif
#ifdef _OPENMP
#  include <omp.h>
#  ifndef _WIN32
#    include <pthread.h>
#  endif
#endif

extern const npcnn_kernels npcnn_kernels_plain;
#if defined(NPCNN_X86)
extern const npcnn_kernels npcnn_kernels_sse2, npcnn_kernels_avx2, npcnn_kernels_avx512;
#elif defined(NPCNN_ARM)
extern const npcnn_kernels npcnn_kernels_neon;
#endif

static int always(void) { return 1; }

#if defined(NPCNN_X86)
/* We ask the CPU itself: __builtin_cpu_supports reads a table in the compiler's runtime library, and where that is not
 * linked in (zig cc does not) it reports that the CPU has nothing. */
enum { SAVES_YMM = 0x06, SAVES_ZMM = 0xe6 };

/* Whether the operating system saves these registers when it switches between programs.  Only a CPU with OSXSAVE can
 * be asked. */
static int saves_registers(unsigned wanted)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & wanted) == wanted;
}

static int has_avx2(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA) || !(c & bit_OSXSAVE))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2) && saves_registers(SAVES_YMM);
}

static int has_avx512(void)
{
    const unsigned wanted = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & wanted) == wanted
        && saves_registers(SAVES_ZMM);
}
#endif

static const struct {
    const npcnn_kernels *kernels;
    int (*supported)(void);
} variants[] = {                                /* fastest first */
#if defined(NPCNN_X86)
    {&npcnn_kernels_avx512, has_avx512},
    {&npcnn_kernels_avx2, has_avx2},
    {&npcnn_kernels_sse2, always},
#elif defined(NPCNN_ARM)
    {&npcnn_kernels_neon, always},
#endif
    {&npcnn_kernels_plain, always},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static const npcnn_kernels *active;

const char *npcnn_supported_isa(int i)
{
    for (int v = 0; v < VARIANTS; v++)
        if (variants[v].supported() && i-- == 0)
            return variants[v].kernels->name;
    return NULL;
}

int npcnn_use_isa(const char *name)
{
    for (int v = 0; v < VARIANTS; v++)
        if (strcmp(variants[v].kernels->name, name) == 0 && variants[v].supported()) {
            active = variants[v].kernels;
            return 0;
        }
    return -1;
}

const npcnn_kernels *npcnn_active(void)
{
    if (!active)
        npcnn_use_isa(npcnn_supported_isa(0));
    return active;
}

#ifdef _OPENMP
static int limit;                               /* set by npcnn_set_threads; 0: no limit set */
static int used;                                /* 1 once a kernel may have started threads */
static int forked;                              /* 1 in a process forked after that; Windows knows no forks */

#ifndef _WIN32
/* The threads of an OpenMP runtime do not survive a fork, and GNU's runtime would wait for them forever.  A child
 * forked after threads were used therefore computes in its one thread. */
static void after_fork_in_child(void) { forked = used; }

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, after_fork_in_child);
}
#endif

int npcnn_threads(void)
{
    const int openmp = omp_get_max_threads();   /* OMP_NUM_THREADS and threadpoolctl act on this */
    const int most = limit > 0 ? limit : NPCNN_MOST_THREADS;
    if (forked)
        return 1;
    if (!used)                                  /* what is not written stays in the caches of the other threads */
        used = 1;
    return openmp < most ? openmp : most;
}

void npcnn_set_threads(int threads)
{
    limit = threads;
    if (omp_get_max_threads() < threads)
        omp_set_num_threads(threads);
}

int npcnn_has_openmp(void) { return 1; }
#else
int npcnn_threads(void) { return 1; }
void npcnn_set_threads(int threads) { (void)threads; }
int npcnn_has_openmp(void) { return 0; }
#endif

#ifdef NPCNN_X86
/* The caches are counted by cpuid leaf 4, at AMD by 0x8000001d, in the same form: a type, which is 1 for data and 3 for
 * all, the level, the length of a line, partitions, ways and sets. */
static size_t largest_cache(unsigned leaf, unsigned levels)
{
    size_t largest = 0;
    unsigned a, b, c, d;
    for (unsigned i = 0; __get_cpuid_count(leaf, i, &a, &b, &c, &d) && (a & 31); i++) {
        const size_t bytes = ((b & 0xfff) + 1) * (size_t)((b >> 12 & 0x3ff) + 1) * ((b >> 22) + 1) * ((size_t)c + 1);
        if ((a & 31) != 2 && (a >> 5 & 7) <= levels && bytes > largest)
            largest = bytes;
    }
    return largest;
}
#endif

/* Bytes of the largest cache up to a level, or the guess where the CPU does not say. */
static size_t cache_up_to(unsigned levels, size_t guess)
{
    size_t found = 0;
#ifdef NPCNN_X86
    found = largest_cache(4, levels);
    if (!found)
        found = largest_cache(0x8000001d, levels);
#endif
    (void)levels;
    return found ? found : guess;
}

/* Several threads may find out the same at a time. */
size_t npcnn_cache_bytes(void)
{
    static size_t bytes;
    return bytes ? bytes : (bytes = cache_up_to(7, (size_t)8 << 20));
}

size_t npcnn_core_cache_bytes(void)
{
    static size_t bytes;
    return bytes ? bytes : (bytes = cache_up_to(2, (size_t)1 << 20));
}

const char *npcnn_compiler(void)
{
#if defined(__clang__)
    return "Clang " __clang_version__;
#elif defined(__GNUC__)
    return "GCC " __VERSION__;
#else
    return "unknown";
#endif
}
