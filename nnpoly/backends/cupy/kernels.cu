// The CUDA kernels of the CuPy backend.
//
// NVRTC compiles this file once for REAL=float and once for REAL=double; it includes nothing. A
// kernel is `extern "C"`, and its parameters are pointers, `long long`, `double` or `bool`: what
// CuPy makes of arrays and of Python's int, float and bool. Every array is contiguous, row by row.
// Numbers that a caller gives as `double` are rounded to REAL, as NumPy rounds a Python float.
//
// Where a primitive's definition (nnpoly/primitives/definitions.py) has the formula, the kernel
// names it alone.
// No kernel's result depends on the order in which blocks or warps run: sums are taken in an order
// that the shapes fix, and there are no atomics.

using T = REAL;

constexpr int TILE = 16;  // products: a block computes TILE x TILE entries
constexpr int WARP = 32;
constexpr int LARGEST = 1024;  // threads of a block

__device__ long long first() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }
__device__ long long stride() { return gridDim.x * (long long)blockDim.x; }

// A number that is either in the call, or, in a captured step, at a place on the device.
__device__ T pick(double value, const T *place) { return place ? *place : T(value); }

// Activations, in the order of nnpoly/backends/codes.py; a is the parameter of those that have one.

enum Activation {
  STEP,
  IDENTITY,
  LINEAR,
  SIGMOID,
  TANH,
  RELU,
  LEAKY_RELU,
  ELU,
  SELU,
  SOFTPLUS,
  SILU,
  MISH,
  GELU,
  GELU_TANH,
  EXP
};

constexpr T FAR = 1e4;  // see activations.py
constexpr T SELU_ABOVE = 1.0507009873554805, SELU_BELOW = 1.7580993408473766;

__device__ T sigmoid(T z) {
  T small = exp(-fabs(z));  // never overflows
  return (z >= 0 ? T(1) : small) / (1 + small);
}

__device__ T floored(T z) { return z < -FAR ? -FAR : z; }
__device__ T within(T z, T limit) { return z > limit ? limit : z < -limit ? -limit : z; }
// GELUTanh's sqrt(2/pi) (z + 0.044715 z^3).
__device__ T cubic(T z) { return T(0.79788456080286536) * z * (1 + T(0.044715) * (z * z)); }

// Mish's factor of z: above / below, with small = exp(-|z|); and its slope.
struct Mish {
  T small, above, below;
};

__device__ Mish mish(T z) {
  T small = exp(-fabs(z));
  T above = z >= 0 ? 1 + 2 * small : small * (small + 2);
  return {small, above, above + (z >= 0 ? 2 * small * small : T(2))};
}

__device__ T mish_slope(T z) {
  Mish f = mish(z);
  T rise = 4 * (z >= 0 ? f.small * f.small : f.small) * (1 + f.small);
  return f.above / f.below + within(z, FAR) * (rise / (f.below * f.below));
}

__device__ T value(int code, T a, T z) {
  switch (code) {
    case STEP: return z >= 0 ? 1 : 0;
    case LINEAR: return a * z;
    case SIGMOID: return sigmoid(z);
    case TANH: return tanh(z);
    case RELU: return z <= 0 ? 0 : z;  // NaN passes
    case LEAKY_RELU: return z > 0 ? z : a * z;
    case ELU: return z > 0 ? z : a * expm1(z);
    case SELU: return z > 0 ? SELU_ABOVE * z : SELU_BELOW * expm1(z);
    case SOFTPLUS: return (z <= 0 ? 0 : z) + log1p(exp(-fabs(z)));
    case SILU: return floored(z) * sigmoid(z);
    case MISH: {
      Mish f = mish(z);
      return floored(z) * (f.above / f.below);
    }
    case EXP: return exp(z);
    case GELU: return floored(z) * normcdf(z);
    case GELU_TANH: return T(0.5) * floored(z) * (1 + tanh(cubic(within(z, 30))));
    default: return z;
  }
}

