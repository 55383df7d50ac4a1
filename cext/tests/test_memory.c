/* Every function of the core on arrays between guard pages, with inputs that must not be written,
 * in every configuration; test_tabular.c has those of layers for tables. Results are compared with
 * loops in double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "typed.h"

/* An element as a factor of a product. */
static double factor(const void *array, int64_t i) {
  const double x = get(array, i);
  int exponent;
  if (dtype != NNPOLY_BFLOAT16) return x;
  const double fraction = frexp(x, &exponent); /* 8 bits of it */
  return fabs(x) < 0x1p-126 ? 0 : ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

static double sigma(int activation, double z) {
  switch (activation) {
    case NNPOLY_RELU: return z > 0 ? z : 0;
    case NNPOLY_GELU: return z * erfc(-z / sqrt(2)) / 2;
    case NNPOLY_TANH: return tanh(z);
    default: return z;
  }
}

static double slope_of_tanh(double post) { return 1 - post * post; }

static void products(int64_t n, int64_t m_in, int64_t m) {
  const void *x = input(n * m_in), *W = input(m * m_in), *b = input(m), *delta = input(n * m);
  const void *read = input(n * m_in);
  void *pre = room(n * m), *post = room(n * m), *out = room(n * m_in);
  void *dW = room(m * m_in), *db = room(m);
  ok("dense", nnpoly_dense(dtype, x, W, b, pre, post, n, m_in, m, NNPOLY_GELU, 0));
  for (int64_t i = 0; i < n * m; i++) {
    double sum = get(b, i % m);
    for (int64_t k = 0; k < m_in; k++)
      sum += factor(x, i / m * m_in + k) * factor(W, i % m * m_in + k);
    near("pre", get(pre, i), sum, (double)m_in, 1);
    near("post", get(post, i), sigma(NNPOLY_GELU, sum), (double)m_in, 1);
  }
  ok("dense", nnpoly_dense(dtype, x, W, b, NULL, post, n, m_in, m, NNPOLY_IDENTITY, 0));
  for (int64_t i = 0; i < n * m; i++) near("post", get(post, i), get(pre, i), 0, 0);
  ok("delta", nnpoly_dense_delta(dtype, delta, W, read, out, n, m, m_in, NNPOLY_TANH, 0));
  for (int64_t i = 0; i < n * m_in; i++) {
    double sum = 0;
    for (int64_t k = 0; k < m; k++)
      sum += factor(delta, i / m_in * m + k) * factor(W, k * m_in + i % m_in);
    near("delta", get(out, i), sum * slope_of_tanh(get(read, i)), (double)m, 1);
  }
  if (m_in == 0) return;
  ok("gradients", nnpoly_dense_gradients(dtype, delta, x, dW, db, n, m, m_in));
  for (int64_t i = 0; i < m * m_in; i++) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
      sum += factor(delta, k * m + i / m_in) * factor(x, k * m_in + i % m_in);
    near("dW", get(dW, i), sum, (double)n, 1);
  }
  for (int64_t j = 0; j < m; j++) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += get(delta, k * m + j);
    near("db", get(db, j), sum, (double)n, 1);
  }
}

static void elements(int64_t count) {
  const void *z = input(count), *d = input(count);
  void *out = room(count), *again = filled(count, -0.5);
  for (int activation = 0; activation < NNPOLY_ACTIVATIONS; activation++) {
    ok("activate", nnpoly_activate(dtype, z, out, count, activation, 0.5));
    ok("in place", nnpoly_activate(dtype, again, again, count, activation, 0.5));
    ok("slope", nnpoly_activation_delta(dtype, d, z, out, count, activation, 0.5));
  }
  ok("relu", nnpoly_activate(dtype, z, out, count, NNPOLY_RELU, 0));
  for (int64_t i = 0; i < count; i++)
    near("relu", get(out, i), sigma(NNPOLY_RELU, get(z, i)), 0, 0);
  ok("clip", nnpoly_clip_norm(dtype, z, out, count, 0.125));
  double squares = 0;
  for (int64_t i = 0; i < count; i++) squares += get(z, i) * get(z, i);
  const double factor = squares > 0.125 * 0.125 ? 0.125 / sqrt(squares) : 1;
  for (int64_t i = 0; i < count; i++) near("clip", get(out, i), factor * get(z, i), 16, 0);
}

