/* Layers, forward: for steps and predictions alike. */
#include "layer.h"

#include "check.h"

int64_t nnpoly_second_at(const struct nnpoly_layer *layer) {
  if (!has_products(layer)) return layer->outputs;
  return products_of(layer) * outputs_of_one(layer) * inputs_of_one(layer);
}

int64_t nnpoly_parameters(const struct nnpoly_layer *layer) {
  if (is_tabular(layer)) {
    const struct units units = nnpoly_units(layer);
    return nnpoly_array_at(&units, 4);
  }
  if (is_norm(layer)) return nnpoly_second_at(layer) + layer->outputs;
  if (!has_products(layer)) return 0;
  const int64_t biases = products_of(layer) * outputs_of_one(layer);
  return nnpoly_second_at(layer) + (layer->unbiased ? 0 : biases);
}

static int sound_products(const struct nnpoly_layer *layer, int first) {
  const int64_t members = members_of(layer);
  if (layer->members < 0 || layer->inputs % members != 0 || layer->outputs % members != 0) return 0;
  if (first && members > 1) return 0;
  return layer->factor > 0 && (layer->kind == NNPOLY_DENSE || !layer->unbiased);
}

static int sound(const struct nnpoly_layer *layers, int l) {
  const struct nnpoly_layer *layer = &layers[l];
  if (layer->inputs < 1 || layer->outputs < 1) return 0;
  if (layer->inputs > INT32_MAX || layer->outputs > INT32_MAX) return 0;
  if (!known(layer->activation) || !is_rate(layer->dropout)) return 0;
  if (layer->scheduled < 0 || layer->scheduled > NNPOLY_SCHEDULED) return 0;
  if (l > 0 && layer->inputs != layers[l - 1].outputs) return 0;
  if (layer->kind < 0 || layer->kind >= NNPOLY_KINDS) return 0;
  if (has_products(layer)) return sound_products(layer, l == 0);
  if (is_tabular(layer)) return l > 0 && nnpoly_sound_tabular(layer);
  if (layer->inputs != layer->outputs || (l == 0 && layer->kind != NNPOLY_COPY)) return 0;
  if (is_norm(layer)) return layer->eps > 0;
  if (layer->kind == NNPOLY_COPY) return 1;
  return layer->from >= 0 && layer->from < l && layers[layer->from].outputs == layer->outputs &&
         nnpoly_taken_by(layers, l, layer->from) < 0;
}

int nnpoly_sound_layers(const struct nnpoly_layer *layers, int depth) {
  if (layers == NULL || depth < 1) return 0;
  for (int l = 0; l < depth; l++)
    if (!sound(layers, l)) return 0;
  return 1;
}

struct totals nnpoly_totals(const struct nnpoly_layer *layers, int depth) {
  struct totals totals = {0};
  for (int l = 0; l < depth; l++) {
    const int64_t parameters = nnpoly_parameters(&layers[l]);
    totals.parameters += parameters;
    totals.work += parameters * rows_of_one(&layers[l]);
    if (layers[l].outputs > totals.widest) totals.widest = layers[l].outputs;
    totals.adds += layers[l].kind == NNPOLY_ADD;
    totals.column_norms += layers[l].kind == NNPOLY_COLUMN_NORM;
    totals.sizes += has_sizes(&layers[l]) ? layers[l].columns : 0;
    totals.bins += bins_of(&layers[l]);
    const size_t scratch = is_tabular(&layers[l]) ? nnpoly_tabular_scratch(&layers[l]) : 0;
    if (scratch > totals.scratch) totals.scratch = scratch;
  }
  return totals;
}

size_t nnpoly_chain_scratch(const struct kernels *kernels, const struct totals *totals, int64_t K) {
  const size_t bytes = nnpoly_scratch(kernels, K);
  return bytes > totals->scratch ? bytes : totals->scratch;
}

int nnpoly_check_buffers(const void *const *buffers, int column_norms, int64_t size) {
  if (column_norms > 0 && buffers == NULL) return NNPOLY_NULL;
  for (int i = 0; i < 2 * column_norms; i++) {
    if (buffers[i] == NULL) return NNPOLY_NULL;
    if ((uintptr_t)buffers[i] % (uintptr_t)size != 0) return NNPOLY_MISALIGNED;
  }
  return NNPOLY_OK;
}

int nnpoly_taken_by(const struct nnpoly_layer *layers, int depth, int l) {
  for (int above = l + 1; above < depth; above++)
    if (layers[above].kind == NNPOLY_ADD && layers[above].from == l) return above;
  return -1;
}

static struct epilogue epilogue_of(const struct pass *p) {
  return (struct epilogue){
      .activation = p->layer->activation, .a = p->layer->a, .dropout = p->dropout, .post = p->post};
}

static const char *second(const struct pass *p) {
  return p->w + nnpoly_second_at(p->layer) * p->size;
}

/* What belongs to product number i, of arrays in which so many elements belong to each. */
static const char *part(const struct pass *p, const char *array, int64_t i, int64_t elements) {
  return array + i * elements * p->size;
}

static const char *W_of(const struct pass *p, int64_t i) {
  return part(p, p->w, i, outputs_of_one(p->layer) * inputs_of_one(p->layer));
}

