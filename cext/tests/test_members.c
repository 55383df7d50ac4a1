/* Layers of members on arrays between guard pages, with inputs that must not be written, in every
 * configuration. Results are compared with loops in double, and with those of one member alone. */
#include <math.h>
#include <string.h>

#include "typed.h"

static void columns(int64_t n, int64_t m) {
  const void *x = input(n * m);
  void *sums = room(m);
  ok("sums", nnpoly_column_sums(dtype, x, sums, n, m));
  for (int64_t j = 0; j < m; j++) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += get(x, i * m + j);
    near("sums", get(sums, j), sum, (double)n, 1);
  }
}

static void means(int64_t n, int64_t k, int64_t K) {
  const void *f = input(n * k * K);
  void *mean = room(n * K);
  ok("mean", nnpoly_members_mean(dtype, f, mean, n, k, K));
  for (int64_t i = 0; i < n * K; i++) {
    double sum = 0;
    for (int64_t j = 0; j < k; j++) sum += get(f, (i / K * k + j) * K + i % K);
    near("mean", get(mean, i), sum / (double)k, (double)k, 1);
  }
}

static void scales(int64_t n, int64_t k, int64_t m) {
  const void *x = input(n * m), *r = input(k * m), *delta = input(n * k * m);
  void *dx = room(n * m), *dr = room(k * m);
  ok("delta", nnpoly_members_scale_delta(dtype, delta, r, dx, n, k, m));
  ok("gradient", nnpoly_members_scale_gradient(dtype, delta, x, dr, n, k, m));
  for (int64_t i = 0; i < n * m; i++) {
    double sum = 0;
    for (int64_t j = 0; j < k; j++)
      sum += get(delta, (i / m * k + j) * m + i % m) * get(r, j * m + i % m);
    near("dx", get(dx, i), sum, (double)k, 1);
  }
  for (int64_t j = 0; j < k * m; j++) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += get(delta, i * k * m + j) * get(x, i * m + j % m);
    near("dr", get(dr, j), sum, (double)n, 1);
  }
}

/* Columns j m..j m+m-1 of an array with k m, or the reverse: into them. */
static void take(const void *all, void *one, int64_t n, int64_t k, int64_t m, int64_t j) {
  for (int64_t i = 0; i < n * m; i++) set(one, i, get(all, (i / m * k + j) * m + i % m));
}

static void same(const char *what, const void *all, int64_t at, const void *one, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (get(all, at + i) != get(one, i)) fail(what, get(all, at + i), get(one, i));
}

/* Each member has the bits of a dense layer by itself. */
static void denses(int64_t n, struct nnpoly_members sizes) {
  const int64_t k = sizes.members, m_in = sizes.m_in, m = sizes.m,
                size = dtype == NNPOLY_FLOAT64 ? 8 : 4;
  const void *x = input(n * k * m_in), *read = input(n * k * m_in), *delta = input(n * k * m);
  const char *W = input(k * m * m_in), *b = input(k * m);
  void *pre = room(n * k * m), *post = room(n * k * m), *out = room(n * k * m_in);
  void *dW = room(k * m * m_in), *db = room(k * m);
  ok("dense", nnpoly_members_dense(dtype, x, W, b, pre, post, n, &sizes, NNPOLY_GELU, 0));
  ok("delta", nnpoly_members_dense_delta(dtype, delta, W, read, out, n, &sizes, NNPOLY_TANH, 0));
  ok("gradients", nnpoly_members_dense_gradients(dtype, delta, x, dW, db, n, &sizes));
  void *one_x = room(n * m_in), *one_read = room(n * m_in), *one_delta = room(n * m);
  void *one_pre = room(n * m), *one_post = room(n * m), *one_out = room(n * m_in),
       *got = room(n * (m + m_in));
  void *one_dW = room(m * m_in), *one_db = room(m);
  for (int64_t j = 0; j < k; j++) {
    const void *its_W = W + j * m * m_in * size, *its_b = b + j * m * size;
    take(x, one_x, n, k, m_in, j);
    take(read, one_read, n, k, m_in, j);
    take(delta, one_delta, n, k, m, j);
    ok("one",
       nnpoly_dense(dtype, one_x, its_W, its_b, one_pre, one_post, n, m_in, m, NNPOLY_GELU, 0));
    ok("one",
       nnpoly_dense_delta(dtype, one_delta, its_W, one_read, one_out, n, m, m_in, NNPOLY_TANH, 0));
    ok("one", nnpoly_dense_gradients(dtype, one_delta, one_x, one_dW, one_db, n, m, m_in));
    take(pre, got, n, k, m, j);
    same("pre", got, 0, one_pre, n * m);
    take(post, got, n, k, m, j);
    same("post", got, 0, one_post, n * m);
    take(out, got, n, k, m_in, j);
    same("out", got, 0, one_out, n * m_in);
    same("dW", dW, j * m * m_in, one_dW, m * m_in);
    same("db", db, j * m, one_db, m);
  }
}

