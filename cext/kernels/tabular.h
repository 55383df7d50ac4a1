/* Layers for tables (struct tabular): scales, blends, waves, rows of tables. A sum over rows runs
 * in their order, and one over waves in theirs, so that no vector adds up its own lanes, and the
 * ISAs with fused multiply-add agree, however the work is cut. The definitions are
 * nnpoly/primitives/tabular.py. */

#define TURN ((real)6.28318530717958647693)
#define TURNS_A_RADIAN ((real)0.15915494309189533577)

enum { PIECE = 256 }; /* of a row, whose sigma is computed at once */

/* Sums of columns, over rows in their order: of x, and of delta times x. Of columns
 * column0..column1-1, a part at a time, whose sums stay in the cache. */

enum { SUMMED = 2048 };

INLINE void add_row(const real *delta, const real *x, real *sums, int64_t count) {
  for (int64_t k = 0; k < count; k += LANES) {
    const int n = (int)least(LANES, count - k);
    const vec sum = load_up_to(sums + k, n), a = load_up_to(x + k, n);
    store_up_to(sums + k, delta == NULL ? sum + a : fma_(load_up_to(delta + k, n), a, sum), n);
  }
}

/* x: (n, m); delta: (n, stride), or NULL. */
INLINE void add_rows(const real *delta, const real *x, real *sums, int64_t n, int64_t stride,
                     int64_t m, int64_t count) {
  memset(sums, 0, (size_t)count * sizeof *sums);
  for (int64_t i = 0; i < n; i++)
    add_row(delta == NULL ? NULL : delta + i * stride, x + i * m, sums, count);
}

static void column_sums(const void *x, void *sums, int64_t n, int64_t m, int64_t column0,
                        int64_t column1) {
  for (int64_t k = column0; k < column1; k += SUMMED)
    add_rows(NULL, (const real *)x + k, (real *)sums + k, n, m, m, least(SUMMED, column1 - k));
}

/* SCALE: x s, or x s + b */

static void scaled(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const int64_t m = job->layer->outputs;
  const real *s = job->w[0], *b = job->w[1];
  (void)scratch;
  for (int64_t row = row0; row < row1; row += LANES) { /* a few, which are still in the cache */
    const int64_t stop = least(row + LANES, row1);
    for (int64_t i = row; i < stop; i++) {
      const real *x = (const real *)job->x + i * m;
      real *C = (real *)job->C + i * m;
      if (b == NULL)
        for (int64_t k = 0; k < m; k++) C[k] = x[k] * s[k];
      else
        for (int64_t k = 0; k < m; k++) C[k] = x[k] * s[k] + b[k];
    }
    finish_forward(&job->epilogue, m, job->C, row * m, (stop - row) * m);
  }
}

static void scaled_delta(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const int64_t m = job->layer->outputs;
  const real *s = job->w[0];
  (void)scratch;
  for (int64_t i = row0; i < row1; i++) {
    const real *delta = (const real *)job->delta + i * m;
    real *C = (real *)job->C + i * m;
    for (int64_t k = 0; k < m; k++) C[k] = delta[k] * s[k];
    finish_backward(&job->epilogue, job->C, i * m, m);
  }
}

static void scaled_gradient(const struct tabular *job, int64_t column0, int64_t column1,
                            void *scratch) {
  const int64_t m = job->layer->outputs;
  const real *x = job->x, *delta = job->delta;
  real *ds = job->gradients[0];
  (void)scratch;
  for (int64_t k = column0; k < column1; k += SUMMED)
    add_rows(delta + k, x + k, ds + k, job->n, m, m, least(SUMMED, column1 - k));
  if (job->gradients[1] != NULL) column_sums(delta, job->gradients[1], job->n, m, column0, column1);
}

/* MEMBER_SCALE: r_i x for each member i, side by side */

static void member_scaled(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const int64_t m_in = job->layer->inputs, m = job->layer->outputs;
  const real *r = job->w[0];
  (void)scratch;
  for (int64_t i = row0; i < row1; i++) {
    const real *x = (const real *)job->x + i * m_in;
    real *C = (real *)job->C + i * m;
    for (int64_t j = 0; j < m; j += m_in)
      for (int64_t k = 0; k < m_in; k++) C[j + k] = x[k] * r[j + k];
    finish_forward(&job->epilogue, m, job->C, i * m, m);
  }
}

