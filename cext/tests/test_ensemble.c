/* Predictions of ensembles on arrays between guard pages, with inputs that must not be written, in
 * every configuration: beside inputs in double, each network's own prediction, and their mean. */
#include <math.h>
#include <string.h>

#include "typed.h"

enum { COLUMNS = 4, INPUTS = 7, K = 3, MOST_NETWORKS = 3 };

static const struct nnpoly_input inputs[INPUTS] = {
    {.kind = NNPOLY_NUMBER, .column = 0, .smooth = 1, .center = 0.25, .factor = 3},
    {.kind = NNPOLY_NUMBER, .column = 2, .smooth = 1, .center = -1e300, .factor = 1e30},
    {.kind = NNPOLY_MISSING, .column = 0, .center = 0, .factor = 2},
    {.kind = NNPOLY_VALUE, .column = 1, .value = 1, .smooth = 1, .center = 0.5, .factor = 1},
    {.kind = NNPOLY_VALUE, .column = 1, .value = 2, .center = 0, .factor = 0},
    {.kind = NNPOLY_NUMBER, .column = 3, .center = 0, .factor = 1},
    {.kind = NNPOLY_AS_IS, .column = 1}};

static double input_of(const struct nnpoly_input *input, const double *row) {
  const double cell = row[input->column];
  double x = cell;
  if (input->kind == NNPOLY_AS_IS) return cell;
  if (input->kind == NNPOLY_MISSING) x = isnan(cell) ? 1 : 0;
  if (input->kind == NNPOLY_VALUE) x = cell == input->value ? 1 : 0;
  const double z = fmin(fmax(x - input->center, -1e300), 1e300) * input->factor;
  if (isnan(x)) return 0;
  const double within = fmin(fmax(z, -1e30), 1e30), share = within / 3;
  return !input->smooth ? within : within / sqrt(1 + share * share);
}

static double *doubles(int64_t count) { return guarded((size_t)count * sizeof(double), side); }

/* Numbers of any size, categories 0, 1 and 2, and cells that are missing. */
static const double *some_cells(int64_t n) {
  static const double strange[] = {NAN, 1e300, -1e300, 5e-324, -0.0, INFINITY, 1e-310};
  double *cells = doubles(n * COLUMNS);
  for (int64_t i = 0; i < n * COLUMNS; i++)
    cells[i] = i % COLUMNS == 1 ? (double)(i / COLUMNS % 3)
               : i % 5 == 0     ? strange[i / 5 % 7]
                                : draw(-0.5);
  guarded_read_only(cells);
  return cells;
}

static const double *some_numbers(double low) {
  double *numbers = doubles(K);
  for (int64_t k = 0; k < K; k++) numbers[k] = draw(low);
  guarded_read_only(numbers);
  return numbers;
}

static double of_network(const struct nnpoly_ensemble *e, const void *f, int64_t i, int64_t k) {
  if (e->scales == NULL) {
    double sum = 0;
    for (int64_t j = 0; j < K; j++) sum += get(f, i * K + j);
    return get(f, i * K + k) / sum;
  }
  const double y = get(f, i * K + k) * e->scales[k] + e->shifts[k];
  return e->lows == NULL ? y : fmin(fmax(y, e->lows[k]), e->highs[k]);
}

static void ensemble(int64_t n, int64_t width, int networks, int shares, int clips) {
  struct nnpoly_layer layers[3] = {
      {.inputs = INPUTS, .outputs = width, .activation = NNPOLY_RELU, .factor = 1},
      {.kind = NNPOLY_COLUMN_NORM,
       .inputs = width,
       .outputs = width,
       .eps = 1e-3,
       .activation = NNPOLY_IDENTITY},
      {.inputs = width, .outputs = K, .activation = NNPOLY_IDENTITY, .factor = 0.5}};
  const int64_t P = (INPUTS + 1) * width + 2 * width + (width + 1) * K;
  const void **w = guarded((size_t)networks * sizeof *w, side);
  const void **buffers = guarded((size_t)networks * 2 * sizeof *buffers, side);
  for (int i = 0; i < networks; i++) {
    w[i] = input(P);
    buffers[2 * i] = input(width);
    void *variance = filled(width, 0.5);
    guarded_read_only(variance);
    buffers[2 * i + 1] = variance;
  }
  guarded_read_only(w);
  guarded_read_only(buffers);
  const struct nnpoly_ensemble e = {.dtype = dtype,
                                    .depth = 3,
                                    .output = shares ? NNPOLY_ACTIVATIONS : NNPOLY_IDENTITY,
                                    .networks = networks,
                                    .layers = layers,
                                    .w = w,
                                    .buffers = buffers,
                                    .inputs = inputs,
                                    .columns = COLUMNS,
                                    .scales = shares ? NULL : some_numbers(0.5),
                                    .shifts = shares ? NULL : some_numbers(-0.5),
                                    .lows = clips ? some_numbers(-1) : NULL,
                                    .highs = clips ? some_numbers(0) : NULL};
  const double *cells = some_cells(n);
  double *mean = doubles(n * K), *want = doubles(n * K);
  ok("ensemble", nnpoly_predict_mean(&e, cells, mean, n));
  void *x = room(n * INPUTS), *f = room(n * K);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < INPUTS; j++)
      set(x, i * INPUTS + j, input_of(&inputs[j], cells + i * COLUMNS));
  for (int64_t i = 0; i < n * K; i++) want[i] = 0;
  for (int i = 0; i < networks; i++) {
    ok("predict",
       nnpoly_predict(dtype, layers, 3, w[i], buffers + (size_t)2 * i, x, f, n, 1, e.output));
    for (int64_t j = 0; j < n * K; j++) want[j] += of_network(&e, f, j / K, j % K);
  }
  for (int64_t i = 0; i < n * K; i++)
    if (mean[i] != want[i] / networks) fail("mean", mean[i], want[i] / networks);
}

