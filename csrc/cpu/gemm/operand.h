// SPDX-License-Identifier: Apache-2.0
// Operands of `blocked` (algorithms/outer.h). It is a template of both, so that an operand which lies nowhere, such as
// the patches of an image, is one more class with a `source` of Source::copied and a packer.
#pragma once
#include "cpu/gemm/micro.h"
#include "cpu/gemm/pack.h"
#include "cpu/gemm/shape.h"

namespace rv::RV_ISA::gemm {

// A: its rows from `i` on, `rows` of them, and k values of k from p on, as a panel for each group of rows.
template <class X, class T>
concept PacksRows = requires(const X& x, T* to, int64_t i, int64_t rows, int64_t p, int64_t k) {
  Source{x.source};
  x.pack(to, i, rows, p, k);
};
// B: its columns from `j` on, `columns` of them, as panels of kCols.
template <class X, class T>
concept PacksColumns = requires(const X& x, T* to, int64_t j, int64_t columns, int64_t p, int64_t k) {
  Source{x.source};
  x.panels(to, j, columns, p, k);
};
// In memory, so that `source` may be any: `p` is where the operand or its panels begin.
template <class X, class T>
concept InMemory = requires(const X& x) {
  static_cast<const T*>(x.p);
  static_cast<int64_t>(x.s_outer + x.s_k);
};

// Where the micro-kernel finds a tile of A: row i at p + i * row, or group g of rows, copied, at p + g * panel.
template <class T> struct TileA {
  const T* p;
  int64_t row, panel, step;
  Layout layout;

  static TileA in_place(const T* p, int64_t row, int64_t col) {
    return col == 1 ? TileA{p, row, 0, row, Layout::rows} : TileA{p, row, 0, col, Layout::columns};
  }
  static TileA copied(const T* p, int64_t k, bool beside_panels) {
    return {p, 0, kRows * k, kRows, beside_panels ? Layout::packed : Layout::columns};
  }
  // Group g, which begins with row i.
  const T* group(int64_t g, int64_t i) const { return p + g * panel + i * row; }
};

// Rows of a tile in groups of at most `size`, all of about the same size: f(group, begin, end).
template <class F> RV_INLINE void each_group(int64_t rows, int64_t size, F&& f) {
  const int64_t groups = ceil_div(rows, size);
  for (int64_t g = 0, i = 0; g < groups; ++g) {
    const int64_t end = rows * (g + 1) / groups;
    f(g, i, end);
    i = end;
  }
}

// A matrix in memory. `s_outer` steps over rows of A or columns of B; of A in place, one of the strides is 1, of B in
// place s_outer.
template <class T> struct Strided {
  const T* p;
  int64_t s_outer, s_k;
  Source source;

  void pack(T* to, int64_t i, int64_t rows, int64_t p, int64_t k) const;
  void panels(T* to, int64_t j, int64_t columns, int64_t p, int64_t k) const;
};
extern template struct Strided<float>;
extern template struct Strided<double>;

}  // namespace rv::RV_ISA::gemm
