/* Matrix products, with the layer's element-wise part applied while a strip of C is in the cache.
 *
 * As in BLIS: B is packed into panels of TILE_COLUMNS columns, A a row tile at a time; a register
 * tile of C takes one fused multiply-add an element for each k, in the order of k. So an element
 * does not depend on how C is cut, nor on the vectors' width. The readable definition is
 * nnpoly/primitives/definitions.py: dense, dense_delta, dense_gradients.
 *
 *   panel of B   (1 + kc, TILE_COLUMNS): the row that C starts from (bias or zeros), then the rows
 *                k0..k0+kc-1; columns beyond the matrix are zeros
 *   tile of A    for FORWARD and DELTA as it is stored, or, where its rows are gathered, odd in
 *                number or crowd in the cache, packed by rows (height, ROW_STRIDE); for GRADIENT,
 *                whose A is stored transposed, packed by columns (kc, COLUMN_STRIDE)
 */

/* The tile's accumulators, two vectors of B and what is read of A fill the registers. */
#if defined(ISA_AVX512)
#define TILE_ROWS 14
#elif defined(ISA_NEON)
#define TILE_ROWS 10
#else
#define TILE_ROWS 6
#endif
enum {
  TILE_VECTORS = 2,
  TILE_COLUMNS = TILE_VECTORS * LANES,
  BLOCK_K = BITS == 32 ? 384 : 192, /* a tile of A fits a third of 48 KiB ... */
  BLOCK_N = 768,                    /* ... and the panels of B most of 2 MiB; see block_columns */
  LINE = 64 / (int)sizeof(real),    /* elements a line of the cache */
  FETCHES = TILE_COLUMNS > LINE,    /* narrower tiles wait for their arithmetic, not for memory */
  AHEAD = 16,                       /* rows of a panel that are fetched before they are used */
  ROW_STRIDE = BLOCK_K + 16,        /* not a power of two, whose rows would share cache sets */
  COLUMN_STRIDE = 16,
  A_SIZE = TILE_ROWS * ROW_STRIDE > BLOCK_K *COLUMN_STRIDE ? TILE_ROWS * ROW_STRIDE
                                                           : BLOCK_K * COLUMN_STRIDE,
  B_SIZE = (1 + BLOCK_K) * BLOCK_N
};

/* The columns whose panels fill a little more than half of the second cache. */
static int64_t block_columns(void) {
  const struct cache l2 = nnpoly_cache(2);
  const int64_t fit = l2.way_bytes * l2.ways * 9 / 16 / (BLOCK_K * (int)sizeof(real));
  return least(BLOCK_N, fit < TILE_COLUMNS ? TILE_COLUMNS : fit / TILE_COLUMNS * TILE_COLUMNS);
}

/* The length of equal blocks, of at most `most` and a multiple of `step`, that cover `whole`. */
INLINE int64_t balanced(int64_t whole, int64_t most, int64_t step) {
  if (whole <= most) return whole;
  const int64_t blocks = (whole + most - 1) / most;
  return ((whole + blocks - 1) / blocks + step - 1) / step * step;
}

/* Packing */

/* With rounded factors (struct product's `rounds`) the odd k of a pair comes before the even one,
 * as in bf16.h's dot products, and a last even k has a row of zeros for its odd one. */
INLINE vec factor(vec x, int rounds) { return rounds ? nearest_bf16(x) : x; }
INLINE int64_t turned(int64_t k, int rounds) { return rounds ? k ^ 1 : k; }
INLINE int padded(int kc, int rounds) { return rounds ? (kc + 1) / 2 * 2 : kc; }

/* Where an element of C is, from p->C on. */
INLINE int64_t cell(const struct product *p, int64_t i, int64_t j) {
  return i * p->C_stride + p->C_column + j;
}

/* Where row i of x is stored. */
INLINE int64_t place(const int64_t *rows, int64_t i) { return rows == NULL ? i : rows[i]; }

