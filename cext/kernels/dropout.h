/* Inverted dropout. The definition is nnpoly/primitives/definitions.py: dropout_scale. The factors
 * are plain C over 32-bit integers, which the compiler turns into vectors of the ISA. */

/* Scramble 32-bit integers one-to-one: xor-shifts and odd multipliers. */
INLINE uint32_t mix(uint32_t h) {
  h = (h ^ (h >> 16)) * 0x7FEB352Du;
  h = (h ^ (h >> 15)) * 0x846CA68Bu;
  return h ^ (h >> 16);
}

enum { DRAWN_AT_ONCE = 256 };

/* The hashes of columns j0..j0+count-1, which every row mixes with its own. */
static void hash_columns(int64_t j0, int64_t count, uint32_t *hashes) {
  for (int64_t j = 0; j < count; j++) hashes[j] = mix((uint32_t)(j0 + j) + 1);
}

/* Whether elements of row i are kept, in the columns with these hashes: -1 or 0. */
static void draw(const struct dropout *law, int64_t i, const uint32_t *columns, int64_t count,
                 int8_t *restrict kept) {
  const uint32_t threshold = (uint32_t)(law->rate * 0x1000000);
  const uint32_t row = mix(mix(mix((uint32_t)i) ^ law->path) ^ law->key);
  for (int64_t j = 0; j < count; j++)
    kept[j] = (mix(row + columns[j]) & 0xFFFFFF) >= threshold ? -1 : 0;
}

/* out = x times 1/(1 - rate) where elements are kept, else times 0; in place if out is x. x may be
 * NULL, for ones. */
static void keep(double rate, const int8_t *kept, int64_t count, const real *x, real *out) {
  const vec factor = set1((real)(1.0 / (1.0 - rate)));
  for (int64_t j = 0; j < count; j += LANES) {
    const int n = (int)least(LANES, count - j);
    const vec factors = (vec)(widen_up_to(kept + j, n) & (ivec)factor);
    store_up_to(out + j, x == NULL ? factors : load_up_to(x + j, n) * factors, n);
  }
}

/* The dropout of `count` elements from `at` on of a matrix with m columns, of which x and out are
 * the first: whole rows, or a part of one. */
static void drop_elements(const struct dropout *law, int64_t m, int64_t at, int64_t count,
                          const real *x, real *out) {
  const int64_t i0 = at / m, j0 = at % m, columns = least(m - j0, count), rows = count / columns;
  int8_t drawn[DRAWN_AT_ONCE];
  for (int64_t j = 0; j < columns; j += DRAWN_AT_ONCE) {
    const int64_t n = least(DRAWN_AT_ONCE, columns - j);
    uint32_t hashes[DRAWN_AT_ONCE];
    hash_columns(j0 + j, n, hashes);
    for (int64_t i = 0; i < rows; i++) {
      int8_t *kept = law->kept == NULL ? drawn : law->kept + at + i * m + j;
      draw(law, i0 + i, hashes, n, kept);
      keep(law->rate, kept, n, x == NULL ? NULL : x + i * m + j, out + i * m + j);
    }
  }
}

static void dropout(const struct dropped *job, int64_t row0, int64_t row1) {
  if (job->m == 0 || row0 == row1) return;
  drop_elements(&job->dropout, job->m, row0 * job->m, (row1 - row0) * job->m, NULL,
                (real *)job->out + row0 * job->m);
}
