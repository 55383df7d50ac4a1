/* Vectors of one ISA and element type (vectors.h, which see for the parameters), and what the core
 * alone does with them. */
#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* Before a loop whose length is a constant once inlined: so that its arrays become registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define KEEP_LOOP _Pragma("clang loop unroll(disable)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#define KEEP_LOOP _Pragma("GCC unroll 1")
#endif

#if BITS == 32
typedef float real;
typedef int32_t integer;
#else
typedef double real;
typedef int64_t integer;
#endif

#if defined(ISA_AVX512) || defined(ISA_AVX2) || defined(ISA_NEON)
#define HAS_FMA
#endif

#include "../../nnpoly/exchange/c/vectors.h"

/* The lower and the upper halves of a and b, interleaved: a0 b0 a1 b1 ... */
#if VECTOR_BYTES * 8 / BITS == 16
#define LOW_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VECTOR_BYTES * 8 / BITS == 8
#define LOW_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#elif VECTOR_BYTES * 8 / BITS == 4
#define LOW_HALVES 0, 4, 1, 5
#define HIGH_HALVES 2, 6, 3, 7
#else
#define LOW_HALVES 0, 2
#define HIGH_HALVES 1, 3
#endif
#if defined(__clang__)
INLINE vec zip_low(vec a, vec b) { return __builtin_shufflevector(a, b, LOW_HALVES); }
INLINE vec zip_high(vec a, vec b) { return __builtin_shufflevector(a, b, HIGH_HALVES); }
#else
INLINE vec zip_low(vec a, vec b) { return __builtin_shuffle(a, b, (ivec){LOW_HALVES}); }
INLINE vec zip_high(vec a, vec b) { return __builtin_shuffle(a, b, (ivec){HIGH_HALVES}); }
#endif
#undef LOW_HALVES
#undef HIGH_HALVES

/* Transpose a square of LANES rows in place: each of log2(LANES) rounds zips row i with row
 * i + LANES/2. */
INLINE void transpose(vec rows[LANES]) {
  UNROLL
  for (int round = 1; round < LANES; round *= 2) {
    vec zipped[LANES];
    UNROLL
    for (int i = 0; i < LANES / 2; i++) {
      zipped[2 * i] = zip_low(rows[i], rows[i + LANES / 2]);
      zipped[2 * i + 1] = zip_high(rows[i], rows[i + LANES / 2]);
    }
    UNROLL
    for (int i = 0; i < LANES; i++) rows[i] = zipped[i];
  }
}

#if BITS == 32
/* Rounded to bfloat16's numbers: to the nearest, of two as near to the even one. As AVX512_BF16
 * does it: below the least normal number it is a zero of x's sign; NaN stays NaN. */
INLINE vec nearest_bf16(vec x) {
  const ivec bits = (ivec)x, half = iset1(0x7fff) + ((bits >> 16) & iset1(1));
  const vec rounded = (vec)((bits + half) & iset1((integer)0xffff0000));
  const vec normal =
      choose(less(absolute(x), set1(0x1p-126f)), (vec)(bits & iset1(INT32_MIN)), rounded);
  return choose(less_equal(absolute(x), set1((real)INFINITY)), normal, set1((real)NAN));
}

/* Elements 1, 0, 3, 2, ... */
#if VECTOR_BYTES == 64
#define SWAPPED 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#elif VECTOR_BYTES == 32
#define SWAPPED 1, 0, 3, 2, 5, 4, 7, 6
#else
#define SWAPPED 1, 0, 3, 2
#endif
#if defined(__clang__)
INLINE vec swap_pairs(vec x) { return __builtin_shufflevector(x, x, SWAPPED); }
#else
INLINE vec swap_pairs(vec x) { return __builtin_shuffle(x, (ivec){SWAPPED}); }
#endif
#undef SWAPPED
#else
/* No product of float64 is asked to round its factors. */
INLINE vec nearest_bf16(vec x) { return x; }
INLINE vec swap_pairs(vec x) { return x; }
#endif

/* The first n of LANES bytes as integers, or all LANES if n is larger; the lanes beyond are 0. */
INLINE ivec widen_up_to(const int8_t *p, int n) {
#if defined(ISA_AVX512) || defined(ISA_AVX2)
  if (n >= LANES) {
    __m128i x = _mm_setzero_si128();
    memcpy(&x, p, LANES);
#if defined(ISA_AVX512) && BITS == 32
    return (ivec)_mm512_cvtepi8_epi32(x);
#elif defined(ISA_AVX512)
    return (ivec)_mm512_cvtepi8_epi64(x);
#elif BITS == 32
    return (ivec)_mm256_cvtepi8_epi32(x);
#else
    return (ivec)_mm256_cvtepi8_epi64(x);
#endif
  }
#endif
  ivec x = {0};
  for (int i = 0; i < LANES && i < n; i++) x[i] = p[i];
  return x;
}
