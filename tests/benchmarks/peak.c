/* Prints the multiply-adds that this processor does, in GFLOP/s, on as many threads as the argument
 * says: fused ones of -DREAL=float or -DREAL=double; or, with -DPAIRS too, the fastest of those and
 * of pairs of bfloat16, by AVX512_BF16's dot products or by AMX's tiles. Compile with -march=native
 * -O2 -pthread. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(PAIRS) && defined(__AVX512BF16__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

static void *fused(void *out) {
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

#if defined(PAIRS) && defined(__AVX512BF16__)
static void *dots(void *out) {
  const vec a = (vec){0} + *(REAL *)out;
  vec sums[CHAINS];
  for (int i = 0; i < CHAINS; i++) sums[i] = (vec){0} + (REAL)i;
  for (int k = 0; k < ROUNDS; k++) {
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) {
      sums[i] = (vec)_mm512_dpbf16_ps((__m512)sums[i], (__m512bh)a, (__m512bh)a);
      __asm__ volatile("" : "+v"(sums[i])); /* a result that is wanted */
    }
  }
  for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
  *(REAL *)out = sums[0][0];
  return NULL;
}
#endif

#if defined(PAIRS) && defined(__AMX_BF16__)
enum { SQUARE = 16, TILE_ROUNDS = ROUNDS / 2 };

static int may_use_tiles(void) {
  enum { REQUEST = 0x1023, TILE_DATA = 18 };
  return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

static void *tiles(void *out) {
  static const struct {
    unsigned char palette, start_row, reserved[14];
    unsigned short row_bytes[16];
    unsigned char rows[16];
  } config = {.palette = 1,
              .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
              .rows = {SQUARE, SQUARE, SQUARE, SQUARE, SQUARE, SQUARE, SQUARE, SQUARE}};
  REAL C[SQUARE * SQUARE];
  _tile_loadconfig(&config);
  memset(C, 0, sizeof C);
  _tile_loadd(4, C, BYTES);
  _tile_loadd(5, C, BYTES);
  _tile_loadd(6, C, BYTES);
  _tile_loadd(7, C, BYTES);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int k = 0; k < TILE_ROUNDS; k++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, C, BYTES);
  _tile_release();
  *(REAL *)out = C[0];
  return NULL;
}
#endif

/* GFLOP/s of the fastest of a few runs, each of which does so many multiply-adds. */
static double rate(void *(*run)(void *), double multiply_adds, int count) {
  double best = 0;
  for (int repeat = 0; repeat < REPEATS; repeat++) {
    pthread_t threads[MOST_THREADS];
    REAL out[MOST_THREADS];
    const double start = now();
    for (int i = 0; i < count; i++) {
      out[i] = (REAL)0.999;
      if (pthread_create(&threads[i], NULL, run, &out[i]) != 0) exit(1);
    }
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    const double found = 2e-9 * multiply_adds * count / (now() - start);
    if (found > best) best = found;
  }
  return best;
}

int main(int argc, char **argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 1;
  const double lanes = BYTES / sizeof(REAL), each = lanes * CHAINS * ROUNDS;
  if (count < 1 || count > MOST_THREADS) return 2;
  double best = rate(fused, each, count), other = 0;
#if defined(PAIRS) && defined(__AVX512BF16__)
  other = rate(dots, 2 * each, count);
  if (other > best) best = other;
#endif
#if defined(PAIRS) && defined(__AMX_BF16__)
  if (may_use_tiles()) other = rate(tiles, 4.0 * 2 * SQUARE * SQUARE * SQUARE * TILE_ROUNDS, count);
  if (other > best) best = other;
#endif
  (void)other;
  printf("%.1f\n", best);
  return 0;
}