static void member_scaled_delta(const struct tabular *job, int64_t row0, int64_t row1,
                                void *scratch) {
  const int64_t m_in = job->layer->inputs, m = job->layer->outputs;
  const real *r = job->w[0];
  (void)scratch;
  for (int64_t i = row0; i < row1; i++) {
    const real *delta = (const real *)job->delta + i * m;
    real *C = (real *)job->C + i * m_in;
    memset(C, 0, (size_t)m_in * sizeof *C);
    for (int64_t j = 0; j < m; j += m_in) add_row(delta + j, r + j, C, m_in);
    finish_backward(&job->epilogue, job->C, i * m_in, m_in);
  }
}

/* Of columns of all members, which are cut where a member's end. */
static void member_scaled_gradient(const struct tabular *job, int64_t column0, int64_t column1,
                                   void *scratch) {
  const int64_t m_in = job->layer->inputs, m = job->layer->outputs;
  const real *x = job->x, *delta = job->delta;
  real *dr = job->gradients[0];
  (void)scratch;
  for (int64_t k = column0, count; k < column1; k += count) {
    const int64_t at = k % m_in;
    count = least(least(SUMMED, column1 - k), m_in - at);
    add_rows(delta + k, x + at, dr + k, job->n, m, m_in, count);
  }
}

/* Of rows: the mean of f: (rows, members, K) over the members. */
static void members_mean(const void *f, void *out, int64_t row0, int64_t row1, int64_t members,
                         int64_t K) {
  for (int64_t i = row0; i < row1; i++) {
    const real *all = (const real *)f + i * members * K;
    real *mean = (real *)out + i * K;
    memset(mean, 0, (size_t)K * sizeof *mean);
    for (int64_t j = 0; j < members; j++)
      for (int64_t k = 0; k < K; k++) mean[k] += all[j * K + k];
    for (int64_t k = 0; k < K; k++) mean[k] /= (real)members;
  }
}

/* BLEND: (1 - a) x + a sigma(x), and back delta (1 - a) + a delta sigma'(x) */

INLINE void sigma_of(const struct tabular *job, const real *x, int64_t count, real *out) {
  apply_sigma(job->layer->blended, x, out, count, job->layer->blended_a);
}

/* kept x + a of_sigma, of `count` elements, kept = 1 - a. */
INLINE void blend_piece(const real *a, const real *x, const real *of_sigma, int64_t count,
                        real *out) {
  for (int64_t k = 0; k < count; k += LANES) {
    const int n = (int)least(LANES, count - k);
    const vec share = load_up_to(a + k, n), kept = ((real)1 - share) * load_up_to(x + k, n);
    store_up_to(out + k, fma_(share, load_up_to(of_sigma + k, n), kept), n);
  }
}

static void blended(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const int64_t m = job->layer->outputs;
  const real *a = job->w[0];
  real of_sigma[PIECE];
  (void)scratch;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int64_t stop = least(row + LANES, row1);
    for (int64_t i = row; i < stop; i++) {
      for (int64_t k = 0; k < m; k += PIECE) {
        const int64_t at = i * m + k, count = least(PIECE, m - k);
        const real *x = (const real *)job->x + at;
        sigma_of(job, x, count, of_sigma);
        blend_piece(a + k, x, of_sigma, count, (real *)job->C + at);
      }
    }
    finish_forward(&job->epilogue, m, job->C, row * m, (stop - row) * m);
  }
}

static void blended_delta(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const int64_t m = job->layer->outputs;
  const int activation = job->layer->blended;
  const int reads_x = reads_nothing(activation) || reads_pre(activation);
  const real *a = job->w[0];
  real post[PIECE], of_sigma[PIECE];
  (void)scratch;
  for (int64_t i = row0; i < row1; i++) {
    for (int64_t k = 0; k < m; k += PIECE) {
      const int64_t at = i * m + k, count = least(PIECE, m - k);
      const real *x = (const real *)job->x + at, *delta = (const real *)job->delta + at;
      if (!reads_x) sigma_of(job, x, count, post);
      apply_slope(activation, delta, reads_x ? x : post, of_sigma, count, job->layer->blended_a);
      blend_piece(a + k, delta, of_sigma, count, (real *)job->C + at);
    }
    finish_backward(&job->epilogue, job->C, i * m, m);
  }
}

