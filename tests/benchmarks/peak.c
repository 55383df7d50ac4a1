/* Prints the fused multiply-adds that this processor does, in GFLOP/s, on as many threads as the
 * argument says. Compile with -march=native -O2 -pthread and -DREAL=float or -DREAL=double. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else
#define BYTES 16
#endif

/* More chains than latency times throughput, and few enough for the registers. */
enum { CHAINS = BYTES == 64 ? 24 : 12, ROUNDS = 4000000, REPEATS = 7, MOST_THREADS = 256 };
typedef REAL vec __attribute__((vector_size(BYTES)));

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *run(void *out) {
  const vec a = (vec){0} + *(REAL *)out, b = (vec){0} + (REAL)1e-3;
  vec sums[CHAINS];
  for (int i = 0; i < CHAINS; i++) sums[i] = b * (REAL)i;
  for (int k = 0; k < ROUNDS; k++) {
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * a + b;
  }
  for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
  *(REAL *)out = sums[0][0];
  return NULL;
}

int main(int argc, char **argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 1;
  double best = 0;
  if (count < 1 || count > MOST_THREADS) return 2;
  for (int repeat = 0; repeat < REPEATS; repeat++) {
    pthread_t threads[MOST_THREADS];
    REAL out[MOST_THREADS];
    const double start = now();
    for (int i = 0; i < count; i++) {
      out[i] = (REAL)0.999;
      if (pthread_create(&threads[i], NULL, run, &out[i]) != 0) return 1;
    }
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    const double lanes = BYTES / sizeof(REAL);
    const double rate = 2e-9 * lanes * CHAINS * ROUNDS * count / (now() - start);
    if (rate > best) best = rate;
  }
  printf("%.1f\n", best);
  return 0;
}
