/* Ensembles of networks for tables: from a row's cells to the mean of their predictions. A part
 * takes its rows a few blocks at a time: their inputs once, then every network's prediction. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "predict.h"

/* As in nnpoly/estimators/tabular/encoding.py. */
static const double CLIP = 3.0, LARGEST = 1e300, FARTHEST = 1e30;

/* How many blocks' inputs are kept, unless they are large: so a network's weights stay in the cache
 * for as long. */
enum { BLOCKS = 4, ELEMENTS = 1 << 17 };

struct ensemble_job {
  const struct nnpoly_ensemble *ensemble;
  struct predict_job network;
  const double *cells;
  double *mean;
  int64_t n, rows;                     /* rows: whose inputs are kept */
  int64_t scratch_bytes, inputs_bytes; /* scratch: for a network's layers, its inputs, its f */
};

static const void *const *buffers_of(const struct nnpoly_ensemble *e,
                                     const struct predict_job *network, int i) {
  return e->buffers == NULL ? NULL : e->buffers + (int64_t)i * 2 * network->column_norms;
}

/* Inputs */

static double within(double x, double most) { return x > most ? most : x < -most ? -most : x; }

static double scaled(const struct nnpoly_input *input, double x) {
  double z = within(x - input->center, LARGEST) * input->factor;
  z = within(z == z ? z : 0.0, FARTHEST);
  if (!input->smooth) return z;
  const double share = z / CLIP;
  return z / sqrt(1.0 + share * share);
}

enum { PIECE = 64 };

/* Input j of up to PIECE rows, whose cells begin there. */
static void input_of(const struct nnpoly_input *input, const double *cell, int64_t columns,
                     int64_t count, double *out) {
  const double value = input->value;
  for (int64_t i = 0; i < count; i++) out[i] = cell[i * columns];
  if (input->kind == NNPOLY_AS_IS) return;
  if (input->kind == NNPOLY_MISSING)
    for (int64_t i = 0; i < count; i++) out[i] = out[i] != out[i];
  else if (input->kind == NNPOLY_VALUE)
    for (int64_t i = 0; i < count; i++) out[i] = out[i] == value;
  for (int64_t i = 0; i < count; i++) out[i] = scaled(input, out[i]);
}

static void write_down(const double *column, int64_t count, int64_t size, char *x, int64_t m) {
  if (size == 8)
    for (int64_t i = 0; i < count; i++) ((double *)x)[i * m] = column[i];
  else
    for (int64_t i = 0; i < count; i++) ((float *)x)[i * m] = (float)column[i];
}

static void encode(const struct ensemble_job *job, int64_t row, int64_t rows, char *x) {
  const int64_t m = job->network.layers[0].inputs, columns = job->ensemble->columns;
  const int64_t size = job->network.size;
  double column[PIECE];
  for (int64_t start = 0; start < rows; start += PIECE) {
    const int64_t count = least(PIECE, rows - start);
    for (int64_t j = 0; j < m; j++) {
      const struct nnpoly_input *input = &job->ensemble->inputs[j];
      const double *cell = job->cells + (row + start) * columns + input->column;
      input_of(input, cell, columns, count, column);
      write_down(column, count, size, x + (start * m + j) * size, m);
    }
  }
}

/* Means */

static double at(const char *f, int64_t size, int64_t i) {
  return size == 8 ? ((const double *)f)[i] : (double)((const float *)f)[i];
}

static void add_shares(const char *f, int64_t size, int64_t rows, int64_t K, double *sum) {
  for (int64_t i = 0; i < rows * K; i += K) {
    double whole = 0.0;
    for (int64_t k = 0; k < K; k++) whole += at(f, size, i + k);
    for (int64_t k = 0; k < K; k++) sum[i + k] += at(f, size, i + k) / whole;
  }
}

static void add_scaled(const struct nnpoly_ensemble *e, const char *f, int64_t size, int64_t rows,
                       int64_t K, double *sum) {
  for (int64_t i = 0; i < rows * K; i += K) {
    for (int64_t k = 0; k < K; k++) {
      double y = at(f, size, i + k) * e->scales[k] + e->shifts[k];
      if (e->lows != NULL && y < e->lows[k]) y = e->lows[k];
      if (e->highs != NULL && y > e->highs[k]) y = e->highs[k];
      sum[i + k] += y;
    }
  }
}

