/* From a row's cells to a network's inputs, always in double precision, as nnpoly/exchange's
 * described.py and quantiles.py define it. */

#define MOST_CELL ((real)1e300)
#define MOST_INPUT ((real)1e30)
INLINE real within(real x, real most) { return x > most ? most : x < -most ? -most : x; }

/* (x - center) / scale, where a missing x is `fill`. */
INLINE real number_cell(real x, real fill, real center, real scale) {
  return ((x == x ? x : fill) - center) / scale;
}

/* The code of a text: x is its place among `size` texts, NaN for a missing one, and another number
 * for one that is not among them. */
INLINE real code_cell(real x, const real *codes, int size, real missing, real other) {
  if (x != x) return missing;
  return x >= 0 && x < (real)size ? codes[(int)x] : other;
}

INLINE real horner(const real *c, int terms, real r) {
  real sum = c[terms - 1];
  int i;
  for (i = terms - 2; i >= 0; i--) sum = sum * r + c[i];
  return sum;
}

/* The number below which a standard normal one is with probability p: Wichura's AS241. */
INLINE real normal_quantile(real p) {
  static const real A[] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                           1.9715909503065514427e3, 1.3731693765509461125e4,
                           4.5921953931549871457e4, 6.7265770927008700853e4,
                           3.3430575583588128105e4, 2.5090809287301226727e3};
  static const real B[] = {1.0,
                           4.2313330701600911252e1,
                           6.8718700749205790830e2,
                           5.3941960214247511077e3,
                           2.1213794301586595867e4,
                           3.9307895800092710610e4,
                           2.8729085735721942674e4,
                           5.2264952788528545610e3};
  static const real C[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                           5.76949722146069140550e0,  3.64784832476320460504e0,
                           1.27045825245236838258e0,  2.41780725177450611770e-1,
                           2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static const real D[] = {1.0,
                           2.05319162663775882187e0,
                           1.67638483018380384940e0,
                           6.89767334985100004550e-1,
                           1.48103976427480074590e-1,
                           1.51986665636164571966e-2,
                           5.47593808499534494600e-4,
                           1.05075007164441684324e-9};
  const real least = 1e-7, inside = p < least ? least : p > 1.0 - least ? 1.0 - least : p;
  const real q = inside - 0.5;
  real r, far;
  if (absolute(q) <= 0.425) {
    r = 0.180625 - q * q;
    return q * horner(A, 8, r) / horner(B, 8, r);
  }
  r = sqrt_(-log_positive(q > 0 ? 1.0 - inside : inside)) - 1.6;
  far = horner(C, 8, r) / horner(D, 8, r);
  return q > 0 ? far : -far;
}

/* z's rank, by the interval whose left end is the quantile before `at`. */
INLINE real rank_before(real z, const real *quantiles, int count, int at) {
  const int before = at > 0 ? at - 1 : at, low = before > count - 2 ? count - 2 : before;
  const real left = quantiles[low], right = quantiles[low + 1];
  real share = (z - left) / (right > left ? right - left : 1.0);
  share = share < 0 ? 0.0 : share > 1 ? 1.0 : share;
  return ((real)low + share) / (real)(count - 1);
}

/* A number by its quantiles, which rise, as a normally distributed one; NaN for NaN. */
INLINE real quantile_cell(real x, real center, real factor, const real *quantiles, int count) {
  const real z = within(within(x - center, MOST_CELL) * factor, MOST_INPUT), near = 1e-7;
  int up = 0, down = 0;
  real p;
  if (x != x) return x;
  while (up < count && quantiles[up] <= z) up++;
  while (down < count && quantiles[down] < z) down++;
  p = 0.5 * (rank_before(z, quantiles, count, up) + rank_before(z, quantiles, count, down));
  if (z + near > quantiles[count - 1]) p = 1.0;
  if (z - near < quantiles[0]) p = 0.0;
  return normal_quantile(p);
}

/* An input, of the cell of a column: see nnpoly.backends.ensembles.Input. */
enum { CELL_ITSELF = 0 };
enum { CELL_NUMBER = 1 };
enum { CELL_MISSING = 2 };
enum { CELL_VALUE = 3 };
struct input {
  int kind, column, smooth;
  real value, center, factor;
};
INLINE real input_of(const struct input *input, const real *cells) {
  real x = cells[input->column];
  if (input->kind == CELL_ITSELF) return x;
  if (input->kind == CELL_MISSING) x = x != x ? 1.0 : 0.0;
  if (input->kind == CELL_VALUE) x = x == input->value ? 1.0 : 0.0;
  x = within(x - input->center, MOST_CELL) * input->factor;
  x = x == x ? within(x, MOST_INPUT) : 0.0;
  if (input->smooth) {
    const real third = x / 3.0;
    x = x / sqrt_(1.0 + third * third);
  }
  return x;
}

INLINE int same_text(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

/* Where a text is among `size`; -1 if it is not, and NaN for NULL, and for an empty text that is
 * not among them. */
INLINE real place_of(const char *text, const char *const *texts, int size) {
  int i;
  if (text == NULL) return NAN;
  for (i = 0; i < size; i++)
    if (same_text(text, texts[i])) return i;
  return *text ? -1.0 : NAN;
}
