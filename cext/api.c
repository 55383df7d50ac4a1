/* The functions of nnpoly.h: check the arguments, cut the work into parts, run them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

/* Checks */

enum { INPUT = 0, OUTPUT = 1, OPTIONAL = 2, IN_PLACE = 4 };

/* An argument: an array of rows x columns elements. IN_PLACE: it may be another argument, whole. */
struct argument {
  int kind;
  const void *start;
  int64_t rows, columns;
};

static int bytes_of(const struct argument *argument, int64_t size, int64_t *bytes) {
  if (argument->rows < 0 || argument->columns < 0) return NNPOLY_SHAPE;
  if (__builtin_mul_overflow(argument->rows, argument->columns, bytes)) return NNPOLY_SHAPE;
  if (__builtin_mul_overflow(*bytes, size, bytes)) return NNPOLY_SHAPE;
  return *bytes <= INT64_MAX / 4 ? NNPOLY_OK : NNPOLY_SHAPE;
}

static int check_pointer(const struct argument *argument, int64_t size, int64_t bytes) {
  const uintptr_t start = (uintptr_t)argument->start;
  if (start == 0) return bytes > 0 && !(argument->kind & OPTIONAL) ? NNPOLY_NULL : NNPOLY_OK;
  return start % (uintptr_t)size == 0 ? NNPOLY_OK : NNPOLY_MISALIGNED;
}

static int overlap(const struct argument *a, int64_t a_bytes, const struct argument *b,
                   int64_t b_bytes) {
  const uintptr_t a0 = (uintptr_t)a->start, b0 = (uintptr_t)b->start;
  if (!((a->kind | b->kind) & OUTPUT) || a0 == 0 || b0 == 0) return 0;
  if (a0 == b0 && a_bytes == b_bytes && ((a->kind | b->kind) & IN_PLACE)) return 0;
  return a0 < b0 + (uintptr_t)b_bytes && b0 < a0 + (uintptr_t)a_bytes;
}

enum { MOST_ARGUMENTS = 5 };

static int check_arrays(int64_t size, const struct argument *arguments, int count) {
  int64_t bytes[MOST_ARGUMENTS];
  for (int i = 0; i < count; i++) {
    int status = bytes_of(&arguments[i], size, &bytes[i]);
    if (status == NNPOLY_OK) status = check_pointer(&arguments[i], size, bytes[i]);
    if (status != NNPOLY_OK) return status;
  }
  for (int i = 0; i < count; i++)
    for (int j = 0; j < i; j++)
      if (overlap(&arguments[i], bytes[i], &arguments[j], bytes[j])) return NNPOLY_OVERLAP;
  return NNPOLY_OK;
}

static int64_t size_of(int dtype) { return dtype == NNPOLY_FLOAT64 ? 8 : 4; }

#define CHECK(dtype, ...)                                                                          \
  do {                                                                                             \
    if ((dtype) != NNPOLY_FLOAT32 && (dtype) != NNPOLY_FLOAT64) return NNPOLY_RANGE;               \
    const struct argument arguments_[] = {__VA_ARGS__};                                            \
    const int status_ =                                                                            \
        check_arrays(size_of(dtype), arguments_, (int)(sizeof arguments_ / sizeof arguments_[0])); \
    if (status_ != NNPOLY_OK) return status_;                                                      \
  } while (0)

static int known(int activation) { return activation >= 0 && activation < NNPOLY_ACTIVATIONS; }

/* Parts */

/* Below these a part takes about as long as waking a thread, and fetching what another one left in
 * its cache. */
#define PART_PRODUCT ((int64_t)1 << 19) /* multiply-adds */
#define PART_ELEMENTS ((int64_t)1 << 14)
#define PART_BYTES ((int64_t)1 << 18)

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int parts_for(int64_t work, int64_t per_part) {
  const int64_t most = work / per_part;
  return most < 2 ? 1 : (int)least(most, nnpoly_num_threads());
}

struct range {
  int64_t start, stop;
};

