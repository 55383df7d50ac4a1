/* Layers as the programs that to_c writes compute them: an activation is a `vec`, whose lanes are
 * as many rows side by side, or the real of one row (scalars.h). Widths are constants once inlined,
 * and so the loops are unrolled. A sum runs in the order of the C core's (cext/kernels), by the
 * same functions: where there is fma, the bits are those of the library's own prediction. */

enum { TILE = 8 }; /* outputs whose sums do not wait for each other */

INLINE void some_outputs(const real *W, const real *b, const vec *x, vec *y, int m_in, int m,
                         int count) {
  vec sum[TILE];
  int i, k;
  UNROLL
  for (i = 0; i < count; i++) sum[i] = set1(b == NULL ? 0 : b[i]);
  KEEP_LOOP
  for (k = 0; k < m_in; k++) {
    UNROLL
    for (i = 0; i < count; i++) sum[i] = fma_(set1(W[k * m + i]), x[k], sum[i]);
  }
  UNROLL
  for (i = 0; i < count; i++) y[i] = sum[i];
}

/* y = W x + b; W: m numbers for each input. */
INLINE void dense(const real *W, const real *b, const vec *x, vec *y, int m_in, int m) {
  const int whole = m / TILE * TILE;
  int j;
  for (j = 0; j < whole; j += TILE)
    some_outputs(W + j, b == NULL ? b : b + j, x, y + j, m_in, m, TILE);
  if (whole < m)
    some_outputs(W + whole, b == NULL ? b : b + whole, x, y + whole, m_in, m, m - whole);
}

/* Of one row: the outputs lie in the lanes. Vectors of W may reach beyond its row and beyond W,
 * where there must be LANES numbers. */
INLINE void some_columns(const real *W, const real *b, const real *x, real *y, int m_in, int m,
                         int count) {
  const int vectors = (count + LANES - 1) / LANES;
  vec sum[TILE];
  int i, k;
  UNROLL
  for (i = 0; i < vectors; i++) sum[i] = b == NULL ? set1(0) : load(b + i * LANES);
  KEEP_LOOP
  for (k = 0; k < m_in; k++) {
    UNROLL
    for (i = 0; i < vectors; i++) sum[i] = fma_(load(W + k * m + i * LANES), set1(x[k]), sum[i]);
  }
  UNROLL
  for (i = 0; i < vectors; i++) store_up_to(y + i * LANES, sum[i], count - i * LANES);
}

INLINE void dense_row(const real *W, const real *b, const real *x, real *y, int m_in, int m) {
  const int step = TILE * LANES, whole = m / step * step;
  int j;
  for (j = 0; j < whole; j += step)
    some_columns(W + j, b == NULL ? b : b + j, x, y + j, m_in, m, step);
  if (whole < m)
    some_columns(W + whole, b == NULL ? b : b + whole, x, y + whole, m_in, m, m - whole);
}

/* Up to LANES rows of x as the lanes of y, zeros in the others; and back. columns: m LANES. */
INLINE void side_by_side(const real *x, real *columns, vec *y, int rows, int m) {
  int k, r;
  for (k = 0; k < m; k++)
    for (r = 0; r < LANES; r++) columns[k * LANES + r] = r < rows ? x[r * m + k] : 0;
  for (k = 0; k < m; k++) y[k] = load(columns + k * LANES);
}

INLINE void one_by_one(const vec *y, real *columns, real *x, int rows, int m) {
  int k, r;
  for (k = 0; k < m; k++) store(columns + k * LANES, y[k]);
  for (r = 0; r < rows; r++)
    for (k = 0; k < m; k++) x[r * m + k] = columns[k * LANES + r];
}

/* Sums have SUMS lanes, always paired in the same way. */
enum { SUMS = 16 };
INLINE vec add_up(vec sums[SUMS]) {
  int half, i;
  for (half = SUMS / 2; half > 0; half /= 2)
    for (i = 0; i < half; i++) sums[i] += sums[i + half];
  return sums[0];
}

/* Each row's mean 0 and variance 1, then gain x^ + shift. */
INLINE void row_norm(const real *gain, const real *shift, const vec *x, vec *y, int m, real eps) {
  vec sums[SUMS], mean, scale;
  int k;
  for (k = 0; k < SUMS; k++) sums[k] = set1(0);
  for (k = 0; k < m; k++) sums[k % SUMS] += x[k];
  mean = add_up(sums) / (real)m;
  for (k = 0; k < SUMS; k++) sums[k] = set1(0);
  for (k = 0; k < m; k++) {
    const vec centred = x[k] - mean;
    sums[k % SUMS] = fma_(centred, centred, sums[k % SUMS]);
  }
  scale = (real)1 / sqrt_(add_up(sums) / (real)m + eps);
  for (k = 0; k < m; k++) y[k] = fma_((x[k] - mean) * scale, set1(gain[k]), set1(shift[k]));
}

