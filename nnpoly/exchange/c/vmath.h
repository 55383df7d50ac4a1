/* exp, log and their relatives, on vectors. Polynomials are minimax fits in the power basis; each
 * comment gives the interval and the relative error. Bounds in units in the last place (ulp) are
 * measured by tests/backends/numpy/test_core_math.py. NaN passes through all of them. */

#if BITS == 32
#define MANTISSA 23
#define BIAS 127
#define LN2_HIGH 0.693359375f /* the product with an exponent is exact */
#define LN2_LOW -2.12194440e-4f
#define SMALLEST_EXPONENT -87.33654f /* exp is a normal number from here ... */
#define LARGEST_EXPONENT 88.72283f   /* ... to here */
#else
#define MANTISSA 52
#define BIAS 1023
#define LN2_HIGH 6.93145751953125E-1
#define LN2_LOW 1.42860682030941723212E-6
#define SMALLEST_EXPONENT -708.3964185322641
#define LARGEST_EXPONENT 709.782712893384
#endif
#define SHIFTER ((real)((uint64_t)3 << (MANTISSA - 1))) /* adding it rounds to an integer */

/* sum_i c[i] x^i, by Horner's rule. */
#define POLYNOMIAL(x, c) polynomial(x, c, (int)(sizeof(c) / sizeof((c)[0])))
INLINE vec polynomial(vec x, const real *c, int terms) {
  vec sum = set1(c[terms - 1]);
  UNROLL
  for (int i = terms - 2; i >= 0; i--) sum = fma_(sum, x, set1(c[i]));
  return sum;
}

/* exp(x) = (1 + em1) scale / 2^more: x = n ln 2 + r with |r| <= ln(2)/2, em1 = expm1(r) and scale =
 * 2^(n + more), whose exponent must be that of a normal number. */
struct power {
  vec em1, scale;
};

/* exp(x + low), where low is small against x's last place, or NULL. */
INLINE struct power split_power(vec x, const vec *low, int more) {
  static const real Q[] = {/* (expm1(r) - r) / r^2 */
#if BITS == 32
                           0.5f, 0.16666576698987695783f, 0.041666554617204574203f, /* 2^-25.4 */
                           0.0083631790527225773704f, 0.0013926183587713494542f
#else
                           0.5,
                           0.16666666666666670991,
                           0.041666666666666669755, /* 2^-60.8 */
                           0.0083333333333261351258,
                           0.0013888888888883748305,
                           0.00019841269874820625271,
                           0.000024801587325547741216,
                           2.755725540020642443e-6,
                           2.7557273643110295328e-7,
                           2.5105217004720745164e-8,
                           2.0914686968086877233e-9
#endif
  };
  /* Adding the shifter rounds to an integer, and leaves n + BIAS + more in the lowest bits. */
  const real shifter = SHIFTER + BIAS + (real)more;
  const vec shifted = fma_(x, set1((real)1.44269504088896340736), set1(shifter));
  const vec n = shifted - shifter;
  vec r = fma_(n, set1(-LN2_HIGH), x);
  r = fma_(n, set1(-LN2_LOW), r);
  if (low != NULL) r += *low;
  const struct power p = {fma_(r * r, POLYNOMIAL(r, Q), r), of_bits(bits_of(shifted) << MANTISSA)};
  return p;
}

/* exp(x) where it is a normal number: SMALLEST_EXPONENT <= x and x <= 88 (709 in float64). */
INLINE vec exp_bounded(vec x) {
  const struct power p = split_power(x, NULL, 0);
  return fma_(p.em1, p.scale, p.scale);
}

/* exp(x) 2^24 for -FURTHEST <= x <= 0: a normal number, where exp(x) need not be one. */
#define FURTHEST (BITS == 32 ? 95 : 720)
INLINE vec exp_scaled(vec x) {
  const struct power p = split_power(x, NULL, 24);
  return fma_(p.em1, p.scale, p.scale);
}
#define DOWN ((real)(1.0 / (1 << 24)))
INLINE vec scaled_down(vec x) { return x * DOWN; }

