/* Plans: a training step of a chain of dense layers as one call. See nnpoly.h; train.c takes many.
 *
 * A step has two ways, with the same bits. By rows, for small layers: each thread takes some rows
 * of the batch through all layers, to the loss and back to the deltas; then, all deltas being
 * there, some of each layer's gradient, with the optimiser's step on it. By products, for large
 * ones, whose weights are worth packing once: all threads share each product in turn. Either way a
 * layer's W changes only after the delta below has been computed from it. */
#define _GNU_SOURCE
#include "plan.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* By rows every thread packs all weights: where a layer is little work, or weights are few beside
 * the rows, that costs less than to exchange results between the threads at each product. */
#define LITTLE_WORK ((int64_t)1 << 22) /* multiply-adds of a layer */
#define MEDIUM_WORK ((int64_t)1 << 26)
#define MANY_ROWS 256

static int goes_by_rows(int64_t rows, int64_t largest) {
  if (rows > MEDIUM_WORK || rows * largest > MEDIUM_WORK) return 0;
  return rows * largest <= LITTLE_WORK || rows >= MANY_ROWS;
}

static int sound(const struct nnpoly_training *t) {
  if (t->dtype != NNPOLY_FLOAT32 && t->dtype != NNPOLY_FLOAT64) return 0;
  if (t->rule < 0 || t->rule >= NNPOLY_RULES) return 0;
  if (t->loss < 0 || t->loss >= NNPOLY_LOSSES) return 0;
  if (!nnpoly_sound_layers(t->layers, t->depth)) return 0;
  if (!is_rate(t->dropout) || t->layers[t->depth - 1].dropout != 0) return 0;
  for (int l = 0; l < t->depth; l++)
    if (!is_rate(t->layers[l].dropout)) return 0;
  if (!(t->label_smoothing >= 0 && t->label_smoothing < 1)) return 0;
  if (t->label_smoothing > 0 && !wants_probabilities(t->loss)) return 0;
  return t->layers[t->depth - 1].activation == NNPOLY_IDENTITY;
}

/* Memory */

static void *take(nnpoly_plan *plan, int64_t rows, int64_t columns, int64_t size) {
  void *memory = NULL;
  int64_t bytes;
  if (__builtin_mul_overflow(rows, columns * size, &bytes) || bytes > INT64_MAX / 4) return NULL;
  if (posix_memalign(&memory, 64, bytes > 0 ? (size_t)bytes : 64) != 0) return NULL;
  plan->bytes += bytes;
  return memory;
}

static void free_batch(nnpoly_plan *plan) {
  for (int l = 0; l < plan->training.depth; l++) {
    struct results *r = &plan->results[l];
    if (r->read != r->post) free(r->read);
    free(r->post);
    if (plan->by_rows || l >= plan->training.depth - 2) free(r->delta);
    r->read = r->post = r->delta = NULL;
  }
  free(plan->x), plan->x = NULL;
  free(plan->y), plan->y = NULL;
  free(plan->labels), plan->labels = NULL;
  free(plan->weights), plan->weights = NULL;
  plan->bytes = 0;
  plan->rows = 0;
}

static int reads_apart(const struct nnpoly_layer *layer) {
  return reads_pre(layer->activation) || (layer->dropout > 0 && !reads_nothing(layer->activation));
}

int nnpoly_reserve(nnpoly_plan *plan, int64_t rows) {
  const struct nnpoly_training *t = &plan->training;
  if (rows <= plan->rows) return NNPOLY_OK;
  free_batch(plan);
  plan->by_rows = goes_by_rows(rows, plan->largest);
  int complete = 1;
  for (int l = t->depth - 1; l >= 0; l--) {
    struct results *r = &plan->results[l];
    const int64_t outputs = outputs_of(plan, l);
    const int shares = !plan->by_rows && l < t->depth - 2;
    r->post = take(plan, rows, outputs, plan->size);
    r->read = reads_apart(&t->layers[l]) ? take(plan, rows, outputs, plan->size) : r->post;
    r->delta = shares ? plan->results[l + 2].delta
                      : take(plan, rows, plan->by_rows ? outputs : plan->widest, plan->size);
    complete &= r->post != NULL && r->read != NULL && r->delta != NULL;
  }
  if (t->dropout > 0) {
    plan->x = take(plan, rows, t->layers[0].inputs, plan->size);
    complete &= plan->x != NULL;
  }
  plan->y = take(plan, rows, outputs_of(plan, t->depth - 1), plan->size);
  plan->labels = take(plan, rows, 1, sizeof *plan->labels);
  plan->weights = take(plan, rows, 1, plan->size);
  complete &= plan->y != NULL && plan->labels != NULL && plan->weights != NULL;
  if (!complete) {
    free_batch(plan);
    return NNPOLY_NO_MEMORY;
  }
  plan->rows = rows;
  return NNPOLY_OK;
}