static void updates(int64_t count) {
  const void *g = input(count);
  void *w = filled(count, 0), *m = filled(count, 0), *s = filled(count, 0.5);
  void *peak = filled(count, 0.5), *before = room(count);
  for (int64_t i = 0; i < count; i++) set(before, i, get(w, i));
  ok("decay", nnpoly_add_scaled(dtype, w, g, count, 0.5));
  for (int64_t i = 0; i < count; i++)
    near("decay", get(w, i), get(before, i) + 0.5 * get(g, i), 1, 0);
  for (int rule = 0; rule < NNPOLY_RULES; rule++) {
    for (int64_t i = 0; i < count; i++) set(before, i, get(w, i));
    ok("update", nnpoly_update(dtype, rule, w, g, m, s, peak, count, 0.25, 0.5, 0.75, 1.5, 0.5,
                               1.25, 0.125, rule % 2));
    for (int64_t i = 0; rule == NNPOLY_SGD && i < count; i++)
      near("sgd", get(w, i), get(before, i) - 0.25 * get(g, i), 1, 1);
  }
}

/* In [0, 1), one of them 0. */
static const void *row_weights(int64_t n) {
  void *weights = filled(n, 0);
  set(weights, n / 2, 0);
  guarded_read_only(weights);
  return weights;
}

static double weight_of(const void *weights, int64_t row) {
  return weights != NULL ? get(weights, row) : 1;
}

/* -(1-p)^gamma log p, and its derivative by log p. */
static double focal_term(double p, double gamma, double *slope) {
  *slope = pow(1 - p, gamma) * (gamma * p * log(p) / (1 - p) - 1);
  return -pow(1 - p, gamma) * log(p);
}

static double focal_sigmoid(double z, double y, double gamma, double *slope) {
  const double f = 1 / (1 + exp(-z));
  double up, down;
  const double of_1 = focal_term(f, gamma, &up), of_0 = focal_term(1 - f, gamma, &down);
  *slope = y * up * (1 - f) - (1 - y) * down * f;
  return y * of_1 + (1 - y) * of_0;
}

/* The loss of one element, and its derivative by z. */
static double element(int kind, double z, double y, double a, double *slope) {
  const double r = z - y, log_y = y > 0 ? log(y) : 0;
  switch (kind) {
    case NNPOLY_LOGISTIC: *slope = 1 / (1 + exp(-z)) - y; return log1p(exp(z)) - z * y;
    case NNPOLY_SQUARED_ERROR: *slope = r; return r * r / 2;
    case NNPOLY_ABSOLUTE: *slope = (r > 0) - (r < 0); return fabs(r);
    case NNPOLY_HUBER: *slope = fmax(-a, fmin(a, r)); return *slope * (r - *slope / 2);
    case NNPOLY_QUANTILE: *slope = r > 0 ? 1 - a : r < 0 ? -a : 0; return *slope * r;
    case NNPOLY_FOCAL_SIGMOID: return focal_sigmoid(z, y, a, slope);
    default: *slope = exp(z) - y; return *slope - y * (z - log_y);
  }
}

