/* AVX2 and FMA, float64. */
#if defined(__x86_64__)
#define BITS 64
#define ISA_AVX2
#define TABLE nnpoly_avx2_f64
#include "../body.h"
#endif
