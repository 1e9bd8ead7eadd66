// SPDX-License-Identifier: Apache-2.0
// What this instruction set has to offer for each row of elementwise.def and kernels.def.
#include "core/ops.h"
#include "cpu/tile/program.h"

#define RV_STRING_(x) #x
#define RV_STRING(x) RV_STRING_(x)

namespace rv::RV_ISA {

#pragma GCC visibility push(hidden)  // a kernel without a definition is an error of the linker
#define KERNEL(name) extern const Kernel k_##name;
#include "core/kernels.def"
#pragma GCC visibility pop

static constexpr const Kernel* kKernelTable[] = {
#define KERNEL(name) &k_##name,
#include "core/kernels.def"
};

extern const Table table;
const Table table = {RV_STRING(RV_ISA), tile_fn, kKernelTable};

}  // namespace rv::RV_ISA