static void blended_gradient(const struct tabular *job, int64_t column0, int64_t column1,
                             void *scratch) {
  const int64_t m = job->layer->outputs;
  real *gradient = job->gradients[0], of_sigma[PIECE];
  (void)scratch;
  memset(gradient + column0, 0, (size_t)(column1 - column0) * sizeof *gradient);
  for (int64_t i = 0; i < job->n; i++) {
    for (int64_t start = column0; start < column1; start += PIECE) {
      const int64_t count = least(PIECE, column1 - start);
      const real *x = (const real *)job->x + i * m + start;
      const real *delta = (const real *)job->delta + i * m + start;
      sigma_of(job, x, count, of_sigma);
      for (int64_t k = 0; k < count; k += LANES) {
        const int n = (int)least(LANES, count - k);
        const vec rise = load_up_to(of_sigma + k, n) - load_up_to(x + k, n);
        const vec sum = load_up_to(gradient + start + k, n);
        store_up_to(gradient + start + k, fma_(load_up_to(delta + k, n), rise, sum), n);
      }
    }
  }
}

/* PERIODIC. Forward and back LANES rows lie side by side in a vector; the gradients have LANES
 * waves in one. scratch: as many vectors as a column has waves and features. */

struct shape {
  int64_t d, F, k, made; /* columns, frequencies, features; those that waves make */
  int64_t waves;         /* of a column: F, or 2 F */
  int phased;            /* the first feature is the column itself */
};

static struct shape shape_of(const struct nnpoly_layer *layer) {
  const int phased = layer->phased;
  return (struct shape){.d = layer->columns,
                        .F = layer->frequencies,
                        .k = layer->features,
                        .made = layer->features - phased,
                        .waves = layer->frequencies * (phased ? 1 : 2),
                        .phased = phased};
}

/* Down a column, whose elements are `stride` apart: `count` of up to LANES rows; 0 beyond. */
INLINE vec load_down(const real *p, int64_t stride, int count) {
  real lanes[LANES] = {0};
  for (int i = 0; i < count; i++) lanes[i] = p[i * stride];
  return load(lanes);
}

INLINE void store_down(real *p, int64_t stride, int count, vec x) {
  real lanes[LANES];
  store(lanes, x);
  for (int i = 0; i < count; i++) p[i * stride] = lanes[i];
}

/* The angle of wave f of a column, in turns. */
INLINE vec angle_of(const struct tabular *job, int64_t wave, vec x) {
  const real *w = job->w[0], *b = job->w[1];
  const vec phase = b == NULL ? (vec){0} : set1(b[wave] * TURNS_A_RADIAN);
  return fma_(set1(w[wave]), x, phase);
}

static void waves(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const struct shape s = shape_of(job->layer);
  const int64_t inputs = job->layer->inputs, m = job->layer->outputs, rest = inputs - s.d;
  const real *W = job->w[2], *c = job->w[3];
  vec *const wave = scratch;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int count = (int)least(LANES, row1 - row);
    const real *X = (const real *)job->x + row * inputs;
    real *C = (real *)job->C + row * m;
    for (int64_t i = 0; i < s.d; i++) {
      const vec x = load_down(X + i, inputs, count);
      for (int64_t f = 0; f < s.F; f++) {
        const vec angle = angle_of(job, i * s.F + f, x);
        wave[f] = cos_turns(angle);
        if (!s.phased) wave[s.F + f] = sin_turns(angle);
      }
      if (s.phased) store_down(C + i * s.k, m, count, x);
      for (int64_t k = 0; k < s.made; k++) {
        const real *weights = W + (i * s.made + k) * s.waves;
        vec sum = set1(c[i * s.made + k]);
        for (int64_t f = 0; f < s.waves; f++) sum = fma_(set1(weights[f]), wave[f], sum);
        if (!s.phased) sum = choose(less_equal(sum, (vec){0}), (vec){0}, sum);
        store_down(C + i * s.k + s.phased + k, m, count, sum);
      }
    }
    for (int i = 0; i < count; i++)
      memcpy(C + i * m + s.d * s.k, X + i * inputs + s.d, (size_t)rest * sizeof *C);
    finish_forward(&job->epilogue, m, job->C, row * m, count * m);
  }
}