/* Part `index` of 0..count-1, cut at multiples of `step`. */
static struct range cut(int64_t count, int index, int parts, int64_t step) {
  const int64_t steps = (count + step - 1) / step, each = steps / parts, more = steps % parts;
  const int64_t first = index * each + least(index, more);
  const int64_t length = each + (index < more);
  return (struct range){least(first * step, count), least((first + length) * step, count)};
}

/* Products */

struct product_job {
  struct product product;
  const struct kernels *kernels;
  int across; /* the rectangle is cut into parts / across rows of `across` parts */
};

static void product_part(const void *argument, int index, int parts, void *scratch) {
  const struct product_job *job = argument;
  const struct product *p = &job->product;
  const struct range rows = cut(p->M, index / job->across, parts / job->across, 2);
  const struct range columns =
      cut(p->N, index % job->across, job->across, job->kernels->tile_columns);
  const struct rect r = {rows.start, rows.stop, columns.start, columns.stop};
  if (r.i0 < r.i1 && r.j0 < r.j1) job->kernels->product(p, r, scratch);
}

/* How many of `parts` to lay across the columns: what costs the largest part the least, in
 * multiply-adds for each k. To transpose an element costs about as much as 8, to copy one 2. */
static int parts_across(const struct product_job *job, int parts) {
  const int64_t packing_B = job->product.form == FORWARD ? 8 : 2, packing_A = 2;
  int best = 1;
  int64_t lowest = INT64_MAX;
  for (int across = 1; across <= parts; across++) {
    if (parts % across != 0) continue;
    const struct range r = cut(job->product.M, 0, parts / across, 2);
    const struct range c = cut(job->product.N, 0, across, job->kernels->tile_columns);
    const int64_t cost = r.stop * c.stop + packing_B * c.stop + packing_A * r.stop;
    if (cost < lowest) {
      lowest = cost;
      best = across;
    }
  }
  return best;
}

static int run_product(int dtype, const struct product *p) {
  struct product_job job = {*p, nnpoly_kernels(dtype), 1};
  if (p->M == 0 || p->N == 0) return NNPOLY_OK;
  const double work = (double)p->M * (double)p->N * (double)(p->K > 0 ? p->K : 1);
  const int parts = parts_for(work < 1e18 ? (int64_t)work : INT64_MAX, PART_PRODUCT);
  job.across = parts_across(&job, parts);
  return nnpoly_run(product_part, &job, parts, job.kernels->product_scratch);
}

int nnpoly_dense(int dtype, const void *x, const void *W, const void *b, void *pre, void *post,
                 int64_t n, int64_t m_in, int64_t m, int activation, double a) {
  if (!known(activation)) return NNPOLY_RANGE;
  const int same = activation == NNPOLY_IDENTITY ? IN_PLACE : 0;
  CHECK(dtype, {INPUT, x, n, m_in}, {INPUT, W, m, m_in}, {INPUT, b, m, 1},
        {OUTPUT | OPTIONAL, pre, n, m}, {OUTPUT | same, post, n, m});
  const struct product p = {.form = FORWARD,
                            .A = x,
                            .B = W,
                            .C = pre != NULL ? pre : post,
                            .M = n,
                            .N = m,
                            .K = m_in,
                            .bias = b,
                            .post = post,
                            .activation = activation,
                            .a = a};
  return run_product(dtype, &p);
}

int nnpoly_dense_delta(int dtype, const void *delta, const void *W, const void *read, void *out,
                       int64_t n, int64_t m_next, int64_t m, int activation, double a) {
  if (!known(activation)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, delta, n, m_next}, {INPUT, W, m_next, m}, {INPUT | OPTIONAL, read, n, m},
        {OUTPUT, out, n, m});
  if (read == NULL && activation > NNPOLY_LINEAR && n > 0 && m > 0) return NNPOLY_NULL;
  const struct product p = {.form = DELTA,
                            .A = delta,
                            .B = W,
                            .C = out,
                            .M = n,
                            .N = m,
                            .K = m_next,
                            .read = read,
                            .activation = activation,
                            .a = a};
  return run_product(dtype, &p);
}

