/* Layers for tables on arrays between guard pages, with inputs that must not be written, in every
 * configuration. Results are compared with loops in double. */
#include <math.h>
#include <string.h>

#include "typed.h"

static void scales(int64_t n, int64_t m) {
  const void *x = input(n * m), *delta = input(n * m);
  void *ds = room(m);
  ok("scale", nnpoly_scale_gradient(dtype, delta, x, ds, n, m));
  for (int64_t j = 0; j < m; j++) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += get(delta, i * m + j) * get(x, i * m + j);
    near("ds", get(ds, j), sum, (double)n, 1);
  }
}

/* By sigma and sigma' as they are computed by themselves. */
static void blends(int64_t n, int64_t m, int sigma) {
  const void *x = input(n * m), *delta = input(n * m), *a = input(m);
  void *out = room(n * m), *back = room(n * m), *da = room(m);
  void *post = room(n * m), *by_slope = room(n * m);
  ok("blend", nnpoly_blend(dtype, x, a, out, n, m, sigma, 0.5));
  ok("blend", nnpoly_blend_delta(dtype, delta, x, a, back, n, m, sigma, 0.5));
  ok("blend", nnpoly_blend_gradient(dtype, delta, x, da, n, m, sigma, 0.5));
  ok("sigma", nnpoly_activate(dtype, x, post, n * m, sigma, 0.5));
  const int reads_post = sigma == NNPOLY_TANH;
  ok("slope",
     nnpoly_activation_delta(dtype, delta, reads_post ? post : x, by_slope, n * m, sigma, 0.5));
  for (int64_t j = 0; j < m; j++) {
    const double share = get(a, j);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
      const int64_t at = i * m + j;
      near("blend", get(out, at), (1 - share) * get(x, at) + share * get(post, at), 1, 1);
      near("blend delta", get(back, at), (1 - share) * get(delta, at) + share * get(by_slope, at),
           1, 1);
      sum += get(delta, at) * (get(post, at) - get(x, at));
    }
    near("da", get(da, j), sum, (double)n, 1);
  }
}

/* A PERIODIC and its results, whose loops in double are below. */
struct waves {
  struct nnpoly_waves sizes;
  int64_t n, outputs, made, waves;
  int phased;
  const void *x, *w, *b, *W, *c, *delta;
  void *post;
};

static double angle(const struct waves *p, int64_t i, int64_t column, int64_t f) {
  const int64_t at = column * p->sizes.frequencies + f;
  const double turns = get(p->w, at) * get(p->x, i * p->sizes.inputs + column);
  return 2 * M_PI * turns + (p->phased ? get(p->b, at) : 0);
}

/* Of all that column's waves: cosines, then sines. */
static double wave(const struct waves *p, int64_t i, int64_t column, int64_t f) {
  const int64_t F = p->sizes.frequencies;
  return f < F ? cos(angle(p, i, column, f)) : sin(angle(p, i, column, f - F));
}

static double weight(const struct waves *p, int64_t column, int64_t k, int64_t f) {
  return get(p->W, (column * p->made + k) * p->waves + f);
}

static int64_t place(const struct waves *p, int64_t i, int64_t column, int64_t k) {
  return i * p->outputs + column * p->sizes.features + p->phased + k;
}

/* The derivative by W waves + c, of feature k. */
static double d_made(const struct waves *p, int64_t i, int64_t column, int64_t k) {
  const int64_t at = place(p, i, column, k);
  return p->phased || get(p->post, at) > 0 ? get(p->delta, at) : 0;
}

static double d_angle(const struct waves *p, int64_t i, int64_t column, int64_t f) {
  const int64_t F = p->sizes.frequencies;
  double by_cosine = 0, by_sine = 0;
  for (int64_t k = 0; k < p->made; k++) {
    by_cosine += d_made(p, i, column, k) * weight(p, column, k, f);
    if (!p->phased) by_sine += d_made(p, i, column, k) * weight(p, column, k, F + f);
  }
  return by_sine * cos(angle(p, i, column, f)) - by_cosine * sin(angle(p, i, column, f));
}

