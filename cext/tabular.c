/* Layers for tables: what they are, and the functions of nnpoly.h that compute them. */
#include <stdint.h>

#include "check.h"
#include "layer.h"

/* Their shapes */

static int64_t sum_of(const int64_t *sizes, int64_t count) {
  int64_t sum = 0;
  for (int64_t j = 0; j < count; j++) sum += sizes[j];
  return sum;
}

struct units nnpoly_units(const struct nnpoly_layer *layer) {
  const int64_t F = layer->frequencies, phased = layer->phased;
  const int64_t made = layer->features - phased, waves = phased ? F : 2 * F;
  switch (layer->kind) {
    case NNPOLY_SCALE: return (struct units){layer->outputs, {1, layer->shifted != 0}};
    case NNPOLY_MEMBER_SCALE:
    case NNPOLY_BLEND: return (struct units){layer->outputs, {1}};
    case NNPOLY_PERIODIC:
      return (struct units){layer->columns, {F, phased ? F : 0, made * waves, made}};
    case NNPOLY_PIECEWISE: {
      const int64_t k = layer->features;
      return (struct units){layer->columns, {k, k, k * most_bins(layer)}};
    }
    default: return (struct units){sum_of(layer->sizes, layer->columns), {layer->features}};
  }
}

int nnpoly_units_are_columns(const struct nnpoly_layer *layer) {
  return layer->kind == NNPOLY_SCALE || layer->kind == NNPOLY_BLEND ||
         layer->kind == NNPOLY_MEMBER_SCALE;
}

int64_t nnpoly_array_at(const struct units *units, int array) {
  return units->count * sum_of(units->each, array);
}

static int embeds_soundly(const struct nnpoly_layer *layer) {
  if (layer->columns < 1 || layer->columns > layer->inputs) return 0;
  if (layer->features < 1 || layer->features > INT32_MAX) return 0;
  const double outputs =
      (double)layer->inputs + (double)layer->columns * (double)(layer->features - 1);
  return (double)layer->outputs == outputs;
}

static int sound_waves(const struct nnpoly_layer *layer) {
  return layer->frequencies >= 1 && layer->frequencies <= NNPOLY_MOST_WAVES &&
         layer->features >= 1 + (layer->phased != 0) && layer->features <= NNPOLY_MOST_WAVES &&
         (layer->phased == 0 || layer->phased == 1);
}

static int sound_tables(const struct nnpoly_layer *layer) {
  if (layer->sizes == NULL) return 0;
  int64_t rows = 0;
  for (int64_t j = 0; j < layer->columns; j++) {
    if (layer->sizes[j] < 1 || layer->sizes[j] > INT32_MAX) return 0;
    if ((rows += layer->sizes[j]) > INT32_MAX) return 0;
  }
  return 1;
}

static int sound_lines(const struct nnpoly_layer *layer) {
  if (!sound_tables(layer) || layer->bins == NULL) return 0;
  if (layer->features > NNPOLY_MOST_WAVES || most_bins(layer) > NNPOLY_MOST_WAVES) return 0;
  const int64_t bins = sum_of(layer->sizes, layer->columns);
  for (int64_t j = 0; j < bins; j++)
    if (!(layer->bins[2 * j + 1] > 0)) return 0;
  return 1;
}

int nnpoly_sound_tabular(const struct nnpoly_layer *layer) {
  switch (layer->kind) {
    case NNPOLY_SCALE: return layer->inputs == layer->outputs;
    case NNPOLY_BLEND: return layer->inputs == layer->outputs && known(layer->blended);
    case NNPOLY_MEMBER_SCALE:
      return layer->members >= 0 && layer->inputs * members_of(layer) == layer->outputs;
    case NNPOLY_PERIODIC: return embeds_soundly(layer) && sound_waves(layer);
    case NNPOLY_PIECEWISE: return embeds_soundly(layer) && sound_lines(layer);
    default: return embeds_soundly(layer) && sound_tables(layer);
  }
}

enum { MOST_VECTOR_BYTES = 64 };

