/* Vectors of one ISA and element type: the only file that knows intrinsics. The C core includes it,
 * and so do the programs that to_c writes, whose text is made of it (nnpoly/exchange/c_text.py).
 *
 * The including file has defined `real`, `integer` of as many bits, INLINE, and
 *   BITS                                     32 or 64, the element type
 *   ISA_AVX512, ISA_AVX2, ISA_NEON or none   none is GNU C's vectors of 16 bytes, for any processor
 *   HAS_FMA                                  with each of the three
 * and has included the processor's intrinsics, or math.h where there are none.
 *
 * This file offers `vec` of LANES reals, `ivec` of as many integers, and the functions below.
 * Arithmetic is GNU C's: + - * / on vec, + << & | on ivec. The compiler contracts no operation
 * (-ffp-contract=off), so the ISAs that have fma give the same bits.
 */

#if BITS == 32
#define X86(width, name) _mm##width##_##name##_ps
#else
#define X86(width, name) _mm##width##_##name##_pd
#endif

#if defined(ISA_AVX512)
#define VECTOR_BYTES 64
#elif defined(ISA_AVX2)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

enum { LANES = VECTOR_BYTES / (int)sizeof(real) };
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef integer ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef real unaligned_vec
    __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

INLINE vec load(const real *p) { return *(const unaligned_vec *)p; }
INLINE void store(real *p, vec x) { *(unaligned_vec *)p = x; }
INLINE vec set1(real x) {
  const vec zeros = {0};
  return x - zeros;
}
INLINE ivec iset1(integer x) {
  const ivec zeros = {0};
  return x - zeros;
}
INLINE vec of_bits(ivec x) { return (vec)x; }
INLINE ivec bits_of(vec x) { return (ivec)x; }

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
#if BITS == 32
INLINE mask less(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE mask less_equal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
#else
INLINE mask less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
INLINE mask less_equal(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
#endif
INLINE vec choose(mask m, vec yes, vec no) { return X86(512, mask_blend)(m, no, yes); }
/* With a mask of ones, since GCC 12 takes the others' operand, which they have for nothing, for
 * uninitialised in C++. */
INLINE vec sqrt_(vec x) { return X86(512, mask_sqrt)(x, (mask)-1, x); }
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
  for (int i = 0; i < LANES; i++)
    if (i < n) x[i] = p[i];
  return x;
}
INLINE void store_part(real *p, vec x, int n) {
  for (int i = 0; i < LANES; i++)
    if (i < n) p[i] = x[i];
}
INLINE vec keep_first(vec x, int n) {
  for (int i = n; i < LANES; i++) x[i] = 0;
  return x;
}
#if defined(ISA_NEON)
#if BITS == 32
INLINE vec fma_(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
INLINE vec sqrt_(vec x) { return vsqrtq_f32(x); }
#else
INLINE vec fma_(vec a, vec b, vec c) { return vfmaq_f64(c, a, b); }
INLINE vec sqrt_(vec x) { return vsqrtq_f64(x); }
#endif
#else
INLINE vec fma_(vec a, vec b, vec c) { return a * b + c; }
#if defined(__SSE2__)
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
  return X86(512, mask_min)(x, (mask)-1, limit, x); /* the second operand, if one is NaN */
#else
  return choose(less(limit, x), limit, x);
#endif
}

INLINE vec at_least(vec x, vec limit) {
#if defined(ISA_AVX512)
  return X86(512, mask_max)(x, (mask)-1, limit, x);
#else
  return choose(less(x, limit), limit, x);
#endif
}

INLINE vec absolute(vec x) {
  return of_bits(bits_of(x) & ~iset1((integer)((uint64_t)1 << (BITS - 1))));
}

/* The magnitude of x with the sign of s. */
INLINE vec with_sign(vec x, vec s) {
  const ivec sign = iset1((integer)((uint64_t)1 << (BITS - 1)));
  return of_bits((bits_of(x) & ~sign) | (bits_of(s) & sign));
}

/* The first n elements, or all LANES if n is larger. */
INLINE vec load_up_to(const real *p, int n) { return n >= LANES ? load(p) : load_part(p, n); }
INLINE void store_up_to(real *p, vec x, int n) {
  if (n >= LANES)
    store(p, x);
  else
    store_part(p, x, n);
}

/* A single row's, of those that are side by side. */
INLINE real lane(vec x, int i) { return x[i]; }
INLINE void set_lane(vec *x, int i, real value) { (*x)[i] = value; }
