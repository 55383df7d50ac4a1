/* nnpoly: the C core. This header is the contract; the Python side is
 * nnpoly/backends/numpy/core.py.
 *
 * Arrays are dense and row-major, of the element type that `dtype` names; every pointer must be
 * aligned to its element. An output may not overlap an input unless a comment says "in place".
 * Functions check that, and refuse instead of computing; sizes may be 0. A shape comment (n, m)
 * means n rows of m elements. Vectors of the library: x inputs, W weights, b bias, pre and post
 * activations, delta = d loss / d pre.
 *
 * Results are bitwise the same for every number of threads, and for every ISA that has fused
 * multiply-add (avx2, avx512, neon), but BFLOAT16's with AMX. Denormal numbers are read as 0 and
 * written as 0.
 *
 * Functions may be called from any thread, and after fork(). While one call uses the workers, a
 * call from another thread runs on that thread alone.
 */
#ifndef NNPOLY_H
#define NNPOLY_H

#include <stdint.h>

/* The block between the marks is read by cffi: declarations only. */
/* cffi: begin */

/* What a function returns. Unless it is NNPOLY_OK, no output was written. */
enum nnpoly_status {
  NNPOLY_OK = 0,
  NNPOLY_NO_MEMORY = 1,  /* the workspace could not be allocated */
  NNPOLY_NULL = 2,       /* a required pointer is NULL, while its array is not empty */
  NNPOLY_MISALIGNED = 3, /* a pointer is not a multiple of the element's size */
  NNPOLY_SHAPE = 4,      /* a size is negative, or an array has more bytes than memory can */
  NNPOLY_OVERLAP = 5,    /* an output overlaps another argument */
  NNPOLY_RANGE = 6,      /* an index or a target is out of range, or a code is unknown */
  NNPOLY_NO_ISA = 7      /* this processor, or this build, does not have that ISA */
};

/* BFLOAT16: arrays of float32, of which both factors of a product are rounded to bfloat16: to the
 * nearest number, of two as near to the even one; below the least normal number to 0. Sums, and all
 * but products, are float32's. */
enum nnpoly_dtype { NNPOLY_FLOAT32 = 0, NNPOLY_FLOAT64 = 1, NNPOLY_BFLOAT16 = 2 };

/* sigma, and the array that its derivative reads. `a` is the parameter of those that have one. The
 * order is that of nnpoly/backends/codes.py, and those that read alike stand side by side. */
enum nnpoly_activation {
  NNPOLY_STEP,       /* 1 if z >= 0 else 0          none */
  NNPOLY_IDENTITY,   /* z                           none */
  NNPOLY_LINEAR,     /* a z                         none */
  NNPOLY_SIGMOID,    /* 1 / (1 + exp(-z))           post */
  NNPOLY_TANH,       /* tanh z                      post */
  NNPOLY_RELU,       /* max(z, 0)                   post */
  NNPOLY_LEAKY_RELU, /* z if z > 0 else a z         pre  */
  NNPOLY_ELU,        /* z if z > 0 else a expm1(z)  pre  */
  NNPOLY_SELU,       /* 1.0507 z if z > 0 else 1.7581 expm1(z)  pre */
  NNPOLY_SOFTPLUS,   /* log(1 + exp(z))             pre  */
  NNPOLY_SILU,       /* z sigmoid(z)                pre  */
  NNPOLY_MISH,       /* z tanh(log(1 + exp(z)))     pre  */
  NNPOLY_GELU,       /* z Phi(z)                    pre  */
  NNPOLY_GELU_TANH,  /* z sigmoid(2 sqrt(2/pi) (z + 0.044715 z^3))  pre */
  NNPOLY_EXP,        /* exp(z)                      post */
  NNPOLY_ACTIVATIONS /* how many there are */
};

enum nnpoly_rule {
  NNPOLY_SGD = 0,
  NNPOLY_MOMENTUM = 1,
  NNPOLY_NESTEROV = 2,
  NNPOLY_ADAGRAD = 3,
  NNPOLY_RMSPROP = 4,
  NNPOLY_ADAM = 5,
  NNPOLY_NADAM = 6,
  NNPOLY_AMSGRAD = 7,
  NNPOLY_LION = 8,
  NNPOLY_RULES = 9
};

