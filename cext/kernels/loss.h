/* Softmax and the losses. A row's sum runs over its K outputs in order, with LANES rows side by
 * side in a vector; other sums have SUM_LANES lanes, whatever the vector's width. So the results
 * are the same for every ISA that has fused multiply-add. */

enum { SUM_LANES = 16, SUM_VECTORS = SUM_LANES / LANES };

/* Transpose rows (rows, K), rows <= LANES, into columns (K, LANES); absent rows are zeros. */
static void to_columns(const real *rows, int count, int64_t K, real *columns) {
  for (int64_t k = 0; k < K; k += LANES) {
    const int n = (int)least(LANES, K - k);
    vec square[LANES];
    for (int i = 0; i < LANES; i++)
      square[i] = i < count ? load_up_to(rows + i * K + k, n) : (vec){0};
    transpose(square);
    for (int i = 0; i < n; i++) store(columns + (k + i) * LANES, square[i]);
  }
}

static void to_rows(const real *columns, int count, int64_t K, real *rows) {
  for (int64_t k = 0; k < K; k += LANES) {
    const int n = (int)least(LANES, K - k);
    vec square[LANES];
    for (int i = 0; i < LANES; i++) square[i] = i < n ? load(columns + (k + i) * LANES) : (vec){0};
    transpose(square);
    for (int i = 0; i < count; i++) store_up_to(rows + i * K + k, square[i], n);
  }
}

/* Of columns (K, LANES): subtract each row's maximum. */
static void shift_by_maximum(real *columns, int64_t K) {
  vec highest = load(columns);
  for (int64_t k = 1; k < K; k++) highest = at_least(load(columns + k * LANES), highest);
  for (int64_t k = 0; k < K; k++) store(columns + k * LANES, load(columns + k * LANES) - highest);
}

/* exps = exp(columns), both (K, LANES); returns the rows' sums. */
static vec exp_and_sum(const real *columns, real *exps, int64_t K) {
  vec sum = {0};
  for (int64_t k = 0; k < K; k++) {
    const vec e = exp_decay(load(columns + k * LANES));
    store(exps + k * LANES, e);
    sum += e;
  }
  return sum;
}

static void softmax(const void *scores, void *f, int64_t row0, int64_t row1, int64_t K,
                    void *scratch) {
  real *columns = scratch;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int count = (int)least(LANES, row1 - row);
    to_columns((const real *)scores + row * K, count, K, columns);
    shift_by_maximum(columns, K);
    const vec sum = exp_and_sum(columns, columns, K);
    for (int64_t k = 0; k < K; k++) store(columns + k * LANES, load(columns + k * LANES) / sum);
    to_rows(columns, count, K, (real *)f + row * K);
  }
}

static void copy_targets(const struct loss *job, int64_t row, int count, real *targets) {
  const int64_t K = job->K;
  if (job->y != NULL) {
    to_columns((const real *)job->y + row * K, count, K, targets);
    return;
  }
  memset(targets, 0, (size_t)K * LANES * sizeof(real));
  for (int i = 0; i < count; i++) {
    const int64_t label = job->labels[row + i];
    if (label >= 0 && label < K) targets[label * LANES + i] = 1;
  }
}

/* Rounded as it is op by op. */
static void smooth(const struct loss *job, const real *y, int64_t count, real *out) {
  const real kept = (real)job->kept, added = (real)job->added;
  for (int64_t i = 0; i < count; i++) out[i] = kept * y[i] + added;
}

/* targets (K, LANES) of the rows from `row` on. */
static void fetch_targets(const struct loss *job, int64_t row, int count, real *targets) {
  copy_targets(job, row, count, targets);
  if (job->added != 0) smooth(job, targets, job->K * LANES, targets);
}

/* Of the rows from `row` on. */
INLINE vec fetch_weights(const struct loss *job, int64_t row, int count) {
  if (job->weights == NULL) return set1(1);
  return load_up_to((const real *)job->weights + row, count);
}

