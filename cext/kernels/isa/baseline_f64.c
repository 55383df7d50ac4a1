/* Any processor: on x86-64, SSE2, float64. */
#if !defined(__aarch64__)
#define BITS 64
#define TABLE nnpoly_baseline_f64
#include "../body.h"
#endif
