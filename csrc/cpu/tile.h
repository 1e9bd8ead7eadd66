// SPDX-License-Identifier: Apache-2.0
// Tile functions (elementwise.cpp) and tile programs (tile.cpp).
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace rv {

// One elementwise op on contiguous vectors of n elements. `out` may be one of `in`.
using TileFn = void (*)(const void* const* in, void* out, int64_t n);

#ifdef RV_ISA
namespace RV_ISA {

// The instance of elementwise row `row` (EW, EWP and EWX rows of ops.def, in order) for `dtype_code`: the dtype of
// its value inputs; for a conversion from * 16 + to. nullptr where there is none.
TileFn tile_fn(int row, int dtype_code);

// A tile program, read in place from an instruction's attributes (docs/design.md). Registers are numbered inputs,
// constants, temporaries; a temporary may be written again once its value is no longer needed.
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

// Bytes of 64-byte aligned scratch that one thread needs to run any part of a program.
int64_t tile_scratch(const Program& p);

// An operand with two axes; stride 0 broadcasts. Without initialisers: arrays of these live on hot stacks.
struct TileMatrix {
  std::byte* data;
  int64_t row, column;  // strides in elements
  DType dtype;
};

// For the epilogue of a matrix product. What run_tile_block needs of a program, made once an instruction: returns its bytes;
// without memory it only counts them. `ones`: a bit for each input that is a single element where the outputs are not.
int64_t prepare_blocks(const Program& p, uint32_t ones, std::byte* memory);

// Runs the program on rows [r0, r1) x columns [c0, c1) of its operands.
void run_tile_block(const std::byte* prepared, const TileMatrix* ins, const TileMatrix* outs, int64_t r0, int64_t r1, int64_t c0,
                    int64_t c1, std::byte* scratch);

}  // namespace RV_ISA
#endif

}  // namespace rv