// sigma'; r is post for SIGMOID, TANH, RELU and EXP, else pre.
__device__ T slope(int code, T a, T r) {
  switch (code) {
    case STEP: return 0;
    case LINEAR: return a;
    case SIGMOID: return r * (1 - r);
    case TANH: return 1 - r * r;
    case RELU: return r > 0 ? 1 : 0;
    case LEAKY_RELU: return r > 0 ? T(1) : a;
    case ELU: return r > 0 ? T(1) : a * exp(r);
    case SELU: return r > 0 ? SELU_ABOVE : SELU_BELOW * exp(r);
    case SOFTPLUS: return sigmoid(r);
    case SILU: {
      T s = sigmoid(r);
      return s * (1 + within(r, FAR) * (1 - s));
    }
    case MISH: return mish_slope(r);
    case EXP: return r;
    case GELU: {
      T near = within(r, 40);
      return normcdf(r) + near * (T(0.39894228040143268) * exp(T(-0.5) * (near * near)));
    }
    case GELU_TANH: {
      T near = within(r, 30), t = tanh(cubic(near));
      T rise = T(0.79788456080286536) * (1 + T(3 * 0.044715) * (near * near));
      return T(0.5) * (1 + t) + T(0.5) * near * (1 - t * t) * rise;
    }
    default: return 1;
  }
}

// pre, post: (size).
extern "C" __global__ void activate(const T *pre, T *post, long long size, long long code,
                                    double a) {
  for (long long i = first(); i < size; i += stride()) post[i] = value(code, a, pre[i]);
}

// d_post *= sigma'. d_post, read: (size).
extern "C" __global__ void activation_delta(T *d_post, const T *read, long long size,
                                            long long code, double a) {
  for (long long i = first(); i < size; i += stride()) d_post[i] *= slope(code, a, read[i]);
}

// After a product: pre += b and post = sigma(pre). pre, post: (n, m), which may be one array; b:
// (m). A block's threads are x columns times y rows.
extern "C" __global__ void bias_activate(T *pre, const T *b, T *post, long long n, long long m,
                                         long long code, double a) {
  long long j = blockIdx.y * (long long)blockDim.x + threadIdx.x;
  if (j >= m) return;
  for (long long i = blockIdx.x * (long long)blockDim.y + threadIdx.y; i < n;
       i += gridDim.x * (long long)blockDim.y) {
    T z = pre[i * m + j] + b[j];
    pre[i * m + j] = z;
    post[i * m + j] = value(code, a, z);
  }
}

// sums: (parts, m), the sums of delta: (n, m) down its columns, each over a part of so many rows.
// Blocks of WARP columns times LARGEST / WARP rows: each thread sums every 32nd row of its part,
// then the first row's threads add those up.
extern "C" __global__ void __launch_bounds__(LARGEST)
    column_sums(const T *delta, T *sums, long long n, long long m, long long rows) {
  __shared__ T of_row[LARGEST / WARP][WARP + 1];
  long long j = blockIdx.x * (long long)WARP + threadIdx.x;
  long long begin = blockIdx.y * rows, end = begin + rows < n ? begin + rows : n;
  T sum = 0;
  if (j < m)
    for (long long i = begin + threadIdx.y; i < end; i += blockDim.y) sum += delta[i * m + j];
  of_row[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || j >= m) return;
  for (int y = 1; y < (int)blockDim.y; y++) sum += of_row[y][threadIdx.x];
  sums[blockIdx.y * m + j] = sum;
}

// Products of small matrices, each with bias, activation or slope in the same launch. Blocks have
// TILE x TILE threads, and each thread has one entry: its row and column are these.

__device__ long long tile_row() { return blockIdx.x * (long long)TILE + threadIdx.y; }
__device__ long long tile_column() { return blockIdx.y * (long long)TILE + threadIdx.x; }

