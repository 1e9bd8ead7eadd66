// SPDX-License-Identifier: Apache-2.0
// Dot products along k; of few columns B is transposed first.
#pragma once
#include "core/team.h"
#include "cpu/gemm/micro.h"
#include "cpu/gemm/pack.h"
#include "cpu/gemm/product.h"

namespace rv::RV_ISA::gemm {

inline constexpr int64_t kInnerBytes = 40 << 10;  // of columns of B beside the rows of A, in L1

// Of the transposed B.
template <class T> int64_t inner_bytes(const Product<T>& q) {
  return q.b.row == 1 || q.k == 1 ? 0 : ceil_div(q.n * q.k * static_cast<int64_t>(sizeof(T)), 64) * 64;
}

// Tiles of 64 x 64, or 16 x 8. Within one, as many columns at a time as stay in L1 beside the rows of A at hand: those
// come from L2 at half the rate at which 4 x 4 sums would use them up.
template <class T> void run_inner(const Product<T>& q, const T* bias, std::byte* scratch, Team& team) {
  constexpr int64_t tile = 64;
  const T* b = q.pb;
  int64_t b_col = q.b.col;
  if (inner_bytes(q) > 0) {
    T* const copy = reinterpret_cast<T*>(scratch);
    transpose_columns(copy, static_cast<int>(q.n), b, b_col, q.b.row, q.k);
    b = copy, b_col = q.k;
  }
  const int64_t rows_of_tile = q.n <= 8 ? 16 : tile, col_tiles = ceil_div(q.n, tile);
  const int step = inner_cols<T>(q.m, q.k);
  const int64_t fit = kInnerBytes / (q.k * static_cast<int64_t>(sizeof(T))) - kInnerRows,
                block = max(1, fit / step) * step;
  team.each(ceil_div(q.m, rows_of_tile) * col_tiles, [&](int64_t t) {
    const int64_t i0 = t / col_tiles * rows_of_tile, i1 = min(q.m, i0 + rows_of_tile);
    const int64_t j0 = t % col_tiles * tile, j1 = min(q.n, j0 + tile);
    for (int64_t jb = j0; jb < j1; jb += block)
      for (int64_t i = i0; i < i1; i += kInnerRows) {
        const int rows = static_cast<int>(min(kInnerRows, i1 - i));
        for (int64_t j = jb; j < min(j1, jb + block); j += step) {
          const int cols = static_cast<int>(min(step, j1 - j));
          pick_inner<T>(step, cols, rows)(q.k, q.pa + i * q.a.row, q.a.row, b + j * b_col, b_col, cols,
                                          q.pc + i * q.c.row + j, q.c.row, bias ? bias + j : nullptr);
        }
      }
  });
}

}  // namespace rv::RV_ISA::gemm