/* A dense layer without biases, whose gradient has none. */
static void unbiased(int64_t n, int64_t m_in, int64_t m) {
  const void *x = input(n * m_in), *W = input(m * m_in), *delta = input(n * m);
  void *zeros = room(m), *post = room(n * m), *want = room(n * m), *dW = room(m * m_in);
  void *want_dW = room(m * m_in), *db = room(m);
  for (int64_t j = 0; j < m; j++) set(zeros, j, 0);
  ok("dense", nnpoly_dense(dtype, x, W, NULL, NULL, post, n, m_in, m, NNPOLY_RELU, 0));
  ok("dense", nnpoly_dense(dtype, x, W, zeros, NULL, want, n, m_in, m, NNPOLY_RELU, 0));
  same("unbiased", post, 0, want, n * m);
  ok("gradients", nnpoly_dense_gradients(dtype, delta, x, dW, NULL, n, m, m_in));
  ok("gradients", nnpoly_dense_gradients(dtype, delta, x, want_dW, db, n, m, m_in));
  same("dW", dW, 0, want_dW, m * m_in);
}

enum { INPUTS = 5, K = 3, STEPS = 20, DEPTH = 9 };

/* TabM's layers, or TabM-mini's: of inputs, k members and a width. */
struct chain {
  struct nnpoly_layer layers[DEPTH];
  int depth;
  int64_t parameters;
};

static void append(struct chain *chain, struct nnpoly_layer layer, int64_t parameters) {
  if (layer.activation == 0) layer.activation = NNPOLY_IDENTITY;
  chain->layers[chain->depth++] = layer;
  chain->parameters += parameters;
}

static struct chain tabm(int64_t k, int64_t width, int mini) {
  struct chain chain = {.depth = 0};
  append(&chain, (struct nnpoly_layer){.kind = NNPOLY_COPY, .inputs = INPUTS, .outputs = INPUTS},
         0);
  append(&chain,
         (struct nnpoly_layer){
             .kind = NNPOLY_MEMBER_SCALE, .inputs = INPUTS, .outputs = k * INPUTS, .members = k},
         k * INPUTS);
  for (int l = 0; l < 2; l++) {
    const int64_t m_in = l == 0 ? INPUTS : width, inputs = k * m_in, outputs = k * width;
    if (l > 0 && !mini)
      append(&chain,
             (struct nnpoly_layer){.kind = NNPOLY_SCALE, .inputs = inputs, .outputs = inputs},
             inputs);
    const struct nnpoly_layer dense = {.inputs = inputs,
                                       .outputs = outputs,
                                       .members = k,
                                       .factor = 1,
                                       .unbiased = !mini,
                                       .activation = mini ? NNPOLY_SELU : NNPOLY_IDENTITY,
                                       .dropout = mini ? 0.25 : 0,
                                       .path = l};
    append(&chain, dense, width * (m_in + mini));
    const struct nnpoly_layer scale = {.kind = NNPOLY_SCALE,
                                       .inputs = outputs,
                                       .outputs = outputs,
                                       .shifted = 1,
                                       .activation = NNPOLY_RELU,
                                       .dropout = 0.25,
                                       .path = l};
    if (!mini) append(&chain, scale, 2 * outputs);
  }
  append(&chain,
         (struct nnpoly_layer){.kind = NNPOLY_MEMBER_DENSE,
                               .inputs = k * width,
                               .outputs = k * K,
                               .members = k,
                               .factor = 0.5},
         k * K * (width + 1));
  return chain;
}