static void check_forward(const struct waves *p) {
  const int64_t m_in = p->sizes.inputs, d = p->sizes.columns, k = p->sizes.features;
  for (int64_t i = 0; i < p->n; i++) {
    for (int64_t column = 0; column < d; column++) {
      if (p->phased)
        near("column", get(p->post, place(p, i, column, -1)), get(p->x, i * m_in + column), 0, 0);
      for (int64_t j = 0; j < p->made; j++) {
        double sum = get(p->c, column * p->made + j);
        for (int64_t f = 0; f < p->waves; f++)
          sum += weight(p, column, j, f) * wave(p, i, column, f);
        if (!p->phased) sum = fmax(sum, 0);
        near("waves", get(p->post, place(p, i, column, j)), sum, (double)p->waves, 2);
      }
    }
    for (int64_t j = d; j < m_in; j++)
      near("rest", get(p->post, i * p->outputs + d * k + j - d), get(p->x, i * m_in + j), 0, 0);
  }
}

static void check_delta(const struct waves *p, const void *dx) {
  const int64_t m_in = p->sizes.inputs, d = p->sizes.columns, k = p->sizes.features;
  for (int64_t i = 0; i < p->n; i++) {
    for (int64_t j = 0; j < m_in; j++) {
      double sum = 0;
      for (int64_t f = 0; j < d && f < p->sizes.frequencies; f++)
        sum += 2 * M_PI * get(p->w, j * p->sizes.frequencies + f) * d_angle(p, i, j, f);
      if (j < d && p->phased) sum += get(p->delta, place(p, i, j, -1));
      if (j >= d) sum = get(p->delta, i * p->outputs + d * k + j - d);
      near("dx", get(dx, i * m_in + j), sum, (double)p->waves, 16);
    }
  }
}

static void check_gradients(const struct waves *p, const void *dw, const void *db, const void *dW,
                            const void *dc) {
  const int64_t F = p->sizes.frequencies, m_in = p->sizes.inputs;
  for (int64_t column = 0; column < p->sizes.columns; column++) {
    for (int64_t f = 0; f < F; f++) {
      double of_w = 0, of_b = 0;
      for (int64_t i = 0; i < p->n; i++) {
        of_b += d_angle(p, i, column, f);
        of_w += 2 * M_PI * get(p->x, i * m_in + column) * d_angle(p, i, column, f);
      }
      near("dw", get(dw, column * F + f), of_w, (double)p->n, 16);
      if (p->phased) near("db", get(db, column * F + f), of_b, (double)p->n, 8);
    }
    for (int64_t k = 0; k < p->made; k++) {
      double of_c = 0;
      for (int64_t i = 0; i < p->n; i++) of_c += d_made(p, i, column, k);
      near("dc", get(dc, column * p->made + k), of_c, (double)p->n, 1);
      for (int64_t f = 0; f < p->waves; f++) {
        double of_W = 0;
        for (int64_t i = 0; i < p->n; i++) of_W += d_made(p, i, column, k) * wave(p, i, column, f);
        near("dW", get(dW, (column * p->made + k) * p->waves + f), of_W, (double)p->n, 2);
      }
    }
  }
}

static void periodics(int64_t n, struct nnpoly_waves sizes, int phased) {
  const int64_t d = sizes.columns, F = sizes.frequencies;
  struct waves p = {.sizes = sizes,
                    .n = n,
                    .outputs = sizes.inputs + d * (sizes.features - 1),
                    .made = sizes.features - phased,
                    .waves = phased ? F : 2 * F,
                    .phased = phased};
  const int64_t W = d * p.made * p.waves;
  p.x = input(n * sizes.inputs), p.w = input(d * F), p.b = phased ? input(d * F) : NULL;
  p.W = input(W), p.c = input(d * p.made), p.delta = input(n * p.outputs);
  p.post = room(n * p.outputs);
  void *dw = room(d * F), *db = phased ? room(d * F) : NULL, *dW = room(W), *dc = room(d * p.made);
  void *dx = room(n * sizes.inputs);
  ok("waves", nnpoly_periodic(dtype, p.x, p.w, p.b, p.W, p.c, p.post, n, &sizes));
  guarded_read_only(p.post);
  const void *post = phased ? NULL : p.post;
  ok("gradients", nnpoly_periodic_gradients(dtype, p.delta, p.x, post, p.w, p.b, p.W, dw, db, dW,
                                            dc, n, &sizes));
  ok("delta", nnpoly_periodic_delta(dtype, p.delta, p.x, post, p.w, p.b, p.W, dx, n, &sizes));
  check_forward(&p);
  check_delta(&p, dx);
  check_gradients(&p, dw, db, dW, dc);
}