static int copy_layers(nnpoly_plan *plan, const struct nnpoly_training *training) {
  const size_t depth = (size_t)training->depth;
  struct nnpoly_layer *layers = malloc(depth * sizeof *layers);
  plan->training.layers = layers;
  plan->results = calloc(depth, sizeof *plan->results);
  if (layers == NULL || plan->results == NULL) return 0;
  for (size_t l = 0; l < depth; l++) {
    layers[l] = training->layers[l];
    const int64_t weights = layers[l].inputs * layers[l].outputs;
    plan->results[l].W_at = plan->parameters;
    plan->results[l].b_at = plan->parameters + weights;
    plan->parameters += weights + layers[l].outputs;
    if (layers[l].outputs > plan->widest) plan->widest = layers[l].outputs;
    if (weights > plan->largest) plan->largest = weights;
  }
  return 1;
}

nnpoly_plan *nnpoly_plan_new(const struct nnpoly_training *training) {
  if (training == NULL || !sound(training)) return NULL;
  nnpoly_plan *plan = calloc(1, sizeof *plan);
  if (plan == NULL) return NULL;
  plan->training = *training;
  plan->size = size_of(training->dtype);
  if (!copy_layers(plan, training)) {
    free(plan->results);
    free((void *)plan->training.layers);
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

/* A step */

static struct update update_of(const nnpoly_plan *plan, const struct nnpoly_state *state,
                               const struct nnpoly_rates *rates) {
  const struct nnpoly_training *t = &plan->training;
  return (struct update){
      .rule = t->rule,
      .w = state->w,
      .m = state->m,
      .s = state->s,
      .peak = state->peak,
      .g = state->g,
      .learning_rate = rates->learning_rate,
      .beta1 = t->beta1,
      .beta2 = t->beta2,
      .weight_m = rates->weight_m,
      .weight_g = rates->weight_g,
      .unbias_s = rates->unbias_s,
      .eps = t->eps,
      .eps_inside = t->eps_inside,
      .penalty = t->decoupled ? 0.0 : t->weight_decay,
      .keep = t->decoupled ? 1.0 - rates->learning_rate * t->weight_decay : 1.0,
      .average = state->average,
      .ema = t->ema,
  };
}

static struct loss loss_of(const nnpoly_plan *plan, const struct batch *batch) {
  const struct nnpoly_training *t = &plan->training;
  const int last = t->depth - 1;
  const double smoothed = t->label_smoothing, K = (double)outputs_of(plan, last);
  struct loss loss = {.kind = t->loss,
                      .a = t->loss_a,
                      .scores = plan->results[last].post,
                      .y = batch->y,
                      .labels = batch->labels,
                      .weights = batch->weights,
                      .kept = 1.0 - smoothed,
                      .added = t->loss == NNPOLY_LOGISTIC ? 0.5 * smoothed : smoothed / K,
                      .delta = plan->results[last].delta,
                      .n = batch->n,
                      .K = outputs_of(plan, last)};
  nnpoly_cut_loss(&loss);
  return loss;
}

static const char *parameters_at(const struct step *s, int64_t at) {
  return (const char *)s->update.w + at * s->plan->size;
}

static struct dropout dropout_of(const struct step *s, const struct nnpoly_layer *layer) {
  return (struct dropout){layer->dropout, s->key, (uint32_t)layer->path};
}

/* pre and post of layer l. */
static struct product forward(const struct step *s, int l) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[l];
  const struct results *r = &s->plan->results[l];
  return (struct product){.form = FORWARD,
                          .A = l > 0 ? s->plan->results[l - 1].post : s->x,
                          .rows = l > 0 ? NULL : s->rows,
                          .B = parameters_at(s, r->W_at),
                          .C = r->read,
                          .M = s->n,
                          .N = layer->outputs,
                          .K = layer->inputs,
                          .dropout = dropout_of(s, layer),
                          .bias = parameters_at(s, r->b_at),
                          .post = r->post,
                          .activation = layer->activation,
                          .a = layer->a};
}

/* The delta of layer l, from that of the layer above. */
static struct product delta(const struct step *s, int l) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[l];
  const struct results *r = &s->plan->results[l], *above = r + 1;
  return (struct product){.form = DELTA,
                          .A = above->delta,
                          .B = parameters_at(s, above->W_at),
                          .C = r->delta,
                          .M = s->n,
                          .N = layer->outputs,
                          .K = outputs_of(s->plan, l + 1),
                          .dropout = dropout_of(s, layer),
                          .read = reads_nothing(layer->activation) ? NULL : r->read,
                          .activation = layer->activation,
                          .a = layer->a};
}

