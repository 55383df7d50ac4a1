/* How many threads to share work among that is done again and again, found by timing it.
 *
 * What is fastest depends on the work, on how fast threads find each other, and on who else uses
 * the processors. So now and then there is a round: a few turns each with as many threads as by
 * now, with half as many and with twice as many, whose fastest turns are compared. The next round
 * comes after 4 times as long as this one took if the choice has changed, and else later each time,
 * up to 128 times: so rounds take a bounded share of the time, and a wrong choice, for a
 * neighbour's burst fell into a round, does not last. */
#ifndef NNPOLY_CHOICE_H
#define NNPOLY_CHOICE_H

#include <stdint.h>

enum { TRIALS = 4, OPTIONS = 3 };

/* Zeros before the first turn. */
struct choice {
  int all;     /* how many threads there were to choose from */
  int threads; /* the best that is known */
  int timed;   /* whether this turn is a trial */
  int patience;
  int64_t waits;                       /* turns until the next round */
  int counts[OPTIONS], options, trial; /* of the round */
  double ns[OPTIONS], spent;           /* for a unit of work: each option's least, and of all */
};

/* How many threads are to take this turn, a power of two or `most`: at least so many as are surely
 * worth it. The first turn is all threads' and no trial: it is the first to write to memory. */
int nnpoly_choose(struct choice *, int64_t sure, int most);

/* The same without a turn: the best that is known. */
int nnpoly_chosen(const struct choice *, int64_t sure, int most);

/* If it is a trial: how long it took, for so many units of work. */
void nnpoly_took(struct choice *, int64_t ns, int64_t work);

#endif