/* Vectors of the gradients' bins: four numbers and an entry of each, at least 2 in a vector. */
static int64_t vectors_of_lines(const struct nnpoly_layer *layer) {
  const int64_t most = most_bins(layer), together = 5 * pieces_of(most, 2);
  return together > layer->features ? together : layer->features;
}

size_t nnpoly_tabular_scratch(const struct nnpoly_layer *layer) {
  if (layer->kind == NNPOLY_PIECEWISE) return (size_t)vectors_of_lines(layer) * MOST_VECTOR_BYTES;
  if (layer->kind != NNPOLY_PERIODIC) return 0;
  const int64_t waves = 2 * layer->frequencies, features = 2 * layer->features;
  return (size_t)(waves > features ? waves : features) * MOST_VECTOR_BYTES;
}

/* Functions */

struct tabular_job {
  tabular_kernel *kernel;
  const struct tabular *tabular;
  int64_t count, step;
};

static void tabular_part(const void *argument, int index, int parts, void *scratch) {
  const struct tabular_job *job = argument;
  const struct range r = nnpoly_cut(job->count, index, parts, job->step);
  if (r.start < r.stop) job->kernel(job->tabular, r.start, r.stop, scratch);
}

/* A kernel on all of its `count` rows or units. */
static int run(tabular_kernel *kernel, const struct tabular *t, int64_t count, int64_t step) {
  const struct tabular_job job = {kernel, t, count, step};
  const int64_t work = t->n * t->layer->outputs;
  return nnpoly_run(tabular_part, &job,
                    nnpoly_parts_of(pieces_of(count, step), work, PART_ELEMENTS),
                    nnpoly_tabular_scratch(t->layer));
}

static const struct tabular_kernels *kernels_of(int dtype, const struct tabular *t) {
  return nnpoly_tabular_kernels(nnpoly_kernels(dtype), t->layer);
}

static int run_rows(tabular_kernel *kernel, const struct tabular *t) {
  return run(kernel, t, t->n, ROWS_STEP);
}

static int run_gradients(int dtype, const struct tabular *t) {
  return run(kernels_of(dtype, t)->gradients, t, nnpoly_units(t->layer).count,
             nnpoly_units_step(t->layer));
}

/* The epilogue of a function, which has none. */
static struct epilogue plain(void *out) {
  return (struct epilogue){.activation = NNPOLY_IDENTITY, .post = out};
}

int nnpoly_scale_gradient(int dtype, const void *delta, const void *x, void *ds, int64_t n,
                          int64_t m) {
  CHECK(dtype, {INPUT, delta, n, m}, {INPUT, x, n, m}, {OUTPUT, ds, m, 1});
  const struct nnpoly_layer layer = {.kind = NNPOLY_SCALE, .inputs = m, .outputs = m};
  const struct tabular t = {.layer = &layer, .n = n, .x = x, .delta = delta, .gradients = {ds}};
  return run_gradients(dtype, &t);
}

static int member_scale(int64_t members, int64_t m, struct nnpoly_layer *layer) {
  if (members < 1 || m < 1 || members > INT32_MAX || m > INT32_MAX / members) return NNPOLY_SHAPE;
  *layer = (struct nnpoly_layer){
      .kind = NNPOLY_MEMBER_SCALE, .inputs = m, .outputs = members * m, .members = members};
  return NNPOLY_OK;
}

int nnpoly_members_scale_gradient(int dtype, const void *delta, const void *x, void *dr, int64_t n,
                                  int64_t members, int64_t m) {
  struct nnpoly_layer layer;
  const int status = member_scale(members, m, &layer);
  if (status != NNPOLY_OK) return status;
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, x, n, m}, {OUTPUT, dr, layer.outputs, 1});
  const struct tabular t = {.layer = &layer, .n = n, .x = x, .delta = delta, .gradients = {dr}};
  return run_gradients(dtype, &t);
}