/* dW and db of layer l, and the optimiser's step on W and b. With clipping that waits for all. */
static struct product gradient(const struct step *s, int l) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[l];
  const struct results *r = &s->plan->results[l];
  char *g = s->update.g;
  return (struct product){.form = GRADIENT,
                          .A = r->delta,
                          .B = l > 0 ? s->plan->results[l - 1].post : s->x,
                          .rows = l > 0 ? NULL : s->rows,
                          .C = g + r->W_at * s->plan->size,
                          .M = layer->outputs,
                          .N = layer->inputs,
                          .K = s->n,
                          .sums = g + r->b_at * s->plan->size,
                          .update = s->plan->training.clip_norm > 0 ? NULL : &s->update,
                          .C_at = r->W_at,
                          .sums_at = r->b_at};
}

size_t nnpoly_step_scratch(const nnpoly_plan *plan) {
  return nnpoly_scratch(nnpoly_kernels(plan->training.dtype),
                        outputs_of(plan, plan->training.depth - 1));
}

static int clip_and_update(const struct step *s) {
  const struct nnpoly_training *t = &s->plan->training;
  const int64_t P = s->plan->parameters;
  if (!(t->clip_norm > 0)) return NNPOLY_OK;
  const int status = nnpoly_clip_norm(t->dtype, s->update.g, s->update.g, P, t->clip_norm);
  return status == NNPOLY_OK ? nnpoly_run_update(s->kernels, &s->update, P) : status;
}

/* By rows */

static void there_and_back(struct step *s, int64_t row0, int64_t row1, void *scratch) {
  const int depth = s->plan->training.depth;
  if (s->input.out != NULL) s->kernels->dropout(&s->input, row0, row1);
  for (int l = 0; l < depth; l++) {
    const struct product p = forward(s, l);
    s->kernels->product(&p, (struct rect){row0, row1, 0, p.N}, scratch);
  }
  nnpoly_loss_rows(s->kernels, &s->loss, row0, row1, scratch);
  for (int l = depth - 2; l >= 0; l--) {
    const struct product p = delta(s, l);
    s->kernels->product(&p, (struct rect){row0, row1, 0, p.N}, scratch);
  }
}

static void rows_part(const void *argument, int index, int parts, void *scratch) {
  struct step *s = (struct step *)argument; /* each part writes its own of the partial losses */
  const struct range r = nnpoly_cut(s->n, index, parts, s->loss.chunk_rows);
  if (r.start < r.stop) there_and_back(s, r.start, r.stop, scratch);
}

static void gradients_part(const void *argument, int index, int parts, void *scratch) {
  const struct step *s = argument;
  for (int l = s->plan->training.depth - 1; l >= 0; l--) {
    const struct product p = gradient(s, l);
    nnpoly_product_part(s->kernels, &p, index, parts, scratch);
  }
}

