/* One training step of a plan.
 *
 * A step has two ways, with the same bits. By rows, for small layers: each thread takes some rows
 * of the batch through all layers, to the loss and back to the deltas; then, all deltas being
 * there, some of each layer's gradient, with the optimiser's step on it. Where a normalisation
 * needs all rows of a column, threads take columns in between. By products, for large layers, whose
 * weights are worth packing once: all threads share each act in turn. Either way a layer's
 * parameters change only after the delta below has been computed from them. */
#include <string.h>

#include "check.h"
#include "plan.h"

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
      .weight_decay = rates->weight_decay,
      .decoupled = t->decoupled,
      .segments = t->segments,
      .segment_count = t->segment_count,
      .average = state->average,
      .ema = t->ema,
  };
}

/* The fewest rows whose members' are whole chunks of the loss. */
static int64_t whole_chunks(int64_t chunk_rows, int64_t members) {
  int64_t a = chunk_rows, b = members;
  while (b > 0) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return chunk_rows / a;
}

static struct loss loss_of(const nnpoly_plan *plan, const struct batch *batch) {
  const struct nnpoly_training *t = &plan->training;
  const int last = t->depth - 1;
  const int64_t K = scores_of(plan);
  const double smoothed = t->label_smoothing;
  struct loss loss = {.kind = t->loss,
                      .a = t->loss_a,
                      .scores = plan->results[last].post,
                      .y = batch->y,
                      .labels = batch->labels,
                      .weights = batch->weights,
                      .kept = 1.0 - smoothed,
                      .added = is_of_softmax(t->loss) ? smoothed / (double)K : 0.5 * smoothed,
                      .delta = plan->results[last].delta,
                      .n = batch->n * plan->members,
                      .K = K};
  nnpoly_cut_loss(&loss);
  return loss;
}

/* A layer's arrays in a step */

static struct dropout dropout_of(const struct step *s, int l) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[l];
  const double rate = layer->scheduled > 0 ? s->dropout[layer->scheduled - 1] : layer->dropout;
  return (struct dropout){rate, s->key, (uint32_t)layer->path, s->plan->results[l].kept};
}

static struct pass pass_of(const struct step *s, int l) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[l];
  const struct results *all = s->plan->results, *r = &all[l];
  return (struct pass){
      .layer = layer,
      .n = s->n,
      .size = s->plan->size,
      .x = l > 0 ? all[l - 1].post : s->x,
      .rows = l > 0 ? NULL : s->rows,
      .other = layer->kind == NNPOLY_ADD ? all[layer->from].post : NULL,
      .w = (const char *)s->update.w + r->at * s->plan->size,
      .C = r->read,
      .post = r->post,
      .mean = r->mean,
      .scale = r->scale,
      .dropout = dropout_of(s, l),
  };
}

/* Back through the epilogue of layer l. */
static struct epilogue back_through(const struct step *s, int l) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[l];
  const struct results *r = &s->plan->results[l];
  return (struct epilogue){
      .activation = layer->activation,
      .a = layer->a,
      .dropout = dropout_of(s, l),
      .plus = r->taken_by < 0 ? NULL : s->plan->results[r->taken_by].delta,
      .read = reads_nothing(layer->activation) ? NULL : r->read,
  };
}

static char *gradient_at(const struct step *s, int64_t at) {
  return (char *)s->update.g + at * s->plan->size;
}

static int clips(const nnpoly_plan *plan) { return plan->training.clip_norm > 0; }

/* The update that follows a gradient. With clipping that waits for all, but no batch of several is
 * clipped by itself. */
static const struct update *update_at_once(const struct step *s) {
  return clips(s->plan) && s->update.total == NULL ? NULL : &s->update;
}

