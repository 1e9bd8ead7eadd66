// SPDX-License-Identifier: Apache-2.0
// The operands of a quantised layer: x, weights, scale and sums of each column, then where they are given what x is
// stored as and a bias; operands of an epilogue follow.
#pragma once
#include "cpu/gemm/epilogue.h"
#include "cpu/int8/product.h"
#include "cpu/int8/quantize.h"
#include "cpu/move/packed.h"

namespace rv::RV_ISA::int8 {

RV_ATTRS(LayerAttrs, (bool, fixed), (bool, bias), (ProgramAttrs, epilogue));

struct Layer {
  const float* x;
  const int8_t* weights;
  Columns columns{};
  const float* stored = nullptr;  // scale and zero of x; nullptr: as its numbers ask for

  static int operands(const LayerAttrs& a) { return 4 + a.fixed + a.bias; }

  // `shared` moves behind the copies.
  Layer(const Args& args, const LayerAttrs& a, std::byte*& shared, Team& team)
      : x(in_order<float>(args.in[0], shared, team)), weights(in_order<int8_t>(args.in[1], shared, team)) {
    columns.scale = in_order<float>(args.in[2], shared, team);
    columns.sums = in_order<int32_t>(args.in[3], shared, team);
    if (a.fixed) stored = in_order<float>(args.in[4], shared, team);
    if (a.bias) columns.bias = in_order<float>(args.in[4 + a.fixed], shared, team);
  }
};

// The result, and what follows it: `own` operands come before those of the epilogue.
inline const char* check_result(const Args& args, const ProgramAttrs& epilogue, int own) {
  const int extras = args.n_in - own;
  if (epilogue.outputs.size == 0)
    return extras || args.n_out > 1 || args.out[0].dtype != DType::f32 ? "the result must be float32 and alone"
                                                                       : nullptr;
  if (extras + 1 > Program::kMaxOperands) return "an epilogue has at most 32 operands";
  View ins[Program::kMaxOperands];
  ins[0] = args.out[0];
  ins[0].dtype = DType::f32;
  for (int i = 0; i < extras; ++i) ins[i + 1] = args.in[own + i];
  return check_program(epilogue, ins, extras + 1, args.out, args.n_out);
}

// What all layers with sums have in common; `features` columns.
inline const char* check_layer(const Args& args, const LayerAttrs& a, int64_t features) {
  const int own = Layer::operands(a);
  if (args.n_in < own || args.n_out < 1) return "takes x, weights, scale and sums";
  if (args.in[0].dtype != DType::f32 || args.in[1].dtype != DType::u8 || args.in[2].dtype != DType::f32 ||
      args.in[3].dtype != DType::i32)
    return "dtypes must be float32, uint8, float32 and int32";
  for (int k = 4; k < own; ++k)
    if (args.in[k].dtype != DType::f32) return "what follows the sums must be float32";
  for (int k = 2; k < own; ++k) {
    const int64_t wanted = a.fixed && k == 4 ? 2 : features;
    if (args.in[k].ndim != 1 || args.in[k].shape[0] != wanted) return "a vector has another length";
  }
  return check_result(args, a.epilogue, own);
}

}  // namespace rv::RV_ISA::int8
