/* Shared by the files of the core: jobs, the table of kernels, the pool. Not public. */
#ifndef NNPOLY_CORE_H
#define NNPOLY_CORE_H

#include <stddef.h>
#include <stdint.h>

#include "nnpoly.h"

/* A matrix product C = A B, and the element-wise part that is applied to C while it is in the
 * cache. Its forms, as a layer names them (stored shapes; M, N, K are the product's):
 *
 *   FORWARD    C: pre (M, N) = x (M, K) W^T, W: (N, K); then pre += bias, and the epilogue
 *   DELTA      C: out (M, N) = delta (M, K) W (K, N);   then back through the epilogue
 *   GRADIENT   C: dW (M, N) = delta^T x, delta: (K, M), x: (K, N)
 */
enum form { FORWARD, DELTA, GRADIENT };

/* Inverted dropout, as nnpoly_dropout_scale draws its factors. */
struct dropout {
  double rate;
  uint32_t key, path;
  int8_t *kept; /* as large as what is dropped: -1 where an element is kept, else 0. Forward writes
                 * it, so that the way back need not draw again. NULL: there is none, and an
                 * epilogue drops nothing */
};

static inline int is_rate(double rate) { return rate >= 0 && rate < 1; }

/* What follows a layer's sums, element by element: post = sigma(pre), and the dropout of post. Back
 * through it: d_post is added to, dropped alike, and times sigma'. Arrays as large as the sums'. */
struct epilogue {
  int activation;
  double a;
  struct dropout dropout; /* pre's place then has post before it, where pre is not read */
  void *post;             /* forward */
  const void *plus;       /* back: what else d_post is the sum of, or NULL */
  const void *read;       /* back: what sigma' reads, or NULL for nothing */
};

struct product {
  enum form form;
  const void *A, *B;
  void *C; /* FORWARD: pre where it is kept, else post */
  int64_t M, N, K;
  /* Elements from one stored row to the next, and the column of C's rows that the product begins
   * in: other matrices may stand beside these. width: columns of what the epilogue is of. See
   * nnpoly_whole. */
  int64_t A_stride, B_stride, C_stride, C_column, width;
  double factor;            /* of W: FORWARD and DELTA: of B; GRADIENT: of C once it is complete */
  const void *bias;         /* (N,), FORWARD; or NULL for zeros */
  void *sums;               /* (M,), GRADIENT: the columns' sums of delta; or NULL */
  struct epilogue epilogue; /* FORWARD: its own; DELTA: of the layer that C is the delta of */
  const int64_t *rows;      /* row i of x is stored at rows[i], and not at i; or NULL */
  /* GRADIENT: the update of each element once it is complete, or NULL. C and the sums are parts of
   * update->g, at these places. */
  const struct update *update;
  int64_t C_at, sums_at;
  int rounds; /* whether both factors are rounded to bfloat16; of the kernels alone */
};

/* A product of matrices that stand alone. */
static inline struct product nnpoly_whole(struct product p) {
  p.A_stride = p.form == GRADIENT ? p.M : p.K;
  p.B_stride = p.form == FORWARD ? p.K : p.N;
  p.C_stride = p.width = p.N;
  return p;
}

/* By the order of enum nnpoly_activation. */
static inline int known(int activation) {
  return activation >= 0 && activation < NNPOLY_ACTIVATIONS;
}
static inline int reads_nothing(int activation) { return activation <= NNPOLY_LINEAR; }
static inline int reads_pre(int activation) {
  return activation >= NNPOLY_LEAKY_RELU && activation <= NNPOLY_GELU_TANH;
}

struct rect { /* rows i0..i1-1 and columns j0..j1-1 of C */
  int64_t i0, i1, j0, j1;
};

/* A loss is the sum of at most MOST_CHUNKS partial ones, of chunk_rows rows each, so that it
 * depends neither on the threads nor on the vectors' width. */
enum { MOST_CHUNKS = 64, CHUNK_STEP = 16 };