static void refuse(const char *what, int status, int wanted) {
  if (status != wanted) fail(what, status, wanted);
}

static void refusals(void) {
  const struct nnpoly_layer layer = {
      .inputs = 1, .outputs = K, .activation = NNPOLY_IDENTITY, .factor = 1};
  const void *w[] = {input(2 * K)};
  const double *cells = some_cells(1);
  double *mean = doubles(K);
  struct nnpoly_input given = inputs[0];
  const struct nnpoly_ensemble good = {.dtype = dtype,
                                       .depth = 1,
                                       .output = NNPOLY_IDENTITY,
                                       .networks = 1,
                                       .layers = &layer,
                                       .w = w,
                                       .inputs = &given,
                                       .columns = COLUMNS};
  ok("good", nnpoly_predict_mean(&good, cells, mean, 1));
  ok("no rows", nnpoly_predict_mean(&good, NULL, NULL, 0));
  struct nnpoly_ensemble bad = good;
  refuse("no ensemble", nnpoly_predict_mean(NULL, cells, mean, 1), NNPOLY_RANGE);
  bad.networks = 0;
  refuse("no networks", nnpoly_predict_mean(&bad, cells, mean, 1), NNPOLY_RANGE);
  bad = good, bad.output = 99;
  refuse("output", nnpoly_predict_mean(&bad, cells, mean, 1), NNPOLY_RANGE);
  bad = good, bad.scales = cells;
  refuse("no shifts", nnpoly_predict_mean(&bad, cells, mean, 1), NNPOLY_RANGE);
  bad = good, bad.inputs = NULL;
  refuse("no inputs", nnpoly_predict_mean(&bad, cells, mean, 1), NNPOLY_RANGE);
  bad = good, bad.w = NULL;
  refuse("no weights", nnpoly_predict_mean(&bad, cells, mean, 1), NNPOLY_NULL);
  given.column = COLUMNS;
  refuse("column", nnpoly_predict_mean(&good, cells, mean, 1), NNPOLY_RANGE);
  given.column = -1;
  refuse("column", nnpoly_predict_mean(&good, cells, mean, 1), NNPOLY_RANGE);
  given.column = 0, given.kind = NNPOLY_INPUTS;
  refuse("kind", nnpoly_predict_mean(&good, cells, mean, 1), NNPOLY_RANGE);
  given.kind = NNPOLY_NUMBER;
  refuse("cells", nnpoly_predict_mean(&good, NULL, mean, 1), NNPOLY_NULL);
  refuse("rows", nnpoly_predict_mean(&good, cells, mean, -1), NNPOLY_SHAPE);
  refuse("overlap", nnpoly_predict_mean(&good, mean, mean, 1), NNPOLY_OVERLAP);
  refuse("alignment", nnpoly_predict_mean(&good, (const char *)cells + 4, mean, 1),
         NNPOLY_MISALIGNED);
}

static void test_configuration(void) {
  static const int64_t rows[] = {0, 1, 65, 127, 700};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (int networks = 1; networks <= MOST_NETWORKS; networks += 2) {
      for (int way = 0; way < 3; way++) {
        ensemble(rows[i], 33, networks, way == 0, way == 2);
        guarded_free_all();
      }
    }
  }
  ensemble(100, 3000, 2, 1, 0); /* whose products the threads share */
  guarded_free_all();
  refusals();
  guarded_free_all();
}

int main(void) {
  in_every_configuration(test_configuration);
  return 0;
}
