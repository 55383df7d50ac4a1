/* What a program in C asks of its compiler: nothing beyond C99, but it is told of more. */

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || __FINITE_MATH_ONLY__ + 0
#error "compile without -ffast-math, -Ofast and the like: sums are rounded as they stand here"
#endif

/* So must each result: the x87 of a processor of before 2001 keeps more digits. */
#if defined(__FLT_EVAL_METHOD__)
#if __FLT_EVAL_METHOD__ != 0 && __FLT_EVAL_METHOD__ != 16
#error "compile for a processor that rounds each operation, as with -msse2 -mfpmath=sse"
#endif
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#else
#include <math.h> /* for two numbers, no functions */
#define INLINE static inline
#define INFINITY HUGE_VALF
#define NAN (HUGE_VALF * 0)
#endif

/* Products and sums are rounded as they stand here. GCC has no pragma for it: with -std=c99 or
 * -ffp-contract=off it does so. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* A function that knows no numbers of the model: of constants of both signs GCC 12 makes
 * vfmaddsub, which rounds once, whatever -ffp-contract says. */
#if defined(__clang__) || !defined(__GNUC__) || __GNUC__ < 8
#define APART static
#else
#define APART static __attribute__((noipa))
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define KEEP_LOOP _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define UNROLL _Pragma("GCC unroll 32")
#define KEEP_LOOP _Pragma("GCC unroll 1")
#else
#define UNROLL
#define KEEP_LOOP
#endif

/* The vectors of the processor that is compiled for. */
#if defined(__GNUC__) && defined(__SSE2__)
#include <immintrin.h>
#define VECTORS
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define ISA_AVX512
#define HAS_FMA
#elif defined(__AVX2__) && defined(__FMA__)
#define ISA_AVX2
#define HAS_FMA
#endif
#elif defined(__GNUC__) && defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define VECTORS
#define ISA_NEON
#define HAS_FMA
#elif defined(__GNUC__) && (defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF))
#if BITS == 32
#define HAS_FMA
#else
#if defined(__FP_FAST_FMA) || (defined(__ARM_FP) && __ARM_FP + 0 >= 12)
#define HAS_FMA
#endif
#endif
#endif
