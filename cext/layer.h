/* Shared by step.c and predict.c: what a layer does forward. See enum nnpoly_kind. */
#ifndef NNPOLY_LAYER_H
#define NNPOLY_LAYER_H

#include <stddef.h>
#include <stdint.h>

#include "core.h"

static inline int is_norm(const struct nnpoly_layer *layer) {
  return layer->kind == NNPOLY_ROW_NORM || layer->kind == NNPOLY_COLUMN_NORM;
}

static inline int is_tabular(const struct nnpoly_layer *layer) {
  return layer->kind >= FIRST_TABULAR && layer->kind < FIRST_TABULAR + TABULARS;
}

static inline int has_sizes(const struct nnpoly_layer *layer) {
  return layer->kind == NNPOLY_EMBEDDING || layer->kind == NNPOLY_PIECEWISE;
}

/* Of all columns. */
static inline int64_t bins_of(const struct nnpoly_layer *layer) {
  int64_t bins = 0;
  if (layer->kind == NNPOLY_PIECEWISE)
    for (int64_t i = 0; i < layer->columns; i++) bins += layer->sizes[i];
  return bins;
}

static inline int drops(const struct nnpoly_layer *layer) {
  return layer->dropout > 0 || layer->scheduled > 0;
}

static inline int has_products(const struct nnpoly_layer *layer) {
  return layer->kind == NNPOLY_DENSE || layer->kind == NNPOLY_MEMBER_DENSE;
}

/* Of members, and of one: its inputs and outputs. */
static inline int64_t at_least_one(int64_t members) { return members > 1 ? members : 1; }
static inline int64_t members_of(const struct nnpoly_layer *layer) {
  return at_least_one(layer->members);
}
static inline int64_t inputs_of_one(const struct nnpoly_layer *layer) {
  return layer->inputs / members_of(layer);
}
static inline int64_t outputs_of_one(const struct nnpoly_layer *layer) {
  return layer->outputs / members_of(layer);
}

/* How many Ws a layer with products has, and through how many rows of one of its a row goes. */
static inline int64_t products_of(const struct nnpoly_layer *layer) {
  return layer->kind == NNPOLY_MEMBER_DENSE ? members_of(layer) : 1;
}
static inline int64_t rows_of_one(const struct nnpoly_layer *layer) {
  return layer->kind == NNPOLY_DENSE ? members_of(layer) : 1;
}

/* How many parameters a layer has. Of one with products and a norm, where the second of their two
 * arrays begins. */
int64_t nnpoly_parameters(const struct nnpoly_layer *layer);
int64_t nnpoly_second_at(const struct nnpoly_layer *layer);

/* tabular.c: of a layer for tables, what its gradients can be cut into: features, columns or rows
 * of tables, and how many elements of each of its arrays belong to one; where an array begins. */
struct units {
  int64_t count, each[4];
};
struct units nnpoly_units(const struct nnpoly_layer *layer);
int64_t nnpoly_array_at(const struct units *, int array);
int nnpoly_units_are_columns(const struct nnpoly_layer *layer);
static inline int64_t nnpoly_units_step(const struct nnpoly_layer *layer) {
  return nnpoly_units_are_columns(layer) ? STEP_ELEMENTS : 1;
}

/* tabular.c: whether its sizes are what nnpoly.h says, inputs and outputs being positive; bytes
 * that its kernels need. */
int nnpoly_sound_tabular(const struct nnpoly_layer *layer);
size_t nnpoly_tabular_scratch(const struct nnpoly_layer *layer);

/* Whether the layers are what nnpoly.h says; and what a chain is as a whole. */
int nnpoly_sound_layers(const struct nnpoly_layer *layers, int depth);

struct totals {
  int64_t parameters, widest; /* of all layers; outputs of the widest */
  int64_t work;               /* multiply-adds of a row, forward */
  int64_t sizes, bins;        /* how many sizes all layers have, and bins all PIECEWISEs */
  int adds, column_norms;     /* how many */
  size_t scratch;             /* bytes that layers for tables need */
};
struct totals nnpoly_totals(const struct nnpoly_layer *layers, int depth);

/* Bytes for the kernels of a chain whose last layer has K outputs. */
size_t nnpoly_chain_scratch(const struct kernels *, const struct totals *, int64_t K);

/* Whether every buffer of a chain's column_norms is there. */
int nnpoly_check_buffers(const void *const *buffers, int column_norms, int64_t size);

/* The ADD that takes what layer l gave, or -1. */
int nnpoly_taken_by(const struct nnpoly_layer *layers, int depth, int l);

/* A layer and its arrays, of n rows. */
struct pass {
  const struct nnpoly_layer *layer;
  int64_t n, size;     /* size: bytes of an element */
  const char *x;       /* (n, inputs) */
  const int64_t *rows; /* row i of x is stored at rows[i], and not at i; or NULL */
  const char *other;   /* of an ADD: (n, outputs) */
  const char *w;       /* its parameters */
  char *C, *post;      /* (n, outputs); C: pre where it is kept, else post */
  char *mean, *scale;  /* of a norm */
  struct dropout dropout;
};

/* The products of a layer with W number i: forward; the delta of the layer below, which goes to C
 * through the epilogue; and dW, whose C, sums and update are not set. */
struct product nnpoly_product_of(const struct pass *, int64_t i);
struct product nnpoly_delta_product(const struct pass *, int64_t i, const char *delta, void *C,
                                    struct epilogue);
struct product nnpoly_gradient_product(const struct pass *, int64_t i, const char *delta);

/* The jobs of a norm, and of a layer for tables. */
struct norm nnpoly_norm_of(const struct pass *);
struct tabular nnpoly_tabular_of(const struct pass *);
const struct tabular_kernels *nnpoly_tabular_kernels(const struct kernels *,
                                                     const struct nnpoly_layer *);

/* Some rows forward. The moments of a COLUMN_NORM are there. */
void nnpoly_forward(const struct kernels *, const struct pass *, int64_t row0, int64_t row1,
                    void *scratch);

#endif
