/* The kernels of one ISA and element type: included once by each file of isa/, which defines
 *
 *   BITS                                     32 or 64
 *   ISA_AVX512, ISA_AVX2, ISA_NEON or none   see simd.h
 *   TABLE                                    the name of the table that it exports
 *   ROUNDED_TABLE                            if BITS is 32, of the one whose products round
 *
 * The target is set here, around everything, so that every file is compiled with the same flags. */
#include "core.h"

#if defined(ISA_AVX512)
#define TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"
#elif defined(ISA_AVX2)
#define TARGET "avx2,fma"
#endif

#if defined(TARGET)
#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define SET_TARGET(isa) \
  PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#else
#define SET_TARGET(isa) PRAGMA(GCC target(isa))
#endif
/* The system's headers come before, since they do not want another target. */
#include <immintrin.h>
#include <math.h>
#include <string.h>
SET_TARGET(TARGET)
#endif

#include "simd.h"

#include "../../nnpoly/exchange/c/vmath.h"

#include "../../nnpoly/exchange/c/activations.h"

#include "activation.h"

#include "loss.h"

#include "optim.h"

#include "dropout.h"

#include "epilogue.h"

#include "norm.h"

#include "tabular.h"

#include "piecewise.h"

#include "gemm.h"

/* All but products. */
#define KERNELS_OF_ELEMENTS                                                                     \
  .row_scratch = 3 * VECTOR_BYTES, .activate = activate, .activation_delta = activation_delta,  \
  .softmax = softmax, .cross_entropy = cross_entropy, .focal = focal,                           \
  .element_loss = element_loss, .sum_of_squares = sum_of_squares, .scale = scale,               \
  .add_scaled = add_scaled, .divide = divide, .update = update, .dropout = dropout, .add = add, \
  .row_moments = row_moments, .column_moments = column_moments, .inverse_roots = inverse_roots, \
  .move_towards = move_towards, .normalise = normalise, .row_delta = row_delta,                 \
  .column_delta = column_delta, .norm_gradients = norm_gradients,                               \
  .tabular = {{scaled, scaled_delta, scaled_gradient},                                          \
              {blended, blended_delta, blended_gradient},                                       \
              {waves, waves_delta, waves_gradients},                                            \
              {rows_of_tables, rows_delta, rows_gradient},                                      \
              {lines, lines_delta, lines_gradients},                                            \
              {member_scaled, member_scaled_delta, member_scaled_gradient}},                    \
  .column_sums = column_sums, .members_mean = members_mean

#define KERNELS(PRODUCT)                                                      \
  {KERNELS_OF_ELEMENTS, .tile_rows = TILE_ROWS, .tile_columns = TILE_COLUMNS, \
   .product_scratch = (A_SIZE + B_SIZE) * sizeof(real), .product = PRODUCT}

const struct kernels TABLE = KERNELS(product);
#if BITS == 32
const struct kernels ROUNDED_TABLE = KERNELS(rounded_product);
#endif

#if defined(TARGET) && defined(__clang__)
#pragma clang attribute pop
#endif
