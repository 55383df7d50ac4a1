/* The functions of nnpoly.h: check the arguments, cut the work into parts, run them. */
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "core.h"

/* Products */

int nnpoly_dense(int dtype, const void *x, const void *W, const void *b, void *pre, void *post,
                 int64_t n, int64_t m_in, int64_t m, int activation, double a) {
  if (!known(activation)) return NNPOLY_RANGE;
  const int same = activation == NNPOLY_IDENTITY ? IN_PLACE : 0;
  CHECK(dtype, {INPUT, x, n, m_in}, {INPUT, W, m, m_in}, {INPUT | OPTIONAL, b, m, 1},
        {OUTPUT | OPTIONAL, pre, n, m}, {OUTPUT | same, post, n, m});
  const struct product p =
      nnpoly_whole((struct product){.form = FORWARD,
                                    .A = x,
                                    .B = W,
                                    .C = pre != NULL ? pre : post,
                                    .M = n,
                                    .N = m,
                                    .K = m_in,
                                    .factor = 1,
                                    .bias = b,
                                    .epilogue = {.activation = activation, .a = a, .post = post}});
  return nnpoly_run_product(nnpoly_kernels(dtype), &p);
}

int nnpoly_dense_delta(int dtype, const void *delta, const void *W, const void *read, void *out,
                       int64_t n, int64_t m_next, int64_t m, int activation, double a) {
  if (!known(activation)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, delta, n, m_next}, {INPUT, W, m_next, m}, {INPUT | OPTIONAL, read, n, m},
        {OUTPUT, out, n, m});
  if (read == NULL && !reads_nothing(activation) && n > 0 && m > 0) return NNPOLY_NULL;
  const struct product p =
      nnpoly_whole((struct product){.form = DELTA,
                                    .A = delta,
                                    .B = W,
                                    .C = out,
                                    .M = n,
                                    .N = m,
                                    .K = m_next,
                                    .factor = 1,
                                    .epilogue = {.activation = activation, .a = a, .read = read}});
  return nnpoly_run_product(nnpoly_kernels(dtype), &p);
}

int nnpoly_dense_gradients(int dtype, const void *delta, const void *x, void *dW, void *db,
                           int64_t n, int64_t m, int64_t m_in) {
  CHECK(dtype, {INPUT, delta, n, m}, {INPUT, x, n, m_in}, {OUTPUT, dW, m, m_in},
        {OUTPUT | OPTIONAL, db, m, 1});
  if (m_in == 0) return NNPOLY_SHAPE; /* no columns of dW, beside which db is added up */
  const struct product p = nnpoly_whole((struct product){.form = GRADIENT,
                                                         .A = delta,
                                                         .B = x,
                                                         .C = dW,
                                                         .M = m,
                                                         .N = m_in,
                                                         .K = n,
                                                         .factor = 1,
                                                         .sums = db});
  return nnpoly_run_product(nnpoly_kernels(dtype), &p);
}

/* Normalisation */

/* Of how many columns or rows there are moments. */
static int64_t groups(int axis, int64_t n, int64_t m) { return axis == 0 ? m : n; }

/* A normalisation by moments that are there: they are written by nnpoly_moments alone. */
static struct norm norm_by(int axis, int64_t n, int64_t m, const void *x, const void *mean,
                           const void *scale) {
  return (struct norm){
      .axis = axis, .n = n, .m = m, .x = x, .mean = (void *)mean, .scale = (void *)scale};
}

int nnpoly_moments(int dtype, const void *x, void *mean, void *variance, void *scale, int64_t n,
                   int64_t m, int axis, double eps) {
  if (axis != 0 && axis != 1) return NNPOLY_RANGE;
  const int64_t count = groups(axis, n, m);
  CHECK(dtype, {INPUT, x, n, m}, {OUTPUT, mean, count, 1}, {OUTPUT | OPTIONAL, variance, count, 1},
        {OUTPUT, scale, count, 1});
  const struct kernels *kernels = nnpoly_kernels(dtype);
  const struct norm job = {.axis = axis,
                           .n = n,
                           .m = m,
                           .eps = eps,
                           .x = x,
                           .mean = mean,
                           .scale = scale,
                           .variance = variance};
  return nnpoly_run_norm(axis == 0 ? kernels->column_moments : kernels->row_moments, &job, count);
}

