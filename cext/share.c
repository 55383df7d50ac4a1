/* Work cut into parts for the threads. Results do not depend on the cuts, bit for bit. */
#include <stdint.h>

#include "core.h"

int nnpoly_parts(int64_t work, int64_t per_part) {
  const int64_t most = work / per_part;
  return most < 2 ? 1 : (int)least(most, nnpoly_num_threads());
}

int nnpoly_parts_of(int64_t pieces, int64_t work, int64_t per_part) {
  const int parts = nnpoly_parts(work, per_part);
  return pieces < parts ? (int)pieces + (pieces < 1) : parts;
}

struct range nnpoly_cut(int64_t count, int index, int parts, int64_t step) {
  if (parts == 1) return (struct range){0, count};
  const int64_t steps = (count + step - 1) / step, each = steps / parts, more = steps % parts;
  const int64_t first = index * each + least(index, more);
  const int64_t length = each + (index < more);
  return (struct range){least(first * step, count), least((first + length) * step, count)};
}

/* Products: a rectangle a part, of a grid that may have fewer than there are parts */

struct grid {
  int down, across;
};

enum { ROWS_OF_TWO = 2 };

/* As few parts as have none larger than these. */
static int fewest(int64_t steps, int parts) {
  return (int)pieces_of(steps, pieces_of(steps, parts));
}

/* The grid of up to so many parts whose largest one costs the least, in multiply-adds for each k.
 * To transpose an element costs about as much as 8, to copy one 2. Of the grids with as many
 * columns of parts only the one with the most rows is looked at: 15 for 64 parts. */
static struct grid grid_of(const struct product *p, int columns_step, int parts) {
  const int64_t packing_B = p->form == FORWARD ? 8 : 2, packing_A = 2;
  const int64_t row_steps = pieces_of(p->M, ROWS_OF_TWO),
                column_steps = pieces_of(p->N, columns_step);
  struct grid best = {1, 1};
  int64_t lowest = INT64_MAX;
  if (parts == 1) return best;
  for (int down = parts; down > 0; down = parts / (parts / down + 1)) {
    const int across = parts / down;
    const int64_t rows = least(pieces_of(row_steps, down) * ROWS_OF_TWO, p->M),
                  columns = least(pieces_of(column_steps, across) * columns_step, p->N),
                  cost = rows * columns + packing_B * columns + packing_A * rows;
    if (cost >= lowest) continue;
    lowest = cost;
    best = (struct grid){fewest(row_steps, down), fewest(column_steps, across)};
  }
  return best;
}

static void product_in_grid(const struct kernels *kernels, const struct product *p,
                            struct grid grid, int index, void *scratch) {
  if (index >= grid.down * grid.across) return;
  const int step = kernels->tile_columns;
  const struct range rows = nnpoly_cut(p->M, index / grid.across, grid.down, ROWS_OF_TWO),
                     columns = nnpoly_cut(p->N, index % grid.across, grid.across, step);
  const struct rect r = {rows.start, rows.stop, columns.start, columns.stop};
  if (r.i0 < r.i1 && r.j0 < r.j1) kernels->product(p, r, scratch);
}

void nnpoly_product_part(const struct kernels *kernels, const struct product *p, int index,
                         int parts, void *scratch) {
  product_in_grid(kernels, p, grid_of(p, kernels->tile_columns, parts), index, scratch);
}

struct product_job {
  const struct product *product;
  const struct kernels *kernels;
  struct grid grid;
};

static void product_part(const void *argument, int index, int parts, void *scratch) {
  const struct product_job *job = argument;
  (void)parts;
  product_in_grid(job->kernels, job->product, job->grid, index, scratch);
}

int nnpoly_share_product(const struct kernels *kernels, const struct product *p, int most) {
  if (p->M == 0 || p->N == 0) return NNPOLY_OK;
  const double work = (double)p->M * (double)p->N * (double)(p->K > 0 ? p->K : 1);
  const int parts = nnpoly_parts(work < 1e18 ? (int64_t)work : INT64_MAX, PART_PRODUCT);
  const struct grid grid = grid_of(p, kernels->tile_columns, (int)least(parts, most));
  const struct product_job job = {p, kernels, grid};
  return nnpoly_run(product_part, &job, grid.down * grid.across, kernels->product_scratch);
}

int nnpoly_run_product(const struct kernels *kernels, const struct product *p) {
  return nnpoly_share_product(kernels, p, nnpoly_num_threads());
}

size_t nnpoly_scratch(const struct kernels *kernels, int64_t K) {
  const size_t rows = (size_t)K * kernels->row_scratch;
  return rows > kernels->product_scratch ? rows : kernels->product_scratch;
}

