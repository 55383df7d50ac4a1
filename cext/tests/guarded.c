#define _GNU_SOURCE
#include "guarded.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST = 64 };

/* A guard page, the pages that hold the array, a guard page. */
struct mapping {
  char *base;
  size_t inner; /* bytes between the guard pages */
};

static struct mapping mappings[MOST];
static int count;

static size_t page(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static void require(int condition, const char *what) {
  if (!condition) {
    perror(what);
    exit(2);
  }
}

void *guarded(size_t bytes, enum side side) {
  require(count < MOST, "guarded: too many arrays");
  const size_t inner = (bytes + page() - 1) / page() * page() + (bytes == 0 ? page() : 0);
  char *base =
      mmap(NULL, inner + 2 * page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(base != MAP_FAILED, "mmap");
  require(mprotect(base, page(), PROT_NONE) == 0, "mprotect");
  require(mprotect(base + page() + inner, page(), PROT_NONE) == 0, "mprotect");
  mappings[count++] = (struct mapping){base, inner};
  return side == AT_START ? base + page() : base + page() + inner - bytes;
}

void guarded_read_only(void *array) {
  for (int i = 0; i < count; i++) {
    char *inner = mappings[i].base + page();
    if ((char *)array >= inner && (char *)array <= inner + mappings[i].inner)
      require(mprotect(inner, mappings[i].inner, PROT_READ) == 0, "mprotect");
  }
}

void guarded_free_all(void) {
  while (count > 0) {
    count--;
    munmap(mappings[count].base, mappings[count].inner + 2 * page());
  }
}