static double cross_entropy(const struct loss *job, int64_t row0, int64_t row1, void *scratch) {
  const int64_t K = job->K;
  real *columns = scratch, *exps = columns + K * LANES, *targets = exps + K * LANES;
  const vec one_nth = set1((real)(1.0 / (double)job->n));
  double total = 0;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int count = (int)least(LANES, row1 - row);
    to_columns((const real *)job->scores + row * K, count, K, columns);
    fetch_targets(job, row, count, targets);
    shift_by_maximum(columns, K);
    const vec sum = exp_and_sum(columns, exps, K);
    const vec inverse = (real)1 / sum, log_sum = log_positive(sum);
    const vec weight = fetch_weights(job, row, count), weight_nth = weight * one_nth;
    vec loss = {0};
    for (int64_t k = 0; k < K; k++) {
      const vec y = load(targets + k * LANES);
      /* 0 log 0 = 0: the mask keeps out the -inf of an impossible class. */
      const vec surprise = log_sum - load(columns + k * LANES);
      loss += choose(less_equal(absolute(y), (vec){0}), (vec){0}, y * surprise);
      store(exps + k * LANES, fma_(load(exps + k * LANES), inverse, -y) * weight_nth);
    }
    to_rows(exps, count, K, (real *)job->delta + row * K);
    loss *= weight;
    for (int i = 0; i < count; i++) total += (double)loss[i];
  }
  return total;
}

/* -(1-p)^gamma log p and its derivative by log p; rest: 1 - p. */
INLINE vec focal_term(vec p, vec log_p, vec rest, vec log_rest, vec gamma, vec *slope) {
  const mask certain = less_equal(rest, (vec){0}); /* there p log p / (1 - p) has the limit -1 */
  const vec ratio = choose(certain, set1(-1), p * log_p / choose(certain, set1(1), rest));
  const vec factor = exp_decay(gamma * log_rest);
  *slope = factor * fma_(gamma, ratio, set1(-1));
  return -factor * log_p;
}

/* log(1 - p) for rest = 1 - p: where it is 0, so far below that every power but 0 is 0. */
INLINE vec log_of_rest(vec rest) {
  const mask certain = less_equal(rest, (vec){0});
  return choose(certain, set1((real)-1e30), log_positive(choose(certain, set1(1), rest)));
}

/* As cross_entropy. A row's delta is the pull of each log f_k, whose derivative by z_j is
 * [j = k] - f_j. */
static double focal(const struct loss *job, int64_t row0, int64_t row1, void *scratch) {
  const int64_t K = job->K;
  real *columns = scratch, *pulls = columns + K * LANES, *targets = pulls + K * LANES;
  const vec one_nth = set1((real)(1.0 / (double)job->n)), gamma = set1((real)job->a);
  double total = 0;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int count = (int)least(LANES, row1 - row);
    to_columns((const real *)job->scores + row * K, count, K, columns);
    fetch_targets(job, row, count, targets);
    shift_by_maximum(columns, K);
    const vec log_sum = log_positive(exp_and_sum(columns, pulls, K));
    const vec weight = fetch_weights(job, row, count), weight_nth = weight * one_nth;
    vec loss = {0}, all = {0};
    for (int64_t k = 0; k < K; k++) {
      const vec y = load(targets + k * LANES), log_f = load(columns + k * LANES) - log_sum;
      const vec f = exp_decay(log_f), rest = -expm1_bounded(at_least(log_f, set1(-87)));
      vec pull;
      loss += y * focal_term(f, log_f, rest, log_of_rest(rest), gamma, &pull);
      pull *= y;
      all += pull;
      store(pulls + k * LANES, pull);
      store(columns + k * LANES, f);
    }
    for (int64_t k = 0; k < K; k++) {
      const vec pull = fma_(load(columns + k * LANES), -all, load(pulls + k * LANES));
      store(pulls + k * LANES, pull * weight_nth);
    }
    to_rows(pulls, count, K, (real *)job->delta + row * K);
    loss *= weight;
    for (int i = 0; i < count; i++) total += (double)loss[i];
  }
  return total;
}

/* The loss and delta of one element; n times both. */
INLINE vec logistic_element(vec z, vec y, vec *delta) {
  const vec positive = choose(less_equal(z, (vec){0}), (vec){0}, z);
  const vec small = exp_decay(-absolute(z)); /* in [0, 1]: no overflow for any score */
  const vec inverse = (real)1 / ((real)1 + small);
  *delta = choose(less(z, (vec){0}), small * inverse, inverse) - y;
  return positive - z * y + log1p_unit(small);
}

INLINE vec squared_element(vec z, vec y, vec *delta) {
  *delta = z - y;
  return *delta * *delta * (real)0.5;
}

