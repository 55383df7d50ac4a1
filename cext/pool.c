/* The pool: threads that wait for parts of a job.
 *
 * Each worker has a mailbox. A job goes down a tree: the caller, who does part 0, puts it into the
 * mailboxes of the next FAN_OUT parts, each of whose workers passes it on to as many. Everyone then
 * does a part, and waits until the mailboxes that it filled are empty again. So up to FAN_OUT + 1
 * threads the caller looks after all, and among 64 nobody after more than FAN_OUT.
 *
 * Who waits looks at a mailbox again and again, after POLITE_NS lets others have the processor
 * between two looks, and in the end sleeps: a worker without a job after IDLE_NS, so that an idle
 * pool costs nothing, and who waits for a part in progress after BUSY_NS.
 *
 * One call at a time has the workers; a call that finds them taken does all parts itself. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core.h"

enum { MAX_WORKERS = 255, FAN_OUT = 4, PAUSES = 32, SPARE = 8 };
enum { POLITE_NS = 20000, IDLE_NS = 100000, BUSY_NS = 1000000 };

struct scratch {
  void *memory;
  size_t bytes;
};

struct worker {
  _Alignas(64) atomic_int full; /* while there is a job in this mailbox, or in progress */
  atomic_int asleep; /* how many wait for `wake`: the worker, and who filled the mailbox */
  part_function *part;
  const void *job;
  int index, parts;
  struct scratch scratch;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
};

static struct worker workers[MAX_WORKERS];
static atomic_int started;     /* workers[0..started-1] have a thread */
static atomic_int wanted = 1;  /* threads a call may use, the caller among them */
static struct scratch callers; /* of the thread that has the workers */
static pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER; /* held by the call that has them */

/* Scratch for calls that do not have the workers: a few are kept for the next. */
static struct scratch spare[SPARE];
static pthread_mutex_t spare_mutex = PTHREAD_MUTEX_INITIALIZER;

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int64_t nnpoly_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Have at least `bytes` bytes, or return 0 and keep what there was. */
static int reserve(struct scratch *scratch, size_t bytes) {
  if (bytes <= scratch->bytes) return 1;
  void *memory = NULL;
  if (posix_memalign(&memory, 4096, bytes) != 0) return 0;
  free(scratch->memory);
  *scratch = (struct scratch){memory, bytes};
  return 1;
}

/* Until there is a job, or it is done: look for so long, then sleep. */
static void wait_until(struct worker *worker, int full, int64_t patience_ns) {
  for (int64_t start = 0;;) {
    for (int i = 0; i < PAUSES; i++) {
      if (atomic_load_explicit(&worker->full, memory_order_acquire) == full) return;
      pause_briefly();
    }
    const int64_t now = nnpoly_now_ns();
    if (start == 0) start = now;
    if (now - start >= patience_ns) break;
    if (now - start >= POLITE_NS) sched_yield(); /* there may be more threads than processors */
  }
  pthread_mutex_lock(&worker->mutex);
  atomic_fetch_add(&worker->asleep, 1);
  while (atomic_load(&worker->full) != full) pthread_cond_wait(&worker->wake, &worker->mutex);
  atomic_fetch_sub(&worker->asleep, 1);
  pthread_mutex_unlock(&worker->mutex);
}

static void set(struct worker *worker, int full) {
  /* Sequentially consistent, like `asleep`, then `full` where one waits: one of the two sees. */
  atomic_store(&worker->full, full);
  if (atomic_load(&worker->asleep)) {
    pthread_mutex_lock(&worker->mutex);
    pthread_cond_broadcast(&worker->wake);
    pthread_mutex_unlock(&worker->mutex);
  }
}

/* Part `index`, with those below it in the tree. Part i is done by workers[i - 1]. */
static void run_with_workers(part_function *part, const void *job, int index, int parts,
                             void *scratch) {
  const int first = FAN_OUT * index + 1, end = (int)least(first + FAN_OUT, parts);
  for (int i = first; i < end; i++) {
    struct worker *below = &workers[i - 1];
    below->part = part;
    below->job = job;
    below->index = i;
    below->parts = parts;
    set(below, 1);
  }
  part(job, index, parts, scratch);
  for (int i = first; i < end; i++) wait_until(&workers[i - 1], 0, BUSY_NS);
}

static void *work(void *argument) {
  struct worker *self = argument;
  nnpoly_flush_denormals();
  for (;;) {
    wait_until(self, 1, IDLE_NS);
    run_with_workers(self->part, self->job, self->index, self->parts, self->scratch.memory);
    set(self, 0);
  }
  return NULL;
}

