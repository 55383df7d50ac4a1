/* Prediction: every part takes its rows through all layers, a block that fits the cache at a time.
 */
#include <stdint.h>

#include "check.h"
#include "layer.h"

/* The rows of a block: many beside the weights that each block packs, while its results are few. */
enum { FEWEST_ROWS = 128, MOST_ROWS = 512, RESULTS = 1 << 15 };

/* Each member's rows count. */
static int64_t block_rows(int64_t widest, int64_t members) {
  const int64_t rows = RESULTS / widest, fewest = pieces_of(FEWEST_ROWS, members);
  return rows < fewest ? fewest : least(rows, MOST_ROWS);
}

struct predict_job {
  const struct kernels *kernels;
  const struct nnpoly_layer *layers;
  int depth, output;
  const void *const *buffers;
  const char *w, *x;
  char *f;
  int64_t n, size, block; /* rows; bytes of an element; rows of a block */
  int64_t members, K;     /* of the last layer; scores of one of them */
  /* of the scratch: for the kernels; for the means of a norm, and as much for its scales; for the
   * results of a block, of which there are two that take turns, and one for each ADD to take */
  size_t kernel_bytes, moments_bytes, results_bytes;
};

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
    nnpoly_forward(job->kernels, &pass, 0, rows, scratch);
    pass.x = pass.post;
    pass.w += nnpoly_parameters(&layer) * job->size;
  }
  char *all = pass.post; /* members' outputs */
  if (job->output == NNPOLY_ACTIVATIONS)
    job->kernels->softmax(all, all, 0, rows * members, K, scratch);
  if (members > 1) job->kernels->members_mean(all, f, 0, rows, members, K);
}

static void predict_part(const void *argument, int index, int parts, void *scratch) {
  const struct predict_job *job = argument;
  const struct range r = nnpoly_cut(job->n, index, parts, ROWS_STEP);
  for (int64_t row = r.start; row < r.stop; row += job->block)
    predict_block(job, row, least(job->block, r.stop - row), scratch);
}

int nnpoly_predict(int dtype, const struct nnpoly_layer *layers, int depth, const void *w,
                   const void *const *buffers, const void *x, void *f, int64_t n, int64_t members,
                   int output) {
  if (!nnpoly_sound_layers(layers, depth) || output < 0 || output > NNPOLY_ACTIVATIONS)
    return NNPOLY_RANGE;
  const int64_t outputs = layers[depth - 1].outputs, count = at_least_one(members);
  if (members < 0 || outputs % count != 0) return NNPOLY_RANGE;
  const int64_t K = outputs / count;
  const struct totals totals = nnpoly_totals(layers, depth);
  CHECK(dtype, {INPUT, w, totals.parameters, 1}, {INPUT, x, n, layers[0].inputs},
        {OUTPUT, f, n, K});
  const int status = nnpoly_check_buffers(buffers, totals.column_norms, size_of(dtype));
  if (status != NNPOLY_OK || n == 0) return status;
  const struct kernels *kernels = nnpoly_kernels(dtype);
  struct predict_job job = {.kernels = kernels,
                            .layers = layers,
                            .depth = depth,
                            .output = output,
                            .buffers = buffers,
                            .w = w,
                            .x = x,
                            .f = f,
                            .n = n,
                            .size = size_of(dtype),
                            .block = block_rows(totals.widest, count),
                            .members = count,
                            .K = K};
  const int64_t rows = least(n, job.block);
  job.kernel_bytes = nnpoly_chain_scratch(kernels, &totals, K);
  job.moments_bytes = (size_t)((rows > totals.widest ? rows : totals.widest) * job.size);
  job.results_bytes = (size_t)(rows * totals.widest * job.size);
  const size_t bytes =
      job.kernel_bytes + 2 * job.moments_bytes + (2 + (size_t)totals.adds) * job.results_bytes;
  const int64_t pieces = pieces_of(n, ROWS_STEP);
  const int parts = nnpoly_parts_of(pieces, n * totals.work, PART_PRODUCT);
  return nnpoly_run(predict_part, &job, parts, bytes);
}