/* gain (x - mean) scale + shift, of a batch's mean and scale. */
INLINE void column_norm(const real *mean, const real *scale, const real *gain, const real *shift,
                        const vec *x, vec *y, int m) {
  int k;
  for (k = 0; k < m; k++)
    y[k] = fma_((x[k] - set1(mean[k])) * set1(scale[k]), set1(gain[k]), set1(shift[k]));
}

INLINE void scaled(const real *s, const vec *x, vec *y, int m) {
  int k;
  for (k = 0; k < m; k++) y[k] = x[k] * set1(s[k]);
}

/* Rounded twice. */
INLINE void scaled_and_shifted(const real *s, const real *b, const vec *x, vec *y, int m) {
  int k;
  for (k = 0; k < m; k++) {
    const vec product = x[k] * set1(s[k]);
    y[k] = product + set1(b[k]);
  }
}

INLINE void members_scaled(const real *r, const vec *x, vec *y, int m, int members) {
  int i, k;
  for (i = 0; i < members; i++)
    for (k = 0; k < m; k++) y[i * m + k] = x[k] * set1(r[i * m + k]);
}

INLINE void members_mean(const vec *f, vec *mean, int members, int m) {
  int i, k;
  for (k = 0; k < m; k++) {
    vec sum = f[k];
    for (i = 1; i < members; i++) sum += f[i * m + k];
    mean[k] = sum / (real)members;
  }
}

INLINE void added(const vec *x, vec *y, int m) {
  int k;
  for (k = 0; k < m; k++) y[k] = x[k] + y[k];
}

/* (1 - a) x + a sigma(x), of what `y` holds. */
INLINE void blended(const real *a, const vec *x, vec *y, int m) {
  int k;
  for (k = 0; k < m; k++) {
    const vec kept = ((real)1 - set1(a[k])) * x[k];
    y[k] = fma_(set1(a[k]), y[k], kept);
  }
}

INLINE void copied(const vec *x, vec *y, int m) {
  int k;
  for (k = 0; k < m; k++) y[k] = x[k];
}

/* Each of the first d columns as W cos(2 pi w x + phase) + c, after x itself; `plain`: as
 * relu(W [cos(2 pi w x), sin(2 pi w x)] + c). F waves a column, `made` rows of W; phases in turns.
 */
INLINE void waves(const real *w, const real *phase, const real *W, const real *c, const vec *x,
                  vec *y, vec *wave, int d, int F, int made, int plain) {
  const int all = plain ? 2 * F : F, features = plain ? made : made + 1;
  int i, f, k;
  for (i = 0; i < d; i++) {
    for (f = 0; f < F; f++) {
      const vec start = plain ? set1(0) : set1(phase[i * F + f]);
      const vec angle = fma_(set1(w[i * F + f]), x[i], start);
      wave[f] = cos_turns(angle);
      if (plain) wave[F + f] = sin_turns(angle);
    }
    if (!plain) y[i * features] = x[i];
    for (k = 0; k < made; k++) {
      const real *weights = W + (i * made + k) * all;
      vec sum = set1(c[i * made + k]);
      for (f = 0; f < all; f++) sum = fma_(set1(weights[f]), wave[f], sum);
      if (plain) sum = relu(sum);
      y[i * features + features - made + k] = sum;
    }
  }
}

/* Column x as w x + c + V e(x): `size` bins, of which each has where it begins and how it rises.
 * Rows of V are `most` apart. */
INLINE void lines(const real *w, const real *c, const real *V, const real *bins, vec x, vec *y,
                  vec *entries, int features, int size, int most) {
  int j, k;
  for (j = 0; j < size; j++) {
    vec entry = (x - set1(bins[2 * j])) * set1(bins[2 * j + 1]);
    if (j > 0) entry = at_least(entry, set1(0));
    if (j < size - 1) entry = at_most(entry, set1(1));
    entries[j] = entry;
  }
  for (k = 0; k < features; k++) {
    vec sum = fma_(set1(w[k]), x, set1(c[k]));
    for (j = 0; j < size; j++) sum = fma_(set1(V[k * most + j]), entries[j], sum);
    y[k] = sum;
  }
}

/* The row of a table that x names, one of `size`; NaN for a number that is none of them. */
INLINE void table_row(const real *E, vec x, vec *y, int features, int size) {
  int i, k;
  for (i = 0; i < LANES; i++) {
    const real number = lane(x, i);
    const int among = number >= 0 && number < (real)size, row = among ? (int)number : 0;
    const int known = among && (real)row == number;
    for (k = 0; k < features; k++) set_lane(y + k, i, known ? E[row * features + k] : (real)NAN);
  }
}

/* Of m scores, in place. */
INLINE void softmax(vec *z, int m) {
  vec highest = z[0], sum = set1(0);
  int k;
  for (k = 1; k < m; k++) highest = at_least(z[k], highest);
  for (k = 0; k < m; k++) {
    z[k] = exp_decay(z[k] - highest);
    sum += z[k];
  }
  for (k = 0; k < m; k++) z[k] = z[k] / sum;
}