/* The norm of layer l, back: with its gradients' places, and the delta of the layer below. */
static struct norm norm_of(const struct step *s, int l) {
  const struct pass pass = pass_of(s, l);
  const struct results *r = &s->plan->results[l];
  struct norm norm = nnpoly_norm_of(&pass);
  norm.variance = r->variance;
  norm.delta = r->delta;
  norm.dgain = gradient_at(s, r->at);
  norm.dshift = gradient_at(s, r->at + nnpoly_second_at(pass.layer));
  if (l > 0) {
    norm.C = r[-1].delta;
    norm.epilogue = back_through(s, l - 1);
  }
  return norm;
}

/* The layer for tables l, back, likewise. */
static struct tabular tabular_of(const struct step *s, int l) {
  const struct pass pass = pass_of(s, l);
  const struct results *r = &s->plan->results[l];
  const struct units units = nnpoly_units(pass.layer);
  struct tabular t = nnpoly_tabular_of(&pass);
  t.post = r->post;
  t.delta = r->delta;
  for (int i = 0; i < 4; i++)
    t.gradients[i] = units.each[i] > 0 ? gradient_at(s, r->at + nnpoly_array_at(&units, i)) : NULL;
  t.C = r[-1].delta; /* it is not the first layer */
  t.epilogue = back_through(s, l - 1);
  return t;
}

/* Of layer l, which has products, with W number i: the delta of the layer below, from its own. */
static struct product delta_product(const struct step *s, int l, int64_t i) {
  const struct pass pass = pass_of(s, l);
  const struct results *r = &s->plan->results[l];
  return nnpoly_delta_product(&pass, i, r->delta, r[-1].delta, back_through(s, l - 1));
}

/* The same for dW and db, and the optimiser's step on W and b. */
static struct product gradient_product(const struct step *s, int l, int64_t i) {
  const struct pass pass = pass_of(s, l);
  const struct results *r = &s->plan->results[l];
  struct product p = nnpoly_gradient_product(&pass, i, r->delta);
  p.C_at = r->at + i * p.M * p.N;
  p.C = gradient_at(s, p.C_at);
  p.update = update_at_once(s);
  if (pass.layer->unbiased) return p;
  p.sums_at = r->at + nnpoly_second_at(pass.layer) + i * p.M;
  p.sums = gradient_at(s, p.sums_at);
  return p;
}

/* Acts, on some rows or columns */

static void compare(struct step *s, struct range rows, void *scratch) {
  const int last = s->plan->training.depth - 1;
  const int64_t members = s->plan->members;
  nnpoly_loss_rows(s->kernels, &s->loss, rows.start * members, rows.stop * members, scratch);
  if (!drops(&s->plan->training.layers[last])) return;
  const struct sum sum = {.form = DELTA,
                          .a = s->loss.delta,
                          .C = s->loss.delta,
                          .m = outputs_of(s->plan, last),
                          .epilogue = back_through(s, last)};
  s->kernels->add(&sum, rows.start, rows.stop);
}

static void back(const struct step *s, int l, struct range rows, void *scratch) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[l];
  const struct results *r = &s->plan->results[l];
  if (has_products(layer)) {
    const int64_t each = rows_of_one(layer);
    for (int64_t i = 0; i < products_of(layer); i++) {
      const struct product p = delta_product(s, l, i);
      s->kernels->product(&p, (struct rect){rows.start * each, rows.stop * each, 0, p.N}, scratch);
    }
  } else if (is_norm(layer)) {
    const struct norm norm = norm_of(s, l);
    norm_kernel *const kernel = norm.axis == 1 ? s->kernels->row_delta : s->kernels->column_delta;
    kernel(&norm, rows.start, rows.stop);
  } else if (is_tabular(layer)) {
    const struct tabular t = tabular_of(s, l);
    nnpoly_tabular_kernels(s->kernels, layer)->delta(&t, rows.start, rows.stop, scratch);
  } else {
    const struct sum sum = {.form = DELTA,
                            .a = r->delta,
                            .C = r[-1].delta,
                            .m = layer->outputs,
                            .epilogue = back_through(s, l - 1)};
    s->kernels->add(&sum, rows.start, rows.stop);
  }
}