int nnpoly_members_scale_delta(int dtype, const void *delta, const void *r, void *dx, int64_t n,
                               int64_t members, int64_t m) {
  struct nnpoly_layer layer;
  const int status = member_scale(members, m, &layer);
  if (status != NNPOLY_OK) return status;
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, r, layer.outputs, 1}, {OUTPUT, dx, n, m});
  const struct tabular t = {
      .layer = &layer, .n = n, .w = {r}, .delta = delta, .C = dx, .epilogue = plain(NULL)};
  return run_rows(kernels_of(dtype, &t)->delta, &t);
}

static struct nnpoly_layer blend(int64_t m, int sigma, double sigma_a) {
  return (struct nnpoly_layer){
      .kind = NNPOLY_BLEND, .inputs = m, .outputs = m, .blended = sigma, .blended_a = sigma_a};
}

int nnpoly_blend(int dtype, const void *x, const void *a, void *out, int64_t n, int64_t m,
                 int sigma, double sigma_a) {
  if (!known(sigma)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, x, n, m}, {INPUT, a, m, 1}, {OUTPUT, out, n, m});
  const struct nnpoly_layer layer = blend(m, sigma, sigma_a);
  const struct tabular t = {
      .layer = &layer, .n = n, .x = x, .w = {a}, .C = out, .epilogue = plain(out)};
  return run_rows(kernels_of(dtype, &t)->forward, &t);
}

int nnpoly_blend_delta(int dtype, const void *delta, const void *x, const void *a, void *out,
                       int64_t n, int64_t m, int sigma, double sigma_a) {
  if (!known(sigma)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, delta, n, m}, {INPUT, x, n, m}, {INPUT, a, m, 1}, {OUTPUT, out, n, m});
  const struct nnpoly_layer layer = blend(m, sigma, sigma_a);
  const struct tabular t = {
      .layer = &layer, .n = n, .x = x, .w = {a}, .delta = delta, .C = out, .epilogue = plain(NULL)};
  return run_rows(kernels_of(dtype, &t)->delta, &t);
}

int nnpoly_blend_gradient(int dtype, const void *delta, const void *x, void *da, int64_t n,
                          int64_t m, int sigma, double sigma_a) {
  if (!known(sigma)) return NNPOLY_RANGE;
  CHECK(dtype, {INPUT, delta, n, m}, {INPUT, x, n, m}, {OUTPUT, da, m, 1});
  const struct nnpoly_layer layer = blend(m, sigma, sigma_a);
  const struct tabular t = {.layer = &layer, .n = n, .x = x, .delta = delta, .gradients = {da}};
  return run_gradients(dtype, &t);
}

/* A layer whose outputs are counted here. */
static int embedding(struct nnpoly_layer *layer) {
  if (layer->columns < 1 || layer->columns > layer->inputs) return NNPOLY_SHAPE;
  if (layer->inputs > INT32_MAX || layer->features < 1 || layer->features > INT32_MAX)
    return NNPOLY_SHAPE;
  layer->outputs = layer->inputs + layer->columns * (layer->features - 1);
  return nnpoly_sound_tabular(layer) ? NNPOLY_OK : NNPOLY_RANGE;
}

static int waves(struct nnpoly_layer *layer, const struct nnpoly_waves *sizes, int phased) {
  if (sizes == NULL) return NNPOLY_NULL;
  *layer = (struct nnpoly_layer){.kind = NNPOLY_PERIODIC,
                                 .inputs = sizes->inputs,
                                 .columns = sizes->columns,
                                 .frequencies = sizes->frequencies,
                                 .features = sizes->features,
                                 .phased = phased};
  return embedding(layer);
}

static int optional_unless(int wanted) { return wanted ? 0 : OPTIONAL; }

int nnpoly_periodic(int dtype, const void *x, const void *w, const void *b, const void *W,
                    const void *c, void *out, int64_t n, const struct nnpoly_waves *sizes) {
  struct nnpoly_layer layer;
  const int status = waves(&layer, sizes, b != NULL);
  if (status != NNPOLY_OK) return status;
  const struct units u = nnpoly_units(&layer);
  CHECK(dtype, {INPUT, x, n, layer.inputs}, {INPUT, w, u.count, u.each[0]},
        {INPUT, b, u.count, u.each[1]}, {INPUT, W, u.count, u.each[2]},
        {INPUT, c, u.count, u.each[3]}, {OUTPUT, out, n, layer.outputs});
  const struct tabular t = {
      .layer = &layer, .n = n, .x = x, .w = {w, b, W, c}, .C = out, .epilogue = plain(out)};
  return run_rows(kernels_of(dtype, &t)->forward, &t);
}