int nnpoly_dense_gradients(int dtype, const void *delta, const void *x, void *dW, void *db,
                           int64_t n, int64_t m, int64_t m_in) {
  CHECK(dtype, {INPUT, delta, n, m}, {INPUT, x, n, m_in}, {OUTPUT, dW, m, m_in},
        {OUTPUT, db, m, 1});
  if (m_in == 0) return NNPOLY_SHAPE; /* no columns of dW, beside which db is added up */
  const struct product p = {
      .form = GRADIENT, .A = delta, .B = x, .C = dW, .M = m, .N = m_in, .K = n, .sums = db};
  return run_product(dtype, &p);
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

/* Parts are cut at multiples of a cache line, whatever the type. */
#define STEP_ELEMENTS 16

static void activate_part(const void *argument, int index, int parts, void *scratch) {
  const struct element_job *job = argument;
  const struct range r = cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->activate(job->in, job->out, r.start, r.stop, job->activation, job->a);
}

int nnpoly_activate(int dtype, const void *pre, void *post, int64_t count, int activation,
                    double a) {
  if (!known(activation)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, pre, count, 1}, {OUTPUT | IN_PLACE, post, count, 1});
  const struct element_job job = {nnpoly_kernels(dtype), pre, NULL, post, count, activation, a};
  return nnpoly_run(activate_part, &job, parts_for(count, PART_ELEMENTS), 0);
}

static void activation_delta_part(const void *argument, int index, int parts, void *scratch) {
  const struct element_job *job = argument;
  const struct range r = cut(job->count, index, parts, STEP_ELEMENTS);
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
  if (read == NULL && activation > NNPOLY_LINEAR && count > 0) return NNPOLY_NULL;
  const struct element_job job = {nnpoly_kernels(dtype), d_post, read, out, count, activation, a};
  return nnpoly_run(activation_delta_part, &job, parts_for(count, PART_ELEMENTS), 0);
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
  const struct range r = cut(job->n, index, parts, CHUNK_ROWS);
  job->kernels->softmax(job->scores, job->f, r.start, r.stop, job->K, scratch);
}

int nnpoly_softmax(int dtype, const void *scores, void *f, int64_t n, int64_t K) {
  CHECK(dtype, {INPUT, scores, n, K}, {OUTPUT | IN_PLACE, f, n, K});
  if (n == 0 || K == 0) return NNPOLY_OK;
  const struct softmax_job job = {nnpoly_kernels(dtype), scores, f, n, K};
  return nnpoly_run(softmax_part, &job, parts_for(n * K, PART_ELEMENTS),
                    (size_t)K * job.kernels->row_scratch);
}

struct loss_job {
  struct loss loss;
  const struct kernels *kernels;
  void (*by_elements)(const struct loss *, int64_t chunk); /* NULL for cross_entropy */
  int64_t chunks;
};

static void loss_part(const void *argument, int index, int parts, void *scratch) {
  const struct loss_job *job = argument;
  const struct range r = cut(job->chunks, index, parts, 1);
  for (int64_t chunk = r.start; chunk < r.stop; chunk++) {
    if (job->by_elements != NULL)
      job->by_elements(&job->loss, chunk);
    else
      job->kernels->cross_entropy(&job->loss, chunk, scratch);
  }
}

/* Room for `count` sums: `few`, which holds FEW, or else allocated; NULL if there is none. */
enum { FEW = 64 };
static double *room_for(int64_t count, double *few) {
  return count <= FEW ? few : malloc((size_t)count * sizeof(double));
}

static double add_up(const double *partial, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += partial[i];
  return sum;
}

static int run_loss(int dtype, struct loss_job *job, int64_t per_chunk, int64_t count,
                    size_t scratch, void *loss) {
  double few[FEW];
  job->chunks = (count + per_chunk - 1) / per_chunk;
  job->loss.partial = room_for(job->chunks, few);
  if (job->loss.partial == NULL) return NNPOLY_NO_MEMORY;
  const int parts = parts_for(job->loss.n * job->loss.K, PART_ELEMENTS);
  const int status = nnpoly_run(loss_part, job, parts, scratch);
  const double mean = add_up(job->loss.partial, job->chunks) / (double)job->loss.n;
  if (job->loss.partial != few) free(job->loss.partial);
  if (status != NNPOLY_OK) return status;
  if (dtype == NNPOLY_FLOAT64)
    *(double *)loss = mean;
  else
    *(float *)loss = (float)mean;
  return NNPOLY_OK;
}

