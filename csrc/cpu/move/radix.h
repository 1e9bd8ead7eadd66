// SPDX-License-Identifier: Apache-2.0
// Stable radix sort, least significant byte first.
#pragma once
#include <cstdint>

namespace rv::RV_ISA {

// Sorts n items by the kBytes bytes of key(item) from bit kShift on. Returns where the result is: `items` or `spare`.
template <int kShift, int kBytes, class Item, class Key>
Item* radix_sort(Item* items, Item* spare, int64_t n, Key&& key) {
  int64_t count[kBytes][256] = {};
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t k = key(items[i]) >> kShift;
    for (int b = 0; b < kBytes; ++b) ++count[b][k >> 8 * b & 255];
  }
  for (int b = 0; b < kBytes; ++b) {
    const int shift = kShift + 8 * b;
    int64_t* start = count[b];
    if (n == 0 || start[key(items[0]) >> shift & 255] == n) continue;  // all have the same byte
    int64_t sum = 0;
    for (int d = 0; d < 256; ++d) {
      const int64_t c = start[d];
      start[d] = sum;
      sum += c;
    }
    for (int64_t i = 0; i < n; ++i) spare[start[key(items[i]) >> shift & 255]++] = items[i];
    Item* t = items;
    items = spare, spare = t;
  }
  return items;
}

}  // namespace rv::RV_ISA