/* Numbers of categories after `before` others; of the first row they are none. */
static void *categories(int64_t n, int64_t before, const int64_t *sizes, int64_t columns) {
  static const double none[] = {-1, 0.5, 1e30, NAN, INFINITY};
  const int64_t inputs = before + columns;
  void *x = filled(n * inputs, -0.5);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < columns; j++)
      set(x, i * inputs + before + j, i == 0 ? none[j % 5] : (double)((i * 7 + j) % sizes[j]));
  if (n > 0) set(x, before, (double)sizes[0]); /* one too many */
  guarded_read_only(x);
  return x;
}

static const int64_t *some_sizes(int64_t columns) {
  int64_t *sizes = guarded((size_t)columns * sizeof *sizes, side);
  for (int64_t j = 0; j < columns; j++) sizes[j] = 1 + (j * 5) % 13;
  guarded_read_only(sizes);
  return sizes;
}

static void embeddings(int64_t n, int64_t before, int64_t columns, int64_t k) {
  const int64_t *sizes = some_sizes(columns);
  const int64_t inputs = before + columns, outputs = before + columns * k;
  int64_t rows = 0;
  for (int64_t j = 0; j < columns; j++) rows += sizes[j];
  const void *x = categories(n, before, sizes, columns);
  const void *E = input(rows * k), *delta = input(n * outputs);
  void *out = room(n * outputs), *dE = room(rows * k), *want = room(rows * k);
  ok("embed", nnpoly_embed(dtype, x, E, sizes, out, n, inputs, columns, k));
  ok("embed", nnpoly_embed_gradient(dtype, delta, x, sizes, dE, n, inputs, columns, k));
  for (int64_t i = 0; i < rows * k; i++) set(want, i, 0);
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j < before; j++)
      near("before", get(out, i * outputs + j), get(x, i * inputs + j), 0, 0);
    int64_t top = 0;
    for (int64_t j = 0; j < columns; top += sizes[j++]) {
      for (int64_t f = 0; f < k; f++) {
        const int64_t at = i * outputs + before + j * k + f;
        if (i == 0) {
          if (!isnan(get(out, at))) fail("no category", get(out, at), NAN);
          continue;
        }
        const int64_t row = top + (int64_t)get(x, i * inputs + before + j);
        near("row", get(out, at), get(E, row * k + f), 0, 0);
        set(want, row * k + f, get(want, row * k + f) + get(delta, at));
      }
    }
  }
  for (int64_t i = 0; i < rows * k; i++) near("dE", get(dE, i), get(want, i), (double)n, 1);
}

/* A PIECEWISE and its results. */
struct pieces {
  struct nnpoly_lines sizes;
  int64_t n, outputs, most;
  const void *x, *w, *c, *V, *delta;
};

static const double *bin(const struct pieces *p, int64_t column, int64_t j) {
  const double *bins = p->sizes.bins;
  for (int64_t i = 0; i < column; i++) bins += 2 * p->sizes.sizes[i];
  return bins + 2 * j;
}

/* By the numbers of the configuration's type. */
static double rounded(double number) { return dtype == NNPOLY_FLOAT64 ? number : (float)number; }

static double entry(const struct pieces *p, int64_t i, int64_t column, int64_t j, int slope) {
  const double *b = bin(p, column, j), x = get(p->x, i * p->sizes.inputs + column);
  const double at = (x - rounded(b[0])) * rounded(b[1]);
  const int below = j > 0 && at < 0, above = j < p->sizes.sizes[column] - 1 && at > 1;
  if (slope) return below || above ? 0 : rounded(b[1]);
  return below ? 0 : above ? 1 : at;
}

static double of_V(const struct pieces *p, int64_t column, int64_t k, int64_t j) {
  return get(p->V, (column * p->sizes.features + k) * p->most + j);
}

static double made(const struct pieces *p, int64_t i, int64_t column, int64_t k) {
  return get(p->delta, i * p->outputs + column * p->sizes.features + k);
}