static void do_rows(struct step *s, struct act act, struct range rows, void *scratch) {
  if (act.action == FORWARDS) {
    const struct pass pass = pass_of(s, act.layer);
    nnpoly_forward(s->kernels, &pass, rows.start, rows.stop, scratch);
  } else if (act.action == BACK) {
    back(s, act.layer, rows, scratch);
  } else {
    compare(s, rows, scratch);
  }
}

static void measure(const struct step *s, int l, struct range columns) {
  const struct norm norm = norm_of(s, l);
  const double momentum = s->plan->training.layers[l].momentum;
  void *const *running = s->buffers + s->plan->results[l].running_at;
  s->kernels->column_moments(&norm, columns.start, columns.stop);
  if (s->n == 1) return; /* one row has no variance */
  s->kernels->move_towards(running[0], norm.mean, columns.start, columns.stop, momentum);
  s->kernels->move_towards(running[1], norm.variance, columns.start, columns.stop, momentum);
}

static void learn_norm(const struct step *s, int l, struct range columns) {
  const struct norm norm = norm_of(s, l);
  const struct update *update = update_at_once(s);
  const int64_t gain_at = s->plan->results[l].at, shift_at = gain_at + norm.m;
  if (norm.axis == 1) s->kernels->norm_gradients(&norm, columns.start, columns.stop);
  if (update == NULL) return;
  s->kernels->update(update, gain_at + columns.start, gain_at + columns.stop);
  s->kernels->update(update, shift_at + columns.start, shift_at + columns.stop);
}

static void learn_tabular(const struct step *s, int l, struct range part, void *scratch) {
  const struct tabular t = tabular_of(s, l);
  const struct units units = nnpoly_units(t.layer);
  const struct update *update = update_at_once(s);
  nnpoly_tabular_kernels(s->kernels, t.layer)->gradients(&t, part.start, part.stop, scratch);
  for (int i = 0; update != NULL && i < 4; i++) {
    const int64_t at = s->plan->results[l].at + nnpoly_array_at(&units, i), each = units.each[i];
    s->kernels->update(update, at + part.start * each, at + part.stop * each);
  }
}

static void do_columns(const struct step *s, struct act act, struct range columns, void *scratch) {
  const int l = act.layer;
  const struct nnpoly_layer *layer = &s->plan->training.layers[l];
  if (act.action == MEASURE) {
    measure(s, l, columns);
  } else if (act.action == ADD_UP) {
    const struct norm norm = norm_of(s, l);
    s->kernels->norm_gradients(&norm, columns.start, columns.stop);
  } else if (is_norm(layer)) {
    learn_norm(s, l, columns);
  } else if (is_tabular(layer)) {
    learn_tabular(s, l, columns, scratch);
  }
}

static int by_columns(struct act act) {
  return act.action == MEASURE || act.action == ADD_UP || act.action == LEARN;
}

/* What an act is cut into: so many rows, columns or units, at multiples of a step. */
struct cut {
  int64_t count, step;
};

static struct cut cut_of(const struct step *s, struct act act) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[act.layer];
  if (act.action == LEARN && has_products(layer)) /* which are cut as nnpoly_product_part does */
    return (struct cut){nnpoly_parameters(layer), 1};
  if (act.action == LEARN && is_tabular(layer))
    return (struct cut){nnpoly_units(layer).count, nnpoly_units_step(layer)};
  if (by_columns(act)) return (struct cut){outputs_of(s->plan, act.layer), STEP_ELEMENTS};
  return (struct cut){s->n, s->rows_step};
}

static void act_part(struct step *s, struct act act, int index, int parts, void *scratch) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[act.layer];
  if (act.action == LEARN && has_products(layer)) {
    for (int64_t i = 0; i < products_of(layer); i++) {
      const struct product p = gradient_product(s, act.layer, i);
      nnpoly_product_part(s->kernels, &p, index, parts, scratch);
    }
    return;
  }
  const struct cut cut = cut_of(s, act);
  const struct range r = nnpoly_cut(cut.count, index, parts, cut.step);
  if (r.start >= r.stop) return;
  if (by_columns(act))
    do_columns(s, act, r, scratch);
  else
    do_rows(s, act, r, scratch);
}

