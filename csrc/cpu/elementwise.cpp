// SPDX-License-Identifier: Apache-2.0
// Tile functions of the elementwise rows.
#include "core/ops.h"
#include "cpu/tile.h"

namespace rv::RV_ISA {
namespace {

template <class T> void add(const void* const* in, void* out, int64_t n) {
  const T *a = static_cast<const T*>(in[0]), *b = static_cast<const T*>(in[1]);
  T* o = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) o[i] = a[i] + b[i];
}
template <class T> void relu(const void* const* in, void* out, int64_t n) {
  const T* a = static_cast<const T*>(in[0]);
  T* o = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) o[i] = a[i] < 0 ? T(0) : a[i];
}
constexpr TileFn kTable[2][5] = {{add<float>, add<double>, add<int32_t>, add<int64_t>, add<uint8_t>},
                                 {relu<float>, relu<double>, relu<int32_t>, relu<int64_t>, relu<uint8_t>}};

}  // namespace

TileFn tile_fn(int row, int code) { return row < 2 && code < 5 ? kTable[row][code] : nullptr; }

}  // namespace rv::RV_ISA