static void check_lines(const struct pieces *p, const void *out, const void *dx) {
  const int64_t m_in = p->sizes.inputs, d = p->sizes.columns, K = p->sizes.features;
  for (int64_t i = 0; i < p->n; i++) {
    for (int64_t j = d; j < m_in; j++) {
      const int64_t at = i * p->outputs + d * K + j - d;
      near("rest", get(out, at), get(p->x, i * m_in + j), 0, 0);
      near("rest", get(dx, i * m_in + j), get(p->delta, at), 0, 0);
    }
    for (int64_t column = 0; column < d; column++) {
      double back = 0;
      for (int64_t k = 0; k < K; k++) {
        const int64_t at = column * K + k;
        double sum = get(p->w, at) * get(p->x, i * m_in + column) + get(p->c, at);
        back += made(p, i, column, k) * get(p->w, at);
        for (int64_t j = 0; j < p->sizes.sizes[column]; j++) {
          sum += of_V(p, column, k, j) * entry(p, i, column, j, 0);
          back += made(p, i, column, k) * of_V(p, column, k, j) * entry(p, i, column, j, 1);
        }
        near("lines", get(out, i * p->outputs + at), sum, (double)p->most + 2, 8);
      }
      near("dx", get(dx, i * m_in + column), back, (double)(K * (p->most + 1)), 16);
    }
  }
}

static void check_lines_gradients(const struct pieces *p, const void *dw, const void *dc,
                                  const void *dV) {
  const int64_t K = p->sizes.features;
  for (int64_t column = 0; column < p->sizes.columns; column++) {
    for (int64_t k = 0; k < K; k++) {
      double of_w = 0, of_c = 0;
      for (int64_t i = 0; i < p->n; i++) {
        of_c += made(p, i, column, k);
        of_w += made(p, i, column, k) * get(p->x, i * p->sizes.inputs + column);
      }
      near("dw", get(dw, column * K + k), of_w, (double)p->n, 1);
      near("dc", get(dc, column * K + k), of_c, (double)p->n, 1);
      for (int64_t j = 0; j < p->most; j++) {
        double sum = 0;
        for (int64_t i = 0; j < p->sizes.sizes[column] && i < p->n; i++)
          sum += made(p, i, column, k) * entry(p, i, column, j, 0);
        near("dV", get(dV, (column * K + k) * p->most + j), sum, (double)p->n, 8);
      }
    }
  }
}

/* Bins side by side around 0, of different widths. */
static const double *some_bins(const int64_t *sizes, int64_t columns) {
  int64_t count = 0;
  for (int64_t i = 0; i < columns; i++) count += sizes[i];
  double *bins = guarded(2 * (size_t)count * sizeof *bins, side), *b = bins;
  for (int64_t i = 0; i < columns; i++) {
    double low = -0.25;
    for (int64_t j = 0; j < sizes[i]; j++, b += 2) {
      const double width = (1 + (double)(j % 3)) / (double)(2 * sizes[i]);
      b[0] = low, b[1] = 1 / width;
      low += width;
    }
  }
  guarded_read_only(bins);
  return bins;
}

static void pieces(int64_t n, int64_t rest, int64_t d, int64_t K) {
  const int64_t *sizes = some_sizes(d);
  struct pieces p = {
      .sizes = {rest + d, d, K, sizes, some_bins(sizes, d)}, .n = n, .outputs = rest + d * K};
  for (int64_t i = 0; i < d; i++)
    if (sizes[i] > p.most) p.most = sizes[i];
  p.x = input(n * (rest + d)), p.w = input(d * K), p.c = input(d * K);
  p.V = input(d * K * p.most), p.delta = input(n * p.outputs);
  void *out = room(n * p.outputs), *dx = room(n * (rest + d));
  void *dw = room(d * K), *dc = room(d * K), *dV = room(d * K * p.most);
  ok("lines", nnpoly_piecewise(dtype, p.x, p.w, p.c, p.V, out, n, &p.sizes));
  ok("lines", nnpoly_piecewise_gradients(dtype, p.delta, p.x, dw, dc, dV, n, &p.sizes));
  ok("lines", nnpoly_piecewise_delta(dtype, p.delta, p.x, p.w, p.V, dx, n, &p.sizes));
  check_lines(&p, out, dx);
  check_lines_gradients(&p, dw, dc, dV);
}