/* Labels outside of 0..K-1 stand for a row of zeros. */
static void focal_losses(int64_t n, int64_t K, const void *scores, const int64_t *labels,
                         const void *weights) {
  const double gamma = 2;
  void *delta = room(n * K), *loss = room(1);
  double want = 0;
  ok("focal", nnpoly_focal(dtype, gamma, scores, labels, NULL, weights, delta, loss, n, K));
  for (int64_t i = 0; i < n; i++) {
    const int64_t label = labels[i];
    const double weight = weight_of(weights, i) / (double)n;
    double total = 0, pull = 0;
    for (int64_t k = 0; k < K; k++) total += exp(get(scores, i * K + k));
    if (K > 1 && label >= 0 && label < K) /* with one class all is certain, and 0 */
      want += weight * focal_term(exp(get(scores, i * K + label)) / total, gamma, &pull);
    for (int64_t k = 0; k < K; k++) {
      const double f = exp(get(scores, i * K + k)) / total;
      near("focal delta", get(delta, i * K + k), weight * pull * ((label == k) - f), (double)K,
           8 * weight);
    }
  }
  near("focal", get(loss, 0), want, (double)(n * K), 8);
}

static void losses(int64_t n, int64_t K, int weighted) {
  const void *scores = input(n * K), *y = input(n * K);
  const void *weights = weighted ? row_weights(n) : NULL;
  int64_t *labels = guarded((size_t)n * sizeof(int64_t), side);
  for (int64_t i = 0; i < n; i++) labels[i] = i % (K + 1) - (i % 5 == 4);
  guarded_read_only(labels);
  void *f = room(n * K), *delta = room(n * K), *loss = room(1);
  ok("softmax", nnpoly_softmax(dtype, scores, f, n, K));
  ok("labels", nnpoly_cross_entropy(dtype, scores, labels, NULL, weights, delta, loss, n, K));
  double want = 0;
  for (int64_t i = 0; i < n; i++) {
    const double weight = weight_of(weights, i);
    double total = 0;
    for (int64_t k = 0; k < K; k++) total += exp(get(scores, i * K + k));
    for (int64_t k = 0; k < K; k++) {
      const double p = exp(get(scores, i * K + k)) / total;
      near("f", get(f, i * K + k), p, (double)K, 0);
      near("delta", get(delta, i * K + k), weight * (p - (labels[i] == k)) / (double)n, (double)K,
           1 / (double)n);
      if (labels[i] == k) want -= weight * log(p) / (double)n;
    }
  }
  near("loss", get(loss, 0), want, (double)(n * K), 0);
  focal_losses(n, K, scores, labels, weights);
  ok("rows", nnpoly_cross_entropy(dtype, scores, NULL, y, weights, delta, loss, n, K));
  for (int kind = NNPOLY_LOGISTIC; kind < NNPOLY_LOSSES; kind++) {
    if (kind == NNPOLY_FOCAL) continue; /* of whole rows */
    const double a = 0.25;
    ok("element loss", nnpoly_element_loss(dtype, kind, a, scores, y, weights, delta, loss, n, K));
    want = 0;
    for (int64_t i = 0; i < n * K; i++) {
      const double weight = weight_of(weights, i / K) / (double)n;
      double slope;
      want += weight * element(kind, get(scores, i), get(y, i), a, &slope);
      near("delta", get(delta, i), weight * slope, 1, weight);
    }
    near("element loss", get(loss, 0), want, (double)(n * K), 1);
  }
}

static void data(int64_t N, int64_t n, int64_t row) {
  char *x = guarded((size_t)(N * row), side), *out = guarded((size_t)(n * row), side);
  int64_t *indices = guarded((size_t)n * sizeof(int64_t), side);
  for (int64_t i = 0; i < N * row; i++) x[i] = (char)(i % 127);
  for (int64_t i = 0; i < n; i++) indices[i] = (i * 7 + 3) % N;
  guarded_read_only(x);
  guarded_read_only(indices);
  ok("gather", nnpoly_gather(x, indices, out, N, n, row));
  for (int64_t i = 0; i < n; i++)
    if (row > 0 && memcmp(out + i * row, x + indices[i] * row, (size_t)row) != 0)
      fail("gather", (double)i, 0);
  ok("dropout", nnpoly_dropout_scale(dtype, room(n * row), n, row, 0.5, -5, 7));
}

/* One group of x: a column or a row of (n, m). */
struct group {
  const void *x;
  int64_t start, step, count;
};

