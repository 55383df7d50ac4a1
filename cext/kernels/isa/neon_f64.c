/* ARMv8, float64. */
#if defined(__aarch64__)
#define BITS 64
#define ISA_NEON
#define TABLE nnpoly_neon_f64
#include "../body.h"
#endif
