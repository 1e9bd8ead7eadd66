// SPDX-License-Identifier: Apache-2.0
// One product: its shape, how it is computed, and where its operands are.
#pragma once
#include "cpu/gemm/blocks.h"
#include "cpu/gemm/policy.h"

namespace rv::RV_ISA::gemm {

template <class T> struct Product : Shape, Choice {
  const T *pa = nullptr, *pb = nullptr;  // the operands, or their panels made ahead
  T* pc = nullptr;
  bool exchanged = false;  // computed as C^T = B^T A^T, for which all of the above holds
  Blocks blocks{};         // of the tiles of C, where the algorithm has such

  explicit Product(const Shape& s) : Shape(s), exchanged(s.wants_transpose()) {
    if (exchanged) static_cast<Shape&>(*this) = s.transposed();
  }
  void choose(const Choice& choice) {
    static_cast<Choice&>(*this) = choice;
    if (algorithm == Algorithm::outer || algorithm == Algorithm::slices)
      blocks = Blocks::of<T>(m, n, depth(), from_a, from_b);
  }
  // Of k, in a slice: the last of them, which may be shorter, is cut like the others.
  int64_t depth() const { return algorithm == Algorithm::slices ? ceil_div(ceil_div(k, slices), 16) * 16 : k; }
  // Operands of that shape; those made ahead stay.
  void place(const T* a, const T* b, T* c) {
    if (from_a != Source::ahead) pa = exchanged ? b : a;
    if (from_b != Source::ahead) pb = exchanged ? a : b;
    pc = c;
  }
};

}  // namespace rv::RV_ISA::gemm
