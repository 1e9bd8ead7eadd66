// SPDX-License-Identifier: Apache-2.0
#include "core/cpu.h"

namespace rv {

const ElementwiseRow kRowTable[] = {
#define EW(name, arity, types, ...) {#name, arity, #types, RowKind::plain},
#define EWP(name, arity, types, ...) {#name, arity, #types, RowKind::predicate},
#define EWX(name, arity) {#name, arity, "", RowKind::mixed},
#include "core/elementwise.def"
};
const int kRows = sizeof(kRowTable) / sizeof(kRowTable[0]);

const char* const kKernelNames[] = {
#define KERNEL(name) #name,
#include "core/kernels.def"
};
const int kKernels = sizeof(kKernelNames) / sizeof(kKernelNames[0]);

const Kernel* find_kernel(std::string_view name) {
  for (int i = 0; i < kKernels; ++i)
    if (name == kKernelNames[i]) return table().kernels[i];
  return nullptr;
}

}  // namespace rv
