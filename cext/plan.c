/* Plans: their layers, their memory, and the checks of what a step is given. See nnpoly.h; step.c
 * takes a step, train.c many. */
#define _GNU_SOURCE
#include "plan.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* By rows every thread packs all weights: where a layer is little work, or weights are few beside
 * the rows that each has, that costs less than to exchange results between the threads at each
 * product. */
#define MEDIUM_WORK ((int64_t)1 << 26)
#define MANY_ROWS 256
#define MANY_ROWS_A_THREAD 16

/* largest: multiply-adds a row of the layer that has most. */
static int goes_by_rows(int64_t rows, int64_t largest) {
  if (rows > MEDIUM_WORK || rows * largest > MEDIUM_WORK) return 0;
  return rows * largest <= LITTLE_WORK ||
         (rows >= MANY_ROWS && rows >= MANY_ROWS_A_THREAD * nnpoly_num_threads());
}

/* Whether segments end one after the other, the last one at the end of P parameters. */
static int sound_segments(const struct nnpoly_training *t, int64_t P) {
  if (t->segment_count == 0) return 1;
  if (t->segment_count < 0 || t->segments == NULL) return 0;
  int64_t start = 0;
  for (int i = 0; i < t->segment_count; start = t->segments[i++].stop)
    if (t->segments[i].stop <= start) return 0;
  return start == P;
}

static int sound(const struct nnpoly_training *t) {
  if (!is_dtype(t->dtype)) return 0;
  if (t->rule < 0 || t->rule >= NNPOLY_RULES) return 0;
  if (t->loss < 0 || t->loss >= NNPOLY_LOSSES) return 0;
  if (!nnpoly_sound_layers(t->layers, t->depth)) return 0;
  const int64_t P = nnpoly_totals(t->layers, t->depth).parameters;
  if (P == 0 || !sound_segments(t, P)) return 0;
  if (!(t->label_smoothing >= 0 && t->label_smoothing < 1)) return 0;
  if (t->label_smoothing > 0 && !wants_probabilities(t->loss)) return 0;
  const struct nnpoly_layer *last = &t->layers[t->depth - 1];
  if (t->members < 0 || last->outputs % at_least_one(t->members) != 0) return 0;
  return last->activation == NNPOLY_IDENTITY;
}

/* Memory */

enum { ARRAYS_A_LAYER = 7, ARRAYS_OF_TARGETS = 3, ACTS_A_LAYER = 5 };

/* An array for batches, which the plan owns; NULL without memory. */
static void *take(nnpoly_plan *plan, int64_t rows, int64_t columns, int64_t size) {
  void *memory = NULL;
  int64_t bytes;
  if (__builtin_mul_overflow(rows, columns * size, &bytes) || bytes > INT64_MAX / 4) return NULL;
  if (posix_memalign(&memory, 64, bytes > 0 ? (size_t)bytes : 64) != 0) return NULL;
  plan->bytes += bytes;
  plan->taken[plan->taken_count++] = memory;
  return memory;
}

static void free_batch(nnpoly_plan *plan) {
  while (plan->taken_count > 0) free(plan->taken[--plan->taken_count]);
  plan->bytes = 0;
  plan->rows = 0;
}

static int reads_apart(const struct nnpoly_layer *layer) {
  return reads_pre(layer->activation) || (drops(layer) && !reads_nothing(layer->activation));
}

/* Of layer l, before those below it; 0 without memory. shared: the deltas of every second layer. */
static int take_results(nnpoly_plan *plan, int l, int64_t rows, char *shared[2]) {
  const struct nnpoly_layer *layer = &plan->training.layers[l];
  const int64_t outputs = layer->outputs, size = plan->size;
  struct results *r = &plan->results[l];
  r->post = take(plan, rows, outputs, size);
  r->read = reads_apart(layer) ? take(plan, rows, outputs, size) : r->post;
  if (plan->by_rows || layer->kind == NNPOLY_ADD) {
    r->delta = take(plan, rows, outputs, size);
  } else {
    if (shared[l % 2] == NULL) shared[l % 2] = take(plan, rows, plan->totals.widest, size);
    r->delta = shared[l % 2];
  }
  if (r->post == NULL || r->read == NULL || r->delta == NULL) return 0;
  if (drops(layer) && (r->kept = take(plan, rows, outputs, 1)) == NULL) return 0;
  if (!is_norm(layer)) return 1;
  const int64_t count = layer->kind == NNPOLY_ROW_NORM ? rows : outputs;
  r->mean = take(plan, count, 1, size);
  r->scale = take(plan, count, 1, size);
  if (layer->kind == NNPOLY_COLUMN_NORM) r->variance = take(plan, count, 1, size);
  return r->mean != NULL && r->scale != NULL &&
         (layer->kind == NNPOLY_ROW_NORM || r->variance != NULL);
}

