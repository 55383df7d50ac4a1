/* Products whose factors are rounded to bfloat16, on processors that multiply pairs of them: by
 * AVX512_BF16's dot products or by AMX's tiles. Included after body.h, with BITS 32 and ISA_AVX512;
 * rounded_product in gemm.h is for all others.
 *
 * Both factors are packed in pairs, of an even k in the lower half of 32 bits and of the odd k
 * after it in the upper half; the rest of the last SQUARE pairs of a row is zeros.
 *
 *   tile of A    by rows: (height, PAIR_STRIDE) pairs
 *   panel of B   (1 + pairs, TILE_COLUMNS): the row of float32 that C starts from, then pairs
 *
 * The order of the sums, with denormals read and written as zeros and rounding to nearest:
 *
 *   dot products   for each pair c = fma(a1, b1, c), then c = fma(a0, b0, c); so does gemm.h
 *   tiles          for every SQUARE pairs e = fma(a0, b0, e) and o = fma(a1, b1, o), from 0;
 *                  then c = c + (e + o)
 */
#define PAIR_TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,avx512bf16"
#define BY_PAIRS __attribute__((target(PAIR_TARGET)))
#define BY_TILES __attribute__((target(PAIR_TARGET ",amx-tile,amx-bf16")))

enum {
  SQUARE = 16,                   /* rows, and sums or pairs a row, of a tile of AMX */
  PAIR_K = 512,                  /* numbers of k of a block; their pairs fit BLOCK_K's panels */
  PAIR_STRIDE = PAIR_K / 2 + 16, /* an odd number of lines */
  PAIR_ROWS = 2 * SQUARE,        /* of the tallest tile of A */
  CORNER_SIZE = SQUARE * SQUARE, /* of a tile of C that is not whole */
  PAIR_A_SIZE = PAIR_ROWS * PAIR_STRIDE + CORNER_SIZE
};

INLINE int pairs_of_block(int kc) { return (kc + 2 * SQUARE - 1) / (2 * SQUARE) * SQUARE; }

/* Packing */

/* The next elements of a row times `times`, of which `left` are in it: two vectors, or one of
 * pairs.
 */
BY_PAIRS static inline vec pairs_along(const real *row, int left, real times) {
  const vec second = left > LANES ? load_up_to(row + LANES, left - LANES) : (vec){0};
  return (vec)(__m512i)_mm512_cvtne2ps_pbh(second * times, load_up_to(row, left) * times);
}

/* Elements of two rows, as pairs. */
BY_PAIRS static inline vec pairs_across(vec even, vec odd) {
  static const uint16_t zipped[2 * LANES] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                             21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                             11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
  return (vec)_mm512_permutexvar_epi16(_mm512_loadu_si512(zipped), both);
}

/* As pack_rows, pack_columns, pack_panels and pack_transposed. */
BY_PAIRS static void pair_rows(const struct product *p, struct row_tile r, int height, real *tile) {
  for (int i = 0; i < height; i++) {
    const real *row =
        (const real *)p->A + (i < r.rows ? place(p->rows, r.i0 + i) * p->A_stride + r.k0 : 0);
    for (int k = 0; k < r.kc; k += 2 * LANES)
      store(tile + i * PAIR_STRIDE + k / 2,
            i < r.rows ? pairs_along(row + k, r.kc - k, 1) : (vec){0});
  }
}

BY_PAIRS static void pair_columns(const struct product *p, struct row_tile r, int height,
                                  real *tile, real *sums) {
  for (int v = 0; v < height; v += LANES) {
    const int n = r.rows - v;
    const real *column = (const real *)p->A + r.k0 * p->A_stride + r.i0 + v;
    vec sum = sums != NULL && r.k0 > 0 && n > 0 ? load_up_to(sums + r.i0 + v, n) : (vec){0};
    for (int k = 0; k < r.kc; k += 2 * LANES) {
      vec square[LANES];
      for (int s = 0; s < LANES; s++) {
        const int even = k + 2 * s, odd = even + 1;
        const vec x = n > 0 && even < r.kc ? load_up_to(column + even * p->A_stride, n) : (vec){0};
        const vec y = n > 0 && odd < r.kc ? load_up_to(column + odd * p->A_stride, n) : (vec){0};
        if (even < r.kc) sum += x;
        if (odd < r.kc) sum += y;
        square[s] = pairs_across(x, y);
      }
      transpose(square);
      for (int i = 0; i < LANES && v + i < height; i++)
        store(tile + (v + i) * PAIR_STRIDE + k / 2, square[i]);
    }
    if (sums != NULL && n > 0) store_up_to(sums + r.i0 + v, sum, n);
  }
}