struct loss {
  int kind;                    /* enum nnpoly_loss */
  double a;                    /* as in nnpoly_element_loss and nnpoly_focal */
  const void *scores;          /* (n, K) */
  const void *y;               /* (n, K), or NULL where labels are given */
  const int64_t *labels;       /* (n,) or NULL */
  const void *weights;         /* (n,), of the rows; or NULL */
  double kept, added;          /* kept y + added takes the place of y, unless added is 0 */
  void *delta;                 /* (n, K) */
  int64_t n, K, chunk_rows;    /* chunk_rows: a multiple of CHUNK_STEP, see nnpoly_cut_loss */
  double partial[MOST_CHUNKS]; /* n times the loss of each chunk's rows */
};

struct update {
  int rule;
  void *w, *m, *s, *peak; /* (count,) */
  void *g;                /* (count,) */
  double learning_rate, beta1, beta2, weight_m, weight_g, unbias_s, eps;
  int eps_inside;
  double weight_decay; /* as in nnpoly_training, before the rule, unless 0 */
  int decoupled;
  const struct nnpoly_segment *segments; /* up to `count`, or NULL: all factors are 1 */
  int segment_count;
  void *average; /* (count,) or NULL; after the rule: average = ema average + (1 - ema) w */
  double ema;
  /* (count,) or NULL. Of a batch of a step on several: nothing of the above, but total += rows g;
   * total = rows g, if it is the first. */
  void *total;
  int64_t rows;
  int first;
};

static inline int is_of_softmax(int loss) {
  return loss == NNPOLY_CROSS_ENTROPY || loss == NNPOLY_FOCAL;
}
static inline int wants_probabilities(int loss) {
  return is_of_softmax(loss) || loss == NNPOLY_LOGISTIC || loss == NNPOLY_FOCAL_SIGMOID;
}

static inline int uses_m(int rule) {
  return rule != NNPOLY_SGD && rule != NNPOLY_ADAGRAD && rule != NNPOLY_RMSPROP;
}
static inline int uses_s(int rule) { return rule >= NNPOLY_ADAGRAD && rule <= NNPOLY_AMSGRAD; }

struct dropped { /* factors alone */
  void *out;     /* (n, m) */
  int64_t m;
  struct dropout dropout;
};

/* C = a + b and the epilogue: FORWARD; or DELTA, where C becomes the delta of the layer below. */
struct sum {
  enum form form;
  const void *a;       /* (n, m); in place if C is a */
  const int64_t *rows; /* row i of a is stored at rows[i], and not at i; or NULL */
  const void *b;       /* (n, m) or NULL */
  void *C;             /* (n, m) */
  int64_t m;
  struct epilogue epilogue;
};

/* x^ = (x - mean) * scale, of each column of x (axis 0) or each row (axis 1), and gain x^ + shift.
 */
struct norm {
  int axis;
  int64_t n, m;
  double eps;
  const void *x;                 /* (n, m) */
  void *mean, *scale, *variance; /* of what is normalised: (m,) or (n,); variance may be NULL */
  const void *gain, *shift;      /* (m,) */
  const void *delta;             /* (n, m), by gain x^ + shift */
  void *dgain, *dshift;          /* (m,) */
  void *C;                  /* (n, m): forward as a product's; back, the delta of the layer below */
  struct epilogue epilogue; /* forward: its own; back: of the layer below */
};

/* A layer for tables: from SCALE to MEMBER_SCALE. What is not asked for is not looked at. */
struct tabular {
  const struct nnpoly_layer *layer;
  int64_t n;
  const void *x;            /* (n, inputs) */
  const void *w[4];         /* the arrays of its parameters, in their order; NULL for no phases */
  const void *post;         /* (n, outputs), back */
  const void *delta;        /* (n, outputs), by pre */
  void *gradients[4];       /* like w */
  void *C;                  /* forward as a product's; back, the delta of the layer below */
  struct epilogue epilogue; /* forward: its own; back: of the layer below */
};

/* Of a PIECEWISE: the bins of the column that has the most. */
static inline int64_t most_bins(const struct nnpoly_layer *layer) {
  int64_t most = 0;
  for (int64_t i = 0; i < layer->columns; i++)
    if (layer->sizes[i] > most) most = layer->sizes[i];
  return most;
}

