/* ARMv8, float32. */
#if defined(__aarch64__)
#define BITS 32
#define ISA_NEON
#define TABLE nnpoly_neon_f32
#define ROUNDED_TABLE nnpoly_neon_bf16
#include "../body.h"
#endif
