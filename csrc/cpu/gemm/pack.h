// SPDX-License-Identifier: Apache-2.0
// Copies of operands in the order in which the micro-kernel `outer` reads them, where they do not lie so in memory:
// B in panels of kCols columns, A in panels of kRows rows.
#pragma once
#include "cpu/gemm/micro.h"
#include "cpu/simd/ints.h"

namespace rv::RV_ISA::gemm {

template <class T>
inline constexpr int kCols = 2 * kLanes<T>;  // columns of a panel of B
inline constexpr int64_t kPanelGroup = 4;    // panels packed at once: long runs of each row of B
inline constexpr int64_t kFetch = 4;         // rows of B that are on their way while one is packed

// Whether a B of that size is larger than what stays near: it comes from L3 or memory.
template <class T>
constexpr bool is_far(int64_t n, int64_t k) {
  return n * k * static_cast<int64_t>(sizeof(T)) > kNear;
}

// dst[p * width + i] = src[i * stride + p] for i < rows, 0 for rows <= i < lanes; p < k. The transpose of rows.
template <class T>
void pack_rows(T* dst, int64_t width, int lanes, const T* src, int rows, int64_t stride, int64_t k) {
  constexpr int L = kLanes<T>, E = kBlock<T>;
  vec<T> v[E];
  int64_t p = 0;
  if (rows == L && k >= E) {
    for (; p < k; p += E) {
      p = min(p, k - E);  // the last step may overlap the one before it
#pragma GCC unroll 4
      for (int g = 0; g < E; ++g) v[g] = load_blocks(src + g * stride + p, E * stride);
      transpose_blocks<T>(v);
#pragma GCC unroll 4
      for (int j = 0; j < E; ++j) {
        if (lanes == L) store(dst + (p + j) * width, v[j]);
        else store_n(dst + (p + j) * width, v[j], lanes);
      }
    }
  }
  alignas(16) T block[L * E] = {};  // rows that are not there stay zero
  for (; p < k; p += E) {
    const int steps = static_cast<int>(min(E, k - p));
    for (int i = 0; i < rows; ++i) {
      if (steps == E) memcpy(block + i * E, src + i * stride + p, 16);
      else
        for (int j = 0; j < steps; ++j) block[i * E + j] = src[i * stride + p + j];
    }
#pragma GCC unroll 4
    for (int g = 0; g < E; ++g) v[g] = load_blocks(block + g * E, E * E);
    transpose_blocks<T>(v);
#pragma GCC unroll 4
    for (int j = 0; j < E; ++j)
      if (j < steps) store_n(dst + (p + j) * width, v[j], lanes);
  }
}

// dst[j * k + p] = src[j * s_j + p * s_p], j < count, p < k: a few columns, each contiguous.
template <class T>
void turn_columns(T* dst, int count, const T* src, int64_t s_j, int64_t s_p, int64_t k) {
  constexpr int L = kLanes<T>, E = kBlock<T>;
  for (int64_t p = 0; p < k; p += L, src += L * s_p, dst += L) {
    const int rows = static_cast<int>(min(L, k - p));
    if (s_j == 1 && count >= E) {
      pack_rows(dst, k, rows, src, rows, s_p, count);
    } else if (s_j == 1 && s_p >= 2 && count > 1 && p + L < k) {  // blocks reach into the next row
      vec<T> v[E];
#pragma GCC unroll 4
      for (int g = 0; g < E; ++g) v[g] = load_blocks(src + g * s_p, E * s_p);
      transpose_blocks<T>(v);
      for (int j = 0; j < count; ++j) store(dst + j * k, v[j]);
    } else {
      for (int j = 0; j < count; ++j)
        for (int i = 0; i < rows; ++i) dst[j * k + i] = src[j * s_j + i * s_p];
    }
  }
}

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
template <class T>
void pack_panel(T* dst, int rows, bool whole, const T* src, int64_t s_i, int64_t s_p, int64_t k) {
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

// Where the micro-kernel finds a tile of A: row i at p + i * row, or group g of rows, copied, at p + g * panel.
template <class T>
struct TileA {
  const T* p;
  int64_t row, panel, step;
  Lie lie;

  static TileA as_it_lies(const T* p, int64_t row, int64_t col) {
    return col == 1 ? TileA{p, row, 0, row, Lie::rows} : TileA{p, row, 0, col, Lie::columns};
  }
  static TileA copied(const T* p, int64_t k, bool beside_panels) {
    return {p, 0, kRows * k, kRows, beside_panels ? Lie::packed : Lie::columns};
  }
  // Group g, which begins with row i.
  const T* group(int64_t g, int64_t i) const { return p + g * panel + i * row; }
};

// Rows of a tile in groups of at most `size`, all of about the same size: f(group, begin, end).
template <class F>
RV_INLINE void each_group(int64_t rows, int64_t size, F&& f) {
  const int64_t groups = ceil_div(rows, size);
  for (int64_t g = 0, i = 0; g < groups; ++g) {
    const int64_t end = rows * (g + 1) / groups;
    f(g, i, end);
    i = end;
  }
}

// An operand as it lies in memory, or to be copied. `s_outer` steps over rows of A or columns of B; of A as it lies,
// one of the strides is 1. A packer of another kind (image patches, say) has the same members.
template <class T>
struct Strided {
  const T* p;
  int64_t s_outer, s_k;
  bool packs;
  const T* ahead = nullptr;  // B's panels made before (`pack_ahead`)

  // A's rows from i0 and columns from p0 on, as they lie.
  TileA<T> tile(int64_t i0, int64_t p0) const {
    return TileA<T>::as_it_lies(p + i0 * s_outer + p0 * s_k, s_outer, s_k);
  }
  // A's rows [i0, i0 + rows) and columns [p0, p0 + k), as a panel for each group.
  void pack(T* dst, int64_t i0, int64_t rows, int64_t p0, int64_t k) const {
    const T* const from = p + i0 * s_outer + p0 * s_k;
    const int64_t step = s_outer == 1 ? 16 : k;  // rows side by side: a long run of them for some values of k
    for (int64_t q = 0; q < k; q += step)
      each_group(rows, kRows, [&](int64_t g, int64_t i, int64_t end) {
        pack_panel(dst + (g * k + q) * kRows, static_cast<int>(end - i), i + kRows <= rows,
                   from + i * s_outer + q * s_k, s_outer, s_k, min(step, k - q));
      });
  }
  // B's columns [j0, j0 + count), as panels.
  void panels(T* dst, int64_t j0, int64_t count, int64_t p0, int64_t k) const {
    pack_panels(dst, count, p + j0 * s_outer + p0 * s_k, s_outer, s_k, k);
  }
};

}  // namespace rv::RV_ISA::gemm