/* Rows i0..i0+rows-1 and columns k0..k0+kc-1 of A (M, K). Rows up to `height` become zeros. */
static void pack_rows(const real *A, const int64_t *places, int64_t stride, int64_t i0, int rows,
                      int height, int64_t k0, int kc, int rounds, real *tile) {
  for (int i = 0; i < height; i++) {
    const real *row = i < rows ? A + place(places, i0 + i) * stride + k0 : A;
    for (int k = 0; k < kc; k += LANES) { /* the last may end past kc, within ROW_STRIDE */
      const vec x = i < rows ? load_up_to(row + k, kc - k) : (vec){0};
      store(tile + i * ROW_STRIDE + k, rounds ? swap_pairs(nearest_bf16(x)) : x);
    }
  }
}

/* Columns i0..i0+rows-1 and rows k0..k0+kc-1 of delta (K, M). The rest of the tile is
 * arbitrary: it reaches elements of C alone that are not stored. sums, if any, gains the columns'
 * sums, from zero at k0 = 0. */
static void pack_columns(const real *delta, int64_t K, int64_t M, int64_t stride, int64_t i0,
                         int rows, int64_t k0, int kc, int rounds, real *tile, real *sums) {
  for (int v = 0; v < rows; v += LANES) {
    const int64_t last_whole =
        (K - 1) * stride + M - LANES; /* a whole vector can be read up to here */
    vec sum = sums != NULL && k0 > 0 ? load_up_to(sums + i0 + v, rows - v) : (vec){0};
    for (int k = 0; k < kc; k++) {
      const int64_t at = (k0 + k) * stride + i0 + v;
      const vec x = at <= last_whole ? load(delta + at) : load_up_to(delta + at, rows - v);
      store(tile + turned(k, rounds) * COLUMN_STRIDE + v, factor(x, rounds));
      sum += x;
    }
    if (padded(kc, rounds) > kc) store(tile + (kc - 1) * COLUMN_STRIDE + v, (vec){0});
    if (sums != NULL) store_up_to(sums + i0 + v, sum, rows - v);
  }
}

/* Rows k0..k0+kc-1 and columns j0..j0+columns-1 of B (K, N), times `times`. */
static void pack_panels(const real *B, real times, const int64_t *places, int64_t stride,
                        int64_t j0, int columns, int64_t k0, int kc, int rounds, real *panels) {
  const int rows = padded(kc, rounds);
  const int64_t panel_size = (int64_t)(1 + rows) * TILE_COLUMNS;
  for (int k = -1; k < rows; k++) {
    const int empty = k < 0 || k >= kc; /* zeros, which C starts from, and a pair's other half */
    const real *row = empty ? B : B + place(places, k0 + k) * stride + j0;
    real *to = panels + (k < 0 ? 0 : 1 + turned(k, rounds)) * TILE_COLUMNS;
    for (int j = 0; j < columns; j += TILE_COLUMNS, to += panel_size) {
      for (int v = 0; v < TILE_COLUMNS; v += LANES) {
        const int n = columns - j - v;
        store(to + v,
              empty || n <= 0 ? (vec){0} : factor(load_up_to(row + j + v, n) * times, rounds));
      }
    }
  }
}

/* What sums start from: elements j.. of bias, of which `count` are asked for; or zeros. */
INLINE vec biases(const real *bias, int64_t j, int count) {
  return bias == NULL || count <= 0 ? (vec){0} : load_up_to(bias + j, count);
}

/* Columns k0.. and rows j0.. of W (N, K) times `times`, transposed: LANES x LANES squares in the
 * registers. */
