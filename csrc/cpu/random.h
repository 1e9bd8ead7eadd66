// SPDX-License-Identifier: Apache-2.0
// Random factors for kernels that draw while they compute (random.cpp).
#pragma once
#include <cstdint>

namespace rv::RV_ISA {

// to[i] is `value` where word i of the key's stream, from block `block` on, is below `threshold`, else 0: the numbers
// that a bernoulli draws there.
template <class T> void random_factors(uint64_t seed, uint64_t block, int64_t n, uint64_t threshold, T value, T* to);
extern template void random_factors(uint64_t, uint64_t, int64_t, uint64_t, float, float*);
extern template void random_factors(uint64_t, uint64_t, int64_t, uint64_t, double, double*);

// Of probability p.
inline uint64_t threshold_of(double p) { return static_cast<uint64_t>(__builtin_floor(p * 0x1p32 + 0.5)); }

}  // namespace rv::RV_ISA