int nnpoly_normalise(int dtype, const void *x, const void *mean, const void *scale,
                     const void *gain, const void *shift, void *out, int64_t n, int64_t m,
                     int axis) {
  if (axis != 0 && axis != 1) return NNPOLY_RANGE;
  const int64_t count = groups(axis, n, m);
  CHECK(dtype, {INPUT, x, n, m}, {INPUT, mean, count, 1}, {INPUT, scale, count, 1},
        {INPUT, gain, m, 1}, {INPUT, shift, m, 1}, {OUTPUT, out, n, m});
  struct norm job = norm_by(axis, n, m, x, mean, scale);
  job.gain = gain;
  job.shift = shift;
  job.C = out;
  job.epilogue = (struct epilogue){.activation = NNPOLY_IDENTITY, .post = out};
  return nnpoly_run_norm(nnpoly_kernels(dtype)->normalise, &job, n);
}

int nnpoly_norm_gradients(int dtype, const void *delta, const void *x, const void *mean,
                          const void *scale, void *dgain, void *dshift, int64_t n, int64_t m,
                          int axis) {
  if (axis != 0 && axis != 1) return NNPOLY_RANGE;
  const int64_t count = groups(axis, n, m);
  CHECK(dtype, {INPUT, delta, n, m}, {INPUT, x, n, m}, {INPUT, mean, count, 1},
        {INPUT, scale, count, 1}, {OUTPUT, dgain, m, 1}, {OUTPUT, dshift, m, 1});
  struct norm job = norm_by(axis, n, m, x, mean, scale);
  job.delta = delta;
  job.dgain = dgain;
  job.dshift = dshift;
  return nnpoly_run_norm(nnpoly_kernels(dtype)->norm_gradients, &job, m);
}

int nnpoly_row_norm_delta(int dtype, const void *delta, const void *x, const void *mean,
                          const void *scale, const void *gain, void *out, int64_t n, int64_t m) {
  CHECK(dtype, {INPUT, delta, n, m}, {INPUT, x, n, m}, {INPUT, mean, n, 1}, {INPUT, scale, n, 1},
        {INPUT, gain, m, 1}, {OUTPUT, out, n, m});
  struct norm job = norm_by(1, n, m, x, mean, scale);
  job.gain = gain;
  job.delta = delta;
  job.C = out;
  job.epilogue = (struct epilogue){.activation = NNPOLY_IDENTITY};
  return nnpoly_run_norm(nnpoly_kernels(dtype)->row_delta, &job, n);
}

int nnpoly_column_norm_delta(int dtype, const void *delta, const void *x, const void *mean,
                             const void *scale, const void *gain, const void *dgain,
                             const void *dshift, void *out, int64_t n, int64_t m) {
  CHECK(dtype, {INPUT, delta, n, m}, {INPUT, x, n, m}, {INPUT, mean, m, 1}, {INPUT, scale, m, 1},
        {INPUT, gain, m, 1}, {INPUT, dgain, m, 1}, {INPUT, dshift, m, 1}, {OUTPUT, out, n, m});
  struct norm job = norm_by(0, n, m, x, mean, scale);
  job.gain = gain;
  job.delta = delta;
  job.dgain = (void *)dgain; /* written by norm_gradients alone */
  job.dshift = (void *)dshift;
  job.C = out;
  job.epilogue = (struct epilogue){.activation = NNPOLY_IDENTITY};
  return nnpoly_run_norm(nnpoly_kernels(dtype)->column_delta, &job, n);
}

/* Element by element */

struct element_job {
  const struct kernels *kernels;
  const void *in, *read;
  void *out;
  int64_t count;
  int activation;
  double a; /* the activation's parameter, or a factor */
};

