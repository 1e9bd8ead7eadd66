// SPDX-License-Identifier: Apache-2.0
// Copies of operands in the order in which the micro-kernel `outer` reads them, where they do not lie so in memory:
// B in panels of kCols columns, a tile of A as it is but with rows that do not fall into the same sets of a cache.
#pragma once
#include "cpu/gemm/micro.h"

namespace rv::RV_ISA::gemm {

inline constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline constexpr int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline constexpr int64_t pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }

template <class T> inline constexpr int kCols = 2 * kLanes<T>;  // columns of a panel of B
inline constexpr int64_t kPanelGroup = 4;                        // panels packed at once: long runs of each row of B

// dst[p * width + i] = src[i * stride + p] for i < rows, 0 for rows <= i < lanes; p < k. The transpose of rows.
template <class T> void pack_rows(T* dst, int width, int lanes, const T* src, int rows, int64_t stride, int64_t k) {
  constexpr int L = kLanes<T>, E = kBlock<T>;
  vec<T> v[E];
  int64_t p = 0;
  if (rows == L && k >= E) {
    for (; p < k; p += E) {
      p = least(p, k - E);  // the last step may overlap the one before it
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
    const int steps = static_cast<int>(least(E, k - p));
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

// Columns [0, count) of B as panels: dst[j / W * W * k + p * W + j % W] = src[j * s_j + p * s_p], W = kCols, zeros
// beyond the last column; p < k.
template <class T> [[gnu::noinline]] void pack_panels(T* dst, int64_t count, const T* src, int64_t s_j, int64_t s_p, int64_t k) {
  constexpr int L = kLanes<T>, W = kCols<T>;
  if (s_j == 1) {  // row by row over all panels: whole lines of the cache in the order in which they lie
    const int64_t whole = count / W * W;
    const int first = static_cast<int>(least(L, count - whole)), second = static_cast<int>(count - whole) - first;
    for (int64_t p = 0; p < k; ++p, src += s_p) {
      T* to = dst + p * W;
      for (int64_t j = 0; j < whole; j += W, to += W * k) store(to, load(src + j)), store(to + L, load(src + j + L));
      if (whole == count) continue;
      store(to, load_n(src + whole, first));
      store(to + L, second > 0 ? load_n(src + whole + L, second) : vec<T>{});
    }
    return;
  }
  for (int64_t j = 0; j < count; j += W, dst += W * k) {
    const T* const from = src + j * s_j;
    const int64_t have = least(W, count - j);
    if (s_p == 1) {
      for (int i = 0; i < W; i += L)
        pack_rows(dst + i, W, L, from + i * s_j, static_cast<int>(most(0, least(L, have - i))), s_j, k);
    } else {
      for (int64_t p = 0; p < k; ++p)
        for (int i = 0; i < W; ++i) dst[p * W + i] = i < have ? from[i * s_j + p * s_p] : T(0);
    }
  }
}

// dst[i * to + j] = src[i * from + j * step] for i < lines, j < n.
template <class T> [[gnu::noinline]] void copy_lines(T* dst, int64_t to, const T* src, int64_t from, int64_t step, int64_t lines, int64_t n) {
  constexpr int L = kLanes<T>;
  for (int64_t i = 0; i < lines; ++i, dst += to, src += from) {
    int64_t j = 0;
    if (step == 1)
      for (; j + L <= n; j += L) store(dst + j, load(src + j));
    for (; j < n; ++j) dst[j] = src[j * step];
  }
}

// Where the micro-kernel finds a tile of A.
template <class T> struct TileA {
  const T* p;
  int64_t row, col;
};

// An operand as it lies in memory, or to be copied. `s_outer` steps over rows of A or columns of B.
// A packer of another kind (image patches, say) has the same members.
template <class T> struct Strided {
  const T* p;
  int64_t s_outer, s_k;
  bool packs;

  // A's rows [i0, i0 + rows) and columns [p0, p0 + k); `local` has tile_elements(rows, k).
  TileA<T> tile(T* local, int64_t i0, int64_t rows, int64_t p0, int64_t k) const {
    const T* const from = p + i0 * s_outer + p0 * s_k;
    if (!packs) return {from, s_outer, s_k};
    if (s_outer == 1) {
      const int64_t step = apart(rows);
      copy_lines(local, step, from, s_k, 1, k, rows);
      return {local, 1, step};
    }
    const int64_t step = apart(k);
    copy_lines(local, step, from, s_outer, s_k, rows, k);
    return {local, step, 1};
  }
  // An odd number of cache lines: neighbouring lines of a tile fall into different sets.
  static constexpr int64_t apart(int64_t n) {
    constexpr int64_t line = 64 / sizeof(T);
    return (pieces(n, line) | 1) * line;
  }
  static constexpr int64_t tile_elements(int64_t rows, int64_t k) { return most(rows * apart(k), k * apart(rows)); }
  // B's columns [j0, j0 + count), as panels.
  void panels(T* dst, int64_t j0, int64_t count, int64_t p0, int64_t k) const {
    pack_panels(dst, count, p + j0 * s_outer + p0 * s_k, s_outer, s_k, k);
  }
};

}  // namespace rv::RV_ISA::gemm