static struct group group_of(const void *x, int64_t m, int64_t n, int axis, int64_t i) {
  return axis == 0 ? (struct group){x, i, m, n} : (struct group){x, i * m, 1, m};
}

static double member(struct group group, int64_t k) {
  return get(group.x, group.start + k * group.step);
}

/* The kernels of normalisation, and their results beside loops in double. */
static void norms(int64_t n, int64_t m, int axis) {
  const double eps = 0.125;
  const int64_t groups = axis == 0 ? m : n;
  const void *x = input(n * m), *delta = input(n * m), *gain = input(m), *shift = input(m);
  void *mean = room(groups), *variance = room(groups), *scale = room(groups);
  void *out = room(n * m), *dgain = room(m), *dshift = room(m);
  ok("moments", nnpoly_moments(dtype, x, mean, variance, scale, n, m, axis, eps));
  ok("moments", nnpoly_moments(dtype, x, mean, NULL, scale, n, m, axis, eps));
  for (int64_t i = 0; i < groups; i++) {
    const struct group group = group_of(x, m, n, axis, i);
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < group.count; k++) sum += member(group, k) / (double)group.count;
    for (int64_t k = 0; k < group.count; k++)
      squares += (member(group, k) - sum) * (member(group, k) - sum) / (double)group.count;
    near("mean", get(mean, i), sum, (double)group.count, 1);
    near("variance", get(variance, i), squares, (double)group.count, 1);
    near("scale", get(scale, i), 1 / sqrt(squares + eps), (double)group.count, 8);
  }
  ok("normalise", nnpoly_normalise(dtype, x, mean, scale, gain, shift, out, n, m, axis));
  ok("gradients", nnpoly_norm_gradients(dtype, delta, x, mean, scale, dgain, dshift, n, m, axis));
  for (int64_t j = 0; j < m; j++) {
    double along = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
      const int64_t at = i * m + j, of = axis == 0 ? j : i;
      const double normal = (get(x, at) - get(mean, of)) * get(scale, of);
      along += get(delta, at) * normal;
      sum += get(delta, at);
      near("normalise", get(out, at), get(gain, j) * normal + get(shift, j), 1, 4);
    }
    near("dgain", get(dgain, j), along, (double)n, 4);
    near("dshift", get(dshift, j), sum, (double)n, 1);
  }
  if (axis == 0)
    ok("delta",
       nnpoly_column_norm_delta(dtype, delta, x, mean, scale, gain, dgain, dshift, out, n, m));
  else
    ok("delta", nnpoly_row_norm_delta(dtype, delta, x, mean, scale, gain, out, n, m));
  for (int64_t i = 0; i < groups; i++) { /* what is normalised does not notice its own mean */
    const struct group group = group_of(out, m, n, axis, i);
    double sum = 0;
    for (int64_t k = 0; k < group.count; k++) sum += member(group, k);
    near("sum of delta", sum, 0, (double)group.count, 16);
  }
}

/* Steps one by one, and all at once by two members that find the rows in the opposite order: the
 * same bits. With dropout, norms and a short cut, or without; on `together` batches each. */
