/* Layers of members: the functions of nnpoly.h that compute them one by one. */
#include <stdint.h>

#include "check.h"
#include "layer.h"

/* Columns */

struct sums_job {
  const struct kernels *kernels;
  const void *x;
  void *out;
  int64_t n, m;
};

static void sums_part(const void *argument, int index, int parts, void *scratch) {
  const struct sums_job *job = argument;
  const struct range r = nnpoly_cut(job->m, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->column_sums(job->x, job->out, job->n, job->m, r.start, r.stop);
}

int nnpoly_column_sums(int dtype, const void *x, void *out, int64_t n, int64_t m) {
  CHECK(dtype, {INPUT, x, n, m}, {OUTPUT, out, m, 1});
  const struct sums_job job = {nnpoly_kernels(dtype), x, out, n, m};
  const int64_t pieces = pieces_of(m, STEP_ELEMENTS);
  return nnpoly_run(sums_part, &job, nnpoly_parts_of(pieces, n * m, PART_ELEMENTS), 0);
}

/* A mean */

struct mean_job {
  const struct kernels *kernels;
  const void *f;
  void *out;
  int64_t n, members, K;
};

static void mean_part(const void *argument, int index, int parts, void *scratch) {
  const struct mean_job *job = argument;
  const struct range r = nnpoly_cut(job->n, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->members_mean(job->f, job->out, r.start, r.stop, job->members, job->K);
}

int nnpoly_members_mean(int dtype, const void *f, void *out, int64_t n, int64_t members,
                        int64_t K) {
  if (members < 1 || members > INT32_MAX || K < 0 || K > INT32_MAX) return NNPOLY_SHAPE;
  CHECK(dtype, {INPUT, f, n, members * K}, {OUTPUT, out, n, K});
  const struct mean_job job = {nnpoly_kernels(dtype), f, out, n, members, K};
  const int64_t pieces = pieces_of(n, STEP_ELEMENTS);
  return nnpoly_run(mean_part, &job, nnpoly_parts_of(pieces, n * members * K, PART_ELEMENTS), 0);
}

/* MEMBER_DENSE */

enum what { FORWARDS, BACK, LEARN };

struct dense_job {
  enum what what;
  const struct kernels *kernels;
  const struct pass *pass;
  const char *b, *delta;
  char *dW, *db, *out;
  struct epilogue below; /* of what `out` is the delta of */
};

/* Its product number i. */
static struct product product_of(const struct dense_job *job, int64_t i) {
  const struct pass *pass = job->pass;
  const int64_t m_in = inputs_of_one(pass->layer), m = outputs_of_one(pass->layer);
  struct product p;
  if (job->what == BACK) return nnpoly_delta_product(pass, i, job->delta, job->out, job->below);
  if (job->what == FORWARDS) {
    p = nnpoly_product_of(pass, i);
    p.bias = job->b + i * m * pass->size;
  } else {
    p = nnpoly_gradient_product(pass, i, job->delta);
    p.C = job->dW + i * m * m_in * pass->size;
    p.sums = job->db + i * m * pass->size;
  }
  return p;
}

static void dense_part(const void *argument, int index, int parts, void *scratch) {
  const struct dense_job *job = argument;
  const struct range rows = nnpoly_cut(job->pass->n, index, parts, ROWS_STEP);
  for (int64_t i = 0; i < products_of(job->pass->layer); i++) {
    const struct product p = product_of(job, i);
    if (job->what == LEARN)
      nnpoly_product_part(job->kernels, &p, index, parts, scratch);
    else if (rows.start < rows.stop)
      job->kernels->product(&p, (struct rect){rows.start, rows.stop, 0, p.N}, scratch);
  }
}

static int run(const struct dense_job *job) {
  const struct pass *pass = job->pass;
  const int64_t pieces = job->what == LEARN ? INT32_MAX : pieces_of(pass->n, ROWS_STEP);
  const int64_t work = pass->n * nnpoly_parameters(pass->layer);
  const int parts = nnpoly_parts_of(pieces, work, PART_PRODUCT);
  return nnpoly_run(dense_part, job, parts, job->kernels->product_scratch);
}

static int layer_of(const struct nnpoly_members *sizes, struct nnpoly_layer *layer) {
  if (sizes == NULL) return NNPOLY_NULL;
  const int64_t k = sizes->members, m_in = sizes->m_in, m = sizes->m;
  if (k < 1 || m_in < 1 || m < 1 || k > INT32_MAX || m_in > INT32_MAX / k || m > INT32_MAX / k)
    return NNPOLY_SHAPE;
  *layer = (struct nnpoly_layer){
      .kind = NNPOLY_MEMBER_DENSE, .inputs = k * m_in, .outputs = k * m, .factor = 1, .members = k};
  return NNPOLY_OK;
}

int nnpoly_members_dense(int dtype, const void *x, const void *W, const void *b, void *pre,
                         void *post, int64_t n, const struct nnpoly_members *sizes, int activation,
                         double a) {
  struct nnpoly_layer layer;
  const int status = layer_of(sizes, &layer);
  if (status != NNPOLY_OK) return status;
  if (!known(activation)) return NNPOLY_RANGE;
  if (pre == post && activation == NNPOLY_IDENTITY) pre = NULL;
  CHECK(dtype, {INPUT, x, n, layer.inputs}, {INPUT, W, layer.outputs, sizes->m_in},
        {INPUT, b, layer.outputs, 1}, {OUTPUT | OPTIONAL, pre, n, layer.outputs},
        {OUTPUT, post, n, layer.outputs});
  layer.activation = activation;
  layer.a = a;
  const struct pass pass = {.layer = &layer,
                            .n = n,
                            .size = size_of(dtype),
                            .x = x,
                            .w = W,
                            .C = pre != NULL ? pre : post,
                            .post = post};
  const struct dense_job job = {
      .what = FORWARDS, .kernels = nnpoly_kernels(dtype), .pass = &pass, .b = b};
  return run(&job);
}

int nnpoly_members_dense_delta(int dtype, const void *delta, const void *W, const void *read,
                               void *out, int64_t n, const struct nnpoly_members *sizes,
                               int activation, double a) {
  struct nnpoly_layer layer;
  const int status = layer_of(sizes, &layer);
  if (status != NNPOLY_OK) return status;
  if (!known(activation)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, W, layer.outputs, sizes->m_in},
        {INPUT | OPTIONAL, read, n, layer.inputs}, {OUTPUT, out, n, layer.inputs});
  if (read == NULL && !reads_nothing(activation) && n > 0) return NNPOLY_NULL;
  const struct pass pass = {.layer = &layer, .n = n, .size = size_of(dtype), .w = W};
  const struct dense_job job = {.what = BACK,
                                .kernels = nnpoly_kernels(dtype),
                                .pass = &pass,
                                .delta = delta,
                                .out = out,
                                .below = {.activation = activation, .a = a, .read = read}};
  return run(&job);
}

int nnpoly_members_dense_gradients(int dtype, const void *delta, const void *x, void *dW, void *db,
                                   int64_t n, const struct nnpoly_members *sizes) {
  struct nnpoly_layer layer;
  const int status = layer_of(sizes, &layer);
  if (status != NNPOLY_OK) return status;
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, x, n, layer.inputs},
        {OUTPUT, dW, layer.outputs, sizes->m_in}, {OUTPUT, db, layer.outputs, 1});
  const struct pass pass = {.layer = &layer, .n = n, .size = size_of(dtype), .x = x};
  const struct dense_job job = {.what = LEARN,
                                .kernels = nnpoly_kernels(dtype),
                                .pass = &pass,
                                .delta = delta,
                                .dW = dW,
                                .db = db};
  return run(&job);
}
