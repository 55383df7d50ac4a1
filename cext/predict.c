/* Prediction: every part takes its rows through all layers, a block that fits the cache at a time.
 */
#include <stdint.h>

#include "predict.h"

#include "check.h"

/* The rows of a block: many beside the weights that each block packs, while its results are few. */
enum { FEWEST_ROWS = 128, MOST_ROWS = 512, RESULTS = 1 << 15 };

/* Each member's rows count. */
static int64_t block_rows(int64_t widest, int64_t members) {
  const int64_t rows = RESULTS / widest, fewest = pieces_of(FEWEST_ROWS, members);
  return rows < fewest ? fewest : least(rows, MOST_ROWS);
}

static char *results(const struct predict_job *job, char *scratch, int place) {
  return scratch + job->kernel_bytes + 2 * job->moments_bytes + (size_t)place * job->results_bytes;
}

/* The results that the ADD takes which takes layer l's; NULL if none does. */
static char *kept(const struct predict_job *job, char *scratch, int l) {
  const int taken_by = nnpoly_taken_by(job->layers, job->depth, l);
  if (taken_by < 0) return NULL;
  return results(job, scratch, 2 + nnpoly_totals(job->layers, taken_by).adds);
}

/* Where layer l's go, of which `in` is the input. */
static char *results_of(const struct predict_job *job, char *scratch, int l, const char *in) {
  char *place = kept(job, scratch, l);
  return place != NULL ? place : results(job, scratch, in == results(job, scratch, 0));
}

/* Threads share a product where there are too few rows for them. */
static void forward(const struct predict_job *job, const struct pass *pass, int64_t rows,
                    char *scratch) {
  int64_t done = 0;
  const int64_t products = job->shares && has_products(pass->layer) ? products_of(pass->layer) : 0;
  for (; done < products; done++) {
    const struct product product = nnpoly_product_of(pass, done);
    if (nnpoly_run_product(job->kernels, &product) != NNPOLY_OK) break;
  }
  if (products == 0 || done < products) nnpoly_forward(job->kernels, pass, 0, rows, scratch);
}

static void predict_block(const struct predict_job *job, int64_t row, int64_t rows, char *scratch) {
  const int64_t members = job->members, K = job->K;
  const void *const *running = job->buffers;
  char *mean = scratch + job->kernel_bytes, *f = job->f + row * K * job->size;
  struct pass pass = {.n = rows,
                      .size = job->size,
                      .x = job->x + row * job->layers[0].inputs * job->size,
                      .w = job->w,
                      .scale = mean + job->moments_bytes};
  for (int l = 0; l < job->depth; l++) {
    struct nnpoly_layer layer = job->layers[l];
    const int last = l == job->depth - 1;
    if (last && job->output < NNPOLY_ACTIVATIONS) layer.activation = job->output;
    pass.layer = &layer;
    pass.mean = mean;
    if (layer.kind == NNPOLY_COLUMN_NORM) {
      pass.mean = (char *)running[0]; /* which moments alone would write */
      job->kernels->inverse_roots(running[1], pass.scale, layer.outputs, layer.eps);
      running += 2;
    }
    pass.other = layer.kind == NNPOLY_ADD ? kept(job, scratch, layer.from) : NULL;
    pass.C = pass.post = last && members == 1 ? f : results_of(job, scratch, l, pass.x);
    forward(job, &pass, rows, scratch);
    pass.x = pass.post;
    pass.w += nnpoly_parameters(&layer) * job->size;
  }
  char *all = pass.post; /* members' outputs */
  if (job->output == NNPOLY_ACTIVATIONS)
    job->kernels->softmax(all, all, 0, rows * members, K, scratch);
  if (members > 1) job->kernels->members_mean(all, f, 0, rows, members, K);
}

void nnpoly_predict_rows(const struct predict_job *job, int64_t start, int64_t stop,
                         void *scratch) {
  for (int64_t row = start; row < stop; row += job->block)
    predict_block(job, row, least(job->block, stop - row), scratch);
}

int nnpoly_predict_job(struct predict_job *job, int dtype, const struct nnpoly_layer *layers,
                       int depth, int64_t members, int output, int64_t n) {
  if (!is_dtype(dtype) || !nnpoly_sound_layers(layers, depth)) return NNPOLY_RANGE;
  if (output < 0 || output > NNPOLY_ACTIVATIONS) return NNPOLY_RANGE;
  const int64_t outputs = layers[depth - 1].outputs, count = at_least_one(members);
  if (members < 0 || outputs % count != 0) return NNPOLY_RANGE;
  const struct kernels *kernels = nnpoly_kernels(dtype);
  const struct totals totals = nnpoly_totals(layers, depth);
  const int64_t size = size_of(dtype), block = block_rows(totals.widest, count);
  const int64_t rows = least(n > 1 ? n : 1, block);
  *job = (struct predict_job){.kernels = kernels,
                              .layers = layers,
                              .depth = depth,
                              .output = output,
                              .members = count,
                              .K = outputs / count,
                              .parameters = totals.parameters,
                              .work = totals.work,
                              .column_norms = totals.column_norms,
                              .n = n,
                              .size = size,
                              .block = block,
                              .step = pieces_of(ROWS_STEP, count)};
  job->kernel_bytes = nnpoly_chain_scratch(kernels, &totals, job->K);
  job->moments_bytes = (size_t)((rows > totals.widest ? rows : totals.widest) * size);
  job->results_bytes = (size_t)(rows * totals.widest * size);
  job->bytes =
      job->kernel_bytes + 2 * job->moments_bytes + (2 + (size_t)totals.adds) * job->results_bytes;
  return NNPOLY_OK;
}

int nnpoly_predict_parts(struct predict_job *job, int64_t times) {
  const int64_t pieces = pieces_of(job->n, job->step);
  const int parts = nnpoly_parts(job->n * job->work * times, PART_PRODUCT);
  job->shares = job->n * job->members < FEWEST_ROWS && pieces < parts;
  return job->shares ? 1 : (int)least(parts, pieces > 0 ? pieces : 1);
}

static void predict_part(const void *argument, int index, int parts, void *scratch) {
  const struct predict_job *job = argument;
  const struct range r = nnpoly_cut(job->n, index, parts, job->step);
  nnpoly_predict_rows(job, r.start, r.stop, scratch);
}

int nnpoly_predict(int dtype, const struct nnpoly_layer *layers, int depth, const void *w,
                   const void *const *buffers, const void *x, void *f, int64_t n, int64_t members,
                   int output) {
  struct predict_job job;
  int status = nnpoly_predict_job(&job, dtype, layers, depth, members, output, n);
  if (status != NNPOLY_OK) return status;
  CHECK(dtype, {INPUT, w, job.parameters, 1}, {INPUT, x, n, layers[0].inputs},
        {OUTPUT, f, n, job.K});
  status = nnpoly_check_buffers(buffers, job.column_norms, job.size);
  if (status != NNPOLY_OK || n == 0) return status;
  job.w = w;
  job.buffers = buffers;
  job.x = x;
  job.f = f;
  const int parts = nnpoly_predict_parts(&job, 1);
  return nnpoly_run(predict_part, &job, parts, job.bytes);
}
