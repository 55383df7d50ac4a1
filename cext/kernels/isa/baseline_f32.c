/* Any processor: on x86-64, SSE2, float32. */
#if !defined(__aarch64__)
#define BITS 32
#define TABLE nnpoly_baseline_f32
#define ROUNDED_TABLE nnpoly_baseline_bf16
#include "../body.h"
#endif
