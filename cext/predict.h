/* Shared by predict.c and ensemble.c: rows through all layers of a network. */
#ifndef NNPOLY_PREDICT_H
#define NNPOLY_PREDICT_H

#include "layer.h"

struct predict_job {
  const struct kernels *kernels;
  const struct nnpoly_layer *layers;
  int depth, output;
  int64_t members, K;       /* of the last layer; scores of one of them */
  int64_t parameters, work; /* of all layers; multiply-adds of a row */
  int column_norms;
  int shares; /* whether threads share the products, and not the rows */
  const void *const *buffers;
  const char *w, *x;
  char *f;
  int64_t n, size, block, step; /* rows; bytes of an element; rows of a block; where to cut */
  size_t bytes;                 /* of the scratch: */
  /* for the kernels; for the means of a norm, and as much for its scales; for the results of a
   * block, of which there are two that take turns, and one for each ADD to take */
  size_t kernel_bytes, moments_bytes, results_bytes;
};

/* All but the arrays, which are yet to be set, once everything has been looked at but them. */
int nnpoly_predict_job(struct predict_job *, int dtype, const struct nnpoly_layer *layers,
                       int depth, int64_t members, int output, int64_t n);

/* Among how many parts its rows are cut, of so many times the work; and whether it shares. */
int nnpoly_predict_parts(struct predict_job *, int64_t times);

/* Some of its rows. */
void nnpoly_predict_rows(const struct predict_job *, int64_t start, int64_t stop, void *scratch);

#endif
