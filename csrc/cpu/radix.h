// SPDX-License-Identifier: Apache-2.0
// Stable radix sort of 64-bit items (32-bit key, 32-bit payload) by their keys.
#pragma once
#include <cstdint>

namespace rv::RV_ISA {

// Sorts by the upper halves, a byte at a time; an even number of passes, so the result is in `items` again.
inline void radix_sort_upper(uint64_t* items, uint64_t* spare, int64_t n) {
  for (int shift = 32; shift < 64; shift += 8) {
    int64_t start[256] = {};
    for (int64_t i = 0; i < n; ++i) ++start[items[i] >> shift & 255];
    int64_t sum = 0;
    for (int64_t& s : start) {
      const int64_t count = s;
      s = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; ++i) spare[start[items[i] >> shift & 255]++] = items[i];
    uint64_t* t = items;
    items = spare, spare = t;
  }
}

}  // namespace rv::RV_ISA