/* exp(x) for x <= 0: 0 where it would be a denormal number. */
INLINE vec exp_decay(vec x) {
  const vec lowest = set1(SMALLEST_EXPONENT);
  return choose(less(x, lowest), set1(0), scaled_down(exp_scaled(at_least(x, lowest))));
}

/* exp(x), for every x. */
INLINE vec exp_full(vec x) {
  const vec lowest = set1(SMALLEST_EXPONENT), highest = set1(LARGEST_EXPONENT);
  /* n may be 128, whose power overflows though the result does not: add it to the exponent. */
  const struct power p = split_power(at_least(x, lowest), NULL, -BIAS);
  vec y = of_bits(bits_of((real)1 + p.em1) + bits_of(p.scale));
  y = choose(less(x, lowest), set1(0), y);
  return choose(less_equal(x, highest), y, x * (real)INFINITY);
}

/* expm1(x) for x whose exp is bounded (see exp_bounded). */
INLINE vec expm1_bounded(vec x) {
  const struct power p = split_power(x, NULL, 0);
  return fma_(p.em1, p.scale, p.scale - (real)1);
}

/* log((1 + s) / (1 - s)) = 2 s + s^3 L(s^2), |s| <= 1/3; of 2 s, which may be a normal number
 * though s is not. */
INLINE vec log_ratio(vec twice) {
  static const real L[] = {
#if BITS == 32
      0.6666666732087150329f, 0.39999706206824966181f, 0.28592364795197616486f, /* 2^-31 */
      0.21706460997192692301f, 0.23224921771214581712f
#else
      0.66666666666666666886,  0.39999999999999521998, 0.28571428571600264262, /* 2^-62.7 */
      0.22222222198216112517,  0.18181819899267958975, 0.15384543917753164533,
      0.13335179661515710271,  0.11734265179376593114, 0.10845291032779812769,
      0.074916394606732655717, 0.15631534707431224485
#endif
  };
  const vec s = (real)0.5 * twice, square = s * s;
  return fma_(s * square, POLYNOMIAL(square, L), twice);
}

/* log(1 + u) for 0 <= u <= 1. */
INLINE vec log1p_unit(vec u) { return log_ratio((u + u) / (u + (real)2)); }

/* log(v) for a positive normal number v; inf and NaN pass. */
INLINE vec log_positive(vec v) {
  /* v = 2^e m, sqrt(1/2) <= m < sqrt(2): subtracting the root's bits makes the exponent e, and
   * BIAS keeps it from being negative. */
  const integer bias = (integer)BIAS << MANTISSA;
  const ivec root_half = bits_of(set1((real)0.70710678118654752440));
  const ivec biased = (bits_of(v) - root_half + bias) >> MANTISSA;
  const vec m = of_bits(bits_of(v) - (biased << MANTISSA) + bias);
  /* The integer e as a real, by the shifter's bits. */
  const vec exponent = of_bits(bits_of(set1(SHIFTER)) + biased) - (SHIFTER + BIAS);
  const vec above = m - (real)1;
  const vec log_m = log_ratio((above + above) / (m + (real)1));
  const vec y = fma_(exponent, set1(LN2_HIGH), fma_(exponent, set1(LN2_LOW), log_m));
  return choose(less(v, set1((real)INFINITY)), y, v);
}

INLINE vec sigmoid(vec x) {
  /* Beyond these limits the result is 1, or a denormal number, which is written as 0. */
  const vec y = at_most(at_least(x, set1(BITS == 32 ? -88 : -709)), set1(40));
  return (real)1 / ((real)1 + exp_bounded(-y));
}

/* x sigmoid(y), for x that is not below -FURTHEST. Where y < 0 it is x exp(y) / (1 + exp(y)), whose
 * exp may be a denormal number though the product is not. */
INLINE vec times_sigmoid(vec x, vec y) {
  const vec scaled = exp_scaled(at_least(with_sign(y, set1(-1)), set1(-FURTHEST)));
  const vec numerator = choose(less(y, set1(0)), scaled_down(x * scaled), x);
  return numerator / fma_(scaled, set1(DOWN), set1(1));
}

