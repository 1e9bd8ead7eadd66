// SPDX-License-Identifier: Apache-2.0
// Rows of B are vectors: one row of C, or hardly any k. B is used only a few times, or C is nearly all: such products
// run at the speed of L2 or L3, which depends on the order of reading and writing. C[M, n] (+)= A[M, R] B[R, n], R rows
// of B at a time, while C stays in L1.
#pragma once
#include "cpu/gemm/algorithms/slices.h"

namespace rv::RV_ISA::gemm {

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

// C[rows, cols] = A[rows, k] B[k, cols] + bias, where all of C stays in L1, or k <= policy::strip_rows.
template <class T>
void strips(int64_t rows, int64_t cols, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t b_row,
            T* c, int64_t c_row, const T* bias) {
  for (int64_t p = 0; p < k;) {
    const int64_t some = min(rows == 1 ? 4 : policy::strip_rows, k - p);
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
      case 5: each(std::integral_constant<int, min(5, policy::strip_rows)>{}); break;
      case 6: each(std::integral_constant<int, min(6, policy::strip_rows)>{}); break;
      case 7: each(std::integral_constant<int, min(7, policy::strip_rows)>{}); break;
      default: each(std::integral_constant<int, policy::strip_rows>{});
    }
    p += some;
  }
}

// ---------------------------------------------------------------- one row

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

template <class T> using Narrow = void (*)(int64_t, const T*, int64_t, const T*, int64_t, int64_t, T*, const T*);
template <class T> inline Narrow<T> pick_narrow(int64_t n) {
  static constexpr Narrow<T> table[policy::narrow_vectors] = {narrow<T, 1>, narrow<T, 2>, narrow<T, 3>, narrow<T, 4>,
                                                              narrow<T, 5>, narrow<T, 6>, narrow<T, 7>, narrow<T, 8>};
  return table[(n - 1) / kLanes<T>];
}

// One row: k in slices, so that each is read from end to end, summed in order.
template <class T> void run_row(const Product<T>& q, const T* bias, std::byte* scratch, Team& team) {
  constexpr int64_t widest = (16 << 10) / sizeof(T);  // C stays in L1
  if (q.n <= policy::narrow_vectors * kLanes<T>) {
    T part[policy::narrow_vectors * kLanes<T>];
    for (int64_t p = 0; p == 0 || p < q.k; p += kSumAlong) {  // a sum of sums
      pick_narrow<T>(q.n)(min(kSumAlong, q.k - p), q.pa + p * q.a.col, q.a.col, q.pb + p * q.b.row, q.b.row, q.n,
                          p ? part : q.pc, p ? nullptr : bias);
      for (int64_t j = 0; p && j < q.n; ++j) q.pc[j] += part[j];
    }
    return;
  }
  const int64_t part = partial_bytes(q) / static_cast<int64_t>(sizeof(T)), col_tiles = ceil_div(q.n, widest);
  T* const partial = reinterpret_cast<T*>(scratch);
  team.each(q.slices * col_tiles, [&](int64_t t) {
    const int64_t s = t / col_tiles, j = t % col_tiles * widest, p0 = q.k * s / q.slices, p1 = q.k * (s + 1) / q.slices;
    strips(1, min(widest, q.n - j), p1 - p0, q.pa + p0 * q.a.col, 0, q.a.col, q.pb + p0 * q.b.row + j, q.b.row,
           q.slices == 1 ? q.pc + j : partial + s * part + j, 0, q.slices == 1 && bias ? bias + j : nullptr);
  });
  if (q.slices > 1) sum_slices(q, 0, q.slices, partial, part, bias);
}

// ---------------------------------------------------------------- several

// Hardly any k: rows of C in long runs, B in L1.
template <class T> void run_strips(const Product<T>& q, const T* bias, Team& team) {
  const int64_t cols = max(1024, min(8192, (24 << 10) / q.k / 64 * 64)) / static_cast<int64_t>(sizeof(T));
  const int64_t rows = min(64, ceil_div(q.m, 4)), col_tiles = ceil_div(q.n, cols);
  team.each(ceil_div(q.m, rows) * col_tiles, [&](int64_t t) {
    const int64_t i = t / col_tiles * rows, j = t % col_tiles * cols;
    const int64_t tile_rows = min(rows, q.m - i), tile_cols = min(cols, q.n - j);
    strips(tile_rows, tile_cols, q.k, q.pa + i * q.a.row, q.a.row, q.a.col, q.pb + j, q.b.row, q.pc + i * q.c.row + j,
           q.c.row, bias ? bias + j : nullptr);
  });
}

}  // namespace rv::RV_ISA::gemm
