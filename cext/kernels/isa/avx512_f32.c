/* AVX-512: F, DQ, BW and VL, float32. */
#if defined(__x86_64__)
#define BITS 32
#define ISA_AVX512
#define TABLE nnpoly_avx512_f32
#define ROUNDED_TABLE nnpoly_avx512_bf16
#include "../body.h"

#include "../bf16.h"
#endif