/* After fork the child has no workers; what they held is reused by those it starts. */
static void before_fork(void) {
  pthread_mutex_lock(&taken);
  pthread_mutex_lock(&spare_mutex);
}

static void after_fork_in_parent(void) {
  pthread_mutex_unlock(&spare_mutex);
  pthread_mutex_unlock(&taken);
}

static void after_fork_in_child(void) {
  atomic_store(&started, 0);
  pthread_mutex_init(&spare_mutex, NULL);
  pthread_mutex_init(&taken, NULL);
}

/* At load, so that a fork at any time finds the locks in a known state: before the first worker
 * too.
 */
__attribute__((constructor)) static void register_fork(void) {
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Start one more worker, with every signal left to the program's own threads. */
static int start(struct worker *worker) {
  sigset_t all, before;
  pthread_t thread;
  atomic_store(&worker->full, 0);
  atomic_store(&worker->asleep, 0);
  pthread_mutex_init(&worker->mutex, NULL);
  pthread_cond_init(&worker->wake, NULL);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(&thread, NULL, work, worker);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!failed) pthread_detach(thread);
  return !failed;
}

/* Have a worker for each part but the first, and scratch for all; return whether it is so. The
 * caller holds `taken`. A thread's scratch is left untouched: its pages lie in the memory that is
 * near to the processor from which they are first written. */
static int ready(int parts, size_t bytes) {
  for (int i = 0; i < parts - 1; i++) {
    if (!reserve(&workers[i].scratch, bytes)) return 0;
    if (i == atomic_load(&started)) {
      if (!start(&workers[i])) return 0;
      atomic_store(&started, i + 1);
    }
  }
  return reserve(&callers, bytes);
}

/* Take the spare scratch that is large enough, or else any, or an empty one. */
static struct scratch take_spare(size_t bytes) {
  struct scratch found = {NULL, 0};
  pthread_mutex_lock(&spare_mutex);
  for (int i = 0; i < SPARE && found.bytes < bytes; i++) {
    const struct scratch other = spare[i];
    if (other.bytes > found.bytes) {
      spare[i] = found;
      found = other;
    }
  }
  pthread_mutex_unlock(&spare_mutex);
  return found;
}

static void return_spare(struct scratch scratch) {
  pthread_mutex_lock(&spare_mutex);
  for (int i = 0; i < SPARE; i++) {
    if (spare[i].memory == NULL) {
      spare[i] = scratch;
      scratch.memory = NULL;
      break;
    }
  }
  pthread_mutex_unlock(&spare_mutex);
  free(scratch.memory);
}

static int run_alone(part_function *part, const void *job, int parts, size_t bytes) {
  struct scratch scratch = {NULL, 0};
  if (bytes > 0) {
    scratch = take_spare(bytes);
    if (!reserve(&scratch, bytes)) {
      return_spare(scratch);
      return NNPOLY_NO_MEMORY;
    }
  }
  for (int i = 0; i < parts; i++) part(job, i, parts, scratch.memory);
  if (bytes > 0) return_spare(scratch);
  return NNPOLY_OK;
}

int nnpoly_run(part_function *part, const void *job, int parts, size_t bytes) {
  const uint64_t before = nnpoly_flush_denormals();
  int status = NNPOLY_OK;
  if (parts > 1 && pthread_mutex_trylock(&taken) == 0) {
    const int helped = ready(parts, bytes);
    if (helped) run_with_workers(part, job, 0, parts, callers.memory);
    pthread_mutex_unlock(&taken);
    if (!helped) status = run_alone(part, job, parts, bytes);
  } else {
    status = run_alone(part, job, parts, bytes);
  }
  nnpoly_restore_denormals(before);
  return status;
}

/* These two are symbols of the shared library, so that tools such as threadpoolctl find them. */
#define EXPORTED __attribute__((visibility("default")))

EXPORTED int nnpoly_num_threads(void) {
  return atomic_load_explicit(&wanted, memory_order_relaxed);
}

EXPORTED int nnpoly_set_num_threads(int count) {
  if (count < 1 || count > MAX_WORKERS + 1) return NNPOLY_RANGE;
  atomic_store_explicit(&wanted, count, memory_order_relaxed);
  return NNPOLY_OK;
}

int nnpoly_workers(void) { return atomic_load(&started); }