void nnpoly_take_step_alone(struct step *s, void *scratch) {
  rows_part(s, 0, 1, scratch);
  gradients_part(s, 0, 1, scratch);
  clip_and_update(s); /* needs no scratch, so it cannot fail */
}

static void alone_part(const void *argument, int index, int parts, void *scratch) {
  (void)index, (void)parts;
  nnpoly_take_step_alone((struct step *)argument, scratch);
}

int nnpoly_step_parts(const nnpoly_plan *plan, int64_t n) {
  return nnpoly_parts(3 * n * plan->parameters, PART_PRODUCT);
}

static int step_in_parts(struct step *s, int parts) {
  if (parts == 1) return nnpoly_run(alone_part, s, 1, nnpoly_step_scratch(s->plan));
  int status = nnpoly_run(rows_part, s, parts, nnpoly_step_scratch(s->plan));
  if (status == NNPOLY_OK)
    status = nnpoly_run(gradients_part, s, parts, nnpoly_step_scratch(s->plan));
  return status == NNPOLY_OK ? clip_and_update(s) : status;
}

/* A few of every PERIOD steps are timed. */
enum { PERIOD = 256, TRIALS = 4 };

static int step_by_rows(struct step *s) {
  const int parts = nnpoly_step_parts(s->plan, s->n);
  if (parts == 1 || s->n * s->plan->largest > LITTLE_WORK) return step_in_parts(s, parts);
  struct choice *choice = &s->plan->choice;
  const unsigned turn = choice->steps++ % PERIOD;
  if (turn >= 2 * TRIALS) return step_in_parts(s, choice->ns[1] < choice->ns[0] ? parts : 1);
  const int shared = turn >= TRIALS;
  const int64_t start = nnpoly_now_ns();
  const int status = step_in_parts(s, shared ? parts : 1);
  const int64_t ns = nnpoly_now_ns() - start;
  choice->ns[shared] = turn % TRIALS == 0 ? ns : least(ns, choice->ns[shared]);
  return status;
}

/* By products */

static int step_by_products(struct step *s) {
  const int depth = s->plan->training.depth;
  int status = NNPOLY_OK;
  if (s->input.out != NULL) status = nnpoly_run_dropout(s->kernels, &s->input, s->n);
  for (int l = 0; status == NNPOLY_OK && l < depth; l++) {
    const struct product p = forward(s, l);
    status = nnpoly_run_product(s->kernels, &p);
  }
  if (status == NNPOLY_OK) status = nnpoly_run_loss(s->kernels, &s->loss);
  for (int l = depth - 1; status == NNPOLY_OK && l >= 0; l--) {
    if (l > 0) {
      const struct product below = delta(s, l - 1);
      status = nnpoly_run_product(s->kernels, &below);
    }
    const struct product p = gradient(s, l);
    if (status == NNPOLY_OK) status = nnpoly_run_product(s->kernels, &p);
  }
  return status == NNPOLY_OK ? clip_and_update(s) : status;
}

/* Either way */

struct step nnpoly_step(nnpoly_plan *plan, const struct nnpoly_state *state,
                        const struct batch *batch, const struct nnpoly_rates *rates) {
  const struct nnpoly_training *t = &plan->training;
  struct step s = {.plan = plan,
                   .kernels = nnpoly_kernels(t->dtype),
                   .x = batch->x,
                   .rows = batch->rows,
                   .n = batch->n,
                   .key = (uint32_t)(int32_t)rates->key,
                   .loss = loss_of(plan, batch),
                   .update = update_of(plan, state, rates)};
  if (t->dropout > 0) {
    s.input = (struct dropped){.x = batch->x,
                               .rows = batch->rows,
                               .out = plan->x,
                               .m = t->layers[0].inputs,
                               .dropout = {t->dropout, s.key, (uint32_t)t->path}};
    s.x = plan->x;
    s.rows = NULL;
  }
  return s;
}

int nnpoly_take_step(struct step *s) {
  return s->plan->by_rows ? step_by_rows(s) : step_by_products(s);
}

void nnpoly_step_loss(const struct step *s, void *loss) {
  nnpoly_mean_loss(s->plan->training.dtype, &s->loss, loss);
}

/* A step on a batch that nobody has looked at */

