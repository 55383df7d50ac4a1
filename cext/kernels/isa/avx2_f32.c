/* AVX2 and FMA, float32. */
#if defined(__x86_64__)
#define BITS 32
#define ISA_AVX2
#define TABLE nnpoly_avx2_f32
#define ROUNDED_TABLE nnpoly_avx2_bf16
#include "../body.h"
#endif
