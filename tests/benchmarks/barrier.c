/* Prints what it costs to share nothing among as many threads as the argument says, in nanoseconds:
 * a line of samples each of nnpoly_run with workers that look for a job, with workers that sleep,
 * of how long the caller took to wake those, and of how long it takes to read a cache line that the
 * last thread wrote. Compile with cext/pool.c and -Icext. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core.h"

enum { SAMPLES = 15, RUNS = 1000, IDLE_NS = 2000000, LINES = 1024, FLOATS_A_LINE = 16 };

uint64_t nnpoly_flush_denormals(void) { return 0; }
void nnpoly_restore_denormals(uint64_t before) { (void)before; }

static int64_t begun; /* the caller's part */

static void nothing(const void *job, int index, int parts, void *scratch) {
  (void)job, (void)parts, (void)scratch;
  if (index == 0) begun = nnpoly_now_ns();
}

static _Alignas(4096) volatile float lines[LINES * FLOATS_A_LINE];

static void write_lines(const void *job, int index, int parts, void *scratch) {
  (void)job, (void)scratch;
  for (int i = 0; index == parts - 1 && i < LINES; i++) lines[i * FLOATS_A_LINE] = (float)i;
}

static double read_line(int threads) {
  nnpoly_run(write_lines, NULL, threads, 0);
  float sum = 0;
  const int64_t start = nnpoly_now_ns();
  for (int i = 0; i < LINES; i++) sum += lines[i * FLOATS_A_LINE];
  return sum > 0 ? (double)(nnpoly_now_ns() - start) / LINES : 0;
}

static int64_t run(int threads, int count) {
  const int64_t start = nnpoly_now_ns();
  for (int i = 0; i < count; i++)
    if (nnpoly_run(nothing, NULL, threads, 0) != NNPOLY_OK) exit(1);
  return nnpoly_now_ns() - start;
}

static void print(const char *name, const double *samples) {
  printf("%s", name);
  for (int i = 0; i < SAMPLES; i++) printf(" %.1f", samples[i]);
  printf("\n");
}

int main(int argc, char **argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 2;
  const struct timespec idle = {0, IDLE_NS};
  double awake[SAMPLES], asleep[SAMPLES], waking[SAMPLES], line[SAMPLES];
  run(threads, RUNS);
  for (int i = 0; i < SAMPLES; i++) awake[i] = (double)run(threads, RUNS) / RUNS;
  for (int i = 0; i < SAMPLES; i++) {
    nanosleep(&idle, NULL);
    const int64_t start = nnpoly_now_ns();
    asleep[i] = (double)run(threads, 1);
    waking[i] = (double)(begun - start);
  }
  print("awake", awake);
  print("asleep", asleep);
  print("waking", waking);
  for (int i = 0; i < SAMPLES; i++) line[i] = read_line(threads);
  print("line", line);
  return 0;
}