/* RealMLP's layers, and lines with bends: steps one by one, and all at once, have the same bits. */
static void plans(int64_t n, int64_t batch, int64_t width, int phased) {
  enum { NUMBERS = 3, CATEGORIES = 2, F = 5, FEATURES = 3, K = 3, STEPS = 20, DEPTH = 9 };
  enum { INPUTS = NUMBERS + CATEGORIES, WAVES = NUMBERS * FEATURES + CATEGORIES };
  enum { BENT = 2, LINES = 5, ROWS = 1 + 6 };
  enum { FLAT = NUMBERS * FEATURES + CATEGORIES * 4, EMBEDDED = FLAT + BENT * (LINES - 1) };
  const int64_t *sizes = some_sizes(CATEGORIES), *pieces = some_sizes(BENT);
  const struct nnpoly_layer layers[DEPTH] = {
      {.kind = NNPOLY_COPY, .inputs = INPUTS, .outputs = INPUTS, .activation = NNPOLY_IDENTITY},
      {.kind = NNPOLY_PERIODIC,
       .inputs = INPUTS,
       .outputs = WAVES,
       .activation = NNPOLY_IDENTITY,
       .columns = NUMBERS,
       .frequencies = F,
       .features = FEATURES,
       .phased = phased},
      {.kind = NNPOLY_EMBEDDING,
       .inputs = WAVES,
       .outputs = FLAT,
       .activation = NNPOLY_IDENTITY,
       .columns = CATEGORIES,
       .features = 4,
       .sizes = sizes},
      {.kind = NNPOLY_PIECEWISE,
       .inputs = FLAT,
       .outputs = EMBEDDED,
       .activation = NNPOLY_IDENTITY,
       .columns = BENT,
       .features = LINES,
       .sizes = pieces,
       .bins = some_bins(pieces, BENT)},
      {.kind = NNPOLY_SCALE,
       .inputs = EMBEDDED,
       .outputs = EMBEDDED,
       .activation = NNPOLY_IDENTITY,
       .dropout = 0.125},
      {.inputs = EMBEDDED, .outputs = width, .activation = NNPOLY_IDENTITY, .factor = 0.25},
      {.kind = NNPOLY_BLEND,
       .inputs = width,
       .outputs = width,
       .activation = NNPOLY_IDENTITY,
       .blended = NNPOLY_SELU,
       .dropout = 0.25,
       .path = 7},
      {.kind = NNPOLY_BLEND,
       .inputs = width,
       .outputs = width,
       .activation = NNPOLY_IDENTITY,
       .blended = NNPOLY_TANH},
      {.inputs = width, .outputs = K, .activation = NNPOLY_IDENTITY, .factor = 0.5}};
  const int64_t made = FEATURES - phased, waves = phased ? F : 2 * F;
  const int64_t bent = BENT * LINES * (2 + 6); /* the second column has 6 bins */
  const int64_t P = NUMBERS * (F + phased * F + made * waves + made) + ROWS * 4 + bent + EMBEDDED +
                    (EMBEDDED + 1) * width + 2 * width + (width + 1) * K;
  const struct nnpoly_training training = {.dtype = dtype,
                                           .depth = DEPTH,
                                           .layers = layers,
                                           .loss = NNPOLY_CROSS_ENTROPY,
                                           .rule = NNPOLY_ADAM,
                                           .beta1 = 0.9,
                                           .beta2 = 0.95,
                                           .eps = 1e-8,
                                           .clip_norm = batch % 2 ? 0.5 : 0};
  const int64_t steps = (n - 1) / batch + 1;
  const size_t size = dtype != NNPOLY_FLOAT64 ? 4 : 8, row = INPUTS * size;
  char *X = filled(n * INPUTS, -0.5);
  int64_t *labels = guarded((size_t)n * sizeof *labels, side);
  int64_t *order = guarded((size_t)n * sizeof *order, side);
  for (int64_t i = 0; i < n; i++) {
    labels[i] = i % K;
    order[i] = i;
    for (int64_t j = 0; j < CATEGORIES; j++)
      set(X, i * INPUTS + NUMBERS + j, (double)(i % sizes[j]));
  }
  guarded_read_only(X);
  struct nnpoly_rates rates[STEPS];
  for (int t = 0; t < STEPS; t++)
    rates[t] =
        (struct nnpoly_rates){.learning_rate = 0.01, .weight_m = 1, .unbias_s = 1, .key = 7 - t};
  struct nnpoly_state states[2];
  nnpoly_plan *made_plans[2];
  for (int i = 0; i < 2; i++) {
    states[i] =
        (struct nnpoly_state){.w = filled(P, -0.5), .g = room(P), .m = room(P), .s = room(P)};
    memcpy(states[i].w, states[0].w, (size_t)P * size);
    made_plans[i] = nnpoly_plan_new(&training);
    if (made_plans[i] == NULL) fail("plan", 0, 1);
  }
  struct nnpoly_epoch epoch = {.X = X,
                               .labels = labels,
                               .N = n,
                               .order = order,
                               .n = n,
                               .rows = n,
                               .batch = batch,
                               .together = 1,
                               .rates = rates,
                               .losses = room(steps)};
  while (epoch.done < steps) ok("steps", nnpoly_train(made_plans, states, &epoch, 1, 0));
  void *loss = room(1);
  for (int64_t t = 0; t < steps; t++) {
    const int64_t start = t * batch, rows = n - start < batch ? n - start : batch;
    ok("step", nnpoly_plan_step(made_plans[1], &states[1], X + (size_t)start * row, labels + start,
                                NULL, NULL, rows, &rates[t], loss));
    if (get(loss, 0) != get(epoch.losses, t)) fail("loss", get(epoch.losses, t), get(loss, 0));
    if (!isfinite(get(loss, 0))) fail("loss", get(loss, 0), 0);
  }
  if (memcmp(states[0].w, states[1].w, (size_t)P * size) != 0) fail("w", 0, 1);
  for (int i = 0; i < 2; i++) nnpoly_plan_free(made_plans[i]);
  ok("predict", nnpoly_predict(dtype, layers, DEPTH, states[0].w, NULL, X, room(n * K), n, 1,
                               NNPOLY_ACTIVATIONS));
}

