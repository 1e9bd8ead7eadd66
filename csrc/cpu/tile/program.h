// SPDX-License-Identifier: Apache-2.0
// Tile functions (elementwise.cpp) and tile programs (tile.cpp).
#pragma once
#include "core/kernel.h"

namespace rv {

#ifdef RV_ISA
namespace RV_ISA {

// The instance of elementwise row `row` (EW, EWP and EWX rows of elementwise.def, in order) for `dtype_code`: the dtype
// of its value inputs; for a conversion from * 16 + to. nullptr where there is none.
TileFn tile_fn(int row, int dtype_code);

// A tile program, read in place from an instruction's attributes (docs/design/kernels.md). Registers are numbered
// inputs, constants, temporaries; a temporary may be written again once its value is no longer needed.
struct Program {
  static constexpr int kMaxOperands = 32, kMaxRegisters = 96, kStep = 8;

  int n_in, n_out, n_const, n_steps;
  const int64_t* const_codes;  // (n_const)
  const int64_t* steps;        // (n_steps, kStep): row, dtype code, arity, out register, r0, r1, r2, r3
  const int64_t* outputs;      // (n_out) registers
  const double* constants;     // (n_const)

  Program(const int64_t* ints, const double* floats)
      : n_in(static_cast<int>(ints[0])),
        n_out(static_cast<int>(ints[1])),
        n_const(static_cast<int>(ints[2])),
        n_steps(static_cast<int>(ints[3])),
        const_codes(ints + 4),
        steps(const_codes + n_const),
        outputs(steps + n_steps * kStep),
        constants(floats) {}
};

// What is wrong with the attributes of a program on these operands, or nullptr.
const char* check_program(const int64_t* ints, int n_ints, int n_floats, const View* ins, int n_in, const View* outs,
                          int n_out);

}  // namespace RV_ISA
#endif

}  // namespace rv