int nnpoly_labels_within(const int64_t *labels, int64_t n, int64_t K) {
  int within = 1;
  for (int64_t i = 0; i < n; i++) within &= labels[i] >= 0 && labels[i] < K;
  return within;
}

int nnpoly_cross_entropy(int dtype, const void *scores, const int64_t *labels, const void *rows,
                         void *delta, void *loss, int64_t n, int64_t K) {
  if (n < 1 || K < 1) return NNPOLY_SHAPE;
  if ((labels == NULL) == (rows == NULL)) return NNPOLY_NULL;
  CHECK(dtype, {INPUT, scores, n, K}, {INPUT | OPTIONAL, rows, n, K}, {OUTPUT, delta, n, K},
        {OUTPUT, loss, 1, 1});
  const int64_t words = 8 / size_of(dtype); /* of an int64, in elements */
  CHECK(dtype, {INPUT | OPTIONAL, labels, n, words}, {OUTPUT, delta, n, K}, {OUTPUT, loss, 1, 1});
  if ((uintptr_t)labels % sizeof(int64_t) != 0) return NNPOLY_MISALIGNED;
  const struct kernels *kernels = nnpoly_kernels(dtype);
  struct loss_job job = {{scores, rows, labels, delta, NULL, n, K}, kernels, NULL, 0};
  return run_loss(dtype, &job, CHUNK_ROWS, n, (size_t)K * kernels->row_scratch, loss);
}

static int run_element_loss(int dtype, const void *scores, const void *y, void *delta, void *loss,
                            int64_t n, int64_t K, int is_logistic) {
  if (n < 1) return NNPOLY_SHAPE;
  CHECK(dtype, {INPUT, scores, n, K}, {INPUT, y, n, K}, {OUTPUT, delta, n, K},
        {OUTPUT, loss, 1, 1});
  const struct kernels *kernels = nnpoly_kernels(dtype);
  struct loss_job job = {{scores, y, NULL, delta, NULL, n, K},
                         kernels,
                         is_logistic ? kernels->logistic : kernels->squared_error,
                         0};
  return run_loss(dtype, &job, CHUNK, n * K, 0, loss);
}

int nnpoly_logistic(int dtype, const void *scores, const void *y, void *delta, void *loss,
                    int64_t n, int64_t K) {
  return run_element_loss(dtype, scores, y, delta, loss, n, K, 1);
}

int nnpoly_squared_error(int dtype, const void *scores, const void *y, void *delta, void *loss,
                         int64_t n, int64_t K) {
  return run_element_loss(dtype, scores, y, delta, loss, n, K, 0);
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
  const struct range r = cut(job->n, index, parts, 1);
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
  return nnpoly_run(gather_part, &job, parts_for(n * row_bytes, PART_BYTES), 0);
}

/* The gradient's norm */

struct norm_job {
  const struct kernels *kernels;
  const void *g;
  double *partial;
  int64_t count, chunks;
};

static void norm_part(const void *argument, int index, int parts, void *scratch) {
  const struct norm_job *job = argument;
  const struct range r = cut(job->chunks, index, parts, 1);
  (void)scratch;
  for (int64_t chunk = r.start; chunk < r.stop; chunk++)
    job->partial[chunk] =
        job->kernels->sum_of_squares(job->g, chunk * CHUNK, least((chunk + 1) * CHUNK, job->count));
}

static void scale_part(const void *argument, int index, int parts, void *scratch) {
  const struct element_job *job = argument;
  const struct range r = cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->scale(job->in, job->out, r.start, r.stop, job->a);
}

