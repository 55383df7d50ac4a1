/* AVX-512: F, DQ, BW and VL, float64. */
#if defined(__x86_64__)
#define BITS 64
#define ISA_AVX512
#define TABLE nnpoly_avx512_f64
#include "../body.h"
#endif