/* The derivative by an angle in radians, from those by its cosine and its sine. */
INLINE vec by_angle(int phased, vec angle, vec by_cosine, vec by_sine) {
  const vec along = by_cosine * sin_turns(angle);
  return phased ? -along : fma_(by_sine, cos_turns(angle), -along);
}

static void waves_delta(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const struct shape s = shape_of(job->layer);
  const int64_t inputs = job->layer->inputs, m = job->layer->outputs, rest = inputs - s.d;
  const real *w = job->w[0], *W = job->w[2];
  vec *const d = scratch;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int count = (int)least(LANES, row1 - row);
    const real *X = (const real *)job->x + row * inputs;
    const real *delta = (const real *)job->delta + row * m;
    real *C = (real *)job->C + row * inputs;
    for (int64_t i = 0; i < s.d; i++) {
      const vec x = load_down(X + i, inputs, count);
      const int64_t first = i * s.k + s.phased;
      for (int64_t k = 0; k < s.made; k++) {
        d[k] = load_down(delta + first + k, m, count);
        if (s.phased) continue;
        const vec post = load_down((const real *)job->post + row * m + first + k, m, count);
        d[k] = choose(less((vec){0}, post), d[k], (vec){0});
      }
      vec sum = {0};
      for (int64_t f = 0; f < s.F; f++) {
        vec by_cosine = {0}, by_sine = {0};
        for (int64_t k = 0; k < s.made; k++) {
          const real *weights = W + (i * s.made + k) * s.waves;
          by_cosine = fma_(set1(weights[f]), d[k], by_cosine);
          if (!s.phased) by_sine = fma_(set1(weights[s.F + f]), d[k], by_sine);
        }
        const int64_t wave = i * s.F + f;
        const vec slope = by_angle(s.phased, angle_of(job, wave, x), by_cosine, by_sine);
        sum = fma_(slope, set1(w[wave]), sum);
      }
      const vec itself = s.phased ? load_down(delta + i * s.k, m, count) : (vec){0};
      store_down(C + i, inputs, count, fma_(sum, set1(TURN), itself));
    }
    for (int i = 0; i < count; i++)
      memcpy(C + i * inputs + s.d, delta + i * m + s.d * s.k, (size_t)rest * sizeof *C);
    finish_backward(&job->epilogue, job->C, row * inputs, count * inputs);
  }
}

/* Of one column, n waves from f on. dW: the sums by cosines, and from `made` on by sines; dc is
 * added to, or NULL. */
static void wave_sums(const struct tabular *job, struct shape s, int64_t i, int64_t f, int n,
                      vec *dW, real *dc) {
  const int64_t inputs = job->layer->inputs, m = job->layer->outputs, wave = i * s.F + f;
  const real *W = (const real *)job->w[2] + i * s.made * s.waves + f;
  const vec w = load_up_to((const real *)job->w[0] + wave, n);
  const vec b = s.phased ? load_up_to((const real *)job->w[1] + wave, n) : (vec){0};
  const vec phase = b * TURNS_A_RADIAN;
  vec dw = {0}, db = {0};
  for (int64_t k = 0; k < 2 * s.made; k++) dW[k] = (vec){0};
  for (int64_t row = 0; row < job->n; row++) {
    const vec x = set1(((const real *)job->x)[row * inputs + i]), angle = fma_(w, x, phase);
    const vec cosine = cos_turns(angle), sine = sin_turns(angle);
    const int64_t first = row * m + i * s.k + s.phased;
    const real *delta = (const real *)job->delta + first, *post = (const real *)job->post + first;
    vec by_cosine = {0}, by_sine = {0};
    for (int64_t k = 0; k < s.made; k++) {
      if (!s.phased && !(post[k] > 0)) continue;
      const vec d = set1(delta[k]);
      by_cosine = fma_(load_up_to(W + k * s.waves, n), d, by_cosine);
      dW[k] = fma_(d, cosine, dW[k]);
      if (!s.phased) {
        by_sine = fma_(load_up_to(W + k * s.waves + s.F, n), d, by_sine);
        dW[s.made + k] = fma_(d, sine, dW[s.made + k]);
      }
      if (dc != NULL) dc[k] += delta[k];
    }
    vec slope = -(by_cosine * sine);
    if (!s.phased) slope = fma_(by_sine, cosine, slope);
    dw = fma_(slope, x, dw);
    db += slope;
  }
  store_up_to((real *)job->gradients[0] + wave, dw * TURN, n);
  if (s.phased) store_up_to((real *)job->gradients[1] + wave, db, n);
}