static void plans(int64_t n, int64_t batch, int64_t inputs, int64_t width, int weighted,
                  int64_t together) {
  enum { K = 7, MEMBERS = 2, STEPS = 40 };
  const struct nnpoly_layer first = {
      .inputs = inputs, .outputs = width, .activation = NNPOLY_GELU, .factor = 1};
  const struct nnpoly_layer last = {
      .inputs = width, .outputs = K, .activation = NNPOLY_IDENTITY, .path = 5, .factor = 0.75};
  struct nnpoly_layer within = {.inputs = width,
                                .outputs = width,
                                .activation = NNPOLY_TANH,
                                .dropout = 0.25,
                                .path = 7,
                                .from = 1,
                                .eps = 0.125,
                                .momentum = 0.25,
                                .factor = 0.5};
  struct nnpoly_layer layers[8] = {first, last};
  int depth = 2;
  if (weighted) {
    layers[0] = within;
    layers[0].inputs = layers[0].outputs = inputs;
    layers[0].kind = NNPOLY_COPY;
    layers[1] = first;
    for (depth = 2; depth < 7; depth++) {
      static const int kinds[] = {NNPOLY_COLUMN_NORM, NNPOLY_DENSE, NNPOLY_ROW_NORM, NNPOLY_ADD,
                                  NNPOLY_COPY};
      within.kind = kinds[depth - 2];
      layers[depth] = within;
    }
    layers[depth] = last;
    layers[depth++].scheduled = NNPOLY_SCHEDULED;
  }
  const int64_t P =
      inputs * width + width + width * K + K + (weighted ? (width + 1) * width + 4 * width : 0);
  const struct nnpoly_segment segments[] = {{1, 0, 0}, {P - K, 6, 0.5}, {P, 0.1, 0}};
  const struct nnpoly_training training = {.dtype = dtype,
                                           .depth = depth,
                                           .layers = layers,
                                           .loss = NNPOLY_CROSS_ENTROPY,
                                           .label_smoothing = weighted ? 0.25 : 0,
                                           .rule = NNPOLY_ADAM,
                                           .beta1 = 0.9,
                                           .beta2 = 0.999,
                                           .eps = 1e-8,
                                           .clip_norm = batch % 2 ? 0.5 : 0,
                                           .ema = 0.75,
                                           .segments = weighted ? segments : NULL,
                                           .segment_count = weighted ? 3 : 0};
  const int64_t steps = (n - 1) / batch + 1;
  const size_t size = dtype != NNPOLY_FLOAT64 ? 4 : 8, row = (size_t)inputs * size;
  const char *X = input(n * inputs);
  char *backwards = room(n * inputs);
  const void *weights = weighted ? row_weights(n) : NULL;
  void *weights_backwards = weighted ? room(n) : NULL;
  int64_t *labels = guarded((size_t)n * sizeof *labels, side);
  int64_t *labels_backwards = guarded((size_t)n * sizeof *labels, side);
  int64_t *order = guarded((size_t)n * sizeof *order, side);
  for (int64_t i = 0; i < n; i++) {
    labels[i] = labels_backwards[n - 1 - i] = i % K;
    order[i] = n - 1 - i;
    memcpy(backwards + (size_t)(n - 1 - i) * row, X + (size_t)i * row, row);
    if (weighted) set(weights_backwards, n - 1 - i, get(weights, i));
  }
  guarded_read_only(labels);
  guarded_read_only(labels_backwards);
  guarded_read_only(order);
  guarded_read_only(backwards);
  if (weighted) guarded_read_only(weights_backwards);
  struct nnpoly_rates rates[STEPS];
  for (int t = 0; t < STEPS; t++)
    rates[t] = (struct nnpoly_rates){
        0.01, 1, 0, 1, 0.01, 7 - t, .dropout[NNPOLY_SCHEDULED - 1] = 0.125 * (t % 3)};
  struct nnpoly_state states[MEMBERS + 1];
  struct nnpoly_epoch epochs[MEMBERS];
  nnpoly_plan *made[MEMBERS + 1];
  void *running[MEMBERS + 1][2];
  for (int i = 0; i <= MEMBERS; i++) {
    running[i][0] = room(width);
    running[i][1] = room(width);
    states[i] = (struct nnpoly_state){.w = filled(P, 0),
                                      .g = room(P),
                                      .m = room(P),
                                      .s = room(P),
                                      .average = weighted ? room(P) : NULL,
                                      .total = together > 1 ? room(P) : NULL,
                                      .buffers = running[i]};
    memcpy(states[i].w, states[0].w, (size_t)P * size);
    made[i] = nnpoly_plan_new(&training);
    if (i < MEMBERS)
      epochs[i] = (struct nnpoly_epoch){
          backwards, labels_backwards, NULL,  weights_backwards, n, order, n, n,
          batch,     together,         rates, room(steps),       0};
  }
  while (epochs[0].done + epochs[1].done < 2 * steps)
    ok("steps", nnpoly_train(made, states, epochs, MEMBERS, 0));
  void *loss = room(1);
  for (int64_t t = 0; t < steps; t++) {
    const int64_t start = t * batch, rows = n - start < batch ? n - start : batch;
    const char *its_weights = weighted ? (const char *)weights + (size_t)start * size : NULL;
    const struct nnpoly_state *state = &states[MEMBERS];
    const char *x = X + (size_t)start * row;
    if (together == 1) {
      ok("step", nnpoly_plan_step(made[MEMBERS], state, x, labels + start, NULL, its_weights, rows,
                                  &rates[t], loss));
    } else {
      ok("add", nnpoly_plan_add(made[MEMBERS], state, x, labels + start, NULL, its_weights, rows,
                                &rates[t], loss, t % together == 0));
      const int64_t all = t % together * batch + rows;
      if ((t + 1) % together == 0 || t + 1 == steps)
        ok("update", nnpoly_plan_update(made[MEMBERS], state, all, &rates[t]));
    }
    for (int i = 0; i < MEMBERS; i++)
      if (get(loss, 0) != get(epochs[i].losses, t))
        fail("loss", get(epochs[i].losses, t), get(loss, 0));
  }
  for (int i = 0; i <= MEMBERS; i++) {
    if (memcmp(states[i].w, states[MEMBERS].w, (size_t)P * size) != 0) fail("w", i, MEMBERS);
    if (weighted && memcmp(states[i].average, states[MEMBERS].average, (size_t)P * size) != 0)
      fail("average", i, MEMBERS);
    for (int j = 0; j < 2; j++)
      if (memcmp(running[i][j], running[MEMBERS][j], (size_t)width * size) != 0)
        fail("running", i, MEMBERS);
    nnpoly_plan_free(made[i]);
  }
  const void *const *buffers = (const void *const *)running[0];
  ok("predict", nnpoly_predict(dtype, layers, depth, states[0].w, buffers, X, room(n * K), n, 1,
                               NNPOLY_ACTIVATIONS));
}

