/* Normalisation (struct norm): x^ = (x - mean) * scale of each row or each column of x, and
 * gain x^ + shift. A row's sums have SUM_LANES lanes, whatever the vector's width, and a column's
 * run over the rows in order, so that the ISAs with fused multiply-add agree, however the work is
 * cut. The definitions are nnpoly/primitives/definitions.py: moments, normalise, and their
 * derivatives. */

/* Of the `rest` elements from p on, those that fit a vector; 0 for the others. */
INLINE vec load_rest(const real *p, int64_t rest) {
  return rest > 0 ? load_up_to(p, (int)least(LANES, rest)) : (vec){0};
}

/* x - mean of as many; 0 for the others. */
INLINE vec centred_rest(const real *x, vec mean, int64_t rest) {
  if (rest >= LANES) return load(x) - mean;
  return rest > 0 ? keep_first(load_part(x, (int)rest) - mean, (int)rest) : (vec){0};
}

INLINE vec inverse_root(vec variance, double eps) { return (real)1 / sqrt_(variance + (real)eps); }

static void inverse_roots(const void *variance, void *out, int64_t count, double eps) {
  for (int64_t k = 0; k < count; k += LANES) {
    const int n = (int)least(LANES, count - k);
    store_up_to((real *)out + k, inverse_root(load_up_to((const real *)variance + k, n), eps), n);
  }
}

/* x^ of n <= LANES elements from (i, k) on. */
INLINE vec normal_at(int axis, const struct norm *job, int64_t i, int64_t k, int n) {
  const real *mean = job->mean, *scale = job->scale;
  const vec x = load_up_to((const real *)job->x + i * job->m + k, n);
  if (axis == 1) return (x - set1(mean[i])) * set1(scale[i]);
  return (x - load_up_to(mean + k, n)) * load_up_to(scale + k, n);
}

/* Rows: LANES of them together, so that their last additions are those of vectors */

/* SUM_LANES partial sums of each row; add_up has a row's sum in each lane, always paired in the
 * same way. */
struct row_sums {
  real lanes[LANES * SUM_LANES];
};

INLINE void put_sums(struct row_sums *sums, int row, const vec of_row[SUM_VECTORS]) {
  for (int v = 0; v < SUM_VECTORS; v++) store(sums->lanes + row * SUM_LANES + v * LANES, of_row[v]);
}