int nnpoly_clip_norm(int dtype, const void *g, void *out, int64_t count, double limit) {
  CHECK(dtype, {INPUT, g, count, 1}, {OUTPUT | IN_PLACE, out, count, 1});
  const struct kernels *kernels = nnpoly_kernels(dtype);
  const int parts = parts_for(count, PART_ELEMENTS);
  double few[FEW];
  struct norm_job norm = {kernels, g, NULL, count, (count + CHUNK - 1) / CHUNK};
  norm.partial = room_for(norm.chunks, few);
  if (norm.partial == NULL) return NNPOLY_NO_MEMORY;
  nnpoly_run(norm_part, &norm, parts, 0); /* no scratch, so it cannot fail */
  const double length = __builtin_sqrt(add_up(norm.partial, norm.chunks));
  if (norm.partial != few) free(norm.partial);
  const double factor = limit / (length > limit ? length : limit);
  const struct element_job job = {kernels, g, NULL, out, count, NNPOLY_LINEAR, factor};
  return nnpoly_run(scale_part, &job, parts, 0);
}

/* Optimisers and dropout */

static void add_scaled_part(const void *argument, int index, int parts, void *scratch) {
  const struct element_job *job = argument;
  const struct range r = cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->add_scaled(job->out, job->in, r.start, r.stop, job->a);
}

int nnpoly_add_scaled(int dtype, void *g, const void *w, int64_t count, double factor) {
  CHECK(dtype, {OUTPUT, g, count, 1}, {INPUT, w, count, 1});
  const struct element_job job = {nnpoly_kernels(dtype), w, NULL, g, count, NNPOLY_LINEAR, factor};
  return nnpoly_run(add_scaled_part, &job, parts_for(count, PART_ELEMENTS), 0);
}

struct update_job {
  struct update update;
  const struct kernels *kernels;
  int64_t count;
};

static void update_part(const void *argument, int index, int parts, void *scratch) {
  const struct update_job *job = argument;
  const struct range r = cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->update(&job->update, r.start, r.stop);
}

int nnpoly_update(int dtype, int rule, void *w, const void *g, void *m, void *s, void *peak,
                  int64_t count, double learning_rate, double beta1, double beta2, double weight_m,
                  double weight_g, double unbias_s, double eps, int eps_inside) {
  if (rule < 0 || rule >= NNPOLY_RULES) return NNPOLY_RANGE;
  const int has_m = rule != NNPOLY_SGD && rule != NNPOLY_ADAGRAD && rule != NNPOLY_RMSPROP;
  const int has_s = rule >= NNPOLY_ADAGRAD && rule <= NNPOLY_AMSGRAD;
  CHECK(dtype, {OUTPUT, w, count, 1}, {INPUT, g, count, 1}, {OUTPUT, m, has_m ? count : 0, 1},
        {OUTPUT, s, has_s ? count : 0, 1}, {OUTPUT, peak, rule == NNPOLY_AMSGRAD ? count : 0, 1});
  const struct update_job job = {{rule, w, m, s, peak, g, learning_rate, beta1, beta2, weight_m,
                                  weight_g, unbias_s, eps, eps_inside},
                                 nnpoly_kernels(dtype),
                                 count};
  return nnpoly_run(update_part, &job, parts_for(count, PART_ELEMENTS), 0);
}

struct dropout_job {
  struct dropout dropout;
  const struct kernels *kernels;
  int64_t n;
};

static void dropout_part(const void *argument, int index, int parts, void *scratch) {
  const struct dropout_job *job = argument;
  const struct range r = cut(job->n, index, parts, 1);
  (void)scratch;
  job->kernels->dropout(&job->dropout, r.start, r.stop);
}

int nnpoly_dropout_scale(int dtype, void *out, int64_t n, int64_t m, double rate, int32_t key,
                         int32_t path) {
  CHECK(dtype, {OUTPUT, out, n, m});
  if (!(rate >= 0 && rate < 1)) return NNPOLY_RANGE;
  const struct dropout_job job = {
      {out, m, rate, (uint32_t)key, (uint32_t)path}, nnpoly_kernels(dtype), n};
  return nnpoly_run(dropout_part, &job, parts_for(n * m, PART_ELEMENTS), 0);
}

/* Prediction: every part takes its rows through all layers, a block that fits the cache at a time.
 */