/* z tanh(log(1 + exp(z))) = z above / below, with u = exp(-|z|): above = 1 + 2 u and below = above
 * + 2 u^2 where z >= 0; u (u + 2) and above + 2 where z < 0. */
struct mish {
  vec scaled, u, below; /* scaled: as exp_scaled */
  mask negative;
};

INLINE vec above_mish(struct mish f) {
  const vec twice = f.u + f.u;
  return choose(f.negative, fma_(f.u, f.u, twice), twice + (real)1);
}

INLINE struct mish mish_fraction(vec z) {
  struct mish f;
  f.scaled = exp_scaled(at_least(with_sign(z, set1(-1)), set1(-FURTHEST)));
  f.u = scaled_down(f.scaled);
  f.negative = less(z, set1(0));
  f.below = above_mish(f) + choose(f.negative, set1(2), (f.u + f.u) * f.u);
  return f;
}

/* Where z < 0, u may be a denormal number though the product is not. */
INLINE vec mish(vec z) {
  const struct mish f = mish_fraction(z);
  const vec near = at_least(z, set1(-FURTHEST));
  const vec low = scaled_down(near * f.scaled * (f.u + (real)2));
  return choose(f.negative, low, near * above_mish(f)) / f.below;
}

/* above / below + z tanh'(log(1 + exp(z))) sigmoid(z); u is 0 beyond +-FURTHEST. */
INLINE vec mish_slope(vec z) {
  const struct mish f = mish_fraction(z);
  const vec near = at_most(at_least(z, set1(-FURTHEST)), set1(FURTHEST));
  const vec rise = choose(f.negative, f.u, f.u * f.u) * fma_(f.u, set1(4), set1(4));
  return fma_(near, rise / f.below, above_mish(f)) / f.below;
}

#if BITS == 32
INLINE vec tanh_(vec x) {
  /* tanh(x) / x = P(x^2) / R(x^2) to 2^-25.5 for |x| <= 9, from where on tanh rounds to +-1. */
  static const real P[] = {0.99999997958003971f, 0.13381016713446444f, 0.0034955774031803552f,
                           2.0608905978400399e-5f, 1.3354422664605958e-8f};
  static const real R[] = {1, 0.46714332344539601f, 0.025876941623993869f, 0.00032856172412463439f,
                           7.7764591693016715e-7f};
  const vec near =
      at_most(at_least(x, set1(-9.4f)), set1(9.4f)); /* the quotient is above 1 there */
  const vec square = near * near;
  const vec y = near * POLYNOMIAL(square, P) / POLYNOMIAL(square, R);
  return at_most(at_least(y, set1(-1)), set1(1));
}
#else
INLINE vec tanh_(vec x) {
  const vec twice = at_most(absolute(x + x), set1(40)); /* 1 - tanh(20) is below half an ulp */
  const vec em1 = expm1_bounded(twice);
  return with_sign(em1 / (em1 + (real)2), x);
}
#endif

INLINE vec softplus(vec x) {
  return at_least(x, set1(0)) + log1p_unit(exp_decay(with_sign(x, set1(-1))));
}

/* |x| without the nearest integer, exactly: within -1/2..1/2, and NaN for infinities. From WHOLE on
 * every number is an integer. */
INLINE vec rest_of_turn(vec x) {
  const vec y = absolute(x), whole = set1((real)((uint64_t)1 << MANTISSA));
  return y - choose(less(y, whole), (y + whole) - whole, y);
}

/* sin(2 pi s) = 2 pi s + s^3 P(s^2) for |s| <= 1/4. */
INLINE vec sin_quarter(vec s) {
  static const real P[] = {
#if BITS == 32
      -41.34170532f, 81.60524750f, -76.70515442f, 42.02686310f, -14.50903320f /* 2^-25 */
#else
      -41.34170224039976,  81.60524927607489, -76.7058597530039,  42.058693937537186,
      -15.094642113811632, 3.819936760749782, -0.717822415835364, 0.10126285905316906 /* 2^-53.3 */
#endif
  };
  const vec square = s * s;
  return fma_(s * square, POLYNOMIAL(square, P), s * (real)6.28318530717958647693);
}

