// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "core/team.h"
#include "cpu/gemm/operand.h"
#include "cpu/gemm/product.h"

namespace rv::RV_ISA::gemm {

// Of the panels of A^T.
template <class T> int64_t transposed_bytes(const Product<T>& q) {
  return q.a.row == 1 ? 0 : panel_elements(q.m, kCols<T>, q.k) * static_cast<int64_t>(sizeof(T));
}

// C^T = B^T A^T by panels of A^T, a group of B's columns (rows of B^T) at a time over all of k; tiles are transposed
// on their way to C.
template <class T> void run_transposed(const Product<T>& q, const T* bias, std::byte* scratch, Team& team) {
  constexpr int L = kLanes<T>, W = kCols<T>;
  const int64_t groups = ceil_div(q.n, kRows * max(1, min(4, q.n / (8 * kRows))));
  T* const panels = reinterpret_cast<T*>(scratch);
  const bool lies = q.a.row == 1;                                        // A^T in rows: read as it lies
  const int64_t panel_row = lies ? q.a.col : W, panel = lies ? 1 : q.k;  // from one row to the next; from one column
  const int64_t strip = lies ? 8 * W : q.m, strips = ceil_div(q.m, strip);
  if (!lies)
    team.each(ceil_div(q.m, L), [&](int64_t t) {
      const int64_t i = t * L;
      T* const to = panels + i / W * W * q.k + i % W;
      pack_rows(to, W, L, q.pa + i * q.a.row, static_cast<int>(min(L, q.m - i)), q.a.row, q.k);
    });
  team.each(groups * strips, [&](int64_t t) {
    const int64_t group = t / strips, i0 = t % strips * strip, i1 = min(q.m, i0 + strip);
    const int64_t j0 = q.n * group / groups, j1 = q.n * (group + 1) / groups, parts = ceil_div(j1 - j0, kRows);
    alignas(64) T tile[(kRows + L - 1) / L * L * W] = {};
    for (int64_t g = 0, j = j0; g < parts; ++g) {
      const int64_t end = j0 + (j1 - j0) * (g + 1) / parts;
      const int rows = static_cast<int>(end - j);
      for (int64_t i = i0; i < i1; i += W) {
        const int count = static_cast<int>(min(W, i1 - i)), vectors = count > L ? 2 : 1;
        const int tail = lies ? count - (vectors - 1) * L : L;
        const auto b = TileA<T>::in_place(q.pb + j * q.b.col, q.b.col, q.b.row);
        // the next rows of a large B^T, while these ones meet the last of A's columns
        const bool fetch = b.layout == Layout::rows && i + W >= i1 && end + rows <= q.n && is_far<T>(q.n, q.k);
        pick_outer<T>(b.layout, rows, vectors, tail < L)(q.k, b.p, b.step, (lies ? q.pa : panels) + i * panel,
                                                         panel_row, tile, W, nullptr, false, tail, false,
                                                         fetch ? b.p + rows * b.step : nullptr);
        if (bias)
          for (int r = 0; r < rows; ++r)
            for (int v = 0; v < W; v += L) store(tile + r * W + v, load(tile + r * W + v) + splat(bias[j + r]));
        for (int r = 0; r < rows; r += L) {
          const int lanes = static_cast<int>(min(L, rows - r));
          pack_rows(q.pc + i * q.c.row + j + r, q.c.row, lanes, tile + r * W, L, W, count);
        }
      }
      j = end;
    }
  });
}

}  // namespace rv::RV_ISA::gemm