/* The acts of a step. By rows, what learns comes last: after it no row is needed. */
static void write_acts(nnpoly_plan *plan) {
  const struct nnpoly_layer *layers = plan->training.layers;
  const int depth = plan->training.depth;
  struct act *act = plan->acts;
  int lowest = 0; /* that has parameters */
  while (nnpoly_parameters(&layers[lowest]) == 0) lowest++;
  for (int l = 0; l < depth; l++) {
    if (layers[l].kind == NNPOLY_COLUMN_NORM) *act++ = (struct act){MEASURE, l};
    *act++ = (struct act){FORWARDS, l};
  }
  *act++ = (struct act){COMPARE, depth - 1};
  for (int l = depth - 1; l >= lowest; l--) {
    if (layers[l].kind == NNPOLY_COLUMN_NORM) *act++ = (struct act){ADD_UP, l};
    if (l > lowest) *act++ = (struct act){BACK, l};
    if (!plan->by_rows) *act++ = (struct act){LEARN, l};
  }
  for (int l = depth - 1; plan->by_rows && l >= lowest; l--) *act++ = (struct act){LEARN, l};
  plan->act_count = (int)(act - plan->acts);
}

int nnpoly_reserve(nnpoly_plan *plan, int64_t rows) {
  const struct nnpoly_training *t = &plan->training;
  if (rows <= plan->rows) return NNPOLY_OK;
  free_batch(plan);
  plan->by_rows = goes_by_rows(rows, plan->largest);
  int complete = 1;
  char *shared[2] = {NULL, NULL};
  for (int l = t->depth - 1; complete && l >= 0; l--)
    complete = take_results(plan, l, rows, shared);
  if (complete) {
    plan->y = take(plan, rows, outputs_of(plan, t->depth - 1), plan->size);
    plan->labels = take(plan, rows, plan->members, sizeof *plan->labels);
    plan->weights = take(plan, rows, plan->members, plan->size);
    complete = plan->y != NULL && plan->labels != NULL && plan->weights != NULL;
  }
  if (!complete) {
    free_batch(plan);
    return NNPOLY_NO_MEMORY;
  }
  write_acts(plan);
  plan->rows = rows;
  memset(plan->choices, 0, sizeof plan->choices);
  return NNPOLY_OK;
}

/* Have the layers' sizes and bins lie at `sizes` and `bins`. */
static void copy_sizes(struct nnpoly_layer *layers, int depth, int64_t *sizes, double *bins) {
  for (int l = 0; l < depth; l++) {
    if (!has_sizes(&layers[l])) continue;
    const int64_t numbers = 2 * bins_of(&layers[l]);
    memcpy(sizes, layers[l].sizes, (size_t)layers[l].columns * sizeof *sizes);
    layers[l].sizes = sizes;
    sizes += layers[l].columns;
    if (numbers == 0) continue;
    memcpy(bins, layers[l].bins, (size_t)numbers * sizeof *bins);
    layers[l].bins = bins;
    bins += numbers;
  }
}

static int copy_layers(nnpoly_plan *plan, const struct nnpoly_training *training) {
  const size_t depth = (size_t)training->depth;
  struct nnpoly_layer *layers = malloc(depth * sizeof *layers);
  plan->training.layers = layers;
  plan->totals = nnpoly_totals(training->layers, training->depth);
  plan->sizes = malloc((size_t)(plan->totals.sizes + 1) * sizeof *plan->sizes);
  plan->bins = malloc((size_t)(2 * plan->totals.bins + 1) * sizeof *plan->bins);
  plan->results = calloc(depth, sizeof *plan->results);
  plan->taken = malloc((ARRAYS_A_LAYER * depth + ARRAYS_OF_TARGETS) * sizeof *plan->taken);
  plan->acts = malloc((ACTS_A_LAYER * depth + 1) * sizeof *plan->acts);
  if (layers == NULL || plan->sizes == NULL || plan->bins == NULL || plan->results == NULL ||
      plan->taken == NULL || plan->acts == NULL)
    return 0;
  memcpy(layers, training->layers, depth * sizeof *layers);
  copy_sizes(layers, training->depth, plan->sizes, plan->bins);
  int64_t at = 0;
  int running_at = 0;
  for (int l = 0; l < training->depth; l++) {
    struct results *r = &plan->results[l];
    r->at = at;
    r->taken_by = nnpoly_taken_by(layers, training->depth, l);
    r->running_at = running_at;
    at += nnpoly_parameters(&layers[l]);
    running_at += 2 * (layers[l].kind == NNPOLY_COLUMN_NORM);
    const int64_t work = nnpoly_second_at(&layers[l]) * rows_of_one(&layers[l]);
    if (has_products(&layers[l]) && work > plan->largest) plan->largest = work;
  }
  return 1;
}

