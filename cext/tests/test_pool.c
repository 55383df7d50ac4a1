/* Many threads that compute at once, with and without the workers, and fork among them. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

enum { N = 160, M = 160, CALLERS = 4, ROUNDS = 30 };

static float x[N * M], W[M * M], b[M], expected[N * M];

static void require(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "test_pool: %s\n", what);
    exit(1);
  }
}

/* Several parts of a product, and a loss whose scratch depends on its size. */
static int right(void) {
  float *post = malloc(sizeof expected), *delta = malloc(sizeof expected), loss;
  int64_t labels[N] = {0};
  int same = nnpoly_dense(NNPOLY_FLOAT32, x, W, b, NULL, post, N, M, M, NNPOLY_TANH, 0) == 0;
  same &= memcmp(post, expected, sizeof expected) == 0;
  same &= nnpoly_cross_entropy(NNPOLY_FLOAT32, post, labels, NULL, NULL, delta, &loss, N, M) == 0;
  free(post);
  free(delta);
  return same;
}

/* Networks that are trained side by side, all alike. */
static void test_training(void) {
  enum { MEMBERS = 3, P = 9 * M, BATCH = 40 };
  const struct nnpoly_layer layer = {
      .inputs = 8, .outputs = M, .activation = NNPOLY_IDENTITY, .factor = 1};
  const struct nnpoly_training training = {.depth = 1, .layers = &layer, .rule = NNPOLY_SGD};
  struct nnpoly_rates rates[N / BATCH];
  static float w[MEMBERS][P], g[MEMBERS][P], losses[MEMBERS][N / BATCH];
  int64_t labels[N], order[N];
  for (int64_t i = 0; i < N; i++) labels[i] = i, order[i] = i;
  for (int t = 0; t < N / BATCH; t++)
    rates[t] = (struct nnpoly_rates){.learning_rate = 0.1, .weight_m = 1, .unbias_s = 1};
  nnpoly_plan *plans[MEMBERS];
  struct nnpoly_state states[MEMBERS];
  struct nnpoly_epoch epochs[MEMBERS];
  memset(w, 0, sizeof w);
  for (int i = 0; i < MEMBERS; i++) {
    plans[i] = nnpoly_plan_new(&training);
    states[i] = (struct nnpoly_state){.w = w[i], .g = g[i]};
    epochs[i] =
        (struct nnpoly_epoch){x, labels, NULL, NULL, N, order, N, N, BATCH, 1, rates, losses[i], 0};
  }
  require(nnpoly_train(plans, states, epochs, MEMBERS, INT64_MAX / 2) == 0, "nnpoly_train");
  for (int i = 0; i < MEMBERS; i++) {
    require(epochs[i].done == N / BATCH, "a member is not done");
    require(memcmp(w[i], w[0], sizeof w[i]) == 0, "members differ");
    nnpoly_plan_free(plans[i]);
  }
}

static void *compute(void *argument) {
  (void)argument;
  for (int i = 0; i < ROUNDS; i++) require(right(), "a thread computes something else");
  return NULL;
}

static void test_threads(void) {
  pthread_t callers[CALLERS];
  for (int i = 0; i < CALLERS; i++)
    require(pthread_create(&callers[i], NULL, compute, NULL) == 0, "pthread_create");
  for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
}

static void test_fork(void) {
  const pid_t child = fork();
  if (child == 0) {
    const int no_workers = nnpoly_workers() == 0, same = right(), some = nnpoly_workers() > 0;
    _exit(no_workers && same && some ? 0 : 1);
  }
  int status = -1;
  require(child > 0 && waitpid(child, &status, 0) == child, "fork");
  require(status == 0, "the child computes something else");
  require(right(), "the parent computes something else");
}

/* A job that counts its parts. Some are slow, so that who waits for them goes to sleep. */
enum { MOST_PARTS = 40 };

struct counted {
  atomic_int calls[MOST_PARTS];
  void *scratch[MOST_PARTS];
  size_t bytes;
  int slow; /* every so many parts; or 0 */
};