// The thread's entry of A B, its terms in order. A(i, k) and B(k, j) read an entry; those beyond
// the edges count as 0. `by_row` says along which index the matrix lies in memory, so that a warp
// reads runs. The next tile is read while this one is multiplied.
template <class A, class B>
__device__ T product(A a, bool a_by_row, B b, bool b_by_row, long long rows, long long columns,
                     long long terms) {
  __shared__ T left[TILE][TILE + 1], right[TILE][TILE + 1];  // left[i][k], right[k][j]
  int x = threadIdx.x, y = threadIdx.y;
  int ai = a_by_row ? y : x, ak = a_by_row ? x : y, bk = b_by_row ? y : x, bj = b_by_row ? x : y;
  long long top = blockIdx.x * (long long)TILE, edge = blockIdx.y * (long long)TILE;
  auto of_a = [&](long long k) {
    return top + ai < rows && k + ak < terms ? a(top + ai, k + ak) : T(0);
  };
  auto of_b = [&](long long k) {
    return k + bk < terms && edge + bj < columns ? b(k + bk, edge + bj) : T(0);
  };
  T next_a = of_a(0), next_b = of_b(0), sum = 0;
  for (long long k = 0; k < terms; k += TILE) {
    left[ai][ak] = next_a;
    right[bk][bj] = next_b;
    __syncthreads();
    next_a = of_a(k + TILE);
    next_b = of_b(k + TILE);
    for (int t = 0; t < TILE; t++) sum += left[y][t] * right[t][x];
    __syncthreads();
  }
  return sum;
}

// pre = x W^T + b; post = sigma(pre). x: (n, m_in); W: (m, m_in); b: (m); post: (n, m); pre: (n, m)
// or null.
extern "C" __global__ void dense(const T *x, const T *W, const T *b, T *pre, T *post, long long n,
                                 long long m_in, long long m, long long code, double a) {
  auto of_x = [=](long long i, long long k) { return x[i * m_in + k]; };
  auto of_W = [=](long long k, long long j) { return W[j * m_in + k]; };
  T z = product(of_x, true, of_W, false, n, m, m_in);
  long long i = tile_row(), j = tile_column();
  if (i >= n || j >= m) return;
  z += b[j];
  if (pre) pre[i * m + j] = z;
  post[i * m + j] = value(code, a, z);
}

// below = (delta W) * sigma'. delta: (n, m_next); W: (m_next, m); below, read: (n, m), read null
// where the slope reads nothing.
extern "C" __global__ void dense_delta(const T *delta, const T *W, const T *read, T *below,
                                       long long n, long long m_next, long long m, long long code,
                                       double a) {
  auto of_delta = [=](long long i, long long k) { return delta[i * m_next + k]; };
  auto of_W = [=](long long k, long long j) { return W[k * m + j]; };
  T d_post = product(of_delta, true, of_W, true, n, m, m_next);
  long long i = tile_row(), j = tile_column();
  if (i >= n || j >= m) return;
  below[i * m + j] = d_post * slope(code, a, read ? read[i * m + j] : T(0));
}

// dW = delta^T x, and db as dW's column of an input that is always 1. delta: (n, m); x: (n, m_in);
// dW: (m, m_in); db: (m).
extern "C" __global__ void dense_gradients(const T *delta, const T *x, T *dW, T *db, long long n,
                                           long long m_in, long long m) {
  auto of_delta = [=](long long i, long long k) { return delta[k * m + i]; };
  auto of_x = [=](long long k, long long j) { return j < m_in ? x[k * m_in + j] : T(1); };
  T sum = product(of_delta, false, of_x, true, m, m_in + 1, n);
  long long i = tile_row(), j = tile_column();
  if (i >= m || j > m_in) return;
  if (j < m_in)
    dW[i * m_in + j] = sum;
  else
    db[i] = sum;
}

// Sums over a block, or over the lanes that share a row

struct Sum {
  __device__ T operator()(T p, T q) const { return p + q; }
};
struct Max {
  __device__ T operator()(T p, T q) const { return q > p || q != q ? q : p; }
};  // NaN wins

// The result over `lanes` neighbours of a warp, a power of two; each of them gets it.
template <class Operation>
__device__ T across(T v, int lanes, Operation combine) {
  for (int apart = lanes / 2; apart; apart /= 2)
    v = combine(v, __shfl_xor_sync(0xffffffff, v, apart));
  return v;
}

