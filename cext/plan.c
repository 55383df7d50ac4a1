/* Plans: a training step of a chain of dense layers, and many steps, as one call. See nnpoly.h. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core.h"

/* One layer's results, (rows, outputs) each. pre is post where nothing reads it apart. */
struct results {
  char *pre, *post;
};

struct nnpoly_plan {
  struct nnpoly_training training; /* .layers: the plan's own copy */
  int64_t size;                    /* of an element, in bytes */
  int64_t parameters, widest;
  int64_t rows; /* for how many there is room */
  struct results *results;
  char *deltas[2];  /* (rows, widest) each: a layer's, and that of the layer below */
  char *x, *target; /* a gathered batch: (rows, inputs), and labels or (rows, outputs) */
  int64_t bytes;
};

static int reads_pre(int activation) {
  return activation >= NNPOLY_LEAKY_RELU && activation <= NNPOLY_GELU_TANH;
}

static int reads_nothing(int activation) { return activation <= NNPOLY_LINEAR; }

static int sound(const struct nnpoly_training *t) {
  if (t->dtype != NNPOLY_FLOAT32 && t->dtype != NNPOLY_FLOAT64) return 0;
  if (t->rule < 0 || t->rule >= NNPOLY_RULES) return 0;
  if (t->loss < NNPOLY_CROSS_ENTROPY || t->loss > NNPOLY_SQUARED_ERROR) return 0;
  if (!nnpoly_sound_layers(t->layers, t->depth)) return 0;
  return t->layers[t->depth - 1].activation == NNPOLY_IDENTITY;
}

static void *take(nnpoly_plan *plan, int64_t elements) {
  void *memory = NULL;
  int64_t bytes;
  if (__builtin_mul_overflow(elements, plan->size, &bytes) || bytes > INT64_MAX / 4) return NULL;
  if (posix_memalign(&memory, 64, bytes > 0 ? (size_t)bytes : 64) != 0) return NULL;
  plan->bytes += bytes;
  return memory;
}

static void free_batch(nnpoly_plan *plan) {
  for (int l = 0; l < plan->training.depth; l++) {
    if (plan->results[l].pre != plan->results[l].post) free(plan->results[l].pre);
    free(plan->results[l].post);
    plan->results[l] = (struct results){NULL, NULL};
  }
  for (int i = 0; i < 2; i++) free(plan->deltas[i]), plan->deltas[i] = NULL;
  free(plan->x), plan->x = NULL;
  free(plan->target), plan->target = NULL;
  plan->bytes = 0;
  plan->rows = 0;
}

/* Room for batches of so many rows. */
static int reserve_batch(nnpoly_plan *plan, int64_t rows) {
  const struct nnpoly_training *t = &plan->training;
  if (rows <= plan->rows) return NNPOLY_OK;
  free_batch(plan);
  int complete = 1;
  for (int l = 0; l < t->depth; l++) {
    struct results *r = &plan->results[l];
    r->post = take(plan, rows * t->layers[l].outputs);
    r->pre = reads_pre(t->layers[l].activation) ? take(plan, rows * t->layers[l].outputs) : r->post;
    complete &= r->post != NULL && r->pre != NULL;
  }
  for (int i = 0; i < 2; i++) {
    plan->deltas[i] = take(plan, rows * plan->widest);
    complete &= plan->deltas[i] != NULL;
  }
  if (!complete) {
    free_batch(plan);
    return NNPOLY_NO_MEMORY;
  }
  plan->rows = rows;
  return NNPOLY_OK;
}

/* Room for gathered batches of `rows` rows, which reserve_batch has been asked for. */
static int reserve_gathered(nnpoly_plan *plan) {
  const struct nnpoly_training *t = &plan->training;
  if (plan->x != NULL) return NNPOLY_OK;
  plan->x = take(plan, plan->rows * t->layers[0].inputs);
  plan->target = take(plan, plan->rows * t->layers[t->depth - 1].outputs + 2 * plan->rows);
  return plan->x != NULL && plan->target != NULL ? NNPOLY_OK : NNPOLY_NO_MEMORY;
}