/* The machine. ISAs, best first: "avx512", "avx2", "neon", "baseline". */
const char *nnpoly_isa(void);           /* the one in use */
const char *nnpoly_isa_name(int index); /* those of this build, best first; NULL after the last */
int nnpoly_isa_runs(const char *name);  /* 1 if this processor can run it, else 0 */
int nnpoly_set_isa(const char *name);   /* not while another thread computes */
const char *nnpoly_compiler(void);      /* "gcc 12.2.0" */

/* The same of products of BFLOAT16 where the ISA is the best: "amx", "avx512_bf16", "fma". The last
 * two have the same bits, which are those of other ISAs with fused multiply-add; "amx" adds up in
 * another order, see kernels/bf16.h. The one in use is the first that runs, but "avx512_bf16" only
 * if it is faster here than "fma", which is measured. */
const char *nnpoly_pairs(void);
const char *nnpoly_pairs_name(int index);
int nnpoly_pairs_run(const char *name);
int nnpoly_set_pairs(const char *name);

/* How many threads a call may use, the caller among them; at least 1. None is started before a
 * call is large enough to want one. They sleep when there has been nothing to do for 100 us; a call
 * that waits for others' parts does so after 1 ms. */
int nnpoly_num_threads(void);
int nnpoly_set_num_threads(int count);
int nnpoly_workers(void); /* started and alive in this process; the caller is not counted */

/* pre = x W^T + b and post = sigma(pre). x: (n, m_in), W: (m, m_in), b: (m,), or NULL for none;
 * pre, post: (n, m). pre may be NULL, and is not kept then; it may be post where sigma is the
 * identity. */
int nnpoly_dense(int dtype, const void *x, const void *W, const void *b, void *pre, void *post,
                 int64_t n, int64_t m_in, int64_t m, int activation, double a);

/* out = (delta W) * sigma'. delta: (n, m_next), W: (m_next, m); read, out: (n, m).
 * read is the array that sigma' reads: pre, post, or NULL for none. */
int nnpoly_dense_delta(int dtype, const void *delta, const void *W, const void *read, void *out,
                       int64_t n, int64_t m_next, int64_t m, int activation, double a);

/* dW = delta^T x and db = the columns' sums of delta. delta: (n, m), x: (n, m_in);
 * dW: (m, m_in), db: (m,), or NULL. */
int nnpoly_dense_gradients(int dtype, const void *delta, const void *x, void *dW, void *db,
                           int64_t n, int64_t m, int64_t m_in);

/* Normalisation of each column of x: (n, m), axis 0, or of each row, axis 1:
 * x^ = (x - mean) * scale. mean, variance and scale: (m,) for axis 0, (n,) for axis 1.
 *
 * mean, variance (biased) and scale = 1 / sqrt(variance + eps) of x. variance may be NULL. */
int nnpoly_moments(int dtype, const void *x, void *mean, void *variance, void *scale, int64_t n,
                   int64_t m, int axis, double eps);

/* out = gain x^ + shift. gain, shift: (m,); out: (n, m). */
int nnpoly_normalise(int dtype, const void *x, const void *mean, const void *scale,
                     const void *gain, const void *shift, void *out, int64_t n, int64_t m,
                     int axis);

/* dgain and dshift: (m,), the columns' sums of delta x^ and of delta. delta: (n, m), by
 * gain x^ + shift. */
int nnpoly_norm_gradients(int dtype, const void *delta, const void *x, const void *mean,
                          const void *scale, void *dgain, void *dshift, int64_t n, int64_t m,
                          int axis);

/* out: (n, m), by x, where mean and scale are x's own. For rows, with d = delta gain:
 * out = (d - mean of d - x^ mean of d x^) scale. For columns:
 * out = (delta - dshift / n - x^ dgain / n) gain scale. */
