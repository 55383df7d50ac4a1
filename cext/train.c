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
    for (int64_t left = batches_of(m.epoch) - m.epoch->done, taken = 1; left > 0; left--, taken++) {
      struct step s = next_step(&m);
      nnpoly_take_step_alone(&s, scratch);
      complete(&m, &s); /* needs no scratch, so it cannot fail */
      if (taken % STEPS_A_LOOK == 0 && nnpoly_now_ns() >= race->until) return;
    }
  }
}

/* The members in turn, each step shared by the threads. */
static int run_in_turn(const struct race *race) {
  for (int i = 0; i < race->count; i++) {
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

int nnpoly_train(nnpoly_plan *const *plans, const struct nnpoly_state *states,
                 struct nnpoly_epoch *epochs, int count, int64_t limit_ns) {
  if (plans == NULL || states == NULL || epochs == NULL) return NNPOLY_NULL;
  const struct race race = {plans, states, epochs, count, nnpoly_now_ns() + limit_ns};
  size_t scratch = 0;
  int small = 1;
  for (int i = 0; i < count; i++) {
    const struct member m = member_of(&race, i);
    const int status = check_member(&m);
    if (status != NNPOLY_OK) return status;
    const size_t bytes = nnpoly_step_scratch(m.plan);
    scratch = bytes > scratch ? bytes : scratch;
    small &= m.plan->by_rows;
  }
  if (count == 1 && small) small = nnpoly_step_parts(plans[0], epochs[0].batch) == 1;
  if (!small) return run_in_turn(&race);
  return nnpoly_run(race_part, &race, (int)least(count, nnpoly_num_threads()), scratch);
}