static void waves_gradients(const struct tabular *job, int64_t column0, int64_t column1,
                            void *scratch) {
  const struct shape s = shape_of(job->layer);
  vec *const dW = scratch;
  for (int64_t i = column0; i < column1; i++) {
    real *gradient = (real *)job->gradients[2] + i * s.made * s.waves;
    real *dc = (real *)job->gradients[3] + i * s.made;
    memset(dc, 0, (size_t)s.made * sizeof *dc);
    for (int64_t f = 0; f < s.F; f += LANES) {
      const int n = (int)least(LANES, s.F - f);
      wave_sums(job, s, i, f, n, dW, f == 0 ? dc : NULL);
      for (int64_t k = 0; k < s.made; k++) {
        store_up_to(gradient + k * s.waves + f, dW[k], n);
        if (!s.phased) store_up_to(gradient + k * s.waves + s.F + f, dW[s.made + k], n);
      }
    }
  }
}

/* EMBEDDING */

/* The number of a category, or -1 for what is none. */
INLINE int64_t category(real x, int64_t size) {
  if (!(x >= 0 && x < (real)size)) return -1;
  const int64_t number = (int64_t)x;
  return (real)number == x && number < size ? number : -1;
}

static void rows_of_tables(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const struct nnpoly_layer *layer = job->layer;
  const int64_t m = layer->outputs, before = layer->inputs - layer->columns, k = layer->features;
  (void)scratch;
  for (int64_t row = row0; row < row1; row += LANES) {
    const int64_t stop = least(row + LANES, row1);
    for (int64_t i = row; i < stop; i++) {
      const real *x = (const real *)job->x + i * layer->inputs, *E = job->w[0];
      real *C = (real *)job->C + i * m;
      memcpy(C, x, (size_t)before * sizeof *C);
      C += before;
      for (int64_t j = 0; j < layer->columns; j++, C += k) {
        const int64_t number = category(x[before + j], layer->sizes[j]);
        if (number >= 0)
          memcpy(C, E + number * k, (size_t)k * sizeof *C);
        else
          for (int64_t p = 0; p < k; p++) C[p] = (real)NAN;
        E += layer->sizes[j] * k;
      }
    }
    finish_forward(&job->epilogue, m, job->C, row * m, (stop - row) * m);
  }
}

static void rows_delta(const struct tabular *job, int64_t row0, int64_t row1, void *scratch) {
  const struct nnpoly_layer *layer = job->layer;
  const int64_t before = layer->inputs - layer->columns;
  (void)scratch;
  for (int64_t i = row0; i < row1; i++) {
    real *C = (real *)job->C + i * layer->inputs;
    memcpy(C, (const real *)job->delta + i * layer->outputs, (size_t)before * sizeof *C);
    memset(C + before, 0, (size_t)layer->columns * sizeof *C);
    finish_backward(&job->epilogue, job->C, i * layer->inputs, layer->inputs);
  }
}

/* Of rows e0..e1-1 of all tables, one below the other. */
static void rows_gradient(const struct tabular *job, int64_t e0, int64_t e1, void *scratch) {
  const struct nnpoly_layer *layer = job->layer;
  const int64_t before = layer->inputs - layer->columns, k = layer->features;
  real *dE = job->gradients[0];
  (void)scratch;
  memset(dE + e0 * k, 0, (size_t)((e1 - e0) * k) * sizeof *dE);
  for (int64_t j = 0, top = 0; j < layer->columns && top < e1; top += layer->sizes[j++]) {
    if (top + layer->sizes[j] <= e0) continue;
    for (int64_t i = 0; i < job->n; i++) {
      const real x = ((const real *)job->x)[i * layer->inputs + before + j];
      const int64_t number = category(x, layer->sizes[j]), row = top + number;
      if (number < 0 || row < e0 || row >= e1) continue;
      const real *delta = (const real *)job->delta + i * layer->outputs + before + j * k;
      add_elements(dE + row * k, delta, dE + row * k, k);
    }
  }
}

#undef TURN
#undef TURNS_A_RADIAN