/* `above` where r > 0, -`below` where r < 0, else r: 0, or NaN. */
INLINE vec by_side(vec r, vec above, vec below) {
  return choose(less((vec){0}, r), above, choose(less(r, (vec){0}), -below, r));
}

INLINE vec absolute_element(vec z, vec y, vec *delta) {
  *delta = by_side(z - y, set1(1), set1(1));
  return absolute(z - y);
}

INLINE vec huber_element(vec z, vec y, vec a, vec *delta) {
  const vec r = z - y;
  *delta = choose(less(a, absolute(r)), by_side(r, a, a), r);
  return *delta * (r - (real)0.5 * *delta);
}

INLINE vec quantile_element(vec z, vec y, vec a, vec *delta) {
  const vec r = z - y;
  *delta = by_side(r, (real)1 - a, a);
  return *delta * r;
}

INLINE vec poisson_element(vec z, vec y, vec *delta) {
  const vec log_y = log_positive(choose(less((vec){0}, y), y, set1(1))); /* 0 log 0 = 0 */
  *delta = exp_full(z) - y;
  return *delta - y * (z - log_y);
}

INLINE vec focal_sigmoid_element(vec z, vec y, vec gamma, vec *delta) {
  const vec small = exp_decay(-absolute(z)), inverse = (real)1 / ((real)1 + small);
  const vec low = small * inverse, log_high = -log1p_unit(small), log_low = log_high - absolute(z);
  const mask below = less(z, (vec){0});
  vec up, down;
  const vec f = choose(below, low, inverse), rest = choose(below, inverse, low);
  const vec log_f = choose(below, log_low, log_high), log_rest = choose(below, log_high, log_low);
  const vec of_1 = focal_term(f, log_f, rest, log_rest, gamma, &up);
  const vec of_0 = focal_term(rest, log_rest, f, log_f, gamma, &down);
  *delta = y * up * rest - ((real)1 - y) * down * f;
  return y * of_1 + ((real)1 - y) * of_0;
}