static void pack_transposed(const real *W, real times, int64_t stride, const real *bias, int64_t j0,
                            int columns, int64_t k0, int kc, int rounds, real *panels) {
  const int64_t panel_size = (int64_t)(1 + padded(kc, rounds)) * TILE_COLUMNS;
  const int whole = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
  for (int j = 0; j < whole; j += LANES) {
    real *panel = panels + j / TILE_COLUMNS * panel_size + j % TILE_COLUMNS;
    const int rows = columns - j < LANES ? columns - j : LANES; /* none or fewer, if not positive */
    store(panel, biases(bias, j0 + j, rows));
    for (int k = 0; k < kc; k += LANES) {
      const real *corner = W + (j0 + j) * stride + k0 + k;
      const int n = kc - k < LANES ? kc - k : LANES;
      vec square[LANES];
      if (rows == LANES && n == LANES) {
        UNROLL
        for (int i = 0; i < LANES; i++) square[i] = load(corner + i * stride) * times;
      } else {
        for (int i = 0; i < LANES; i++)
          square[i] = i < rows ? load_up_to(corner + i * stride, n) * times : (vec){0};
      }
      transpose(square);
      real *to = panel + (int64_t)(1 + k) * TILE_COLUMNS;
      if (rounds) {
        for (int i = 0; i < padded(n, rounds); i++)
          store(to + turned(i, rounds) * TILE_COLUMNS, nearest_bf16(square[i]));
      } else if (n == LANES) {
        UNROLL
        for (int i = 0; i < LANES; i++) store(to + i * TILE_COLUMNS, square[i]);
      } else {
        for (int i = 0; i < n; i++) store(to + i * TILE_COLUMNS, square[i]);
      }
    }
  }
}

/* The register tile */

struct tile {
  const real *A;
  const real *B; /* a panel */
  real *C;       /* (rows, columns), of a matrix whose rows are `stride` apart */
  int64_t stride, kc;
  int64_t A_stride; /* DIRECT: between the rows of A */
  int rows, columns;
  int resume; /* add to C, instead of starting from the panel's first row */
  /* What the next tiles need, fetched while this one is computed. The processor's own prefetching
   * does not see them coming: the lines are in as many pages as there are rows. */
  const real *C_ahead; /* the next tile of C, in rows as far apart */
  const real *A_ahead; /* of the next row tile, a line for every LINE multiply-adds ... */
  int64_t A_step;      /* ... so many elements apart */
};

/* The layout of A: packed by columns, packed by rows, or as it is stored, by rows. */
enum { BY_COLUMNS, BY_ROWS, DIRECT };

INLINE void compute_tile(int height, int vectors, int layout, const struct tile *t) {
  const int last = (vectors - 1) * LANES; /* where the vector starts that may be partly outside */
  const int64_t kc = t->kc, A_stride = layout == DIRECT ? t->A_stride : ROW_STRIDE;
  const real *A = t->A, *B = t->B;
  vec sum[TILE_ROWS][TILE_VECTORS];
  UNROLL
  for (int i = 0; i < height; i++) {
    const real *c = t->C + i * t->stride;
    const int resume = t->resume && i < t->rows;
    if (vectors == 2) sum[i][0] = resume ? load(c) : load(B);
    sum[i][vectors - 1] = resume ? load_up_to(c + last, t->columns - last) : load(B + last);
  }
  const int64_t span = FETCHES ? LINE : kc;
  for (int64_t start = 0, line = 0; start < kc; start += span, line++) {
    if (FETCHES) __builtin_prefetch(t->A_ahead + line * t->A_step, 0, 2);
    if (FETCHES && line < height) {
      __builtin_prefetch(t->C_ahead + line * t->stride, 1, 3);
      if (vectors == 2) __builtin_prefetch(t->C_ahead + line * t->stride + LANES, 1, 3);
    }
    const int64_t stop = least(start + span, kc);
    KEEP_LOOP
    for (int64_t k = start; k < stop; k++) {
      B += TILE_COLUMNS;
      if (FETCHES) __builtin_prefetch(B + AHEAD * TILE_COLUMNS, 0, 3);
      if (FETCHES) __builtin_prefetch(B + AHEAD * TILE_COLUMNS + LINE, 0, 3);
      vec b[TILE_VECTORS];
      b[0] = load(B);
      if (vectors == 2) b[1] = load(B + LANES);
      UNROLL
      for (int i = 0; i < height; i++) {
        const vec a = set1(A[layout == BY_COLUMNS ? i : i * A_stride]);
        sum[i][0] = fma_(a, b[0], sum[i][0]);
        if (vectors == 2) sum[i][1] = fma_(a, b[1], sum[i][1]);
      }
      A += layout == BY_COLUMNS ? COLUMN_STRIDE : 1;
    }
  }
  UNROLL
  for (int i = 0; i < height; i++) {
    real *c = t->C + i * t->stride;
    if (i < t->rows) {
      if (vectors == 2) store(c, sum[i][0]);
      store_up_to(c + last, sum[i][vectors - 1], t->columns - last);
    }
  }
}