/* Rows whose inputs are kept together. */
static void mean_of(const struct ensemble_job *job, int64_t row, int64_t rows, char *scratch) {
  const struct nnpoly_ensemble *e = job->ensemble;
  struct predict_job network = job->network;
  const int64_t K = network.K;
  char *const x = scratch + job->scratch_bytes, *const f = x + job->inputs_bytes;
  double *const mean = job->mean + row * K;
  encode(job, row, rows, x);
  memset(mean, 0, (size_t)(rows * K) * sizeof *mean);
  for (int i = 0; i < e->networks; i++) {
    network.x = x;
    network.f = f;
    network.w = e->w[i];
    network.buffers = buffers_of(e, &network, i);
    const uint64_t before = nnpoly_flush_denormals();
    nnpoly_predict_rows(&network, 0, rows, scratch);
    nnpoly_restore_denormals(before);
    if (e->scales == NULL)
      add_shares(f, network.size, rows, K, mean);
    else
      add_scaled(e, f, network.size, rows, K, mean);
  }
  for (int64_t i = 0; i < rows * K; i++) mean[i] /= (double)e->networks;
}

/* Denormal numbers are what they are, but in the layers. */
static void ensemble_part(const void *argument, int index, int parts, void *scratch) {
  const struct ensemble_job *job = argument;
  const struct range r = nnpoly_cut(job->n, index, parts, job->network.step);
  const uint64_t before = nnpoly_keep_denormals();
  for (int64_t row = r.start; row < r.stop; row += job->rows)
    mean_of(job, row, least(job->rows, r.stop - row), scratch);
  nnpoly_restore_denormals(before);
}

/* The function */

static int sound_inputs(const struct nnpoly_ensemble *e) {
  if (e->inputs == NULL || e->columns < 1) return 0;
  for (int64_t j = 0; j < e->layers[0].inputs; j++) {
    const struct nnpoly_input *input = &e->inputs[j];
    if (input->kind < 0 || input->kind >= NNPOLY_INPUTS) return 0;
    if (input->column < 0 || input->column >= e->columns) return 0;
  }
  return 1;
}

static int check_networks(const struct nnpoly_ensemble *e, const struct predict_job *network,
                          const void *cells, const void *mean, int64_t n) {
  if ((uintptr_t)cells % sizeof(double) != 0 || (uintptr_t)mean % sizeof(double) != 0)
    return NNPOLY_MISALIGNED;
  const int64_t words = 8 / network->size;
  const struct argument rows[] = {{INPUT, cells, n, words * e->columns},
                                  {OUTPUT, mean, n, words * network->K}};
  int status = check_arrays(network->size, rows, 2);
  for (int i = 0; i < e->networks && status == NNPOLY_OK; i++) {
    const struct argument weights[] = {{INPUT, e->w[i], network->parameters, 1}, rows[1]};
    status = check_arrays(network->size, weights, 2);
    if (status == NNPOLY_OK)
      status =
          nnpoly_check_buffers(buffers_of(e, network, i), network->column_norms, network->size);
  }
  return status;
}

static int64_t to_lines(int64_t bytes) { return pieces_of(bytes, 64) * 64; }

int nnpoly_predict_mean(const struct nnpoly_ensemble *e, const void *cells, void *mean, int64_t n) {
  if (e == NULL || e->networks < 1) return NNPOLY_RANGE;
  struct ensemble_job job = {.ensemble = e, .cells = cells, .mean = mean, .n = n};
  struct predict_job *const network = &job.network;
  int status = nnpoly_predict_job(network, e->dtype, e->layers, e->depth, e->members, e->output, n);
  if (status != NNPOLY_OK) return status;
  if (!sound_inputs(e) || (e->scales == NULL) != (e->shifts == NULL)) return NNPOLY_RANGE;
  if (e->w == NULL) return NNPOLY_NULL;
  status = check_networks(e, network, cells, mean, n);
  if (status != NNPOLY_OK || n == 0) return status;
  const int64_t inputs = e->layers[0].inputs;
  const int64_t widest = inputs > network->K ? inputs : network->K;
  const int64_t blocks = ELEMENTS / (network->block * widest);
  job.rows = least(n, network->block * (blocks < 1 ? 1 : least(blocks, BLOCKS)));
  job.scratch_bytes = to_lines((int64_t)network->bytes);
  job.inputs_bytes = to_lines(job.rows * inputs * network->size);
  const int64_t f_bytes = job.rows * network->K * network->size;
  const int parts = nnpoly_predict_parts(network, e->networks);
  return nnpoly_run(ensemble_part, &job, parts,
                    (size_t)(job.scratch_bytes + job.inputs_bytes + f_bytes));
}
