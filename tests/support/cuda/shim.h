// Lets a C++ compiler build CUDA kernels for the host: what of CUDA's language our kernels use.
//
// The threads of a block are fibers on one thread of the host, so that barriers and shuffles are
// what they are on a device: a fiber that waits hands over to the next. A kernel that never waits
// runs on a single fiber. Blocks run one after another. Shared memory holds NaN bytes whenever a
// block begins. Threads that can never meet again are reported, where a device would hang.
//
// Not here: dynamic shared memory, textures, inline PTX, cooperative groups, masks other than full.
#pragma once
#include <link.h>
#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static thread_local  // one segment of memory that can be filled between blocks
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(16) double4 {
  double x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline double4 make_double4(double x, double y, double z, double w) { return {x, y, z, w}; }

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace shim {

constexpr size_t STACK = 256 * 1024;
constexpr unsigned THREADS = 1024;
enum Place : unsigned char { FRESH, RUNNING, AT_BLOCK, AT_WARP, DONE };
enum Order : int { FORWARD, REVERSED, SHUFFLED };
enum Fault : int { FINE, STUCK, NO_STACK };

struct Fiber {
  jmp_buf state;
};
struct Thread {
  Place place;
  unsigned fiber;
  unsigned turn;  // how many shuffles it has begun
};
struct Lane {
  unsigned long long value;
  unsigned turn;
};
struct Warp {
  Lane lanes[2][32];  // of this shuffle and the one before, which slower lanes still read
  unsigned live, waiting;
};

typedef void (*Body)(void **);
inline Fiber fibers[THREADS];
inline Thread threads[THREADS];
inline Warp warps[THREADS / 32];
inline unsigned made, idle, idle_fibers[THREADS], size, started, live, at_block, current;
inline jmp_buf scheduler;
inline ucontext_t home;
inline Body body;
inline void **arguments;
inline Order order;
inline thread_local volatile char touched;  // the first of the shared memory
inline volatile char *known;                // its address when `shared` was looked up
inline void *shared;
inline size_t shared_size;

// The i-th of n threads, or blocks, to run.
inline unsigned permuted(unsigned long long i, unsigned long long n) {
  if (order == REVERSED) return unsigned(n - 1 - i);
  if (order == FORWARD || n < 3) return unsigned(i);
  unsigned long long step = n / 2 + 1;  // coprime with n after a few tries
  auto gcd = [](unsigned long long a, unsigned long long b) {
    while (b) {
      unsigned long long rest = a % b;
      a = b, b = rest;
    }
    return a;
  };
  while (gcd(step, n) != 1) step++;
  return unsigned((i * step + n / 3) % n);
}

inline void become(unsigned thread) {
  current = thread;
  unsigned x = blockDim.x, y = blockDim.y;
  threadIdx = {thread % x, thread / x % y, thread / (x * y)};
}

inline void finish(unsigned thread) {
  threads[thread].place = DONE;
  warps[thread / 32].live--;
  live--;
}

// Run threads that have not begun, one after another, until one waits or none is left.
inline void work(unsigned fiber) {
  while (started < size) {
    unsigned thread = permuted(started++, size);
    threads[thread].place = RUNNING;
    threads[thread].fiber = fiber;
    become(thread);
    body(arguments);
    finish(thread);
  }
  idle_fibers[idle++] = fiber;
}

__attribute__((noinline)) inline void enter(unsigned fiber) {
  for (;;) {
    work(fiber);
    if (!_setjmp(fibers[fiber].state)) _longjmp(scheduler, 1);
  }
}

__attribute__((noinline)) inline void wait(Place place) {
  Thread &thread = threads[current];
  thread.place = place;
  if (!_setjmp(fibers[thread.fiber].state)) _longjmp(scheduler, 1);
}

// Let a fiber that waits for nothing begin threads.
__attribute__((noinline)) inline bool begin() {
  if (idle) {
    unsigned fiber = idle_fibers[--idle];
    if (!_setjmp(scheduler)) _longjmp(fibers[fiber].state, 1);
    return true;
  }
  void *stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) return false;
  mprotect(stack, 4096, PROT_NONE);  // an overflow is a fault, not another fiber's data
  static ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = STACK;
  context.uc_link = &home;
  makecontext(&context, reinterpret_cast<void (*)()>(enter), 1, made++);
  if (!_setjmp(scheduler)) swapcontext(&home, &context);
  return true;
}

__attribute__((noinline)) inline void resume(unsigned thread) {
  threads[thread].place = RUNNING;
  become(thread);
  if (!_setjmp(scheduler)) _longjmp(fibers[threads[thread].fiber].state, 1);
}

inline bool may_go_on(unsigned thread) {
  const Thread &t = threads[thread];
  if (t.place == AT_BLOCK) return at_block == live;
  return t.place == AT_WARP && warps[thread / 32].waiting == warps[thread / 32].live;
}

// Resume everybody whom one barrier held, in order; the barrier is open from now on.
inline bool release() {
  static bool ready[THREADS];
  bool any = false;
  for (unsigned thread = 0; thread < size; thread++) {
    ready[thread] = may_go_on(thread);
    any = any || ready[thread];
  }
  for (unsigned thread = 0; thread < size; thread++) {
    if (!ready[thread]) continue;
    if (threads[thread].place == AT_BLOCK)
      at_block--;
    else
      warps[thread / 32].waiting--;
  }
  for (unsigned i = 0; i < size; i++) {
    unsigned thread = permuted(i, size);
    if (ready[thread]) resume(thread);
  }
  return any;
}

inline int find_shared(dl_phdr_info *info, size_t, void *) {
  bool ours = false;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) &part = info->dlpi_phdr[i];
    size_t offset = reinterpret_cast<size_t>(&fibers) - info->dlpi_addr - part.p_vaddr;
    if (part.p_type == PT_LOAD && offset < part.p_memsz) ours = true;
    if (part.p_type == PT_TLS) shared_size = part.p_memsz;
  }
  if (ours) shared = info->dlpi_tls_data;
  return ours;
}

