// SPDX-License-Identifier: Apache-2.0
// Copies of operands in the order in which the micro-kernel `outer` reads them, where they do not lie so in memory:
// B in panels of kCols columns, A in panels of kRows rows.
#pragma once
#include "cpu/gemm/constants.h"
#include "cpu/gemm/vec.h"
#include "cpu/simd/ints.h"

namespace rv::RV_ISA::gemm {

template <class T> inline constexpr int kCols = 2 * kLanes<T>;  // columns of a panel of B
inline constexpr int64_t kPanelGroup = 4;                       // panels packed at once: long runs of each row of B

// Whether a B of that size is larger than what stays near: it comes from L3 or memory.
template <class T> constexpr bool is_far(int64_t n, int64_t k) {
  return n * k * static_cast<int64_t>(sizeof(T)) > policy::near_bytes;
}

// Elements of an operand of `extent` rows or columns in panels of `width`, for `k` values of k.
inline constexpr int64_t panel_elements(int64_t extent, int64_t width, int64_t k) {
  return ceil_div(extent, width) * width * k;
}
// Where the panels from row or column `at` on begin, in the piece of k of `kc` values from p on: pieces of k lie one
// after the other, in each the panels of the whole extent.
inline constexpr int64_t panel_place(int64_t extent, int64_t width, int64_t p, int64_t at, int64_t kc) {
  return panel_elements(extent, width, p) + at * kc;
}

// dst[p * width + i] = src[i * stride + p] for i < rows, 0 for rows <= i < lanes; p < k. The transpose of rows.
template <class T> void pack_rows(T* dst, int64_t width, int lanes, const T* src, int rows, int64_t stride, int64_t k) {
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
template <class T> void transpose_columns(T* dst, int count, const T* src, int64_t s_j, int64_t s_p, int64_t k) {
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

}  // namespace rv::RV_ISA::gemm
