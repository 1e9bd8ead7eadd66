// SPDX-License-Identifier: Apache-2.0
// Declares every kernel of kernels.def. Files that define one say `extern const Kernel k_name = {...}` in this
// namespace.
#pragma once
#include "core/kernel.h"

namespace rv::RV_ISA {

#pragma GCC visibility push(hidden)  // a kernel without a definition is an error of the linker
#define KERNEL(name) extern const Kernel k_##name;
#include "core/kernels.def"
#pragma GCC visibility pop

}  // namespace rv::RV_ISA
