/* Shared by plan.c, step.c and train.c: a plan, and one step of it. */
#ifndef NNPOLY_PLAN_H
#define NNPOLY_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "choice.h"
#include "core.h"
#include "layer.h"

/* One layer's arrays, (rows, outputs) each, and where its parameters lie in the flat vector. `read`
 * is what sigma' is computed from, pre or else post before dropout, and is post where nothing needs
 * it apart. By products, a delta is that of the layer two above, overwritten, unless an ADD's. */
struct results {
  char *read, *post, *delta;
  char *mean, *scale, *variance; /* of a norm: (rows,) or (outputs,) */
  int8_t *kept;                  /* of dropout: a byte an element */
  int64_t at;
  int taken_by;   /* the ADD that takes post, or -1 */
  int running_at; /* of a COLUMN_NORM: where its mean is among the state's buffers, before its
                     variance */
};

/* What there is to do, in order: an action for a layer. */
enum action {
  MEASURE, /* the moments of a COLUMN_NORM's columns */
  FORWARDS,
  COMPARE, /* the loss, and the last layer's delta */
  ADD_UP,  /* the columns' sums of a COLUMN_NORM, before its delta below */
  BACK,    /* the delta of the layer below */
  LEARN    /* the parameters' gradients, and the optimiser's step on them */
};
struct act {
  enum action action;
  int layer;
};

/* Batches of as many binary digits are shared alike. */
enum { SIZES = 64 };

struct nnpoly_plan {
  struct nnpoly_training training; /* .layers: the plan's own copy */
  int64_t *sizes;                  /* of its layers that have some, one after the other */
  double *bins;                    /* of its PIECEWISEs, alike */
  int64_t size;                    /* of an element, in bytes */
  int64_t members;                 /* of the last layer, 1 or more */
  struct totals totals;
  int64_t largest; /* multiply-adds a row of the most that a W is in */
  int64_t rows;    /* for how many there is room */
  int by_rows;
  struct results *results;
  struct act *acts; /* of a step */
  int act_count;
  void **taken; /* all memory of batches */
  int taken_count;
  char *y;         /* gathered targets of each member: (rows members, K) */
  int64_t *labels; /* or (rows members,) */
  char *weights;   /* (rows members,) */
  int64_t bytes;   /* of `taken` */
  struct choice choices[SIZES];
};

/* What a batch is of its step: all of it, or the first or a further one of several. */
enum part { WHOLE, FIRST, FURTHER };

/* A batch: rows of x, and side by side their targets and weights, of a step one for each member. */
struct batch {
  enum part part;
  const char *x;
  const int64_t *rows; /* (n,): row i of the batch is row rows[i] of x; or NULL */
  const int64_t *labels;
  const void *y, *weights;
  int64_t n;
};

/* Of so little work in its largest layer a step goes by rows. */
#define LITTLE_WORK ((int64_t)1 << 22) /* multiply-adds */

struct step {
  nnpoly_plan *plan;
  const struct kernels *kernels;
  const char *x;
  const int64_t *rows; /* of x, or NULL */
  void *const *buffers;
  int64_t n;
  uint32_t key; /* of dropout */
  double dropout[NNPOLY_SCHEDULED];
  int64_t rows_step; /* rows are cut at multiples of it */
  struct loss loss;
  struct update update;
};

/* The arguments' status. x, labels, y and weights have n rows; losses: (batches,). Of their values
 * only the labels are looked at. The state's total may be NULL. */
int nnpoly_check_training(const nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                          const int64_t *labels, const void *y, const void *weights, int64_t n,
                          const void *losses, int64_t batches);

/* Whether those that layers ask for are rates of dropout. */
int nnpoly_rates_of_dropout(const nnpoly_plan *plan, const struct nnpoly_rates *rates);

/* Make room for batches of so many rows. */
int nnpoly_reserve(nnpoly_plan *plan, int64_t rows);

/* Have a batch's targets and weights, which are those of the rows order[0..n-1], or 0..n-1 without,
 * lie side by side in the plan, one for each member. */
void nnpoly_gather_targets(nnpoly_plan *plan, struct batch *batch, const int64_t *order);

/* step.c: a step, for whose batch there is room. It is taken by all threads, or by this one in a
 * part of something larger, which gives it nnpoly_step_scratch bytes. Then its loss is known. With
 * a batch of several it goes no further than to add up the gradient. */
struct step nnpoly_step(nnpoly_plan *plan, const struct nnpoly_state *state,
                        const struct batch *batch, const struct nnpoly_rates *rates);
int nnpoly_take_step(struct step *);
void nnpoly_take_step_alone(struct step *, void *scratch);
size_t nnpoly_step_scratch(const nnpoly_plan *plan);
void nnpoly_step_loss(const struct step *, void *loss);

/* step.c: the end of a step on several batches, of so many rows together. */
int nnpoly_step_together(const nnpoly_plan *plan, const struct nnpoly_state *state,
                         const struct nnpoly_rates *rates, int64_t rows);

/* Into how many parts a step is cut at most. */
int nnpoly_step_parts(const nnpoly_plan *plan, int64_t n);

static inline int64_t outputs_of(const nnpoly_plan *plan, int l) {
  return plan->training.layers[l].outputs;
}

/* K, the scores of one member. */
static inline int64_t scores_of(const nnpoly_plan *plan) {
  return outputs_of(plan, plan->training.depth - 1) / plan->members;
}

#endif