static void activate_part(const void *argument, int index, int parts, void *scratch) {
  const struct element_job *job = argument;
  const struct range r = nnpoly_cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->activate(job->in, job->out, r.start, r.stop, job->activation, job->a);
}

int nnpoly_activate(int dtype, const void *pre, void *post, int64_t count, int activation,
                    double a) {
  if (!known(activation)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, pre, count, 1}, {OUTPUT | IN_PLACE, post, count, 1});
  const struct element_job job = {nnpoly_kernels(dtype), pre, NULL, post, count, activation, a};
  return nnpoly_run(activate_part, &job, nnpoly_parts(count, PART_ELEMENTS), 0);
}

static void activation_delta_part(const void *argument, int index, int parts, void *scratch) {
  const struct element_job *job = argument;
  const struct range r = nnpoly_cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->activation_delta(job->in, job->read, job->out, r.start, r.stop, job->activation,
                                 job->a);
}

int nnpoly_activation_delta(int dtype, const void *d_post, const void *read, void *out,
                            int64_t count, int activation, double a) {
  if (!known(activation)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, d_post, count, 1}, {INPUT | OPTIONAL, read, count, 1},
        {OUTPUT | IN_PLACE, out, count, 1});
  if (read != NULL && read == out) return count > 0 ? NNPOLY_OVERLAP : NNPOLY_OK;
  if (read == NULL && !reads_nothing(activation) && count > 0) return NNPOLY_NULL;
  const struct element_job job = {nnpoly_kernels(dtype), d_post, read, out, count, activation, a};
  return nnpoly_run(activation_delta_part, &job, nnpoly_parts(count, PART_ELEMENTS), 0);
}

/* Losses */

struct softmax_job {
  const struct kernels *kernels;
  const void *scores;
  void *f;
  int64_t n, K;
};

static void softmax_part(const void *argument, int index, int parts, void *scratch) {
  const struct softmax_job *job = argument;
  const struct range r = nnpoly_cut(job->n, index, parts, ROWS_STEP);
  job->kernels->softmax(job->scores, job->f, r.start, r.stop, job->K, scratch);
}

int nnpoly_softmax(int dtype, const void *scores, void *f, int64_t n, int64_t K) {
  CHECK(dtype, {INPUT, scores, n, K}, {OUTPUT | IN_PLACE, f, n, K});
  if (n == 0 || K == 0) return NNPOLY_OK;
  const struct softmax_job job = {nnpoly_kernels(dtype), scores, f, n, K};
  return nnpoly_run(softmax_part, &job, nnpoly_parts_of(n, n * K, PART_ELEMENTS),
                    (size_t)K * job.kernels->row_scratch);
}

static int run_loss(int dtype, struct loss *loss, void *mean) {
  const int status = nnpoly_run_loss(nnpoly_kernels(dtype), loss);
  if (status == NNPOLY_OK) nnpoly_mean_loss(dtype, loss, mean);
  return status;
}

static int softmax_loss(int dtype, int kind, double a, const void *scores, const int64_t *labels,
                        const void *rows, const void *weights, void *delta, void *loss, int64_t n,
                        int64_t K) {
  if (n < 1 || K < 1) return NNPOLY_SHAPE;
  if ((labels == NULL) == (rows == NULL)) return NNPOLY_NULL;
  CHECK(dtype, {INPUT, scores, n, K}, {INPUT | OPTIONAL, rows, n, K},
        {INPUT | OPTIONAL, weights, n, 1}, {OUTPUT, delta, n, K}, {OUTPUT, loss, 1, 1});
  const int64_t words = 8 / size_of(dtype); /* of an int64, in elements */
  CHECK(dtype, {INPUT | OPTIONAL, labels, n, words}, {OUTPUT, delta, n, K}, {OUTPUT, loss, 1, 1});
  if ((uintptr_t)labels % sizeof(int64_t) != 0) return NNPOLY_MISALIGNED;
  struct loss job = {.kind = kind,
                     .a = a,
                     .scores = scores,
                     .y = rows,
                     .labels = labels,
                     .weights = weights,
                     .delta = delta,
                     .n = n,
                     .K = K};
  return run_loss(dtype, &job, loss);
}