int nnpoly_row_norm_delta(int dtype, const void *delta, const void *x, const void *mean,
                          const void *scale, const void *gain, void *out, int64_t n, int64_t m);
int nnpoly_column_norm_delta(int dtype, const void *delta, const void *x, const void *mean,
                             const void *scale, const void *gain, const void *dgain,
                             const void *dshift, void *out, int64_t n, int64_t m);

/* Layers for tables: SCALE, BLEND, PERIODIC and EMBEDDING, see enum nnpoly_kind.
 *
 * ds: (m,), the columns' sums of delta x, of x s. x, delta: (n, m). */
int nnpoly_scale_gradient(int dtype, const void *delta, const void *x, void *ds, int64_t n,
                          int64_t m);

/* out = (1 - a) x + a sigma(x), where the factors a are (m,). x, delta, out: (n, m). Then
 * out = (1 - a) delta + a delta sigma'(x), and da: (m,), the columns' sums of
 * delta (sigma(x) - x). `sigma_a` is the parameter of sigma. */
int nnpoly_blend(int dtype, const void *x, const void *a, void *out, int64_t n, int64_t m,
                 int sigma, double sigma_a);
int nnpoly_blend_delta(int dtype, const void *delta, const void *x, const void *a, void *out,
                       int64_t n, int64_t m, int sigma, double sigma_a);
int nnpoly_blend_gradient(int dtype, const void *delta, const void *x, void *da, int64_t n,
                          int64_t m, int sigma, double sigma_a);

/* PERIODIC: the sizes and the parameters as there, b NULL without phases, as all of x: (n, inputs).
 * out, post, delta: (n, outputs), outputs = inputs + columns (features - 1); dx: (n, inputs). post,
 * which is what nnpoly_periodic gave, is read without phases alone, and may be NULL with them.
 * NNPOLY_RANGE if there are no frequencies or features, or more than NNPOLY_MOST_WAVES. */
struct nnpoly_waves {
  int64_t inputs, columns, frequencies, features;
};
int nnpoly_periodic(int dtype, const void *x, const void *w, const void *b, const void *W,
                    const void *c, void *out, int64_t n, const struct nnpoly_waves *sizes);
int nnpoly_periodic_gradients(int dtype, const void *delta, const void *x, const void *post,
                              const void *w, const void *b, const void *W, void *dw, void *db,
                              void *dW, void *dc, int64_t n, const struct nnpoly_waves *sizes);
int nnpoly_periodic_delta(int dtype, const void *delta, const void *x, const void *post,
                          const void *w, const void *b, const void *W, void *dx, int64_t n,
                          const struct nnpoly_waves *sizes);

/* EMBEDDING: sizes: (columns,), E: (their sum, features), x: (n, inputs); out, delta: (n, inputs +
 * columns (features - 1)). dE: as E, to which rows are added in their order. */
int nnpoly_embed(int dtype, const void *x, const void *E, const int64_t *sizes, void *out,
                 int64_t n, int64_t inputs, int64_t columns, int64_t features);
int nnpoly_embed_gradient(int dtype, const void *delta, const void *x, const int64_t *sizes,
                          void *dE, int64_t n, int64_t inputs, int64_t columns, int64_t features);

/* Layers of members, which stand side by side in the columns: MEMBER_SCALE and MEMBER_DENSE, see
 * enum nnpoly_kind, and what layers with parameters of each member need besides.
 *
 * out: (m,), the columns' sums of x: (n, m). */
int nnpoly_column_sums(int dtype, const void *x, void *out, int64_t n, int64_t m);

/* x: (n, m), r, dr: (members, m), delta: (n, members m), by r_i x. dr: the rows' sums of delta_i x;
 * dx: (n, m), the members' sum of delta_i r_i, in their order. */
int nnpoly_members_scale_gradient(int dtype, const void *delta, const void *x, void *dr, int64_t n,
                                  int64_t members, int64_t m);
int nnpoly_members_scale_delta(int dtype, const void *delta, const void *r, void *dx, int64_t n,
                               int64_t members, int64_t m);

