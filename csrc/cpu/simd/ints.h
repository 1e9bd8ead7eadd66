// SPDX-License-Identifier: Apache-2.0
// Arithmetic of sizes.
#pragma once
#include "core/view.h"

namespace rv::RV_ISA {

RV_INLINE constexpr int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
RV_INLINE constexpr int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
RV_INLINE constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace rv::RV_ISA
