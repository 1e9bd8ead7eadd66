// SPDX-License-Identifier: Apache-2.0
// The transpose of 4x4 numbers of 32 bits.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/view.h"

namespace rv::RV_ISA {

// to[j * to_row + i] = from[i * from_row + j]
template <class T> RV_INLINE void transpose4(const T* from, int64_t from_row, T* to, int64_t to_row) {
  static_assert(sizeof(T) == 4);
  typedef T Four __attribute__((vector_size(16)));
  Four a, b, c, d;
  memcpy(&a, from, sizeof a);
  memcpy(&b, from + from_row, sizeof b);
  memcpy(&c, from + 2 * from_row, sizeof c);
  memcpy(&d, from + 3 * from_row, sizeof d);
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
             ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Four columns[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                           __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5),
                           __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7)};
  for (int q = 0; q < 4; ++q) memcpy(to + q * to_row, &columns[q], sizeof(Four));
}

}  // namespace rv::RV_ISA
