// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10, the counter-based random number generator of Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011): four 32-bit words, a pure function of a 128-bit counter and a 64-bit key.
#pragma once
#include <cstdint>

namespace rv {

struct Philox4 {
  uint32_t w[4];
  constexpr bool operator==(const Philox4&) const = default;
};

static constexpr Philox4 philox4x32_10(uint64_t counter_lo, uint64_t counter_hi, uint64_t key) {
  uint32_t c0 = uint32_t(counter_lo), c1 = uint32_t(counter_lo >> 32);
  uint32_t c2 = uint32_t(counter_hi), c3 = uint32_t(counter_hi >> 32);
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c1 = uint32_t(p1);
    c3 = uint32_t(p0);
    k0 += 0x9E3779B9;  // golden ratio
    k1 += 0xBB67AE85;  // sqrt(3) - 1
  }
  return {{c0, c1, c2, c3}};
}

// Known answers of the Random123 distribution (kat_vectors).
static_assert(philox4x32_10(0, 0, 0) == Philox4{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
static_assert(philox4x32_10(~0ull, ~0ull, ~0ull) == Philox4{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
static_assert(philox4x32_10(0x85a308d3243f6a88, 0x0370734413198a2e, 0x299f31d0a4093822) ==
              Philox4{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});

}  // namespace rv
