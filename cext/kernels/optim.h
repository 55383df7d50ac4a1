/* The optimisers' rules, on flat vectors: see nnpoly_update in nnpoly.h. */

/* g += factor w: rounded twice, as the penalty is where it is added op by op. */
static void add_scaled(void *g, const void *w, int64_t i0, int64_t i1, double factor) {
  const vec scale = set1((real)factor);
  for (int64_t i = i0; i < i1; i += LANES) {
    real *to = (real *)g + i;
    const int n = (int)least(LANES, i1 - i);
    store_up_to(to, load_up_to(to, n) + scale * load_up_to((const real *)w + i, n), n);
  }
}

/* out = x / divisor. */
static void divide(const void *x, void *out, int64_t i0, int64_t i1, double divisor) {
  const vec by = set1((real)divisor);
  for (int64_t i = i0; i < i1; i += LANES) {
    const int n = (int)least(LANES, i1 - i);
    store_up_to((real *)out + i, load_up_to((const real *)x + i, n) / by, n);
  }
}

struct rates { /* the job's numbers, in every lane */
  vec rate, beta1, rest1, beta2, rest2, weight_m, weight_g, unbias_s, eps;
};

INLINE struct rates rates_of(const struct update *u) {
  return (struct rates){
      set1((real)u->learning_rate), set1((real)u->beta1),         set1((real)(1.0 - u->beta1)),
      set1((real)u->beta2),         set1((real)(1.0 - u->beta2)), set1((real)u->weight_m),
      set1((real)u->weight_g),      set1((real)u->unbias_s),      set1((real)u->eps)};
}

/* LANES elements of the vectors; those that a rule does not name are not looked at. */
struct state {
  vec w, g, m, s, peak;
};

INLINE vec root(vec s, vec eps, int eps_inside) {
  return eps_inside ? sqrt_(s + eps) : sqrt_(s) + eps;
}

INLINE vec decayed(vec old, vec beta, vec rest, vec value) { return fma_(beta, old, rest * value); }

INLINE vec sign_of(vec x) { /* -1, 0 or 1; NaN passes */
  const vec zero = {0};
  const vec one = with_sign(set1(1), x);
  return choose(less_equal(absolute(x), zero), zero, choose(less_equal(x, x), one, x));
}

INLINE void apply_rule(int rule, int eps_inside, const struct rates *r, struct state *x) {
  vec direction;
  if (rule >= NNPOLY_ADAM && rule <= NNPOLY_AMSGRAD) x->m = decayed(x->m, r->beta1, r->rest1, x->g);
  if (rule >= NNPOLY_RMSPROP && rule <= NNPOLY_AMSGRAD)
    x->s = decayed(x->s, r->beta2, r->rest2, x->g * x->g);
  switch (rule) {
    case NNPOLY_MOMENTUM:
      x->m = fma_(r->beta1, x->m, x->g);
      direction = x->m;
      break;
    case NNPOLY_NESTEROV:
      x->m = fma_(r->beta1, x->m, x->g);
      direction = fma_(r->beta1, x->m, x->g);
      break;
    case NNPOLY_ADAGRAD:
      x->s = fma_(x->g, x->g, x->s);
      direction = x->g / root(x->s, r->eps, eps_inside);
      break;
    case NNPOLY_RMSPROP: direction = x->g / root(x->s, r->eps, eps_inside); break;
    case NNPOLY_ADAM:
      direction = r->weight_m * x->m / root(r->unbias_s * x->s, r->eps, eps_inside);
      break;
    case NNPOLY_NADAM:
      direction = fma_(r->weight_m, x->m, r->weight_g * x->g) /
                  root(r->unbias_s * x->s, r->eps, eps_inside);
      break;
    case NNPOLY_AMSGRAD:
      x->peak = at_least(x->s, x->peak);
      direction = r->weight_m * x->m / root(r->unbias_s * x->peak, r->eps, eps_inside);
      break;
    case NNPOLY_LION:
      direction = sign_of(decayed(x->m, r->beta1, r->rest1, x->g));
      x->m = decayed(x->m, r->beta2, r->rest2, x->g);
      break;
    default: direction = x->g;
  }
  x->w = fma_(-r->rate, direction, x->w);
}