/* Losses: chunks of rows, at most MOST_CHUNKS whatever n, and their sums added up in order */

static int64_t chunks_of(const struct loss *loss) { return pieces_of(loss->n, loss->chunk_rows); }

void nnpoly_cut_loss(struct loss *loss) {
  const int64_t rows = (loss->n + MOST_CHUNKS - 1) / MOST_CHUNKS;
  loss->chunk_rows = (rows + CHUNK_STEP - 1) / CHUNK_STEP * CHUNK_STEP;
}

void nnpoly_loss_rows(const struct kernels *kernels, struct loss *loss, int64_t row0, int64_t row1,
                      void *scratch) {
  for (int64_t row = row0; row < row1; row += loss->chunk_rows) {
    const int64_t stop = least(row + loss->chunk_rows, row1);
    double *sum = &loss->partial[row / loss->chunk_rows];
    if (loss->kind == NNPOLY_CROSS_ENTROPY)
      *sum = kernels->cross_entropy(loss, row, stop, scratch);
    else if (loss->kind == NNPOLY_FOCAL)
      *sum = kernels->focal(loss, row, stop, scratch);
    else
      *sum = kernels->element_loss(loss, row, stop);
  }
}

void nnpoly_mean_loss(int dtype, const struct loss *loss, void *mean) {
  double sum = 0;
  for (int64_t i = 0; i < chunks_of(loss); i++) sum += loss->partial[i];
  if (dtype == NNPOLY_FLOAT64)
    *(double *)mean = sum / (double)loss->n;
  else
    *(float *)mean = (float)(sum / (double)loss->n);
}

struct loss_job {
  const struct kernels *kernels;
  struct loss *loss;
};

static void loss_part(const void *argument, int index, int parts, void *scratch) {
  const struct loss_job *job = argument;
  const struct range r = nnpoly_cut(job->loss->n, index, parts, job->loss->chunk_rows);
  nnpoly_loss_rows(job->kernels, job->loss, r.start, r.stop, scratch);
}

int nnpoly_run_loss(const struct kernels *kernels, struct loss *loss) {
  const struct loss_job job = {kernels, loss};
  nnpoly_cut_loss(loss);
  return nnpoly_run(loss_part, &job,
                    nnpoly_parts_of(chunks_of(loss), loss->n * loss->K, PART_ELEMENTS),
                    (size_t)loss->K * kernels->row_scratch);
}

/* Updates */

struct update_job {
  const struct kernels *kernels;
  const struct update *update;
  int64_t count;
};

static void update_part(const void *argument, int index, int parts, void *scratch) {
  const struct update_job *job = argument;
  const struct range r = nnpoly_cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernels->update(job->update, r.start, r.stop);
}

int nnpoly_run_update(const struct kernels *kernels, const struct update *update, int64_t count) {
  const struct update_job job = {kernels, update, count};
  return nnpoly_run(update_part, &job, nnpoly_parts(count, PART_ELEMENTS), 0);
}

/* Dropout */

struct dropout_job {
  const struct kernels *kernels;
  const struct dropped *dropped;
  int64_t n;
};

static void dropout_part(const void *argument, int index, int parts, void *scratch) {
  const struct dropout_job *job = argument;
  const struct range r = nnpoly_cut(job->n, index, parts, 1);
  (void)scratch;
  job->kernels->dropout(job->dropped, r.start, r.stop);
}

int nnpoly_run_dropout(const struct kernels *kernels, const struct dropped *dropped, int64_t n) {
  const struct dropout_job job = {kernels, dropped, n};
  return nnpoly_run(dropout_part, &job, nnpoly_parts_of(n, n * dropped->m, PART_ELEMENTS), 0);
}

/* Normalisation */

struct norm_job {
  norm_kernel *kernel;
  const struct norm *norm;
  int64_t count;
};

static void norm_part(const void *argument, int index, int parts, void *scratch) {
  const struct norm_job *job = argument;
  const struct range r = nnpoly_cut(job->count, index, parts, STEP_ELEMENTS);
  (void)scratch;
  job->kernel(job->norm, r.start, r.stop);
}

int nnpoly_run_norm(norm_kernel *kernel, const struct norm *norm, int64_t count) {
  const struct norm_job job = {kernel, norm, count};
  const int64_t pieces = pieces_of(count, STEP_ELEMENTS);
  return nnpoly_run(norm_part, &job, nnpoly_parts_of(pieces, norm->n * norm->m, PART_ELEMENTS), 0);
}