nnpoly_plan *nnpoly_plan_new(const struct nnpoly_training *training) {
  if (training == NULL || !sound(training)) return NULL;
  nnpoly_plan *plan = calloc(1, sizeof *plan);
  if (plan == NULL) return NULL;
  const size_t depth = (size_t)training->depth;
  struct nnpoly_layer *layers = malloc(depth * sizeof *layers);
  plan->results = calloc(depth, sizeof *plan->results);
  plan->training = *training;
  plan->training.layers = layers;
  plan->size = training->dtype == NNPOLY_FLOAT64 ? 8 : 4;
  for (size_t l = 0; layers != NULL && l < depth; l++) {
    layers[l] = training->layers[l];
    plan->parameters += (layers[l].inputs + 1) * layers[l].outputs;
    if (layers[l].outputs > plan->widest) plan->widest = layers[l].outputs;
  }
  if (layers == NULL || plan->results == NULL) {
    free(plan->results);
    free(layers);
    free(plan);
    return NULL;
  }
  return plan;
}

void nnpoly_plan_free(nnpoly_plan *plan) {
  if (plan == NULL) return;
  free_batch(plan);
  free(plan->results);
  free((void *)plan->training.layers);
  free(plan);
}

int64_t nnpoly_plan_bytes(const nnpoly_plan *plan) { return plan->bytes; }

/* Every layer's results for a batch. */
static int forward(nnpoly_plan *plan, const char *w, const char *x, int64_t n) {
  const struct nnpoly_training *t = &plan->training;
  for (int l = 0; l < t->depth; l++) {
    const struct nnpoly_layer *layer = &t->layers[l];
    const struct results *r = &plan->results[l];
    const char *b = w + layer->inputs * layer->outputs * plan->size;
    const int status = nnpoly_dense(t->dtype, x, w, b, r->pre == r->post ? NULL : r->pre, r->post,
                                    n, layer->inputs, layer->outputs, layer->activation, layer->a);
    if (status != NNPOLY_OK) return status;
    w = b + layer->outputs * plan->size;
    x = r->post;
  }
  return NNPOLY_OK;
}

static int differentiate_loss(nnpoly_plan *plan, const int64_t *labels, const void *y, int64_t n,
                              void *delta, void *loss) {
  const struct nnpoly_training *t = &plan->training;
  const void *scores = plan->results[t->depth - 1].post;
  const int64_t K = t->layers[t->depth - 1].outputs;
  switch (t->loss) {
    case NNPOLY_LOGISTIC: return nnpoly_logistic(t->dtype, scores, y, delta, loss, n, K);
    case NNPOLY_SQUARED_ERROR: return nnpoly_squared_error(t->dtype, scores, y, delta, loss, n, K);
    default: return nnpoly_cross_entropy(t->dtype, scores, labels, y, delta, loss, n, K);
  }
}

/* The gradient of all layers, from the last one's delta in deltas[0]. */
static int backward(nnpoly_plan *plan, const char *w, char *g, const char *x, int64_t n) {
  const struct nnpoly_training *t = &plan->training;
  int64_t end = plan->parameters;
  for (int l = t->depth - 1, above = 0; l >= 0; l--, above = 1 - above) {
    const struct nnpoly_layer *layer = &t->layers[l];
    const int64_t start = end - (layer->inputs + 1) * layer->outputs;
    char *dW = g + start * plan->size;
    char *db = dW + layer->inputs * layer->outputs * plan->size;
    const void *below = l > 0 ? plan->results[l - 1].post : x;
    int status = nnpoly_dense_gradients(t->dtype, plan->deltas[above], below, dW, db, n,
                                        layer->outputs, layer->inputs);
    if (status == NNPOLY_OK && l > 0) {
      const struct nnpoly_layer *lower = &t->layers[l - 1];
      const struct results *r = &plan->results[l - 1];
      const void *read = reads_nothing(lower->activation) ? NULL : r->pre;
      status = nnpoly_dense_delta(t->dtype, plan->deltas[above], w + start * plan->size, read,
                                  plan->deltas[1 - above], n, layer->outputs, layer->inputs,
                                  lower->activation, lower->a);
    }
    if (status != NNPOLY_OK) return status;
    end = start;
  }
  return NNPOLY_OK;
}