// The sum over all threads of a block, whose number is a multiple of WARP; thread 0 gets it.
__device__ T over_block(T v) {
  __shared__ T of_warp[LARGEST / WARP];
  int warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
  v = across(v, WARP, Sum());
  if (lane == 0) of_warp[threadIdx.x / WARP] = v;
  __syncthreads();
  v = lane < warps ? of_warp[lane] : 0;
  __syncthreads();  // of_warp may be written again
  return across(v, WARP, Sum());
}

// Write a block's part of a sum to parts[blockIdx.x].
__device__ void leave(T part, T *parts) {
  part = over_block(part);
  if (threadIdx.x == 0) parts[blockIdx.x] = part;
}

// loss: (1), the sum of parts: (count), by one block.
extern "C" __global__ void __launch_bounds__(LARGEST)
    total(const T *parts, T *loss, long long count) {
  T sum = 0;
  for (long long i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
  sum = over_block(sum);
  if (threadIdx.x == 0) *loss = sum;
}

// Outputs and losses. Each block of a loss leaves its part of the mean in parts[blockIdx.x];
// `total` adds them up where there are several. s: (n), the samples' weights, or null for ones.

// A row's highest score z, and the sum of exp(z - top), by `lanes` threads. Those that have no row,
// for which K is 0, still take part in the shuffles.
struct Exponentials {
  T top, sum;
  __device__ Exponentials(const T *z, long long K, long long lane, long long lanes)
      : top(K ? z[0] : 0), sum(0) {
    for (long long k = lane; k < K; k += lanes) top = Max()(top, z[k]);
    top = across(top, lanes, Max());
    for (long long k = lane; k < K; k += lanes) sum += exp(z[k] - top);
    sum = across(sum, lanes, Sum());
  }
};

// f: (n, K). `lanes` threads, a power of two up to WARP, have a row.
extern "C" __global__ void softmax(const T *scores, T *f, long long n, long long K,
                                   long long lanes) {
  long long row = first() / lanes, lane = threadIdx.x % lanes;
  long long stop = row < n ? K : 0;
  const T *z = scores + row * K;
  Exponentials exps(z, stop, lane, lanes);
  for (long long k = lane; k < stop; k += lanes) f[row * K + k] = exp(z[k] - exps.top) / exps.sum;
}

// labels: (n) class indices, or null and y: (n, K) rows. Rows go to `lanes` threads as in softmax,
// several in turn.
extern "C" __global__ void __launch_bounds__(LARGEST)
    cross_entropy(const T *scores, const long long *labels, const T *y, const T *s, T *delta,
                  T *parts, long long n, long long K, long long lanes) {
  long long lane = threadIdx.x % lanes, rows = stride() / lanes;
  T part = 0;
  for (long long begin = 0; begin < n; begin += rows) {
    long long row = begin + first() / lanes, stop = row < n ? K : 0;
    const T *z = scores + row * K;
    Exponentials exps(z, stop, lane, lanes);
    T log_sum = log(exps.sum), weight = (stop && s ? s[row] : T(1)) / n;
    for (long long k = lane; k < stop; k += lanes) {
      T target = labels ? T(labels[row] == k) : y[row * K + k];
      T shifted = z[k] - exps.top;
      if (!labels || target) part += weight * (target * (log_sum - shifted));
      delta[row * K + k] = weight * (exp(shifted) / exps.sum - target);
    }
  }
  leave(part, parts);
}

// In the order of nnpoly/backends/codes.py; a is the parameter of those that have one.
enum Loss { CROSS_ENTROPY, LOGISTIC, SQUARED_ERROR, ABSOLUTE, HUBER, QUANTILE, POISSON };

__device__ T by_side(T r, T above, T below) {  // r itself where it is 0 or NaN
  return r > 0 ? above : r < 0 ? -below : r;
}

// The loss of one element; its derivative by z goes to `slope`.
__device__ T loss_of(long long kind, T z, T y, T a, T &slope) {
  T r = z - y;
  switch (kind) {
    case LOGISTIC: slope = sigmoid(z) - y; return (z > 0 ? z : 0) - z * y + log1p(exp(-fabs(z)));
    case ABSOLUTE: slope = by_side(r, 1, 1); return fabs(r);
    case HUBER: slope = fabs(r) > a ? by_side(r, a, a) : r; return slope * (r - slope / 2);
    case QUANTILE: slope = by_side(r, 1 - a, a); return slope * r;
    case POISSON: slope = exp(z) - y; return slope - y * (z - (y > 0 ? log(y) : 0));
    default: slope = r; return r * r / 2;
  }
}

extern "C" __global__ void __launch_bounds__(LARGEST)
    element_loss(const T *scores, const T *y, const T *s, T *delta, T *parts, long long n,
                 long long K, long long kind, double a) {
  T part = 0;
  for (long long i = first(); i < n * K; i += stride()) {
    T slope, weight = (s ? s[i / K] : T(1)) / n;
    part += weight * loss_of(kind, scores[i], y[i], a, slope);
    delta[i] = weight * slope;
  }
  leave(part, parts);
}

// Data

// out[i] = x[indices[i]]. x: (N, m); indices: (n); out: (n, m). Threads as in bias_activate.
extern "C" __global__ void gather(const T *x, const long long *indices, T *out, long long n,
                                  long long m) {
  long long j = blockIdx.y * (long long)blockDim.x + threadIdx.x;
  if (j >= m) return;
  for (long long i = blockIdx.x * (long long)blockDim.y + threadIdx.y; i < n;
       i += gridDim.x * (long long)blockDim.y)
    out[i * m + j] = x[indices[i] * m + j];
}

__device__ unsigned mix(unsigned h) {  // primitives._mix
  h ^= h >> 16;
  h *= 0x7FEB352Du;
  h ^= h >> 15;
  h *= 0x846CA68Bu;
  return h ^ h >> 16;
}

// scale: (n, m). rate: at `rate_at`, or null for `rate`; key: at `place`, or null for `value`. An
// element is dropped where its 24 bits are below the rate.
extern "C" __global__ void dropout_scale(T *scale, long long n, long long m, double rate,
                                         const T *rate_at, long long path, long long value,
                                         const int *place) {
  if (rate_at) rate = *rate_at;
  unsigned key = place ? *place : value, threshold = rate * 0x1000000;
  double factor = 1 / (1 - rate);
  for (long long i = first(); i < n * m; i += stride()) {
    unsigned row = mix(mix(mix(i / m) ^ (unsigned)path) ^ key);
    unsigned bits = mix(row + mix(i % m + 1));
    scale[i] = (bits & 0xFFFFFF) >= threshold ? T(factor) : T(0);
  }
}

// Optimisers: w, g and moments are (size); `..._at` see `pick`.

// parts[blockIdx.x]: a block's part of ||g||^2.
extern "C" __global__ void squares(const T *g, T *parts, long long size) {
  T sum = 0;
  for (long long i = first(); i < size; i += stride()) sum += g[i] * g[i];
  leave(sum, parts);
}

// clipped = g * min(1, limit / ||g||). squared: (1), ||g||^2.
extern "C" __global__ void clip(const T *g, const T *squared, T *clipped, long long size,
                                double limit) {
  T norm = sqrt(*squared), bound = limit, factor = bound / (norm > bound ? norm : bound);
  for (long long i = first(); i < size; i += stride()) clipped[i] = g[i] * factor;
}

// The root that a step is divided by.
__device__ T root(T s, T eps, bool inside) { return inside ? sqrt(s + eps) : sqrt(s) + eps; }

// summed = g + weight_decay w, the gradient with that of an L2 penalty.
extern "C" __global__ void penalised(const T *g, const T *w, T *summed, long long size,
                                     double weight_decay, const T *weight_decay_at) {
  T share = pick(weight_decay, weight_decay_at);
  for (long long i = first(); i < size; i += stride()) summed[i] = g[i] + share * w[i];
}

extern "C" __global__ void decayed(T *w, long long size, double eta, const T *eta_at,
                                   double weight_decay, const T *weight_decay_at) {
  T factor = 1 - pick(eta, eta_at) * pick(weight_decay, weight_decay_at);
  for (long long i = first(); i < size; i += stride()) w[i] *= factor;
}

extern "C" __global__ void averaged(T *average, const T *w, long long size, double decay) {
  T keep = decay, take = 1 - decay;
  for (long long i = first(); i < size; i += stride()) average[i] = keep * average[i] + take * w[i];
}

extern "C" __global__ void sgd(T *w, const T *g, long long size, double eta, const T *eta_at) {
  T rate = pick(eta, eta_at);
  for (long long i = first(); i < size; i += stride()) w[i] -= rate * g[i];
}

extern "C" __global__ void momentum(T *w, const T *g, T *v, long long size, double eta,
                                    const T *eta_at, double mu, bool nesterov) {
  T rate = pick(eta, eta_at), decay = mu;
  for (long long i = first(); i < size; i += stride()) {
    T moved = decay * v[i] + g[i];
    v[i] = moved;
    w[i] -= rate * (nesterov ? g[i] + decay * moved : moved);
  }
}

extern "C" __global__ void adagrad(T *w, const T *g, T *s, long long size, double eta,
                                   const T *eta_at, double eps, bool inside) {
  T rate = pick(eta, eta_at);
  for (long long i = first(); i < size; i += stride()) {
    s[i] += g[i] * g[i];
    w[i] -= rate * g[i] / root(s[i], eps, inside);
  }
}

extern "C" __global__ void rmsprop(T *w, const T *g, T *s, long long size, double eta,
                                   const T *eta_at, double beta, double eps, bool inside) {
  T rate = pick(eta, eta_at), keep = beta, take = 1 - beta;
  for (long long i = first(); i < size; i += stride()) {
    s[i] = keep * s[i] + take * (g[i] * g[i]);
    w[i] -= rate * g[i] / root(s[i], eps, inside);
  }
}

// Adam and its relatives move the two moments alike, and divide by the root of s, or of its peak.
struct Moments {
  T keep1, take1, keep2, take2;
  __device__ Moments(double beta1, double beta2)
      : keep1(beta1), take1(1 - beta1), keep2(beta2), take2(1 - beta2) {}
  __device__ void move(T g, T &m, T &s) const {
    m = keep1 * m + take1 * g;
    s = keep2 * s + take2 * (g * g);
  }
};

extern "C" __global__ void adam(T *w, const T *g, T *m, T *s, long long size, double eta,
                                const T *eta_at, double beta1, double beta2, double unbias_m,
                                const T *unbias_m_at, double unbias_s, const T *unbias_s_at,
                                double eps, bool inside) {
  T rate = pick(eta, eta_at), of_m = pick(unbias_m, unbias_m_at),
    of_s = pick(unbias_s, unbias_s_at);
  Moments moments(beta1, beta2);
  for (long long i = first(); i < size; i += stride()) {
    moments.move(g[i], m[i], s[i]);
    w[i] -= rate * (m[i] * of_m) / root(s[i] * of_s, eps, inside);
  }
}

extern "C" __global__ void nadam(T *w, const T *g, T *m, T *s, long long size, double eta,
                                 const T *eta_at, double beta1, double beta2, double weight_m,
                                 const T *weight_m_at, double weight_g, const T *weight_g_at,
                                 double unbias_s, const T *unbias_s_at, double eps, bool inside) {
  T rate = pick(eta, eta_at), of_s = pick(unbias_s, unbias_s_at);
  T of_m = pick(weight_m, weight_m_at), of_g = pick(weight_g, weight_g_at);
  Moments moments(beta1, beta2);
  for (long long i = first(); i < size; i += stride()) {
    moments.move(g[i], m[i], s[i]);
    w[i] -= rate * (of_m * m[i] + of_g * g[i]) / root(s[i] * of_s, eps, inside);
  }
}

extern "C" __global__ void amsgrad(T *w, const T *g, T *m, T *s, T *peak, long long size,
                                   double eta, const T *eta_at, double beta1, double beta2,
                                   double unbias_m, const T *unbias_m_at, double unbias_s,
                                   const T *unbias_s_at, double eps, bool inside) {
  T rate = pick(eta, eta_at), of_m = pick(unbias_m, unbias_m_at),
    of_s = pick(unbias_s, unbias_s_at);
  Moments moments(beta1, beta2);
  for (long long i = first(); i < size; i += stride()) {
    moments.move(g[i], m[i], s[i]);
    peak[i] = Max()(peak[i], s[i]);
    w[i] -= rate * (m[i] * of_m) / root(peak[i] * of_s, eps, inside);
  }
}

extern "C" __global__ void lion(T *w, const T *g, T *m, long long size, double eta, const T *eta_at,
                                double beta1, double beta2) {
  T rate = pick(eta, eta_at), keep1 = beta1, take1 = 1 - beta1, keep2 = beta2, take2 = 1 - beta2;
  for (long long i = first(); i < size; i += stride()) {
    T mixed = keep1 * m[i] + take1 * g[i];
    T sign = mixed > 0 ? 1 : mixed < 0 ? -1 : mixed;  // 0 and NaN stay
    w[i] -= rate * sign;
    m[i] = keep2 * m[i] + take2 * g[i];
  }
}

// The compiled step (graph.py): where a captured step finds its batch, so that one graph serves
// every batch of its size.

struct Source {
  const T *x;               // (N, m)
  const long long *labels;  // (N), or null
  const T *y;               // (N, K), or null
  const T *s;               // (N), or null
  const long long *order;   // (rows), or null for the rows in their order
  const T *rates;           // (steps, count): the numbers of a step
  const int *keys;          // (steps)
  T *losses;                // (steps)
  long long row, step;      // where the next batch begins, and its number
};

// Point a source to arrays, at their beginning. rates and keys are tables, or null for a single
// step, whose twelve rates and key are in the call; they are then left in row: (12) and
// row_key. One thread.
extern "C" __global__ void begin(Source *source, const T *x, const long long *labels, const T *y,
                                 const T *s, const long long *order, T *losses, const T *rates,
                                 const int *keys, T *row, int *row_key, double rate0, double rate1,
                                 double rate2, double rate3, double rate4, double rate5,
                                 double rate6, double rate7, double rate8, double rate9,
                                 double rate10, double rate11, long long key) {
  if (!rates) {
    const double given[] = {rate0, rate1, rate2, rate3, rate4,  rate5,
                            rate6, rate7, rate8, rate9, rate10, rate11};
    for (int i = 0; i < 12; i++) row[i] = given[i];
    *row_key = key;
    rates = row;
    keys = row_key;
  }
  *source = Source{x, labels, y, s, order, rates, keys, losses, 0, 0};
}

// The step's first kernel: copy the next n rows of the source, and the step's rates and key.
// x: (n, m); labels: (n); y: (n, K); s: (n); rates: (count); null for what there is none of.
// Threads as in bias_activate, over rows as long as the longer of m, K and count.
extern "C" __global__ void take(const Source *source, T *x, long long *labels, T *y, T *s, T *rates,
                                int *key, long long n, long long m, long long K, long long count) {
  long long j = blockIdx.y * (long long)blockDim.x + threadIdx.x;
  long long start = blockIdx.x * (long long)blockDim.y + threadIdx.y;
  if (start == 0 && j < count) rates[j] = source->rates[source->step * count + j];
  if (start == 0 && j == 0) *key = source->keys[source->step];
  for (long long i = start; i < n; i += gridDim.x * (long long)blockDim.y) {
    long long row = source->row + i;
    if (source->order) row = source->order[row];
    if (j < m) x[i * m + j] = source->x[row * m + j];
    if (y && j < K) y[i * K + j] = source->y[row * K + j];
    if (labels && j == 0) labels[i] = source->labels[row];
    if (s && j == 0) s[i] = source->s[row];
  }
}

// The step's last kernel: keep its loss, and go on to the next batch. One thread.
extern "C" __global__ void record(Source *source, const T *loss, long long n) {
  source->losses[source->step] = *loss;
  source->row += n;
  source->step += 1;
}
