// SPDX-License-Identifier: Apache-2.0
// The numbers of policy.def for this instruction set.
#pragma once
#include <cstdint>

#include "cpu/simd/simd.h"

namespace rv::RV_ISA::gemm::policy {

#if defined(RV_AVX512)
#define POLICY(name, avx512, avx2, other, unit, why) inline constexpr int64_t name = avx512;
#elif defined(RV_AVX2)
#define POLICY(name, avx512, avx2, other, unit, why) inline constexpr int64_t name = avx2;
#else
#define POLICY(name, avx512, avx2, other, unit, why) inline constexpr int64_t name = other;
#endif
#include "cpu/gemm/policy.def"

}  // namespace rv::RV_ISA::gemm::policy