int nnpoly_periodic_gradients(int dtype, const void *delta, const void *x, const void *post,
                              const void *w, const void *b, const void *W, void *dw, void *db,
                              void *dW, void *dc, int64_t n, const struct nnpoly_waves *sizes) {
  struct nnpoly_layer layer;
  const int status = waves(&layer, sizes, b != NULL);
  if (status != NNPOLY_OK) return status;
  const struct units u = nnpoly_units(&layer);
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, x, n, layer.inputs},
        {optional_unless(b == NULL), post, n, layer.outputs}, {INPUT, w, u.count, u.each[0]},
        {INPUT, b, u.count, u.each[1]}, {INPUT, W, u.count, u.each[2]},
        {OUTPUT, dw, u.count, u.each[0]}, {OUTPUT, db, u.count, u.each[1]},
        {OUTPUT, dW, u.count, u.each[2]}, {OUTPUT, dc, u.count, u.each[3]});
  const struct tabular t = {.layer = &layer,
                            .n = n,
                            .x = x,
                            .w = {w, b, W},
                            .post = post,
                            .delta = delta,
                            .gradients = {dw, db, dW, dc}};
  return run_gradients(dtype, &t);
}

int nnpoly_periodic_delta(int dtype, const void *delta, const void *x, const void *post,
                          const void *w, const void *b, const void *W, void *dx, int64_t n,
                          const struct nnpoly_waves *sizes) {
  struct nnpoly_layer layer;
  const int status = waves(&layer, sizes, b != NULL);
  if (status != NNPOLY_OK) return status;
  const struct units u = nnpoly_units(&layer);
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, x, n, layer.inputs},
        {optional_unless(b == NULL), post, n, layer.outputs}, {INPUT, w, u.count, u.each[0]},
        {INPUT, b, u.count, u.each[1]}, {INPUT, W, u.count, u.each[2]},
        {OUTPUT, dx, n, layer.inputs});
  const struct tabular t = {.layer = &layer,
                            .n = n,
                            .x = x,
                            .w = {w, b, W},
                            .post = post,
                            .delta = delta,
                            .C = dx,
                            .epilogue = plain(NULL)};
  return run_rows(kernels_of(dtype, &t)->delta, &t);
}

static int tables(struct nnpoly_layer *layer, const int64_t *sizes, int64_t inputs, int64_t columns,
                  int64_t features) {
  *layer = (struct nnpoly_layer){.kind = NNPOLY_EMBEDDING,
                                 .inputs = inputs,
                                 .columns = columns,
                                 .features = features,
                                 .sizes = sizes};
  if (sizes == NULL) return NNPOLY_NULL;
  if ((uintptr_t)sizes % sizeof *sizes != 0) return NNPOLY_MISALIGNED;
  return embedding(layer);
}

/* Of an int64, in elements. */
static int64_t words(int dtype) { return 8 / size_of(dtype); }

int nnpoly_embed(int dtype, const void *x, const void *E, const int64_t *sizes, void *out,
                 int64_t n, int64_t inputs, int64_t columns, int64_t features) {
  struct nnpoly_layer layer;
  const int status = tables(&layer, sizes, inputs, columns, features);
  if (status != NNPOLY_OK) return status;
  CHECK(dtype, {INPUT, x, n, inputs}, {INPUT, E, nnpoly_units(&layer).count, features},
        {INPUT, sizes, columns, words(dtype)}, {OUTPUT, out, n, layer.outputs});
  const struct tabular t = {
      .layer = &layer, .n = n, .x = x, .w = {E}, .C = out, .epilogue = plain(out)};
  return run_rows(kernels_of(dtype, &t)->forward, &t);
}