/* The lanes' sum, always paired in the same way. */
static double tree_sum(const vec sums[SUM_VECTORS]) {
  double lanes[SUM_LANES];
  for (int v = 0; v < SUM_VECTORS; v++)
    for (int i = 0; i < LANES; i++) lanes[v * LANES + i] = (double)sums[v][i];
  for (int half = SUM_LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

/* The loss and delta of one element; n times both. `kind` is a constant where it is inlined. */
INLINE vec element(int kind, vec z, vec y, vec a, vec *delta) {
  switch (kind) {
    case NNPOLY_LOGISTIC: return logistic_element(z, y, delta);
    case NNPOLY_ABSOLUTE: return absolute_element(z, y, delta);
    case NNPOLY_HUBER: return huber_element(z, y, a, delta);
    case NNPOLY_QUANTILE: return quantile_element(z, y, a, delta);
    case NNPOLY_POISSON: return poisson_element(z, y, delta);
    case NNPOLY_FOCAL_SIGMOID: return focal_sigmoid_element(z, y, a, delta);
    default: return squared_element(z, y, delta);
  }
}

/* Where y = 0, the loss and delta of this score are 0. */
INLINE real harmless_score(int kind) {
  const int rises = kind == NNPOLY_LOGISTIC || kind == NNPOLY_POISSON;
  return rises || kind == NNPOLY_FOCAL_SIGMOID ? (real)-1e4 : (real)0;
}

/* SUM_LANES elements; weights, one an element, or NULL. */
INLINE void loss_block(int kind, const real *z, const real *y, const real *weights, vec a,
                       real *delta, vec scale, vec sums[SUM_VECTORS]) {
  UNROLL
  for (int v = 0; v < SUM_VECTORS; v++) {
    vec d, loss = element(kind, load(z + v * LANES), load(y + v * LANES), a, &d);
    d *= scale;
    if (weights != NULL) {
      const vec weight = load(weights + v * LANES);
      loss *= weight;
      d *= weight;
    }
    sums[v] += loss;
    store(delta + v * LANES, d);
  }
}

/* The weights of elements start..start+count-1, one each. Returns where they are: `room`, unless
 * they lie so already. */
static const real *spread_weights(const struct loss *job, int64_t start, int64_t count,
                                  real *room) {
  const real *weights = job->weights;
  if (job->K == 1) return weights + start;
  int64_t i = 0;
  for (int64_t row = start / job->K; i < count; row++) {
    const int64_t stop = least((row + 1) * job->K - start, count);
    for (; i < stop; i++) room[i] = weights[row];
  }
  return room;
}

/* Elements start..start+count-1, count <= CHUNK. */
INLINE double sum_elements(int kind, int weighted, const struct loss *job, int64_t start,
                           int64_t count) {
  const real *z = (const real *)job->scores + start, *y = (const real *)job->y + start;
  real smoothed[CHUNK];
  if (job->added != 0) {
    smooth(job, y, count, smoothed);
    y = smoothed;
  }
  real *delta = (real *)job->delta + start;
  const vec scale = set1((real)(1.0 / (double)job->n)), a = set1((real)job->a);
  real room[CHUNK];
  const real *weights = weighted ? spread_weights(job, start, count, room) : NULL;
  vec sums[SUM_VECTORS] = {{0}};
  int64_t i = 0;
  for (; i + SUM_LANES <= count; i += SUM_LANES)
    loss_block(kind, z + i, y + i, weighted ? weights + i : NULL, a, delta + i, scale, sums);
  if (i < count) { /* a last block, padded by scores and targets whose loss is 0 */
    real z_last[SUM_LANES], y_last[SUM_LANES], weights_last[SUM_LANES], delta_last[SUM_LANES];
    for (int j = 0; j < SUM_LANES; j++) {
      const int inside = i + j < count;
      z_last[j] = inside ? z[i + j] : harmless_score(kind);
      y_last[j] = inside ? y[i + j] : (real)0;
      weights_last[j] = weighted && inside ? weights[i + j] : (real)0;
    }
    loss_block(kind, z_last, y_last, weighted ? weights_last : NULL, a, delta_last, scale, sums);
    memcpy(delta + i, delta_last, (size_t)(count - i) * sizeof(real));
  }
  return tree_sum(sums);
}

INLINE double sum_rows(int kind, int weighted, const struct loss *job, int64_t row0, int64_t row1) {
  const int64_t stop = row1 * job->K;
  double total = 0;
  for (int64_t i = row0 * job->K; i < stop; i += CHUNK)
    total += sum_elements(kind, weighted, job, i, least(CHUNK, stop - i));
  return total;
}

INLINE double sum_of(int kind, const struct loss *job, int64_t row0, int64_t row1) {
  return job->weights == NULL ? sum_rows(kind, 0, job, row0, row1)
                              : sum_rows(kind, 1, job, row0, row1);
}

static double element_loss(const struct loss *job, int64_t row0, int64_t row1) {
  switch (job->kind) {
    case NNPOLY_LOGISTIC: return sum_of(NNPOLY_LOGISTIC, job, row0, row1);
    case NNPOLY_ABSOLUTE: return sum_of(NNPOLY_ABSOLUTE, job, row0, row1);
    case NNPOLY_HUBER: return sum_of(NNPOLY_HUBER, job, row0, row1);
    case NNPOLY_QUANTILE: return sum_of(NNPOLY_QUANTILE, job, row0, row1);
    case NNPOLY_POISSON: return sum_of(NNPOLY_POISSON, job, row0, row1);
    case NNPOLY_FOCAL_SIGMOID: return sum_of(NNPOLY_FOCAL_SIGMOID, job, row0, row1);
    default: return sum_of(NNPOLY_SQUARED_ERROR, job, row0, row1);
  }
}

/* The gradient's norm. */
static double sum_of_squares(const void *g, int64_t i0, int64_t i1) {
  const real *x = (const real *)g + i0;
  const int64_t count = i1 - i0;
  vec sums[SUM_VECTORS] = {{0}};
  for (int64_t i = 0; i < count; i += SUM_LANES) {
    for (int v = 0; v < SUM_VECTORS; v++) {
      const int64_t rest = count - i - v * LANES;
      const vec part = rest > 0 ? load_up_to(x + i + v * LANES, (int)least(LANES, rest)) : (vec){0};
      sums[v] = fma_(part, part, sums[v]);
    }
  }
  return tree_sum(sums);
}

static void scale(const void *g, void *out, int64_t i0, int64_t i1, double factor) {
  apply_sigma(NNPOLY_LINEAR, (const real *)g + i0, (real *)out + i0, i1 - i0, factor);
}