/* Steps one by one, and all at once, have the same bits. */
static void plans(int64_t n, int64_t batch, int64_t k, int64_t width, int mini) {
  const struct chain chain = tabm(k, width, mini);
  const int64_t P = chain.parameters, steps = (n - 1) / batch + 1;
  const struct nnpoly_training training = {
      .dtype = dtype,
      .depth = chain.depth,
      .members = k,
      .layers = chain.layers,
      .loss = mini ? NNPOLY_SQUARED_ERROR : NNPOLY_CROSS_ENTROPY,
      .rule = NNPOLY_ADAM,
      .beta1 = 0.9,
      .beta2 = 0.95,
      .eps = 1e-8,
      .clip_norm = batch % 2 ? 0.5 : 0};
  const size_t size = dtype != NNPOLY_FLOAT64 ? 4 : 8;
  const char *X = input(n * INPUTS), *Y = mini ? input(n * K) : NULL;
  char *weights = filled(n, 0);
  int64_t *labels = guarded((size_t)n * sizeof *labels, side);
  int64_t *order = guarded((size_t)n * sizeof *order, side);
  for (int64_t i = 0; i < n; i++) {
    labels[i] = i % K;
    order[i] = i;
  }
  guarded_read_only(weights);
  guarded_read_only(labels);
  guarded_read_only(order);
  struct nnpoly_rates rates[STEPS];
  for (int t = 0; t < STEPS; t++)
    rates[t] =
        (struct nnpoly_rates){.learning_rate = 0.01, .weight_m = 1, .unbias_s = 1, .key = 7 - t};
  struct nnpoly_state states[2];
  nnpoly_plan *made[2];
  for (int i = 0; i < 2; i++) {
    states[i] =
        (struct nnpoly_state){.w = filled(P, -0.5), .g = room(P), .m = room(P), .s = room(P)};
    memcpy(states[i].w, states[0].w, (size_t)P * size);
    made[i] = nnpoly_plan_new(&training);
    if (made[i] == NULL) fail("plan", 0, 1);
  }
  struct nnpoly_epoch epoch = {.X = X,
                               .labels = mini ? NULL : labels,
                               .Y = Y,
                               .weights = weights,
                               .N = n,
                               .order = order,
                               .n = n,
                               .rows = n,
                               .batch = batch,
                               .together = 1,
                               .rates = rates,
                               .losses = room(steps)};
  while (epoch.done < steps) ok("steps", nnpoly_train(made, states, &epoch, 1, 0));
  void *loss = room(1);
  for (int64_t t = 0; t < steps; t++) {
    const int64_t start = t * batch, rows = n - start < batch ? n - start : batch;
    const char *y = mini ? Y + (size_t)(start * K) * size : NULL;
    ok("step", nnpoly_plan_step(made[1], &states[1], X + (size_t)(start * INPUTS) * size,
                                mini ? NULL : labels + start, y, weights + (size_t)start * size,
                                rows, &rates[t], loss));
    if (get(loss, 0) != get(epoch.losses, t)) fail("loss", get(epoch.losses, t), get(loss, 0));
    if (!isfinite(get(loss, 0))) fail("loss", get(loss, 0), 0);
  }
  if (memcmp(states[0].w, states[1].w, (size_t)P * size) != 0) fail("w", 0, 1);
  for (int i = 0; i < 2; i++) nnpoly_plan_free(made[i]);
  const int output = mini ? NNPOLY_IDENTITY : NNPOLY_ACTIVATIONS;
  void *f = room(n * K), *scores = room(n * k * K), *want = room(n * K);
  ok("predict",
     nnpoly_predict(dtype, chain.layers, chain.depth, states[0].w, NULL, X, f, n, k, output));
  ok("scores", nnpoly_predict(dtype, chain.layers, chain.depth, states[0].w, NULL, X, scores, n, 1,
                              NNPOLY_IDENTITY));
  if (!mini) {
    void *each = room(n * k * K);
    ok("softmax", nnpoly_softmax(dtype, scores, each, n * k, K));
    scores = each;
  }
  ok("mean", nnpoly_members_mean(dtype, scores, want, n, k, K));
  same("f", f, 0, want, n * K);
}

static void all_plans(void) {
  for (int mini = 0; mini <= 1; mini++) {
    plans(31, 5, 3, 17, mini);
    guarded_free_all();
    plans(300, 300, 2, 65, mini); /* for two threads by rows */
    guarded_free_all();
    plans(100, 70, 3, 150, mini); /* and by products */
    guarded_free_all();
  }
}

static void test_configuration(void) {
  static const int64_t shapes[][3] = {{0, 2, 3},  {1, 1, 1},    {3, 4, 17},   {17, 33, 3},
                                      {9, 3, 33}, {5, 2, 2049}, {700, 5, 61}, {70, 32, 16}};
  static const struct nnpoly_members sizes[] = {{1, 5, 3},   {3, 1, 1},  {4, 17, 1},
                                                {2, 33, 16}, {5, 7, 35}, {2, 400, 3}};
  static const int64_t rows[] = {0, 1, 7, 16, 33, 130};
  all_plans();
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
      denses(rows[j], sizes[i]);
      unbiased(rows[j], sizes[i].m_in, sizes[i].m);
      guarded_free_all();
    }
  }
  if (dtype == NNPOLY_BFLOAT16) return; /* all else is float32's */
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    columns(shapes[i][0], shapes[i][1] * shapes[i][2]);
    means(shapes[i][0], shapes[i][1], shapes[i][2]);
    scales(shapes[i][0], shapes[i][1], shapes[i][2]);
    guarded_free_all();
  }
}

int main(void) {
  in_every_configuration(test_configuration);
  return 0;
}
