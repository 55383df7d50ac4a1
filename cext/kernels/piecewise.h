/* Lines with bends (PIECEWISE): w x + c + V e(x). Of a bin from low on, (x - low) rise is kept
 * within [0, 1], but that the first may be below, and the last above. Forward and back LANES rows
 * lie side by side in a vector; the gradients have LANES bins in one. A sum runs over the bins, the
 * features or the rows in their order. The definitions are nnpoly/primitives/tabular.py. */

enum { LINES_AT_ONCE = 4 }; /* features, whose sums do not wait for each other */

struct bin {
  vec low, rise, least, largest;
};

INLINE struct bin bin_of(const double *bins, int64_t j, int64_t size) {
  return (struct bin){set1((real)bins[2 * j]), set1((real)bins[2 * j + 1]),
                      set1(j == 0 ? -(real)INFINITY : 0), set1(j == size - 1 ? (real)INFINITY : 1)};
}

INLINE vec entry_of(struct bin b, vec x) {
  const vec entry = (x - b.low) * b.rise, above = choose(less(entry, b.least), b.least, entry);
  return choose(less(b.largest, above), b.largest, above);
}

INLINE vec slope_of(struct bin b, vec x) {
  const vec entry = (x - b.low) * b.rise, below = choose(less(entry, b.largest), b.rise, (vec){0});
  return choose(less(b.least, entry), below, (vec){0});
}

/* `count` features: w, c, and rows of V that are `most` apart. Their rows of C are `m` apart. */
INLINE void some_lines(const real *w, const real *c, const real *V, int64_t most, int64_t size,
                       vec x, const vec *entries, int count, real *C, int64_t m, int rows) {
  vec sums[LINES_AT_ONCE];
  for (int k = 0; k < count; k++) sums[k] = fma_(set1(w[k]), x, set1(c[k]));
  for (int64_t j = 0; j < size; j++)
    for (int k = 0; k < count; k++) sums[k] = fma_(set1(V[k * most + j]), entries[j], sums[k]);
  for (int k = 0; k < count; k++) store_down(C + k, m, rows, sums[k]);
}

static void lines(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const struct nnpoly_layer *layer = job->layer;
  const int64_t d = layer->columns, K = layer->features, most = most_bins(layer);
  const int64_t inputs = layer->inputs, m = layer->outputs;
  const real *w = job->w[0], *c = job->w[1], *V = job->w[2];
  vec *const entries = scratch;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int rows = (int)least(LANES, row1 - row);
    const real *X = (const real *)job->x + row * inputs;
    real *C = (real *)job->C + row * m;
    const double *bins = layer->bins;
    for (int64_t i = 0; i < d; bins += 2 * layer->sizes[i++]) {
      const int64_t size = layer->sizes[i], stop = (i + 1) * K;
      const vec x = load_down(X + i, inputs, rows);
      for (int64_t j = 0; j < size; j++) entries[j] = entry_of(bin_of(bins, j, size), x);
      int64_t k = i * K;
      for (; k + LINES_AT_ONCE <= stop; k += LINES_AT_ONCE)
        some_lines(w + k, c + k, V + k * most, most, size, x, entries, LINES_AT_ONCE, C + k, m,
                   rows);
      for (; k < stop; k++)
        some_lines(w + k, c + k, V + k * most, most, size, x, entries, 1, C + k, m, rows);
    }
    for (int i = 0; i < rows; i++)
      memcpy(C + i * m + d * K, X + i * inputs + d, (size_t)(inputs - d) * sizeof *C);
    finish_forward(&job->epilogue, m, job->C, row * m, rows * m);
  }
}