/* One copy for each even height, one or two vectors, and either way of packing A. */
#define COPIES(HEIGHT)                                                                             \
  static void narrow_columns_##HEIGHT(const struct tile *t) {                                      \
    compute_tile(HEIGHT, 1, BY_COLUMNS, t);                                                        \
  }                                                                                                \
  static void narrow_rows_##HEIGHT(const struct tile *t) { compute_tile(HEIGHT, 1, BY_ROWS, t); }  \
  static void narrow_direct_##HEIGHT(const struct tile *t) { compute_tile(HEIGHT, 1, DIRECT, t); } \
  static void wide_columns_##HEIGHT(const struct tile *t) {                                        \
    compute_tile(HEIGHT, 2, BY_COLUMNS, t);                                                        \
  }                                                                                                \
  static void wide_rows_##HEIGHT(const struct tile *t) { compute_tile(HEIGHT, 2, BY_ROWS, t); }    \
  static void wide_direct_##HEIGHT(const struct tile *t) { compute_tile(HEIGHT, 2, DIRECT, t); }
#define ENTRIES(HEIGHT)                                                        \
  {                                                                            \
    {narrow_columns_##HEIGHT, narrow_rows_##HEIGHT, narrow_direct_##HEIGHT}, { \
      wide_columns_##HEIGHT, wide_rows_##HEIGHT, wide_direct_##HEIGHT          \
    }                                                                          \
  }
COPIES(2)
COPIES(4)
COPIES(6)
#if TILE_ROWS >= 10
COPIES(8)
COPIES(10)
#endif
#if TILE_ROWS >= 14
COPIES(12)
COPIES(14)
#endif

/* [height / 2 - 1][vectors - 1][layout] */
static void (*const TILES[TILE_ROWS / 2][TILE_VECTORS][3])(const struct tile *) = {
    ENTRIES(2),  ENTRIES(4),  ENTRIES(6),
#if TILE_ROWS >= 10
    ENTRIES(8),  ENTRIES(10),
#endif
#if TILE_ROWS >= 14
    ENTRIES(12), ENTRIES(14),
#endif
};
#undef COPIES
#undef ENTRIES

/* Rows of A: i0..i0+rows-1, of their columns k0..k0+kc-1. */
struct row_tile {
  int64_t i0, k0;
  int rows, kc;
};

/* The part of a row tile that is fetched while another's panel `index` is computed: a row, or as
 * many columns, if A is stored transposed, as there are lines in a row. Others, the first. */
static const real *part_ahead(const struct product *p, struct row_tile r, int index) {
  const real *A = p->A;
  if (p->form == GRADIENT)
    return A + (r.k0 + (index < LINE ? index * (r.kc / LINE) : 0)) * p->A_stride + r.i0;
  return A + place(p->rows, r.i0 + (index < r.rows ? index : 0)) * p->A_stride + r.k0;
}

