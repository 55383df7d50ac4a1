/* Shared by step.c and predict.c: what a layer does forward. See enum nnpoly_kind. */
#ifndef NNPOLY_LAYER_H
#define NNPOLY_LAYER_H

#include <stddef.h>
#include <stdint.h>

#include "core.h"

static inline int is_norm(const struct nnpoly_layer *layer) {
  return layer->kind == NNPOLY_ROW_NORM || layer->kind == NNPOLY_COLUMN_NORM;
}

static inline int drops(const struct nnpoly_layer *layer) {
  return layer->dropout > 0 || layer->scheduled > 0;
}

/* How many parameters a layer has, and where the second of the two arrays of them begins. */
int64_t nnpoly_second_at(const struct nnpoly_layer *layer);
int64_t nnpoly_parameters(const struct nnpoly_layer *layer);

/* Whether the layers are what nnpoly.h says; and what a chain is as a whole. */
int nnpoly_sound_layers(const struct nnpoly_layer *layers, int depth);

struct totals {
  int64_t parameters, widest; /* of all layers; outputs of the widest */
  int adds, column_norms;     /* how many */
};
struct totals nnpoly_totals(const struct nnpoly_layer *layers, int depth);

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

/* The jobs of a dense layer and of a norm. */
struct product nnpoly_product_of(const struct pass *);
struct norm nnpoly_norm_of(const struct pass *);

/* Some rows forward. The moments of a COLUMN_NORM are there. */
void nnpoly_forward(const struct kernels *, const struct pass *, int64_t row0, int64_t row1,
                    void *scratch);

#endif