static vec add_up(const struct row_sums *sums) {
  vec lanes[SUM_LANES];
  for (int v = 0; v < SUM_VECTORS; v++) {
    for (int i = 0; i < LANES; i++)
      lanes[v * LANES + i] = load(sums->lanes + i * SUM_LANES + v * LANES);
    transpose(lanes + v * LANES);
  }
  for (int half = SUM_LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

static void row_moments(const struct norm *job, int64_t row0, int64_t row1) {
  const int64_t m = job->m;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int count = (int)least(LANES, row1 - row);
    const real *x = (const real *)job->x + row * m;
    struct row_sums sums = {{0}};
    for (int i = 0; i < count; i++) {
      vec sum[SUM_VECTORS] = {{0}};
      for (int64_t k = 0; k < m; k += SUM_LANES)
        for (int v = 0; v < SUM_VECTORS; v++)
          sum[v] += load_rest(x + i * m + k + v * LANES, m - k - v * LANES);
      put_sums(&sums, i, sum);
    }
    const vec mean = add_up(&sums) / (real)m;
    for (int i = 0; i < count; i++) {
      const vec its_mean = set1(mean[i]);
      vec sum[SUM_VECTORS] = {{0}};
      for (int64_t k = 0; k < m; k += SUM_LANES) {
        for (int v = 0; v < SUM_VECTORS; v++) {
          const vec c = centred_rest(x + i * m + k + v * LANES, its_mean, m - k - v * LANES);
          sum[v] = fma_(c, c, sum[v]);
        }
      }
      put_sums(&sums, i, sum);
    }
    const vec variance = add_up(&sums) / (real)m;
    store_up_to((real *)job->mean + row, mean, count);
    store_up_to((real *)job->scale + row, inverse_root(variance, job->eps), count);
    if (job->variance != NULL) store_up_to((real *)job->variance + row, variance, count);
  }
}

INLINE void normalise_row(int axis, const struct norm *job, int64_t i) {
  const real *gain = job->gain, *shift = job->shift;
  for (int64_t k = 0; k < job->m; k += LANES) {
    const int n = (int)least(LANES, job->m - k);
    const vec normal = normal_at(axis, job, i, k, n);
    store_up_to((real *)job->C + i * job->m + k,
                fma_(normal, load_up_to(gain + k, n), load_up_to(shift + k, n)), n);
  }
}

static void normalise(const struct norm *job, int64_t row0, int64_t row1) {
  for (int64_t row = row0; row < row1; row += LANES) { /* a few, which are still in the cache */
    const int64_t stop = least(row + LANES, row1);
    for (int64_t i = row; i < stop; i++) {
      if (job->axis == 1)
        normalise_row(1, job, i);
      else
        normalise_row(0, job, i);
    }
    finish_forward(&job->epilogue, job->m, job->C, row * job->m, (stop - row) * job->m);
  }
}

/* Back through the normalisation of rows: delta times gain, d, without its mean and without what
 * of it lies along x^, times scale. */
static void row_delta(const struct norm *job, int64_t row0, int64_t row1) {
  const int64_t m = job->m;
  const real *gain = job->gain, *scale = job->scale;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int count = (int)least(LANES, row1 - row);
    const real *delta = (const real *)job->delta + row * m;
    real *out = (real *)job->C + row * m;
    struct row_sums sums = {{0}}, products = {{0}};
    for (int i = 0; i < count; i++) {
      vec sum[SUM_VECTORS] = {{0}}, product[SUM_VECTORS] = {{0}};
      for (int64_t start = 0; start < m; start += SUM_LANES) {
        for (int v = 0; v < SUM_VECTORS; v++) {
          const int64_t k = start + v * LANES;
          if (k >= m) break;
          const int n = (int)least(LANES, m - k);
          const vec d = load_up_to(delta + i * m + k, n) * load_up_to(gain + k, n);
          sum[v] += d;
          product[v] = fma_(d, normal_at(1, job, row + i, k, n), product[v]);
        }
      }
      put_sums(&sums, i, sum);
      put_sums(&products, i, product);
    }
    const vec mean = add_up(&sums) / (real)m, along = add_up(&products) / (real)m;
    for (int i = 0; i < count; i++) {
      const vec its_mean = set1(mean[i]), its_along = set1(-along[i]);
      const vec its_scale = set1(scale[row + i]);
      for (int64_t k = 0; k < m; k += LANES) {
        const int n = (int)least(LANES, m - k);
        const vec d = load_up_to(delta + i * m + k, n) * load_up_to(gain + k, n);
        const vec normal = normal_at(1, job, row + i, k, n);
        store_up_to(out + i * m + k, fma_(normal, its_along, d - its_mean) * its_scale, n);
      }
    }
    finish_backward(&job->epilogue, job->C, row * m, count * m);
  }
}

/* Columns: a few vectors of them together, down all rows */

enum { COLUMN_VECTORS = 4 };

/* Of `vectors` vectors from column k on, whose last one has n elements. */
INLINE void moments_down(int vectors, const struct norm *job, int64_t k, int n) {
  const real *x = (const real *)job->x + k;
  const int64_t m = job->m;
  vec mean[COLUMN_VECTORS] = {{0}}, variance[COLUMN_VECTORS] = {{0}};
  for (int64_t i = 0; i < job->n; i++) {
    UNROLL
    for (int v = 0; v < vectors; v++) mean[v] += load_up_to(x + i * m + v * LANES, n);
  }
  UNROLL
  for (int v = 0; v < vectors; v++) mean[v] /= (real)job->n;
  for (int64_t i = 0; i < job->n; i++) {
    UNROLL
    for (int v = 0; v < vectors; v++) {
      const vec c = load_up_to(x + i * m + v * LANES, n) - mean[v];
      variance[v] = fma_(c, c, variance[v]);
    }
  }
  for (int v = 0; v < vectors; v++) {
    const int64_t at = k + v * LANES;
    variance[v] /= (real)job->n;
    store_up_to((real *)job->mean + at, mean[v], n);
    store_up_to((real *)job->scale + at, inverse_root(variance[v], job->eps), n);
    if (job->variance != NULL) store_up_to((real *)job->variance + at, variance[v], n);
  }
}

