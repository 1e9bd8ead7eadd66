// SPDX-License-Identifier: Apache-2.0
// A tile of C for one piece of k: calls of the micro-kernel `outer`.
#pragma once
#include "cpu/gemm/operand.h"

namespace rv::RV_ISA::gemm {

// C[rows, cols] (+)= A B
template <class T> struct TileJob {
  TileA<T> a;
  const T *b, *bias;
  int64_t b_row, b_panel;  // element strides inside a panel of kCols columns, and from one to the next
  T* c;
  int64_t c_row, rows, cols, k;
  bool accumulate, runs, far;
};
template <class T> void run_tile(const TileJob<T>&);

}  // namespace rv::RV_ISA::gemm