/* On some of its rows; the gradients on some of its units, see nnpoly_units. scratch: of as many
 * bytes as nnpoly_tabular_scratch says. */
typedef void tabular_kernel(const struct tabular *, int64_t start, int64_t stop, void *scratch);
struct tabular_kernels {
  tabular_kernel *forward, *delta, *gradients;
};
enum { FIRST_TABULAR = NNPOLY_SCALE, TABULARS = NNPOLY_MEMBER_SCALE - NNPOLY_SCALE + 1 };

/* On some of its rows, or of its columns. */
typedef void norm_kernel(const struct norm *, int64_t start, int64_t stop);

/* Sums over a vector add up chunks of this many elements, for the same reason. */
enum { CHUNK = 4096 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* How many pieces of up to `each` cover `whole`. */
static inline int64_t pieces_of(int64_t whole, int64_t each) { return (whole + each - 1) / each; }

/* The kernels of one ISA and element type. Ranges are half-open, in elements, or rows if so named.
 */
struct kernels {
  int tile_rows, tile_columns; /* of the register tile: where a product is best cut */
  size_t product_scratch;      /* bytes that `product` needs */
  size_t row_scratch;          /* bytes a column that `softmax` and the losses of it need */
  void (*product)(const struct product *, struct rect, void *scratch);
  void (*activate)(const void *pre, void *post, int64_t i0, int64_t i1, int activation, double a);
  void (*activation_delta)(const void *d_post, const void *read, void *out, int64_t i0, int64_t i1,
                           int activation, double a);
  void (*softmax)(const void *scores, void *f, int64_t row0, int64_t row1, int64_t K,
                  void *scratch);
  /* Write delta, and return the rows' n times loss. */
  double (*cross_entropy)(const struct loss *, int64_t row0, int64_t row1, void *scratch);
  double (*focal)(const struct loss *, int64_t row0, int64_t row1, void *scratch);
  double (*element_loss)(const struct loss *, int64_t row0, int64_t row1);
  double (*sum_of_squares)(const void *g, int64_t i0, int64_t i1); /* one chunk */
  void (*scale)(const void *g, void *out, int64_t i0, int64_t i1, double factor);
  void (*add_scaled)(void *g, const void *w, int64_t i0, int64_t i1, double factor);
  void (*divide)(const void *x, void *out, int64_t i0, int64_t i1, double divisor);
  void (*update)(const struct update *, int64_t i0, int64_t i1);
  void (*dropout)(const struct dropped *, int64_t row0, int64_t row1);
  void (*add)(const struct sum *, int64_t row0, int64_t row1);
  norm_kernel *row_moments, *column_moments; /* mean, variance and scale */
  void (*inverse_roots)(const void *variance, void *out, int64_t count, double eps);
  void (*move_towards)(void *running, const void *batch, int64_t i0, int64_t i1, double step);
  norm_kernel *normalise;                   /* of rows of x: C */
  norm_kernel *row_delta;                   /* of rows of delta, axis 1: C */
  norm_kernel *column_delta;                /* the same, axis 0; it reads dgain and dshift */
  norm_kernel *norm_gradients;              /* of columns: dgain and dshift */
  struct tabular_kernels tabular[TABULARS]; /* by kind */
  /* Of columns of x: (n, m); of rows of f: (n, members, K). */
  void (*column_sums)(const void *x, void *sums, int64_t n, int64_t m, int64_t column0,
                      int64_t column1);
  void (*members_mean)(const void *f, void *out, int64_t row0, int64_t row1, int64_t members,
                       int64_t K);
};

#if defined(__x86_64__)
extern const struct kernels nnpoly_avx512_f32, nnpoly_avx512_f64, nnpoly_avx512_bf16;
extern const struct kernels nnpoly_dot_bf16, nnpoly_amx_bf16; /* with AVX-512's float32 */
extern const struct kernels nnpoly_avx2_f32, nnpoly_avx2_f64, nnpoly_avx2_bf16;
extern const struct kernels nnpoly_baseline_f32, nnpoly_baseline_f64, nnpoly_baseline_bf16;
#elif defined(__aarch64__)
extern const struct kernels nnpoly_neon_f32, nnpoly_neon_f64, nnpoly_neon_bf16;
#else
extern const struct kernels nnpoly_baseline_f32, nnpoly_baseline_f64, nnpoly_baseline_bf16;
#endif

/* kernels/bf16.h: whether dot products of pairs are faster than the multiply-adds they stand for.
 */
int nnpoly_dots_pay(void);

/* cpu.c: the kernels of the ISA in use. */
const struct kernels *nnpoly_kernels(int dtype);

/* cpu.c: the cache of data of level 1 or 2: the bytes after which addresses fall on the same set,
 * and how many lines a set holds. */
struct cache {
  int64_t way_bytes;
  int ways;
};
struct cache nnpoly_cache(int level);

/* cpu.c: have this thread read and write denormal numbers as 0, or as they are. Returns the setting
 * before. */
uint64_t nnpoly_flush_denormals(void);
uint64_t nnpoly_keep_denormals(void);
void nnpoly_restore_denormals(uint64_t before);

/* pool.c: call part(job, index, parts, scratch) for every index in 0..parts-1, the caller taking
 * part. scratch: `bytes` bytes, aligned to a page, of the thread's own. Nothing is called if it
 * cannot be allocated. */
typedef void part_function(const void *job, int index, int parts, void *scratch);
int nnpoly_run(part_function *part, const void *job, int parts, size_t bytes);

/* pool.c: a clock that only goes forward. */
int64_t nnpoly_now_ns(void);

/* share.c. How many parts: as many as there are threads, but none below so much work. Below these a
 * part takes about as long as waking a thread, and fetching what another one left in its cache. */
#define PART_PRODUCT ((int64_t)1 << 19) /* multiply-adds */
#define PART_ELEMENTS ((int64_t)1 << 14)
#define PART_BYTES ((int64_t)1 << 18)
int nnpoly_parts(int64_t work, int64_t per_part);

/* share.c: the same for work that comes in so many pieces, which are not cut. */
int nnpoly_parts_of(int64_t pieces, int64_t work, int64_t per_part);

/* Elements are cut at multiples of a cache line, whatever the type; rows where vectors lie across
 * them, at a few vectors. */
#define STEP_ELEMENTS 16
#define ROWS_STEP 64

/* share.c: part `index` of 0..count-1, cut at multiples of `step`. */
struct range {
  int64_t start, stop;
};
struct range nnpoly_cut(int64_t count, int index, int parts, int64_t step);

/* share.c: a product; by so many threads at most; and a part of it, which may be called in a part
 * of something larger. */
int nnpoly_run_product(const struct kernels *, const struct product *);
int nnpoly_share_product(const struct kernels *, const struct product *, int most);
void nnpoly_product_part(const struct kernels *, const struct product *, int index, int parts,
                         void *scratch);

/* share.c: bytes for products, and for softmax and losses of rows with K outputs. */
size_t nnpoly_scratch(const struct kernels *, int64_t K);

/* share.c: the dropout of n rows. */
int nnpoly_run_dropout(const struct kernels *, const struct dropped *, int64_t n);

/* share.c: a kernel of normalisation on all of its `count` rows or columns. */
int nnpoly_run_norm(norm_kernel *, const struct norm *, int64_t count);

/* share.c: an optimiser's step on `count` elements. */
int nnpoly_run_update(const struct kernels *, const struct update *, int64_t count);

/* share.c: a loss's partial ones and delta; its chunk_rows, chosen by n alone; those of its rows
 * row0..row1-1, cut at multiples of chunk_rows; its mean, once all partial ones are there. */
int nnpoly_run_loss(const struct kernels *, struct loss *);
void nnpoly_cut_loss(struct loss *);
void nnpoly_loss_rows(const struct kernels *, struct loss *, int64_t row0, int64_t row1,
                      void *scratch);
void nnpoly_mean_loss(int dtype, const struct loss *, void *mean);

#endif
