// SPDX-License-Identifier: Apache-2.0
// The shape of one matrix product C[m, n] = A[m, k] B[k, n] and how its operands lie: all that choices follow from.
#pragma once
#include <cstdint>

#include "cpu/simd/ints.h"

namespace rv::RV_ISA::gemm {

struct Strides {
  int64_t row, col;  // in elements

  Strides transposed() const { return {col, row}; }
  bool has_unit() const { return row == 1 || col == 1; }
};

struct Shape {
  int64_t m, n, k;
  Strides a, b, c;

  // C^T = B^T A^T
  Shape transposed() const { return {n, m, k, b.transposed(), a.transposed(), c.transposed()}; }
  // Rows of C must have unit stride, and one column is one row of the transposed product.
  bool wants_transpose() const { return n == 1 ? m > 1 && c.row == 1 : c.col != 1; }
};

// Where the kernel `outer` finds an operand.
enum class Source : uint8_t {
  in_place,  // as it lies in memory
  copied,    // into panels, during the product
  ahead      // in panels that were made before
};

}  // namespace rv::RV_ISA::gemm