static int labels_within(const int64_t *labels, int64_t n, int64_t K) {
  int within = 1;
  for (int64_t i = 0; i < n; i++) within &= labels[i] >= 0 && labels[i] < K;
  return within;
}

static inline double element(int dtype, const void *array, int64_t i) {
  return dtype == NNPOLY_FLOAT64 ? ((const double *)array)[i] : (double)((const float *)array)[i];
}

/* Whether a loss can have the targets y: (n, K). A comparison with NaN is false. `dtype` is a
 * constant in each copy that this is inlined into. */
static inline __attribute__((always_inline)) int rows_within(int dtype, int loss, const void *y,
                                                             int64_t n, int64_t K) {
  const double highest = wants_probabilities(loss) ? 1 : DBL_MAX;
  const double lowest = wants_probabilities(loss) || loss == NNPOLY_POISSON ? 0 : -DBL_MAX;
  int within = 1;
  for (int64_t i = 0; i < n * K; i++) {
    const double value = element(dtype, y, i);
    within &= (value >= lowest) & (value <= highest);
  }
  for (int64_t i = 0; loss == NNPOLY_CROSS_ENTROPY && i < n; i++) {
    double sum = 0;
    for (int64_t k = 0; k < K; k++) sum += element(dtype, y, i * K + k);
    within &= fabs(sum - 1) < 1e-2;
  }
  return within;
}

static int targets_within(const nnpoly_plan *plan, const void *y, int64_t n) {
  const struct nnpoly_training *t = &plan->training;
  const int64_t K = outputs_of(plan, t->depth - 1);
  if (t->dtype == NNPOLY_FLOAT64) return rows_within(NNPOLY_FLOAT64, t->loss, y, n, K);
  return rows_within(NNPOLY_FLOAT32, t->loss, y, n, K);
}

int nnpoly_check_training(const nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                          const int64_t *labels, const void *y, const void *weights, int64_t n,
                          const void *losses, int64_t steps) {
  const struct nnpoly_training *t = &plan->training;
  const int64_t P = plan->parameters, K = outputs_of(plan, t->depth - 1);
  if ((labels == NULL) == (y == NULL)) return NNPOLY_NULL;
  if (labels != NULL && t->loss != NNPOLY_CROSS_ENTROPY) return NNPOLY_NULL;
  if ((uintptr_t)labels % sizeof *labels != 0) return NNPOLY_MISALIGNED;
  CHECK(t->dtype, {OUTPUT, state->w, P, 1}, {OUTPUT, state->g, P, 1},
        {OUTPUT, state->m, uses_m(t->rule) ? P : 0, 1},
        {OUTPUT, state->s, uses_s(t->rule) ? P : 0, 1},
        {OUTPUT, state->peak, t->rule == NNPOLY_AMSGRAD ? P : 0, 1},
        {OUTPUT | OPTIONAL, state->average, P, 1}, {INPUT, x, n, t->layers[0].inputs},
        {INPUT | OPTIONAL, y, n, K}, {INPUT | OPTIONAL, weights, n, 1}, {OUTPUT, losses, steps, 1});
  return labels == NULL || labels_within(labels, n, K) ? NNPOLY_OK : NNPOLY_RANGE;
}

int nnpoly_plan_step(nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                     const int64_t *labels, const void *y, const void *weights, int64_t n,
                     const struct nnpoly_rates *rates, void *loss) {
  if (plan == NULL || state == NULL || rates == NULL) return NNPOLY_NULL;
  if (n < 1) return NNPOLY_SHAPE;
  int status = nnpoly_check_training(plan, state, x, labels, y, weights, n, loss, 1);
  if (status == NNPOLY_OK && y != NULL && !targets_within(plan, y, n)) status = NNPOLY_RANGE;
  if (status == NNPOLY_OK) status = nnpoly_reserve(plan, n);
  if (status != NNPOLY_OK) return status;
  const struct batch batch = {.x = x, .labels = labels, .y = y, .weights = weights, .n = n};
  struct step s = nnpoly_step(plan, state, &batch, rates);
  status = nnpoly_take_step(&s);
  if (status == NNPOLY_OK) nnpoly_step_loss(&s, loss);
  return status;
}
