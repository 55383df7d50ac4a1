/* Training: the steps of whole epochs, of one network or of several at once. See nnpoly.h. */
#include <stdint.h>

#include "plan.h"

/* One epoch of nnpoly_train. */
struct member {
  nnpoly_plan *plan;
  const struct nnpoly_state *state;
  struct nnpoly_epoch *epoch;
};

/* The batches of one of its epochs, and of all. */
static int64_t batches_of_one(const struct nnpoly_epoch *e) { return (e->rows - 1) / e->batch + 1; }
static int64_t batches_of(const struct nnpoly_epoch *e) {
  return e->n / e->rows * batches_of_one(e);
}

static int check_member(const struct member *m) {
  const struct nnpoly_epoch *e = m->epoch;
  if (m->plan == NULL || m->state == NULL || e->order == NULL || e->rates == NULL)
    return NNPOLY_NULL;
  if (e->n < 1 || e->batch < 1 || e->done < 0 || e->N < 1) return NNPOLY_SHAPE;
  if (e->rows < 1 || e->n % e->rows != 0 || e->together < 1) return NNPOLY_SHAPE;
  if (e->together > 1 && m->state->total == NULL) return NNPOLY_NULL;
  if ((uintptr_t)e->order % sizeof *e->order != 0) return NNPOLY_MISALIGNED;
  if (e->done > 0) return nnpoly_reserve(m->plan, least(e->batch, e->rows)); /* seen before */
  for (int64_t i = 0; i < e->n; i++)
    if (e->order[i] < 0 || e->order[i] >= e->N) return NNPOLY_RANGE;
  for (int64_t i = 0; i < batches_of(e); i++)
    if (!nnpoly_rates_of_dropout(m->plan, &e->rates[i])) return NNPOLY_RANGE;
  const int status = nnpoly_check_training(m->plan, m->state, e->X, e->labels, e->Y, e->weights,
                                           e->N, e->losses, batches_of(e));
  return status == NNPOLY_OK ? nnpoly_reserve(m->plan, least(e->batch, e->rows)) : status;
}

static enum part part_of(const struct nnpoly_epoch *e, int64_t batch) {
  if (e->together == 1) return WHOLE;
  return batch % e->together == 0 ? FIRST : FURTHER;
}

static struct step next_step(const struct member *m) {
  const struct nnpoly_epoch *e = m->epoch;
  const int64_t batches = batches_of_one(e), at = e->done % batches, first = at * e->batch;
  const int64_t start = e->done / batches * e->rows + first, n = least(e->batch, e->rows - first);
  struct batch batch = {.part = part_of(e, at),
                        .x = e->X,
                        .rows = e->order + start,
                        .labels = e->labels,
                        .y = e->Y,
                        .weights = e->weights,
                        .n = n};
  nnpoly_gather_targets(m->plan, &batch, batch.rows);
  return nnpoly_step(m->plan, m->state, &batch, &e->rates[e->done]);
}

/* After a batch of n rows, the end of a step on several, where it is the last of them. */
static int end_together(const struct member *m, int64_t n) {
  const struct nnpoly_epoch *e = m->epoch;
  const int64_t batches = batches_of_one(e), at = e->done % batches, before = at % e->together;
  if (before + 1 < e->together && at + 1 < batches) return NNPOLY_OK;
  return nnpoly_step_together(m->plan, m->state, &e->rates[e->done], before * e->batch + n);
}

static int complete(const struct member *m, const struct step *s) {
  struct nnpoly_epoch *e = m->epoch;
  nnpoly_step_loss(s, (char *)e->losses + e->done * m->plan->size);
  const int status = e->together == 1 ? NNPOLY_OK : end_together(m, s->n);
  e->done++;
  return status;
}

struct race { /* members, whose steps are taken one a thread */
  nnpoly_plan *const *plans;
  const struct nnpoly_state *states;
  struct nnpoly_epoch *epochs;
  int count;
  int64_t until;
};

static struct member member_of(const struct race *race, int i) {
  return (struct member){race->plans[i], &race->states[i], &race->epochs[i]};
}

enum { STEPS_A_LOOK = 8 }; /* at the clock, which costs a tenth of the smallest step */

static void race_part(const void *argument, int index, int parts, void *scratch) {
  const struct race *race = argument;
  for (int i = index; i < race->count; i += parts) {
    const struct member m = member_of(race, i);
    const int64_t look = m.plan->by_rows ? STEPS_A_LOOK : 1;
    for (int64_t left = batches_of(m.epoch) - m.epoch->done, taken = 1; left > 0; left--, taken++) {
      struct step s = next_step(&m);
      nnpoly_take_step_alone(&s, scratch);
      complete(&m, &s); /* needs no scratch, so it cannot fail */
      if (taken % look == 0 && nnpoly_now_ns() >= race->until) return;
    }
  }
}

/* The members from `first` on in turn, each step shared by the threads. */
static int run_in_turn(const struct race *race, int first) {
  for (int i = first; i < race->count; i++) {
    const struct member m = member_of(race, i);
    while (m.epoch->done < batches_of(m.epoch)) {
      struct step s = next_step(&m);
      int status = nnpoly_take_step(&s);
      if (status == NNPOLY_OK) status = complete(&m, &s);
      if (status != NNPOLY_OK) return status;
      if (nnpoly_now_ns() >= race->until) return NNPOLY_OK;
    }
  }
  return NNPOLY_OK;
}

/* Whether a thread has a whole member's parameters in its second cache, from one step to the next:
 * then it is faster alone than by its share of every member's steps. */
static int fits_cache(const nnpoly_plan *plan) {
  const struct cache l2 = nnpoly_cache(2);
  return plan->totals.parameters * plan->size <= l2.way_bytes * l2.ways;
}

/* How many members are taken by a thread each. What is left over, when all threads have had as many
 * of them, would leave threads idle, unless a step is too short to be shared. */
static int taken_alone(const struct race *race, int threads) {
  int small = 1, fit = threads > 1;
  for (int i = 0; i < race->count; i++) {
    small &= race->plans[i]->by_rows;
    fit &= fits_cache(race->plans[i]);
  }
  if (race->count == 1 && small)
    small = nnpoly_step_parts(race->plans[0], race->epochs[0].batch) == 1;
  if (small) return race->count;
  return fit ? race->count / threads * threads : 0;
}

static int all_done(const struct race *race) {
  for (int i = 0; i < race->count; i++)
    if (race->epochs[i].done < batches_of(&race->epochs[i])) return 0;
  return 1;
}

int nnpoly_train(nnpoly_plan *const *plans, const struct nnpoly_state *states,
                 struct nnpoly_epoch *epochs, int count, int64_t limit_ns) {
  if (plans == NULL || states == NULL || epochs == NULL) return NNPOLY_NULL;
  const struct race race = {plans, states, epochs, count, nnpoly_now_ns() + limit_ns};
  const int threads = nnpoly_num_threads();
  size_t scratch = 0;
  for (int i = 0; i < count; i++) {
    const struct member m = member_of(&race, i);
    const int status = check_member(&m);
    if (status != NNPOLY_OK) return status;
    const size_t bytes = nnpoly_step_scratch(m.plan);
    scratch = bytes > scratch ? bytes : scratch;
  }
  const int alone = taken_alone(&race, threads);
  if (alone > 0) {
    struct race first = race;
    first.count = alone;
    const int status = nnpoly_run(race_part, &first, (int)least(alone, threads), scratch);
    if (status != NNPOLY_OK || !all_done(&first)) return status;
  }
  return run_in_turn(&race, alone);
}
