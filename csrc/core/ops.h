// SPDX-License-Identifier: Apache-2.0
// The rows of elementwise.def and kernels.def, numbered; and the table that each instruction set fills for them.
#pragma once
#include <string_view>

#include "core/kernel.h"

namespace rv {

enum class RowKind { plain, predicate, mixed };  // EW, EWP, EWX

struct ElementwiseRow {
  const char* name;
  int arity;
  const char* types;
  RowKind kind;
};

inline constexpr int kRows = 0
#define EW(name, arity, types, ...) +1
#define EWP(name, arity, types, ...) +1
#define EWX(name, arity) +1
#include "core/elementwise.def"
    ;
inline constexpr int kKernels = 0
#define KERNEL(name) +1
#include "core/kernels.def"
    ;

extern const ElementwiseRow kRowTable[kRows];
extern const char* const kKernelNames[kKernels];

int find_kernel(std::string_view name);  // its number, or -1

struct Table {
  const char* isa;
  TileFn (*tile_fn)(int row, int dtype_code);
  const Kernel* kernels[kKernels];
};

}  // namespace rv
