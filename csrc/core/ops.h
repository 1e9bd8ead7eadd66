// SPDX-License-Identifier: Apache-2.0
// The rows of elementwise.def and kernels.def, numbered; and the table that each instruction set fills for them.
// Their numbers are no constants here, so that a new row compiles nothing but the tables anew.
#pragma once
#include "core/kernel.h"

namespace rv {

enum class RowKind { plain, predicate, mixed };  // EW, EWP, EWX

struct ElementwiseRow {
  const char* name;
  int arity;
  const char* types;
  RowKind kind;
};

extern const ElementwiseRow kRowTable[];
extern const int kRows;
extern const char* const kKernelNames[];
extern const int kKernels;

struct Table {
  const char* isa;
  TileFn (*tile_fn)(int row, int dtype_code);
  const Kernel* const* kernels;
};

}  // namespace rv