/* A rate of dropout that is none; and plans whose segments do not end where the parameters do, or
 * of a rate that no step has: there are none. */
static void scheduled_refusals(struct nnpoly_training training, int64_t n) {
  const struct nnpoly_segment wrong[][2] = {{{3, 1, 1}, {8, 1, 1}}, {{9, 1, 1}, {9, 1, 1}}};
  struct nnpoly_layer layer = training.layers[0];
  training.layers = &layer;
  training.loss = NNPOLY_SQUARED_ERROR;
  training.segment_count = 2;
  for (int i = 0; i < 2; i++) {
    training.segments = wrong[i];
    if (nnpoly_plan_new(&training) != NULL) fail("segments", 1, 0);
  }
  training.segment_count = 0;
  layer.scheduled = NNPOLY_SCHEDULED + 1;
  if (nnpoly_plan_new(&training) != NULL) fail("scheduled", 1, 0);
  layer.scheduled = 2;
  nnpoly_plan *plan = nnpoly_plan_new(&training);
  const struct nnpoly_rates rates = {0.5, 1, 0, 1, .dropout[1] = 1};
  const struct nnpoly_state state = {.w = (void *)input(9), .g = room(9)};
  const int status =
      nnpoly_plan_step(plan, &state, input(n * 2), NULL, input(n * 3), NULL, n, &rates, room(1));
  if (status != NNPOLY_RANGE) fail("rate of dropout", status, NNPOLY_RANGE);
  nnpoly_plan_free(plan);
}

/* A step on rows of targets that no loss, or no loss of probabilities, can have: nothing is
 * changed.
 */