int nnpoly_embed_gradient(int dtype, const void *delta, const void *x, const int64_t *sizes,
                          void *dE, int64_t n, int64_t inputs, int64_t columns, int64_t features) {
  struct nnpoly_layer layer;
  const int status = tables(&layer, sizes, inputs, columns, features);
  if (status != NNPOLY_OK) return status;
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, x, n, inputs},
        {INPUT, sizes, columns, words(dtype)}, {OUTPUT, dE, nnpoly_units(&layer).count, features});
  const struct tabular t = {.layer = &layer, .n = n, .x = x, .delta = delta, .gradients = {dE}};
  return run_gradients(dtype, &t);
}

static int lines(struct nnpoly_layer *layer, const struct nnpoly_lines *l) {
  if (l == NULL || l->sizes == NULL || l->bins == NULL) return NNPOLY_NULL;
  if ((uintptr_t)l->sizes % sizeof *l->sizes != 0 || (uintptr_t)l->bins % sizeof *l->bins != 0)
    return NNPOLY_MISALIGNED;
  *layer = (struct nnpoly_layer){.kind = NNPOLY_PIECEWISE,
                                 .inputs = l->inputs,
                                 .columns = l->columns,
                                 .features = l->features,
                                 .sizes = l->sizes,
                                 .bins = l->bins};
  return embedding(layer);
}

/* Their sizes and bins, as arguments to check. */
#define OF_LINES                                         \
  {INPUT, layer.sizes, layer.columns, words(dtype)}, {   \
    INPUT, layer.bins, bins_of(&layer), 2 * words(dtype) \
  }

int nnpoly_piecewise(int dtype, const void *x, const void *w, const void *c, const void *V,
                     void *out, int64_t n, const struct nnpoly_lines *sizes) {
  struct nnpoly_layer layer;
  const int status = lines(&layer, sizes);
  if (status != NNPOLY_OK) return status;
  const struct units u = nnpoly_units(&layer);
  CHECK(dtype, {INPUT, x, n, layer.inputs}, {INPUT, w, u.count, u.each[0]},
        {INPUT, c, u.count, u.each[1]}, {INPUT, V, u.count, u.each[2]}, OF_LINES,
        {OUTPUT, out, n, layer.outputs});
  const struct tabular t = {
      .layer = &layer, .n = n, .x = x, .w = {w, c, V}, .C = out, .epilogue = plain(out)};
  return run_rows(kernels_of(dtype, &t)->forward, &t);
}

int nnpoly_piecewise_gradients(int dtype, const void *delta, const void *x, void *dw, void *dc,
                               void *dV, int64_t n, const struct nnpoly_lines *sizes) {
  struct nnpoly_layer layer;
  const int status = lines(&layer, sizes);
  if (status != NNPOLY_OK) return status;
  const struct units u = nnpoly_units(&layer);
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, x, n, layer.inputs}, OF_LINES,
        {OUTPUT, dw, u.count, u.each[0]}, {OUTPUT, dc, u.count, u.each[1]},
        {OUTPUT, dV, u.count, u.each[2]});
  const struct tabular t = {
      .layer = &layer, .n = n, .x = x, .delta = delta, .gradients = {dw, dc, dV}};
  return run_gradients(dtype, &t);
}

int nnpoly_piecewise_delta(int dtype, const void *delta, const void *x, const void *w,
                           const void *V, void *dx, int64_t n, const struct nnpoly_lines *sizes) {
  struct nnpoly_layer layer;
  const int status = lines(&layer, sizes);
  if (status != NNPOLY_OK) return status;
  const struct units u = nnpoly_units(&layer);
  CHECK(dtype, {INPUT, delta, n, layer.outputs}, {INPUT, x, n, layer.inputs},
        {INPUT, w, u.count, u.each[0]}, {INPUT, V, u.count, u.each[2]}, OF_LINES,
        {OUTPUT, dx, n, layer.inputs});
  const struct tabular t = {.layer = &layer,
                            .n = n,
                            .x = x,
                            .w = {w, NULL, V},
                            .delta = delta,
                            .C = dx,
                            .epilogue = plain(NULL)};
  return run_rows(kernels_of(dtype, &t)->delta, &t);
}