/* Elements i..i+n-1, n <= LANES. */
INLINE void update_vector(int rule, int eps_inside, const struct update *u, const struct rates *r,
                          int64_t i, int n) {
  real *w = (real *)u->w + i;
  real *m = uses_m(rule) ? (real *)u->m + i : NULL, *s = uses_s(rule) ? (real *)u->s + i : NULL;
  real *peak = rule == NNPOLY_AMSGRAD ? (real *)u->peak + i : NULL;
  struct state x = {.w = load_up_to(w, n), .g = load_up_to((const real *)u->g + i, n)};
  if (uses_m(rule)) x.m = load_up_to(m, n);
  if (uses_s(rule)) x.s = load_up_to(s, n);
  if (rule == NNPOLY_AMSGRAD) x.peak = load_up_to(peak, n);
  apply_rule(rule, eps_inside, r, &x);
  store_up_to(w, x.w, n);
  if (uses_m(rule)) store_up_to(m, x.m, n);
  if (uses_s(rule)) store_up_to(s, x.s, n);
  if (rule == NNPOLY_AMSGRAD) store_up_to(peak, x.peak, n);
}

INLINE void update_range(int rule, int eps_inside, const struct update *u, int64_t i0, int64_t i1) {
  const struct rates r = rates_of(u);
  int64_t i = i0;
  for (; i + LANES <= i1; i += LANES) update_vector(rule, eps_inside, u, &r, i, LANES);
  if (i < i1) update_vector(rule, eps_inside, u, &r, i, (int)(i1 - i));
}

/* The average of w: rounded as it is op by op. */
static void follow(const struct update *u, int64_t i0, int64_t i1) {
  const vec kept = set1((real)u->ema), rest = set1((real)(1.0 - u->ema));
  for (int64_t i = i0; i < i1; i += LANES) {
    real *to = (real *)u->average + i;
    const int n = (int)least(LANES, i1 - i);
    const vec w = load_up_to((const real *)u->w + i, n);
    store_up_to(to, kept * load_up_to(to, n) + rest * w, n);
  }
}

/* The gradient's part of the sum over a step's batches: rounded as it is op by op. */
static void add_gradient(const struct update *u, int64_t i0, int64_t i1) {
  if (u->first)
    scale(u->g, u->total, i0, i1, (double)u->rows);
  else
    add_scaled(u->total, u->g, i0, i1, (double)u->rows);
}

static void decay(const struct update *u, int64_t i0, int64_t i1) {
  if (u->weight_decay == 0) return;
  if (u->decoupled)
    scale(u->w, u->w, i0, i1, 1.0 - u->learning_rate * u->weight_decay);
  else
    add_scaled(u->g, u->w, i0, i1, u->weight_decay);
}

/* Elements whose factors are 1. */
static void update_alike(const struct update *u, int64_t i0, int64_t i1) {
  decay(u, i0, i1);
#define CASE(NAME)                               \
  case NNPOLY_##NAME:                            \
    if (u->eps_inside)                           \
      update_range(NNPOLY_##NAME, 1, u, i0, i1); \
    else                                         \
      update_range(NNPOLY_##NAME, 0, u, i0, i1); \
    break;
  switch (u->rule) {
    CASE(SGD)
    CASE(MOMENTUM)
    CASE(NESTEROV)
    CASE(ADAGRAD)
    CASE(RMSPROP)
    CASE(ADAM)
    CASE(NADAM)
    CASE(AMSGRAD)
    CASE(LION)
  }
#undef CASE
  if (u->average != NULL) follow(u, i0, i1);
}

/* The segment that element i is in. */
static int segment_at(const struct update *u, int64_t i) {
  int first = 0, last = u->segment_count - 1;
  while (first < last) {
    const int middle = (first + last) / 2;
    if (u->segments[middle].stop <= i)
      first = middle + 1;
    else
      last = middle;
  }
  return first;
}

static void update(const struct update *u, int64_t i0, int64_t i1) {
  if (u->total != NULL) {
    add_gradient(u, i0, i1);
    return;
  }
  if (u->segments == NULL) {
    update_alike(u, i0, i1);
    return;
  }
  const struct nnpoly_segment *segment = &u->segments[segment_at(u, i0)];
  for (; i0 < i1; i0 = segment++->stop) {
    struct update part = *u;
    part.learning_rate *= segment->rate;
    part.weight_decay *= segment->decay;
    update_alike(&part, i0, least(i1, segment->stop));
  }
}
