/* Checks of the arguments of nnpoly.h's functions: sizes, alignment, overlap. */
#ifndef NNPOLY_CHECK_H
#define NNPOLY_CHECK_H

#include <stdint.h>

#include "nnpoly.h"

enum { INPUT = 0, OUTPUT = 1, OPTIONAL = 2, IN_PLACE = 4 };

/* An argument: an array of rows x columns elements. IN_PLACE: it may be another argument, whole. */
struct argument {
  int kind;
  const void *start;
  int64_t rows, columns;
};

static inline int bytes_of(const struct argument *argument, int64_t size, int64_t *bytes) {
  if (argument->rows < 0 || argument->columns < 0) return NNPOLY_SHAPE;
  if (__builtin_mul_overflow(argument->rows, argument->columns, bytes)) return NNPOLY_SHAPE;
  if (__builtin_mul_overflow(*bytes, size, bytes)) return NNPOLY_SHAPE;
  return *bytes <= INT64_MAX / 4 ? NNPOLY_OK : NNPOLY_SHAPE;
}

static inline int check_pointer(const struct argument *argument, int64_t size, int64_t bytes) {
  const uintptr_t start = (uintptr_t)argument->start;
  if (start == 0) return bytes > 0 && !(argument->kind & OPTIONAL) ? NNPOLY_NULL : NNPOLY_OK;
  return start % (uintptr_t)size == 0 ? NNPOLY_OK : NNPOLY_MISALIGNED;
}

static inline int overlap(const struct argument *a, int64_t a_bytes, const struct argument *b,
                          int64_t b_bytes) {
  const uintptr_t a0 = (uintptr_t)a->start, b0 = (uintptr_t)b->start;
  if (!((a->kind | b->kind) & OUTPUT) || a0 == 0 || b0 == 0) return 0;
  if (a0 == b0 && a_bytes == b_bytes && ((a->kind | b->kind) & IN_PLACE)) return 0;
  return a0 < b0 + (uintptr_t)b_bytes && b0 < a0 + (uintptr_t)a_bytes;
}

enum { MOST_ARGUMENTS = 11 };

static inline int check_arrays(int64_t size, const struct argument *arguments, int count) {
  int64_t bytes[MOST_ARGUMENTS];
  for (int i = 0; i < count; i++) {
    int status = bytes_of(&arguments[i], size, &bytes[i]);
    if (status == NNPOLY_OK) status = check_pointer(&arguments[i], size, bytes[i]);
    if (status != NNPOLY_OK) return status;
  }
  for (int i = 0; i < count; i++)
    for (int j = 0; j < i; j++)
      if (overlap(&arguments[i], bytes[i], &arguments[j], bytes[j])) return NNPOLY_OVERLAP;
  return NNPOLY_OK;
}

static inline int64_t size_of(int dtype) { return dtype == NNPOLY_FLOAT64 ? 8 : 4; }

static inline int is_dtype(int dtype) {
  return dtype >= NNPOLY_FLOAT32 && dtype <= NNPOLY_BFLOAT16;
}

/* Return from the calling function unless the type and the arguments are sound. */
#define CHECK(dtype, ...)                                                                          \
  do {                                                                                             \
    if (!is_dtype(dtype)) return NNPOLY_RANGE;                                                     \
    const struct argument arguments_[] = {__VA_ARGS__};                                            \
    const int status_ =                                                                            \
        check_arrays(size_of(dtype), arguments_, (int)(sizeof arguments_ / sizeof arguments_[0])); \
    if (status_ != NNPOLY_OK) return status_;                                                      \
  } while (0)

#endif
