/* Prediction: every part takes its rows through all layers, a block that fits the cache at a time.
 */
#include <stdint.h>

#include "check.h"
#include "core.h"

int nnpoly_sound_layers(const struct nnpoly_layer *layers, int depth) {
  if (layers == NULL || depth < 1) return 0;
  for (int l = 0; l < depth; l++) {
    const struct nnpoly_layer *layer = &layers[l];
    if (layer->inputs < 1 || layer->outputs < 1) return 0;
    if (layer->inputs > INT32_MAX || layer->outputs > INT32_MAX) return 0;
    if (!known(layer->activation)) return 0;
    if (l > 0 && layer->inputs != layers[l - 1].outputs) return 0;
  }
  return 1;
}

/* The rows of a block: many beside the weights that each block packs, while its results are few. */
enum { FEWEST_ROWS = 128, MOST_ROWS = 512, RESULTS = 1 << 15 };

static int64_t block_rows(int64_t widest) {
  const int64_t rows = RESULTS / widest;
  return rows < FEWEST_ROWS ? FEWEST_ROWS : least(rows, MOST_ROWS);
}

struct predict_job {
  const struct kernels *kernels;
  const struct nnpoly_layer *layers;
  int depth, output;
  const char *w, *x;
  char *f;
  int64_t n, size, block; /* rows; bytes of an element; rows of a block */
  size_t kernel_bytes;    /* of the scratch: for the kernels, then for two blocks of results */
  size_t results_bytes;   /* of one block */
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
  const struct range r = nnpoly_cut(job->n, index, parts, ROWS_STEP);
  for (int64_t row = r.start; row < r.stop; row += job->block)
    predict_block(job, row, least(job->block, r.stop - row), scratch);
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
  struct predict_job job = {.kernels = kernels,
                            .layers = layers,
                            .depth = depth,
                            .output = output,
                            .w = w,
                            .x = x,
                            .f = f,
                            .n = n,
                            .size = size_of(dtype),
                            .block = block_rows(widest)};
  job.kernel_bytes = nnpoly_scratch(kernels, K);
  job.results_bytes = (size_t)(least(n, job.block) * widest * job.size);
  const int parts = nnpoly_parts(n * parameters, PART_PRODUCT);
  return nnpoly_run(predict_part, &job, parts, job.kernel_bytes + 2 * job.results_bytes);
}