size_t nnpoly_step_scratch(const nnpoly_plan *plan) {
  return nnpoly_chain_scratch(nnpoly_kernels(plan->training.dtype), &plan->totals, scores_of(plan));
}

/* Acts that follow each other without a look at what other threads did. */
struct region {
  struct step *step; /* each part writes its own of the partial losses */
  const struct act *first, *last;
};

static void region_part(const void *argument, int index, int parts, void *scratch) {
  const struct region *region = argument;
  for (const struct act *act = region->first; act < region->last; act++)
    act_part(region->step, *act, index, parts, scratch);
}

static int run_region(struct step *s, const struct act *first, const struct act *last, int parts) {
  const struct region region = {s, first, last};
  return nnpoly_run(region_part, &region, parts, nnpoly_step_scratch(s->plan));
}

static int clip_and_update(const nnpoly_plan *plan, const struct update *update) {
  const struct nnpoly_training *t = &plan->training;
  const int64_t P = plan->totals.parameters;
  const int status = nnpoly_clip_norm(t->dtype, update->g, update->g, P, t->clip_norm);
  return status == NNPOLY_OK ? nnpoly_run_update(nnpoly_kernels(t->dtype), update, P) : status;
}

/* What is left to do once all acts are done. */
static int finish(const struct step *s) {
  return update_at_once(s) != NULL ? NNPOLY_OK : clip_and_update(s->plan, &s->update);
}

/* By rows */

void nnpoly_take_step_alone(struct step *s, void *scratch) {
  const struct region all = {s, s->plan->acts, s->plan->acts + s->plan->act_count};
  region_part(&all, 0, 1, scratch);
  finish(s); /* needs no scratch, so it cannot fail */
}

/* Less than PART_PRODUCT: whether it pays is found by timing. */
#define PART_STEP ((int64_t)1 << 17)

/* Multiply-adds. */
static int64_t step_work(const nnpoly_plan *plan, int64_t n) { return 3 * n * plan->totals.work; }

int nnpoly_step_parts(const nnpoly_plan *plan, int64_t n) {
  return nnpoly_parts(step_work(plan, n), PART_STEP);
}

static int step_in_parts(struct step *s, int parts) {
  const struct act *act = s->plan->acts, *const end = act + s->plan->act_count;
  int status = NNPOLY_OK;
  while (status == NNPOLY_OK && act < end) {
    const struct act *first = act;
    if (parts == 1) act = end;
    while (act < end && by_columns(*act) == by_columns(*first)) act++;
    status = run_region(s, first, act, parts);
  }
  return status == NNPOLY_OK ? finish(s) : status;
}

/* By products */

static int share_act(struct step *s, const struct act *act, int most) {
  const struct nnpoly_layer *layer = &s->plan->training.layers[act->layer];
  const int multiplies = has_products(layer) && act->action != COMPARE;
  if (multiplies && products_of(layer) == 1) {
    const struct pass pass = pass_of(s, act->layer);
    const struct product p = act->action == FORWARDS ? nnpoly_product_of(&pass, 0)
                             : act->action == BACK   ? delta_product(s, act->layer, 0)
                                                     : gradient_product(s, act->layer, 0);
    return nnpoly_share_product(s->kernels, &p, most);
  }
  const struct cut cut = cut_of(s, *act);
  const int64_t pieces = pieces_of(cut.count, cut.step);
  const int64_t work = s->n * (multiplies ? nnpoly_parameters(layer) : layer->outputs);
  const int parts = nnpoly_parts_of(pieces, work, multiplies ? PART_PRODUCT : PART_ELEMENTS);
  return run_region(s, act, act + 1, (int)least(parts, most));
}

