// SPDX-License-Identifier: Apache-2.0
// Tile functions (elementwise.cpp) and tile programs (tile.cpp).
#pragma once
#include "core/kernel.h"

namespace rv::RV_ISA {

// The instance of elementwise row `row` (EW, EWP and EWX rows of elementwise.def, in order) for `dtype_code`: the dtype
// of its value inputs; for a conversion from * 16 + to. nullptr where there is none.
TileFn tile_fn(int row, int dtype_code);

// dtypes: codes of the constants; steps: kStep integers a step, as below; outputs: registers.
RV_ATTRS(ProgramAttrs, (Ints, dtypes), (Floats, constants), (Ints, steps), (Ints, outputs));

// A tile program, read in place from an instruction's attributes (docs/design/kernels.md). Registers are numbered
// inputs, constants, temporaries; a temporary may be written again once its value is no longer needed.
struct Program {
  static constexpr int kMaxOperands = 32, kMaxRegisters = 96, kStep = 8;

  int n_in, n_out, n_const, n_steps;
  const int64_t* const_codes;  // (n_const)
  const int64_t* steps;        // (n_steps, kStep): row, dtype code, arity, out register, r0, r1, r2, r3
  const int64_t* outputs;      // (n_out) registers
  const double* constants;     // (n_const)

  Program(const ProgramAttrs& a, int inputs)
      : n_in(inputs),
        n_out(static_cast<int>(a.outputs.size)),
        n_const(static_cast<int>(a.constants.size)),
        n_steps(static_cast<int>(a.steps.size / kStep)),
        const_codes(a.dtypes.data),
        steps(a.steps.data),
        outputs(a.outputs.data),
        constants(a.constants.data) {}
  explicit Program(const Args& args) : Program(attrs<ProgramAttrs>(args), args.n_in) {}
};

// What is wrong with a program on these operands, or nullptr.
const char* check_program(const ProgramAttrs& program, const View* ins, int n_in, const View* outs, int n_out);

extern const Kernel k_tile;

}  // namespace rv::RV_ISA
