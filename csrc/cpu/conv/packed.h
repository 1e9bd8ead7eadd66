// SPDX-License-Identifier: Apache-2.0
// What the operands of convolutions must be like.
#pragma once
#include "cpu/conv/space.h"
#include "cpu/move/packed.h"

namespace rv::RV_ISA::conv {

using RV_ISA::copy_bytes, RV_ISA::line_up, RV_ISA::Packed, RV_ISA::packed_bytes;

// Of the operands and the result, which are images `x`, kernels `w` and images `y` in some order, and a bias.
inline const char* check_operands(const Args& args, const View& x, const View& w, const View& y) {
  const ConvAttrs& a = attrs<ConvAttrs>(args);
  if (a.stride.size != kAxes || a.padding.size != kAxes || a.dilation.size != kAxes)
    return "stride, padding and dilation must have 3 numbers";
  for (int d = 0; d < kAxes; ++d)
    if (a.stride[d] < 1 || a.padding[d] < 0 || a.dilation[d] < 1) return "stride, padding or dilation is out of range";
  if (a.groups < 1 || args.n_in < 2 || args.n_in > 3) return "groups or the number of operands is out of range";
  for (int k = 0; k < args.n_in; ++k)
    if (args.in[k].dtype != args.out[0].dtype || !floating(args.in[k].dtype)) return "dtypes must be one float dtype";
  if (w.ndim < 3 || w.ndim > kAxes + 2 || x.ndim != w.ndim || y.ndim != w.ndim)
    return "operands must have 3 to 5 axes, all as many";
  if (x.shape[0] != y.shape[0] || x.shape[1] != w.shape[1] * a.groups || y.shape[1] != w.shape[0] ||
      w.shape[0] % a.groups != 0)
    return "images and channels of the operands do not go together";
  return nullptr;
}

}  // namespace rv::RV_ISA::conv