/* cos(2 pi x) and sin(2 pi x) of a number of turns: a quarter is rounded only where the cosine is
 * flat. */
INLINE vec cos_turns(vec x) { return sin_quarter((real)0.25 - absolute(rest_of_turn(x))); }
INLINE vec sin_turns(vec x) {
  const vec rest = rest_of_turn(x), size = absolute(rest);
  const vec quarter = sin_quarter(choose(less(set1((real)0.25), size), (real)0.5 - size, size));
  return with_sign(quarter, of_bits(bits_of(rest) ^ bits_of(x)));
}

/* The tail of the normal distribution, Phi(-u) = q(u) exp(-u^2/2) for u >= 0. */
struct tail {
  vec u;     /* min(|z|, where z Phi(z) becomes a denormal number) */
  vec q;     /* q(u) */
  vec power; /* exp(-u^2/2) / scale, between 0.7 and 1.5 */
  vec scale; /* a power of two */
};

/* u^2 - square, for square = u^2 rounded. */
INLINE vec rest_of_square(vec u, vec square) {
#if defined(HAS_FMA)
  return fma_(u, u, -square);
#else
  const vec high = of_bits(bits_of(u) & -((integer)1 << (MANTISSA / 2 + 1))), low = u - high;
  return (high * high - square) + (high + high) * low + low * low;
#endif
}

INLINE struct tail normal_tail(vec z) {
#define CENTRE 4
  static const real H[] = {
  /* q(u) (u + c), a polynomial in t = (u - c) / (u + c) */
#if BITS == 32
      0.75528513779015617648f,    -0.60789663797501707596f,  0.38713670964541549445f, /* 2^-26.4 */
      -0.18652213412835209308f,   0.060406856944945739868f,  -0.0075330302777059764948f,
      -0.0035302550009191883426f, 0.0015786117481859861652f, 0.00021318903790836158935f,
      -0.00011517947565421166532f
#else
      0.75528513041575149327,     -0.60789664197189210759,
      0.38713740074221454099, /* 2^-57.9 */
      -0.1865218579596572468,     0.060396574890936560689,
      -0.0075401889667267915747,  -0.0034796923673935951504,
      0.0016308184575887011911,   0.00013334431240964573657,
      -0.00023109493516945901442, -1.9082584797734331084e-6,
      0.00003514468605300346296,  7.1666632452210311862e-7,
      -5.9201733230161029169e-6,  -6.2969656058158233297e-7,
      1.0215540371961015335e-6,   2.7180452962592835767e-7,
      -1.5496491742247450468e-7,  -8.5408418156851249779e-8,
      1.3280797787310327843e-8,   1.961961086135555974e-8,
      1.9182770203733402626e-9,   -2.5220994578780735364e-9,
      -7.2624198104095792964e-10
#endif
  };
  const vec u = at_most(absolute(z), set1((real)(BITS == 32 ? 13.2 : 37.63)));
  const vec inverse = (real)1 / (u + (real)CENTRE);
  const vec t = fma_(inverse, set1(-2 * CENTRE), set1(1));
  const vec square = u * u, low = (real)-0.5 * rest_of_square(u, square);
  const struct power p = split_power((real)-0.5 * square, &low, 0);
  const struct tail tail = {u, POLYNOMIAL(t, H) * inverse, (real)1 + p.em1, p.scale};
  return tail;
#undef CENTRE
}

/* z Phi(z) = max(z, 0) - u Phi(-u), u = |z|. */
INLINE vec gelu(vec z) {
  const struct tail tail = normal_tail(z);
  return at_least(z, set1(0)) - (tail.u * tail.q * tail.power) * tail.scale;
}

/* Phi(z) + z phi(z): at -u it is exp(-u^2/2) (q(u) - u / sqrt(2 pi)), and 1 minus that at u. */
INLINE vec gelu_slope(vec z) {
  const struct tail tail = normal_tail(z);
  const vec density = fma_(tail.u, set1((real)-0.39894228040143267794), tail.q);
  const vec below = density * tail.power * tail.scale;
  return choose(less(z, set1(0)), below, (real)1 - below);
}