struct product nnpoly_product_of(const struct pass *p, int64_t i) {
  const struct nnpoly_layer *layer = p->layer;
  const int64_t m_in = inputs_of_one(layer), m = outputs_of_one(layer), rows = rows_of_one(layer);
  return (struct product){.form = FORWARD,
                          .A = part(p, p->x, i, m_in),
                          .rows = p->rows,
                          .B = W_of(p, i),
                          .C = p->C,
                          .M = p->n * rows,
                          .N = m,
                          .K = m_in,
                          .A_stride = layer->inputs / rows,
                          .B_stride = m_in,
                          .C_stride = layer->outputs / rows,
                          .C_column = i * m,
                          .width = layer->outputs,
                          .factor = layer->factor,
                          .bias = layer->unbiased ? NULL : part(p, second(p), i, m),
                          .epilogue = epilogue_of(p)};
}

struct product nnpoly_delta_product(const struct pass *p, int64_t i, const char *delta, void *C,
                                    struct epilogue epilogue) {
  const struct nnpoly_layer *layer = p->layer;
  const int64_t m_in = inputs_of_one(layer), m = outputs_of_one(layer), rows = rows_of_one(layer);
  return (struct product){.form = DELTA,
                          .A = part(p, delta, i, m),
                          .B = W_of(p, i),
                          .C = C,
                          .M = p->n * rows,
                          .N = m_in,
                          .K = m,
                          .A_stride = layer->outputs / rows,
                          .B_stride = m_in,
                          .C_stride = layer->inputs / rows,
                          .C_column = i * m_in,
                          .width = layer->inputs,
                          .factor = layer->factor,
                          .epilogue = epilogue};
}

struct product nnpoly_gradient_product(const struct pass *p, int64_t i, const char *delta) {
  const struct nnpoly_layer *layer = p->layer;
  const int64_t m_in = inputs_of_one(layer), m = outputs_of_one(layer), rows = rows_of_one(layer);
  return (struct product){.form = GRADIENT,
                          .A = part(p, delta, i, m),
                          .B = part(p, p->x, i, m_in),
                          .rows = p->rows,
                          .M = m,
                          .N = m_in,
                          .K = p->n * rows,
                          .A_stride = layer->outputs / rows,
                          .B_stride = layer->inputs / rows,
                          .C_stride = m_in,
                          .width = m_in,
                          .factor = layer->factor};
}

struct norm nnpoly_norm_of(const struct pass *p) {
  return (struct norm){.axis = p->layer->kind == NNPOLY_ROW_NORM,
                       .n = p->n,
                       .m = p->layer->outputs,
                       .eps = p->layer->eps,
                       .x = p->x,
                       .mean = p->mean,
                       .scale = p->scale,
                       .gain = p->w,
                       .shift = second(p),
                       .C = p->C,
                       .epilogue = epilogue_of(p)};
}

const struct tabular_kernels *nnpoly_tabular_kernels(const struct kernels *kernels,
                                                     const struct nnpoly_layer *layer) {
  return &kernels->tabular[layer->kind - FIRST_TABULAR];
}

struct tabular nnpoly_tabular_of(const struct pass *p) {
  const struct units units = nnpoly_units(p->layer);
  struct tabular t = {
      .layer = p->layer, .n = p->n, .x = p->x, .C = p->C, .epilogue = epilogue_of(p)};
  for (int i = 0; i < 4; i++)
    t.w[i] = units.each[i] > 0 ? p->w + nnpoly_array_at(&units, i) * p->size : NULL;
  return t;
}

/* A few rows at a time, which stay in the first cache between the two. */
enum { FEW_ROWS = 16 };

static void normalise_rows(const struct kernels *kernels, const struct norm *job, int64_t row0,
                           int64_t row1) {
  for (int64_t row = row0; row < row1; row += FEW_ROWS) {
    const int64_t stop = least(row + FEW_ROWS, row1);
    kernels->row_moments(job, row, stop);
    kernels->normalise(job, row, stop);
  }
}

void nnpoly_forward(const struct kernels *kernels, const struct pass *p, int64_t row0, int64_t row1,
                    void *scratch) {
  if (has_products(p->layer)) {
    const int64_t rows = rows_of_one(p->layer);
    for (int64_t i = 0; i < products_of(p->layer); i++) {
      const struct product product = nnpoly_product_of(p, i);
      kernels->product(&product, (struct rect){row0 * rows, row1 * rows, 0, product.N}, scratch);
    }
  } else if (is_norm(p->layer)) {
    const struct norm norm = nnpoly_norm_of(p);
    if (norm.axis == 1)
      normalise_rows(kernels, &norm, row0, row1);
    else
      kernels->normalise(&norm, row0, row1);
  } else if (is_tabular(p->layer)) {
    const struct tabular tabular = nnpoly_tabular_of(p);
    nnpoly_tabular_kernels(kernels, p->layer)->forward(&tabular, row0, row1, scratch);
  } else {
    const struct sum sum = {.form = FORWARD,
                            .a = p->x,
                            .rows = p->rows,
                            .b = p->other,
                            .C = p->C,
                            .m = p->layer->outputs,
                            .epilogue = epilogue_of(p)};
    kernels->add(&sum, row0, row1);
  }
}