/* As nnpoly_dense, its delta and its gradients for each member by itself. x, read, out:
 * (n, members m_in); pre, post, delta: (n, members m); W, dW: (members, m, m_in), b, db:
 * (members, m). */
struct nnpoly_members {
  int64_t members, m_in, m;
};
int nnpoly_members_dense(int dtype, const void *x, const void *W, const void *b, void *pre,
                         void *post, int64_t n, const struct nnpoly_members *sizes, int activation,
                         double a);
int nnpoly_members_dense_delta(int dtype, const void *delta, const void *W, const void *read,
                               void *out, int64_t n, const struct nnpoly_members *sizes,
                               int activation, double a);
int nnpoly_members_dense_gradients(int dtype, const void *delta, const void *x, void *dW, void *db,
                                   int64_t n, const struct nnpoly_members *sizes);

/* out: (n, K), the mean of f: (n, members, K) over the members: their sum in their order, divided.
 */
int nnpoly_members_mean(int dtype, const void *f, void *out, int64_t n, int64_t members, int64_t K);

/* PIECEWISE: the sizes, the bins and the parameters as there, as all of x: (n, inputs). out, delta:
 * (n, outputs), outputs = inputs + columns (features - 1); dx: (n, inputs). dV is 0 beyond a
 * column's bins. */
struct nnpoly_lines {
  int64_t inputs, columns, features;
  const int64_t *sizes;
  const double *bins;
};
int nnpoly_piecewise(int dtype, const void *x, const void *w, const void *c, const void *V,
                     void *out, int64_t n, const struct nnpoly_lines *sizes);
int nnpoly_piecewise_gradients(int dtype, const void *delta, const void *x, void *dw, void *dc,
                               void *dV, int64_t n, const struct nnpoly_lines *sizes);
int nnpoly_piecewise_delta(int dtype, const void *delta, const void *x, const void *w,
                           const void *V, void *dx, int64_t n, const struct nnpoly_lines *sizes);

/* post = sigma(pre), `count` elements; in place if post is pre. */
int nnpoly_activate(int dtype, const void *pre, void *post, int64_t count, int activation,
                    double a);

/* out = d_post * sigma', `count` elements; in place if out is d_post. */
int nnpoly_activation_delta(int dtype, const void *d_post, const void *read, void *out,
                            int64_t count, int activation, double a);

/* f = softmax of each row. scores, f: (n, K). */
int nnpoly_softmax(int dtype, const void *scores, void *f, int64_t n, int64_t K);

/* loss[0] = -1/n sum_ik y_ik log f_ik and delta = (f - y) / n, f = softmax of each row.
 * scores, delta: (n, K). The target is `rows`, y: (n, K), or else `labels`: (n,), whose entries
 * outside of 0..K-1 stand for a row of zeros. The other one is NULL. n must be positive.
 *
 * weights: (n,), or NULL for ones. They multiply the rows' losses and rows of delta, here and in
 * the losses below. */
int nnpoly_cross_entropy(int dtype, const void *scores, const int64_t *labels, const void *rows,
                         const void *weights, void *delta, void *loss, int64_t n, int64_t K);

/* The same with the factor (1 - f_ik)^gamma before each log f_ik, gamma >= 0. */
int nnpoly_focal(int dtype, double gamma, const void *scores, const int64_t *labels,
                 const void *rows, const void *weights, void *delta, void *loss, int64_t n,
                 int64_t K);

/* loss[0] = 1/n sum_ik l(z, y) and delta = l'(z, y) / n. scores z, y, delta: (n, K). n must be
 * positive. l and its derivative l' by z are, with r = z - y:
 *
 *   LOGISTIC       max(z, 0) - z y + log(1 + exp(-|z|))     sigmoid(z) - y
 *   SQUARED_ERROR  r^2 / 2                                  r
 *   ABSOLUTE       |r|                                      sign(r)
 *   HUBER          l' (r - l' / 2)                          r, within -a..a
 *   QUANTILE       l' r                                     1 - a if r > 0, -a if r < 0, else 0
 *   POISSON        exp(z) - y - y (z - log y), 0 log 0 = 0  exp(z) - y
 *   FOCAL_SIGMOID  LOGISTIC with the factor (1 - p)^a before each -log p, p: the probability of 0
 * or of 1
 *
 * kind: enum nnpoly_loss without CROSS_ENTROPY and FOCAL. */
