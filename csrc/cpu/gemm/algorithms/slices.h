// SPDX-License-Identifier: Apache-2.0
// k in slices: partial products, then their sum in the order of k.
#pragma once
#include "cpu/gemm/algorithms/outer.h"
#include "cpu/gemm/product.h"

namespace rv::RV_ISA::gemm {

// The values of k from k0 on.
template <class T>
void run_outer(const Product<T>& q, int64_t k0, int64_t k, T* c, int64_t c_row, const T* bias, std::byte* scratch,
               Team& team) {
  const Strided<T> a{q.pa + k0 * q.a.col, q.a.row, q.a.col, q.from_a};
  const Strided<T> b{q.pb + k0 * q.b.row, q.b.col, q.b.row, q.from_b};
  blocked(q.blocks, q.m, q.n, k, a, b, c, c_row, bias, scratch, team);
}

template <class T> int64_t partial_bytes(const Product<T>& q) {
  return ceil_div(q.m * q.n * static_cast<int64_t>(sizeof(T)), 64) * 64;
}
// Of the copies of one slice.
template <class T> int64_t slice_bytes(const Product<T>& q) {
  return q.blocks.template bytes<T>(q.m, q.n, q.from_a, q.from_b);
}

// Row i of C: the sum of `count` partial products, each `part` elements behind the one before it, in the order of k.
template <class T>
void sum_slices(const Product<T>& q, int64_t i, int64_t count, const T* partial, int64_t part, const T* bias) {
  T* const c = q.pc + i * q.c.row;
  const T* from = partial + i * q.n;
  for (int64_t j = 0; j < q.n; ++j) c[j] = from[j];
  for (int64_t s = 1; s < count; ++s) {
    from += part;
    for (int64_t j = 0; j < q.n; ++j) c[j] += from[j];
  }
  if (bias)
    for (int64_t j = 0; j < q.n; ++j) c[j] += bias[j];
}

template <class T> void run_slices(const Product<T>& q, const T* bias, std::byte* scratch, Team& team) {
  const int64_t part = partial_bytes(q), bytes = slice_bytes(q), step = q.depth(), count = ceil_div(q.k, step);
  std::byte* const copies = scratch + q.slices * part;
  team.each(count, [&](int64_t s) {
    Team single = team.single();
    run_outer<T>(q, s * step, min(step, q.k - s * step), reinterpret_cast<T*>(scratch + s * part), q.n, nullptr,
                 copies + s * bytes, single);
  });
  constexpr int64_t rows = 16;
  team.each(ceil_div(q.m, rows), [&](int64_t t) {
    for (int64_t i = t * rows; i < min(q.m, (t + 1) * rows); ++i)
      sum_slices(q, i, count, reinterpret_cast<const T*>(scratch), part / static_cast<int64_t>(sizeof(T)), bias);
  });
}

}  // namespace rv::RV_ISA::gemm