inline void spoil_shared() {
  touched = 1;  // the segment exists from the first use on
  if (known != &touched) dl_iterate_phdr(find_shared, nullptr);
  known = &touched;
  memset(shared, 0xFF, shared_size);
}

inline int run_block() {
  started = at_block = 0;
  live = size;
  for (unsigned thread = 0; thread < size; thread++) threads[thread] = {FRESH, 0, 0};
  for (unsigned warp = 0; warp < (size + 31) / 32; warp++) {
    memset(warps[warp].lanes, 0, sizeof warps[warp].lanes);
    unsigned rest = size - warp * 32;
    warps[warp].live = rest < 32 ? rest : 32;
    warps[warp].waiting = 0;
  }
  spoil_shared();
  while (started < size)
    if (!begin()) return NO_STACK;
  while (live)
    if (!release()) return STUCK;
  return FINE;
}

// geometry: gridDim, blockDim, the order.
inline int run(Body kernel, const long long *geometry, void **values) {
  gridDim = {unsigned(geometry[0]), unsigned(geometry[1]), unsigned(geometry[2])};
  blockDim = {unsigned(geometry[3]), unsigned(geometry[4]), unsigned(geometry[5])};
  order = Order(geometry[6]);
  body = kernel;
  arguments = values;
  size = blockDim.x * blockDim.y * blockDim.z;
  unsigned long long blocks = 1ull * gridDim.x * gridDim.y * gridDim.z;
  for (unsigned long long i = 0; i < blocks; i++) {
    unsigned block = permuted(i, blocks);
    blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y, block / gridDim.x / gridDim.y};
    if (int fault = run_block()) {
      made = idle = 0;  // the fibers that still wait are given up, with their stacks
      return fault;
    }
  }
  return FINE;
}

// Give `value` to the warp and return what lane `source` gave: NaN bytes if it gave none.
template <typename T>
__attribute__((noinline)) T exchange(T value, unsigned source) {
  static_assert(sizeof(T) <= 8);
  unsigned turn = ++threads[current].turn;
  Warp &warp = warps[current / 32];
  Lane *row = warp.lanes[turn % 2];
  memcpy(&row[current % 32].value, &value, sizeof value);
  row[current % 32].turn = turn;
  warp.waiting++;
  wait(AT_WARP);
  T result;
  memset(&result, 0xFF, sizeof result);
  if (row[source].turn == turn) memcpy(&result, &row[source].value, sizeof result);
  return result;
}

}  // namespace shim

__attribute__((noinline)) inline void __syncthreads() {
  shim::at_block++;
  shim::wait(shim::AT_BLOCK);
}
__attribute__((noinline)) inline void __syncwarp(unsigned = ~0u) {
  shim::warps[shim::current / 32].waiting++;
  shim::wait(shim::AT_WARP);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return shim::exchange(value, (shim::current % 32) ^ mask);
}
template <typename T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  unsigned lane = shim::current % 32;
  return shim::exchange(value, lane + delta < 32 ? lane + delta : lane);
}
template <typename T>
T __shfl_up_sync(unsigned, T value, unsigned delta) {
  unsigned lane = shim::current % 32;
  return shim::exchange(value, lane >= delta ? lane - delta : lane);
}
template <typename T>
T __shfl_sync(unsigned, T value, int source) {
  return shim::exchange(value, source & 31);
}

template <typename T, typename S>
T atomicAdd(T *address, S value) {
  T old = *address;
  *address = old + T(value);
  return old;
}
template <typename T, typename S>
T atomicMax(T *address, S value) {
  T old = *address;
  if (T(value) > old) *address = T(value);
  return old;
}
template <typename T, typename S>
T atomicExch(T *address, S value) {
  T old = *address;
  *address = T(value);
  return old;
}
template <typename T>
T atomicCAS(T *address, T expected, T value) {
  T old = *address;
  if (old == expected) *address = value;
  return old;
}
inline unsigned atomicInc(unsigned *address, unsigned limit) {
  unsigned old = *address;
  *address = old >= limit ? 0 : old + 1;
  return old;
}
inline void __threadfence() {}
inline void __threadfence_block() {}
template <typename T>
T __ldg(const T *address) {
  return *address;
}

template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
T max(T a, T b) {
  return a < b ? b : a;
}
inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
inline float normcdf(float x) { return float(normcdf(double(x))); }
inline float normcdff(float x) { return normcdf(x); }
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
#define __noinline__ __attribute__((noinline))