static void lines_delta(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const struct nnpoly_layer *layer = job->layer;
  const int64_t d = layer->columns, K = layer->features, most = most_bins(layer);
  const int64_t inputs = layer->inputs, m = layer->outputs;
  vec *const made = scratch;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int rows = (int)least(LANES, row1 - row);
    const real *delta = (const real *)job->delta + row * m;
    real *C = (real *)job->C + row * inputs;
    const double *bins = layer->bins;
    for (int64_t i = 0; i < d; bins += 2 * layer->sizes[i++]) {
      const int64_t size = layer->sizes[i];
      const real *w = (const real *)job->w[0] + i * K;
      const real *V = (const real *)job->w[2] + i * K * most;
      const vec x = load_down((const real *)job->x + row * inputs + i, inputs, rows);
      vec sum = {0};
      for (int64_t k = 0; k < K; k++) {
        made[k] = load_down(delta + i * K + k, m, rows);
        sum = fma_(set1(w[k]), made[k], sum);
      }
      for (int64_t j = 0; j < size; j++) {
        vec by_entry = {0};
        for (int64_t k = 0; k < K; k++) by_entry = fma_(set1(V[k * most + j]), made[k], by_entry);
        sum = fma_(by_entry, slope_of(bin_of(bins, j, size), x), sum);
      }
      store_down(C + i, inputs, rows, sum);
    }
    for (int i = 0; i < rows; i++)
      memcpy(C + i * inputs + d, delta + i * m + d * K, (size_t)(inputs - d) * sizeof *C);
    finish_backward(&job->epilogue, job->C, row * inputs, rows * inputs);
  }
}

/* The bins of a column, LANES in a vector: how many vectors they are. Beyond the last they have
 * entries of no meaning. */
INLINE int64_t side_by_side(const double *bins, int64_t size, struct bin *found) {
  const int64_t count = pieces_of(size, LANES);
  for (int64_t p = 0; p < count; p++) {
    real low[LANES] = {0}, rise[LANES] = {0}, lowest[LANES] = {0}, largest[LANES] = {0};
    for (int64_t j = p * LANES; j < least((p + 1) * LANES, size); j++) {
      const int lane = (int)(j - p * LANES);
      low[lane] = (real)bins[2 * j], rise[lane] = (real)bins[2 * j + 1];
      lowest[lane] = j == 0 ? -(real)INFINITY : 0;
      largest[lane] = j == size - 1 ? (real)INFINITY : 1;
    }
    found[p] = (struct bin){load(low), load(rise), load(lowest), load(largest)};
  }
  return count;
}

static void lines_gradients(const struct tabular *job, int64_t column0, int64_t column1,
                            void *scratch) {
  const struct nnpoly_layer *layer = job->layer;
  const int64_t K = layer->features, most = most_bins(layer);
  const double *bins = layer->bins;
  for (int64_t i = 0; i < column0; i++) bins += 2 * layer->sizes[i];
  for (int64_t i = column0; i < column1; bins += 2 * layer->sizes[i++]) {
    const int64_t size = layer->sizes[i];
    struct bin *const all = scratch;
    const int64_t count = side_by_side(bins, size, all);
    vec *const entries = (vec *)(all + count);
    real *dw = (real *)job->gradients[0] + i * K, *dc = (real *)job->gradients[1] + i * K;
    real *dV = (real *)job->gradients[2] + i * K * most;
    memset(dw, 0, (size_t)K * sizeof *dw);
    memset(dc, 0, (size_t)K * sizeof *dc);
    memset(dV, 0, (size_t)(K * most) * sizeof *dV);
    for (int64_t row = 0; row < job->n; row++) {
      const real *delta = (const real *)job->delta + row * layer->outputs + i * K;
      const vec x = set1(((const real *)job->x)[row * layer->inputs + i]);
      for (int64_t k = 0; k < K; k += LANES) {
        const int n = (int)least(LANES, K - k);
        const vec made = load_up_to(delta + k, n);
        store_up_to(dw + k, fma_(made, x, load_up_to(dw + k, n)), n);
        store_up_to(dc + k, load_up_to(dc + k, n) + made, n);
      }
      for (int64_t p = 0; p < count; p++) entries[p] = entry_of(all[p], x);
      for (int64_t k = 0; k < K; k++) {
        for (int64_t p = 0; p < count; p++) {
          const int n = (int)least(LANES, size - p * LANES);
          real *sums = dV + k * most + p * LANES;
          store_up_to(sums, fma_(set1(delta[k]), entries[p], load_up_to(sums, n)), n);
        }
      }
    }
  }
}
