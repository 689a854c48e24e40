/* The vectors of the variant being compiled: how wide, and the few operations that need a name.
 *
 * variant.c is compiled once for every instruction set.  This is the only header that looks at which
 * one it is; everything below is written with the compiler's vector extensions (a `vec` is added and
 * multiplied like a number) or as plain loops that the compiler turns into vectors by itself.
 *
 * The register tile of the micro-kernel follows from the number of vector registers:
 * GEMM_ROWS x (2 vectors) accumulators, plus two vectors of B, plus one value of A, must fit.
 */
#ifndef NPCNN_SIMD_H
#define NPCNN_SIMD_H

#if defined(NPCNN_PLAIN)
#  define VECTOR_BYTES 0     /* no vectors at all: one number at a time */
#  define GEMM_ROWS 6
#elif defined(__AVX512F__)
#  define VECTOR_BYTES 64    /* 32 registers: 24 accumulators */
#  define GEMM_ROWS 12
#elif defined(__AVX2__)
#  define VECTOR_BYTES 32    /* 16 registers: 12 accumulators */
#  define GEMM_ROWS 6
#elif defined(__aarch64__) || defined(__ARM_NEON)
#  define VECTOR_BYTES 16    /* 32 registers: 24 accumulators */
#  define GEMM_ROWS 12
#else
#  define VECTOR_BYTES 16    /* baseline x86-64 (SSE2), 16 registers: 12 accumulators */
#  define GEMM_ROWS 6
#endif

#define CACHE_LINE 64          /* bytes */

/* STREAM(to, from) writes STREAMED_BYTES past the caches, where the instruction set can. */
#if VECTOR_BYTES && defined(__SSE2__)
#  include <immintrin.h>
#endif
#if VECTOR_BYTES && defined(__AVX512F__)
#  define STREAMED_BYTES 64
#  define STREAM(to, from) _mm512_stream_si512((void *)(to), _mm512_loadu_si512(from))
#elif VECTOR_BYTES && defined(__AVX__)
#  define STREAMED_BYTES 32
#  define STREAM(to, from) _mm256_stream_si256((void *)(to), _mm256_loadu_si256((const void *)(from)))
#elif VECTOR_BYTES && defined(__SSE2__)
#  define STREAMED_BYTES 16
#  define STREAM(to, from) _mm_stream_si128((void *)(to), _mm_loadu_si128((const void *)(from)))
#endif

/* Keep v in a register: GCC would read it from memory again for every use, which takes the place of other reads. */
#if VECTOR_BYTES && defined(__AVX512F__)
#  define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif VECTOR_BYTES && defined(__SSE2__)
#  define IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#  define IN_REGISTER(v) (void)(v)
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE static __attribute__((noinline))
/* Move a pointer on, in a way that the compiler cannot look through: where a loop is unrolled, it would work out all
 * addresses before the loop, many more than there are registers. */
#define MOVE_ON(pointer, count) do { (pointer) += (count); __asm__("" : "+r"(pointer)); } while (0)
#define PREFETCH(address) __builtin_prefetch((address), 1)       /* to be written */
#ifdef __clang__
#  define UNROLL _Pragma("clang loop unroll(full)")
#else
#  define UNROLL _Pragma("GCC unroll 16")
#endif

#endif

/* From here on: once per type.  REAL is float or double, INTEGER the integer of the same size. */
#undef VECTOR_LENGTH
#undef vec
#undef vec_unaligned
#undef mask

#if VECTOR_BYTES
#  define VECTOR_LENGTH (VECTOR_BYTES / (int)sizeof(REAL))
typedef REAL NAME(vec) __attribute__((vector_size(VECTOR_BYTES)));
typedef INTEGER NAME(mask) __attribute__((vector_size(VECTOR_BYTES)));
/* The same vector at any address a REAL may have. */
typedef REAL NAME(vec_unaligned) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

#else
#  define VECTOR_LENGTH 1
typedef REAL NAME(vec);
typedef INTEGER NAME(mask);
typedef REAL NAME(vec_unaligned);
#endif

#define vec NAME(vec)
#define vec_unaligned NAME(vec_unaligned)
#define mask NAME(mask)

/* Lane by lane: a where the comparison `holds` (all ones; in plain C just true), else b. */
ALWAYS_INLINE mask NAME(select_integer)(mask holds, mask a, mask b)
{
#if VECTOR_BYTES
    return (holds & a) | (~holds & b);
#else
    return holds ? a : b;
#endif
}

ALWAYS_INLINE vec NAME(select)(mask holds, vec a, vec b)
{
#if VECTOR_BYTES
    return (vec)NAME(select_integer)(holds, (mask)a, (mask)b);
#else
    return holds ? a : b;
#endif
}

ALWAYS_INLINE vec NAME(relu_vec)(vec v)
{
    return NAME(select)(v < (REAL)0, (vec){0}, v);      /* NaN < 0 does not hold, so NaN stays */
}

/* `count` numbers, a vector or less, followed by zeros. */
ALWAYS_INLINE vec NAME(load)(const REAL *from, ptrdiff_t count)
{
#if VECTOR_BYTES
    vec v = {0};
    if (count == VECTOR_LENGTH)
        return *(const vec_unaligned *)from;
    memcpy(&v, from, (size_t)count * sizeof(REAL));
    return v;
#else
    (void)count;
    return *from;
#endif
}

ALWAYS_INLINE void NAME(store)(REAL *to, vec v, ptrdiff_t count)
{
#if VECTOR_BYTES
    if (count == VECTOR_LENGTH)
        *(vec_unaligned *)to = v;
    else
        memcpy(to, &v, (size_t)count * sizeof(REAL));
#else
    (void)count;
    *to = v;
#endif
}

/* Run `call` for every vector of `channels`, from channel c on; in all but the last, `count` is a constant, the vector
 * length. */
#undef FOR_VECTORS
#define FOR_VECTORS(channels, call)                                                                   \
    do {                                                                                              \
        ptrdiff_t c = 0;                                                                              \
        for (; c + VECTOR_LENGTH <= (channels); c += VECTOR_LENGTH) {                                 \
            const ptrdiff_t count = VECTOR_LENGTH;                                                    \
            call;                                                                                     \
        }                                                                                             \
        const ptrdiff_t count = (channels) - c;                                                       \
        if (count > 0)                                                                                \
            call;                                                                                     \
    } while (0)

/* sum += v; what rounding loses is kept in `lost` and given back with the next v (Kahan, "Further remarks on reducing
 * truncation errors", 1965).  Long sums are first added up in pieces of SUM_PIECE numbers, and the pieces this way. */
#undef SUM_PIECE
#define SUM_PIECE 16
ALWAYS_INLINE void NAME(add_exactly)(vec *sum, vec *lost, vec v)
{
    const vec with_lost = v - *lost, total = *sum + with_lost;
    const vec error = (total - *sum) - with_lost;
    *lost = NAME(select)(error == error, error, (vec){0});      /* an infinite sum loses nothing */
    *sum = total;
}