static void refusals(int64_t n) {
  enum { K = 3, P = 2 * K + K };
  static const double bad[] = {NAN, INFINITY, -INFINITY, -1, 5};
  const struct nnpoly_layer layer = {
      .inputs = 2, .outputs = K, .activation = NNPOLY_IDENTITY, .factor = 1};
  struct nnpoly_training training = {
      .dtype = dtype, .depth = 1, .layers = &layer, .rule = NNPOLY_SGD};
  const struct nnpoly_rates rates = {.learning_rate = 0.5, .weight_m = 1, .unbias_s = 1};
  const void *x = input(n * 2), *w = input(P);
  const struct nnpoly_state state = {.w = (void *)w, .g = room(P)};
  void *y = room(n * K), *loss = room(1);
  for (int kind = NNPOLY_CROSS_ENTROPY; kind < NNPOLY_LOSSES; kind++) {
    /* -1 is no count either, and 5 is one. */
    const int of_probabilities = kind <= NNPOLY_LOGISTIC || kind >= NNPOLY_FOCAL;
    const int wrong = of_probabilities ? 5 : kind == NNPOLY_POISSON ? 4 : 3;
    training.loss = kind;
    nnpoly_plan *plan = nnpoly_plan_new(&training);
    for (int i = 0; i < wrong; i++) {
      for (int64_t j = 0; j < n * K; j++) set(y, j, 1.0 / K);
      set(y, n * K - 1, bad[i]);
      const int status = nnpoly_plan_step(plan, &state, x, NULL, y, NULL, n, &rates, loss);
      if (status != NNPOLY_RANGE) fail("targets", status, NNPOLY_RANGE);
    }
    nnpoly_plan_free(plan);
  }
  scheduled_refusals(training, n);
}

static void all_products(void) {
  static const int64_t shapes[][3] = {{1, 1, 1},    {0, 3, 2},   {3, 0, 2},    {3, 2, 0},
                                      {2, 13, 17},  {7, 15, 33}, {13, 16, 31}, {14, 17, 32},
                                      {15, 31, 65}, {29, 33, 7}, {6, 193, 8},  {5, 385, 9},
                                      {3, 400, 5},  {385, 5, 3}, {3, 5, 401},  {130, 131, 129}};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    products(shapes[i][0], shapes[i][1], shapes[i][2]);
    guarded_free_all();
  }
}

static void all_plans(void) {
  for (int64_t batch = 1; batch <= 16; batch += 5) {
    plans(31, batch, 5, 33, batch > 1, 1);
    guarded_free_all();
  }
  plans(31, 6, 5, 33, 1, 4); /* the last of two steps has fewer batches */
  guarded_free_all();
  plans(31, 5, 5, 33, 0, 2);
  guarded_free_all();
  plans(200, 150, 130, 200, 1, 2); /* large enough for the second way of a step */
  guarded_free_all();
  plans(300, 300, 130, 130, 0, 1); /* and for two threads by rows */
  guarded_free_all();
}

static void test_configuration(void) {
  static const int64_t counts[] = {0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 4095, 4097, 33000};
  static const int64_t scores[][2] = {{1, 1},   {3, 2},  {15, 7},   {16, 8},  {17, 9},
                                      {65, 16}, {4, 17}, {3, 1000}, {700, 61}};
  static const int64_t tables[][3] = {{5, 0, 3}, {5, 9, 0}, {3, 8, 1}, {40, 900, 700}};
  all_products();
  all_plans();
  if (dtype == NNPOLY_BFLOAT16) return; /* all else is float32's */
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    elements(counts[i]);
    updates(counts[i]);
    guarded_free_all();
  }
  for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
    for (int weighted = 0; weighted <= 1; weighted++) {
      losses(scores[i][0], scores[i][1], weighted);
      guarded_free_all();
    }
  }
  for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
    for (int axis = 0; axis <= 1; axis++) {
      norms(scores[i][0], scores[i][1], axis);
      norms(scores[i][1], scores[i][0], axis);
      guarded_free_all();
    }
  }
  refusals(1);
  refusals(17);
  guarded_free_all();
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
    data(tables[i][0], tables[i][1], tables[i][2]);
    guarded_free_all();
  }
}

int main(void) {
  in_every_configuration(test_configuration);
  return 0;
}