/* Columns j0..j0+columns-1 of the row tile that is packed in A; `next` is the tile after it. */
static void compute_strip(const struct product *p, const real *A, int layout, const real *panels,
                          int height, struct tile t, int columns, struct row_tile next) {
  const real *below = t.C + (next.rows > 0 ? t.rows * t.stride : 0);
  t.A_step = p->form == GRADIENT && next.rows > 0 ? p->A_stride : LINE;
  t.A = A;
  for (int j = 0; j < columns; j += TILE_COLUMNS) {
    const int index = j / TILE_COLUMNS;
    t.B = panels + (int64_t)index * (1 + t.kc) * TILE_COLUMNS;
    t.columns = columns - j < TILE_COLUMNS ? columns - j : TILE_COLUMNS;
    t.A_ahead = next.rows > 0 ? part_ahead(p, next, index) : A;
    t.C_ahead = j + TILE_COLUMNS < columns ? t.C + TILE_COLUMNS : below;
    TILES[height / 2 - 1][t.columns > LANES][layout](&t);
    t.C += TILE_COLUMNS;
  }
}

static void finish_gradient(const struct product *p, int64_t at, int64_t count) {
  if (p->factor != 1) scale(p->C, p->C, at, at + count, p->factor);
  if (p->update != NULL) update(p->update, p->C_at + at, p->C_at + at + count);
}

/* The element-wise part, for `count` elements of C from `at` on. */
static void finish(const struct product *p, int64_t at, int64_t count) {
  if (p->form == FORWARD)
    finish_forward(&p->epilogue, p->width, p->C, at, count);
  else if (p->form == DELTA)
    finish_backward(&p->epilogue, p->C, at, count);
  else
    finish_gradient(p, at, count);
}

static void finish_strip(const struct product *p, int64_t i0, int rows, int64_t j0, int columns) {
  if (columns == p->width) { /* whole rows follow each other */
    finish(p, i0 * p->width, (int64_t)rows * columns);
  } else {
    for (int i = 0; i < rows; i++) finish(p, cell(p, i0 + i, j0), columns);
  }
}

INLINE real times_of_B(const struct product *p) {
  return p->form == GRADIENT ? 1 : (real)p->factor;
}

static void pack_B(const struct product *p, int64_t j0, int columns, int64_t k0, int kc,
                   real *panels) {
  if (p->form == FORWARD)
    pack_transposed(p->B, times_of_B(p), p->B_stride, p->bias, j0, columns, k0, kc, p->rounds,
                    panels);
  else
    pack_panels(p->B, times_of_B(p), p->rows, p->B_stride, j0, columns, k0, kc, p->rounds, panels);
}

static void pack_A(const struct product *p, struct row_tile r, int height, real *sums, real *tile) {
  if (p->form == GRADIENT)
    pack_columns(p->A, p->K, p->M, p->A_stride, r.i0, r.rows, r.k0, r.kc, p->rounds, tile, sums);
  else
    pack_rows(p->A, p->rows, p->A_stride, r.i0, r.rows, height, r.k0, r.kc, p->rounds, tile);
}

/* Whether rows of A, which are a power of two of bytes or a multiple of one apart, fall on so few
 * sets of the cache that a tile's rows drive each other out: more than a quarter of their ways. */
static int crowds(int64_t stride) {
  const struct cache l1 = nnpoly_cache(1);
  const int64_t bytes = stride * (int64_t)sizeof(real), apart = least(bytes & -bytes, l1.way_bytes);
  return TILE_ROWS > l1.way_bytes / apart * (l1.ways / 4);
}

/* Part of C: rows of A times `columns` columns of B from j0 on, whose panels are packed. */
struct strip {
  struct row_tile r, next; /* next: the row tile after it, of no rows if it is the last */
  int64_t j0;
  int columns;
  real *sums; /* as in pack_columns, or NULL */
};