static void column_moments(const struct norm *job, int64_t column0, int64_t column1) {
  int64_t k = column0;
  for (; k + COLUMN_VECTORS * LANES <= column1; k += COLUMN_VECTORS * LANES)
    moments_down(COLUMN_VECTORS, job, k, LANES);
  for (; k < column1; k += LANES) moments_down(1, job, k, (int)least(LANES, column1 - k));
}

/* The running ones go a step towards the batch's. Rounded as it is op by op. */
static void move_towards(void *running, const void *batch, int64_t i0, int64_t i1, double step) {
  const real kept = (real)(1.0 - step), added = (real)step;
  for (int64_t i = i0; i < i1; i++)
    ((real *)running)[i] = kept * ((real *)running)[i] + added * ((const real *)batch)[i];
}

/* dgain and dshift: the columns' sums of delta x^ and of delta. */
INLINE void gradients_down(int axis, int vectors, const struct norm *job, int64_t k, int n) {
  const real *delta = (const real *)job->delta + k;
  vec dgain[COLUMN_VECTORS] = {{0}}, dshift[COLUMN_VECTORS] = {{0}};
  for (int64_t i = 0; i < job->n; i++) {
    UNROLL
    for (int v = 0; v < vectors; v++) {
      const vec d = load_up_to(delta + i * job->m + v * LANES, n);
      dgain[v] = fma_(d, normal_at(axis, job, i, k + v * LANES, n), dgain[v]);
      dshift[v] += d;
    }
  }
  for (int v = 0; v < vectors; v++) {
    store_up_to((real *)job->dgain + k + v * LANES, dgain[v], n);
    store_up_to((real *)job->dshift + k + v * LANES, dshift[v], n);
  }
}

INLINE void gradients_of(int axis, const struct norm *job, int64_t column0, int64_t column1) {
  int64_t k = column0;
  for (; k + COLUMN_VECTORS * LANES <= column1; k += COLUMN_VECTORS * LANES)
    gradients_down(axis, COLUMN_VECTORS, job, k, LANES);
  for (; k < column1; k += LANES) gradients_down(axis, 1, job, k, (int)least(LANES, column1 - k));
}

static void norm_gradients(const struct norm *job, int64_t column0, int64_t column1) {
  if (job->axis == 1)
    gradients_of(1, job, column0, column1);
  else
    gradients_of(0, job, column0, column1);
}

/* Back through the normalisation of columns, whose sums dgain and dshift are. */
static void column_delta(const struct norm *job, int64_t row0, int64_t row1) {
  const int64_t m = job->m;
  const real *dgain = job->dgain, *dshift = job->dshift, *gain = job->gain, *scale = job->scale;
  const vec one_nth = set1((real)(1.0 / (double)job->n));
  for (int64_t row = row0; row < row1; row += LANES) {
    const int64_t stop = least(row + LANES, row1);
    for (int64_t i = row; i < stop; i++) {
      for (int64_t k = 0; k < m; k += LANES) {
        const int n = (int)least(LANES, m - k);
        const vec d = load_up_to((const real *)job->delta + i * m + k, n);
        const vec mean = load_up_to(dshift + k, n) * one_nth;
        const vec along = load_up_to(dgain + k, n) * -one_nth;
        const vec factor = load_up_to(gain + k, n) * load_up_to(scale + k, n);
        const vec rest = fma_(normal_at(0, job, i, k, n), along, d - mean);
        store_up_to((real *)job->C + i * m + k, rest * factor, n);
      }
    }
    finish_backward(&job->epilogue, job->C, row * m, (stop - row) * m);
  }
}