int nnpoly_sound_layers(const struct nnpoly_layer *layers, int depth) {
  if (layers == NULL || depth < 1) return 0;
  for (int l = 0; l < depth; l++) {
    const struct nnpoly_layer *layer = &layers[l];
    if (layer->inputs < 1 || layer->outputs < 1) return 0;
    if (layer->inputs > INT32_MAX || layer->outputs > INT32_MAX) return 0;
    if (layer->activation < 0 || layer->activation >= NNPOLY_EXP) return 0;
    if (l > 0 && layer->inputs != layers[l - 1].outputs) return 0;
  }
  return 1;
}

enum { PREDICT_ROWS = 128 };

struct predict_job {
  const struct kernels *kernels;
  const struct nnpoly_layer *layers;
  int depth, output;
  const char *w, *x;
  char *f;
  int64_t n, size;      /* rows; bytes of an element */
  size_t kernel_bytes;  /* of the scratch: for the kernels, then for two blocks of results */
  size_t results_bytes; /* of one block */
};

static void predict_block(const struct predict_job *job, int64_t row, int64_t rows, char *scratch) {
  const int64_t K = job->layers[job->depth - 1].outputs;
  const char *in = job->x + row * job->layers[0].inputs * job->size, *w = job->w;
  char *f = job->f + row * K * job->size;
  for (int l = 0; l < job->depth; l++) {
    const struct nnpoly_layer *layer = &job->layers[l];
    const int last = l == job->depth - 1, squashed = last && job->output < NNPOLY_ACTIVATIONS;
    char *out = last ? f : scratch + job->kernel_bytes + (size_t)(l % 2) * job->results_bytes;
    const char *b = w + layer->inputs * layer->outputs * job->size;
    const struct product p = {.form = FORWARD,
                              .A = in,
                              .B = w,
                              .C = out,
                              .M = rows,
                              .N = layer->outputs,
                              .K = layer->inputs,
                              .bias = b,
                              .post = out,
                              .activation = squashed ? job->output : layer->activation,
                              .a = layer->a};
    job->kernels->product(&p, (struct rect){0, rows, 0, layer->outputs}, scratch);
    in = out;
    w = b + layer->outputs * job->size;
  }
  if (job->output == NNPOLY_ACTIVATIONS) job->kernels->softmax(f, f, 0, rows, K, scratch);
}

static void predict_part(const void *argument, int index, int parts, void *scratch) {
  const struct predict_job *job = argument;
  const struct range r = cut(job->n, index, parts, CHUNK_ROWS);
  for (int64_t row = r.start; row < r.stop; row += PREDICT_ROWS)
    predict_block(job, row, least(PREDICT_ROWS, r.stop - row), scratch);
}

int nnpoly_predict(int dtype, const struct nnpoly_layer *layers, int depth, const void *w,
                   const void *x, void *f, int64_t n, int output) {
  if (!nnpoly_sound_layers(layers, depth) || output < 0 || output > NNPOLY_ACTIVATIONS)
    return NNPOLY_RANGE;
  const int64_t K = layers[depth - 1].outputs;
  int64_t parameters = 0, widest = 0;
  for (int l = 0; l < depth; l++) {
    parameters += (layers[l].inputs + 1) * layers[l].outputs;
    widest = layers[l].outputs > widest ? layers[l].outputs : widest;
  }
  CHECK(dtype, {INPUT, w, parameters, 1}, {INPUT, x, n, layers[0].inputs}, {OUTPUT, f, n, K});
  if (n == 0) return NNPOLY_OK;
  const struct kernels *kernels = nnpoly_kernels(dtype);
  struct predict_job job = {kernels, layers, depth, output, w, x, f, n, size_of(dtype), 0, 0};
  const size_t softmax = (size_t)K * kernels->row_scratch;
  job.kernel_bytes = softmax > kernels->product_scratch ? softmax : kernels->product_scratch;
  job.results_bytes = (size_t)(least(n, PREDICT_ROWS) * widest * job.size);
  const int parts = parts_for(n * parameters, PART_PRODUCT);
  return nnpoly_run(predict_part, &job, parts, job.kernel_bytes + 2 * job.results_bytes);
}