static void sleep_ms(int ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

static void count_part(const void *argument, int index, int parts, void *scratch) {
  struct counted *job = *(struct counted *const *)argument;
  (void)parts;
  if (job->slow > 0 && index % job->slow == 0) sleep_ms(3);
  memset(scratch, index, job->bytes);
  for (size_t i = 0; i < job->bytes; i++)
    require(((char *)scratch)[i] == index, "two parts write into one scratch");
  job->scratch[index] = scratch;
  atomic_fetch_add(&job->calls[index], 1);
}

static int run_counted(struct counted *job, int parts) {
  for (int i = 0; i < MOST_PARTS; i++) {
    atomic_store(&job->calls[i], 0);
    job->scratch[i] = NULL;
  }
  return nnpoly_run(count_part, &job, parts, job->bytes);
}

/* Every part is done once, when nnpoly_run returns, whatever the tree's shape and who sleeps. */
static void test_parts(int slow, int idle_ms) {
  static struct counted job;
  job.slow = slow;
  for (int parts = 1; parts <= MOST_PARTS; parts += parts < 22 ? 1 : 6) {
    job.bytes = (size_t)(parts * 700); /* more, the more parts: and less after the last */
    if (idle_ms > 0) sleep_ms(idle_ms);
    require(run_counted(&job, parts) == NNPOLY_OK, "nnpoly_run");
    for (int i = 0; i < MOST_PARTS; i++) {
      require(atomic_load(&job.calls[i]) == (i < parts), "a part is not done once");
      if (i >= parts) continue;
      require((uintptr_t)job.scratch[i] % 4096 == 0, "scratch is not aligned to a page");
      for (int k = 0; k < i; k++)
        require(job.scratch[k] != job.scratch[i], "two threads have one scratch");
    }
  }
}

static void test_no_memory(void) {
  static struct counted job;
  job.bytes = SIZE_MAX / 4;
  require(run_counted(&job, 5) == NNPOLY_NO_MEMORY, "more memory than there is");
  for (int i = 0; i < MOST_PARTS; i++)
    require(atomic_load(&job.calls[i]) == 0, "a part without its scratch");
}

static atomic_int ready, done;

static void *compute_little(void *argument) {
  float f[4];
  (void)argument;
  for (int round = 0; !atomic_load(&done); round++) {
    nnpoly_softmax(NNPOLY_FLOAT32, x, f, 1, 4);
    if (round == 0) atomic_fetch_add(&ready, 1);
  }
  return NULL;
}

/* Children that are made while threads hold the core's locks, before there is any worker. */
static void test_early_forks(void) {
  enum { CHILDREN = 200 };
  pthread_t callers[CALLERS];
  float f[4];
  for (int i = 0; i < CALLERS; i++)
    require(pthread_create(&callers[i], NULL, compute_little, NULL) == 0, "pthread_create");
  /* From now on they allocate nothing: the sanitizer's allocator does not open its locks either. */
  while (atomic_load(&ready) < CALLERS) sched_yield();
  for (int i = 0; i < CHILDREN; i++) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      _exit(nnpoly_softmax(NNPOLY_FLOAT32, x, f, 1, 4));
    }
    int status = -1;
    require(child > 0 && waitpid(child, &status, 0) == child, "fork");
    require(status == 0, "a child finds a lock that nobody will open");
  }
  atomic_store(&done, 1);
  for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
}

/* The thread sanitizer does not follow a child that starts threads. */
#if defined(__SANITIZE_THREAD__)
enum { FORKS = 0 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { FORKS = 0 };
#else
enum { FORKS = 1 };
#endif
#else
enum { FORKS = 1 };
#endif

int main(void) {
  for (int i = 0; i < N * M; i++)
    x[i] = (float)(i % 17) / 17, W[i % (M * M)] = (float)(i % 13) / 99;
  require(nnpoly_num_threads() == 1 && nnpoly_workers() == 0, "a worker before its time");
  nnpoly_dense(NNPOLY_FLOAT32, x, W, b, NULL, expected, N, M, M, NNPOLY_TANH, 0);
  if (FORKS) test_early_forks();
  require(nnpoly_workers() == 0, "a worker, though one thread is wanted");
  require(nnpoly_set_num_threads(0) == NNPOLY_RANGE, "no thread at all");
  require(nnpoly_set_num_threads(1000) == NNPOLY_RANGE, "too many threads");
  const int counts[] = {16, 7, 4, 3, 2}; /* some more than there are processors */
  for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
    const int threads = counts[i];
    require(nnpoly_set_num_threads(threads) == NNPOLY_OK, "set_num_threads");
    require(right(), "several threads compute something else");
    test_threads();
    test_training();
    if (FORKS) test_fork();
  }
  require(nnpoly_workers() > 0, "no worker");
  test_parts(0, 0);
  test_no_memory();
  test_parts(5, 0);
  test_parts(0, 1);
  require(nnpoly_workers() == MOST_PARTS - 1, "a worker for each part but the caller's");
  return 0;
}