static int copy_segments(nnpoly_plan *plan, const struct nnpoly_training *training) {
  const size_t bytes = (size_t)training->segment_count * sizeof *training->segments;
  plan->training.segments = NULL;
  if (bytes == 0) return 1;
  struct nnpoly_segment *segments = malloc(bytes);
  plan->training.segments = segments;
  if (segments == NULL) return 0;
  memcpy(segments, training->segments, bytes);
  return 1;
}

nnpoly_plan *nnpoly_plan_new(const struct nnpoly_training *training) {
  if (training == NULL || !sound(training)) return NULL;
  nnpoly_plan *plan = calloc(1, sizeof *plan);
  if (plan == NULL) return NULL;
  plan->training = *training;
  plan->training.layers = NULL;
  plan->size = size_of(training->dtype);
  plan->members = at_least_one(training->members);
  if (!copy_segments(plan, training) || !copy_layers(plan, training)) {
    nnpoly_plan_free(plan);
    return NULL;
  }
  return plan;
}

void nnpoly_plan_free(nnpoly_plan *plan) {
  if (plan == NULL) return;
  free_batch(plan);
  free(plan->taken);
  free(plan->acts);
  free(plan->results);
  free(plan->sizes);
  free(plan->bins);
  free((void *)plan->training.layers);
  free((void *)plan->training.segments);
  free(plan);
}

int64_t nnpoly_plan_bytes(const nnpoly_plan *plan) { return plan->bytes; }

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
  for (int64_t i = 0; is_of_softmax(loss) && i < n; i++) {
    double sum = 0;
    for (int64_t k = 0; k < K; k++) sum += element(dtype, y, i * K + k);
    within &= fabs(sum - 1) < 1e-2;
  }
  return within;
}

static int targets_within(const nnpoly_plan *plan, const void *y, int64_t n) {
  const struct nnpoly_training *t = &plan->training;
  const int64_t K = scores_of(plan);
  if (t->dtype == NNPOLY_FLOAT64) return rows_within(NNPOLY_FLOAT64, t->loss, y, n, K);
  return rows_within(NNPOLY_FLOAT32, t->loss, y, n, K);
}

/* A state's vectors as arguments. */
#define VECTORS(state, rule, P)                                     \
  {OUTPUT, (state)->w, P, 1}, {OUTPUT, (state)->g, P, 1},           \
      {OUTPUT, (state)->m, uses_m(rule) ? P : 0, 1},                \
      {OUTPUT, (state)->s, uses_s(rule) ? P : 0, 1},                \
      {OUTPUT, (state)->peak, (rule) == NNPOLY_AMSGRAD ? P : 0, 1}, \
      {OUTPUT | OPTIONAL, (state)->average, P, 1}, {OUTPUT | OPTIONAL, (state)->total, P, 1}

int nnpoly_check_training(const nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                          const int64_t *labels, const void *y, const void *weights, int64_t n,
                          const void *losses, int64_t batches) {
  const struct nnpoly_training *t = &plan->training;
  const int64_t P = plan->totals.parameters, K = scores_of(plan);
  if ((labels == NULL) == (y == NULL)) return NNPOLY_NULL;
  if (labels != NULL && !is_of_softmax(t->loss)) return NNPOLY_NULL;
  if ((uintptr_t)labels % sizeof *labels != 0) return NNPOLY_MISALIGNED;
  CHECK(t->dtype, VECTORS(state, t->rule, P), {INPUT, x, n, t->layers[0].inputs},
        {INPUT | OPTIONAL, y, n, K}, {INPUT | OPTIONAL, weights, n, 1},
        {OUTPUT, losses, batches, 1});
  const void *const *buffers = (const void *const *)state->buffers;
  const int status = nnpoly_check_buffers(buffers, plan->totals.column_norms, plan->size);
  if (status != NNPOLY_OK) return status;
  return labels == NULL || labels_within(labels, n, K) ? NNPOLY_OK : NNPOLY_RANGE;
}

