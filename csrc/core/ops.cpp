// SPDX-License-Identifier: Apache-2.0
#include "core/ops.h"

namespace rv {

const ElementwiseRow kRowTable[kRows] = {
#define EW(name, arity, types, ...) {#name, arity, #types, RowKind::plain},
#define EWP(name, arity, types, ...) {#name, arity, #types, RowKind::predicate},
#define EWX(name, arity) {#name, arity, "", RowKind::mixed},
#include "core/elementwise.def"
};

const char* const kKernelNames[kKernels] = {
#define KERNEL(name) #name,
#include "core/kernels.def"
};

int find_kernel(std::string_view name) {
  for (int i = 0; i < kKernels; ++i)
    if (name == kKernelNames[i]) return i;
  return -1;
}

}  // namespace rv
