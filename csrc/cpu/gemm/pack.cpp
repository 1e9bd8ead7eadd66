// SPDX-License-Identifier: Apache-2.0
#include "cpu/gemm/pack.h"

#include "cpu/gemm/operand.h"

namespace rv::RV_ISA::gemm {
namespace {

constexpr int64_t kFetch = 4;  // rows of B that are on their way while one is packed

// Columns [0, count) of B as panels: dst[j / W * W * k + p * W + j % W] = src[j * s_j + p * s_p], W = kCols, zeros
// beyond the last column; p < k.
template <class T>
[[gnu::noinline]] void pack_panels(T* dst, int64_t count, const T* src, int64_t s_j, int64_t s_p, int64_t k) {
  constexpr int L = kLanes<T>, W = kCols<T>;
  if (s_j == 1) {  // row by row over all panels: whole lines of the cache in the order in which they lie
    const int64_t whole = count / W * W;
    const int first = static_cast<int>(min(L, count - whole)), second = static_cast<int>(count - whole) - first;
    for (int64_t p = 0; p < k; ++p, src += s_p) {
      T* to = dst + p * W;
      for (int64_t j = 0; j < whole; j += W, to += W * k) {
        for (int v = 0; v < W; v += 64 / static_cast<int>(sizeof(T))) __builtin_prefetch(src + kFetch * s_p + j + v);
        store(to, load(src + j)), store(to + L, load(src + j + L));
      }
      if (whole == count) continue;
      store(to, load_n(src + whole, first));
      store(to + L, second > 0 ? load_n(src + whole + L, second) : vec<T>{});
    }
    return;
  }
  for (int64_t j = 0; j < count; j += W, dst += W * k) {
    const T* const from = src + j * s_j;
    const int64_t have = min(W, count - j);
    if (s_p == 1) {
      for (int i = 0; i < W; i += L)
        pack_rows(dst + i, W, L, from + i * s_j, static_cast<int>(max(0, min(L, have - i))), s_j, k);
    } else {
      for (int64_t p = 0; p < k; ++p)
        for (int i = 0; i < W; ++i) dst[p * W + i] = i < have ? from[i * s_j + p * s_p] : T(0);
    }
  }
}

// Rows [0, rows) of A, rows <= kRows, as a panel: dst[p * kRows + i] = src[i * s_i + p * s_p]; p < k. What lies beyond
// the last row is undefined. `whole`: there are kRows rows to read.
template <class T> void pack_panel(T* dst, int rows, bool whole, const T* src, int64_t s_i, int64_t s_p, int64_t k) {
  constexpr int L = kLanes<T>, E = kBlock<T>, line = 64 / static_cast<int>(sizeof(T));
  constexpr int V = (kRows + L - 1) / L;
  int64_t p = 0;
  if (s_i == 1 && whole) {
    for (; p < k; ++p) {
      __builtin_prefetch(src + (p + k) * s_p);  // the next run's
      memcpy(dst + p * kRows, src + p * s_p, kRows * sizeof(T));
    }
  } else if (s_p == 1) {  // E columns at a time: vectors overlap into the next column, which comes next
    const T* at[V * L];
    for (int i = 0; i < V * L; ++i) at[i] = src + min(i, rows - 1) * s_i;
    for (; p + E < k; p += E) {
      if (p % line == 0)
        for (int i = 0; i < kRows; ++i) __builtin_prefetch(at[i] + kRows * s_i + p);  // the next panel's
      vec<T> v[V][E];
#pragma GCC unroll 8
      for (int q = 0; q < V; ++q) {
#pragma GCC unroll 4
        for (int g = 0; g < E; ++g)
          v[q][g] = gather_blocks<T>([&](int b) __attribute__((always_inline)) { return at[q * L + b * E + g] + p; });
        transpose_blocks<T>(v[q]);
      }
#pragma GCC unroll 4
      for (int e = 0; e < E; ++e)
#pragma GCC unroll 8
        for (int q = 0; q < V; ++q) store(dst + (p + e) * kRows + q * L, v[q][e]);
    }
  }
  for (; p < k; ++p)
    for (int i = 0; i < rows; ++i) dst[p * kRows + i] = src[i * s_i + p * s_p];
}

}  // namespace

template <class T> void Strided<T>::pack(T* to, int64_t i0, int64_t rows, int64_t p0, int64_t k) const {
  const T* const from = p + i0 * s_outer + p0 * s_k;
  const int64_t step = s_outer == 1 ? 16 : k;  // rows side by side: a long run of them for some values of k
  for (int64_t q = 0; q < k; q += step)
    each_group(rows, kRows, [&](int64_t g, int64_t i, int64_t end) {
      pack_panel(to + (g * k + q) * kRows, static_cast<int>(end - i), i + kRows <= rows, from + i * s_outer + q * s_k,
                 s_outer, s_k, min(step, k - q));
    });
}
template <class T> void Strided<T>::panels(T* to, int64_t j, int64_t columns, int64_t p0, int64_t k) const {
  pack_panels(to, columns, p + j * s_outer + p0 * s_k, s_outer, s_k, k);
}
template struct Strided<float>;
template struct Strided<double>;

}  // namespace rv::RV_ISA::gemm
