#include "typed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int dtype;
enum side side;
static const char *isa, *pairs;
static int threads;

void fail(const char *what, double got, double want) {
  static const char *const types[] = {"float32", "float64", "bfloat16"};
  fprintf(stderr, "%s, %s, %s, %d threads, %s: %s: got %.17g, want %.17g\n", isa, pairs,
          types[dtype], threads, side == AT_START ? "start" : "end", what, got, want);
  exit(1);
}

void ok(const char *what, int status) {
  if (status != NNPOLY_OK) fail(what, status, NNPOLY_OK);
}

double get(const void *array, int64_t i) {
  return dtype != NNPOLY_FLOAT64 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

void set(void *array, int64_t i, double value) {
  if (dtype != NNPOLY_FLOAT64)
    ((float *)array)[i] = (float)value;
  else
    ((double *)array)[i] = value;
}

void *room(int64_t count) {
  return guarded((size_t)count * (dtype != NNPOLY_FLOAT64 ? 4 : 8), side);
}

double draw(double low) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return low + (double)(state >> 11) / 9007199254740992.0;
}

void *filled(int64_t count, double low) {
  void *array = room(count);
  for (int64_t i = 0; i < count; i++) set(array, i, draw(low));
  return array;
}

const void *input(int64_t count) {
  void *array = filled(count, -0.5);
  guarded_read_only(array);
  return array;
}

void near(const char *what, double got, double want, double terms, double scale) {
  const double eps = dtype != NNPOLY_FLOAT64 ? 1.2e-7 : 2.3e-16;
  if (!(fabs(got - want) <= 8 * eps * sqrt(terms + 1) * (scale + fabs(want))))
    fail(what, got, want);
}

static void test_type(void (*test)(void)) {
  for (threads = 1; threads <= 2; threads++) {
    ok("threads", nnpoly_set_num_threads(threads));
    for (side = AT_START; side <= AT_END; side++) test();
  }
}

void in_every_configuration(void (*test)(void)) {
  for (int i = 0; (isa = nnpoly_isa_name(i)) != NULL; i++) {
    if (!nnpoly_isa_runs(isa)) continue;
    ok("isa", nnpoly_set_isa(isa));
    pairs = nnpoly_pairs();
    for (dtype = NNPOLY_FLOAT32; dtype <= NNPOLY_BFLOAT16; dtype++) test_type(test);
  }
  dtype = NNPOLY_BFLOAT16;
  ok("isa", nnpoly_set_isa(isa = nnpoly_isa_name(0)));
  for (int i = 0; (pairs = nnpoly_pairs_name(i)) != NULL; i++) {
    if (!nnpoly_pairs_run(pairs)) continue;
    ok("pairs", nnpoly_set_pairs(pairs));
    test_type(test);
  }
}
