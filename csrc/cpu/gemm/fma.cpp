// SPDX-License-Identifier: Apache-2.0
#include "cpu/gemm/algorithms/inner.h"
#include "cpu/gemm/algorithms/lines.h"
#include "cpu/gemm/algorithms/slices.h"
#include "cpu/gemm/algorithms/strips.h"
#include "cpu/gemm/algorithms/transposed.h"
#include "cpu/gemm/fma.h"

namespace rv::RV_ISA::gemm {

template <class T> int64_t fma_bytes(const Product<T>& q) {
  switch (q.algorithm) {
    case Algorithm::inner: return inner_bytes(q);
    case Algorithm::transposed: return transposed_bytes(q);
    case Algorithm::slices: return q.slices * (partial_bytes(q) + slice_bytes(q));
    case Algorithm::strips: return q.slices > 1 ? q.slices * partial_bytes(q) : 0;
    case Algorithm::lines: return 0;
    case Algorithm::outer: return q.blocks.template bytes<T>(q.m, q.n, q.from_a, q.from_b);
  }
  return 0;
}
template <class T> void run_fma(const Product<T>& q, const T* bias, std::byte* scratch, Team& team) {
  switch (q.algorithm) {
    case Algorithm::inner: return run_inner(q, bias, scratch, team);
    case Algorithm::transposed: return run_transposed(q, bias, scratch, team);
    case Algorithm::slices: return run_slices(q, bias, scratch, team);
    case Algorithm::strips: return q.m == 1 ? run_row(q, bias, scratch, team) : run_strips(q, bias, team);
    case Algorithm::lines: return run_lines(q, bias, team);
    case Algorithm::outer: return run_outer(q, 0, q.k, q.pc, q.c.row, bias, scratch, team);
  }
}

#define RV_FMA(T)                                \
  template int64_t fma_bytes(const Product<T>&); \
  template void run_fma(const Product<T>&, const T*, std::byte*, Team&);
RV_FMA(float)
RV_FMA(double)

}  // namespace rv::RV_ISA::gemm
