/* The processor: which ISAs it runs, which one is in use, and its floating-point control. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <string.h>

#include "core.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

struct isa {
  const char *name;
  int (*runs)(void);
  const struct kernels *kernels[3]; /* by dtype */
};

static int always(void) { return 1; }

/* __builtin_cpu_supports looks at the feature bits and, for the wide registers, at XCR0: whether
 * the operating system saves them. */
#if defined(__x86_64__)
static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("fma");
}

static int has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

/* Best first. */
static const struct isa ISAS[] = {
#if defined(__x86_64__)
    {"avx512", has_avx512, {&nnpoly_avx512_f32, &nnpoly_avx512_f64, &nnpoly_avx512_bf16}},
    {"avx2", has_avx2, {&nnpoly_avx2_f32, &nnpoly_avx2_f64, &nnpoly_avx2_bf16}},
    {"baseline", always, {&nnpoly_baseline_f32, &nnpoly_baseline_f64, &nnpoly_baseline_bf16}},
#elif defined(__aarch64__)
    {"neon", always, {&nnpoly_neon_f32, &nnpoly_neon_f64, &nnpoly_neon_bf16}},
#else
    {"baseline", always, {&nnpoly_baseline_f32, &nnpoly_baseline_f64, &nnpoly_baseline_bf16}},
#endif
};
enum { COUNT = sizeof ISAS / sizeof ISAS[0] };

static _Atomic(const struct isa *) in_use;

static const struct isa *best(void) {
  const struct isa *isa = ISAS;
  while (!isa->runs()) isa++; /* the last one always does */
  return isa;
}

static const struct isa *current(void) {
  const struct isa *isa = atomic_load_explicit(&in_use, memory_order_acquire);
  if (isa == NULL) {
    isa = best();
    atomic_store_explicit(&in_use, isa, memory_order_release);
  }
  return isa;
}

static const struct isa *find(const char *name) {
  for (int i = 0; name != NULL && i < COUNT; i++)
    if (strcmp(ISAS[i].name, name) == 0) return &ISAS[i];
  return NULL;
}

#if defined(__x86_64__)
static int has_dots(void) {
  unsigned a, b, c, d;
  return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

/* Linux lets a process use the tiles' registers once it has asked. */
static int may_use_tiles(void) {
#if defined(__linux__)
  enum { REQUEST = 0x1023, TILE_DATA = 18 };
  return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
  return 0;
#endif
}

static int has_tiles(void) {
  unsigned a, b, c, d;
  return has_dots() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) && (d >> 24 & 1) &&
         may_use_tiles();
}
#endif

/* How the first of ISAS multiplies BFLOAT16's pairs; best first. Dot products do twice the work of
 * multiply-adds on AMD's processors, and half of it on some of Intel's; the bits are the same, so
 * that whichever is faster may be taken. */
static const struct pairs {
  const char *name;
  int (*runs)(void);
  int (*pays)(void);
  const struct kernels *kernels;
} PAIRS[] = {
#if defined(__x86_64__)
    {"amx", has_tiles, always, &nnpoly_amx_bf16},
    {"avx512_bf16", has_dots, nnpoly_dots_pay, &nnpoly_dot_bf16},
    {"fma", always, always, &nnpoly_avx512_bf16},
#elif defined(__aarch64__)
    {"fma", always, always, &nnpoly_neon_bf16},
#else
    {"fma", always, always, &nnpoly_baseline_bf16},
#endif
};
enum { WAYS = sizeof PAIRS / sizeof PAIRS[0] };

static _Atomic(const struct pairs *) pairs_in_use;

static const struct pairs *current_pairs(void) {
  const struct pairs *pairs = atomic_load_explicit(&pairs_in_use, memory_order_acquire);
  if (pairs == NULL) {
    pairs = PAIRS;
    while (!pairs->runs() || !pairs->pays()) pairs++; /* the last one always does */
    atomic_store_explicit(&pairs_in_use, pairs, memory_order_release);
  }
  return pairs;
}

static const struct pairs *find_pairs(const char *name) {
  for (int i = 0; name != NULL && i < WAYS; i++)
    if (strcmp(PAIRS[i].name, name) == 0) return &PAIRS[i];
  return NULL;
}

