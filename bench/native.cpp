// SPDX-License-Identifier: Apache-2.0
// What kernels are held against: peaks of the machine, and the loops that one would write by hand. Compiled when a
// benchmark runs (native.py). Each function repeats its work `times` times, so that its call costs nothing.
#include <cmath>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))
#define AGAIN for (long t = 0; t < times; ++t, [] { asm volatile("" ::: "memory"); }())

namespace {

// 12 independent chains hide the latency of a multiply-add on every CPU so far
template <class T, int width> double chains(long times) {
  typedef T V __attribute__((vector_size(width)));
  constexpr int lanes = width / int(sizeof(T));
  V x[12], a, b;
  for (int j = 0; j < lanes; ++j) {
    a[j] = T(0.999), b[j] = T(0.001);
    for (int i = 0; i < 12; ++i) x[i][j] = T(i + j);
  }
  for (long t = 0; t < times; ++t) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) x[i] = x[i] * a + b;
  }
  double sum = 0;
  for (int i = 0; i < 12; ++i)
    for (int j = 0; j < lanes; ++j) sum += x[i][j];
  return sum;
}

// c(m, n) = a(m, k) @ b(k, n), in the order in which memory is read best
template <class T>
void product(const T* __restrict a, const T* __restrict b, T* __restrict c, long m, long k, long n, long times) {
  AGAIN {
    memset(c, 0, size_t(m * n) * sizeof(T));
    for (long i = 0; i < m; ++i)
      for (long p = 0; p < k; ++p)
        for (long j = 0; j < n; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];
  }
}

// The sum of a matrix of rows x n floats, in `streams` of rows: far apart, each through its own part of the rows, or
// side by side through neighbouring rows. Vectors of 64 bytes, four sums at least.
template <int streams> float read(const float* p, long rows, long n, bool side_by_side) {
  typedef float V __attribute__((vector_size(64), aligned(4), may_alias));
  constexpr int more = streams > 2 ? 1 : 4 / streams;
  V sum[streams][more] = {};
  const long part = rows / streams, step = side_by_side ? streams * n : n, apart = side_by_side ? n : part * n;
  for (long r = 0; r < part; ++r, p += step)
    for (long j = 0; j + 16 * more <= n; j += 16 * more)
#pragma GCC unroll 8
      for (int s = 0; s < streams; ++s)
#pragma GCC unroll 4
        for (int u = 0; u < more; ++u) sum[s][u] += *reinterpret_cast<const V*>(p + s * apart + j + 16 * u);
  V all = {};
  for (auto& s : sum)
    for (V v : s) all += v;
  float total = 0;
  for (int j = 0; j < 16; ++j) total += all[j];
  return total;
}

}  // namespace

EXPORT double read_matrix(const float* p, long rows, long n, long streams, long side_by_side, long times) {
  double total = 0;
  AGAIN total += streams == 1   ? read<1>(p, rows, n, side_by_side)
                 : streams == 2 ? read<2>(p, rows, n, side_by_side)
                 : streams == 4 ? read<4>(p, rows, n, side_by_side)
                                : read<8>(p, rows, n, side_by_side);
  return total;
}

EXPORT double chains32_16(long times) { return chains<float, 16>(times); }
EXPORT double chains32_32(long times) { return chains<float, 32>(times); }
EXPORT double chains32_64(long times) { return chains<float, 64>(times); }
EXPORT double chains64_16(long times) { return chains<double, 16>(times); }
EXPORT double chains64_32(long times) { return chains<double, 32>(times); }
EXPORT double chains64_64(long times) { return chains<double, 64>(times); }

EXPORT void product32(const float* a, const float* b, float* c, long m, long k, long n, long times) {
  product(a, b, c, m, k, n, times);
}
EXPORT void product64(const double* a, const double* b, double* c, long m, long k, long n, long times) {
  product(a, b, c, m, k, n, times);
}

// ---- streams: p, q, r, s of n floats each

#define STREAM(name)                                                                                                 \
  EXPORT void name(float* __restrict p, float* __restrict q, float* __restrict r, const float* __restrict s, long n, \
                   long times)

STREAM(stream_copy) { AGAIN memcpy(p, s, size_t(n) * 4); }
STREAM(stream_triad) { AGAIN for (long i = 0; i < n; ++i) p[i] = q[i] + 0.5f * s[i]; }
// four read, three of them written in place: what Adam does to parameters, two averages and gradients
STREAM(stream_update) {
  AGAIN for (long i = 0; i < n; ++i) {
    q[i] = 0.9f * q[i] + 0.1f * s[i];
    r[i] = 0.9f * r[i] + 0.1f * s[i];
    p[i] += q[i] - r[i];
  }
}

// ---- elementwise chains, fused by hand (chains.py has the same formulas)

#define CHAIN(name, formula)                                                                        \
  EXPORT void name(const float* __restrict x, const float* __restrict y, const float* __restrict z, \
                   float* __restrict o, long n, long times) {                                       \
    (void)y, (void)z;                                                                               \
    AGAIN for (long i = 0; i < n; ++i) o[i] = formula;                                              \
  }
static inline float relu(float v) { return v > 0 ? v : 0; }

CHAIN(chain_affine, relu(x[i] * 1.5f + 0.5f) * y[i])
CHAIN(chain_normalise, (x[i] - y[i]) / std::sqrt(z[i] + 1e-5f) * 0.9f + 0.1f)
CHAIN(chain_softsign, 0.5f * (x[i] / (1.0f + std::fabs(x[i])) + 1.0f))
CHAIN(chain_distance, std::sqrt((x[i] - y[i]) * (x[i] - y[i]) + z[i] * z[i] + 1.0f))
CHAIN(chain_cubic, x[i] * (0.5f + x[i] * (0.25f + x[i] * (0.125f + 0.0625f * x[i]))) + y[i])
