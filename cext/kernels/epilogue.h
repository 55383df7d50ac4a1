/* What follows a layer's sums, element by element (struct epilogue): forward, sigma and dropout;
 * and back through both. Of matrices with m columns, `count` elements from `at` on. */

/* C: pre, or pre and post in one place. */
static void finish_forward(const struct epilogue *e, int64_t m, void *C, int64_t at,
                           int64_t count) {
  real *pre = (real *)C + at, *post = (real *)e->post + at;
  const int drops = e->dropout.kept != NULL;
  real *whole = drops && !reads_pre(e->activation) ? pre : post; /* sigma(pre), whole */
  if (!(e->activation == NNPOLY_IDENTITY && whole == pre))
    apply_sigma(e->activation, pre, whole, count, e->a);
  if (drops) drop_elements(&e->dropout, m, at, count, whole, post);
}

/* C: d_post, which becomes delta. */
static void finish_backward(const struct epilogue *e, void *C, int64_t at, int64_t count) {
  real *d = (real *)C + at;
  if (e->plus != NULL) add_elements(d, (const real *)e->plus + at, d, count);
  if (e->dropout.kept != NULL) keep(e->dropout.rate, e->dropout.kept + at, count, d, d);
  if (e->activation != NNPOLY_IDENTITY)
    apply_slope(e->activation, d, e->read == NULL ? NULL : (const real *)e->read + at, d, count,
                e->a);
}

/* A layer of nothing but its epilogue, and the way back through it. */
static void add(const struct sum *job, int64_t row0, int64_t row1) {
  const int64_t m = job->m;
  for (int64_t i = row0; i < row1; i++) {
    const real *a = (const real *)job->a + (job->rows == NULL ? i : job->rows[i]) * m;
    real *C = (real *)job->C + i * m;
    if (job->b != NULL)
      add_elements(a, (const real *)job->b + i * m, C, m);
    else if (a != C)
      memcpy(C, a, (size_t)m * sizeof *C);
  }
  if (job->form == FORWARD)
    finish_forward(&job->epilogue, m, job->C, row0 * m, (row1 - row0) * m);
  else
    finish_backward(&job->epilogue, job->C, row0 * m, (row1 - row0) * m);
}
