/* How a product is cut into parts: whole, once, and evenly. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

enum { MOST_M = 130, MOST_N = 1100, COLUMNS = 32, MOST_PARTS = 70 };

static void require(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "test_share: %s\n", what);
    exit(1);
  }
}

static unsigned char covered[MOST_M][MOST_N];
static int64_t largest; /* rows times columns of a part, and what it packs, for each k */
static int count;

static int64_t cost(int form, int64_t rows, int64_t columns) {
  return rows * columns + (form == FORWARD ? 8 : 2) * columns + 2 * rows;
}

static void record(const struct product *p, struct rect r, void *scratch) {
  (void)scratch;
  require(r.i0 >= 0 && r.i1 <= p->M && r.j0 >= 0 && r.j1 <= p->N, "a part outside");
  require(r.i0 < r.i1 && r.j0 < r.j1, "an empty part");
  require(r.j0 % COLUMNS == 0 && r.i0 % 2 == 0, "a part that begins within a vector or a pair");
  for (int64_t i = r.i0; i < r.i1; i++)
    for (int64_t j = r.j0; j < r.j1; j++) covered[i][j]++;
  const int64_t own = cost(p->form, r.i1 - r.i0, r.j1 - r.j0);
  largest = own > largest ? own : largest;
  count++;
}

static const struct kernels RECORDER = {.tile_columns = COLUMNS, .product = record};

/* The largest part of the best grid with a part in each of down x across. */
static int64_t best_grid(const struct product *p, int parts) {
  int64_t best = INT64_MAX;
  for (int down = 1; down <= parts; down++) {
    for (int across = 1; down * across <= parts; across++) {
      const struct range rows = nnpoly_cut(p->M, 0, down, 2),
                         columns = nnpoly_cut(p->N, 0, across, COLUMNS);
      best = least(best, cost(p->form, rows.stop, columns.stop));
    }
  }
  return best;
}

static void test_product(enum form form, int64_t M, int64_t N, int parts) {
  const struct product p = {.form = form, .M = M, .N = N, .K = 10};
  memset(covered, 0, sizeof covered);
  largest = count = 0;
  for (int i = 0; i < parts; i++) nnpoly_product_part(&RECORDER, &p, i, parts, NULL);
  for (int64_t i = 0; i < MOST_M; i++)
    for (int64_t j = 0; j < MOST_N; j++)
      require(covered[i][j] == (i < M && j < N), "an element is not in one part");
  require(count <= parts, "more parts than were asked for");
  require(parts == 1 || largest == best_grid(&p, parts), "a part is larger than it need be");
}

int main(void) {
  const int64_t Ms[] = {1, 2, 5, 17, 64, 128}, Ns[] = {1, 10, 33, 512, 1000};
  for (unsigned i = 0; i < sizeof Ms / sizeof *Ms; i++)
    for (unsigned j = 0; j < sizeof Ns / sizeof *Ns; j++)
      for (int parts = 1; parts <= MOST_PARTS; parts += parts < 26 ? 1 : 11)
        for (int form = FORWARD; form <= GRADIENT; form++)
          test_product((enum form)form, Ms[i], Ns[j], parts);
  test_product(FORWARD, 64, 64, 7);
  require(count == 6, "slivers, for a number of parts is prime");
  test_product(FORWARD, 17, 10, 7);
  require(count == 5, "more parts, and none smaller");
  require(nnpoly_set_num_threads(64) == NNPOLY_OK, "set_num_threads");
  require(nnpoly_parts(100, 10) == 10 && nnpoly_parts(100, 1) == 64, "parts of so much work");
  require(nnpoly_parts_of(3, 100, 10) == 3 && nnpoly_parts_of(0, 100, 10) == 1, "parts of pieces");
  return 0;
}