BY_PAIRS static void pair_panels(const struct product *p, int64_t j0, int columns, int64_t k0,
                                 int kc, real *panels) {
  const int pairs = pairs_of_block(kc);
  const real times = times_of_B(p);
  for (int pair = -1; pair < pairs; pair++) {
    const int even = 2 * pair, odd = even + 1;
    const int has_even = pair >= 0 && even < kc, has_odd = pair >= 0 && odd < kc;
    const real *B = (const real *)p->B + j0;
    const real *x = has_even ? B + place(p->rows, k0 + even) * p->B_stride : B;
    const real *y = has_odd ? B + place(p->rows, k0 + odd) * p->B_stride : B;
    real *to = panels + (int64_t)(1 + pair) * TILE_COLUMNS;
    for (int j = 0; j < columns; j += TILE_COLUMNS, to += (int64_t)(1 + pairs) * TILE_COLUMNS) {
      for (int v = 0; v < TILE_COLUMNS; v += LANES) {
        const int n = columns - j - v;
        const vec a = has_even && n > 0 ? load_up_to(x + j + v, n) * times : (vec){0};
        const vec b = has_odd && n > 0 ? load_up_to(y + j + v, n) * times : (vec){0};
        store(to + v, pairs_across(a, b));
      }
    }
  }
}

BY_PAIRS static void pair_transposed(const struct product *p, int64_t j0, int columns, int64_t k0,
                                     int kc, real *panels) {
  const int64_t panel_size = (int64_t)(1 + pairs_of_block(kc)) * TILE_COLUMNS;
  const int whole = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
  for (int j = 0; j < whole; j += LANES) {
    real *panel = panels + j / TILE_COLUMNS * panel_size + j % TILE_COLUMNS;
    const int rows = columns - j; /* none, if not positive */
    store(panel, biases(p->bias, j0 + j, rows));
    for (int k = 0; k < kc; k += 2 * LANES) {
      const real *corner = (const real *)p->B + (j0 + j) * p->B_stride + k0 + k;
      vec square[LANES];
      for (int i = 0; i < LANES; i++)
        square[i] =
            i < rows ? pairs_along(corner + i * p->B_stride, kc - k, times_of_B(p)) : (vec){0};
      transpose(square);
      real *to = panel + (int64_t)(1 + k / 2) * TILE_COLUMNS;
      UNROLL
      for (int i = 0; i < LANES; i++) store(to + i * TILE_COLUMNS, square[i]);
    }
  }
}

static void pair_B(const struct product *p, int64_t j0, int columns, int64_t k0, int kc,
                   real *panels) {
  if (p->form == FORWARD)
    pair_transposed(p, j0, columns, k0, kc, panels);
  else
    pair_panels(p, j0, columns, k0, kc, panels);
}

static void pair_A(const struct product *p, struct row_tile r, int height, real *sums, real *tile) {
  if (p->form == GRADIENT)
    pair_columns(p, r, height, tile, sums);
  else
    pair_rows(p, r, height, tile);
}

/* Dot products: the register tile of gemm.h, a pair where that has a number. */

struct dot_tile {
  const real *A, *B; /* B: a panel */
  real *C;
  int64_t stride;
  int rows, columns, pairs, resume; /* columns: TILE_COLUMNS or more, if that many are in C */
};

