// SPDX-License-Identifier: Apache-2.0
// What a tile program must be like.
#include "core/ops.h"
#include "cpu/tile/program.h"

namespace rv::RV_ISA {

static constexpr int kMaxArgs = Program::kMaxOperands, kMaxRegs = Program::kMaxRegisters;

const char* check_program(const ProgramAttrs& program, const View* ins, int n_in, const View* outs, int n_out) {
  if (n_out < 1 || n_in + n_out > kMaxArgs) return "a tile program has 1 to 32 operands, one of them an output";
  if (program.outputs.size != n_out) return "there must be a register for each output";
  if (program.dtypes.size != program.constants.size) return "each constant must have a dtype";
  if (program.steps.size % Program::kStep || program.steps.size > kMaxRegs * Program::kStep)
    return "a tile program has at most 96 steps, of eight integers each";
  if (n_in + program.constants.size > kMaxRegs) return "a tile program has at most 96 registers";
  const Program p(program, n_in);
  const int n_const = p.n_const, n_steps = p.n_steps;

  int dtype[kMaxRegs];  // of each register; -1: not written yet
  for (int r = 0; r < kMaxRegs; ++r) dtype[r] = -1;
  for (int k = 0; k < n_in; ++k) dtype[k] = static_cast<int>(ins[k].dtype);
  for (int c = 0; c < n_const; ++c) {
    if (p.const_codes[c] < 0 || p.const_codes[c] >= kDTypes) return "a constant has an unknown dtype code";
    dtype[n_in + c] = static_cast<int>(p.const_codes[c]);
  }
  for (int i = 0; i < n_steps; ++i) {
    const int64_t* s = p.steps + i * Program::kStep;
    if (s[0] < 0 || s[0] >= kRows) return "a step's fn must be a row number of elementwise.def";
    const ElementwiseRow& row = kRowTable[s[0]];
    if (s[1] < 0 || s[1] >= kDTypes * 16 || !tile_fn(static_cast<int>(s[0]), static_cast<int>(s[1])))
      return "a step's op has no instance for its dtype";
    if (s[2] != row.arity) return "a step's arity must be its op's";
    if (s[3] < n_in + n_const || s[3] >= kMaxRegs || s[3] >= n_in + n_const + n_steps)
      return "a step must write a temporary register";
    const bool converts = row.kind == RowKind::mixed && row.arity == 1;
    const int value = static_cast<int>(converts ? s[1] / 16 : s[1]);
    for (int a = 0; a < s[2]; ++a) {
      const int64_t r = s[4 + a];
      if (r < 0 || r >= kMaxRegs || dtype[r] < 0) return "a step reads a register that nothing has written";
      const int expected = row.kind == RowKind::mixed && !converts && a == 0 ? static_cast<int>(DType::b1) : value;
      if (dtype[r] != expected) return "a step's op and its registers must have the same dtype";
      if (r == s[3]) return "a step must not write a register that it reads";
    }
    dtype[s[3]] = converts                         ? static_cast<int>(s[1] % 16)
                  : row.kind == RowKind::predicate ? static_cast<int>(DType::b1)
                                                   : value;
  }
  for (int o = 0; o < n_out; ++o) {
    const int64_t r = p.outputs[o];
    if (r < 0 || r >= kMaxRegs || dtype[r] < 0) return "an output register has not been written";
    if (dtype[r] != static_cast<int>(outs[o].dtype)) return "an output must have its register's dtype";
    if (outs[o].ndim != outs[0].ndim) return "all outputs must have the same shape";
    for (int d = 0; d < outs[0].ndim; ++d)
      if (outs[o].shape[d] != outs[0].shape[d]) return "all outputs must have the same shape";
  }
  for (int k = 0; k < n_in; ++k) {
    const int pad = outs[0].ndim - ins[k].ndim;
    if (pad < 0) return "an input has more axes than the output";
    for (int d = 0; d < ins[k].ndim; ++d)
      if (ins[k].shape[d] != 1 && ins[k].shape[d] != outs[0].shape[d + pad])
        return "inputs must broadcast to the output's shape";
  }
  return nullptr;
}

}  // namespace rv::RV_ISA
