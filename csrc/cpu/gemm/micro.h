// SPDX-License-Identifier: Apache-2.0
// The two micro-kernels. Both take operands by strides, so that packed panels and matrices as they lie in memory
// are the same to them.
//
// outer: C[R, V vectors] (+)= A[R, k] B[k, V vectors]; elements of A are broadcast, rows of B are vectors. Every
//        element sums its products in the order of k, whatever R and V are: bits do not depend on the tiling.
// inner: C[R, S] = A[R, k] B[S, k]^T for operands that both lie along k: vectors run along k, lanes are summed last.
#pragma once
#include "cpu/gemm/vec.h"

namespace rv::RV_ISA::gemm {

// ---------------------------------------------------------------- outer

template <class T>
using Outer = void (*)(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t b_row, T* c,
                       int64_t c_row, const T* bias, bool accumulate, int tail);

// Strides are in elements; `tail` is the number of columns in the last vector (kLanes: all); bias (one value a column)
// may be null.
template <class T, int R, int V, bool Tail>
void outer(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t b_row, T* c, int64_t c_row,
           const T* bias, bool accumulate, int tail) {
  constexpr int L = kLanes<T>;
  // Rows are addressed from one base in five, so that all addresses fit the general registers.
  constexpr int G = 5, bases = (R + G - 1) / G;
  const T* base[bases];
#pragma GCC unroll 8
  for (int g = 0; g < bases; ++g) base[g] = a + g * G * a_row;
  vec<T> acc[R][V] = {};
  auto load_last = [&](const T* p, int v) { return Tail && v == V - 1 ? load_n(p, tail) : load(p); };
  // C is on its way while the products are summed, if these take long enough: a row of it at a time, for all at once keep rows
  // of A and B waiting (1024 cubed: 4 %). So are rows of B, which may lie in a page each.
  const int fetched = V > 1 && k > 32 ? R : 0;
  int64_t p = 0;
#pragma GCC unroll 1
  for (int row = 0; p < k; ++row) {
    if (row < fetched)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) __builtin_prefetch(c + row * c_row + v * L, 1);
    const int64_t end = fetched ? k * (row + 1) / R : k;
    for (; p < end; ++p) {
      vec<T> bv[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        bv[v] = load_last(b + v * L, v);
        __builtin_prefetch(b + 4 * b_row + v * L);
      }
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const vec<T> av = splat(base[i / G][(i % G) * a_row]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) acc[i][v] += av * bv[v];
      }
#pragma GCC unroll 8
      for (int g = 0; g < bases; ++g) base[g] += a_col;
      b += b_row;
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const vec<T> add = bias ? load_last(bias + v * L, v) : vec<T>{};
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      T* to = c + i * c_row + v * L;
      vec<T> x = acc[i][v];
      if (accumulate) x = load_last(to, v) + x;
      if (bias) x += add;
      if (Tail && v == V - 1) store_n(to, x, tail);
      else store(to, x);
    }
  }
}

// Vectors side by side for R rows: two, and more where few rows would leave the adders waiting.
inline constexpr int wide(int rows) { return rows == 1 ? 8 : rows <= 3 && kRows > 4 ? 4 : 2; }

template <class T, bool Tail, int... I>
RV_INLINE Outer<T> pick(int rows, int vectors, std::integer_sequence<int, I...>) {
  static constexpr Outer<T> one[] = {outer<T, I + 1, 1, Tail>...}, two[] = {outer<T, I + 1, 2, Tail>...},
                            most[] = {outer<T, I + 1, wide(I + 1), Tail>...};
  return vectors == 1 ? one[rows - 1] : vectors == 2 ? two[rows - 1] : most[rows - 1];
}
// vectors: 1, 2 or wide(rows)
template <class T> inline Outer<T> pick_outer(int rows, int vectors, bool tail) {
  constexpr auto all = std::make_integer_sequence<int, kRows>{};
  return tail ? pick<T, true>(rows, vectors, all) : pick<T, false>(rows, vectors, all);
}

// ---------------------------------------------------------------- inner

// R x S accumulators; a multiple of the lanes of float32.
#if defined(RV_AVX512)
inline constexpr int kInnerRows = 4, kInnerCols = 4;
#else
inline constexpr int kInnerRows = 2, kInnerCols = 4;
#endif

template <class T>
using Inner = void (*)(int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_row, int cols, T* c, int64_t c_row,
                       const T* bias);

// `cols` <= S of the columns exist.
template <class T, int R, int S>
void inner(int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_row, int cols, T* c, int64_t c_row,
           const T* bias) {
  constexpr int L = kLanes<T>, N = R * S, groups = (N + L - 1) / L;
  const T* bp[S];
#pragma GCC unroll 16
  for (int s = 0; s < S; ++s) bp[s] = b + (s < cols ? s : cols - 1) * b_row;
  vec<T> acc[groups * L] = {};
  auto step = [&](int64_t p, auto get) __attribute__((always_inline)) {
    vec<T> av[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) av[i] = get(a + i * a_row + p);
#pragma GCC unroll 16
    for (int s = 0; s < S; ++s) {
      const vec<T> bv = get(bp[s] + p);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) acc[i * S + s] += av[i] * bv;
    }
  };
  int64_t p = 0;
  for (; p + L <= k; p += L) step(p, [](const T* q) { return load(q); });
  if (p < k) {
    const int rest = static_cast<int>(k - p);
    step(p, [rest](const T* q) { return load_n(q, rest); });
  }
  alignas(kVecBytes) T sum[groups * L];
#pragma GCC unroll 8
  for (int g = 0; g < groups; ++g) store(sum + g * L, sums<T>(acc + g * L));
  if (cols == S) {
    typedef T Row __attribute__((vector_size(S * sizeof(T)), aligned(alignof(T)), may_alias));
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      Row x = *reinterpret_cast<const Row*>(sum + i * S);
      if (bias) x += *reinterpret_cast<const Row*>(bias);
      *reinterpret_cast<Row*>(c + i * c_row) = x;
    }
    return;
  }
  for (int i = 0; i < R; ++i)
    for (int s = 0; s < cols; ++s) c[i * c_row + s] = bias ? sum[i * S + s] + bias[s] : sum[i * S + s];
}

// Columns at a time: one row takes more of them, and as many as there are lanes where k is short and sums over lanes
// are most of the work.
template <class T> inline int inner_cols(int64_t m, int64_t k) {
  return m > 1 ? kInnerCols : kLanes<T> == 16 && k <= 64 ? 16 : 8;
}

template <class T> inline Inner<T> pick_inner(int cols, int rows) {
  static constexpr Inner<T> table[] = {inner<T, 1, kInnerCols>, inner<T, 2, kInnerCols>,
#if defined(RV_AVX512)
                                       inner<T, 3, kInnerCols>, inner<T, 4, kInnerCols>
#endif
  };
  return cols == kInnerCols ? table[rows - 1] : cols == 8 ? inner<T, 1, 8> : inner<T, 1, kLanes<T> == 16 ? 16 : 8>;
}

}  // namespace rv::RV_ISA::gemm