BY_PAIRS static inline __attribute__((always_inline)) void dot_rows(int height,
                                                                    const struct dot_tile *t) {
  const int wide = t->columns > LANES, more = t->columns - LANES;
  vec sum[TILE_ROWS][TILE_VECTORS];
  UNROLL
  for (int i = 0; i < height; i++) {
    const real *c = t->C + i * t->stride;
    const int resume = t->resume && i < t->rows;
    sum[i][0] = resume ? load_up_to(c, t->columns) : load(t->B);
    sum[i][1] = resume && wide ? load_up_to(c + LANES, more) : load(t->B + LANES);
  }
  const real *B = t->B;
  KEEP_LOOP
  for (int k = 0; k < t->pairs; k++) {
    B += TILE_COLUMNS;
    const __m512bh b0 = (__m512bh)load(B), b1 = (__m512bh)load(B + LANES);
    UNROLL
    for (int i = 0; i < height; i++) {
      int32_t pair;
      memcpy(&pair, t->A + i * PAIR_STRIDE + k, sizeof pair);
      const __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
      sum[i][0] = (vec)_mm512_dpbf16_ps(sum[i][0], a, b0);
      sum[i][1] = (vec)_mm512_dpbf16_ps(sum[i][1], a, b1);
    }
  }
  UNROLL
  for (int i = 0; i < height; i++) {
    real *c = t->C + i * t->stride;
    if (i < t->rows) {
      store_up_to(c, sum[i][0], t->columns);
      if (wide) store_up_to(c + LANES, sum[i][1], more);
    }
  }
}

BY_PAIRS static void dot_strip(const struct product *p, const struct strip *s, const real *panels,
                               real *A) {
  const int height = (s->r.rows + 1) / 2 * 2, pairs = (s->r.kc + 1) / 2, resume = s->r.k0 > 0;
  const int64_t panel_size = (int64_t)(1 + pairs_of_block(s->r.kc)) * TILE_COLUMNS;
  real *C = (real *)p->C + cell(p, s->r.i0, s->j0);
  pair_A(p, s->r, height, s->sums, A);
  for (int j = 0; j < s->columns; j += TILE_COLUMNS, panels += panel_size) {
    const struct dot_tile t = {A,         panels,         C + j, p->C_stride,
                               s->r.rows, s->columns - j, pairs, resume};
    switch (height) { /* a copy for each, whose sums are registers */
      case 2: dot_rows(2, &t); break;
      case 4: dot_rows(4, &t); break;
      case 6: dot_rows(6, &t); break;
      case 8: dot_rows(8, &t); break;
      case 10: dot_rows(10, &t); break;
      case 12: dot_rows(12, &t); break;
      default: dot_rows(14, &t);
    }
  }
}

/* AMX: 2 x 2 tiles of C, numbers 0 to 3, from two tiles of A, 4 and 5, and two of B, 6 and 7. */

struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

/* Where a tile of C is read from or written to: in place, or in a spare one if it is not whole. */
struct corner {
  real *C;
  int64_t stride;
  int rows, columns;
};
struct sums {
  real *at;
  int64_t bytes; /* between its rows */
};

INLINE int whole(const struct corner *c) { return c->rows >= SQUARE && c->columns >= SQUARE; }

static struct sums sums_of(const struct corner *c, real *spare) {
  if (whole(c)) return (struct sums){c->C, c->stride * (int64_t)sizeof(real)};
  return (struct sums){spare, SQUARE * sizeof(real)};
}

/* The sums that C starts from: a row of the panel for all rows, or what is in C. */
BY_PAIRS static struct sums sums_before(const struct corner *c, int resume, const real *first,
                                        real *spare) {
  if (!resume) return (struct sums){(real *)first, 0};
  for (int i = 0; !whole(c) && i < SQUARE && i < c->rows; i++)
    store(spare + i * SQUARE, load_up_to(c->C + i * c->stride, c->columns));
  return sums_of(c, spare);
}

BY_PAIRS static void put_back(const struct corner *c, const real *spare) {
  for (int i = 0; !whole(c) && i < SQUARE && i < c->rows; i++)
    store_up_to(c->C + i * c->stride, load(spare + i * SQUARE), c->columns);
}

/* What is fetched while a panel is computed, two lines of each for every SQUARE pairs: two rows of
 * the next row tile, or, where A is stored transposed, rows of its columns by turns; and the next
 * tile of C. */
