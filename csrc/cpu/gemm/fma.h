// SPDX-License-Identifier: Apache-2.0
// Products of matrices in memory by the algorithm that was chosen for them, on the FMA units.
#pragma once
#include "core/team.h"
#include "cpu/gemm/product.h"

namespace rv::RV_ISA::gemm {

// C = A B with what `choose` says.
template <class T> Product<T> plan_fma(const Shape& shape) {
  Product<T> q(shape);
  q.choose(choose<T>(q));
  return q;
}

// Scratch common to all threads.
template <class T> int64_t fma_bytes(const Product<T>&);
// Everything but k = 0 and an empty C. bias: one value a column, side by side, or null.
template <class T> void run_fma(const Product<T>&, const T* bias, std::byte* scratch, Team&);

}  // namespace rv::RV_ISA::gemm