int nnpoly_element_loss(int dtype, int kind, double a, const void *scores, const void *y,
                        const void *weights, void *delta, void *loss, int64_t n, int64_t K);

/* Row i of out = row indices[i] of x. x: (N, row_bytes) and out: (n, row_bytes), in bytes of any
 * type. NNPOLY_RANGE if an index is outside of 0..N-1. */
int nnpoly_gather(const void *x, const int64_t *indices, void *out, int64_t N, int64_t n,
                  int64_t row_bytes);

/* out = g * min(1, limit / ||g||), `count` elements; in place if out is g. */
int nnpoly_clip_norm(int dtype, const void *g, void *out, int64_t count, double limit);

/* g += factor w, in place; `count` elements. */
int nnpoly_add_scaled(int dtype, void *g, const void *w, int64_t count, double factor);

/* One optimiser's step, in place, on flat vectors of `count` elements. With lr = learning_rate and
 * root(s) = sqrt(s + eps) if eps_inside else sqrt(s) + eps:
 *
 *   SGD       w -= lr g
 *   MOMENTUM  m = beta1 m + g; w -= lr m
 *   NESTEROV  m = beta1 m + g; w -= lr (g + beta1 m)
 *   ADAGRAD   s += g^2; w -= lr g / root(s)
 *   RMSPROP   s = beta2 s + (1 - beta2) g^2; w -= lr g / root(s)
 *   ADAM      m = beta1 m + (1 - beta1) g; s as RMSPROP; w -= lr weight_m m / root(unbias_s s)
 *   NADAM     as ADAM, but w -= lr (weight_m m + weight_g g) / root(unbias_s s)
 *   AMSGRAD   as ADAM, but peak = max(peak, s); w -= lr weight_m m / root(unbias_s peak)
 *   LION      w -= lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g
 *
 * m, s and peak may be NULL where the rule does not name them. */
int nnpoly_update(int dtype, int rule, void *w, const void *g, void *m, void *s, void *peak,
                  int64_t count, double learning_rate, double beta1, double beta2, double weight_m,
                  double weight_g, double unbias_s, double eps, int eps_inside);

/* Factors of inverted dropout, out: (n, m): 0 with probability `rate`, 0 <= rate < 1, and else
 * 1/(1 - rate), drawn by a hash of (key, path, i, j). */
int nnpoly_dropout_scale(int dtype, void *out, int64_t n, int64_t m, double rate, int32_t key,
                         int32_t path);

