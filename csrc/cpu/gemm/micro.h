// SPDX-License-Identifier: Apache-2.0
// The two micro-kernels. Both take operands as they lie in memory, and `outer` packed panels too.
//
// outer: C[R, V vectors] (+)= A[R, k] B[k, V vectors]; elements of A are broadcast, rows of B are vectors. Every
//        element sums its products in the order of k, whatever R and V are: bits do not depend on the tiling.
// inner: C[R, S] = A[R, k] B[S, k]^T for operands that both lie along k: vectors run along k, lanes are summed last.
#pragma once
#include "cpu/gemm/vec.h"

namespace rv::RV_ISA::gemm {

// ---------------------------------------------------------------- outer

// How a tile of A lies, so that its elements have addresses without arithmetic: `step` elements from one row to the
// next, each contiguous along k (rows), or from one k to the next, each with its rows side by side (columns). In panels
// of kRows rows it is the latter, beside a B in panels of two vectors (packed).
enum class Layout : uint8_t { rows, columns, packed };

// `next`: rows of A that will be wanted after these ones and come from far, or null; for one or two vectors.
// Strides are in elements; `tail` is the number of columns in the last vector (kLanes: all); bias (one value a column)
// may be null.
template <class T>
using Outer = void (*)(int64_t k, const T* a, int64_t step, const T* b, int64_t b_row, T* c, int64_t c_row,
                       const T* bias, bool accumulate, int tail, bool far, const T* next);

// Vectors side by side for R rows: two, and more where few rows would leave the adders waiting, or calls would be
// short.
#if defined(RV_AVX512)
inline constexpr int kWideRows = 6;
inline constexpr int wide(int rows) { return rows <= 3 ? 8 : rows <= kWideRows ? 4 : 2; }
#else
inline constexpr int kWideRows = kRows > 4 ? 3 : 1;
inline constexpr int wide(int rows) { return rows == 1 ? 8 : rows <= kWideRows ? 4 : 2; }
#endif

// ---------------------------------------------------------------- inner

// R x S accumulators; a multiple of the lanes of float32.
#if defined(RV_AVX512)
inline constexpr int kInnerRows = 4, kInnerCols = 4;
#else
inline constexpr int kInnerRows = 2, kInnerCols = 4;
#endif

// `cols` <= S of the columns exist.
template <class T>
using Inner = void (*)(int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_row, int cols, T* c, int64_t c_row,
                       const T* bias);

// Columns at a time: one row takes more of them, and as many as there are lanes where k is short and sums over lanes
// are most of the work.
template <class T> inline int inner_cols(int64_t m, int64_t k) {
  return m > 1 ? kInnerCols : kLanes<T> == 16 && k <= 64 ? 16 : 8;
}

// ---------------------------------------------------------------- all of them

// Compiled once for each dtype (micro_f32.cpp, micro_f64.cpp).
template <class T> struct MicroKernels {
  struct Column {
    Outer<T> of[kRows];
  };
  static const Column outer[3][2][2];          // [layout of A][with a tail][two vectors].of[rows - 1]
  static const Column wide[2];                 // [layout of A].of[rows - 1], wide(rows) whole vectors
  static const Inner<T> inner[2][kInnerRows];  // [more than two columns][rows - 1]
  static const Inner<T> inner_row[2];          // of one row: 8 columns, 16
};
extern template struct MicroKernels<float>;
extern template struct MicroKernels<double>;

template <class T> inline Outer<T> pick_outer(Layout a, int rows, int vectors, bool tail) {
  return MicroKernels<T>::outer[static_cast<int>(a)][tail][vectors > 1].of[rows - 1];
}
// A in place, whole vectors: as many as wide(rows).
template <class T> inline Outer<T> pick_wide(Layout a, int rows) {
  return MicroKernels<T>::wide[static_cast<int>(a)].of[rows - 1];
}
// For `cols` of the `step` columns at a time that inner_cols gave.
template <class T> inline Inner<T> pick_inner(int step, int cols, int rows) {
  return step == kInnerCols ? MicroKernels<T>::inner[cols > 2][rows - 1] : MicroKernels<T>::inner_row[step > 8];
}

}  // namespace rv::RV_ISA::gemm
