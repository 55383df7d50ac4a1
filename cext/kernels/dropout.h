/* Inverted dropout's factors. The definition is nnpoly/primitives/definitions.py: dropout_scale.
 * Plain C over 32-bit integers, which the compiler turns into vectors of the ISA. */

/* Scramble 32-bit integers one-to-one: xor-shifts and odd multipliers. */
INLINE uint32_t mix(uint32_t h) {
  h = (h ^ (h >> 16)) * 0x7FEB352Du;
  h = (h ^ (h >> 15)) * 0x846CA68Bu;
  return h ^ (h >> 16);
}

static void dropout(const struct dropout *job, int64_t row0, int64_t row1) {
  const real kept = (real)(1.0 / (1.0 - job->rate));
  const uint32_t threshold = (uint32_t)(job->rate * 0x1000000);
  for (int64_t i = row0; i < row1; i++) {
    const uint32_t row = mix(mix(mix((uint32_t)i) ^ job->path) ^ job->key);
    real *out = (real *)job->out + i * job->m;
    for (int64_t j = 0; j < job->m; j++) {
      const uint32_t bits = mix(row + mix((uint32_t)j + 1)) & 0xFFFFFF;
      out[j] = bits >= threshold ? kept : (real)0;
    }
  }
}