struct ahead {
  const real *A[2], *C;
  int64_t A_step;
};

static struct ahead ahead_of(const struct product *p, struct row_tile next, int index,
                             const real *C) {
  const int transposed = p->form == GRADIENT, steps = next.kc / (2 * SQUARE);
  struct ahead ahead = {{C, C}, C, 0};
  for (int i = 0; i < 2 && next.rows > 0; i++) {
    const int64_t row = least(2 * index + i, next.rows - 1);
    const int64_t k = least(2 * index * steps + i, next.kc > 0 ? next.kc - 1 : 0);
    ahead.A[i] =
        (const real *)p->A + (transposed ? (next.k0 + k) * p->A_stride + next.i0
                                         : place(p->rows, next.i0 + row) * p->A_stride + next.k0);
    ahead.A_step = transposed ? 2 * p->A_stride : 2 * LINE;
  }
  return ahead;
}

INLINE void fetch(const struct ahead *ahead, int step, int rows, int64_t stride) {
  for (int i = 0; i < 2; i++) {
    __builtin_prefetch(ahead->A[i] + step * ahead->A_step, 0, 2);
    __builtin_prefetch(ahead->A[i] + step * ahead->A_step + LINE, 0, 2);
  }
  for (int i = step * rows; i < (step + 1) * rows; i++) {
    __builtin_prefetch(ahead->C + i * stride, 1, 2);
    __builtin_prefetch(ahead->C + i * stride + LINE, 1, 2);
  }
}

/* Rows and columns of C that a panel gives; the tiles outside of C are left out. */
BY_TILES static void tile_panel(const struct strip *s, const real *A, const real *panel, real *C,
                                int64_t stride, int columns, const struct ahead *ahead,
                                real *spare) {
  enum { A_BYTES = PAIR_STRIDE * sizeof(real), B_BYTES = TILE_COLUMNS * sizeof(real) };
  const int tall = s->r.rows > SQUARE, wide = columns > SQUARE, resume = s->r.k0 > 0;
  const int pairs = pairs_of_block(s->r.kc);
  const struct corner c0 = {C, stride, s->r.rows, columns},
                      c1 = {C + SQUARE, stride, s->r.rows, columns - SQUARE},
                      c2 = {C + SQUARE * stride, stride, s->r.rows - SQUARE, columns},
                      c3 = {c2.C + SQUARE, stride, c2.rows, c1.columns};
  struct sums sums = sums_before(&c0, resume, panel, spare);
  _tile_loadd(0, sums.at, sums.bytes);
  if (wide) sums = sums_before(&c1, resume, panel + SQUARE, spare);
  if (wide) _tile_loadd(1, sums.at, sums.bytes);
  if (tall) sums = sums_before(&c2, resume, panel, spare);
  if (tall) _tile_loadd(2, sums.at, sums.bytes);
  if (tall && wide) sums = sums_before(&c3, resume, panel + SQUARE, spare);
  if (tall && wide) _tile_loadd(3, sums.at, sums.bytes);
  const int rows_a_step = pairs > 0 ? (s->r.rows * SQUARE + pairs - 1) / pairs : 0;
  const real *B = panel + TILE_COLUMNS;
  for (int k = 0; k < pairs; k += SQUARE, A += SQUARE, B += SQUARE * TILE_COLUMNS) {
    fetch(ahead, k / SQUARE, rows_a_step, stride);
    _tile_loadd(4, A, A_BYTES);
    _tile_loadd(6, B, B_BYTES);
    _tile_dpbf16ps(0, 4, 6);
    if (wide) _tile_loadd(7, B + SQUARE, B_BYTES);
    if (wide) _tile_dpbf16ps(1, 4, 7);
    if (tall) _tile_loadd(5, A + SQUARE * PAIR_STRIDE, A_BYTES);
    if (tall) _tile_dpbf16ps(2, 5, 6);
    if (tall && wide) _tile_dpbf16ps(3, 5, 7);
  }
  sums = sums_of(&c0, spare);
  _tile_stored(0, sums.at, sums.bytes);
  put_back(&c0, spare);
  if (wide) {
    sums = sums_of(&c1, spare);
    _tile_stored(1, sums.at, sums.bytes);
    put_back(&c1, spare);
  }
  if (tall) {
    sums = sums_of(&c2, spare);
    _tile_stored(2, sums.at, sums.bytes);
    put_back(&c2, spare);
  }
  if (tall && wide) {
    sums = sums_of(&c3, spare);
    _tile_stored(3, sums.at, sums.bytes);
    put_back(&c3, spare);
  }
}