static void all_plans(void) {
  for (int phased = 0; phased <= 1; phased++) {
    plans(31, 5, 33, phased);
    guarded_free_all();
    plans(300, 300, 130, phased); /* for two threads by rows */
    guarded_free_all();
    plans(200, 150, 600, phased); /* and by products */
    guarded_free_all();
  }
}

static void test_configuration(void) {
  static const int64_t shapes[][2] = {{0, 3}, {1, 1}, {3, 17}, {17, 3}, {33, 257}, {700, 61}};
  static const int activations[] = {NNPOLY_IDENTITY, NNPOLY_TANH, NNPOLY_SELU, NNPOLY_MISH};
  static const struct nnpoly_waves waves[] = {
      {1, 1, 1, 2}, {5, 3, 16, 4}, {4, 4, 17, 2}, {3, 1, 33, 9}};
  static const int64_t rows[] = {0, 1, 7, 16, 33};
  static const int64_t tables[][4] = {
      {0, 1, 2, 3}, {1, 0, 1, 1}, {40, 3, 5, 8}, {300, 20, 9, 17}, {9, 300, 1, 4}};
  all_plans();
  if (dtype == NNPOLY_BFLOAT16) return; /* all else is float32's */
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    scales(shapes[i][0], shapes[i][1]);
    for (size_t j = 0; j < sizeof activations / sizeof activations[0]; j++) {
      blends(shapes[i][0], shapes[i][1], activations[j]);
      guarded_free_all();
    }
  }
  for (size_t i = 0; i < sizeof waves / sizeof waves[0]; i++) {
    for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
      for (int phased = 0; phased <= 1; phased++) {
        periodics(rows[j], waves[i], phased);
        guarded_free_all();
      }
    }
  }
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
    pieces(tables[i][0], tables[i][1], tables[i][2], tables[i][3]);
    guarded_free_all();
    embeddings(tables[i][0], tables[i][1], tables[i][2], tables[i][3]);
    guarded_free_all();
  }
}

int main(void) {
  in_every_configuration(test_configuration);
  return 0;
}
