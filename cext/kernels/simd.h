/* Vectors of one ISA and element type: the only file that knows intrinsics.
 *
 * Parameters, defined by the including file:
 *   BITS                                     32 or 64, the element type
 *   ISA_AVX512, ISA_AVX2, ISA_NEON or none   none is GNU C's vectors of 16 bytes, for any processor
 *
 * It offers `real`, `vec` of LANES reals, `ivec` of as many integers, and the functions below.
 * Arithmetic is GNU C's: + - * / on vec, + << & | on ivec. The compiler contracts no operation
 * (-ffp-contract=off), so the ISAs that have fma give the same bits.
 */
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
#define X86(width, name) _mm##width##_##name##_ps
#else
typedef double real;
typedef int64_t integer;
#define X86(width, name) _mm##width##_##name##_pd
#endif

#if defined(ISA_AVX512) || defined(ISA_AVX2) || defined(ISA_NEON)
#define HAS_FMA
#endif
#if defined(ISA_AVX512)
#define VECTOR_BYTES 64
#elif defined(ISA_AVX2)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

enum { LANES = VECTOR_BYTES / sizeof(real) };
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef integer ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef real unaligned_vec
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

INLINE vec load(const real *p) { return *(const unaligned_vec *)p; }
INLINE void store(real *p, vec x) { *(unaligned_vec *)p = x; }
INLINE vec set1(real x) { return x - (vec){0}; }
INLINE ivec iset1(integer x) { return x - (ivec){0}; }

/* fma_(a, b, c) = a b + c, rounded once where the ISA can. The comparisons are false for NaN.
 * sqrt_: square roots. load_part, store_part: the first n of LANES elements; nothing else in memory
 * is touched, and the lanes beyond are 0. keep_first: the first n, and 0 beyond. */
#if defined(ISA_AVX512)

#if BITS == 32
typedef __mmask16 mask;
#else
typedef __mmask8 mask;
#endif
INLINE vec fma_(vec a, vec b, vec c) { return X86(512, fmadd)(a, b, c); }
INLINE vec sqrt_(vec x) { return X86(512, sqrt)(x); }
#if BITS == 32
INLINE mask less(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE mask less_equal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
#else
INLINE mask less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
INLINE mask less_equal(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
#endif
INLINE vec choose(mask m, vec yes, vec no) { return X86(512, mask_blend)(m, no, yes); }
INLINE mask first(int n) { return (mask)((1u << n) - 1u); }
INLINE vec load_part(const real *p, int n) { return X86(512, maskz_loadu)(first(n), p); }
INLINE void store_part(real *p, vec x, int n) { X86(512, mask_storeu)(p, first(n), x); }
INLINE vec keep_first(vec x, int n) { return X86(512, maskz_mov)(first(n), x); }

#else

typedef ivec mask;
INLINE mask less(vec a, vec b) { return a < b; }
INLINE mask less_equal(vec a, vec b) { return a <= b; }

#if defined(ISA_AVX2)
INLINE vec fma_(vec a, vec b, vec c) { return X86(256, fmadd)(a, b, c); }
INLINE vec sqrt_(vec x) { return X86(256, sqrt)(x); }
INLINE vec choose(mask m, vec yes, vec no) { return X86(256, blendv)(no, yes, (vec)m); }
INLINE __m256i first(int n) {
  static const integer ones_then_zeros[2 * LANES] = {
#if BITS == 32
      -1, -1, -1, -1,
#endif
      -1, -1, -1, -1};
  return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + LANES - n));
}
INLINE vec load_part(const real *p, int n) { return X86(256, maskload)(p, first(n)); }
INLINE void store_part(real *p, vec x, int n) { X86(256, maskstore)(p, first(n), x); }
INLINE vec keep_first(vec x, int n) { return (vec)((ivec)x & (ivec)first(n)); }
#else
INLINE vec choose(mask m, vec yes, vec no) { return (vec)((m & (ivec)yes) | (~m & (ivec)no)); }
INLINE vec load_part(const real *p, int n) {
  vec x = {0};
  for (int i = 0; i < n; i++) x[i] = p[i];
  return x;
}
INLINE void store_part(real *p, vec x, int n) {
  for (int i = 0; i < n; i++) p[i] = x[i];
}
INLINE vec keep_first(vec x, int n) {
  for (int i = n; i < LANES; i++) x[i] = 0;
  return x;
}
#if defined(ISA_NEON) && BITS == 32
INLINE vec fma_(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
INLINE vec sqrt_(vec x) { return vsqrtq_f32(x); }
#elif defined(ISA_NEON)
INLINE vec fma_(vec a, vec b, vec c) { return vfmaq_f64(c, a, b); }
INLINE vec sqrt_(vec x) { return vsqrtq_f64(x); }
#else
INLINE vec fma_(vec a, vec b, vec c) { return a * b + c; }
#if defined(__x86_64__)
INLINE vec sqrt_(vec x) { return X86(, sqrt)(x); }
#else
INLINE vec sqrt_(vec x) {
  for (int i = 0; i < LANES; i++) x[i] = (real)sqrt(x[i]);
  return x;
}
#endif
#endif
#endif

#endif

/* Limits that NaN passes, and of equal zeros returns either. */
INLINE vec at_most(vec x, vec limit) {
#if defined(ISA_AVX512)
  return X86(512, min)(limit, x); /* the second operand, if one is NaN */
#else
  return choose(less(limit, x), limit, x);
#endif
}

INLINE vec at_least(vec x, vec limit) {
#if defined(ISA_AVX512)
  return X86(512, max)(limit, x);
#else
  return choose(less(x, limit), limit, x);
#endif
}

INLINE vec absolute(vec x) {
  return (vec)((ivec)x & ~((integer)((uint64_t)1 << (BITS - 1)) - (ivec){0}));
}

/* The magnitude of x with the sign of s. */
INLINE vec with_sign(vec x, vec s) {
  const ivec sign = (integer)((uint64_t)1 << (BITS - 1)) - (ivec){0};
  return (vec)(((ivec)x & ~sign) | ((ivec)s & sign));
}

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

/* The first n elements, or all LANES if n is larger. */
INLINE vec load_up_to(const real *p, int n) { return n >= LANES ? load(p) : load_part(p, n); }
INLINE void store_up_to(real *p, vec x, int n) {
  if (n >= LANES)
    store(p, x);
  else
    store_part(p, x, n);
}
