/* One real where vectors.h has a vector, in plain C99: so that one text of functions and layers
 * serves processors with vectors, those without, and single rows. The programs that to_c writes are
 * made of it; nothing includes it.
 *
 * `real`, `integer`, `ivec` (unsigned here, so that shifts are defined), INLINE and HAS_FMA are
 * defined by the program; `vec` is real, and `mask` an int. */

INLINE vec set1(real x) { return x; }

/* The bits of a real: a union, since memcpy is a library's. */
union either {
  real x;
  ivec bits;
};
INLINE vec of_bits(ivec x) {
  union either both;
  both.bits = x;
  return both.x;
}
INLINE ivec bits_of(vec x) {
  union either both;
  both.x = x;
  return both.bits;
}

/* As in vectors.h. */
INLINE vec fma_(vec a, vec b, vec c) {
#if !defined(HAS_FMA)
  return a * b + c;
#else
#if BITS == 32
  return __builtin_fmaf(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
#endif
}
INLINE mask less(vec a, vec b) { return a < b; }
INLINE mask less_equal(vec a, vec b) { return a <= b; }
INLINE vec choose(mask m, vec yes, vec no) { return m ? yes : no; }
INLINE vec at_most(vec x, vec limit) { return limit < x ? limit : x; }
INLINE vec at_least(vec x, vec limit) { return x < limit ? limit : x; }

#define SIGN_BIT ((ivec)1 << (BITS - 1))
INLINE vec absolute(vec x) { return of_bits(bits_of(x) & ~SIGN_BIT); }
INLINE vec with_sign(vec x, vec s) {
  return of_bits((bits_of(x) & ~SIGN_BIT) | (bits_of(s) & SIGN_BIT));
}

/* Halving the exponent is within 4 %, and each step of Newton's squares that. The last one is of
 * the rest, which is exact where there is fma: within one unit in the last place. */
INLINE vec sqrt_(vec x) {
#if defined(__SSE2__)
#if BITS == 32
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
#else
  const __m128d both = _mm_set_sd(x);
  return _mm_cvtsd_f64(_mm_sqrt_sd(both, both));
#endif
#else
  int i;
  vec root;
  if (!(x > 0 && x < INFINITY)) return x < 0 ? NAN : x;
  root = of_bits((bits_of(x) >> 1) + (bits_of(set1(1)) >> 1));
  for (i = 0; i < 4; i++) root = (real)0.5 * (root + x / root);
  return fma_(fma_(-root, root, x), (real)0.5 / root, root);
#endif
}

INLINE real lane(vec x, int i) {
  (void)i;
  return x;
}
INLINE void set_lane(vec *x, int i, real value) {
  (void)i;
  *x = value;
}
