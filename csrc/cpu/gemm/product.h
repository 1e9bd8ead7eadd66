// SPDX-License-Identifier: Apache-2.0
// One product: its shape, how it is computed, and where its operands are.
#pragma once
#include "cpu/gemm/policy.h"

namespace rv::RV_ISA::gemm {

template <class T>
struct Product : Shape, Choice {
  const T *pa, *pb;  // the operands, or their panels made ahead
  T* pc;
  bool exchanged;  // computed as C^T = B^T A^T, for which all of the above holds

  static Product of(const Shape& s, const T* a, const T* b, T* c) {
    return s.wants_transpose() ? Product{s.transposed(), {}, b, a, c, true} : Product{s, {}, a, b, c, false};
  }
};

}  // namespace rv::RV_ISA::gemm