int nnpoly_cross_entropy(int dtype, const void *scores, const int64_t *labels, const void *rows,
                         const void *weights, void *delta, void *loss, int64_t n, int64_t K) {
  return softmax_loss(dtype, NNPOLY_CROSS_ENTROPY, 0, scores, labels, rows, weights, delta, loss, n,
                      K);
}

int nnpoly_focal(int dtype, double gamma, const void *scores, const int64_t *labels,
                 const void *rows, const void *weights, void *delta, void *loss, int64_t n,
                 int64_t K) {
  if (!(gamma >= 0)) return NNPOLY_RANGE;
  return softmax_loss(dtype, NNPOLY_FOCAL, gamma, scores, labels, rows, weights, delta, loss, n, K);
}

int nnpoly_element_loss(int dtype, int kind, double a, const void *scores, const void *y,
                        const void *weights, void *delta, void *loss, int64_t n, int64_t K) {
  if (kind < 0 || kind >= NNPOLY_LOSSES || is_of_softmax(kind)) return NNPOLY_RANGE;
  if (n < 1) return NNPOLY_SHAPE;
  CHECK(dtype, {INPUT, scores, n, K}, {INPUT, y, n, K}, {INPUT | OPTIONAL, weights, n, 1},
        {OUTPUT, delta, n, K}, {OUTPUT, loss, 1, 1});
  struct loss job = {.kind = kind,
                     .a = a,
                     .scores = scores,
                     .y = y,
                     .weights = weights,
                     .delta = delta,
                     .n = n,
                     .K = K};
  return run_loss(dtype, &job, loss);
}

/* Data */

struct gather_job {
  const char *x;
  const int64_t *indices;
  char *out;
  int64_t n, row_bytes;
};

static void gather_part(const void *argument, int index, int parts, void *scratch) {
  const struct gather_job *job = argument;
  const struct range r = nnpoly_cut(job->n, index, parts, 1);
  const size_t bytes = (size_t)job->row_bytes;
  (void)scratch;
  for (int64_t i = r.start; i < r.stop; i++)
    memcpy(job->out + i * job->row_bytes, job->x + job->indices[i] * job->row_bytes, bytes);
}

int nnpoly_gather(const void *x, const int64_t *indices, void *out, int64_t N, int64_t n,
                  int64_t row_bytes) {
  const struct argument bytes[] = {{INPUT, x, N, row_bytes}, {OUTPUT, out, n, row_bytes}};
  const struct argument words[] = {{INPUT, indices, n, 8}, {OUTPUT, out, n, row_bytes}};
  int status = check_arrays(1, bytes, 2);
  if (status == NNPOLY_OK) status = check_arrays(1, words, 2);
  if (status != NNPOLY_OK) return status;
  if ((uintptr_t)indices % sizeof(int64_t) != 0) return NNPOLY_MISALIGNED;
  for (int64_t i = 0; i < n; i++)
    if (indices[i] < 0 || indices[i] >= N) return NNPOLY_RANGE;
  if (n == 0 || row_bytes == 0) return NNPOLY_OK;
  const struct gather_job job = {x, indices, out, n, row_bytes};
  return nnpoly_run(gather_part, &job, nnpoly_parts(n * row_bytes, PART_BYTES), 0);
}

/* The gradient's norm: at most MOST_CHUNKS sums, of whole chunks each, added up in order */

struct norm_job {
  const struct kernels *kernels;
  const void *g;
  double *partial;
  int64_t count, sum_of; /* elements; of one sum */
};

static void norm_part(const void *argument, int index, int parts, void *scratch) {
  const struct norm_job *job = argument;
  const struct range r = nnpoly_cut(job->count, index, parts, job->sum_of);
  (void)scratch;
  for (int64_t start = r.start; start < r.stop; start += job->sum_of) {
    const int64_t stop = least(start + job->sum_of, r.stop);
    double sum = 0;
    for (int64_t i = start; i < stop; i += CHUNK)
      sum += job->kernels->sum_of_squares(job->g, i, least(i + CHUNK, stop));
    job->partial[start / job->sum_of] = sum;
  }
}

