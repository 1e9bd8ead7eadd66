// SPDX-License-Identifier: Apache-2.0
// Products that use each element of B only a few times, or of which C is nearly all: they run at the speed of L2 or L3,
// which depends on the order of reading and writing. Measured on a Zen 5 (784 x 128 and 784 x 512 float32, so L2 and
// L3): one stream from end to end gets 150 and 100 GB/s, two far apart 175 and 100, eight rows side by side, each of
// which ends after 3 KB, 105 and 93.
//
// strips: rows of B are vectors. C[M, n] (+)= A[M, R] B[R, n], R rows of B at a time, while C stays in L1.
// lines:  columns of B lie along k. Two streams through B, half a tile of columns apart.
#pragma once
#include "cpu/gemm/pack.h"

namespace rv::RV_ISA::gemm {

// ---------------------------------------------------------------- strips

inline constexpr int kStripRows = kVecBytes == 64 ? 8 : 4;  // of B at a time, for several rows of C; 4 for one

// c[i, j] (+)= sum over p < R of a[i, p] b[p, j], in the order of p, + bias[j] (bias may be null), i < M, j < n. Two
// rows share what is loaded of B.
template <class T, int R, int M>
RV_INLINE void strip(const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t b_row, int64_t n, T* c,
                     int64_t c_row, const T* bias, bool accumulate) {
  constexpr int L = kLanes<T>, V = kVecBytes == 64 ? 4 : 2;
  vec<T> x[M][R];
#pragma GCC unroll 2
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
    for (int p = 0; p < R; ++p) x[i][p] = splat(a[i * a_row + p * a_col]);
  auto some = [&]<int N>(std::integral_constant<int, N>, int64_t j, auto get, auto put) __attribute__((always_inline)) {
    vec<T> sum[M][N] = {};
    if (accumulate)
#pragma GCC unroll 2
      for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) sum[i][v] = get(c + i * c_row + j + v * L);
#pragma GCC unroll 8
    for (int p = 0; p < R; ++p)
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        const vec<T> y = M > 1 ? loaded<T>(get(b + p * b_row + j + v * L)) : get(b + p * b_row + j + v * L);
#pragma GCC unroll 2
        for (int i = 0; i < M; ++i) sum[i][v] += x[i][p] * y;
      }
#pragma GCC unroll 2
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) put(c + i * c_row + j + v * L, bias ? sum[i][v] + get(bias + j + v * L) : sum[i][v]);
  };
  auto get = [](const T* p) { return load(p); };
  auto put = [](T* p, vec<T> v) { store(p, v); };
  int64_t j = 0;
  for (; j + V * L <= n; j += V * L) some(std::integral_constant<int, V>{}, j, get, put);
  for (; j + L <= n; j += L) some(std::integral_constant<int, 1>{}, j, get, put);
  if (const int rest = static_cast<int>(n - j); rest > 0)
    some(
        std::integral_constant<int, 1>{}, j, [rest](const T* p) { return load_n(p, rest); },
        [rest](T* p, vec<T> v) { store_n(p, v, rest); });
}

// C[rows, cols] = A[rows, k] B[k, cols] + bias, where all of C stays in L1, or k <= kStripRows.
template <class T>
void strips(int64_t rows, int64_t cols, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t b_row,
            T* c, int64_t c_row, const T* bias) {
  for (int64_t p = 0; p < k;) {
    const int64_t some = min(rows == 1 ? 4 : kStripRows, k - p);
    const T* const add = p + some == k ? bias : nullptr;
    auto each = [&]<int R>(std::integral_constant<int, R>) __attribute__((always_inline)) {
      const auto call = [&]<int M>(std::integral_constant<int, M>, int64_t i) __attribute__((always_inline)) {
        strip<T, R, M>(a + i * a_row + p * a_col, a_row, a_col, b + p * b_row, b_row, cols, c + i * c_row, c_row, add,
                       p > 0);
      };
      int64_t i = 0;
      for (; i + 2 <= rows; i += 2) call(std::integral_constant<int, 2>{}, i);
      if (i < rows) call(std::integral_constant<int, 1>{}, i);
    };
    switch (some) {
      case 1: each(std::integral_constant<int, 1>{}); break;
      case 2: each(std::integral_constant<int, 2>{}); break;
      case 3: each(std::integral_constant<int, 3>{}); break;
      case 4: each(std::integral_constant<int, 4>{}); break;
      case 5: each(std::integral_constant<int, min(5, kStripRows)>{}); break;
      case 6: each(std::integral_constant<int, min(6, kStripRows)>{}); break;
      case 7: each(std::integral_constant<int, min(7, kStripRows)>{}); break;
      default: each(std::integral_constant<int, kStripRows>{});
    }
    p += some;
  }
}