/* A plan: a training step of a chain of layers as one call, and many steps as one. Its bits are
 * those of the functions above, called one by one. A plan is used by one thread at a time.
 *
 * A layer computes pre from x, what the layer before it gave or the inputs; then post = sigma(pre),
 * and in training the dropout of post. Where `members` stand side by side, a row has the columns of
 * one after those of another, and m_in and m are the inputs and the outputs of one; else they are
 * the layer's. The norms, ADD, COPY, SCALE and BLEND have as many outputs as inputs. The
 * parameters, in the order in which they lie in the flat vector:
 *
 *   DENSE        pre = x (factor W)^T + b      W: (m, m_in), b: (m,), or no b if `unbiased`; the
 *                                              same for each member
 *   ROW_NORM     pre = gain x^ + shift, axis 1 gain, shift: (outputs,)
 *   COLUMN_NORM  the same, axis 0              gain, shift: (outputs,)
 *   ADD          pre = x + post of layer `from`, which is below it, and of one ADD alone
 *   COPY         pre = x
 *   SCALE        pre = x s                     s: (outputs,)
 *      shifted:  pre = x s + b                 and b: (outputs,)
 *   BLEND        pre = (1 - a) x + a sigma(x)  a: (outputs,); sigma is `blended`
 *   PERIODIC     each of the first `columns` inputs x_i as `features` outputs; the others follow
 *      phased:   x_i, and W_i cos(2 pi w_i x_i + b_i) + c_i, of one feature less
 *      else:     max(W_i [cos(2 pi w_i x_i), sin(2 pi w_i x_i)] + c_i, 0)
 *                w, b: (columns, frequencies), b if phased; W: (columns, so many features, as
 *                many as there are cosines and sines), c: (columns, so many features)
 *   EMBEDDING    each of the last `columns` inputs, a number of 0..sizes[j]-1, as that row of its
 *                own table, NaN for other numbers; the inputs before them come first
 *                E: (sum of sizes, features), a table above the next
 *   PIECEWISE    each of the first `columns` inputs x_i as `features` outputs, w_i x_i + c_i +
 *                V_i e(x_i); the others follow. Entry j of e is that of bin j of sizes[i]: its two
 *                numbers in `bins` are low and rise > 0, and the entry is (x_i - low) rise, kept
 *                within [0, 1], but that the first may be below 0 and the last above 1
 *                w, c: (columns, features); V: (columns, features, the most of sizes), of which no
 *                column uses more than it has bins
 *   MEMBER_SCALE pre = r_i x, by member i      r: (members, inputs)
 *   MEMBER_DENSE pre = x (factor W_i)^T + b_i  W: (members, m, m_in), b: (members, m)
 *
 * The first layer is DENSE, without members, or COPY. A COLUMN_NORM has running means and
 * variances, buffers of (outputs,) each: a step of more than one row moves them by `momentum`
 * towards the batch's, and predictions are normalised by them. A DENSE's gradient of W is the
 * product, times factor. */
enum nnpoly_kind {
  NNPOLY_DENSE,
  NNPOLY_ROW_NORM,
  NNPOLY_COLUMN_NORM,
  NNPOLY_ADD,
  NNPOLY_COPY,
  NNPOLY_SCALE,
  NNPOLY_BLEND,
  NNPOLY_PERIODIC,
  NNPOLY_EMBEDDING,
  NNPOLY_PIECEWISE,
  NNPOLY_MEMBER_SCALE,
  NNPOLY_MEMBER_DENSE,
  NNPOLY_KINDS /* how many there are */
};

/* Of frequencies, and of features, of a PERIODIC; of bins of a column, and features, of a PIECEWISE
 */
enum { NNPOLY_MOST_WAVES = 1024 };

struct nnpoly_layer {
  int kind;
  int64_t inputs, outputs;
  int activation; /* of the last layer: NNPOLY_IDENTITY */
  double a;
  double dropout; /* of post, in training: the rate as in nnpoly_dropout_scale */
  int scheduled;  /* not 0: the rate is a step's own, dropout[scheduled - 1] of nnpoly_rates */
  int32_t path;   /* as in nnpoly_dropout_scale */
  int from;       /* of an ADD, else not looked at */
  double eps, momentum;
  double factor;   /* of a DENSE and a MEMBER_DENSE; positive */
  int64_t members; /* of these and of a MEMBER_SCALE; 0 is 1 */
  int unbiased;    /* of a DENSE */
  int shifted;     /* of a SCALE */
  int blended;     /* of a BLEND: an activation, and its parameter */
  double blended_a;
  int64_t columns, features; /* of a PERIODIC, an EMBEDDING and a PIECEWISE */
  int64_t frequencies;       /* of a PERIODIC */
  int phased;
  const int64_t *sizes; /* of an EMBEDDING and a PIECEWISE: (columns,); copied */
  const double *bins;   /* of a PIECEWISE: (sum of sizes, 2); copied */
};

/* In the order of nnpoly/backends/codes.py. */
enum nnpoly_loss {
  NNPOLY_CROSS_ENTROPY,
  NNPOLY_LOGISTIC,
  NNPOLY_SQUARED_ERROR,
  NNPOLY_ABSOLUTE,
  NNPOLY_HUBER,
  NNPOLY_QUANTILE,
  NNPOLY_POISSON,
  NNPOLY_FOCAL,
  NNPOLY_FOCAL_SIGMOID,
  NNPOLY_LOSSES /* how many there are */
};