static void scale_part(const void *argument, int index, int parts, void *scratch) {
  const struct element_job *job = argument;
  const struct range r = nnpoly_cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->scale(job->in, job->out, r.start, r.stop, job->a);
}

int nnpoly_clip_norm(int dtype, const void *g, void *out, int64_t count, double limit) {
  CHECK(dtype, {INPUT, g, count, 1}, {OUTPUT | IN_PLACE, out, count, 1});
  const struct kernels *kernels = nnpoly_kernels(dtype);
  const int parts = nnpoly_parts(count, PART_ELEMENTS);
  double partial[MOST_CHUNKS], sum = 0;
  const int64_t chunks = (count + CHUNK - 1) / CHUNK;
  const int64_t sums = least(chunks, MOST_CHUNKS), each = sums > 0 ? (chunks - 1) / sums + 1 : 1;
  const struct norm_job norm = {kernels, g, partial, count, each * CHUNK};
  nnpoly_run(norm_part, &norm, parts, 0); /* no scratch, so it cannot fail */
  for (int64_t i = 0; i * norm.sum_of < count; i++) sum += partial[i];
  const double length = __builtin_sqrt(sum);
  const double factor = limit / (length > limit ? length : limit);
  const struct element_job job = {kernels, g, NULL, out, count, NNPOLY_LINEAR, factor};
  return nnpoly_run(scale_part, &job, parts, 0);
}

/* Optimisers and dropout */

static void add_scaled_part(const void *argument, int index, int parts, void *scratch) {
  const struct element_job *job = argument;
  const struct range r = nnpoly_cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->add_scaled(job->out, job->in, r.start, r.stop, job->a);
}

int nnpoly_add_scaled(int dtype, void *g, const void *w, int64_t count, double factor) {
  CHECK(dtype, {OUTPUT, g, count, 1}, {INPUT, w, count, 1});
  const struct element_job job = {nnpoly_kernels(dtype), w, NULL, g, count, NNPOLY_LINEAR, factor};
  return nnpoly_run(add_scaled_part, &job, nnpoly_parts(count, PART_ELEMENTS), 0);
}

int nnpoly_update(int dtype, int rule, void *w, const void *g, void *m, void *s, void *peak,
                  int64_t count, double learning_rate, double beta1, double beta2, double weight_m,
                  double weight_g, double unbias_s, double eps, int eps_inside) {
  if (rule < 0 || rule >= NNPOLY_RULES) return NNPOLY_RANGE;
  CHECK(dtype, {OUTPUT, w, count, 1}, {INPUT, g, count, 1},
        {OUTPUT, m, uses_m(rule) ? count : 0, 1}, {OUTPUT, s, uses_s(rule) ? count : 0, 1},
        {OUTPUT, peak, rule == NNPOLY_AMSGRAD ? count : 0, 1});
  const struct update job = {.rule = rule,
                             .w = w,
                             .m = m,
                             .s = s,
                             .peak = peak,
                             .g = (void *)g, /* written only with a penalty */
                             .learning_rate = learning_rate,
                             .beta1 = beta1,
                             .beta2 = beta2,
                             .weight_m = weight_m,
                             .weight_g = weight_g,
                             .unbias_s = unbias_s,
                             .eps = eps,
                             .eps_inside = eps_inside};
  return nnpoly_run_update(nnpoly_kernels(dtype), &job, count);
}

int nnpoly_dropout_scale(int dtype, void *out, int64_t n, int64_t m, double rate, int32_t key,
                         int32_t path) {
  CHECK(dtype, {OUTPUT, out, n, m});
  if (!is_rate(rate)) return NNPOLY_RANGE;
  const struct dropped job = {
      .out = out, .m = m, .dropout = {rate, (uint32_t)key, (uint32_t)path, NULL}};
  return nnpoly_run_dropout(nnpoly_kernels(dtype), &job, n);
}