static void tile_strip(const struct product *p, const struct strip *s, const real *panels,
                       real *A) {
  const int height = s->r.rows > SQUARE ? 2 * SQUARE : SQUARE;
  const int64_t panel_size = (int64_t)(1 + pairs_of_block(s->r.kc)) * TILE_COLUMNS;
  real *C = (real *)p->C + cell(p, s->r.i0, s->j0), *spare = A + PAIR_ROWS * PAIR_STRIDE;
  pair_A(p, s->r, height, s->sums, A);
  for (int j = 0; j < s->columns; j += TILE_COLUMNS, panels += panel_size) {
    const real *beside = j + TILE_COLUMNS < s->columns ? C + j + TILE_COLUMNS : C;
    const struct ahead ahead = ahead_of(p, s->next, j / TILE_COLUMNS, beside);
    tile_panel(s, A, panels, C + j, p->C_stride, s->columns - j, &ahead, spare);
  }
}

static const struct way BY_DOTS = {TILE_ROWS, PAIR_K, 2 * SQUARE, PAIR_A_SIZE, pair_B, dot_strip};
static const struct way BY_SQUARES = {PAIR_ROWS,   PAIR_K, 2 * SQUARE,
                                      PAIR_A_SIZE, pair_B, tile_strip};

static void dot_product(const struct product *p, struct rect r, void *scratch) {
  multiply(&BY_DOTS, p, r, scratch);
}

BY_TILES static void tile_product(const struct product *p, struct rect r, void *scratch) {
  static const struct tile_config config = {
      .palette = 1,
      .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
      .rows = {SQUARE, SQUARE, SQUARE, SQUARE, SQUARE, SQUARE, SQUARE, SQUARE},
  };
  _tile_loadconfig(&config);
  multiply(&BY_SQUARES, p, r, scratch);
  _tile_release();
}

/* Nanoseconds of a few dot products, or of as many multiply-adds. */
BY_PAIRS static int64_t time_of(int dots) {
  enum { CHAINS = 16, ROUNDS = 2000 };
  const vec x = set1(1e-3f);
  vec sums[CHAINS];
  UNROLL
  for (int i = 0; i < CHAINS; i++) sums[i] = set1((real)i);
  const int64_t start = nnpoly_now_ns();
  for (int k = 0; k < ROUNDS; k++) {
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
      sums[i] =
          dots ? (vec)_mm512_dpbf16_ps(sums[i], (__m512bh)x, (__m512bh)x) : fma_(x, x, sums[i]);
      __asm__ volatile("" : "+v"(sums[i])); /* a result that is wanted */
    }
  }
  return nnpoly_now_ns() - start;
}

int nnpoly_dots_pay(void) {
  int64_t fastest[2] = {INT64_MAX, INT64_MAX};
  for (int try = 0; try < 10; try ++) fastest[try % 2] = least(fastest[try % 2], time_of(try % 2));
  return fastest[1] < 2 * fastest[0];
}

const struct kernels nnpoly_dot_bf16 = {
    KERNELS_OF_ELEMENTS,          .tile_rows = TILE_ROWS,
    .tile_columns = TILE_COLUMNS, .product_scratch = (PAIR_A_SIZE + B_SIZE) * sizeof(real),
    .product = dot_product,
};

const struct kernels nnpoly_amx_bf16 = {
    KERNELS_OF_ELEMENTS,          .tile_rows = PAIR_ROWS,
    .tile_columns = TILE_COLUMNS, .product_scratch = (PAIR_A_SIZE + B_SIZE) * sizeof(real),
    .product = tile_product,
};