int nnpoly_rates_of_dropout(const nnpoly_plan *plan, const struct nnpoly_rates *rates) {
  const struct nnpoly_training *t = &plan->training;
  for (int l = 0; l < t->depth; l++) {
    const int scheduled = t->layers[l].scheduled;
    if (scheduled > 0 && !is_rate(rates->dropout[scheduled - 1])) return 0;
  }
  return 1;
}

/* Elements of `size` bytes, of the rows order[0..n-1], or 0..n-1 without: each as often as there
 * are members. */
static void repeat(int64_t size, const void *from, const int64_t *order, int64_t n, int64_t members,
                   void *to) {
  for (int64_t i = 0; i < n; i++) {
    const int64_t row = order == NULL ? i : order[i];
    for (int64_t at = i * members; at < (i + 1) * members; at++) {
      if (size == sizeof(double))
        ((double *)to)[at] = ((const double *)from)[row];
      else
        ((float *)to)[at] = ((const float *)from)[row];
    }
  }
}

void nnpoly_gather_targets(nnpoly_plan *plan, struct batch *batch, const int64_t *order) {
  const int64_t members = plan->members, bytes = scores_of(plan) * plan->size;
  for (int64_t i = 0, at = 0; i < batch->n; i++) {
    const int64_t row = order == NULL ? i : order[i];
    for (int64_t j = 0; j < members; j++, at++) {
      if (batch->labels != NULL)
        plan->labels[at] = batch->labels[row];
      else
        memcpy(plan->y + at * bytes, (const char *)batch->y + row * bytes, (size_t)bytes);
    }
  }
  if (batch->labels != NULL)
    batch->labels = plan->labels;
  else
    batch->y = plan->y;
  if (batch->weights == NULL) return;
  repeat(plan->size, batch->weights, order, batch->n, members, plan->weights);
  batch->weights = plan->weights;
}

static int take_batch(nnpoly_plan *plan, const struct nnpoly_state *state, struct batch *batch,
                      const struct nnpoly_rates *rates, void *loss) {
  if (plan == NULL || state == NULL || rates == NULL) return NNPOLY_NULL;
  if (batch->part != WHOLE && state->total == NULL) return NNPOLY_NULL;
  if (!nnpoly_rates_of_dropout(plan, rates)) return NNPOLY_RANGE;
  const int64_t n = batch->n;
  if (n < 1) return NNPOLY_SHAPE;
  int status = nnpoly_check_training(plan, state, batch->x, batch->labels, batch->y, batch->weights,
                                     n, loss, 1);
  if (status == NNPOLY_OK && batch->y != NULL && !targets_within(plan, batch->y, n))
    status = NNPOLY_RANGE;
  if (status == NNPOLY_OK) status = nnpoly_reserve(plan, n);
  if (status != NNPOLY_OK) return status;
  if (plan->members > 1) nnpoly_gather_targets(plan, batch, NULL);
  struct step s = nnpoly_step(plan, state, batch, rates);
  status = nnpoly_take_step(&s);
  if (status == NNPOLY_OK) nnpoly_step_loss(&s, loss);
  return status;
}

int nnpoly_plan_step(nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                     const int64_t *labels, const void *y, const void *weights, int64_t n,
                     const struct nnpoly_rates *rates, void *loss) {
  struct batch batch = {WHOLE, x, NULL, labels, y, weights, n};
  return take_batch(plan, state, &batch, rates, loss);
}

int nnpoly_plan_add(nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                    const int64_t *labels, const void *y, const void *weights, int64_t n,
                    const struct nnpoly_rates *rates, void *loss, int first) {
  struct batch batch = {first ? FIRST : FURTHER, x, NULL, labels, y, weights, n};
  return take_batch(plan, state, &batch, rates, loss);
}

int nnpoly_plan_update(const nnpoly_plan *plan, const struct nnpoly_state *state, int64_t rows,
                       const struct nnpoly_rates *rates) {
  if (plan == NULL || state == NULL || rates == NULL || state->total == NULL) return NNPOLY_NULL;
  if (rows < 1) return NNPOLY_SHAPE;
  const struct nnpoly_training *t = &plan->training;
  CHECK(t->dtype, VECTORS(state, t->rule, plan->totals.parameters));
  return nnpoly_step_together(plan, state, rates, rows);
}