static int descend(nnpoly_plan *plan, const struct nnpoly_state *state,
                   const struct nnpoly_rates *rates) {
  const struct nnpoly_training *t = &plan->training;
  const int64_t P = plan->parameters;
  int status = NNPOLY_OK;
  if (t->clip_norm > 0) status = nnpoly_clip_norm(t->dtype, state->g, state->g, P, t->clip_norm);
  if (status == NNPOLY_OK && t->weight_decay > 0 && !t->decoupled)
    status = nnpoly_add_scaled(t->dtype, state->g, state->w, P, t->weight_decay);
  if (status == NNPOLY_OK && t->weight_decay > 0 && t->decoupled)
    status = nnpoly_activate(t->dtype, state->w, state->w, P, NNPOLY_LINEAR,
                             1.0 - rates->learning_rate * t->weight_decay);
  if (status != NNPOLY_OK) return status;
  return nnpoly_update(t->dtype, t->rule, state->w, state->g, state->m, state->s, state->peak, P,
                       rates->learning_rate, t->beta1, t->beta2, rates->weight_m, rates->weight_g,
                       rates->unbias_s, t->eps, t->eps_inside);
}

int nnpoly_plan_step(nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                     const int64_t *labels, const void *y, int64_t n,
                     const struct nnpoly_rates *rates, void *loss) {
  if (plan == NULL || state == NULL || rates == NULL) return NNPOLY_NULL;
  if (n < 1) return NNPOLY_SHAPE;
  int status = reserve_batch(plan, n);
  if (status == NNPOLY_OK) status = forward(plan, state->w, x, n);
  if (status == NNPOLY_OK) status = differentiate_loss(plan, labels, y, n, plan->deltas[0], loss);
  if (status == NNPOLY_OK) status = backward(plan, state->w, state->g, x, n);
  return status == NNPOLY_OK ? descend(plan, state, rates) : status;
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A step on the rows indices[0..n-1]. */
static int gathered_step(nnpoly_plan *plan, const struct nnpoly_state *state, const void *X,
                         const int64_t *labels, const void *Y, int64_t N, const int64_t *indices,
                         int64_t n, const struct nnpoly_rates *rates, void *loss) {
  const struct nnpoly_training *t = &plan->training;
  const int64_t row = t->layers[0].inputs * plan->size;
  const int64_t target_row =
      labels != NULL ? (int64_t)sizeof *labels : t->layers[t->depth - 1].outputs * plan->size;
  int status = nnpoly_gather(X, indices, plan->x, N, n, row);
  if (status == NNPOLY_OK)
    status = nnpoly_gather(labels != NULL ? (const void *)labels : Y, indices, plan->target, N, n,
                           target_row);
  if (status != NNPOLY_OK) return status;
  return nnpoly_plan_step(plan, state, plan->x, labels != NULL ? (int64_t *)plan->target : NULL,
                          labels != NULL ? NULL : plan->target, n, rates, loss);
}

int nnpoly_plan_steps(nnpoly_plan *plan, const struct nnpoly_state *state, const void *X,
                      const int64_t *labels, const void *Y, int64_t N, const int64_t *order,
                      int64_t n, int64_t batch, const struct nnpoly_rates *rates, void *losses,
                      int64_t limit_ns, int64_t *done) {
  if (plan == NULL || state == NULL || rates == NULL || order == NULL) return NNPOLY_NULL;
  if (n < 1 || batch < 1) return NNPOLY_SHAPE;
  const int64_t steps = (n - 1) / batch + 1, until = now_ns() + limit_ns;
  int status = reserve_batch(plan, batch < n ? batch : n);
  if (status == NNPOLY_OK) status = reserve_gathered(plan);
  while (status == NNPOLY_OK && done[0] < steps) {
    const int64_t start = done[0] * batch, rest = n - start;
    status = gathered_step(plan, state, X, labels, Y, N, order + start, rest < batch ? rest : batch,
                           &rates[done[0]], (char *)losses + done[0] * plan->size);
    done[0] += status == NNPOLY_OK;
    if (now_ns() >= until) break;
  }
  return status;
}
