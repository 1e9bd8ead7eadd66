// SPDX-License-Identifier: Apache-2.0
#include "cpu/int8/product.h"

#include "cpu/int8/dot.h"

namespace rv::RV_ISA::int8 {
namespace {

template <class U, int R, int S>
void tile(const uint8_t* const* rows, const Steps& steps, const int8_t* b, int64_t panel, int32_t* to) {
  constexpr int V = static_cast<int>(kColumns) / U::kLanes;
  typename U::Acc acc[R][S * V] = {};
  for (int64_t step = 0; step < steps.count; ++step) {
    const uint8_t* a[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) a[r] = rows[r] + steps.offset[step];
    for (int64_t g = 0; g < steps.groups; ++g, b += kPanelGroup) {
      typename U::B y[S * V];
#pragma GCC unroll 8
      for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) y[s * V + v] = U::load(b + s * panel + v * kVecBytes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const typename U::A x = U::broadcast(a[r] + g * kGroup);
#pragma GCC unroll 8
        for (int j = 0; j < S * V; ++j) acc[r][j] = U::dot(acc[r][j], x, y[j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < S * V; ++j) memcpy(to + r * kBlockColumns + j * U::kLanes, &acc[r][j], kVecBytes);
}

// Rows in tiles of R, the rest in smaller ones; a tile's sums fill the registers that there are.
template <class U, int R, int S>
void rows_of(const uint8_t* const* rows, int64_t count, const Steps& steps, const int8_t* b, int64_t panel,
             int32_t* to) {
  for (; count >= R; count -= R, rows += R, to += R * kBlockColumns) tile<U, R, S>(rows, steps, b, panel, to);
  if constexpr (R > 1)
    if (count > 0) rows_of<U, R / 2, S>(rows, count, steps, b, panel, to);
}

template <class U>
void multiply_on(const uint8_t* const* rows, int64_t count, const Steps& steps, const int8_t* b, int64_t panels,
                 int32_t* to) {
  constexpr int most = kVecBytes == 64 ? 16 : kVecBytes == 32 ? 4 : 2;  // panels times rows of a tile
  constexpr int tall = most < 8 ? most : 8;
  const int64_t panel = steps.all_groups() * kPanelGroup;
  const auto next = [&](int64_t done) { b += done * panel, to += done * kColumns, panels -= done; };
  if constexpr (most >= 4)
    for (; panels >= 4 && count < 4; next(4)) rows_of<U, most / 4, 4>(rows, count, steps, b, panel, to);
  if constexpr (kVecBytes == 64)
    for (; panels >= 2; next(2)) rows_of<U, 8, 2>(rows, count, steps, b, panel, to);
  for (; panels >= 1; next(1)) rows_of<U, tall, 1>(rows, count, steps, b, panel, to);
}

}  // namespace

void multiply(const uint8_t* const* rows, int64_t count, const Steps& steps, const int8_t* b, int64_t panels,
              int32_t* to) {
#if defined(RV_INT8_DOT)
  if (matrix_units.int8_dot) return multiply_on<Bytes>(rows, count, steps, b, panels, to);
#endif
  multiply_on<Words>(rows, count, steps, b, panels, to);
}

}  // namespace rv::RV_ISA::int8
