/* Inverted dropout. The definition is nnpoly/primitives/definitions.py: dropout_scale. The factors
 * are plain C over 32-bit integers, which the compiler turns into vectors of the ISA. */

/* Scramble 32-bit integers one-to-one: xor-shifts and odd multipliers. */
INLINE uint32_t mix(uint32_t h) {
  h = (h ^ (h >> 16)) * 0x7FEB352Du;
  h = (h ^ (h >> 15)) * 0x846CA68Bu;
  return h ^ (h >> 16);
}

/* The factors of columns j0..j0+count-1 of row i. */
static void draw_factors(const struct dropout *law, int64_t i, int64_t j0, int64_t count,
                         real *out) {
  const real kept = (real)(1.0 / (1.0 - law->rate));
  const uint32_t threshold = (uint32_t)(law->rate * 0x1000000);
  const uint32_t row = mix(mix(mix((uint32_t)i) ^ law->path) ^ law->key);
  for (int64_t j = 0; j < count; j++) {
    const uint32_t bits = mix(row + mix((uint32_t)(j0 + j) + 1)) & 0xFFFFFF;
    out[j] = bits >= threshold ? kept : (real)0;
  }
}

/* out = x times the factors, for the same columns; in place if out is x. */
static void drop(const struct dropout *law, int64_t i, int64_t j0, int64_t count, const real *x,
                 real *out) {
  enum { AT_ONCE = 256 };
  real factors[AT_ONCE];
  for (int64_t j = 0; j < count; j += AT_ONCE) {
    const int64_t n = least(AT_ONCE, count - j);
    draw_factors(law, i, j0 + j, n, factors);
    for (int64_t k = 0; k < n; k += LANES) {
      const int lanes = (int)least(LANES, n - k);
      store_up_to(out + j + k, load_up_to(x + j + k, lanes) * load(factors + k), lanes);
    }
  }
}

/* The same for `count` elements from `at` on of a matrix with m columns, of which x and out are the
 * first. */
static void drop_elements(const struct dropout *law, int64_t m, int64_t at, int64_t count,
                          const real *x, real *out) {
  for (int64_t done = 0; done < count;) {
    const int64_t i = (at + done) / m, j = (at + done) % m, n = least(m - j, count - done);
    drop(law, i, j, n, x + done, out + done);
    done += n;
  }
}

static void dropout(const struct dropped *job, int64_t row0, int64_t row1) {
  for (int64_t i = row0; i < row1; i++)
    draw_factors(&job->dropout, i, 0, job->m, (real *)job->out + i * job->m);
}