/* Parameters side by side in the flat vector, up to `stop`: their learning rate is times `rate`,
 * and their weight decay times `decay`. */
struct nnpoly_segment {
  int64_t stop;
  double rate, decay;
};

struct nnpoly_training {
  int dtype, depth;                  /* depth: the number of layers, at least 1 */
  int64_t members;                   /* whose scores the last layer gives; 0 is 1 */
  const struct nnpoly_layer *layers; /* (depth,); copied */
  int loss, rule, eps_inside;
  double loss_a; /* a of nnpoly_element_loss, gamma of nnpoly_focal */
  double
      label_smoothing; /* s, in [0, 1): (1 - s) y + s / K takes the place of y, with
                        * losses of the sigmoid s / 2; must be 0 with losses of no probabilities */
  double beta1, beta2, eps;
  double clip_norm; /* 0 for none */
  int decoupled;    /* whether w *= 1 - learning_rate weight_decay before the rule, */
                    /* or else g += weight_decay w, after clipping */
  double ema;       /* after the rule average = ema average + (1 - ema) w, if there is one */
  /* (segment_count,), in order, the last one up to the end; copied. None: all factors are 1. */
  const struct nnpoly_segment *segments;
  int segment_count;
};

/* The vectors that training changes, flat (P,), layer by layer. As in nnpoly_update; g receives the
 * gradient; average may be NULL; total, which steps on several batches together need, is n times
 * the gradient of a batch of n rows, added up. buffers: the mean and the variance of each
 * COLUMN_NORM in turn. */
struct nnpoly_state {
  void *w, *g, *m, *s, *peak, *average, *total;
  void *const *buffers;
};

/* The numbers that change from step to step: as in nnpoly_update; the weight decay; the key as in
 * nnpoly_dropout_scale, an int32_t; the rates of dropout that layers ask for. */
enum { NNPOLY_SCHEDULED = 4 };
struct nnpoly_rates {
  double learning_rate, weight_m, weight_g, unbias_s, weight_decay, key;
  double dropout[NNPOLY_SCHEDULED];
};

/* f = the output of a chain of layers. w: the flat vector of its parameters, layer by layer;
 * buffers: as in nnpoly_state; x: (n, inputs); f: (n, K), K = outputs / members. output: an
 * activation, which is applied to the last layer's scores, or NNPOLY_ACTIVATIONS for the softmax of
 * K scores each. With members it is the mean of theirs, as nnpoly_members_mean has it. */
int nnpoly_predict(int dtype, const struct nnpoly_layer *layers, int depth, const void *w,
                   const void *const *buffers, const void *x, void *f, int64_t n, int64_t members,
                   int output);

/* The mean of the predictions of several networks with the same layers, of cells of a table: (n,
 * columns), numbers of any size, NaN where they are missing. mean: (n, outputs). All of its
 * arithmetic but that of layers is float64's, and takes denormal numbers for what they are.
 *
 * An input of the networks is, of the cell of its column:
 *   AS_IS    the cell
 *   NUMBER   the cell, scaled; NaN is 0
 *   MISSING  1 if the cell is NaN, else 0, scaled
 *   VALUE    1 if the cell is `value`, else 0, scaled
 * where x scaled is z = (x - center) factor, if it is `smooth` z / sqrt(1 + (z / 3)^2); first
 * x - center is clipped to +-1e300, and then z to +-1e30. It is rounded to the networks' type.
 *
 * A network's prediction is the output as in nnpoly_predict; then, if there are no scales, each row
 * of it divided by its sum, else f scale + shift, from `low` to `high` where there are such. */
enum nnpoly_input_kind {
  NNPOLY_AS_IS,
  NNPOLY_NUMBER,
  NNPOLY_MISSING,
  NNPOLY_VALUE,
  NNPOLY_INPUTS /* how many there are */
};

struct nnpoly_input {
  int64_t kind, column, smooth;
  double value, center, factor;
};