const char *nnpoly_pairs(void) { return current() == ISAS ? current_pairs()->name : "fma"; }

const char *nnpoly_pairs_name(int index) {
  return index >= 0 && index < WAYS ? PAIRS[index].name : NULL;
}

int nnpoly_pairs_run(const char *name) {
  const struct pairs *pairs = find_pairs(name);
  return pairs != NULL && pairs->runs();
}

int nnpoly_set_pairs(const char *name) {
  const struct pairs *pairs = find_pairs(name);
  if (pairs == NULL || !pairs->runs()) return NNPOLY_NO_ISA;
  atomic_store_explicit(&pairs_in_use, pairs, memory_order_release);
  return NNPOLY_OK;
}

const struct kernels *nnpoly_kernels(int dtype) {
  if (dtype == NNPOLY_BFLOAT16 && current() == ISAS) return current_pairs()->kernels;
  return current()->kernels[dtype];
}

const char *nnpoly_isa(void) { return current()->name; }

const char *nnpoly_isa_name(int index) {
  return index >= 0 && index < COUNT ? ISAS[index].name : NULL;
}

int nnpoly_isa_runs(const char *name) {
  const struct isa *isa = find(name);
  return isa != NULL && isa->runs();
}

int nnpoly_set_isa(const char *name) {
  const struct isa *isa = find(name);
  if (isa == NULL || !isa->runs()) return NNPOLY_NO_ISA;
  atomic_store_explicit(&in_use, isa, memory_order_release);
  return NNPOLY_OK;
}

const char *nnpoly_compiler(void) {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

enum { LEVELS = 2 };

/* Of a processor that does not say. */
static const struct cache COMMON[LEVELS] = {{4096, 8}, {131072, 8}};

/* Intel describes its caches in leaf 4, AMD in a leaf of its own with the same fields. */
static struct cache described(int level) {
#if defined(__x86_64__)
  static const unsigned leaves[] = {4, 0x8000001d};
  for (int l = 0; l < 2; l++) {
    unsigned a, b, c, d;
    for (unsigned i = 0; __get_cpuid_count(leaves[l], i, &a, &b, &c, &d) && (a & 31) != 0; i++) {
      const unsigned kind = a & 31; /* data, instructions, both */
      if (kind == 2 || (int)(a >> 5 & 7) != level) continue;
      const int64_t line = (b & 0xfff) + 1, partitions = (b >> 12 & 0x3ff) + 1,
                    sets = (int64_t)c + 1;
      return (struct cache){line * partitions * sets, (int)(b >> 22) + 1};
    }
  }
#endif
  return COMMON[level - 1];
}

struct cache nnpoly_cache(int level) {
  static _Atomic(int64_t) way_bytes[LEVELS];
  static _Atomic(int) ways[LEVELS]; /* written first */
  const int l = level - 1;
  int64_t known = atomic_load_explicit(&way_bytes[l], memory_order_acquire);
  if (known == 0) {
    const struct cache found = described(level);
    atomic_store_explicit(&ways[l], found.ways, memory_order_relaxed);
    atomic_store_explicit(&way_bytes[l], known = found.way_bytes, memory_order_release);
  }
  return (struct cache){known, atomic_load_explicit(&ways[l], memory_order_relaxed)};
}

uint64_t nnpoly_flush_denormals(void) {
#if defined(__x86_64__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040u); /* flush to zero, denormals are zero */
  return before;
#elif defined(__aarch64__)
  uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" ::"r"(before | (UINT64_C(1) << 24))); /* flush to zero */
  return before;
#else
  return 0;
#endif
}

uint64_t nnpoly_keep_denormals(void) {
#if defined(__x86_64__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before & ~0x8040u);
  return before;
#elif defined(__aarch64__)
  uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" ::"r"(before & ~(UINT64_C(1) << 24)));
  return before;
#else
  return 0;
#endif
}

void nnpoly_restore_denormals(uint64_t before) {
#if defined(__x86_64__)
  _mm_setcsr((unsigned)before);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" ::"r"(before));
#else
  (void)before;
#endif
}
