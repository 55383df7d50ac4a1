/* Activations (activations.h) by their codes, and derivatives; then the loops over arrays. `a` is
 * the parameter. */

/* Call F(name) for each activation. */
// clang-format off
#define EACH_ACTIVATION(F)                                                                  \
  F(STEP) F(IDENTITY) F(LINEAR) F(SIGMOID) F(TANH) F(RELU) F(LEAKY_RELU) F(ELU) F(SELU)     \
  F(SOFTPLUS) F(SILU) F(MISH) F(GELU) F(GELU_TANH) F(EXP)
// clang-format on

INLINE vec sigma(int activation, vec z, vec a) {
  switch (activation) {
    case NNPOLY_STEP: return threshold(z);
    case NNPOLY_LINEAR: return a * z;
    case NNPOLY_SIGMOID: return sigmoid(z);
    case NNPOLY_TANH: return tanh_(z);
    case NNPOLY_RELU: return relu(z);
    case NNPOLY_LEAKY_RELU: return leaky_relu(z, a);
    case NNPOLY_ELU: return elu(z, a);
    case NNPOLY_SELU: return selu(z);
    case NNPOLY_SOFTPLUS: return softplus(z);
    case NNPOLY_SILU: return silu(z);
    case NNPOLY_MISH: return mish(z);
    case NNPOLY_GELU: return gelu(z);
    case NNPOLY_GELU_TANH: return gelu_tanh(z);
    case NNPOLY_EXP: return exp_full(z);
    default: return z;
  }
}

/* The derivative of GELU_TANH's inner. */
INLINE vec gelu_tanh_inner_slope(vec z) {
  return GELU_SCALE * fma_(z * z, set1(3 * GELU_CUBIC), set1(1));
}

/* sigma', from what it reads (see nnpoly.h). */
INLINE vec slope(int activation, vec read, vec a) {
  const vec zero = {0}, one = set1(1);
  switch (activation) {
    case NNPOLY_STEP: return zero;
    case NNPOLY_LINEAR: return a;
    case NNPOLY_SIGMOID: return read * ((real)1 - read);
    case NNPOLY_TANH: return (real)1 - read * read;
    case NNPOLY_RELU: return choose(less(zero, read), one, zero);
    case NNPOLY_LEAKY_RELU: return choose(less(zero, read), one, a);
    case NNPOLY_ELU: {
      const vec below = a * exp_decay(at_most(read, zero));
      return choose(less(zero, read), one, below);
    }
    case NNPOLY_SELU: {
      const vec below = SELU_BELOW * exp_decay(at_most(read, zero));
      return choose(less(zero, read), set1(SELU_ABOVE), below);
    }
    case NNPOLY_SOFTPLUS: return sigmoid(read);
    case NNPOLY_SILU: {
      const vec s = sigmoid(read); /* beyond +-FURTHEST one of s and 1 - s is 0 */
      const vec near = at_most(at_least(read, set1(-FURTHEST)), set1(FURTHEST));
      return s * fma_(near, (real)1 - s, one);
    }
    case NNPOLY_MISH: return mish_slope(read);
    case NNPOLY_GELU: return gelu_slope(read);
    case NNPOLY_GELU_TANH: {
      const vec z = at_most(at_least(read, set1(-30)), set1(30));
      const vec s = sigmoid(gelu_tanh_inner(z));
      return s * fma_(z * gelu_tanh_inner_slope(z), (real)1 - s, one);
    }
    case NNPOLY_EXP: return read;
    default: return one;
  }
}

/* The loops. `activation` is a constant in each copy that they are inlined into. */
INLINE void sigma_loop(int activation, const real *pre, real *post, int64_t count, real a) {
  const vec parameter = set1(a);
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES)
    store(post + i, sigma(activation, load(pre + i), parameter));
  const int rest = (int)(count - i);
  if (rest > 0) store_part(post + i, sigma(activation, load_part(pre + i, rest), parameter), rest);
}

INLINE void slope_loop(int activation, const real *d_post, const real *read, real *out,
                       int64_t count, real a) {
  const vec parameter = set1(a);
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    const vec from = read == NULL ? parameter : load(read + i);
    store(out + i, load(d_post + i) * slope(activation, from, parameter));
  }
  const int rest = (int)(count - i);
  if (rest > 0) {
    const vec from = read == NULL ? parameter : load_part(read + i, rest);
    store_part(out + i, load_part(d_post + i, rest) * slope(activation, from, parameter), rest);
  }
}

/* post = sigma(pre), `count` elements; in place if post is pre. */
static void apply_sigma(int activation, const real *pre, real *post, int64_t count, double a) {
#define CASE(NAME) \
  case NNPOLY_##NAME: sigma_loop(NNPOLY_##NAME, pre, post, count, (real)a); break;
  switch (activation) { EACH_ACTIVATION(CASE) }
#undef CASE
}

/* out = d_post * sigma'(read), `count` elements; in place if out is d_post. */
static void apply_slope(int activation, const real *d_post, const real *read, real *out,
                        int64_t count, double a) {
#define CASE(NAME) \
  case NNPOLY_##NAME: slope_loop(NNPOLY_##NAME, d_post, read, out, count, (real)a); break;
  switch (activation) { EACH_ACTIVATION(CASE) }
#undef CASE
}

static void add_elements(const real *a, const real *b, real *out, int64_t count) {
  for (int64_t i = 0; i < count; i++) out[i] = a[i] + b[i];
}

/* The table's entries. */
static void activate(const void *pre, void *post, int64_t i0, int64_t i1, int activation,
                     double a) {
  apply_sigma(activation, (const real *)pre + i0, (real *)post + i0, i1 - i0, a);
}

static void activation_delta(const void *d_post, const void *read, void *out, int64_t i0,
                             int64_t i1, int activation, double a) {
  const real *from = read == NULL ? NULL : (const real *)read + i0;
  apply_slope(activation, (const real *)d_post + i0, from, (real *)out + i0, i1 - i0, a);
}
#undef EACH_ACTIVATION