struct nnpoly_ensemble {
  int dtype, depth, output, networks;
  int64_t members;                       /* of a network, as in nnpoly_predict */
  const struct nnpoly_layer *layers;     /* (depth,) */
  const void *const *w, *const *buffers; /* (networks,); those of a network, and of the next */
  const struct nnpoly_input *inputs;     /* (inputs of the first layer,) */
  int64_t columns;
  const double *scales, *shifts, *lows, *highs; /* (outputs,) each, or NULL */
};
int nnpoly_predict_mean(const struct nnpoly_ensemble *ensemble, const void *cells, void *mean,
                        int64_t n);

typedef struct nnpoly_plan nnpoly_plan;
nnpoly_plan *nnpoly_plan_new(const struct nnpoly_training *training); /* NULL: refused, no memory */
void nnpoly_plan_free(nnpoly_plan *plan);
int64_t nnpoly_plan_bytes(const nnpoly_plan *plan); /* for batches; its scratch is not counted */

/* Among how many threads a step of n rows is shared, 0 without rows or a plan: the number that has
 * been the fastest so far, of 1, 2, 4, ... and nnpoly_num_threads(). Steps with little work for
 * each thread are timed now and then to find it. */
int nnpoly_plan_threads(const nnpoly_plan *plan, int64_t n);

/* One step on a batch that nobody has looked at. x: (n, inputs); the target is labels: (n,), all in
 * 0..K-1, or y: (n, K), the other one NULL, with K = outputs / members. weights: (n,) or NULL, as
 * in the losses. loss[0] is the loss before the step: with members, of n members rows of K scores,
 * of which a row's have its target and its weight.
 *
 * NNPOLY_RANGE, before anything has changed, if a label is outside, an entry of y is not finite, is
 * no probability where the loss wants some: outside of 0..1, or, with losses of the softmax, in a
 * row whose sum is 1e-2 or more away from 1; or is below 0 (POISSON); and if a rate of dropout is
 * none. */
int nnpoly_plan_step(nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                     const int64_t *labels, const void *y, const void *weights, int64_t n,
                     const struct nnpoly_rates *rates, void *loss);

/* A step on several batches together, as if they were one: nnpoly_plan_add with each of them, the
 * first of which sets total, and the others add to it; then nnpoly_plan_update, whose gradient is
 * total / rows, rows: of all batches. nnpoly_plan_add is nnpoly_plan_step without the optimiser, so
 * it looks at the key and dropout alone of the rates; it moves the buffers. */
int nnpoly_plan_add(nnpoly_plan *plan, const struct nnpoly_state *state, const void *x,
                    const int64_t *labels, const void *y, const void *weights, int64_t n,
                    const struct nnpoly_rates *rates, void *loss, int first);
int nnpoly_plan_update(const nnpoly_plan *plan, const struct nnpoly_state *state, int64_t rows,
                       const struct nnpoly_rates *rates);

/* Steps over the rows order[0..n-1] of X, labels, Y and weights (N rows), of `together` batches
 * each: one or more epochs, of `rows` rows each. The last batch of an epoch may be smaller, and its
 * last step may have fewer batches. Of the rates of a step's batches, all but the key and
 * dropout is that of its last one. */
struct nnpoly_epoch {
  const void *X;
  const int64_t *labels;
  const void *Y, *weights;
  int64_t N;
  const int64_t *order;             /* (n,) */
  int64_t n, rows, batch;           /* rows of each epoch; n is a multiple of them */
  int64_t together;                 /* batches of a step; at least 1 */
  const struct nnpoly_rates *rates; /* one a batch */
  void *losses;                     /* one a batch */
  int64_t done;                     /* batches taken by now */
};

/* Go on with `count` epochs, each of a plan and a state of its own, from the batch where each is. Y
 * has been looked at before; order and labels are looked at before an epoch's first step, and not
 * again. Returns when all are done, or limit_ns nanoseconds have passed and a batch each time.
 * Small networks are trained side by side, one a thread. */
int nnpoly_train(nnpoly_plan *const *plans, const struct nnpoly_state *states,
                 struct nnpoly_epoch *epochs, int count, int64_t limit_ns);

/* cffi: end */

#endif