/* By fused multiply-adds. scratch: for A. */
static void multiply_strip(const struct product *p, const struct strip *s, const real *panels,
                           real *scratch) {
  const struct row_tile r = s->r;
  const int height = (r.rows + 1) / 2 * 2;
  /* A single panel reads each row once: there is nothing to gain from a copy of it. */
  const int direct = r.rows == height && p->form != GRADIENT && p->rows == NULL && !p->rounds &&
                     (s->columns <= TILE_COLUMNS || !crowds(p->A_stride));
  if (!direct) pack_A(p, r, height, s->sums, scratch);
  const real *A = direct ? (const real *)p->A + r.i0 * p->A_stride + r.k0 : scratch;
  const int layout = direct ? DIRECT : p->form == GRADIENT ? BY_COLUMNS : BY_ROWS;
  const struct tile tile = {.C = (real *)p->C + cell(p, r.i0, s->j0),
                            .stride = p->C_stride,
                            .kc = padded(r.kc, p->rounds),
                            .A_stride = p->A_stride,
                            .rows = r.rows,
                            .resume = r.k0 > 0};
  compute_strip(p, A, layout, panels, height, tile, s->columns, s->next);
}

/* A way to compute products, by blocks and strips. */
struct way {
  int tile_rows;  /* at most */
  int block_k;    /* numbers of k of a block, at most */
  int k_step;     /* which are multiples of it */
  int64_t A_size; /* of a strip's scratch */
  void (*pack_B)(const struct product *, int64_t j0, int columns, int64_t k0, int kc, real *panels);
  void (*strip)(const struct product *, const struct strip *, const real *panels, real *scratch);
};
static const struct way FUSED = {TILE_ROWS, BLOCK_K, 16, A_SIZE, pack_B, multiply_strip};

/* All row tiles of the rectangle, for columns j0.. and the block of k whose panels are packed. */
static void multiply_block(const struct way *way, const struct product *p, struct rect r,
                           int64_t j0, int columns, int64_t k0, int kc, real *A,
                           const real *panels) {
  const int64_t step = balanced(r.i1 - r.i0, way->tile_rows, 2);
  for (int64_t i0 = r.i0; i0 < r.i1; i0 += step) {
    const int rows = (int)least(step, r.i1 - i0);
    const int64_t i1 = i0 + rows;
    const struct strip strip = {.r = {i0, k0, rows, kc},
                                .next = {i1, k0, (int)least(step, r.i1 - i1), kc},
                                .j0 = j0,
                                .columns = columns,
                                /* The sums are of whole columns of delta: whoever has the first
                                 * columns of dW adds them up. */
                                .sums = j0 == 0 ? p->sums : NULL};
    way->strip(p, &strip, panels, A);
    if (k0 + kc < p->K) continue;
    finish_strip(p, i0, rows, j0, columns);
    if (p->update != NULL && p->sums != NULL && j0 == 0)
      update(p->update, p->sums_at + i0, p->sums_at + i0 + rows);
  }
}

static void multiply(const struct way *way, const struct product *p, struct rect r, void *scratch) {
  real *A = scratch, *panels = A + way->A_size;
  const int64_t step_n = balanced(r.j1 - r.j0, block_columns(), TILE_COLUMNS);
  const int64_t step_k = balanced(p->K, way->block_k, way->k_step);
  for (int64_t j0 = r.j0; j0 < r.j1; j0 += step_n) {
    const int columns = (int)least(step_n, r.j1 - j0);
    int64_t k0 = 0;
    do { /* once at least: with K = 0, C is what it starts from */
      const int kc = (int)least(step_k, p->K - k0);
      way->pack_B(p, j0, columns, k0, kc, panels);
      multiply_block(way, p, r, j0, columns, k0, kc, A, panels);
      k0 += kc;
    } while (k0 < p->K);
  }
}

static void product(const struct product *p, struct rect r, void *scratch) {
  multiply(&FUSED, p, r, scratch);
}

#if BITS == 32
static void rounded_product(const struct product *p, struct rect r, void *scratch) {
  struct product rounded = *p;
  rounded.rounds = 1;
  multiply(&FUSED, &rounded, r, scratch);
}
#endif
