/* What the files of the core share: jobs, the table of kernels, the pool. Not public. */
#ifndef NNPOLY_CORE_H
#define NNPOLY_CORE_H

#include <stddef.h>
#include <stdint.h>

#include "nnpoly.h"

/* A matrix product C = A B with what is applied to C while it is hot. Its forms, as a layer names
 * them (stored shapes; M, N, K are the product's):
 *
 *   FORWARD    C: pre (M, N) = x (M, K) W^T, W: (N, K); then pre += bias, post = sigma(pre)
 *   DELTA      C: out (M, N) = delta (M, K) W (K, N);   then out *= sigma'(read)
 *   GRADIENT   C: dW (M, N) = delta^T x, delta: (K, M), x: (K, N)
 */
enum form { FORWARD, DELTA, GRADIENT };

struct product {
  enum form form;
  const void *A, *B;
  void *C; /* FORWARD: pre where it is kept, else post */
  int64_t M, N, K;
  const void *bias; /* (N,), FORWARD */
  void *post;       /* (M, N), FORWARD */
  const void *read; /* (M, N) or NULL, DELTA */
  void *sums;       /* (M,), GRADIENT: the columns' sums of delta */
  int activation;
  double a;
};

struct rect { /* rows i0..i1-1 and columns j0..j1-1 of C */
  int64_t i0, i1, j0, j1;
};

struct loss {
  const void *scores;    /* (n, K) */
  const void *y;         /* (n, K), or NULL where labels are given */
  const int64_t *labels; /* (n,) or NULL */
  void *delta;           /* (n, K) */
  double *partial;       /* one a chunk: its part of n times the loss */
  int64_t n, K;
};

struct update {
  int rule;
  void *w, *m, *s, *peak; /* (count,) */
  const void *g;          /* (count,) */
  double learning_rate, beta1, beta2, weight_m, weight_g, unbias_s, eps;
  int eps_inside;
};

struct dropout {
  void *out; /* (n, m) */
  int64_t m;
  double rate;
  uint32_t key, path;
};

/* Reductions add up chunks of this many elements (CHUNK_ROWS rows, for those by rows) each, so
 * that the result depends neither on the threads nor on the vectors' width. */
#define CHUNK 4096
#define CHUNK_ROWS 64

/* api.c: whether layers follow each other, with known activations. */
int nnpoly_sound_layers(const struct nnpoly_layer *layers, int depth);

/* The kernels of one ISA and element type. Ranges are half-open, in elements, or rows if so named.
 */
struct kernels {
  int tile_rows, tile_columns; /* of the register tile: where a product is best cut */
  size_t product_scratch;      /* bytes that `product` needs */
  size_t row_scratch;          /* bytes a column that `softmax` and `cross_entropy` need */
  void (*product)(const struct product *, struct rect, void *scratch);
  void (*activate)(const void *pre, void *post, int64_t i0, int64_t i1, int activation, double a);
  void (*activation_delta)(const void *d_post, const void *read, void *out, int64_t i0, int64_t i1,
                           int activation, double a);
  void (*softmax)(const void *scores, void *f, int64_t row0, int64_t row1, int64_t K,
                  void *scratch);
  void (*cross_entropy)(const struct loss *, int64_t chunk, void *scratch); /* CHUNK_ROWS rows */
  void (*logistic)(const struct loss *, int64_t chunk);                     /* CHUNK elements */
  void (*squared_error)(const struct loss *, int64_t chunk);                /* CHUNK elements */
  double (*sum_of_squares)(const void *g, int64_t i0, int64_t i1);          /* one chunk */
  void (*scale)(const void *g, void *out, int64_t i0, int64_t i1, double factor);
  void (*add_scaled)(void *g, const void *w, int64_t i0, int64_t i1, double factor);
  void (*update)(const struct update *, int64_t i0, int64_t i1);
  void (*dropout)(const struct dropout *, int64_t row0, int64_t row1);
};

#if defined(__x86_64__)
extern const struct kernels nnpoly_avx512_f32, nnpoly_avx512_f64;
extern const struct kernels nnpoly_avx2_f32, nnpoly_avx2_f64;
extern const struct kernels nnpoly_baseline_f32, nnpoly_baseline_f64;
#elif defined(__aarch64__)
extern const struct kernels nnpoly_neon_f32, nnpoly_neon_f64;
#else
extern const struct kernels nnpoly_baseline_f32, nnpoly_baseline_f64;
#endif

/* cpu.c: the kernels of the ISA in use. */
const struct kernels *nnpoly_kernels(int dtype);

/* cpu.c: have this thread read and write denormal numbers as 0. Returns what `restore` needs. */
uint64_t nnpoly_flush_denormals(void);
void nnpoly_restore_denormals(uint64_t before);

/* pool.c: call part(job, index, parts, scratch) for every index in 0..parts-1, the caller taking
 * part. scratch: `bytes` bytes, aligned to a page, of the thread's own. Nothing is called if it
 * cannot be allocated. */
typedef void part_function(const void *job, int index, int parts, void *scratch);
int nnpoly_run(part_function *part, const void *job, int parts, size_t bytes);

#endif