static int step_by_products(struct step *s, int most) {
  int status = NNPOLY_OK;
  for (int i = 0; status == NNPOLY_OK && i < s->plan->act_count; i++)
    status = share_act(s, &s->plan->acts[i], most);
  return status == NNPOLY_OK ? finish(s) : status;
}

/* Either way */

/* So much work for each thread is surely worth sharing. */
#define SURE_WORK ((int64_t)1 << 24)

struct step nnpoly_step(nnpoly_plan *plan, const struct nnpoly_state *state,
                        const struct batch *batch, const struct nnpoly_rates *rates) {
  struct step s = {.plan = plan,
                   .kernels = nnpoly_kernels(plan->training.dtype),
                   .x = batch->x,
                   .rows = batch->rows,
                   .buffers = state->buffers,
                   .n = batch->n,
                   .key = (uint32_t)(int32_t)rates->key,
                   .loss = loss_of(plan, batch),
                   .update = update_of(plan, state, rates)};
  s.rows_step = whole_chunks(s.loss.chunk_rows, plan->members);
  memcpy(s.dropout, rates->dropout, sizeof s.dropout);
  s.update.total = batch->part == WHOLE ? NULL : state->total;
  s.update.rows = batch->n;
  s.update.first = batch->part == FIRST;
  return s;
}

static int take_shared(struct step *s, int threads) {
  return s->plan->by_rows ? step_in_parts(s, threads) : step_by_products(s, threads);
}

static int size_class(int64_t n) { return SIZES - 1 - __builtin_clzll((unsigned long long)n); }

static int64_t sure_threads(const nnpoly_plan *plan, int64_t n) {
  return step_work(plan, n) / SURE_WORK;
}

int nnpoly_plan_threads(const nnpoly_plan *plan, int64_t n) {
  if (plan == NULL || n < 1) return 0;
  const struct choice *choice = &plan->choices[size_class(n)];
  return nnpoly_chosen(choice, sure_threads(plan, n), nnpoly_step_parts(plan, n));
}

int nnpoly_take_step(struct step *s) {
  struct choice *choice = &s->plan->choices[size_class(s->n)];
  const int most = nnpoly_step_parts(s->plan, s->n);
  const int threads = nnpoly_choose(choice, sure_threads(s->plan, s->n), most);
  if (!choice->timed) return take_shared(s, threads);
  const int64_t start = nnpoly_now_ns();
  const int status = take_shared(s, threads);
  nnpoly_took(choice, nnpoly_now_ns() - start, s->n);
  return status;
}

void nnpoly_step_loss(const struct step *s, void *loss) {
  nnpoly_mean_loss(s->plan->training.dtype, &s->loss, loss);
}

/* On several batches */

struct mean_job {
  const nnpoly_plan *plan;
  const void *total;
  int64_t rows;
  const struct update *update;
};

static void mean_part(const void *argument, int index, int parts, void *scratch) {
  const struct mean_job *job = argument;
  const struct kernels *kernels = nnpoly_kernels(job->plan->training.dtype);
  const struct range r = nnpoly_cut(job->plan->totals.parameters, index, parts, STEP_ELEMENTS);
  (void)scratch;
  kernels->divide(job->total, job->update->g, r.start, r.stop, (double)job->rows);
  if (!clips(job->plan)) kernels->update(job->update, r.start, r.stop);
}

int nnpoly_step_together(const nnpoly_plan *plan, const struct nnpoly_state *state,
                         const struct nnpoly_rates *rates, int64_t rows) {
  const struct update update = update_of(plan, state, rates);
  const struct mean_job job = {plan, state->total, rows, &update};
  const int parts = nnpoly_parts(plan->totals.parameters, PART_ELEMENTS);
  const int status = nnpoly_run(mean_part, &job, parts, 0);
  return status == NNPOLY_OK && clips(plan) ? clip_and_update(plan, &update) : status;
}