// ---------------------------------------------------------------- narrow

inline constexpr int kNarrow = 8;  // vectors of C

// C[1, n] = A[1, k] B[k, n] + bias for (V - 1) L < n <= V L: pieces of k side by side, for one sum a vector would wait
// for its own adder. The pieces' sums are added in a fixed order.
template <class T, int V>
void narrow(int64_t k, const T* a, int64_t a_col, const T* b, int64_t b_row, int64_t n, T* c, const T* bias) {
  constexpr int L = kLanes<T>, registers = kVecBytes == 64 ? 32 : 16;
  constexpr int S = V <= registers / 8 ? 4 : V <= registers / 4 ? 2 : 1;
  const int tail = static_cast<int>(n) - (V - 1) * L;
  auto get = [tail](const T* p, int v) __attribute__((always_inline)) {
    return v == V - 1 ? load_n(p + v * L, tail) : load(p + v * L);
  };
  vec<T> sum[S][V] = {};
  const int64_t piece = k / S;
  for (int64_t p = 0; p < piece; ++p)
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) {
      const vec<T> x = splat(a[(p + s * piece) * a_col]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[s][v] += x * get(b + (p + s * piece) * b_row, v);
    }
  for (int64_t p = piece * S; p < k; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[S - 1][v] += splat(a[p * a_col]) * get(b + p * b_row, v);
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    vec<T> total = sum[0][v];
    if constexpr (S == 2) total += sum[1][v];
    if constexpr (S == 4) total = (total + sum[1][v]) + (sum[2][v] + sum[3][v]);
    if (bias) total += get(bias, v);
    if (v == V - 1) store_n(c + v * L, total, tail);
    else store(c + v * L, total);
  }
}

template <class T>
using Narrow = void (*)(int64_t, const T*, int64_t, const T*, int64_t, int64_t, T*, const T*);
template <class T>
inline Narrow<T> pick_narrow(int64_t n) {
  static constexpr Narrow<T> table[kNarrow] = {narrow<T, 1>, narrow<T, 2>, narrow<T, 3>, narrow<T, 4>,
                                               narrow<T, 5>, narrow<T, 6>, narrow<T, 7>, narrow<T, 8>};
  return table[(n - 1) / kLanes<T>];
}

// ---------------------------------------------------------------- lines

// C[cols] = A[k] B[cols, k]^T + bias, A and columns of B contiguous. The second stream begins in the middle.
template <class T>
void lines(int64_t k, const T* a, const T* b, int64_t b_col, int64_t cols, T* c, const T* bias) {
  constexpr int L = kLanes<T>;
  const int64_t half = ceil_div(cols, 2), second = cols - half;
  vec<T> part[2][L] = {};  // sums along k of L columns of each stream, lanes apart
  for (int64_t h = 0; h < half; h += L) {
    const int count = static_cast<int>(min(L, half - h));
    for (int g = 0; g < count; ++g) {
      const T* const x = b + (h + g) * b_col;
      const T* const y = x + (h + g < second ? half * b_col : 0);
      vec<T> sum[2][2] = {};
      auto step = [&](int64_t p, int u, auto get) __attribute__((always_inline)) {
        const vec<T> av = loaded<T>(get(a + p));
        sum[0][u] += av * get(x + p), sum[1][u] += av * get(y + p);
      };
      int64_t p = 0;
      for (; p + 2 * L <= k; p += 2 * L) {
        step(p, 0, [](const T* q) { return load(q); });
        step(p + L, 1, [](const T* q) { return load(q); });
      }
      for (; p < k; p += L)
        step(p, 0, [rest = static_cast<int>(min(L, k - p))](const T* q) { return load_n(q, rest); });
      for (int s = 0; s < 2; ++s) part[s][g] = sum[s][0] + sum[s][1];
    }
    for (int s = 0; s < 2; ++s) {
      const int64_t j = h + s * half;
      const int there = static_cast<int>(s ? min(count, second - h) : count);
      if (there <= 0) continue;
      vec<T> total = sums<T>(part[s]);
      if (bias) total += load_n(bias + j, there);
      store_n(c + j, total, there);
    }
  }
}

}  // namespace rv::RV_ISA::gemm
