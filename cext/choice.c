/* Choosing a number of threads by timing. See choice.h. */
#include "choice.h"

#include "core.h"

enum { PATIENCE = 4, MOST_PATIENCE = 128, MOST_WAITS = 1 << 20 };
#define CLEARLY (31.0 / 32) /* of the time by now is faster: else noise would move the choice */

/* The greatest power of two up to x, at least 1. */
static int power_of_two(int64_t x) {
  int power = 1;
  while (2 * (int64_t)power <= x) power *= 2;
  return power;
}

static void add_option(struct choice *choice, int threads) {
  choice->counts[choice->options++] = threads;
}

static void begin_round(struct choice *choice, int fewest, int most) {
  const int now = choice->threads, less = power_of_two(now - 1);
  const int more = (int)least(2 * (int64_t)power_of_two(now), most);
  choice->options = choice->trial = 0;
  choice->spent = 0;
  add_option(choice, now);
  if (now > fewest) add_option(choice, less > fewest ? less : fewest);
  if (more > now) add_option(choice, more);
}

static void end_round(struct choice *choice) {
  int best = 0;
  double lowest = CLEARLY * choice->ns[0];
  for (int i = 1; i < choice->options; i++) {
    if (choice->ns[i] >= lowest) continue;
    best = i;
    lowest = choice->ns[i];
  }
  choice->patience = best == 0 ? (int)least(2 * choice->patience, MOST_PATIENCE) : PATIENCE;
  choice->threads = choice->counts[best];
  choice->options = 0;
  const double waits = choice->patience * choice->spent / choice->ns[best];
  choice->waits = waits < MOST_WAITS ? (int64_t)waits : MOST_WAITS;
}

int nnpoly_chosen(const struct choice *choice, int64_t sure, int most) {
  const int fewest = power_of_two(least(sure, most));
  return (int)least(choice->threads > fewest ? choice->threads : fewest, most);
}

int nnpoly_choose(struct choice *choice, int64_t sure, int most) {
  const int fewest = power_of_two(least(sure, most)), all = nnpoly_num_threads();
  choice->timed = 0;
  if (sure >= most || fewest >= most) return most;
  if (choice->all != all) {
    *choice = (struct choice){.all = all, .threads = fewest, .patience = 1};
    return most;
  }
  const int chosen = nnpoly_chosen(choice, sure, most);
  if (chosen != choice->threads) return chosen; /* a batch of another size */
  if (choice->waits > 0) {
    choice->waits--;
    return chosen;
  }
  if (choice->options == 0) begin_round(choice, fewest, most);
  const int threads = choice->counts[choice->trial / TRIALS];
  if (threads < fewest || threads > most) return chosen;
  choice->timed = 1;
  return threads;
}

void nnpoly_took(struct choice *choice, int64_t ns, int64_t work) {
  if (!choice->timed) return;
  const int option = choice->trial / TRIALS;
  const double each = (double)ns / (double)work;
  if (choice->trial % TRIALS == 0 || each < choice->ns[option]) choice->ns[option] = each;
  choice->spent += each;
  if (++choice->trial == choice->options * TRIALS) end_round(choice);
}
