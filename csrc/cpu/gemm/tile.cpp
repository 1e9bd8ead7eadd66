// SPDX-License-Identifier: Apache-2.0
#include "cpu/gemm/tile.h"

namespace rv::RV_ISA::gemm {

template <class T> void run_tile(const TileJob<T>& t) {
  constexpr int L = kLanes<T>, nr = kCols<T>;
  int64_t j = 0;
  const T* b = t.b;
  auto call = [&](Outer<T> fn, const T* a, int64_t i, int64_t at, const T* from, int tail)
      __attribute__((always_inline)) {
    fn(t.k, a, t.a.step, from, t.b_row, t.c + i * t.c_row + at, t.c_row, t.bias ? t.bias + at : nullptr, t.accumulate,
       tail, t.far, nullptr);
  };
  if (t.b_panel == nr && t.rows <= kWideRows &&
      t.a.layout != Layout::packed) {  // B as it lies: few rows take wider vectors
    const int rows = static_cast<int>(t.rows), step = wide(rows) * L;
    const auto fn = pick_wide<T>(t.a.layout, rows);
    for (; j + step <= t.cols; j += step, b += step) call(fn, t.a.p, 0, j, b, L);
  }
  // Columns from `at` on, two vectors of them or what is left.
  auto some = [&](const T* a, int64_t i, int64_t end, int64_t at, const T* from) __attribute__((always_inline)) {
    const int cols = static_cast<int>(min(nr, t.cols - at)), vectors = cols > L ? 2 : 1,
              tail = cols - (vectors - 1) * L;
    call(pick_outer<T>(t.a.layout, static_cast<int>(end - i), vectors, tail < L), a, i, at, from, tail);
  };
  if (t.runs) {
    each_group(t.rows, t.cols <= nr ? kRows : min(8, kRows), [&](int64_t g, int64_t i, int64_t end) {
      const T* const a = t.a.group(g, i);
      const auto whole = pick_outer<T>(t.a.layout, static_cast<int>(end - i), 2, false);
      int64_t at = j;
      const T* from = b;
      for (; at + nr <= t.cols; at += nr, from += t.b_panel) call(whole, a, i, at, from, L);
      if (at < t.cols) some(a, i, end, at, from);
    });
    return;
  }
  for (; j < t.cols; j += nr, b += t.b_panel)
    each_group(t.rows, kRows, [&](int64_t g, int64_t i, int64_t end) { some(t.a.group(g, i), i, end, j, b); });
}

template void run_tile(const TileJob<float>&);
template void run_tile(const TileJob<double>&);

}  // namespace rv::RV_ISA::gemm
