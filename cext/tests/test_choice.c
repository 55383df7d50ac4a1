/* Choosing a number of threads, where a formula says how long each turn takes. */
#include <stdio.h>
#include <stdlib.h>

#include "choice.h"
#include "core.h"

static void require(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "test_choice: %s\n", what);
    exit(1);
  }
}

/* A step of so many rows and ns alone, and so many more for each thread that shares it. */
struct machine {
  int64_t work, a_thread, rows;
  int64_t calm_until, calm_from; /* turns between which a neighbour makes it ten times slower */
  unsigned noise;                /* percent, up to */
  uint32_t random;
  int64_t turn, ns, trials;
};

static int64_t time_of(struct machine *m, int threads) {
  const int64_t ns = m->work / threads + m->a_thread * (threads - 1);
  m->random = m->random * 1664525u + 1013904223u;
  const int64_t noisy = ns + ns * (int64_t)(m->random >> 16) * m->noise / 100 / 65536;
  const int busy = m->turn >= m->calm_until && m->turn < m->calm_from;
  return busy ? 10 * noisy : noisy;
}

static int turn(struct machine *m, struct choice *choice, int64_t sure, int most) {
  const int threads = nnpoly_choose(choice, sure, most);
  const int64_t ns = time_of(m, threads);
  nnpoly_took(choice, ns, m->rows > 0 ? m->rows : 1);
  m->turn++;
  m->ns += ns;
  m->trials += choice->timed;
  return threads;
}

static void turns(struct machine *m, struct choice *choice, int64_t count, int most) {
  for (int64_t i = 0; i < count; i++) turn(m, choice, 0, most);
}

/* The best of 1, 2, 4, ... and `most`. */
static int best(struct machine m, int most) {
  int found = 1;
  m.noise = 0;
  m.calm_from = 0;
  for (int threads = 1; threads < 2 * most; threads *= 2) {
    const int count = threads < most ? threads : most;
    if (time_of(&m, count) < time_of(&m, found)) found = count;
  }
  return found;
}

static void test_it_finds_the_best(void) {
  const int64_t works[] = {2000, 20000, 200000, 2000000, 20000000};
  const int mosts[] = {2, 3, 7, 16, 24, 64};
  for (unsigned i = 0; i < sizeof works / sizeof *works; i++) {
    for (unsigned j = 0; j < sizeof mosts / sizeof *mosts; j++) {
      struct choice choice = {0};
      struct machine m = {.work = works[i], .a_thread = 1500, .noise = 2};
      turns(&m, &choice, 1000, mosts[j]);
      struct machine other = m;
      other.noise = 0;
      const int64_t lowest = time_of(&other, best(m, mosts[j]));
      require(time_of(&other, choice.threads) <= lowest * 32 / 31 + 1,
              "it found less than the best");
      m.ns = m.trials = 0;
      turns(&m, &choice, 10000, mosts[j]);
      require(m.trials > 0 && m.trials < 10000 / 16, "too many trials, or none");
      require(m.ns < 10000 * lowest * 11 / 10, "trials take more than noise and a few percent");
    }
  }
}

static void test_a_burst_does_not_last(void) {
  for (int64_t start = 0; start < 200; start += 7) {
    struct choice choice = {0};
    struct machine m = {.work = 400000, .a_thread = 1000, .calm_until = start};
    m.calm_from = start + 1 + start % 40;
    turns(&m, &choice, m.calm_from + 1500, 32);
    require(choice.threads == best(m, 32), "a neighbour's burst fixed a choice");
  }
}

/* The other processors are taken for long, and free again. */
static void test_it_follows(void) {
  struct choice choice = {0};
  struct machine m = {.work = 400000, .a_thread = 1000};
  turns(&m, &choice, 5000, 32);
  require(choice.threads > 8, "it shares among few though many are free");
  m.a_thread = 10000000;
  turns(&m, &choice, 5000, 32);
  require(choice.threads == 1, "it shares where that takes longer");
  m.a_thread = 1000;
  m.ns = 0;
  turns(&m, &choice, 5000, 32);
  require(choice.threads > 8, "it does not come back");
}

static void test_what_is_not_timed(void) {
  struct choice choice = {0};
  struct machine m = {.work = 1000, .a_thread = 1000};
  for (int i = 0; i < 100; i++) require(turn(&m, &choice, 0, 1) == 1, "not alone");
  for (int i = 0; i < 100; i++) require(turn(&m, &choice, 4, 3) == 3, "less than is surely right");
  for (int i = 0; i < 100; i++) require(turn(&m, &choice, 24, 16) == 16, "less than is sure");
  require(m.trials == 0, "a trial of nothing");
  require(turn(&m, &choice, 5, 16) == 16, "the first turn is not all threads'");
  require(m.trials == 0, "the first turn is timed");
  for (int i = 0; i < 1000; i++) require(turn(&m, &choice, 5, 16) >= 4, "less than is sure");
  require(choice.threads == 4, "more than is best");
}

/* A batch in between that has fewer rows, and other numbers of threads. */
static void test_other_sizes_and_threads(void) {
  struct choice choice = {0};
  struct machine m = {.work = 4000000, .a_thread = 1000, .rows = 100};
  struct machine small = {.work = 600000, .a_thread = 1000, .rows = 15};
  for (int i = 0; i < 2000; i++) {
    turn(&m, &choice, 0, 32);
    require(turn(&small, &choice, 0, 5) <= 5, "more than there is work for");
  }
  require(choice.threads >= 16, "smaller batches moved it");
  require(nnpoly_set_num_threads(8) == NNPOLY_OK, "set_num_threads");
  require(turn(&m, &choice, 0, 8) == 8 && choice.threads == 1, "it does not begin again");
  require(nnpoly_set_num_threads(64) == NNPOLY_OK, "set_num_threads");
}

int main(void) {
  require(nnpoly_set_num_threads(64) == NNPOLY_OK, "set_num_threads");
  test_it_finds_the_best();
  test_a_burst_does_not_last();
  test_it_follows();
  test_what_is_not_timed();
  test_other_sizes_and_threads();
  return 0;
}
